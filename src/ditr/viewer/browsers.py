"""The browsers that show the page now, and the one lock around what they share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ditr.viewer.beside import pane_of
from ditr.viewer.look import Browser, BrowserCloud, Look

__all__ = ["Browsers"]

_FOLLOWS = 0.4
"""Seconds for which a pane that was moved by the other one does not move that."""


class Browsers:
    """Those that are connected.

    Callbacks of viser run in threads; the lock stands around everything that they change.

    Args:
        looks: what all show, or what those of the left and of the right side show.
        path_of: the way that a browser's websocket took.
    """

    def __init__(self, looks: Sequence[Look], path_of: Callable[[Any], str]) -> None:
        self.lock = threading.RLock()
        self._looks, self._path_of = looks, path_of
        self._found: dict[int, Browser] = {}

    def all(self) -> list[Browser]:
        """In the order in which they came."""
        with self.lock:
            return list(self._found.values())

    def of(self, client: Any) -> Browser | None:
        """That of viser's handle; None where it has gone."""
        with self.lock:
            return self._found.get(client.client_id)

    def connected(self, client: Any) -> None:
        """A browser came: it shows the points."""
        side, pair = pane_of(self._path_of(client)) if len(self._looks) > 1 else (0, "")
        browser = Browser(client, BrowserCloud(client, self._looks[side]), pair=pair)
        with self.lock:
            self._found[client.client_id] = browser
        client.camera.on_update(lambda _: self._moved(browser))
        browser.cloud.refresh()

    def disconnected(self, client: Any) -> None:
        """A browser went."""
        with self.lock:
            self._found.pop(client.client_id, None)

    def _moved(self, browser: Browser) -> None:
        """Its camera moved; that of the other pane goes with it."""
        now = time.monotonic()
        if browser.pair and now > browser.follows_until:
            camera = browser.client.camera
            for other in self.all():
                if other is not browser and other.pair == browser.pair:
                    other.follows_until = now + _FOLLOWS
                    with other.client.atomic():
                        other.client.camera.up_direction = camera.up_direction
                        other.client.camera.position = camera.position
                        other.client.camera.look_at = camera.look_at
                        other.client.camera.fov = camera.fov
        browser.cloud.refresh()

    def refresh(self) -> None:
        """The points again in all of them."""
        for browser in self.all():
            browser.cloud.refresh()

    def say(self, client: Any, title: str, body: str = "", *, fault: bool = False) -> None:
        """Tell one browser something."""
        client.add_notification(title, body, auto_close_seconds=8.0, color="red" if fault else None)

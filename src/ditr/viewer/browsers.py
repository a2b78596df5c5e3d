"""The browsers that show the page now, and the one lock around what they share."""

from __future__ import annotations

import threading
from typing import Any

from ditr.viewer.look import Browser, BrowserCloud, Look

__all__ = ["Browsers"]


class Browsers:
    """Those that are connected.

    Callbacks of viser run in threads; the lock stands around everything that they change.

    Args:
        look: what all show.
    """

    def __init__(self, look: Look) -> None:
        self.lock = threading.RLock()
        self._look = look
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
        browser = Browser(client, BrowserCloud(client, self._look))
        with self.lock:
            self._found[client.client_id] = browser
        client.camera.on_update(lambda _: browser.cloud.refresh())
        browser.cloud.refresh()

    def disconnected(self, client: Any) -> None:
        """A browser went."""
        with self.lock:
            self._found.pop(client.client_id, None)

    def refresh(self) -> None:
        """The points anew in all of them."""
        for browser in self.all():
            browser.cloud.refresh()

    def say(self, client: Any, title: str, body: str = "", *, fault: bool = False) -> None:
        """Tell one browser something."""
        client.add_notification(title, body, auto_close_seconds=8.0, color="red" if fault else None)

"""The tab of the photographs: frusta where they were taken, and looking through one of them, in each browser apart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.scene import View
from ditr.viewer.browsers import Browsers
from ditr.viewer.camera import fly
from ditr.viewer.look import Browser
from ditr.viewer.photographs import Photographs, plane_of, quaternion_of
from ditr.viewer.stroke import Pixels, Stroke

__all__ = ["Album"]

_MARGIN = 1.04
"""Of the window around a photograph that is looked through."""


class Album:
    """The photographs in the page.

    Args:
        server: of viser; the tab's widgets go where it adds things now.
        browsers: all of them.
        coord: (N, 3) of the points, in the page's frame.
        photographs: of the scene.

    Attributes:
        clicked: when a frustum was clicked last, in seconds of the monotonic clock.
        on_stroke: what is done with a line that is drawn in a photograph: told the browser, the photograph and the
            line's pixels there; None while nobody takes lines.
    """

    def __init__(self, server: Any, browsers: Browsers, coord: NDArray[np.float32], photographs: Photographs) -> None:
        self._server, self._browsers, self._photographs = server, browsers, photographs
        self.clicked = 0.0
        self.on_stroke: Callable[[Browser, View, Pixels], None] | None = None
        # Before its camera, so near that nothing of the cloud lies between.
        self._away = 0.02 * float(np.linalg.norm(np.ptp(coord, axis=0)))
        gui, views = server.gui, photographs.views
        self._shown = gui.add_checkbox("Show cameras", True)
        self._which = gui.add_dropdown("Photograph", tuple(view.name for view in views))
        go = gui.add_button("Look through it")
        self._opacity = gui.add_slider("Colours over it", min=0.0, max=1.0, step=0.05, initial_value=0.45)
        leave = gui.add_button("Back to the cloud", color="gray")
        self._frusta = photographs.add_frusta(server.scene, self._enter_by_frustum)
        self._shown.on_update(lambda _: self._show_frusta())
        go.on_click(lambda event: self.enter(event.client, self._which.value))
        leave.on_click(lambda event: self.leave(event.client))
        self._opacity.on_update(lambda _: self.repaint())
        threading.Thread(target=self._add_thumbnails, daemon=True).start()

    def _add_thumbnails(self) -> None:
        for view, handle in self._frusta:
            image = self._photographs.thumbnail(view)
            with suppress(Exception):  # the server has stopped meanwhile
                if image is not None:
                    handle.image = image

    def _enter_by_frustum(self, name: str, client: Any) -> None:
        self.clicked = time.monotonic()
        self._which.value = name
        self.enter(client, name)

    def enter(self, client: Any, name: str) -> None:
        """Fly to where a photograph was taken, and look through it."""
        with self._browsers.lock:
            browser = self._browsers.of(client)
            if browser is None:
                return
            try:
                seen = self._photographs.seen(name)
            except InputError as error:
                self._browsers.say(client, "This photograph cannot be shown", error.told(), fault=True)
                return
            camera = client.camera
            if browser.before is None:
                browser.before = (camera.position, camera.look_at, camera.up_direction, camera.fov)
        view = seen.view
        eye, turn = view.center - self._photographs.origin, view.camera_to_world[:3, :3]
        width, height, middle = plane_of(view, self._photographs.origin, self._away)
        aspect = float(camera.aspect) if camera.image_height else width / height
        # Along the optical axis, or it is distorted; and the whole of it, whatever shape the window has.
        aside, below, _ = 2 * np.abs(turn.T @ (middle - eye))
        field = 2 * np.arctan(_MARGIN * max(height + below, (width + aside) / aspect) / 2 / self._away)
        fly(client, eye, eye + self._away * turn[:, 2], -turn[:, 1], float(field))
        with self._browsers.lock:
            self._close(browser)
            browser.seen = seen
            self._show_picture(browser)
            browser.cloud.hide(True)
            self._show_frusta()

    def leave(self, client: Any) -> bool:
        """Back to the cloud; whether a photograph was looked through."""
        with self._browsers.lock:
            browser = self._browsers.of(client)
            if browser is None or browser.seen is None:
                return False
            browser.seen = None
            self._close(browser)
            browser.cloud.hide(False)
            self._show_frusta()
            before, browser.before = browser.before, None
        assert before is not None
        fly(client, *before)
        return True

    def repaint(self) -> None:
        """The colours over photographs again."""
        with self._browsers.lock:
            for browser in self._browsers.all():
                self._show_picture(browser)

    def point_at(self, browser: Browser, origin: NDArray[np.float64], direction: NDArray[np.float64]) -> int | None:
        """The point that the photograph shows where a ray hits it; None beside it, or where it shows none."""
        assert browser.seen is not None
        place = self._hit(browser.seen.view, origin, direction)
        if place is None:
            return None
        rows, columns = browser.seen.point.shape
        point = int(browser.seen.point[int(place[1] * rows), int(place[0] * columns)])
        return point if point >= 0 else None

    def _hit(
        self, view: View, origin: NDArray[np.float64], direction: NDArray[np.float64]
    ) -> tuple[float, float] | None:
        """Where a ray hits a photograph, 0 to 1 from its upper left corner; None beside it."""
        turn = view.camera_to_world[:3, :3]
        width, height, middle = plane_of(view, self._photographs.origin, self._away)
        ahead = float(direction @ turn[:, 2])
        if ahead <= 1e-9:
            return None
        hit = origin + direction * (float((middle - origin) @ turn[:, 2]) / ahead) - middle
        u, v = float(hit @ turn[:, 0]) / width + 0.5, float(hit @ turn[:, 1]) / height + 0.5
        return (u, v) if 0 <= u < 1 and 0 <= v < 1 else None

    def _show_picture(self, browser: Browser) -> None:
        seen = browser.seen
        if seen is None:
            return
        look = browser.cloud.look
        image = seen.with_colors(look.colors, look.shown, float(self._opacity.value))
        if browser.picture is not None:
            browser.picture.image = image
            return
        width, height, middle = plane_of(seen.view, self._photographs.origin, self._away)
        browser.picture = browser.client.scene.add_image(
            "/photograph",
            image,
            width,
            height,
            format="jpeg",
            jpeg_quality=88,
            wxyz=quaternion_of(seen.view.camera_to_world[:3, :3]),
            position=middle,
        )
        if self.on_stroke is not None:
            Stroke(browser, partial(self._pixel, seen.view), partial(self._drawn, browser, seen.view))

    def let_draw(self, take: Callable[[Browser, View, Pixels], None]) -> None:
        """From now on lines may be drawn in photographs."""
        with self._browsers.lock:
            self.on_stroke = take
            for browser in self._browsers.all():
                self._close(browser)
                self._show_picture(browser)

    def _pixel(
        self, view: View, origin: NDArray[np.float64], direction: NDArray[np.float64]
    ) -> tuple[float, float] | None:
        place = self._hit(view, origin, direction)
        return None if place is None else (place[0] * view.camera.width, place[1] * view.camera.height)

    def _drawn(self, browser: Browser, view: View, pixels: Pixels) -> None:
        with self._browsers.lock:
            if self.on_stroke is not None and pixels:
                self.on_stroke(browser, view, pixels)

    def _close(self, browser: Browser) -> None:
        if browser.picture is not None:
            browser.picture.remove()
            browser.picture = None

    def _show_frusta(self) -> None:
        looking = any(browser.seen is not None for browser in self._browsers.all())
        with self._server.atomic():
            for _, handle in self._frusta:
                handle.visible = bool(self._shown.value) and not looking

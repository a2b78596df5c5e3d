"""A line that is drawn with the mouse in a photograph."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.viewer.look import Browser

__all__ = ["Pixels", "Stroke"]

Pixels = tuple[tuple[float, float], ...]
"""(u, v) each, by the photograph's own size."""
_COLOR, _AHEAD = (255, 60, 160), 0.98
"""Of the line while it is drawn, which stands a little before the photograph."""


class Stroke:
    """Lets a line be drawn in the photograph that a browser shows.

    Args:
        browser: with a picture.
        pixel: where a ray from an origin in a direction hits the photograph; None beside it.
        done: told the line at its end.
    """

    def __init__(
        self,
        browser: Browser,
        pixel: Callable[[NDArray[np.float64], NDArray[np.float64]], tuple[float, float] | None],
        done: Callable[[Pixels], None],
    ) -> None:
        self._browser, self._pixel, self._done = browser, pixel, done
        self._found: list[tuple[float, float]] = []
        self._places: list[NDArray[np.float64]] = []
        self._line: Any = None
        browser.picture.on_drag("left")(self._dragged)

    async def _dragged(self, event: Any) -> None:
        """viser keeps the order only of what does not wait; the work after the end has a thread of its own."""
        if event.phase == "start":
            self._found, self._places = [], []
            self._add(event, event.start_position)
        self._add(event, event.end_position)
        if event.phase == "end":
            if self._line is not None:
                self._line.remove()
                self._line = None
            threading.Thread(target=self._done, args=(tuple(self._found),), daemon=True).start()

    def _add(self, event: Any, place: tuple[float, float, float]) -> None:
        eye = np.asarray(event.client.camera.position, np.float64)
        direction = np.asarray(place, np.float64) - eye
        found = self._pixel(eye, direction)
        if found is None or (self._found and found == self._found[-1]):
            return
        self._found.append(found)
        self._places.append(eye + _AHEAD * direction)
        if len(self._places) > 1:
            self._line = self._browser.client.scene.add_line_segments(
                "/stroke",
                points=np.stack([self._places[:-1], self._places[1:]], axis=1).astype(np.float32),
                colors=_COLOR,
                thickness=3.0,
                thickness_units="screen",
            )

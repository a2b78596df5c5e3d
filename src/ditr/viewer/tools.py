"""Tools of the page: a box that cuts the cloud, and the distance between two points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Clip", "Distance"]


class Clip:
    """Three sliders; what lies outside of the box is hidden.

    Args:
        gui: of viser.
        coord: (N, 3) in the page's frame.
        changed: called when the box has changed.
    """

    def __init__(self, gui: Any, coord: NDArray[np.float32], changed: Callable[[], None]) -> None:
        self._coord = coord
        self._low, self._high = coord.min(axis=0).astype(np.float64), coord.max(axis=0).astype(np.float64)
        self._sliders = []
        with gui.add_folder("Clip box"):
            for axis, name in enumerate("xyz"):
                step = max(round((self._high[axis] - self._low[axis]) / 300, 2), 0.001)
                low = round(float(np.floor(self._low[axis] / step) * step), 3)
                high = round(float(np.ceil(self._high[axis] / step) * step), 3)
                slider = gui.add_multi_slider(name, min=low, max=high, step=step, initial_value=(low, high))
                slider.on_update(lambda _: changed())
                self._sliders.append(slider)
            everything = gui.add_button("Everything", color="gray")
        everything.on_click(lambda _: self._open())

    def _open(self) -> None:
        for slider in self._sliders:
            slider.value = (slider.min, slider.max)

    def inside(self) -> NDArray[np.bool_] | None:
        """(N,) whether each point lies in the box; None where the box holds everything."""
        result: NDArray[np.bool_] | None = None
        for axis, slider in enumerate(self._sliders):
            low, high = slider.value
            if low > slider.min or high < slider.max:
                values = self._coord[:, axis]
                own = (values >= low) & (values <= high)
                result = own if result is None else result & own
        return result


class Distance:
    """Two clicks, and how far these points are apart.

    Args:
        gui: of viser.
        scene: of viser.
    """

    def __init__(self, gui: Any, scene: Any) -> None:
        self._scene = scene
        self._ends: list[NDArray[np.float64]] = []
        self._drawn: list[Any] = []
        with gui.add_folder("Distance"):
            self._on = gui.add_checkbox("Click two points", False)
            self._said = gui.add_text("Distance", "", disabled=True)
        self._on.on_update(lambda _: self._clear())

    def _clear(self) -> None:
        for handle in self._drawn:
            handle.remove()
        self._drawn, self._ends = [], []
        self._said.value = ""

    def take(self, place: NDArray[np.float32]) -> bool:
        """Take a point; whether this tool is in use."""
        if not self._on.value:
            return False
        if len(self._ends) == 2:
            self._clear()
        self._ends.append(place.astype(np.float64))
        self._drawn.append(
            self._scene.add_label(f"/distance/{len(self._ends)}", "AB"[len(self._ends) - 1], position=place)
        )
        if len(self._ends) == 2:
            first, second = self._ends
            apart = float(np.linalg.norm(second - first))
            dx, dy, dz = second - first
            self._said.value = f"{apart:.3f} m  ({dx:.2f}, {dy:.2f}, {dz:.2f})"
            self._drawn.append(
                self._scene.add_line_segments(
                    "/distance/line",
                    points=np.stack([[first, second]]),
                    colors=(220, 40, 40),
                    thickness=3.0,
                    thickness_units="screen",
                )
            )
            self._drawn.append(self._scene.add_label("/distance/said", f"{apart:.2f} m", position=(first + second) / 2))
        return True

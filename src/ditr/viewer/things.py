"""The tab of objects: how many there are of each class, and each of them shown by its box."""

from __future__ import annotations

import html
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.orientation import find_up
from ditr.inference.object_notes import object_notes
from ditr.inference.objects import FoundObject, Objects, find_objects
from ditr.scene import Scene
from ditr.viewer.browsers import Browsers
from ditr.viewer.camera import fly

__all__ = ["Labelled", "Things"]

_MOST = 400
"""Objects of a class that the list holds; the largest come first."""
_EDGES = ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7))
_CLOSE = 2.2
"""How far the camera stays away, in diagonals of a box."""
_LARGER = 1.15
"""How much larger than its object a box is drawn, so that points do not cover it."""
_HINT = "Connected points of a class, found in the labels that the legend shows"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Labels to look for objects in.

    Attributes:
        label: (N,) int32, -1 for none.
        names: of the classes.
        confidence: (N,) float32, or None.
    """

    label: NDArray[np.int32]
    names: tuple[str, ...]
    confidence: NDArray[np.float32] | None = None


class Things:
    """The widgets of the tab, and the box in the picture.

    Args:
        server: of viser; its current container is the tab.
        browsers: all that show the page.
        scene: the points.
        origin: (3,) of the page's frame in the scene's.
        labels: what the legend shows now; None where it shows no labels.
    """

    def __init__(
        self,
        server: Any,
        browsers: Browsers,
        scene: Scene,
        origin: NDArray[np.float64],
        labels: Callable[[], Labelled | None],
    ) -> None:
        gui = server.gui
        self._server, self._browsers, self._scene, self._origin, self._labels = server, browsers, scene, origin, labels
        self._objects: Objects | None = None
        self._by_class: dict[str, list[FoundObject]] = {}
        self._class_names: dict[str, str] = {}
        self._listed: dict[str, FoundObject] = {}
        self._box: Any = None
        self._said = gui.add_html("")
        self._find = gui.add_button("Find objects", hint=_HINT)
        self._class = gui.add_dropdown("Of class", ("",), visible=False)
        self._one = gui.add_dropdown("Object", ("",), visible=False)
        self._next = gui.add_button("Next object", color="gray", visible=False)
        self._find.on_click(lambda event: self._look(event.client))
        self._class.on_update(lambda event: self._list(event.client))
        self._one.on_update(lambda event: self._show(event.client))
        self._next.on_click(lambda event: self._step(event.client))

    def _look(self, client: Any) -> None:
        given = self._labels()
        if given is None:
            self._browsers.say(client, "There are no labels", "Colour by labels, or label the scene first", fault=True)
            return
        note = client.add_notification("Objects", "One moment", loading=True)
        try:
            objects = find_objects(self._scene, given.label, given.names, confidence=given.confidence)
        except InputError as error:
            self._browsers.say(client, "No objects", error.told(), fault=True)
            return
        finally:
            note.remove()
        with self._browsers.lock:
            self._objects = objects
            self._by_class = {}
            for found in objects.objects:
                self._by_class.setdefault(found.name, []).append(found)
            lines = "".join(f"<p>{html.escape(line)}</p>" for line in self._told(objects))
            self._said.content = f'<div style="padding:0 0.8em">{lines}</div>'
            self._hide_box()
            names = {f"{name} ({len(found)})": name for name, found in self._by_class.items()}
            for widget in (self._class, self._one, self._next):
                widget.visible = bool(names)
            self._class_names = names
            if names:
                self._class.options = tuple(names)
                self._class.value = next(iter(names))
                self._list(None)

    def _told(self, objects: Objects) -> list[str]:
        """Counts and areas, and what has to be known to read them."""
        lines = [*objects.told(), *object_notes(objects)]
        if self._scene.up is None:
            up = ", ".join(f"{value:.2f}" for value in find_up(self._scene))
            lines.append(f"Up was estimated as ({up}); start with --up if that is wrong")
        return lines

    def _list(self, client: Any) -> None:
        """The objects of the chosen class."""
        with self._browsers.lock:
            found = self._by_class.get(self._class_names.get(self._class.value, ""), [])[:_MOST]
            self._listed = {
                f"{number + 1}: {one.points:,} points, {' x '.join(f'{side:.1f}' for side in one.box.size)} m": one
                for number, one in enumerate(found)
            }
            if self._listed:
                self._one.options = tuple(self._listed)
                self._one.value = next(iter(self._listed))
        if client is not None:
            self._show(client)

    def _step(self, client: Any) -> None:
        """The one after that which is shown; after the last the first."""
        with self._browsers.lock:
            options = list(self._listed)
            if self._box is not None and options:
                self._one.value = options[(options.index(self._one.value) + 1) % len(options)]
        self._show(client)

    def _show(self, client: Any) -> None:
        """Draw the box of the chosen object, and fly one browser to it."""
        found = self._listed.get(self._one.value)
        if found is None or self._objects is None or client is None:
            return
        corners = self._objects.corners(found) - self._origin
        middle = corners.mean(axis=0)
        corners = middle + _LARGER * (corners - middle)
        with self._browsers.lock:
            self._hide_box()
            self._box = self._server.scene.add_line_segments(
                "/object",
                points=corners[np.array(_EDGES)].astype(np.float32),
                colors=(255, 60, 20),
                thickness=3.0,
                thickness_units="screen",
            )
        away = np.asarray(client.camera.position) - middle
        size = max(float(np.linalg.norm(corners[6] - corners[0])), 0.3)
        distance = max(float(np.linalg.norm(away)), 1e-6)
        fly(client, middle + away / distance * _CLOSE * size, middle)

    def _hide_box(self) -> None:
        if self._box is not None:
            self._box.remove()
            self._box = None

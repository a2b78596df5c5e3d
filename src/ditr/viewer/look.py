"""What all browsers show of the points: their colours, which are hidden, and how large they are drawn; and for each
browser the nodes of the octree that its camera asks for."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.viewer.octree import Octree
from ditr.viewer.photographs import Seen

__all__ = ["Browser", "BrowserCloud", "Look", "rotation_of"]


@dataclass(eq=False)
class Look:
    """The points as all browsers draw them.

    Attributes:
        coord: (N, 3) float32, in the frame of the page.
        octree: of them.
        scale: how much larger points are drawn than they are apart.
        largest: edge of a drawn point in metres, before it is scaled, at most.
        budget: most points that one browser draws.
        colors: (N, 3) uint8.
        shown: (N,) bool.
        version: counts changes of colours.
        shown_version: counts changes of what is shown.
    """

    coord: NDArray[np.float32]
    octree: Octree
    scale: float
    largest: float
    budget: int
    colors: NDArray[np.uint8]
    shown: NDArray[np.bool_]
    version: int = 0
    shown_version: int = 0


@dataclass(eq=False)
class _Drawn:
    handle: Any
    version: int
    shown_version: int
    size: float = 0.0


@dataclass(eq=False)
class BrowserCloud:
    """The points in one browser.

    Attributes:
        client: viser's handle of the browser.
        look: of all.
        hidden: whether they are hidden here, while a photograph is looked at.
    """

    client: Any
    look: Look
    hidden: bool = False
    _drawn: dict[int, _Drawn] = field(default_factory=dict)
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _asked: bool = False

    def rows(self) -> NDArray[np.int64]:
        """The points that are drawn here."""
        look = self.look
        nodes = sorted(self._drawn)
        if not nodes or self.hidden:
            return np.empty(0, np.int64)
        rows = np.concatenate([look.octree.points(node) for node in nodes]).astype(np.int64)
        return rows[look.shown[rows]]

    def refresh(self) -> None:
        """Draw what the camera asks for; calls that come meanwhile become one more round."""
        self._asked = True
        while self._asked and self._busy.acquire(blocking=False):
            try:
                self._asked = False
                self._draw()
            finally:
                self._busy.release()

    def _draw(self) -> None:
        look, wanted = self.look, self._wanted()
        above = {int(parent) for parent in look.octree.parent[wanted] if parent >= 0}
        with self.client.atomic():
            for node in set(self._drawn) - set(wanted.tolist()):
                self._drawn.pop(node).handle.remove()
            for node in wanted.tolist():
                self._draw_node(node, look.scale * min(look.largest, look.octree.drawn_size(node, node not in above)))

    def _wanted(self) -> NDArray[np.int64]:
        octree = self.look.octree
        if len(octree.order) <= self.look.budget:
            return np.arange(len(octree))
        camera = self.client.camera
        pose = rotation_of(camera.wxyz)
        aspect = float(camera.aspect) if camera.image_height else 1.6
        return octree.chosen(np.asarray(camera.position), pose[:, 2], float(camera.fov), aspect, self.look.budget)

    def _draw_node(self, node: int, size: float) -> None:
        look, drawn = self.look, self._drawn.get(node)
        if drawn is not None and (drawn.version, drawn.shown_version) == (look.version, look.shown_version):
            if drawn.size != size:
                drawn.handle.point_size = drawn.size = size
            return
        rows = look.octree.points(node)
        rows = rows[look.shown[rows]]
        if drawn is None:
            handle = self.client.scene.add_point_cloud(
                f"/points/{node}",
                look.coord[rows],
                look.colors[rows],
                point_size=size,
                point_shape="circle",
                point_shading="gradient",
                precision="float32",
                visible=not self.hidden,
            )
            self._drawn[node] = _Drawn(handle, look.version, look.shown_version, size)
            return
        if drawn.shown_version != look.shown_version:
            drawn.handle.points = look.coord[rows]
        drawn.handle.colors = look.colors[rows]
        if drawn.size != size:
            drawn.handle.point_size = drawn.size = size
        drawn.version, drawn.shown_version = look.version, look.shown_version

    def hide(self, hidden: bool) -> None:
        """Hide the points in this browser, or show them again."""
        self.hidden = hidden
        with self._busy, self.client.atomic():
            for drawn in self._drawn.values():
                drawn.handle.visible = not hidden
        if self._asked:
            self.refresh()


@dataclass(eq=False)
class Browser:
    """One browser that shows the page.

    Attributes:
        client: viser's handle.
        cloud: the points in it.
        pair: of panes that it belongs to; "" where it stands alone.
        follows_until: monotonic seconds until which its camera is moved by that of the other pane.
        seen: the photograph that is looked at; None while it is the cloud.
        picture: viser's handle of it.
        before: camera to go back to: position, what it looks at, up, field of view.
    """

    client: Any
    cloud: BrowserCloud
    seen: Seen | None = None
    picture: Any = None
    before: tuple[Any, Any, Any, float] | None = None
    pair: str = ""
    follows_until: float = 0.0


def rotation_of(wxyz: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) of a quaternion."""
    w, x, y, z = np.asarray(wxyz, np.float64) / np.linalg.norm(wxyz)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )

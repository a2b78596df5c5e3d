"""Views that lie on their side, turned upright by quarter turns: nothing is resampled, so nothing is lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.orientation import find_up
from ditr.scene import Camera, CameraModel, Scene, View

__all__ = ["quarter_turns", "turned", "turned_degrees", "upright_views"]

_LEAST = np.deg2rad(60)
"""A view that is turned by less stays: it lies nearer to upright than to its side."""
_LONGEST = 0.35
"""Length of up in the image plane, below which a camera looks along it and no side of its image is the upper one."""
_COUNTERCLOCKWISE = np.array([[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""Camera axes before a quarter turn to those after it, (4, 4)."""


def quarter_turns(view: View, up: NDArray[np.float64]) -> int:
    """Counterclockwise quarter turns, 0..3, that bring a view upright for which ``up`` (3,) is the direction up."""
    if not view.is_posed:
        return 0
    x, y = view.world_to_camera[:2, :3] @ (up / np.linalg.norm(up))
    angle = float(np.arctan2(x, -y))
    if np.hypot(x, y) < _LONGEST or abs(angle) <= _LEAST:
        return 0
    return round(angle / (np.pi / 2)) % 4


def turned(view: View, turns: int) -> View:
    """The view after counterclockwise quarter turns of its image: the same points in the same pixels, elsewhere."""
    camera, pose = view.camera, view.world_to_camera
    for _ in range(turns % 4):
        camera, pose = _turned_camera(camera), _COUNTERCLOCKWISE @ pose
    if not turns % 4:
        return view
    return replace(view, camera=camera, world_to_camera=pose, quarter_turns=(view.quarter_turns + turns) % 4)


def _turned_camera(camera: Camera) -> Camera:
    distortion = camera.distortion
    if camera.model in (CameraModel.OPENCV, CameraModel.FULL_OPENCV):
        # Tangential distortion is along the vector (p2, p1), which turns with the image.
        k1, k2, p1, p2, *rest = distortion
        distortion = (k1, k2, -p2, p1, *rest)
    return replace(
        camera,
        width=camera.height,
        height=camera.width,
        fx=camera.fy,
        fy=camera.fx,
        cx=camera.cy,
        cy=camera.width - camera.cx,
        distortion=distortion,
    )


def upright_views(scene: Scene, views: Sequence[View]) -> list[View]:
    """Views of a scene as an image encoder is to see them: those that lie on their side are turned.

    Data of a benchmark stay as published.
    """
    if scene.as_published or not views:
        return list(views)
    up = find_up(scene)
    return [turned(view, quarter_turns(view, up)) for view in views]


def turned_degrees(views: Sequence[View]) -> dict[str, int]:
    """By how many degrees counterclockwise views were turned, by their names; those that were not are left out."""
    return {view.name: 90 * view.quarter_turns for view in views if view.quarter_turns}

"""Where the page's camera stands first, and how it moves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.orientation import find_up
from ditr.pictures.viewpoint import is_enclosed, two_sides
from ditr.scene import Scene

__all__ = ["FirstCamera", "first_camera", "fly"]

_ROWS, _COLUMNS, _MARGIN = 900, 1080, 1.06
_MOST_POINTS = 300_000
_STEPS, _SECONDS = 18, 0.45


@dataclass(frozen=True, eq=False)
class FirstCamera:
    """Where one looks from at first.

    Attributes:
        position: (3,) in the page's frame.
        look_at: (3,) there.
        up: (3,) against gravity.
        field: vertical field of view in radians.
        open: (N,) bool, the points without ceiling and near walls; None for a scene that is not a room.
    """

    position: NDArray[np.float64]
    look_at: NDArray[np.float64]
    up: NDArray[np.float64]
    field: float
    open: NDArray[np.bool_] | None


def first_camera(scene: Scene, origin: NDArray[np.float64]) -> FirstCamera:
    """From above and aside, so that the bulk of the scene fills the page; a room is looked into.

    Args:
        scene: points and views.
        origin: (3,) of the page's frame.
    """
    up = find_up(scene)
    viewpoint = two_sides(scene, up=up, size=(_ROWS, _COLUMNS))[0]
    camera, pose = viewpoint.camera, np.linalg.inv(viewpoint.world_to_camera)
    middle = np.array([(_COLUMNS / 2 - camera.cx) / camera.fx, (_ROWS / 2 - camera.cy) / camera.fy, 1.0])
    coord = scene.coord[:: 1 + len(scene) // _MOST_POINTS]
    depth = coord @ viewpoint.world_to_camera[2, :3] + viewpoint.world_to_camera[2, 3]
    away = float(np.median(depth[depth > 0])) if (depth > 0).any() else 1.0
    return FirstCamera(
        position=pose[:3, 3] - origin,
        look_at=pose[:3, :3] @ (middle * away) + pose[:3, 3] - origin,
        up=up,
        field=float(2 * np.arctan(_MARGIN * _ROWS / 2 / camera.fy)),
        open=viewpoint.shown if is_enclosed(scene) else None,
    )


def fly(
    client: Any,
    position: NDArray[np.float64],
    look_at: NDArray[np.float64],
    up: NDArray[np.float64] | None = None,
    field: float | None = None,
) -> None:
    """Move a browser's camera, in half a second."""
    camera = client.camera
    first = np.asarray(camera.position), np.asarray(camera.look_at), np.asarray(camera.up_direction), camera.fov
    up, field = first[2] if up is None else up, first[3] if field is None else field
    for step in range(1, _STEPS + 1):
        share = step / _STEPS
        share = share * share * (3 - 2 * share)
        turned = first[2] + share * (up - first[2])
        if np.linalg.norm(turned) < 1e-3:
            turned = up
        with client.atomic():
            camera.up_direction = turned / np.linalg.norm(turned)
            camera.position = first[0] + share * (position - first[0])
            camera.look_at = first[1] + share * (look_at - first[1])
            camera.fov = float(first[3] + share * (field - first[3]))
        time.sleep(_SECONDS / _STEPS)

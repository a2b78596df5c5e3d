"""Where to stand to show a point cloud: free cameras that look at it from two sides.

Nothing is assumed about the frame of the cloud: up and forward come from the photographs where there are any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.orientation import find_up
from ditr.scene import Camera, Scene, View

__all__ = ["Viewpoint", "inward_normals", "is_enclosed", "look_at", "two_sides"]

_FIELD_OF_VIEW = np.deg2rad(36)
_MARGIN = 0.95
_STRAY = 0.1  # percent of the points, on each side of the picture
_CEILING = 0.85
_NEAR_WALL = 0.12

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Viewpoint:
    """A camera that takes no photograph, and what it leaves out of the picture.

    Attributes:
        camera: a pinhole of the size of the picture.
        world_to_camera: (4, 4).
        shown: (N,) bool, False for points that are cut away (ceilings and near walls), or None to show all.
    """

    camera: Camera
    world_to_camera: Vector
    shown: NDArray[np.bool_] | None = None


def look_at(eye: Vector, target: Vector, up: Vector) -> Vector:
    """The pose ``world_to_camera`` (4, 4), OpenCV axes, of a camera at ``eye`` that looks at ``target``.

    Raises:
        InputError: the camera would look straight along ``up``, or ``eye`` is ``target``.
    """
    forward = target - eye
    right = np.cross(forward, up)
    if np.linalg.norm(right) < 1e-9 * max(float(np.linalg.norm(forward)), 1e-9):
        raise InputError(
            "viewpoint",
            f"eye {eye}, target {target}, up {up} do not determine the rotation of the picture",
            "Move the eye",
        )
    forward, right = _unit(forward), _unit(right)
    pose = np.eye(4)
    pose[:3, :3] = right, np.cross(forward, right), forward
    pose[:3, 3] = -pose[:3, :3] @ eye
    return pose


def two_sides(
    scene: Scene,
    *,
    size: tuple[int, int] = (640, 960),
    up: Vector | None = None,
    enclosed: bool | None = None,
    aim: NDArray[np.bool_] | None = None,
) -> tuple[Viewpoint, Viewpoint]:
    """Two free views of a scene from above, from two sides.

    A room is looked into from outside: its ceiling and the walls on the near side are cut away, by the normals where
    they face the inside, and else by their place. An open scene is seen from behind and above the first camera, and
    from the far side; its extent is that of the bulk of the points, not of the farthest returns.

    Args:
        scene: points, views and, where present, normals.
        size: height and width of the pictures.
        up: (3,) direction against gravity; by default :func:`find_up`.
        enclosed: whether it is a room; by default :func:`is_enclosed`.
        aim: (N,) the points that are to fill the picture; by default, or where there are none, all.
    """
    up = _unit(find_up(scene, up))
    coord = scene.coord
    enclosed = is_enclosed(scene) if enclosed is None else enclosed
    axes = _floor_axes(coord, up)
    aim = np.ones(len(coord), dtype=bool) if aim is None or not aim.any() else aim
    facing = _facing(scene.posed_views, up)
    if not enclosed:
        posed = scene.posed_views
        forward = _flat(posed[0].world_to_camera[2, :3], up) if posed else axes[0]
        bulk = aim.copy()
        bulk[aim] = _bulk(coord[aim], up)
        return (
            _fit(coord, bulk, _direction(-forward, up, 0, 28), up, size),
            _fit(coord, bulk, _direction(-forward, up, 115, 34), up, size),
        )
    if facing is None:
        behind, turns = axes[0] + axes[1], (0.0, 180.0)
    else:
        behind, turns = -facing, (-32.0, 32.0)
    normal = inward_normals(scene)
    return (
        _into_room(coord, aim, normal, axes, _direction(behind, up, turns[0], 38), up, size),
        _into_room(coord, aim, normal, axes, _direction(behind, up, turns[1], 38), up, size),
    )


def is_enclosed(scene: Scene) -> bool:
    """Whether a scene looks like a room: a view has a depth map, or the points lie within 25 m."""
    extent = np.ptp(np.percentile(scene.coord, [2, 98], axis=0), axis=0).max()
    return any(view.depth is not None for view in scene.views) or bool(extent < 25)


def _unit(vector: Vector) -> Vector:
    return np.asarray(vector / np.linalg.norm(vector))


def _flat(vector: Vector, up: Vector) -> Vector:
    """The horizontal part, of unit length where there is one."""
    flat = vector - (vector @ up) * up
    length = float(np.linalg.norm(flat))
    return flat / length if length > 1e-9 else flat


def _facing(views: Sequence[View], up: Vector) -> Vector | None:
    """The horizontal direction in which most cameras look, or None where they look all around."""
    if not views:
        return None
    mean = np.mean([_flat(view.world_to_camera[2, :3], up) for view in views], axis=0)
    return _flat(mean, up) if np.linalg.norm(mean) > 0.5 else None


def _direction(behind: Vector, up: Vector, turn: float, elevation: float) -> Vector:
    """The unit vector to the eye: ``behind`` turned about ``up`` and raised, both in degrees."""
    flat = _flat(behind, up)
    a, e = np.deg2rad(turn), np.deg2rad(elevation)
    return np.asarray(np.cos(e) * (np.cos(a) * flat + np.sin(a) * np.cross(up, flat)) + np.sin(e) * up)


def _floor_axes(coord: Vector, up: Vector) -> Vector:
    """Two horizontal unit vectors (2, 3) along the walls: those of the smallest rectangle around the floor plan."""
    helper = np.eye(3)[int(np.abs(up).argmin())]
    first = _flat(helper, up)
    second = np.cross(up, first)
    plan = coord[:: max(1, len(coord) // 5000)] @ np.stack([first, second]).T
    angle = np.deg2rad(np.arange(90))
    turn = np.stack([np.cos(angle), np.sin(angle)])
    side = np.stack([-turn[1], turn[0]])
    area = np.ptp(np.percentile(plan @ turn, [1, 99], axis=0), axis=0) * np.ptp(
        np.percentile(plan @ side, [1, 99], axis=0), axis=0
    )
    best = int(area.argmin())
    return np.stack([turn[0, best] * first + turn[1, best] * second, side[0, best] * first + side[1, best] * second])


def _bulk(coord: Vector, up: Vector) -> NDArray[np.bool_]:
    """The points within the horizontal distance of the nearest 90 %, and not in the top or bottom percent."""
    offset = coord - np.median(coord, axis=0)
    height = offset @ up
    distance = np.linalg.norm(offset - height[:, None] * up, axis=1)
    low, high = np.percentile(height, [1, 99])
    return np.asarray((distance <= np.percentile(distance, 90)) & (height >= low) & (height <= high))


def inward_normals(scene: Scene) -> NDArray[np.float32] | None:
    """The normals, if most of them face the middle of the scene (or the cameras), as culling by them needs."""
    if scene.normal is None:
        return None
    posed = scene.posed_views
    middle = np.mean([view.center for view in posed], axis=0) if posed else scene.coord.mean(axis=0)
    facing = np.einsum("ij,ij->i", scene.normal, middle - scene.coord) > 0
    return scene.normal if facing.mean() > 0.65 else None


def _into_room(
    coord: Vector,
    aim: NDArray[np.bool_],
    normal: NDArray[np.float32] | None,
    axes: Vector,
    direction: Vector,
    up: Vector,
    size: tuple[int, int],
) -> Viewpoint:
    if normal is not None:
        first = _fit(coord, aim, direction, up, size)
        eye = np.linalg.inv(first.world_to_camera)[:3, 3]
        shown = np.einsum("ij,ij->i", normal, eye - coord) > 0
    else:
        shown = _without_lid(coord, axes, direction, up)
    if not (shown & aim).any():
        shown = np.ones(len(coord), dtype=bool)
    return replace(_fit(coord, shown & aim, direction, up, size), shown=shown)


def _without_lid(coord: Vector, axes: Vector, direction: Vector, up: Vector) -> NDArray[np.bool_]:
    """Leave out the top of the room, and of each pair of walls the one between the eye and the room."""
    height = coord @ up
    low, high = np.percentile(height, [0.5, 99.5])
    shown = height < low + _CEILING * (high - low)
    for axis in axes:
        along = coord @ axis * np.sign(axis @ direction)
        shown &= along < np.percentile(along, 99.5) - _NEAR_WALL
    return np.asarray(shown)


def _fit(coord: Vector, inside: NDArray[np.bool_], direction: Vector, up: Vector, size: tuple[int, int]) -> Viewpoint:
    """A camera in the given direction whose picture is filled by the points ``inside``, except for a few strays."""
    height, width = size
    points = coord[inside]
    points = points[:: max(1, len(points) // 50_000)]
    turn = look_at(direction, np.zeros(3), up)[:3, :3]
    seen = points @ turn.T
    middle = np.percentile(seen, [0.5, 99.5], axis=0).mean(axis=0)
    focal = 0.5 * height / np.tan(_FIELD_OF_VIEW / 2)
    offset = np.abs(seen - middle) * (2 * focal / np.array([width, height, 1]))
    distance = np.percentile(offset[:, :2].max(axis=1) - (seen - middle)[:, 2], 99.5)
    distance = max(float(distance), 1e-3)
    pose = np.eye(4)
    pose[:3, :3] = turn
    pose[:3, 3] = np.array([0, 0, distance]) - middle
    depth = seen[:, 2] - middle[2] + distance
    spot = (seen - middle)[depth > 0.05 * distance, :2] / depth[depth > 0.05 * distance, None]
    low, high = np.percentile(spot, [_STRAY, 100 - _STRAY], axis=0)
    span = np.maximum(high - low, 1e-6)
    focal = float(min(_MARGIN * width / span[0], _MARGIN * height / span[1], 20 * focal))
    center = 0.5 * np.array([width, height]) - focal * 0.5 * (low + high)
    return Viewpoint(Camera(width, height, focal, focal, float(center[0]), float(center[1])), pose)

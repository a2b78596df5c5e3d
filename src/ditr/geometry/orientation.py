"""Which way is up, and turning a scene so that it is z."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ditr.scene import Scene, checked_direction

__all__ = ["estimate_up", "find_up", "rotation_to_z", "rotation_upright"]

Vector = NDArray[np.float64]


def estimate_up(scene: Scene) -> Vector:
    """The direction against gravity, (3,) of unit length.

    People and vehicles hold cameras level, so the cameras' x axes are horizontal: up is the direction that is most
    orthogonal to them, on the side of the images' upper border. Within 12 degrees of +z (and without views) it is +z,
    since such a capture is z-up and its cameras look a little down. Elsewhere normals, where there are any, refine it:
    much of what points up (floors, tables) points straight up.
    """
    z = np.array([0.0, 0.0, 1.0])
    views = scene.posed_views
    if not views:
        return z
    rotation = np.stack([view.world_to_camera[:3, :3] for view in views])
    right, mean_up = rotation[:, 0], -rotation[:, 1].mean(axis=0)
    # The second term decides where all x axes are alike, as with a single view.
    scatter = right.T @ right / len(views) - 0.05 * np.outer(mean_up, mean_up)
    up = np.linalg.eigh(scatter)[1][:, 0]
    up = up if up @ mean_up > 0 else -up
    if up @ z > np.cos(np.deg2rad(12)):
        return z
    if scene.normal is not None:
        for cone in (25, 12, 6):
            near = scene.normal[scene.normal @ up > np.cos(np.deg2rad(cone))]
            up = _unit(near.mean(axis=0, dtype=np.float64)) if len(near) else up
    return np.asarray(up)


def rotation_to_z(up: Vector) -> Vector:
    """The smallest rotation, (3, 3), that turns the direction ``up`` (3,) onto +z."""
    x, y, z = _unit(np.asarray(up, dtype=np.float64))
    if z < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues' formula for the rotation about up x z.
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    rotation: Vector = np.eye(3) + cross + cross @ cross / (1 + z)
    return rotation


def find_up(scene: Scene, told: ArrayLike | None = None) -> Vector:
    """The direction against gravity, (3,): as told, else as the scene's data say, else as its cameras stand.

    Everything that asks which way is up asks here: training, validation, labelling, evaluation and pictures.

    Raises:
        InputError: what is told is no direction.
    """
    if told is not None:
        return checked_direction(told, "up")
    return estimate_up(scene) if scene.up is None else scene.up


def rotation_upright(up: Vector) -> Vector | None:
    """The rotation, (3, 3), that a scene needs before a network sees it; None where its up is z already."""
    return None if np.allclose(up, (0, 0, 1)) else rotation_to_z(up)


def _unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)

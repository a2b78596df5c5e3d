"""Rotations and poses in the forms that files have them in, as matrices."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["between", "inverse", "poses_of", "rotations_of", "turns_of"]

Array = NDArray[np.float64]


def rotations_of(quaternion: ArrayLike) -> Array:
    """Hamilton quaternions (..., 4), w first and of any length, as matrices (..., 3, 3); NaN for a zero one."""
    q = np.asarray(quaternion, dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        w, x, y, z = np.moveaxis(q / np.linalg.norm(q, axis=-1, keepdims=True), -1, 0)
        rows = (
            (1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
            (2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
            (2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
        )
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def turns_of(axis_angle: ArrayLike) -> Array:
    """Axes times angles in radians (..., 3) as matrices (..., 3, 3)."""
    turn = np.asarray(axis_angle, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        half = np.linalg.norm(turn, axis=-1, keepdims=True) / 2
        # sinc is the sine over its argument, and 1 where that is zero.
        quaternion = np.concatenate([np.cos(half), turn / 2 * np.sinc(half / np.pi)], axis=-1)
    return rotations_of(quaternion)


def between(first: ArrayLike, second: ArrayLike, share: ArrayLike) -> Array:
    """Quaternions on the short way from ``first`` to ``second`` (..., 4), at ``share`` (...) of it, 0 to 1."""
    a, b = (np.asarray(q, np.float64) / np.linalg.norm(q, axis=-1, keepdims=True) for q in (first, second))
    cosine = (a * b).sum(axis=-1, keepdims=True)
    b, cosine = np.where(cosine < 0, -b, b), np.abs(cosine).clip(max=1)
    angle, t = np.arccos(cosine), np.asarray(share, np.float64)[..., None]
    near = angle < 1e-6
    sine = np.where(near, 1.0, np.sin(angle))
    return np.asarray(
        np.where(near, 1 - t, np.sin((1 - t) * angle) / sine) * a + np.where(near, t, np.sin(t * angle) / sine) * b
    )


def poses_of(rotation: NDArray[Any], translation: ArrayLike) -> Array:
    """(..., 4, 4) of rotations (..., 3, 3) and translations (..., 3)."""
    pose = np.zeros((*rotation.shape[:-2], 4, 4))
    pose[..., :3, :3], pose[..., :3, 3], pose[..., 3, 3] = rotation, translation, 1.0
    return pose


def inverse(pose: NDArray[Any]) -> Array:
    """Of rigid poses (..., 4, 4)."""
    turned = np.swapaxes(pose[..., :3, :3], -1, -2)
    return poses_of(turned, -np.einsum("...ij,...j->...i", turned, pose[..., :3, 3]))

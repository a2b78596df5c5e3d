"""Which point of a cloud a click means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["picked"]

_NEAR = 0.012
"""Tangent of the angle within which a click finds a point: 8 pixels of a window of 900 lines."""


def picked(
    coord: NDArray[np.float32], origin: NDArray[np.float64], direction: NDArray[np.float64], size: float
) -> int | None:
    """The row of the point that a ray hits: of those near it the first, but for what lies a little before another that
    is nearer to the ray.

    Args:
        coord: (n, 3) the points that are drawn.
        origin: (3,) of the ray, where the eye is.
        direction: (3,) of the ray.
        size: edge of a drawn point, in the points' unit.

    Returns:
        The row; None where the ray passes all points by.
    """
    if not len(coord):
        return None
    along_axis = (direction / np.linalg.norm(direction)).astype(np.float32)
    offset = coord - origin.astype(np.float32)
    depth = offset @ along_axis
    square = np.einsum("ij,ij->i", offset, offset) - depth * depth
    reach = np.maximum(_NEAR * depth, 0.6 * np.float32(size))
    near = np.flatnonzero((depth > 0) & (square < reach * reach))
    if not len(near):
        return None
    away = np.sqrt(np.maximum(square[near], 0)) / reach[near]
    # Across its reach a point may lie this much behind the first: a surface seen at a slant.
    return int(near[np.argmin(depth[near] * (1 + 0.03 * away))])

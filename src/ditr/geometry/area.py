"""The area of the surfaces that points lie on, voxel by voxel.

Counting voxels says little of a surface's area: one that lies askew passes through up to 1.7 times as many as one along
the axes, and noise at the border of two layers doubles them. So a plane is laid through each voxel and those beside it,
and what counts is the area that this plane has inside the voxel.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.bounds import bounding_box
from ditr.geometry.voxels import Voxels, voxelize

__all__ = ["VoxelAreas", "section_area", "surface_scatter", "voxel_areas"]

Array = NDArray[np.float64]

_NEIGHBOURS = 9
"""Of a voxel in a plane, with itself."""
_REACH = 2.5
"""Voxels' edges within which others count as beside it."""
_FEWEST = 4
"""Voxels that a plane is laid through."""
_LINE = 1e-3
"""Where the second extent of the neighbourhood is this share of the first, squared, it is a line."""
_MEAN_SECTION = 2 / 3
"""Area of a surface of unknown direction inside a voxel of edge 1: the mean over all directions and places that meet it
(its volume over its mean width, 3 / 2)."""
_BEGIN = np.array([0.382, 0.618, 0.5])
"""Where in its voxel the lowest corner lies: walls and floors that stand there, or some voxels from there, shall not
lie between two voxels."""
_CHUNK = 1 << 16
_FEWEST_SCATTERED = 8
"""Points of a voxel whose scatter about a plane says something."""


@dataclass(frozen=True, eq=False)
class VoxelAreas:
    """A cloud's occupied voxels, and the surface inside each.

    Attributes:
        voxels: of the cloud.
        size: their edge in metres.
        corner: (3,) the lowest corner of the voxel (0, 0, 0).
        area: (M,) float64 square metres of surface.
    """

    voxels: Voxels
    size: float
    corner: Array
    area: Array


def voxel_areas(coord: NDArray[np.floating], size: float) -> VoxelAreas:
    """Lay a plane through each occupied voxel and the up to eight that are nearest, and measure it inside the voxel.

    Small corners that a plane cuts off a voxel often hold no point, and these voxels are missing. Of points that lie at
    random a voxel with the area a holds one with the probability 1 - exp(-density a); areas are divided by it, so that
    the sum over the voxels that are there is right on average (Horvitz and Thompson, 1952).

    On planes in any direction, with noise up to a tenth of a voxel, the sum is right to 3 % from four points per voxel
    on, except for the rim: voxels there count whole, which adds half a voxel's edge along it. Folds and rods that are
    thinner than two voxels are not resolved.

    Args:
        coord: (N, 3) metres.
        size: edge of the voxels, metres; some 2.5 times the distance between points.

    Raises:
        InputError: as for :func:`~ditr.geometry.voxels.voxelize`.
    """
    points = np.asarray(coord, dtype=np.float64)
    # Small numbers keep the products below exact.
    corner = bounding_box(points)[0] - _BEGIN * size
    points = points - corner
    voxels = voxelize(points, size)
    count = voxels.count.numpy().astype(np.float64)
    total = np.add.reduceat(points[voxels.members.numpy()], voxels.start.numpy(), axis=0)
    area = _sections(voxels.grid.numpy() + 0.5, total / (count[:, None] * size), count)
    return VoxelAreas(voxels, size, corner, area * size**2)


def surface_scatter(coord: NDArray[np.floating], size: float) -> float:
    """How far points usually lie from the surface that they were measured on, metres.

    A plane is laid through the points of each voxel that has 8 or more; what is returned is the median, over their
    points, of the standard deviation across it. Corners and edges raise it less than noise, as most points lie on
    something flat.

    Args:
        coord: (N, 3) metres.
        size: edge of the voxels, metres; it bounds what is found to 0.29 of it.

    Returns:
        0 where no voxel has so many points.

    Raises:
        InputError: as for :func:`~ditr.geometry.voxels.voxelize`.
    """
    points = np.asarray(coord, dtype=np.float64)
    points = points - (bounding_box(points)[0] - _BEGIN * size)
    voxels = voxelize(points, size)
    members, start, count = voxels.members.numpy(), voxels.start.numpy(), voxels.count.numpy()
    points = points[members]
    off = points - (np.add.reduceat(points, start, axis=0) / count[:, None]).repeat(count, axis=0)
    spread = np.empty((len(count), 3, 3))
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        spread[:, i, j] = spread[:, j, i] = np.add.reduceat(off[:, i] * off[:, j], start)
    full = count >= _FEWEST_SCATTERED
    if not full.any():
        return 0.0
    # A plane that is fitted takes three degrees of freedom.
    across = np.linalg.eigvalsh(spread[full])[:, 0] / (count[full] - 3)
    order = np.argsort(across)
    held = np.cumsum(count[full][order])
    return float(np.sqrt(max(across[order][np.searchsorted(held, held[-1] / 2)], 0.0)))


def _sections(center: Array, mean: Array, count: Array) -> Array:
    """(M,) areas for the voxels' centres, the means of their points and how many these are; edges are 1."""
    from scipy.spatial import cKDTree

    tree = cKDTree(mean)
    near_count = min(_NEIGHBOURS, len(mean))
    section, density = np.full(len(mean), _MEAN_SECTION), np.zeros(len(mean))
    if near_count < _FEWEST:
        return section
    held = np.zeros(len(mean))  # points around each voxel, which its plane goes through
    rows = np.empty((len(mean), near_count), dtype=np.int32)
    beside = np.empty((len(mean), near_count), dtype=bool)
    for start in range(0, len(mean), _CHUNK):
        part = slice(start, start + _CHUNK)
        far, near = tree.query(mean[part], k=near_count)
        weight = np.where(far <= _REACH, count[near], 0.0)
        middle = np.einsum("nk,nki->ni", weight, mean[near]) / weight.sum(axis=1)[:, None]
        off = mean[near] - middle[:, None]
        extent, axes = np.linalg.eigh(np.einsum("nk,nki,nkj->nij", weight, off, off))
        flat = ((weight > 0).sum(axis=1) >= _FEWEST) & (extent[:, 1] > _LINE * extent[:, 2])
        normal = axes[:, :, 0]
        away = np.einsum("ni,ni->n", normal, middle - center[part])
        section[part] = np.where(flat, section_area(normal, away), _MEAN_SECTION)
        held[part] = np.where(flat, weight.sum(axis=1), 0.0)
        rows[part], beside[part] = near, weight > 0
    around = np.einsum("nk,nk->n", section[rows], beside)
    np.divide(held, around, out=density, where=around > 0)
    expected = density * section
    there = -np.expm1(-expected)
    np.divide(section, there, out=section, where=expected > 0)
    return section


def section_area(normal: Array, away: Array) -> Array:
    """The area that planes have inside a cube of edge 1.

    The cube's volume on one side of a plane is a sum of cubes of distances to its corners; its derivative is the area.

    Args:
        normal: (M, 3) of unit length.
        away: (M,) distance of the plane from the cube's centre.
    """
    # A plane along an edge is the limit of such that lie a little askew.
    part = np.maximum(np.abs(normal), 1e-3)
    part /= np.linalg.norm(part, axis=1, keepdims=True)
    x, y, z = part.T
    depth = part.sum(axis=1) / 2 - np.abs(away)  # from the outermost corner

    def squared(distance: Array) -> Array:
        return np.square(np.maximum(distance, 0.0))

    pairs = squared(depth - x - y) + squared(depth - x - z) + squared(depth - y - z)
    corners = squared(depth) - squared(depth - x) - squared(depth - y) - squared(depth - z) + pairs
    return np.asarray((corners - squared(depth - x - y - z)) / (2 * x * y * z))

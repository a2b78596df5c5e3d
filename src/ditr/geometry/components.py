"""Which points belong together: chains of neighbours no farther from each other than a gap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box

__all__ = ["connected_points"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

_AT_ONCE = 1 << 20
"""Distances that are looked at together: some 60 MB."""
_MOST_KEYS = 1 << 62
_NEAR = [step for step in product(range(-2, 3), repeat=3) if step > (0, 0, 0)]
"""One of each two opposite steps to the cells in which points may lie that are near enough."""


@dataclass(frozen=True, eq=False)
class _Cells:
    """Occupied cubes whose diagonal is the gap, so that the points of one always belong together.

    Attributes:
        point: (N, 3) sorted by cell.
        start, count: (M,) where a cell's points begin, and how many they are.
        low, high: (M, 3) the box of a cell's points.
    """

    point: Array
    start: Numbers
    count: Numbers
    low: Array
    high: Array


def connected_points(coord: NDArray[np.floating], gap: float) -> NDArray[np.int32]:
    """Number the parts into which points fall, where steps of at most ``gap`` lead from each point to all of its part.

    This is single linkage, and exact: moving, turning or shuffling the points changes nothing but numbers, and two
    things are one part where their nearest points are no farther apart than the gap. Most of the work is done by cells
    of a grid and not by points, so that time grows with the space that is taken up.

    Args:
        coord: (N, 3) metres, finite. Large offsets (UTM) are harmless in float64.
        gap: metres.

    Returns:
        (N,) int32 from 0, by the first point of each part.

    Raises:
        InputError: a gap that is not a length, or points that are not finite or not (N, 3).
    """
    points = np.asarray(coord, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError("points", f"shape {points.shape}", "Give (N, 3)")
    if not (np.isfinite(gap) and gap > 0):
        raise InputError("gap", f"{gap} is not a length", "Give a positive length in metres")
    if not len(points):
        return np.empty(0, dtype=np.int32)
    low, high = bounding_box(points)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError("points", "some coordinates are not finite", "Remove these points")
    order, keys, width = _sorted_cells(points - low, gap)
    cells = _grouped(points[order] - low, keys)
    part = _joined(cells, keys[cells.start], width, gap)
    found = np.empty(len(points), dtype=np.int64)
    found[order] = part.repeat(cells.count)
    _, first, number = np.unique(found, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[number]


def _sorted_cells(points: Array, gap: float) -> tuple[Numbers, Numbers, tuple[int, int]]:
    """The points' order by cell, the cells' keys in it, and what one cell along the first and second axis adds to
    these."""
    edge = gap / np.sqrt(3) * (1 - 1e-9)  # a diagonal is no longer than the gap, however it is rounded
    columns = [np.floor(points[:, axis] / edge) for axis in range(3)]
    if np.prod([column.max() + 5 for column in columns]) >= _MOST_KEYS:
        columns = [_without_gaps(column) for column in columns]
    widths = [int(column.max()) + 5 for column in columns]
    width = widths[1] * widths[2], widths[2]
    if widths[0] * width[0] >= _MOST_KEYS:
        fault = f"they spread over {widths[0]} x {widths[1]} x {widths[2]} cells of {edge:g} m"
        raise InputError("points", fault, "Use a larger gap, or crop the scene")
    x, y, z = (column.astype(np.int64) + 2 for column in columns)
    key = x * width[0] + y * width[1] + z
    order = np.argsort(key, kind="stable")
    return order, key[order], width


def _without_gaps(cell: Array) -> Array:
    """The cells along an axis, where long stretches without any are taken out."""
    value, index = np.unique(cell, return_inverse=True)
    return np.asarray(np.cumsum(np.minimum(np.diff(value, prepend=value[0]), 3))[index])


def _grouped(points: Array, keys: Numbers) -> _Cells:
    start = np.flatnonzero(np.diff(keys, prepend=keys[0] - 1))
    count = np.diff(start, append=len(keys))
    low, high = np.minimum.reduceat(points, start, axis=0), np.maximum.reduceat(points, start, axis=0)
    return _Cells(points, start, count, low, high)


def _joined(cells: _Cells, key: Numbers, width: tuple[int, int], gap: float) -> Numbers:
    """(M,) the part of each cell: cells whose first points are near enough are one at once, and only where two parts
    are left that might touch, all points are asked."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count, first = len(key), cells.point[cells.start]

    def parts(number: int, pairs: list[Numbers]) -> Numbers:
        one, two = np.concatenate([np.empty((2, 0), dtype=np.int64), *pairs], axis=1)
        graph = coo_array((np.ones(len(one), dtype=np.int8), (one, two)), shape=(number, number))
        return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)

    sure, open_ = [], []
    for step in _NEAR:
        pair = _neighbours(key, step[0] * width[0] + step[1] * width[1] + step[2])
        near = _squared(first[pair[0]] - first[pair[1]]) <= gap**2
        sure.append(pair[:, near])
        pair = pair[:, ~near]
        apart = np.maximum(cells.low[pair[0]] - cells.high[pair[1]], cells.low[pair[1]] - cells.high[pair[0]])
        open_.append(pair[:, _squared(np.maximum(apart, 0)) <= gap**2])
    part = parts(count, sure)
    unsure = np.concatenate(open_, axis=1)
    unsure = unsure[:, part[unsure[0]] != part[unsure[1]]]
    touching = [part[pair] for pair in _touching(cells, unsure, gap)]
    return parts(int(part.max()) + 1, touching)[part] if touching else part


def _neighbours(key: Numbers, step: int) -> Numbers:
    """(2, n) cells, and those that lie a step from them."""
    place = np.searchsorted(key, key + step)
    hit = np.flatnonzero(key.take(place, mode="clip") == key + step)
    return np.stack([hit, place[hit]])


def _touching(cells: _Cells, pair: Numbers, gap: float) -> Iterator[Numbers]:
    """Of pairs of cells (2, n) those that have points, one in each, that are near enough."""
    size = cells.count[pair[0]] * cells.count[pair[1]]
    for one, two in pair[:, size > _AT_ONCE].T:
        if _is_near(_points(cells, one), _points(cells, two), gap):
            yield np.array([[one], [two]])
    pair, size = pair[:, size <= _AT_ONCE], size[size <= _AT_ONCE]
    ends = np.cumsum(size)
    begin = 0
    while begin < len(size):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        one, two = pair[:, begin:end]
        held = size[begin:end]
        owner = np.arange(end - begin).repeat(held)
        number = np.arange(held.sum()) - (np.cumsum(held) - held).repeat(held)
        across = cells.count[two][owner]
        gone = cells.point[cells.start[one][owner] + number // across]
        gone = gone - cells.point[cells.start[two][owner] + number % across]
        yield pair[:, begin:end][:, np.unique(owner[_squared(gone) <= gap**2])]
        begin = end


def _points(cells: _Cells, cell: int) -> Array:
    return cells.point[cells.start[cell] : cells.start[cell] + cells.count[cell]]


def _is_near(one: Array, two: Array, gap: float) -> bool:
    from scipy.spatial import cKDTree

    return bool((cKDTree(one).query(two)[0] <= gap).any())


def _squared(vector: Array) -> Array:
    return np.asarray(np.einsum("ij,ij->i", vector, vector))

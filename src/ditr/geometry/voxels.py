"""Voxels: one point stands for each occupied cell of a grid, and every point knows its cell."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box
from ditr.geometry.curves import MAX_DEPTH, Curve, codes_along
from ditr.geometry.sorting import beginnings, stable_order

__all__ = ["Voxels", "cells_around", "voxelize"]

# Points handled at a time: 8 cells with their weights take 6 MB.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Voxels:
    """The occupied cells of a cloud of N points, along the z-order curve (so that neighbours lie close in memory).

    Attributes:
        grid: (M, 3) int64, cell coordinates from 0.
        inverse: (N,) int64, the cell of every point.
        members: (N,) int64, the points sorted by cell; those of one cell in the order of the cloud.
        start: (M,) int64, where a cell's points begin in ``members``.
        count: (M,) int64, how many they are.
    """

    grid: Tensor
    inverse: Tensor
    members: Tensor
    start: Tensor
    count: Tensor

    def __len__(self) -> int:
        return len(self.grid)

    def first(self) -> Tensor:
        """(M,) int64: each cell's first point; the choice at inference, which has to be repeatable."""
        return self.members[self.start]

    def random(self, rng: np.random.Generator) -> Tensor:
        """(M,) int64: a random point of each cell; the choice in training."""
        draw = torch.from_numpy(rng.random(len(self.count)))
        return self.members[self.start + (draw * self.count).long()]

    def random_of(self, favoured: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
        """(M,) int64: as :meth:`random`, but of each cell's ``favoured`` (N,) points, where it has any."""
        chosen = self.random(rng)
        among = torch.from_numpy(favoured)[self.members]
        before = torch.cat([among.new_zeros(1, dtype=torch.int64), among.cumsum(0)])
        count = before[self.start + self.count] - before[self.start]
        draw = torch.from_numpy(rng.random(len(self.count)))
        ranked = self.members[among]
        if len(ranked):
            place = (before[self.start] + (draw * count).long()).clamp(max=len(ranked) - 1)
            chosen = torch.where(count > 0, ranked[place], chosen)
        return chosen

    @property
    def fragment_count(self) -> int:
        """How many fragments there are: the number of points in the fullest cell."""
        return int(self.count.max())

    def fragment(self, number: int) -> Tensor:
        """(M,) int64: the choice that takes point ``number mod count`` of each cell.

        All fragments together contain every point, which is how the published tester lets each point vote.
        """
        return self.members[self.start + number % self.count]


def voxelize(coord: NDArray[np.floating] | Tensor, size: float) -> Voxels:
    """Sort points into cubic cells of edge ``size`` metres: cell = floor(coord / size), counted from the lowest cell.

    Args:
        coord: (N, 3) metres. Large offsets (UTM) are harmless in float64.
        size: the cells' edge in metres.

    Raises:
        InputError: no points, points or size that are not finite, points so far out that float64 cannot tell the cells
            apart, or an extent of more than 65,536 cells on an axis.
    """
    points = np.asarray(coord, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or len(points) == 0:
        raise InputError("points", f"shape {points.shape}", "Voxels need at least one point, (N, 3)")
    if not (np.isfinite(size) and size > 0):
        raise InputError("voxel size", f"{size} is not a length", "Give a positive length in metres")
    low, high = bounding_box(points)
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise InputError("points", "some coordinates are not finite", "Remove these points")
    farthest = float(max(high.max(), -low.min()))
    if farthest / 2**52 >= size:
        raise InputError(
            "points",
            f"a coordinate of {farthest:g} m is too large for voxels of {size:g} m in this precision",
            "Remove such points, shift the cloud towards the origin, or use larger voxels",
        )
    first = np.floor(low / size)
    if (np.floor(high / size) - first + 1 > 1 << MAX_DEPTH).any():
        extent = float((high - low).max())
        raise InputError(
            "voxel size",
            f"the points span {extent:.6g} m, more than {1 << MAX_DEPTH} voxels of {size:g} m",
            f"Use voxels of at least {_smallest_size(extent):.3g} m, or crop the scene",
        )
    return _group((np.floor(points / size) - first).astype(np.int64))


def _smallest_size(extent: float) -> float:
    """A voxel size of three digits, rounded up, with which ``extent`` metres fit wherever the cells begin."""
    needed = extent / ((1 << MAX_DEPTH) - 2)
    unit = 10.0 ** (math.floor(math.log10(needed)) - 2)
    return math.ceil(needed / unit) * unit


def _group(cell: NDArray[np.int64]) -> Voxels:
    depth = int(cell.max()).bit_length()
    codes = codes_along(cell, (Curve.Z,), depth)[0]
    members = stable_order(codes, 3 * depth)
    start = beginnings(codes.take(members))
    count = np.diff(start, append=len(cell))
    inverse = np.empty_like(members)
    inverse[members] = np.arange(len(start)).repeat(count)
    grid = cell.take(members.take(start), axis=0)
    return Voxels(*(torch.from_numpy(array) for array in (grid, inverse, members, start, count)))


def cells_around(coord: NDArray[np.floating], size: float, voxels: Voxels) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """The eight cells whose middles are around each point, and trilinear weights.

    Args:
        coord: (N, 3) metres, the points of ``voxels``.
        size: the cells' edge in metres.
        voxels: what :func:`voxelize` made of both.

    Yields:
        for some points at a time: which; (n, 8) int64 cells, 0 where there is none; and (n, 8) float32 weights, 0 for
        these, whose sum is 1. The own cell of a point always has an eighth or more before empty ones give theirs away.
    """
    low, _ = bounding_box(np.asarray(coord, dtype=np.float64))
    first = np.floor(low / size)
    grid = voxels.grid.numpy()
    depth = int(grid.max()).bit_length()
    codes = codes_along(grid, (Curve.Z,), depth)[0]
    for start in range(0, len(coord), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(coord)))
        place = np.asarray(coord[part], dtype=np.float64) / size - first - 0.5
        corner = np.floor(place)
        share = place - corner
        index = np.zeros((len(place), 8), dtype=np.int64)
        weight = np.zeros((len(place), 8), dtype=np.float32)
        for number, step in enumerate(np.ndindex(2, 2, 2)):
            cell = (corner + step).astype(np.int64)
            inside = np.flatnonzero(((cell >= 0) & (cell < 1 << depth)).all(axis=1))
            code = codes_along(cell[inside], (Curve.Z,), depth)[0]
            found = np.searchsorted(codes, code)
            there = np.flatnonzero(codes.take(found, mode="clip") == code)
            rows = inside[there]
            index[rows, number] = found[there]
            weight[rows, number] = np.where(step, share[rows], 1 - share[rows]).prod(axis=1)
        weight /= weight.sum(axis=1, keepdims=True)
        yield part, torch.from_numpy(index), torch.from_numpy(weight)

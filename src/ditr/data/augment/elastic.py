"""Elastic distortion: smooth random displacement of the whole cloud."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ditr.data.augment.point_set import PointSet
from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box

__all__ = ["ElasticDistortion"]

# 400 MB of noise; a building of 100 x 100 x 20 m has 25 million cells of 0.2 m.
_MAX_CELLS = 2**25


_AT_ONCE = 1 << 13


@dataclass(frozen=True)
class ElasticDistortion:
    """Displace every point by blurred noise, one field after the other; normals stay.

    A field of granularity g has Gaussian noise N(0, 1) per axis on a grid of g metres that starts one cell below the
    points; it is blurred twice along each axis with a box of three cells (cells outside count as 0), interpolated
    linearly at the points and scaled by the magnitude.

    Attributes:
        p: the probability that anything happens.
        fields: (granularity, magnitude) in metres, in order of application.

    Raises (when called):
        InputError: points so far apart that the grid of a field would need more than 400 MB.
    """

    p: float = 0.95
    fields: tuple[tuple[float, float], ...] = ((0.2, 0.4), (0.8, 1.6))

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if rng.random() >= self.p:
            return points
        coord = points.coord
        for granularity, magnitude in self.fields:
            low, high = bounding_box(coord)
            position = (coord - low) / np.float32(granularity)
            shape = [int(size) + 3 for size in np.floor((high - low) / np.float32(granularity))]
            if math.prod(shape) > _MAX_CELLS:
                extent = " x ".join(f"{size:.0f}" for size in high - low)
                raise InputError(
                    "elastic distortion",
                    f"the points span {extent} m, too much for a grid of {granularity} m",
                    "Remove outliers, crop the scene or choose a coarser granularity",
                )
            noise = _blurred(_blurred(rng.standard_normal((*shape, 3), np.float32)))
            # The lowest point sits on cell 1, as cell 0 is the margin.
            coord = coord + _interpolate(noise, position + 1) * np.float32(magnitude)
        return replace(points, coord=coord)


def _blurred(noise: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over a cell and its neighbours along each of the first three axes in turn; (X, Y, Z, 3)."""
    for axis in range(3):
        source = np.moveaxis(noise, axis, 0)
        blurred = source.copy()
        blurred[1:] += source[:-1]
        blurred[:-1] += source[1:]
        blurred /= 3
        noise = np.moveaxis(blurred, 0, axis)
    return noise


def _interpolate(field: NDArray[np.float32], position: NDArray[np.float32]) -> NDArray[np.float32]:
    """Trilinear interpolation of ``field`` (X, Y, Z, 3) at ``position`` (N, 3), in cells from 0; (N, 3)."""
    size, strides = field.shape[:3], (field.shape[1] * field.shape[2], field.shape[2], 1)
    # Each axis by itself, and so many points that a cache holds them: numpy is slow along an axis of length three.
    noise = np.ascontiguousarray(field.reshape(-1, 3).T)
    result = np.empty_like(position)
    for start in range(0, len(position), _AT_ONCE):
        part = position[start : start + _AT_ONCE]
        # position may round up to the last cell, which has no upper neighbour.
        lower = [np.minimum(part[:, axis].astype(np.int64), size[axis] - 2) for axis in range(3)]
        upper_weight = [part[:, axis] - lower[axis].astype(np.float32) for axis in range(3)]
        weights = ([1 - weight for weight in upper_weight], upper_weight)
        row = lower[0] * strides[0] + lower[1] * strides[1] + lower[2]
        total = np.zeros((3, len(part)), dtype=np.float32)
        for x, y, z in product((0, 1), repeat=3):
            weight = weights[x][0] * weights[y][1] * weights[z][2]
            corner = row + (x * strides[0] + y * strides[1] + z)
            for axis in range(3):
                total[axis] += weight * noise[axis].take(corner)
        result[start : start + _AT_ONCE] = total.T
    return result

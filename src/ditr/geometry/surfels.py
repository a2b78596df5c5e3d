"""A cloud as discs of surface: how far apart points lie around each of them, and how the surface lies there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.bounds import bounding_box

__all__ = ["Surfels", "surfels_of"]

MOST = 500_000
"""How many points become discs; of larger clouds so many random ones, whose discs are larger."""
SPACING, NEIGHBOURS = 8, 16
"""Number of the neighbour whose distance tells the spacing, and how many neighbours tell the normal."""
LONELY = 1.5
"""How much farther apart than around its neighbours points may be around a point: those that float have no surface."""
FLAT, LINE = 4.0, 0.01
"""Second extent of a neighbourhood, squared: so often the third, and so much of the first, makes it a plane."""
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Surfels:
    """Discs that stand for the surface around M points.

    Attributes:
        middle: (3,) float64 metres, from which ``place`` is counted.
        place: (M, 3) float64 metres.
        normal: (M, 3) float64 of unit length, on either side; zero where the neighbourhood is not a plane.
        spacing: (M,) float64 metres, the side of the square of surface that is one point's share.
    """

    middle: NDArray[np.float64]
    place: NDArray[np.float64]
    normal: NDArray[np.float64]
    spacing: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.place)


def surfels_of(coord: NDArray[Any]) -> Surfels:
    """The discs of a cloud; of the last cloud they are kept, since every view of a scene asks for them.

    Args:
        coord: (N, 3) metres; large offsets (UTM) are harmless in float64.
    """
    return _kept(_Cloud(coord))


class _Cloud:
    """An array that equals those of the same memory. It holds the array, so that this memory is not another's."""

    def __init__(self, coord: NDArray[Any]) -> None:
        self.coord = coord
        self.memory = (coord.__array_interface__["data"][0], coord.shape, coord.strides, coord.dtype.str)

    def __eq__(self, other: object) -> bool:
        # What may still be written to may have changed since.
        return isinstance(other, _Cloud) and not self.coord.flags.writeable and self.memory == other.memory

    def __hash__(self) -> int:
        return hash(self.memory)


@lru_cache(maxsize=1)
def _kept(cloud: _Cloud) -> Surfels:
    return _surfels(np.asarray(cloud.coord, dtype=np.float64))


def _surfels(coord: NDArray[np.float64]) -> Surfels:
    # Imported late: nobody who has depth maps should wait for it.
    from scipy.spatial import cKDTree

    if len(coord) > MOST:
        # Random, since those at equal steps may all be of one ring of a LiDAR; drawn alike each time.
        coord = coord[np.sort(np.random.default_rng(0).choice(len(coord), MOST, replace=False))]
    low, high = bounding_box(coord)
    middle = (low + high) / 2
    place = _distinct(coord - middle)
    if len(place) <= SPACING:
        return Surfels(middle, place, np.zeros_like(place), np.zeros(len(place)))
    tree = cKDTree(place)
    place = place[tree.indices]  # as they lie in the tree: neighbours in space are neighbours in memory
    tree = cKDTree(place)
    count = min(1 + NEIGHBOURS, len(place))
    distance, normal = np.empty(len(place)), np.empty_like(place)
    near = np.empty((len(place), SPACING), dtype=np.int32)
    for start in range(0, len(place), _CHUNK):
        part = slice(start, start + _CHUNK)
        apart, rows = tree.query(place[part], k=count)
        distance[part], near[part] = apart[:, SPACING], rows[:, 1 : 1 + SPACING]
        normal[part] = _normals(place[rows])
    # On a plane with one point per square of side s, the n-th neighbour is where a disc holds n of these squares.
    spacing = distance * np.sqrt(np.pi / SPACING)
    return Surfels(middle, place, normal, np.minimum(spacing, LONELY * np.median(spacing[near], axis=1)))


def _distinct(place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each place once: repeated points would tell a spacing of zero."""
    order = np.lexsort(place.T)
    sorted_ = place[order]
    new = np.ones(len(place), dtype=bool)
    new[1:] = (sorted_[1:] != sorted_[:-1]).any(axis=1)
    return place[np.sort(order[new])]


def _normals(near: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) the flattest directions of neighbourhoods (n, k, 3); zero where none is flat."""
    near = near - near.mean(axis=1, keepdims=True)
    extent, directions = np.linalg.eigh(near.transpose(0, 2, 1) @ near)
    flat = (extent[:, 1] > FLAT * extent[:, 0]) & (extent[:, 1] > LINE * extent[:, 2])
    return np.where(flat[:, None], directions[:, :, 0], 0.0)

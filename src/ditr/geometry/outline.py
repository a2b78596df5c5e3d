"""The outline of cells on a grid, as polygons that touch nobody and themselves in single points at most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CellPolygon", "outline"]

Ring = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CellPolygon:
    """Cells that share edges, as one area.

    Attributes:
        exterior: (n, 2) corners in grid units, counterclockwise, each once.
        holes: the same, clockwise, for each hole.
    """

    exterior: Ring
    holes: tuple[Ring, ...]


def outline(cell: NDArray[np.integer]) -> list[CellPolygon]:
    """Polygons that cover exactly the cells, in the order of their first cells.

    Args:
        cell: (n, 2) columns and rows; cell (i, j) covers i..i+1 by j..j+1. Order and repeats do not matter.
    """
    if not len(cell):
        return []
    # Imported late: nobody who asks for no outlines should wait for it.
    from scipy.ndimage import label

    low = cell.min(axis=0) - 1
    grid = np.zeros(tuple(cell.max(axis=0) - low + 2), dtype=bool)
    grid[tuple((cell - low).T)] = True
    part, count = label(grid)
    rings: list[list[list[tuple[int, int]]]] = [[] for _ in range(count)]
    for ring, owner in _rings(part):
        rings[owner - 1].append(ring)
    return [_polygon(of_part, low) for of_part in rings]


def _polygon(rings: list[list[tuple[int, int]]], low: NDArray[np.int64]) -> CellPolygon:
    """The one ring that runs counterclockwise is the exterior."""
    (outer,) = (ring for ring in rings if _area(ring) > 0)
    return CellPolygon(np.array(outer) + low, tuple(np.array(ring) + low for ring in rings if ring is not outer))


def _area(ring: list[tuple[int, int]]) -> int:
    """Positive for one that runs counterclockwise; every other edge goes along x."""
    return sum(x * (y - before) for (_, before), (x, y) in zip([ring[-1], *ring], ring, strict=False))


_STEPS = np.array([(1, 0), (0, 1), (-1, 0), (0, -1)])
"""East, north, west, south: a left turn is the next one."""


def _edges(part: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges between parts and what is beside them, with the part to their left: (E, 3) their first corner and direction
    0..3, and (E,) the number of the part."""
    found, owners = [], []
    for direction, (shift, corner) in enumerate(
        [((0, -1), (0, 0)), ((1, 0), (1, 0)), ((0, 1), (1, 1)), ((-1, 0), (0, 1))]
    ):
        beside = np.roll(part, (-shift[0], -shift[1]), axis=(0, 1))
        at = np.argwhere((part > 0) & (beside != part))
        found.append(np.column_stack([at + corner, np.full(len(at), direction)]))
        owners.append(part[tuple(at.T)])
    return np.concatenate(found).astype(np.int64), np.concatenate(owners).astype(np.int64)


def _rings(part: NDArray[np.integer]) -> list[tuple[list[tuple[int, int]], int]]:
    """All rings along the edges of the parts, with the numbers of these; a ring that meets itself is two."""
    edges, owners = _edges(part)
    follower = _followers(edges, owners, part.shape[1] + 1)
    ends = edges[:, :2] + _STEPS[edges[:, 2]]
    turns = edges[follower, 2] != edges[:, 2]  # corners that are none are left out
    corner, go, turning = ends.tolist(), follower.tolist(), turns.tolist()
    open_, rings = np.ones(len(edges), dtype=bool), []
    for first in range(len(edges)):
        if not open_[first]:
            continue
        at, path = first, []
        while open_[at]:
            open_[at] = False
            if turning[at]:
                path.append((corner[at][0], corner[at][1]))
            at = go[at]
        rings += [(ring, int(owners[first])) for ring in _simple(path)]
    return rings


def _followers(edges: NDArray[np.int64], owners: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """(E,) the edge that goes on where each ends: the one most to the left of those of the same part."""
    direction, most = edges[:, 2], int(owners.max()) + 1

    def key(corner: NDArray[np.int64], heading: NDArray[np.int64]) -> NDArray[np.int64]:
        return ((corner[:, 0] * width + corner[:, 1]) * 4 + heading) * most + owners

    own = key(edges[:, :2], direction)
    order = np.argsort(own)
    ordered = own[order]
    ends = edges[:, :2] + _STEPS[direction]
    result = np.full(len(edges), -1, dtype=np.int64)
    for turn in (1, 0, -1):
        wanted = key(ends, (direction + turn) % 4)
        place = np.searchsorted(ordered, wanted).clip(max=len(ordered) - 1)
        hit = (ordered[place] == wanted) & (result < 0)
        result[hit] = order[place[hit]]
    return result


def _simple(path: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """A closed path cut where it meets itself."""
    rings: list[list[tuple[int, int]]] = []
    kept: list[tuple[int, int]] = []
    at: dict[tuple[int, int], int] = {}
    for corner in path:
        if corner in at:
            first = at[corner]
            rings.append(kept[first:])
            for gone in kept[first + 1 :]:
                del at[gone]
            del kept[first + 1 :]
        else:
            at[corner] = len(kept)
            kept.append(corner)
    return [*rings, kept]

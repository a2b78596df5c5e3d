"""Outlines of cells: they cover the cells and nothing else, and are valid polygons."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ditr.geometry.outline import CellPolygon, outline


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum()) / 2


def covered(polygon: CellPolygon, low: int, high: int) -> np.ndarray:
    """Which cells have their middle inside, by the crossings of a ray."""
    inside = np.zeros((high - low, high - low), dtype=int)
    column, row = np.meshgrid(np.arange(low, high) + 0.5, np.arange(low, high) + 0.5, indexing="ij")
    for ring in (polygon.exterior, *polygon.holes):
        for (x, y), (_, next_y) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            inside += (column < x) & (row > min(y, next_y)) & (row < max(y, next_y))
    return inside % 2 == 1


@given(st.sets(st.tuples(st.integers(-4, 4), st.integers(-4, 4))))
def test_polygons_cover_the_cells_once(cells: set[tuple[int, int]]) -> None:
    polygons = outline(np.array(sorted(cells), dtype=np.int64).reshape(-1, 2))
    total = np.zeros((12, 12), dtype=int)
    for polygon in polygons:
        total += covered(polygon, -6, 6)
    wanted = np.zeros((12, 12), dtype=int)
    for column, row in cells:
        wanted[column + 6, row + 6] = 1
    np.testing.assert_array_equal(total, wanted)


@given(st.sets(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), min_size=1))
def test_rings_are_simple_and_turn_the_right_way(cells: set[tuple[int, int]]) -> None:
    for polygon in outline(np.array(sorted(cells), dtype=np.int64)):
        assert area(polygon.exterior) > 0 and all(area(hole) < 0 for hole in polygon.holes)
        for ring in (polygon.exterior, *polygon.holes):
            assert len(ring) >= 4 and len({tuple(corner) for corner in ring.tolist()}) == len(ring)
            step = np.roll(ring, -1, axis=0) - ring
            assert ((step == 0).sum(axis=1) == 1).all()
            assert ((step * np.roll(step, -1, axis=0)) == 0).all(), "no corner lies on an edge"
    first, second = (np.array(sorted(cells, reverse=turned), dtype=np.int64) for turned in (False, True))
    assert [p.exterior.tolist() for p in outline(first)] == [p.exterior.tolist() for p in outline(second)]


def test_what_touches_in_a_corner_is_apart_and_a_hole_is_a_hole() -> None:
    assert outline(np.empty((0, 2), dtype=np.int64)) == []
    assert len(outline(np.array([[0, 0], [1, 1]]))) == 2
    ring = [(i, j) for i in range(4) for j in range(4) if (i, j) not in ((1, 1), (2, 2))]
    (polygon,) = outline(np.array(ring))
    assert area(polygon.exterior) == 16 and [area(hole) for hole in polygon.holes] == [-1, -1]
    pinched = [(i, j) for i in range(3) for j in range(3) if (i, j) not in ((1, 1), (2, 2))]
    (polygon,) = outline(np.array(pinched))
    assert area(polygon.exterior) == 8 and [area(hole) for hole in polygon.holes] == [-1]

"""Connected points, against a union of every close pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ditr.errors import InputError
from ditr.geometry.components import connected_points


def by_pairs(points: np.ndarray, gap: float) -> np.ndarray:
    """The same by joining every two points that are close enough, numbered by the first point."""
    owner = list(range(len(points)))

    def root(point: int) -> int:
        while owner[point] != point:
            point = owner[point]
        return point

    for one in range(len(points)):
        for two in range(one):
            if np.sum((points[one] - points[two]) ** 2) <= gap**2:
                first, second = sorted((root(one), root(two)))
                owner[second] = first
    return np.unique([root(point) for point in range(len(points))], return_inverse=True)[1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.floats(0.02, 3.0), st.sampled_from([0, 1e-3, 1.0]))
def test_parts_are_those_of_all_close_pairs(seed: int, count: int, gap: float, flat: float) -> None:
    """In a cube, in a plane and nearly so; some points twice."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-3, 3, (count, 3)) * (1, 1, flat)
    points = points[rng.integers(0, count, count + count // 4)]
    np.testing.assert_array_equal(connected_points(points, gap), by_pairs(points, gap))


def test_dense_things_are_told_apart_by_their_nearest_points() -> None:
    """Two plates whose cells hold thousands of points, a little nearer and a little farther than the gap."""
    rng = np.random.default_rng(0)
    plate = np.column_stack([rng.uniform(0, 1, (40_000, 2)), np.zeros(40_000)])
    for distance, parts in ((0.299, 1), (0.301, 2)):
        both = np.concatenate([plate, plate[::-1] + np.array([0, 0, distance])])
        assert connected_points(both, 0.3).max() + 1 == parts


def test_where_points_lie_and_in_which_order_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    points = rng.uniform(0, 4, (2000, 3)) * (1, 1, 0.3)
    part = connected_points(points, 0.25)
    assert 5 < part.max() < 500
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    shuffled = rng.permutation(2000)
    for moved, own in (
        (points + np.array([500_000.125, 5_400_000.5, 300.0]), part),
        (points @ turn, part),
        (points[shuffled], part[shuffled]),
    ):
        other = connected_points(moved, 0.25)
        assert len(np.unique(np.stack([own, other]), axis=1).T) == part.max() + 1 == other.max() + 1


def test_few_points_and_far_ones() -> None:
    assert connected_points(np.empty((0, 3)), 0.1).tolist() == []
    assert connected_points(np.zeros((1, 3)), 0.1).tolist() == [0]
    assert connected_points(np.zeros((5, 3)), 0.1).tolist() == [0] * 5
    line = np.arange(6.0)[:, None] * (1, 1, 1)
    assert connected_points(line, 1.7321).tolist() == [0] * 6
    assert connected_points(line, 1.7320).tolist() == [0, 1, 2, 3, 4, 5]
    # Three points as far apart as the earth is large, and one beside the first: cells are none of them counted out.
    far = np.array([[0, 0, 0], [1e7, -1e7, 0], [-1e7, 1e7, 1e7], [0.01, 0, 0]])
    assert connected_points(far, 0.02).tolist() == [0, 1, 2, 0]


@pytest.mark.parametrize("gap", [0.0, -1.0, np.nan, np.inf])
def test_a_gap_that_is_none_is_refused(gap: float) -> None:
    with pytest.raises(InputError, match="not a length"):
        connected_points(np.zeros((2, 3)), gap)


def test_points_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        connected_points(np.array([[0.0, 0, np.nan]]), 0.1)
    with pytest.raises(InputError, match="shape"):
        connected_points(np.zeros((4, 2)), 0.1)

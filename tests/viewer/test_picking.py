"""A click means the first point near its ray."""

from __future__ import annotations

import numpy as np

from ditr.viewer.picking import picked


def test_the_first_point_near_the_ray_is_taken_and_none_beside_it() -> None:
    rng = np.random.default_rng(0)
    plan = rng.random((20_000, 2)) * 4 - 2
    front = np.column_stack([plan, np.full(len(plan), 5.0)])
    behind = np.column_stack([plan * 2, np.full(len(plan), 8.0)])
    cloud = np.concatenate([front, behind]).astype(np.float32)
    eye = np.zeros(3)
    row = picked(cloud, eye, np.array([0.1, 0.2, 1.0]), 0.02)
    assert row is not None and cloud[row, 2] == 5
    assert np.abs(cloud[row, :2] - [0.5, 1.0]).max() < 0.05
    beside = picked(cloud, eye, np.array([3.6, 0.0, 8.0]), 0.02)
    assert beside is not None and cloud[beside, 2] == 8, "past the edge of the front one lies the other"
    assert picked(cloud, eye, np.array([0.0, 0.0, -1.0]), 0.02) is None
    assert picked(cloud, eye, np.array([1.0, 0.0, 0.0]), 0.02) is None
    assert picked(cloud[:0], eye, np.array([0.0, 0.0, 1.0]), 0.02) is None

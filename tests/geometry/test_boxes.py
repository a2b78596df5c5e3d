"""Boxes, hulls and planes of things, and of points that are hardly any."""

from __future__ import annotations

import numpy as np
import pytest

from ditr.geometry.boxes import flat_plane, hull_of, upright_box


def block(size: tuple[float, float, float], yaw: float, middle: tuple[float, float, float]) -> np.ndarray:
    """Points of a solid block with its corners, turned by degrees."""
    rng = np.random.default_rng(0)
    corners = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
    points = np.concatenate([corners, rng.uniform(-0.5, 0.5, (300, 3))]) * size
    cos, sin = np.cos(np.deg2rad(yaw)), np.sin(np.deg2rad(yaw))
    return points @ np.array([[cos, sin, 0], [-sin, cos, 0], [0, 0, 1]]) + np.array(middle)


@pytest.mark.parametrize("yaw", [0.0, 30.0, -75.0, 89.0])
def test_a_block_has_its_own_box_wherever_it_stands(yaw: float) -> None:
    size, middle = (2.0, 0.8, 1.5), (500_000.0, 5_400_000.0, 300.0)
    points = block(size, yaw, middle)
    hull, volume = hull_of(points - middle)
    box = upright_box(hull)
    assert box.yaw == pytest.approx(yaw, abs=1e-4) and box.size == pytest.approx(size, abs=1e-6)
    assert box.center == pytest.approx((0, 0, 0), abs=1e-6) and volume == pytest.approx(2.4, rel=1e-6)
    assert flat_plane(points) is None
    corners = upright_box(points).corners()
    found = {tuple(row) for row in np.round(corners, 2)}
    assert found == {tuple(row) for row in np.round(points[:8], 2)}
    assert corners[:4, 2].max() < corners[4:, 2].min()


def test_flat_things_have_a_plane() -> None:
    table = flat_plane(block((1.2, 0.7, 0.02), 20.0, (3, 4, 0.7)))
    assert table is not None and table.normal == pytest.approx((0, 0, 1), abs=1e-2)
    assert table.size == pytest.approx((1.2, 0.7), rel=0.02) and table.thickness == pytest.approx(0.02, rel=0.1)
    door = flat_plane(block((0.9, 0.03, 2.0), 90.0, (0, 0, 1)))
    assert door is not None and abs(door.normal[0]) == pytest.approx(1, abs=1e-2)
    assert door.size == pytest.approx((2.0, 0.9), rel=0.03)


@pytest.mark.parametrize(
    ("points", "size"),
    [
        (np.ones((1, 3)), (0, 0, 0)),
        (np.ones((9, 3)), (0, 0, 0)),
        (np.array([[0, 0, 0], [3, 4, 0]]), (5, 0, 0)),
        (np.arange(7.0)[:, None] * (3, 4, 1), (30, 0, 6)),
        (np.arange(7.0)[:, None] * (0, 0, 1), (0, 0, 6)),
        (np.array([[0, 0, 1], [2, 0, 1], [2, 1, 1], [0, 1, 1]]), (2, 1, 0)),
        (np.array([[0, 0, 1], [2, 0, 1], [2, 1, 1], [0, 1, 1]])[:, [0, 2, 1]], (2, 0, 1)),
    ],
    ids=["one", "one place", "two", "askew line", "upright line", "level square", "upright square"],
)
def test_points_in_a_plane_on_a_line_or_in_one_place_have_a_box(points: np.ndarray, size: tuple[float, ...]) -> None:
    hull, volume = hull_of(points.astype(float))
    box = upright_box(hull)
    assert box.size == pytest.approx(size, abs=1e-9) and volume == 0
    assert box.center == pytest.approx((points.max(axis=0) + points.min(axis=0)) / 2 if len(points) else 0, abs=1e-9)
    assert np.isfinite(box.corners()).all() and -90 <= box.yaw <= 90
    flat_plane(points.astype(float))

"""Normals against surfaces whose normals are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ditr.errors import InputError
from ditr.geometry.normals import estimate_normals, mesh_normals


def sphere(count: int = 4000, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere of 1 m radius with noise along the radius, and the outward normals."""
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=(count, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    return normal * (1 + rng.normal(size=(count, 1)) * noise), normal


def box(count: int = 6000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of a box of 4 x 3 x 2 m, outward normals, and each point's distance from the nearest edge."""
    rng = np.random.default_rng(seed)
    half = np.array([2.0, 1.5, 1.0])
    point = rng.uniform(-1, 1, (count, 3)) * half
    axis, side = rng.integers(0, 3, count), rng.choice([-1.0, 1.0], count)
    rows = np.arange(count)
    point[rows, axis] = side * half[axis]
    normal = np.zeros((count, 3))
    normal[rows, axis] = side
    return point, normal, np.sort(half - np.abs(point), axis=1)[:, 1]


def rotation(seed: int) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return turn * np.sign(np.linalg.det(turn))


def degrees(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arccos(np.clip(np.einsum("ni,ni->n", a, b), -1, 1)))


def assert_unit(normal: np.ndarray) -> None:
    assert normal.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(normal.astype(np.float64), axis=1), 1, atol=1e-6)


# ---- surfaces -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [(0, 0, 0), (500_000, 5_400_000, 300)], ids=["near", "utm"])
def test_a_plane_is_exact(offset: tuple[float, ...]) -> None:
    rng = np.random.default_rng(0)
    across = rotation(1)
    point = np.column_stack([rng.uniform(-5, 5, (2000, 2)), np.zeros(2000)]) @ across.T + offset
    eye = across[:, 2] * 3 + offset
    assert degrees(estimate_normals(point, viewpoints=eye[None]), np.tile(across[:, 2], (2000, 1))).max() < 0.05
    away = offset - across[:, 2] * 3
    assert degrees(estimate_normals(point, viewpoints=away[None]), np.tile(-across[:, 2], (2000, 1))).max() < 0.05


def test_a_noisy_sphere_points_outwards_without_viewpoints_and_inwards_to_its_centre() -> None:
    point, normal = sphere(noise=0.002)
    found = estimate_normals(point)
    assert_unit(found)
    assert np.median(degrees(found, normal)) < 3 and degrees(found, normal).max() < 30
    inwards = estimate_normals(point, viewpoints=np.zeros((1, 3)))
    np.testing.assert_allclose(inwards, -found, atol=1e-6)


def test_more_neighbours_average_more_noise() -> None:
    point, normal = sphere(noise=0.01)
    few, many = (np.median(degrees(estimate_normals(point, neighbours=k), normal)) for k in (8, 48))
    assert many < few / 2


def test_a_box_points_outwards_on_all_sides() -> None:
    point, normal, from_edge = box()
    found = estimate_normals(point)
    assert degrees(found, normal)[from_edge > 0.4].max() < 0.1
    assert np.median(degrees(found, normal)[from_edge < 0.02]) < 60, "rounded at the edges"


def test_a_floor_points_upwards_although_nothing_is_outside_of_it() -> None:
    rng = np.random.default_rng(3)
    floor = np.column_stack([rng.uniform(-3, 3, (3000, 2)), rng.normal(size=3000) * 0.001])
    assert (estimate_normals(floor)[:, 2] > 0.9).all()


def test_two_viewpoints_share_a_wall_by_distance() -> None:
    rng = np.random.default_rng(4)
    wall = np.column_stack([rng.uniform(-4, 4, 2000), np.zeros(2000), rng.uniform(0, 2, 2000)])
    wall = wall[np.abs(wall[:, 0]) > 0.1]
    found = estimate_normals(wall, viewpoints=np.array([(-2.0, -1.0, 1.0), (2.0, 1.0, 1.0)]))
    np.testing.assert_array_equal(np.sign(found[:, 1]), np.sign(wall[:, 0]))
    own = np.where(wall[:, :1] < 0, (0.0, 5.0, 1.0), (0.0, -5.0, 1.0))
    np.testing.assert_array_equal(np.sign(estimate_normals(wall, viewpoints=own)[:, 1]), -np.sign(wall[:, 0]))


@given(st.integers(0, 50))
def test_normals_turn_with_the_cloud(seed: int) -> None:
    rng = np.random.default_rng(seed)
    point, turn, shift = rng.normal(size=(300, 3)) * (1, 1, 0.2), rotation(seed + 1), rng.normal(size=3) * 10
    eyes = rng.normal(size=(4, 3)) * 5
    still = estimate_normals(point, viewpoints=eyes)
    turned = estimate_normals(point @ turn.T + shift, viewpoints=eyes @ turn.T + shift)
    cosine = np.einsum("ni,ni->n", still @ turn.T.astype(np.float32), turned)
    # A normal that is square to the line of sight may take either sign by rounding.
    sight = eyes[np.linalg.norm(point[:, None] - eyes, axis=2).argmin(axis=1)] - point
    decided = np.abs(np.einsum("ni,ni->n", still, sight)) > 1e-6
    np.testing.assert_allclose(cosine[decided], 1, atol=1e-4)
    np.testing.assert_allclose(np.abs(cosine), 1, atol=1e-4)


def test_repeated_points_change_nothing() -> None:
    point, _ = sphere(800, noise=0.01)
    once = estimate_normals(point)
    again = np.concatenate([np.repeat(point[:100], 30, axis=0), point[100:]])
    found = estimate_normals(again)
    np.testing.assert_array_equal(found[0:3000:30], once[:100])
    np.testing.assert_array_equal(found[3000:], once[100:])


def test_the_order_of_the_points_does_not_matter() -> None:
    point, _ = sphere(500, noise=0.01)
    order = np.random.default_rng(0).permutation(500)
    np.testing.assert_array_equal(estimate_normals(point[order]), estimate_normals(point)[order])


# ---- what has no plane ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("eyes", [None, np.array([(0.0, 0.0, 5.0)])], ids=["no viewpoint", "viewpoint"])
def test_equal_points_point_to_the_viewpoint_or_up(count: int, eyes: np.ndarray | None) -> None:
    found = estimate_normals(np.tile([1.0, 2.0, 0.0], (count, 1)), viewpoints=eyes)
    assert_unit(found)
    toward = np.array([0.0, 0.0, 1.0]) if eyes is None else (eyes[0] - (1, 2, 0)) / np.linalg.norm(eyes[0] - (1, 2, 0))
    np.testing.assert_allclose(found, np.tile(toward, (count, 1)), atol=1e-6)


@pytest.mark.parametrize("count", [2, 3, 100])
@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (1.0, 2.0, -1.0)])
@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e6])
def test_a_line_gets_a_direction_square_to_it(count: int, direction: tuple[float, ...], scale: float) -> None:
    unit = np.array(direction) / np.linalg.norm(direction)
    line = np.linspace(-scale, scale, count)[:, None] * unit
    eye = np.array([[0.3, 7.0, 2.0]]) * scale
    for viewpoints in (None, eye):
        found = estimate_normals(line, viewpoints=viewpoints)
        assert_unit(found)
        np.testing.assert_allclose(found @ unit, 0, atol=1e-4)
    assert (np.einsum("ni,ni->n", found, eye - line) > 0).all()


def test_a_viewpoint_on_the_point_or_along_the_line_is_no_trouble() -> None:
    line = np.linspace(0, 1, 10)[:, None] * np.array([1.0, 0.0, 0.0])
    for eye in ((0.0, 0.0, 0.0), (5.0, 0.0, 0.0)):
        found = estimate_normals(line, viewpoints=np.array([eye]))
        assert_unit(found)
        np.testing.assert_allclose(found[:, 0], 0, atol=1e-6)
    assert_unit(estimate_normals(np.zeros((1, 3)), viewpoints=np.zeros((1, 3))))


@given(st.integers(1, 40), st.integers(0, 1000))
def test_whatever_the_points_normals_are_unit_vectors(count: int, seed: int) -> None:
    """Lattices, with their many equal distances, equal points and lines."""
    rng = np.random.default_rng(seed)
    assert_unit(estimate_normals(rng.integers(0, 3, (count, 3)).astype(np.float32)))


@pytest.mark.parametrize(
    ("coord", "how", "named"),
    [
        (np.zeros((0, 3)), {}, "points: shape"),
        (np.zeros((4, 2)), {}, "points: shape"),
        (np.full((4, 3), np.nan), {}, "points: some are not finite"),
        (np.zeros((4, 3)), {"neighbours": 2}, "neighbours: it is 2"),
        (np.zeros((4, 3)), {"viewpoints": np.zeros((0, 3))}, "viewpoints: shape"),
        (np.zeros((4, 3)), {"viewpoints": np.full((1, 3), np.inf)}, "viewpoints: some are not finite"),
    ],
)
def test_what_cannot_be_used_is_refused(coord: np.ndarray, how: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        estimate_normals(coord, **how)  # type: ignore[arg-type]


def test_normals_of_a_mesh_are_weighted_by_area() -> None:
    coord = np.array([(0, 0, 0), (2, 0, 0), (0, 2, 0), (0, 0, 1), (5, 5, 5)], dtype=np.float32)
    found = mesh_normals(coord, np.array([(0, 1, 2), (0, 2, 3)]))
    # Areas 2 (towards +z) and 1 (towards +x).
    np.testing.assert_allclose(found[0], np.array([1, 0, 2]) / np.sqrt(5), atol=1e-6)
    np.testing.assert_allclose(found[[1, 3]], [(0, 0, 1), (1, 0, 0)], atol=1e-6)
    assert found.dtype == np.float32 and not found[4].any()
    assert not mesh_normals(coord, np.empty((0, 3), np.int64)).any()


def test_normals_of_a_ball() -> None:
    from scipy.spatial import ConvexHull

    points, normal = sphere(2000)
    faces = ConvexHull(points).simplices
    inward = np.linalg.det(points[faces]) < 0
    faces[inward] = faces[inward][:, [0, 2, 1]]
    assert (mesh_normals(points, faces) * normal).sum(axis=1).min() > 0.99

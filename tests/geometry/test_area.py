"""Areas of surfaces by voxels, against surfaces whose area is known."""

from __future__ import annotations

import numpy as np
import pytest

from ditr.geometry.area import section_area, surface_scatter, voxel_areas
from ditr.inference.maps import usual_voxel
from ditr.pictures.render import point_spacing

DIRECTIONS = {"along an axis": (0, 0, 1), "a little askew": (0, 0.2, 1), "askew": (0, 1, 1), "a corner": (1, 1, 1)}


def square(normal: tuple[float, ...], side: float, density: float, noise: float, seed: int = 0) -> np.ndarray:
    """Random points of a square, so many per square metre."""
    rng = np.random.default_rng(seed)
    direction = np.array(normal) / np.linalg.norm(normal)
    first = np.cross(direction, (0.3, 0.5, 0.81))
    first /= np.linalg.norm(first)
    place = rng.uniform(-side / 2, side / 2, (int(density * side**2), 2))
    flat = place[:, :1] * first + place[:, 1:] * np.cross(direction, first)
    return flat + noise * rng.normal(size=(len(flat), 1)) * direction + rng.uniform(-1, 1, 3)


@pytest.mark.parametrize("normal", DIRECTIONS.values(), ids=DIRECTIONS)
@pytest.mark.parametrize(("density", "noise"), [(4, 0.0), (8, 0.1), (30, 0.02)])
def test_a_square_has_its_area_in_any_direction(normal: tuple[float, ...], density: float, noise: float) -> None:
    """Voxels of 1 m; the rim of 160 m adds at most half a voxel along it."""
    side = 40.0
    area = voxel_areas(square(normal, side, density, noise), 1.0).area.sum()
    assert -0.03 < area / side**2 - 1 < 0.03 + 0.5 * 4 / side


def test_counting_voxels_would_not_do() -> None:
    """Why planes are laid through them: a surface askew meets more, and noise doubles them."""
    askew, noisy = square((1, 1, 1), 40.0, 30, 0.02), square((0, 0, 1), 40.0, 30, 0.1, seed=1)
    for points in (askew, noisy):
        found = voxel_areas(points, 1.0)
        assert len(found.voxels) > 1.3 * 1600 and found.area.sum() < 1.1 * 1600


def test_a_ball_has_its_area_wherever_it_lies() -> None:
    rng = np.random.default_rng(1)
    place = rng.normal(size=(60_000, 3))
    place /= np.linalg.norm(place, axis=1, keepdims=True)
    for offset in ((0.0, 0.0, 0.0), (500_000.0, 5_400_000.0, 300.0)):
        found = voxel_areas(place * 2 + np.array(offset), 0.1)
        assert found.area.sum() == pytest.approx(16 * np.pi, rel=0.03)
        assert found.area.shape == (len(found.voxels),)


def test_few_points_have_some_area() -> None:
    for points in (np.zeros((1, 3)), np.zeros((50, 3)), np.arange(9.0).reshape(3, 3)):
        found = voxel_areas(points, 0.5)
        np.testing.assert_allclose(found.area, 2 / 3 * 0.25)
    line = np.linspace(0, 10, 400)[:, None] * np.ones(3)
    assert np.isfinite(voxel_areas(line, 0.3).area).all()


def test_a_section_is_what_sampling_finds() -> None:
    """Of planes through a cube, by the share of points close to the plane."""
    rng = np.random.default_rng(2)
    inside = rng.uniform(-0.5, 0.5, (400_000, 3))
    normal = rng.normal(size=(40, 3))
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal[:3] = np.eye(3)
    away = rng.uniform(-0.7, 0.7, 40)
    near = np.abs(inside @ normal.T - away) < 0.01
    np.testing.assert_allclose(section_area(normal, away), near.mean(axis=0) / 0.02, atol=0.06)
    assert section_area(np.array([[0.6, 0.8, 0.0]]), np.array([0.9])).tolist() == [0.0]


@pytest.mark.parametrize("noise", [0.0, 0.004, 0.015])
def test_noise_of_dense_points_is_no_area(noise: float) -> None:
    """A wall of 3 x 3 m with a point every 8 mm, as a depth camera sees it."""
    rng = np.random.default_rng(1)
    coord = np.column_stack([rng.uniform(0, 3, (140_000, 2)), noise * rng.normal(size=140_000)])
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    coord = coord @ turn + (3e5, 5e6, 100)
    spacing = point_spacing(coord)
    edge = usual_voxel(coord, spacing)
    base = 2.5 * float(np.median(spacing))
    assert base <= edge <= 2.5 * base and (edge > 1.9 * base) == (noise > 0.01)
    assert surface_scatter(coord, 2.5 * base) == pytest.approx(noise, abs=3e-4 + 0.3 * noise)
    assert voxel_areas(coord, edge).area.sum() == pytest.approx(9, rel=0.1)
    if noise > 0.01:
        assert voxel_areas(coord, base).area.sum() > 1.25 * 9


def test_few_points_have_no_scatter() -> None:
    for coord in (np.zeros((1, 3)), np.zeros((20, 3)), np.arange(30)[:, None] * np.ones(3)):
        assert surface_scatter(coord, 0.5) == pytest.approx(0, abs=1e-6)

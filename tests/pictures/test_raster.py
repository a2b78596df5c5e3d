"""The splat renderer on scenes whose picture is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ditr.errors import InputError
from ditr.pictures.raster import rasterise
from ditr.pictures.render import DrawnCloud, darkened, point_spacing, scaled_camera
from ditr.scene import Camera, CameraModel, Scene, View

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)


def view(camera: Camera = CAMERA) -> View:
    return View("front", camera, np.eye(4), np.zeros((camera.height, camera.width, 3), np.uint8))


def cloud(points: list[list[float]], spacing: float = 0.01) -> DrawnCloud:
    return DrawnCloud(np.array(points, dtype=float), np.full(len(points), spacing))


def test_a_red_point_hides_the_blue_one_behind_it_and_lies_where_the_camera_puts_it() -> None:
    scene = cloud([[0.4, 0.2, 4.0], [0.2, 0.1, 2.0]])
    raster = scene.from_view(view(), width=64)
    picture = raster.paint(np.array([BLUE, RED], dtype=np.uint8), WHITE, shading=0)
    row, column = int(50 * 0.05 + 24), int(50 * 0.1 + 32)
    assert set(np.unique(raster.index)) == {-1, 1}
    ys, xs = np.nonzero((picture != 255).any(axis=2))
    assert abs(ys.mean() - row) <= 1 and abs(xs.mean() - column) <= 1
    assert picture[row, column, 0] == 255 and picture[row, column, 2] < 255


def test_the_order_of_the_points_does_not_change_the_picture() -> None:
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-1, 1, (500, 2)), rng.uniform(2, 3, 500)])
    color = rng.integers(0, 256, (500, 3), dtype=np.uint8)
    turn = rng.permutation(500)
    first = DrawnCloud(points, np.full(500, 0.1)).from_view(view(), width=64).paint(color)
    second = DrawnCloud(points[turn], np.full(500, 0.1)).from_view(view(), width=64).paint(color[turn])
    assert np.array_equal(first, second)


def test_discs_close_a_slanted_plane_without_shading_it() -> None:
    u, v = np.meshgrid(np.arange(-3, 3, 0.02), np.arange(-3, 3, 0.02))
    plane = np.column_stack([u.ravel(), v.ravel(), 3 + 0.5 * u.ravel()])
    scene = Scene("plane", plane)
    raster = DrawnCloud.of(scene).from_view(view(Camera(200, 150, 150.0, 150.0, 100.0, 75.0)), width=200)
    inner = raster.coverage[20:-20, 20:-20]
    assert inner.min() == 1.0
    shade = raster.shade[60:-60, 60:-60]
    assert np.median(shade) > 0.9


def test_a_step_in_depth_is_darkened_on_its_far_side() -> None:
    u, v = np.meshgrid(np.arange(-2, 2, 0.02), np.arange(-2, 2, 0.02))
    near = u.ravel() < 0
    points = np.column_stack([u.ravel(), v.ravel(), np.where(near, 2.0, 3.0)])
    raster = DrawnCloud.of(Scene("step", points)).from_view(
        view(Camera(200, 150, 150.0, 150.0, 100.0, 75.0)), width=200
    )
    line = raster.shade[150]
    assert line[202:206].min() < 0.8
    assert line[:150].min() > 0.95 and line[260:380].min() > 0.95


def test_points_outside_the_picture_and_behind_the_camera_are_not_drawn() -> None:
    raster = cloud([[0, 0, -2.0], [100, 0, 1.0], [0, -100, 1.0]]).from_view(view(), width=64)
    assert (raster.index == -1).all()
    assert (raster.paint(np.zeros((3, 3), np.uint8), (9, 8, 7)) == (9, 8, 7)).all()


def test_a_disc_is_cut_at_the_border() -> None:
    raster = rasterise(
        np.array([[0.0, 0.0]]), np.array([1.0]), np.array([3.0]), np.array([0.1]), size=(8, 8), number=np.array([0])
    )
    assert (raster.index[:4, :4] == 0).all() and (raster.index[8:, 8:] == -1).all()


def test_distortion_moves_points_as_the_lens_does() -> None:
    straight = Camera(400, 300, 300.0, 300.0, 200.0, 150.0)
    bent = Camera(400, 300, 300.0, 300.0, 200.0, 150.0, CameraModel.OPENCV, (-0.2, 0.0, 0.0, 0.0))
    point = cloud([[0.5, 0.0, 1.0]])
    column = [
        np.nonzero(point.from_view(view(camera), width=400).index >= 0)[1].mean() / 2 for camera in (straight, bent)
    ]
    assert column[0] == pytest.approx(200 + 300 * 0.5, abs=1)
    assert column[1] == pytest.approx(200 + 300 * 0.5 * (1 - 0.2 * 0.25), abs=1)


def test_the_picture_of_a_scaled_camera_shows_the_same_directions() -> None:
    small = scaled_camera(Camera(1920, 1200, 2813.6, 2808.3, 969.8, 624.5), 960)
    assert (small.width, small.height) == (960, 600)
    assert small.fx == pytest.approx(1406.8) and small.cy == pytest.approx(312.25)


@given(st.floats(0.005, 2.0), st.integers(10, 40))
@settings(max_examples=20, deadline=None)
def test_spacing_of_a_grid_is_found(step: float, side: int) -> None:
    u, v = np.meshgrid(np.arange(side) * step, np.arange(side) * step)
    found = point_spacing(np.column_stack([u.ravel(), v.ravel(), np.zeros(side * side)]))
    assert found.shape == (side * side,)
    assert step / 2 < np.median(found) < 2 * step


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((20, 3)), np.array([[0, 0, 0], [1e7, 0, 0]])])
def test_spacing_of_degenerate_clouds_is_finite(points: np.ndarray) -> None:
    assert np.isfinite(point_spacing(points)).all()


def test_the_photograph_shows_through() -> None:
    photo = np.full((48, 64, 3), (200, 100, 50), dtype=np.uint8)
    dark = darkened(photo, (24, 32), brightness=0.5, vivid=1.0)
    assert dark.shape == (24, 32, 3) and (dark == (100, 50, 25)).all()
    raster = cloud([[0.0, 0.0, 1.0]], spacing=0.5).from_view(view(), width=64)
    back = np.zeros((48, 64, 3), np.uint8)
    half = raster.paint(np.array([WHITE], dtype=np.uint8), back, opacity=0.5, shading=0)
    assert half.max() == 128 and half.min() == 0


def test_dots_stay_small_where_surfaces_are_not_to_be_closed() -> None:
    one = np.array([[0.0, 0.0, 1.0]]), np.full(1, 0.5)
    big, small = (
        DrawnCloud(*one, closed=closed).from_view(view(), width=640).coverage.sum() for closed in (True, False)
    )
    assert big > 10 * small > 0


def test_wrong_shapes_are_named() -> None:
    raster = cloud([[0.0, 0.0, 1.0]]).from_view(view(), width=64)
    with pytest.raises(InputError, match="colours"):
        raster.paint(np.zeros((0, 3), np.uint8))
    with pytest.raises(InputError, match="background"):
        raster.paint(np.zeros((1, 3), np.uint8), np.zeros((4, 4, 3), np.uint8))


@pytest.mark.parametrize("size", [(6, 900), (30, 900), (900, 6), (1, 5000)])
def test_a_strip_has_no_more_pixels_than_a_picture(size: tuple[int, int]) -> None:
    width, height = size
    points = np.column_stack([np.zeros(50), np.linspace(-1, 1, 50), np.full(50, 2.0)])
    raster = DrawnCloud.of(Scene("strip", points)).from_view(
        view(Camera(width, height, 100.0, 100.0, width / 2, height / 2)), width=960
    )
    assert raster.size[0] * raster.size[1] <= 1.02 * 2.5 * 960**2 and min(raster.size) >= 1

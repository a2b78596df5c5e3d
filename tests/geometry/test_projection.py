from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ditr.captures.capture import read_capture
from ditr.captures.images import read_depth
from ditr.geometry.projection import INDOOR, OUTDOOR, Sight, VisibilityRule, patch_of, project, see, shown_points
from ditr.scene import Camera, CameraModel, View

WIDTH, HEIGHT = 640, 480
PINHOLE = Camera(WIDTH, HEIGHT, 500.0, 510.0, 321.0, 239.0)
RELLIS = Camera(1920, 1200, 2813.6, 2808.3, 969.8, 624.5, CameraModel.OPENCV, (-0.134313, -0.025905, 0.002181, 0.00084))


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def pose(seed: int, center: tuple[float, float, float] = (1.0, 2.0, 3.0)) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(seed)
    matrix[:3, 3] = -matrix[:3, :3] @ center
    return matrix


def view(camera: Camera = PINHOLE, world_to_camera: np.ndarray | None = None) -> View:
    return View("v", camera, np.eye(4) if world_to_camera is None else world_to_camera, Path("none"))


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    """Lenses of every model, from wild to mild; the tangential part stays small, as in real ones."""
    model = draw(st.sampled_from(list(CameraModel)))
    radial = st.floats(-0.5, 0.5)
    lens = {
        CameraModel.PINHOLE: st.just(()),
        CameraModel.OPENCV: st.tuples(radial, radial, *[st.floats(-0.005, 0.005)] * 2)
        | st.tuples(radial, radial, *[st.floats(-0.005, 0.005)] * 2, radial),
        CameraModel.FULL_OPENCV: st.tuples(radial, radial, *[st.floats(-0.005, 0.005)] * 2, *[radial] * 4),
        CameraModel.OPENCV_FISHEYE: st.tuples(*[st.floats(-0.1, 0.1)] * 4),
    }[model]
    focal = st.floats(200, 2000)
    return Camera(
        WIDTH, HEIGHT, draw(focal), draw(focal), draw(st.floats(200, 440)), draw(st.floats(150, 330)), model, draw(lens)
    )


# ---------------------------------------------------------------------------------------------------------------------
# Pixels


def test_a_point_that_can_be_worked_out_by_hand() -> None:
    found = project(np.array([[0.5, -0.25, 2.0]]), PINHOLE, np.eye(4))
    np.testing.assert_allclose(found.pixel, [[500 * 0.25 + 321, -510 * 0.125 + 239]])
    assert found.depth.tolist() == [2.0]
    assert found.visible.tolist() == [True]


def test_visible_is_half_open_at_the_image_border_and_needs_positive_depth() -> None:
    camera = Camera(4, 2, 1.0, 1.0, 0.0, 0.0)
    coord = np.array([[0, 0, 1], [4, 0, 1], [0, 2, 1], [3.999, 1.999, 1], [-1e-9, 0, 1], [0, 0, 0], [-1, -1, -1]])
    found = project(coord, camera, np.eye(4))
    assert found.visible.tolist() == [True, False, False, True, False, False, False]
    assert np.isnan(found.pixel[5:]).all()
    assert np.isfinite(found.pixel[:5]).all()


@pytest.mark.parametrize(("k3", "below"), [(None, ()), (0.3, ()), (0.3, (0.4, -0.1, 0.2))])
def test_the_opencv_formula(k3: float | None, below: tuple[float, ...]) -> None:
    x, y = 0.3, -0.2
    k1, k2, p1, p2 = lens = (0.1, -0.05, 0.01, -0.02)
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + (k3 or 0) * r2**3
    radial /= 1 + sum(k * r2 ** (power + 1) for power, k in enumerate(below))
    lens += () if k3 is None else (k3, *below)
    model = CameraModel.FULL_OPENCV if below else CameraModel.OPENCV
    expected = (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )
    camera = Camera(WIDTH, HEIGHT, 1.0, 1.0, 0.0, 0.0, model, lens)
    np.testing.assert_allclose(project(np.array([[3 * x, 3 * y, 3.0]]), camera, np.eye(4)).pixel[0], expected)


def test_the_fisheye_formula() -> None:
    k = (0.1, -0.05, 0.01, -0.02)
    camera = Camera(WIDTH, HEIGHT, 1.0, 1.0, 0.0, 0.0, CameraModel.OPENCV_FISHEYE, k)
    angle = 0.8
    expected = angle * (1 + sum(c * angle ** (2 * i + 2) for i, c in enumerate(k)))
    coord = np.array([[np.sin(angle), 0, np.cos(angle)], [0, 0, 2.0]])
    np.testing.assert_allclose(project(coord, camera, np.eye(4)).pixel, [[expected, 0], [0, 0]])


def test_utm_coordinates_keep_their_precision() -> None:
    near = np.random.default_rng(0).uniform(-5, 5, (1000, 3))
    far = np.array([5e6, 5e6, 100.0])
    stand = -8 * rotation(1)[2]  # 8 m behind the cloud's middle, along the optical axis
    here, there = (project(near + shift, PINHOLE, pose(1, tuple(stand + shift))) for shift in (0 * far, far))
    assert here.visible.sum() > 200
    np.testing.assert_array_equal(there.visible, here.visible)
    # Coordinates of 5e6 m are stored to a nanometre; at these distances that is well below 1e-5 pixels.
    assert np.abs(there.pixel - here.pixel)[here.visible].max() < 1e-5


# ---------------------------------------------------------------------------------------------------------------------
# The fold of a distortion polynomial


def naive_opencv(coord: np.ndarray, camera: Camera, world_to_camera: np.ndarray) -> np.ndarray:
    """Inside the image by the formula alone, without a thought for where it holds."""
    x, y, z = world_to_camera[:3, :3] @ coord.T + world_to_camera[:3, 3:]
    x, y = x / z, y / z
    k1, k2, p1, p2 = camera.distortion
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2
    u = camera.fx * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + camera.cx
    v = camera.fy * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + camera.cy
    return (z > 0) & (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)


def test_points_beyond_the_fold_are_outside() -> None:
    degrees = np.radians(np.arange(0.0, 89.0, 0.5))
    coord = np.stack([np.sin(degrees), np.zeros_like(degrees), np.cos(degrees)], axis=1)
    found = project(coord, RELLIS, np.eye(4))
    naive = naive_opencv(coord, RELLIS, np.eye(4))
    assert (naive & ~found.visible).any()
    assert not (found.visible & ~naive).any()
    assert np.degrees(degrees[found.visible]).max() < 52
    u = found.pixel[np.isfinite(found.pixel[:, 0]), 0]
    assert (np.diff(u) > 0).all()


def test_a_fisheye_polynomial_folds_in_the_angle() -> None:
    # angle * (1 - angle^2 / 3) turns back at 1 radian.
    camera = Camera(WIDTH, HEIGHT, 300.0, 300.0, 320.0, 240.0, CameraModel.OPENCV_FISHEYE, (-1 / 3, 0.0, 0.0, 0.0))
    angle = np.array([0.5, 0.999, 1.001, 1.5])
    coord = np.stack([np.sin(angle), np.zeros(4), np.cos(angle)], axis=1)
    assert project(coord, camera, np.eye(4)).visible.tolist() == [True, True, False, False]


def test_a_quotient_folds_where_it_turns_back_and_where_it_is_divided_by_zero() -> None:
    # r / (1 + r^2) turns back at 1; r / (1 - r^2 / 4) is infinite at 2.
    radius = np.array([0.5, 0.999, 1.001, 1.9, 2.1])
    coord = np.stack([radius, np.zeros(5), np.ones(5)], axis=1)
    for k4, known in ((1.0, 2), (-0.25, 4)):
        lens = (0.0, 0.0, 0.0, 0.0, 0.0, k4, 0.0, 0.0)
        camera = Camera(WIDTH, HEIGHT, 1.0, 1.0, 0.0, 0.0, CameraModel.FULL_OPENCV, lens)
        pixel = project(coord, camera, np.eye(4)).pixel[:, 0]
        np.testing.assert_allclose(pixel[:known], (radius / (1 + k4 * radius**2))[:known])
        assert np.isnan(pixel[known:]).all()


@given(cameras())
def test_the_image_radius_grows_with_the_angle_up_to_the_fold(camera: Camera) -> None:
    if camera.model in (CameraModel.OPENCV, CameraModel.FULL_OPENCV):  # the fold is that of the radial part
        k1, k2, _, _, *others = camera.distortion
        lens = (k1, k2, 0.0, 0.0, *others)
        camera = Camera(WIDTH, HEIGHT, camera.fx, camera.fy, camera.cx, camera.cy, camera.model, lens)
    angle = np.linspace(0, 1.5, 2000)
    coord = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=1)
    u = project(coord, camera, np.eye(4)).pixel[:, 0]
    known = np.isfinite(u)
    assert known[0]
    assert not np.diff(known.astype(int)).max(initial=0) > 0  # known up to some angle, and not again beyond it
    assert (np.diff(u[known]) > 0).all()


def test_the_real_off_road_scan_has_1133_points_beyond_the_fold(captures: Path) -> None:
    scene = read_capture(captures / "rellis3d_000104")
    (photograph,) = scene.views
    naive = naive_opencv(scene.coord, photograph.camera, photograph.world_to_camera)
    found = see(scene.coord, photograph, OUTDOOR)
    assert not (found.visible & ~naive).any()
    assert np.count_nonzero(naive & ~found.visible) == 1133


# ---------------------------------------------------------------------------------------------------------------------
# Visibility


def on_axis(*depths: float) -> np.ndarray:
    return np.array([[0.0, 0.0, depth] for depth in depths])


def test_range_limits_are_strict() -> None:
    rule = VisibilityRule(min_depth=1.0, max_depth=4.0)
    assert see(on_axis(1.0, 1.001, 3.999, 4.0), view(), rule).visible.tolist() == [False, True, True, False]


def test_the_margin_is_included_and_no_value_is_not_visible() -> None:
    rule = VisibilityRule(depth_margin=0.25)
    depth_map = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    assert see(on_axis(1.74, 1.75, 2.25, 2.26), view(), rule, depth_map).visible.tolist() == [False, True, True, False]
    assert not see(on_axis(0.1, 2.0), view(), rule, np.zeros_like(depth_map)).visible.any()
    assert see(on_axis(0.1, 9.0), view(), rule).visible.all()  # a view without depth map is not tested


@pytest.mark.parametrize("size", [(HEIGHT, WIDTH), (HEIGHT // 2, WIDTH // 2), (192, 256), (3, 5), (1000, 999)])
def test_depth_maps_of_any_size_are_read_in_proportion(size: tuple[int, int]) -> None:
    pixel = np.random.default_rng(0).uniform(0, (WIDTH, HEIGHT), (5000, 2))
    row, column = (np.floor(pixel[:, 1 - axis] * size[axis] / (HEIGHT, WIDTH)[axis]).astype(int) for axis in (0, 1))
    depth_map = np.random.default_rng(1).uniform(1, 9, size).astype(np.float32)
    depth_map[0, 0] = 0
    focal, middle = (PINHOLE.fx, PINHOLE.fy), (PINHOLE.cx, PINHOLE.cy)
    rays = np.concatenate([(pixel - middle) / focal, np.ones((len(pixel), 1))], axis=1)
    coord = (rays * np.maximum(depth_map[row, column], 0.5)[:, None] - pose(4)[:3, 3]) @ pose(4)[:3, :3]
    found = see(coord, view(PINHOLE, pose(4)), VisibilityRule(depth_margin=1e-6), depth_map)
    np.testing.assert_array_equal(found.visible, depth_map[row, column] > 0)


def test_a_pixel_at_the_far_border_reads_the_last_column() -> None:
    camera = Camera(3, 3, 1.0, 1.0, np.nextafter(3.0, 0.0), np.nextafter(3.0, 0.0))
    found = see(on_axis(1.0), view(camera), VisibilityRule(depth_margin=0.1), np.ones((7, 7), np.float32))
    assert found.visible.tolist() == [True]


def test_no_point_need_be_visible() -> None:
    found = see(on_axis(-1.0, -2.0), view(), INDOOR, np.ones((2, 2), np.float32))
    assert not found.visible.any()


def test_each_reason_is_told() -> None:
    depth_map = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    depth_map[:, 600:] = 0
    aside = [[5.0, 0, 2], [0.9, 0, 1.5], [1.8, 0, 3.0]]  # beyond the right border; in its part without depth values
    coord = np.concatenate([on_axis(2.1, 2.5, 1.5, 4.0, 1.0, 0.0, -2.0), aside])
    found = see(coord, view(), VisibilityRule(1.0, 4.0, 0.25), depth_map)
    assert [Sight(code).name for code in found.sight] == [
        *("VISIBLE", "HIDDEN", "IN_FRONT", "TOO_FAR", "TOO_NEAR", "BEHIND", "BEHIND"),
        *("OUTSIDE", "NO_DEPTH", "NO_DEPTH"),
    ]
    assert len({sight.meaning for sight in Sight}) == len(Sight)
    # Whether it was a depth map or a z-buffer is said elsewhere, since only one of them was asked.
    assert "z-buffer" not in Sight.HIDDEN.meaning and "depth map" not in Sight.HIDDEN.meaning


@pytest.mark.parametrize("count", [0, 1, 3000, 70_000])
@given(
    st.integers(0, 99), cameras(), st.sampled_from([INDOOR, OUTDOOR, VisibilityRule(None, 2.0), VisibilityRule(0.5)])
)
@settings(max_examples=20)
def test_shown_points_are_the_visible_ones(count: int, seed: int, camera: Camera, rule: VisibilityRule) -> None:
    rng = np.random.default_rng(seed)
    coord = rng.normal((0, 0, 1), 2.0, (count, 3))
    coord[rng.random(count) < 0.1] = np.nan
    depth_map = rng.choice([0.0, 1.5, 2.0, 3.0], (48, 64)).astype(np.float32)
    for maps in ((None, None), (depth_map, None), (depth_map, rng.random((30, 40)) < 0.5)):
        found = see(coord, view(camera, pose(seed, (0.1, 0.2, 0.3))), rule, *maps)
        rows, pixel = shown_points(coord, view(camera, pose(seed, (0.1, 0.2, 0.3))), rule, *maps)
        assert rows.tolist() == np.flatnonzero(found.visible).tolist()
        np.testing.assert_array_equal(pixel, found.pixel[rows])


def test_beyond_the_fold_of_a_lens_is_outside_its_image() -> None:
    degrees = np.radians([0.0, 89.0, 91.0])
    coord = np.stack([np.sin(degrees), 0 * degrees, np.cos(degrees)], axis=1)
    assert project(coord, RELLIS, np.eye(4)).sight.tolist() == [Sight.VISIBLE, Sight.OUTSIDE, Sight.BEHIND]


@given(
    st.integers(0, 99), cameras(), st.sampled_from([INDOOR, OUTDOOR, VisibilityRule(None, 2.0), VisibilityRule(0.5)])
)
def test_visible_is_what_passes_every_test(seed: int, camera: Camera, rule: VisibilityRule) -> None:
    rng = np.random.default_rng(seed)
    coord = rng.normal((0, 0, 1), 2.0, (500, 3))
    depth_map = rng.choice([0.0, 1.5, 2.0, 3.0], (48, 64)).astype(np.float32)
    found = see(coord, view(camera), rule, depth_map)
    expected = (found.pixel >= 0).all(axis=1) & (found.pixel < (camera.width, camera.height)).all(axis=1)
    if rule.min_depth is not None:
        expected &= found.depth > rule.min_depth
    if rule.max_depth is not None:
        expected &= found.depth < rule.max_depth
    if rule.depth_margin is not None:
        column, row = (np.where(expected, found.pixel[:, axis], 0) // 10 for axis in (0, 1))
        held = depth_map[row.astype(int), column.astype(int)]
        expected &= (held > 0) & (np.abs(found.depth - held) <= rule.depth_margin)
    np.testing.assert_array_equal(found.visible, expected)
    np.testing.assert_array_equal(found.sight == Sight.BEHIND, coord[:, 2] <= 0)


def test_depth_maps_and_points_of_a_real_capture_agree(captures: Path) -> None:
    scene = read_capture(captures / "sevenscenes_redkitchen")
    for photograph in scene.views[::8]:
        depth_map = read_depth(photograph)
        assert depth_map is not None
        free = see(scene.coord, photograph)
        tested = see(scene.coord, photograph, VisibilityRule(depth_margin=0.2), depth_map)
        column, row = free.pixel[free.visible].astype(int).T
        difference = free.depth[free.visible] - depth_map[row, column]
        assert np.median(np.abs(difference[depth_map[row, column] > 0])) < 0.03
        assert 0.5 < tested.visible.sum() / free.visible.sum() < 1


def test_memory_stays_close_to_the_size_of_the_result() -> None:
    coord = np.random.default_rng(0).normal(size=(1_000_000, 3))
    tracemalloc.start()
    try:
        project(coord, RELLIS, pose(0))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 25e6 + 15e6  # the result is 25 bytes per point


# ---------------------------------------------------------------------------------------------------------------------
# Patches


def test_patches_by_floor_and_row_major() -> None:
    pixel = np.array([[0, 0], [13.99, 13.99], [14, 0], [0, 14], [41.9, 27.9], [42, 0], [0, 28], [-0.1, 0], [np.nan, 1]])
    found = patch_of(pixel, scale=(1.0, 1.0), patch_size=14, rows=2, columns=3)
    assert found.tolist() == [0, 0, 1, 3, 5, -1, -1, -1, -1]


def test_coordinates_scale_with_the_image_without_a_half_pixel_shift() -> None:
    found = patch_of(np.array([[28.0, 7.0], [27.9, 6.9]]), scale=(0.5, 2.0), patch_size=14, rows=9, columns=9)
    assert found.tolist() == [9 + 1, 0]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 10**6))
def test_every_visible_pixel_has_a_patch_where_patches_fill_the_image(rows: int, columns: int, seed: int) -> None:
    pixel = np.random.default_rng(seed).uniform(0, (WIDTH, HEIGHT), (500, 2))
    scale = (columns * 14 / WIDTH, rows * 14 / HEIGHT)
    found = patch_of(pixel, scale=scale, patch_size=14, rows=rows, columns=columns)
    assert found.min() >= 0
    assert found.max() < rows * columns

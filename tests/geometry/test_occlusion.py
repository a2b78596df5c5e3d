"""What hides what by the points alone, against worlds of which it is known exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ditr.captures.images import read_depth, see_with_maps, shown_with_maps
from ditr.geometry import surfels
from ditr.geometry.occlusion import depth_buffer
from ditr.geometry.projection import Sight, VisibilityRule, project, see
from ditr.geometry.surfels import surfels_of
from ditr.scene import Camera, CameraModel, View

PINHOLE = Camera(640, 480, 500.0, 510.0, 321.0, 239.0)
LENSES = {
    "pinhole": PINHOLE,
    "distorted": replace(PINHOLE, model=CameraModel.OPENCV, distortion=(-0.2, 0.03, 0.002, -0.001)),
    "fisheye": Camera(640, 480, 300.0, 300.0, 320.0, 240.0, CameraModel.OPENCV_FISHEYE, (0.01, -0.002, 0.0, 0.0)),
}
BUFFERED = VisibilityRule(depth_margin=0.2, occlusion="z-buffer")


def sheet(rng: np.random.Generator, depth: float, half: float, spacing: float) -> np.ndarray:
    """A square of 2 ``half`` metres, ``depth`` metres before a camera at the origin: a point in each cell, anywhere."""
    cells = np.stack(np.meshgrid(*2 * [np.arange(-half, half, spacing)]), axis=-1).reshape(-1, 2)
    return np.column_stack([cells + rng.uniform(0, spacing, cells.shape), np.full(len(cells), depth)])


def hidden(cloud: np.ndarray, camera: Camera = PINHOLE, pose: np.ndarray | None = None) -> np.ndarray:
    """(N,) whether the z-buffer hides a point; False outside the image."""
    view = View("v", camera, np.eye(4) if pose is None else pose, Path("none"))
    return np.asarray(see_with_maps(cloud, view, BUFFERED).sight == Sight.HIDDEN)


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("spacing", [0.02, 0.05])
def test_a_board_hides_its_shadow_and_no_more(lens: str, spacing: float) -> None:
    rng = np.random.default_rng(3)
    board, wall = sheet(rng, 2.0, 0.4, spacing), sheet(rng, 4.0, 2.0, spacing)
    found = hidden(np.concatenate([board, wall]), LENSES[lens])
    assert not found[: len(board)].any()
    # Edges are as sharp as points lie apart: beyond them nothing is hidden, and within nearly all, but for gaps between
    # points that lie apart by chance.
    distance = np.abs(wall[:, :2]).max(axis=1) / 2 - 0.4
    assert found[len(board) :][distance < -1.5 * spacing].mean() > 0.97
    assert not found[len(board) :][distance > 1.5 * spacing].any()
    truth = distance < 0
    assert (found[len(board) :] == truth).mean() > 1 - spacing


def test_a_floor_seen_at_a_grazing_angle_hides_none_of_itself() -> None:
    rng = np.random.default_rng(0)
    floor = np.column_stack([rng.uniform(-4, 4, 60_000), np.full(60_000, 1.2), rng.uniform(0.5, 14, 60_000)])
    floor[:, 1] += rng.normal(0, 0.004, len(floor))
    found = hidden(floor)
    # At its far end the line of sight and the floor are 5 degrees apart.
    assert project(floor, PINHOLE, np.eye(4)).visible.sum() > 30_000
    assert found.mean() < 0.002


def test_rings_of_a_lidar_hide_little_of_the_road() -> None:
    """Points 3 cm apart along rings that are metres apart: neighbours tell neither the spacing nor the slope."""
    turn = np.arange(-0.6, 0.6, 0.002)
    rings = []
    for angle in np.radians(np.arange(2.5, 25, 0.6)):
        reach = 1.8 / np.tan(angle)
        rings.append(np.column_stack([reach * np.sin(turn), np.full(len(turn), 1.8), reach * np.cos(turn)]))
    road = np.concatenate(rings)
    # From a camera a metre beside the sensor and a little lower.
    pose = np.eye(4)
    pose[:3, 3] = (-1.0, 0.3, 0.4)
    assert hidden(road, PINHOLE, pose).mean() < 0.02


def test_noise_and_points_that_float_hide_little() -> None:
    rng = np.random.default_rng(1)
    wall = sheet(rng, 3.0, 1.2, 0.01)
    noisy = wall + rng.normal(0, 0.02, wall.shape)
    assert hidden(noisy).mean() < 0.001
    before = noisy[:: len(noisy) // 30] - (0, 0, 0.5)
    assert hidden(np.concatenate([before, noisy]))[len(before) :].mean() < 0.02
    one = hidden(np.concatenate([[[0.0, 0.0, 0.3]], noisy]))[1:]
    assert one.mean() < 0.02


def test_a_thin_pole_hides_no_more_than_a_stripe() -> None:
    rng = np.random.default_rng(2)
    pole = np.column_stack([rng.uniform(-0.02, 0.02, 400), rng.uniform(-0.8, 0.8, 400), np.full(400, 1.5)])
    wall = sheet(rng, 3.0, 1.5, 0.02)
    found = hidden(np.concatenate([pole, wall]))[len(pole) :]
    across = np.abs(wall[:, 0]) / 2
    assert found[across < 0.01].mean() > 0.8, "in its shadow"
    assert not found[across > 0.05].any(), "beside it"


def test_where_the_cloud_lies_and_how_it_is_ordered_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    cloud = np.concatenate([sheet(rng, 2.0, 0.5, 0.02), sheet(rng, 4.0, 2.0, 0.03)])
    # A grid of the float's own steps at that distance, so that shifting loses nothing.
    cloud = np.round(cloud * 1024) / 1024
    cloud = np.unique(cloud, axis=0)
    found = hidden(cloud)
    assert 0.02 < found.mean() < 0.3
    order = rng.permutation(len(cloud))
    np.testing.assert_array_equal(hidden(cloud[order]), found[order])
    shift = np.array([512_000.0, 5_400_000.0, 256.0])
    pose = np.eye(4)
    pose[:3, 3] = -shift
    np.testing.assert_array_equal(hidden(cloud + shift, PINHOLE, pose), found)
    twice = np.concatenate([cloud, cloud])
    np.testing.assert_array_equal(hidden(twice), np.concatenate([found, found]))


def test_a_large_image_and_a_large_cloud_need_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    board, wall = sheet(rng, 2.0, 0.4, 0.02), sheet(rng, 4.0, 2.0, 0.02)
    cloud = np.concatenate([board, wall])
    cloud.flags.writeable = False
    large = Camera(6400, 4800, 5000.0, 5100.0, 3210.0, 2390.0)
    buffer = depth_buffer(surfels_of(cloud), large, np.eye(4))
    assert buffer.depth.shape == (360, 480)
    full = hidden(cloud)
    assert (hidden(cloud, large) == full).mean() > 0.99
    monkeypatch.setattr(surfels, "MOST", 10_000)
    again = cloud.copy()
    assert len(surfels_of(again)) == 10_000
    assert (hidden(again) == full).mean() > 0.95


@pytest.mark.parametrize(
    "cloud",
    [
        [[0.0, 0.0, 2.0]],
        [[0.0, 0.0, 2.0]] * 50,
        [[0.0, 0.0, -2.0], [1.0, 0.0, -1.0]],
        [[0.01 * i, 0.0, 2.0] for i in range(40)],
        [[0.0, 0.0, 1e-9 * i] for i in range(40)],
        [[0.0, 0.0, 10.0 ** (i / 4)] for i in range(40)],
    ],
    ids=["one", "one place", "behind", "line", "at the camera", "along the ray"],
)
def test_clouds_with_little_to_draw(cloud: list[list[float]]) -> None:
    points = np.array(cloud)
    with np.errstate(all="raise", under="ignore"):
        found = hidden(points)
    assert found.shape == (len(points),) and not found[0]


def test_what_lies_beyond_the_image_hides_within_it_and_the_border_is_no_edge() -> None:
    rng = np.random.default_rng(7)
    # The board's middle is beyond the image's left border; its discs reach across.
    board = sheet(rng, 2.0, 0.8, 0.05) - (1.5, 0.0, 0.0)
    wall = sheet(rng, 4.0, 2.4, 0.02)
    found = hidden(np.concatenate([board, wall]))[len(board) :]
    u = project(wall, PINHOLE, np.eye(4)).pixel[:, 0]
    border = (u >= 0) & (u < 25) & (np.abs(wall[:, 1]) < 1.2)
    assert border.sum() > 100 and found[border].mean() > 0.97


def test_discs_of_a_cloud_are_kept_while_it_cannot_change() -> None:
    cloud = np.random.default_rng(0).random((500, 3))
    frozen = cloud.copy()
    frozen.flags.writeable = False
    assert surfels_of(frozen) is surfels_of(frozen) is surfels_of(frozen.view())
    assert surfels_of(cloud) is not surfels_of(cloud)
    tighter = frozen / 2
    tighter.flags.writeable = False
    np.testing.assert_allclose(surfels_of(tighter).spacing, surfels_of(frozen).spacing / 2)


def test_spacing_and_normals_of_a_plane() -> None:
    rng = np.random.default_rng(8)
    found = surfels_of(sheet(rng, 2.0, 1.0, 0.02))
    assert np.median(found.spacing) == pytest.approx(0.02, rel=0.1)
    inner = (np.abs(found.place[:, :2]) < 0.9).all(axis=1)
    np.testing.assert_allclose(np.abs(found.normal[inner, 2]), 1.0, atol=1e-9)
    line = np.column_stack([np.linspace(0, 1, 100), np.zeros(100), np.zeros(100)])
    assert not surfels_of(line).normal.any(), "a line has no plane"


def test_a_depth_map_comes_first_and_a_view_without_one_asks_the_cloud() -> None:
    rng = np.random.default_rng(9)
    board, wall = sheet(rng, 2.0, 0.4, 0.02), sheet(rng, 4.0, 1.5, 0.02)
    cloud = np.concatenate([board, wall])
    far = np.full((48, 64), 4.0, np.float32)
    bare, mapped = View("v", PINHOLE, np.eye(4), Path("none")), View("m", PINHOLE, np.eye(4), Path("none"), depth=far)
    by_map = see_with_maps(cloud, mapped, BUFFERED).sight
    assert (by_map[: len(board)] == Sight.IN_FRONT).all() and not (by_map == Sight.HIDDEN).any()
    plain = see_with_maps(cloud, bare, VisibilityRule(depth_margin=0.2)).sight
    assert set(plain) == {Sight.VISIBLE}
    asked = see_with_maps(cloud, bare, BUFFERED).sight
    assert set(asked) == {Sight.VISIBLE, Sight.HIDDEN}
    rows, pixel = shown_with_maps(cloud, bare, BUFFERED)
    np.testing.assert_array_equal(rows, np.flatnonzero(asked == Sight.VISIBLE))
    np.testing.assert_array_equal(pixel, see_with_maps(cloud, bare, BUFFERED).pixel[rows])
    # A rule that compares no depth maps asks the cloud in all views.
    np.testing.assert_array_equal(see_with_maps(cloud, mapped, VisibilityRule(occlusion="z-buffer")).sight, asked)
    # Some points of a cloud, and all that may hide them.
    some = see_with_maps(wall, bare, BUFFERED, cloud)
    np.testing.assert_array_equal(some.sight, asked[len(board) :])
    # Ranges are told first, and a mask last.
    near = replace(BUFFERED, max_depth=3.0)
    assert (see_with_maps(cloud, bare, near).sight[len(board) :] == Sight.TOO_FAR).all()
    buffer = depth_buffer(surfels_of(cloud), PINHOLE, np.eye(4))
    masked = see(cloud, bare, BUFFERED, mask=np.zeros((4, 4), bool), buffer=buffer).sight
    np.testing.assert_array_equal(masked == Sight.HIDDEN, asked == Sight.HIDDEN)


ROOMS = pytest.param(5, marks=pytest.mark.slow)


@pytest.mark.parametrize("rooms", [1, ROOMS])
def test_rooms_are_seen_as_their_depth_maps_say(rooms: int) -> None:
    from ditr.worlds.rooms import RoomsConfig
    from ditr.worlds.rooms.generate import make_room

    agreed = np.zeros((2, 2))
    for index in range(rooms):
        scene = make_room(RoomsConfig(train=0, test=rooms, views=4, seed=5), "test", index)
        for view in scene.views:
            true = see(scene.coord, view, VisibilityRule(depth_margin=0.2), read_depth(view)).sight
            own = see_with_maps(scene.coord, replace(view, depth=None), BUFFERED).sight
            known = (true == Sight.VISIBLE) | (true == Sight.HIDDEN)
            np.add.at(
                agreed, ((true[known] == Sight.VISIBLE).astype(int), (own[known] == Sight.VISIBLE).astype(int)), 1
            )
    precision, recall = agreed[1, 1] / agreed[:, 1].sum(), agreed[1, 1] / agreed[1].sum()
    assert precision > 0.95 and recall > 0.95
    assert agreed[0, 0] / agreed[0].sum() > 0.75, "of those that are hidden"

"""Quarter turns of views: the same points in the same pixels, elsewhere; and which views are turned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ditr.captures.images import read_depth, read_image, read_mask
from ditr.geometry.projection import project
from ditr.geometry.upright_views import quarter_turns, turned, turned_degrees, upright_views
from ditr.scene import Camera, CameraModel, PointPixels, Scene, View

Z = np.array([0.0, 0.0, 1.0])
CAMERAS = {
    "pinhole": Camera(40, 30, 30.0, 33.0, 19.0, 16.5),
    "opencv": Camera(40, 30, 30.0, 33.0, 19.0, 16.5, CameraModel.OPENCV, (0.1, -0.02, 0.03, -0.01)),
    "k3": Camera(40, 30, 30.0, 33.0, 19.0, 16.5, CameraModel.OPENCV, (0.1, -0.02, 0.03, -0.01, 0.005)),
    "full": Camera(
        40, 30, 30.0, 33.0, 19.0, 16.5, CameraModel.FULL_OPENCV, (0.1, -0.02, 0.03, -0.01, 0.005, 0.2, 0.01, -0.02)
    ),
    "fisheye": Camera(40, 30, 15.0, 16.0, 19.0, 16.5, CameraModel.OPENCV_FISHEYE, (0.05, -0.01, 0.002, 0.0)),
}


def view_of(camera: Camera, pose: np.ndarray | None = None) -> View:
    rng = np.random.default_rng(0)
    return View(
        "v",
        camera,
        np.eye(4) if pose is None else pose,
        rng.integers(0, 256, (camera.height, camera.width, 3)).astype(np.uint8),
        depth=rng.uniform(1, 2, (15, 20)).astype(np.float32),
        mask=rng.random((60, 80)) < 0.5,
    )


@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_a_turned_view_shows_the_same_points_in_the_same_pixels(camera: Camera) -> None:
    points = np.random.default_rng(1).uniform((-1, -1, 1), (1, 1, 4), (200, 3))
    view = view_of(camera)
    u, v = project(points, view.camera, view.world_to_camera).pixel.T
    width, height = camera.width, camera.height
    expected = {0: (u, v), 1: (v, width - u), 2: (width - u, height - v), 3: (height - v, u)}
    for turns, pixel in expected.items():
        after = turned(view, turns)
        found = project(points, after.camera, after.world_to_camera).pixel
        np.testing.assert_allclose(found, np.stack(pixel, axis=1), atol=1e-9)
        np.testing.assert_array_equal(read_image(after), np.rot90(read_image(view), turns))
        inside = np.isfinite(u) & (u >= 0) & (u < width) & (v >= 0) & (v < height)
        columns, rows = (np.floor(found[inside]).astype(int)).T
        stored = read_image(view)[np.floor(v[inside]).astype(int), np.floor(u[inside]).astype(int)]
        np.testing.assert_array_equal(read_image(after)[rows, columns], stored)
        for read in (read_depth, read_mask):
            before, now = read(view), read(after)
            assert before is not None and now is not None
            np.testing.assert_array_equal(now, np.rot90(before, turns))


def test_turns_add_up() -> None:
    view = view_of(CAMERAS["k3"])
    back = turned(turned(view, 3), 1)
    assert back.camera == view.camera and back.quarter_turns == 0
    np.testing.assert_array_equal(back.world_to_camera, view.world_to_camera)
    assert turned(view, 0) is view and turned(turned(view, 3), 3).quarter_turns == 2


def test_an_image_file_is_cut_before_it_is_turned(tmp_path: Path) -> None:
    stored = np.random.default_rng(2).integers(0, 256, (34, 40, 3)).astype(np.uint8)
    Image.fromarray(stored).save(tmp_path / "a.png")
    view = replace(view_of(CAMERAS["pinhole"]), image=tmp_path / "a.png", cut_top=4)
    np.testing.assert_array_equal(read_image(turned(view, 1)), np.rot90(stored[4:], 1))


def views_at(pitch: float) -> Iterator[tuple[float, View]]:
    """Views to +y, ``pitch`` degrees down, turned about their axes so that up is at 0, 10, ... degrees clockwise."""
    cos, sin = np.cos(np.deg2rad(pitch)), np.sin(np.deg2rad(pitch))
    level = np.array([[1.0, 0, 0], [0, -sin, -cos], [0, cos, -sin]])
    for angle in range(0, 360, 10):
        c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        pose = np.eye(4)
        pose[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ level
        yield angle, view_of(CAMERAS["pinhole"], pose)


def test_views_are_turned_only_where_they_lie_on_a_side() -> None:
    for angle, view in views_at(20):
        turns = quarter_turns(view, 3 * Z)
        assert turns == (0 if min(angle, 360 - angle) <= 60 else 1 if angle < 135 else 2 if angle < 230 else 3), angle
        if turns:
            assert quarter_turns(turned(view, turns), Z) == 0
    assert {quarter_turns(view, Z) for _, view in views_at(80)} == {0}, "straight down, no side is the upper one"


def test_data_of_a_benchmark_and_views_without_a_pose_stay() -> None:
    views = tuple(replace(view, name=str(angle)) for angle, view in views_at(0) if angle in (0, 90, 180))
    scene = Scene("s", np.zeros((1, 3)), views, up=Z)
    assert turned_degrees(upright_views(scene, views)) == {"90": 90, "180": 180}
    assert upright_views(scene, views)[0] is views[0]
    assert upright_views(replace(scene, as_published=True), views) == list(views)
    listed = View.unposed("u", (40, 30), views[0].image, PointPixels.none())
    assert upright_views(replace(scene, up=np.array([1.0, 0.0, 0.0])), [listed]) == [listed]

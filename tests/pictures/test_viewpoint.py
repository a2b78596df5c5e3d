"""Free viewpoints: which way is up, what is in the picture, and what is cut away."""

from __future__ import annotations

import numpy as np
import pytest

from ditr.errors import InputError
from ditr.geometry.orientation import estimate_up
from ditr.geometry.projection import project
from ditr.pictures.render import DrawnCloud
from ditr.pictures.viewpoint import look_at, two_sides
from ditr.scene import Camera, Scene, View

CAMERA = Camera(64, 48, 50.0, 50.0, 32.0, 24.0)


def photo_at(eye: list[float], target: list[float], up: list[float]) -> View:
    pose = look_at(np.array(eye, float), np.array(target, float), np.array(up, float))
    return View(f"{eye}", CAMERA, pose, np.zeros((48, 64, 3), np.uint8))


def room(normals: bool, turn: np.ndarray | None = None) -> tuple[Scene, dict[str, slice]]:
    """A box of 5 x 4 x 2.6 m seen from its inside; the parts by name."""
    rng = np.random.default_rng(0)
    parts: dict[str, slice] = {}
    points, normal = [], []
    for name, axis, place, size in (
        ("floor", 2, 0.0, 1.0),
        ("ceiling", 2, 2.6, -1.0),
        ("west", 0, 0.0, 1.0),
        ("east", 0, 5.0, -1.0),
        ("south", 1, 0.0, 1.0),
        ("north", 1, 4.0, -1.0),
    ):
        face = rng.uniform(0, [5, 4, 2.6], (2000, 3))
        face[:, axis] = place
        direction = np.zeros((2000, 3))
        direction[:, axis] = size
        parts[name] = slice(2000 * len(points), 2000 * (len(points) + 1))
        points.append(face)
        normal.append(direction)
    turn = np.eye(3) if turn is None else turn
    coord, towards = np.concatenate(points) @ turn.T, np.concatenate(normal) @ turn.T
    return Scene("room", coord, normal=towards.astype(np.float32) if normals else None), parts


def test_look_at_puts_the_target_in_the_middle_and_up_above() -> None:
    pose = look_at(np.array([3.0, 2.0, 1.0]), np.array([0.0, 0.0, 0.5]), np.array([0.0, 0.0, 1.0]))
    seen = project(np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 0.7]]), CAMERA, pose)
    assert seen.pixel[0] == pytest.approx([32, 24])
    assert seen.pixel[1, 1] < 24 and seen.pixel[1, 0] == pytest.approx(32)
    with pytest.raises(InputError):
        look_at(np.zeros(3), np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.0]))


def test_up_is_found_in_a_frame_that_is_not_z_up() -> None:
    up = np.array([0.01, -0.89, -0.46])
    up /= np.linalg.norm(up)
    side = np.cross(up, [1.0, 0, 0])
    side /= np.linalg.norm(side)
    front = np.cross(side, up)
    views = [
        photo_at(list(0.1 * front), list(np.cos(a) * front + np.sin(a) * side - 0.3 * up), list(up))
        for a in np.linspace(-0.6, 0.8, 7)
    ]
    assert estimate_up(Scene("s", np.zeros((1, 3)), tuple(views))) @ up > np.cos(np.deg2rad(3))


def test_up_is_z_without_views_and_with_cameras_that_are_nearly_level() -> None:
    assert estimate_up(Scene("s", np.zeros((1, 3)))) == pytest.approx([0, 0, 1])
    one = photo_at([0, 0, 1], [5, 0, 0.8], [0, 0, 1])
    assert estimate_up(Scene("s", np.zeros((1, 3)), (one,))) == pytest.approx([0, 0, 1])


@pytest.mark.parametrize("normals", [True, False])
def test_a_room_is_opened_towards_both_eyes(normals: bool) -> None:
    angle = np.deg2rad(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    scene, parts = room(normals, turn)
    for viewpoint in two_sides(scene):
        assert viewpoint.shown is not None
        share = {name: viewpoint.shown[part].mean() for name, part in parts.items()}
        assert share["ceiling"] == 0 and share["floor"] > 0.9
        walls = sorted(share[name] for name in ("west", "east", "south", "north"))
        assert walls[1] < 0.05, "two walls are cut away"
        assert walls[2] > 0.7, "two walls stay"
        eye = np.linalg.inv(viewpoint.world_to_camera)[:3, 3]
        assert eye[2] > 2.6
        raster = DrawnCloud.of(scene).from_viewpoint(viewpoint)
        assert raster.coverage.mean() > 0.25, "the room fills the picture"


def test_normals_that_face_outwards_are_not_used() -> None:
    scene, parts = room(True)
    assert scene.normal is not None
    outward = Scene("room", scene.coord, normal=-scene.normal)
    for viewpoint in two_sides(outward):
        assert viewpoint.shown is not None and not viewpoint.shown[parts["ceiling"]].any()


def test_an_open_scene_is_seen_from_behind_its_first_camera_whatever_flew_off() -> None:
    rng = np.random.default_rng(0)
    ground = np.column_stack([rng.normal(0, 12, (5000, 2)), rng.normal(-1.7, 0.05, 5000)])
    far = rng.uniform(-3000, 3000, (10, 3))
    front = photo_at([0, 0, 0], [10, 0, 0], [0, 0, 1])
    scene = Scene("sweep", np.concatenate([ground, far]), (front,))
    behind, _ = two_sides(scene)
    eye = np.linalg.inv(behind.world_to_camera)[:3, 3]
    assert eye[0] < -10 and abs(eye[1]) < 5 and 5 < eye[2] < 100
    seen = project(ground, behind.camera, behind.world_to_camera)
    assert seen.visible.mean() > 0.85


@pytest.mark.parametrize("enclosed", [True, False])
def test_the_picture_is_filled_by_the_points_that_it_aims_at(enclosed: bool) -> None:
    scene, _ = room(True)
    near_corner = np.linalg.norm(scene.coord - scene.coord.min(axis=0), axis=1) < 1.0
    for aimed, usual in zip(
        two_sides(scene, enclosed=enclosed, aim=near_corner), two_sides(scene, enclosed=enclosed), strict=True
    ):
        share = []
        for viewpoint in (aimed, usual):
            index = DrawnCloud.of(scene).from_viewpoint(viewpoint).index
            share.append(float((near_corner[np.maximum(index, 0)] & (index >= 0)).mean()))
        assert share[0] > 1.5 * share[1] > 0
    nothing, usual = (two_sides(scene, aim=aim)[0] for aim in (np.zeros(len(scene), bool), None))
    np.testing.assert_array_equal(nothing.world_to_camera, usual.world_to_camera)


@pytest.mark.parametrize("points", [np.zeros((1, 3)), np.zeros((5, 3)), np.array([[0.0, 0, 0], [1, 0, 0]])])
def test_degenerate_clouds_have_a_picture(points: np.ndarray) -> None:
    scene = Scene("few", points)
    for viewpoint in two_sides(scene, size=(60, 80)):
        assert DrawnCloud.of(scene).from_viewpoint(viewpoint).index.max() >= 0

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.images import read_depth, read_image, read_mask
from ditr.errors import InputError
from ditr.io.ply import read_ply, write_ply
from ditr.scene import Camera, CameraModel, Scene, View

OPENGL_IDENTITY = np.diag([1.0, -1.0, -1.0, 1.0])


def rotation(seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.sign(np.linalg.det(q))


def pose(seed: int, far: float = 10.0) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = rotation(seed)
    matrix[:3, 3] = np.random.default_rng(seed + 1).uniform(-far, far, 3)
    return matrix


def image(seed: int, width: int = 12, height: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def view(name: str = "a", seed: int = 0, **changes: Any) -> View:
    camera = Camera(12, 8, 10.5, 11.25, 6.1, 4.2)
    return View(name, **{"camera": camera, "world_to_camera": pose(seed), "image": image(seed), **changes})


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A small capture in the words of the format, made without our writer."""
    folder = tmp_path / "room"
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    for name in ("one", "two"):
        Image.fromarray(image(len(name))).save(folder / "images" / f"{name}.png")
    Image.fromarray(np.arange(24, dtype=np.uint16).reshape(4, 6) * 100).save(folder / "depth" / "one.png")
    frames = [
        {"file_path": f"images/{name}.png", "transform_matrix": OPENGL_IDENTITY.tolist(), "note": name}
        for name in ("one", "two")
    ]
    frames[0]["depth_file_path"] = "depth/one.png"
    content = {"fl_x": 10.0, "fl_y": 11.0, "cx": 6.0, "cy": 4.0, "w": 12, "h": 8, "ply_file_path": "cloud.ply"}
    (folder / "transforms.json").write_text(json.dumps({**content, "aabb_scale": 16, "frames": frames}))
    xyz = np.arange(15, dtype=np.float32).reshape(5, 3)
    write_ply(folder / "cloud.ply", {**dict(zip("xyz", xyz.T, strict=True)), "label": np.array([0, 1, -1, 1, 0], "i4")})
    (folder / "labels.json").write_text(json.dumps({"classes": ["wall", "floor"], "unlabelled": -1, "how": "by hand"}))
    return folder


def edit(folder: Path, frame: int | None = None, drop: tuple[str, ...] = (), **changes: Any) -> None:
    """Change entries at the top of transforms.json, or of one frame."""
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    target = content if frame is None else content["frames"][frame]
    target.update(changes)
    for key in drop:
        del target[key]
    path.write_text(json.dumps(content))


def assert_same(found: Scene, expected: Scene, *, poses_exact: bool = True) -> None:
    for key in ("coord", "color", "normal", "strength", "label", "applied_transform"):
        left, right = getattr(found, key), getattr(expected, key)
        assert (left is None) == (right is None), key
        if left is not None:
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
    assert found.class_names == expected.class_names
    assert found.properties == expected.properties
    assert found.extra.keys() == expected.extra.keys()
    for key, array in expected.extra.items():
        assert found.extra[key].dtype == array.dtype
        np.testing.assert_array_equal(found.extra[key], array)
    assert len(found.views) == len(expected.views)
    for a, b in zip(found.views, expected.views, strict=True):
        assert (a.name, a.camera, a.depth_unit) == (b.name, b.camera, b.depth_unit)
        if poses_exact:
            np.testing.assert_array_equal(a.world_to_camera, b.world_to_camera)
        else:
            size = 1 + np.abs(b.world_to_camera).max()
            np.testing.assert_allclose(a.world_to_camera, b.world_to_camera, rtol=0, atol=1e-12 * size)


# ---------------------------------------------------------------------------------------------------------------------
# Meaning


def test_what_is_read(capture: Path) -> None:
    scene = read_capture(capture)
    assert scene.name == "room"
    assert scene.coord.dtype == np.float64
    assert scene.coord[4].tolist() == [12.0, 13.0, 14.0]
    assert scene.label is not None
    assert scene.label.tolist() == [0, 1, -1, 1, 0]
    assert scene.class_names == ("wall", "floor")
    assert scene.properties == {"aabb_scale": 16, "labels.json": {"how": "by hand"}}
    first, second = scene.views
    assert (first.name, second.name) == ("one", "two")
    assert first.camera == Camera(12, 8, 10.0, 11.0, 6.0, 4.0)
    np.testing.assert_array_equal(first.world_to_camera, np.eye(4))
    assert first.extra["note"] == "one"
    np.testing.assert_array_equal(read_image(first), image(3))
    depth = read_depth(first)
    assert depth is not None
    assert depth.dtype == np.float32
    np.testing.assert_allclose(depth, np.arange(24).reshape(4, 6) * 0.1, rtol=1e-6)
    assert read_depth(second) is None


def test_opengl_axes_become_opencv_axes(capture: Path) -> None:
    # An OpenGL camera at (1, 2, 3) with the world's axes looks along -z with y up.
    matrix = np.eye(4)
    matrix[:3, 3] = (1, 2, 3)
    edit(capture, 0, transform_matrix=matrix.tolist())
    found = read_capture(capture).views[0]
    np.testing.assert_array_equal(found.center, (1, 2, 3))
    ahead_and_above = found.world_to_camera @ (1, 2.5, -1, 1)
    np.testing.assert_array_equal(ahead_and_above, (0, -0.5, 4, 1))


@pytest.mark.parametrize(
    ("shared", "expected"),
    [
        ({"camera_model": "PINHOLE", "k1": 0.0}, (CameraModel.PINHOLE, ())),
        ({"camera_model": "SIMPLE_PINHOLE"}, (CameraModel.PINHOLE, ())),
        ({"camera_model": "OPENCV"}, (CameraModel.OPENCV, (0.0, 0.0, 0.0, 0.0))),
        ({"camera_model": "PINHOLE", "k1": 0.1, "p2": 0.2}, (CameraModel.OPENCV, (0.1, 0.0, 0.0, 0.2))),
        ({"k2": 0.1}, (CameraModel.OPENCV, (0.0, 0.1, 0.0, 0.0))),
        (
            {"camera_model": "FULL_OPENCV", "k1": 0.1, "k6": 0.2},
            (CameraModel.FULL_OPENCV, (0.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.2)),
        ),
        ({"camera_model": "FULL_OPENCV", "k3": 0.1}, (CameraModel.OPENCV, (0.0, 0.0, 0.0, 0.0, 0.1))),
        ({"camera_model": "OPENCV_FISHEYE", "k3": 0.1}, (CameraModel.OPENCV_FISHEYE, (0.0, 0.0, 0.1, 0.0))),
    ],
)
def test_camera_models(capture: Path, shared: dict[str, Any], expected: tuple[CameraModel, tuple[float, ...]]) -> None:
    edit(capture, **shared)
    camera = read_capture(capture).views[0].camera
    assert (camera.model, camera.distortion) == expected


def test_intrinsics_of_a_frame_come_before_the_shared_ones(capture: Path) -> None:
    edit(capture, 1, fl_x=20.0, cx=5.0, camera_model="OPENCV", k1=0.5)
    first, second = read_capture(capture).views
    assert first.camera == Camera(12, 8, 10.0, 11.0, 6.0, 4.0)
    assert second.camera == Camera(12, 8, 20.0, 11.0, 5.0, 4.0, CameraModel.OPENCV, (0.5, 0.0, 0.0, 0.0))


def test_what_is_missing_in_the_intrinsics(capture: Path) -> None:
    edit(capture, drop=("w", "h", "fl_y"))
    assert read_capture(capture).views[0].camera == Camera(12, 8, 10.0, 10.0, 6.0, 4.0)
    edit(capture, drop=("fl_x", "cx", "cy"), camera_angle_x=2 * np.arctan(6 / 10))
    camera = read_capture(capture).views[0].camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (pytest.approx(10.0), pytest.approx(10.0), 6.0, 4.0)


def test_exif_orientation_is_not_applied(capture: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to show"
    Image.fromarray(image(3)).save(capture / "images" / "one.png", exif=exif)
    np.testing.assert_array_equal(read_image(read_capture(capture).views[0]), image(3))


def test_depth_as_npy_and_per_frame_unit(capture: Path) -> None:
    stored = np.array([[1.0, np.nan], [np.inf, -2.0]], dtype=np.float64)
    np.save(capture / "depth" / "one.npy", stored)
    edit(capture, 0, depth_file_path="depth/one.npy", depth_unit_scale_factor=0.5)
    depth = read_depth(read_capture(capture).views[0])
    assert depth is not None
    assert depth.tolist() == [[0.5, 0.0], [0.0, 0.0]]


def test_images_of_one_name_in_two_folders_get_distinct_names(capture: Path, tmp_path: Path) -> None:
    (capture / "left").mkdir()
    shutil.copy(capture / "images" / "one.png", capture / "left" / "one.png")
    edit(capture, 1, file_path="left/one.png")
    scene = read_capture(capture)
    assert [v.name for v in scene.views] == ["images_one", "left_one"]
    write_capture(scene, tmp_path / "again")
    assert_same(read_capture(tmp_path / "again"), scene)
    assert (tmp_path / "again" / "left" / "one.png").is_file()


def points(capture: Path, **columns: np.ndarray) -> Scene:
    zero = np.zeros(len(next(iter(columns.values()))), dtype=np.float32)
    write_ply(capture / "cloud.ply", {"x": zero, "y": zero, "z": zero, **columns})
    return read_capture(capture)


def test_float_colours_are_converted(capture: Path) -> None:
    grey = np.arange(256, dtype=np.float32) / 255
    color = points(capture, red=grey, green=grey, blue=grey).color
    assert color is not None
    np.testing.assert_array_equal(color, np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1))


def test_incomplete_colours_and_unknown_properties_pass_through(capture: Path) -> None:
    scene = points(capture, red=np.array([1, 2], np.uint8), ring=np.array([3, 4], np.uint16))
    assert scene.color is None
    assert {key: (a.dtype, a.tolist()) for key, a in scene.extra.items()} == {
        "red": (np.uint8, [1, 2]),
        "ring": (np.uint16, [3, 4]),
    }


def test_another_value_for_unlabelled_becomes_minus_one(capture: Path) -> None:
    (capture / "labels.json").write_text(json.dumps({"classes": ["a", "b"], "unlabelled": 255}))
    label = points(capture, label=np.array([0, 255, 1], np.uint8)).label
    assert label is not None
    assert label.tolist() == [0, -1, 1]


def test_zero_views_and_one_point_are_fine(capture: Path, tmp_path: Path) -> None:
    edit(capture, frames=[])
    scene = points(capture, label=np.array([1], np.int32))
    assert (len(scene), len(scene.views)) == (1, 0)
    write_capture(scene, tmp_path / "again")
    assert_same(read_capture(tmp_path / "again"), scene)


# ---------------------------------------------------------------------------------------------------------------------
# Round trips

finite = st.floats(allow_nan=False, allow_infinity=False, width=64, min_value=-1e7, max_value=1e7)


@st.composite
def cameras(draw: st.DrawFn) -> Camera:
    model = draw(st.sampled_from(list(CameraModel)))
    counts = {CameraModel.PINHOLE: 0, CameraModel.OPENCV: draw(st.sampled_from([4, 5])), CameraModel.FULL_OPENCV: 8}
    count = counts.get(model, 4)
    lens = tuple(draw(st.floats(-0.3, 0.3).filter(bool)) for _ in range(count))
    focal = st.floats(1.0, 1e4)
    return Camera(12, 8, draw(focal), draw(focal), draw(st.floats(4, 8)), draw(st.floats(3, 5)), model, lens)


@st.composite
def views(draw: st.DrawFn) -> tuple[View, ...]:
    extra = st.dictionaries(st.sampled_from(["note", "time", "colmap_im_id"]), st.integers() | st.text() | finite)
    drawn = []
    for i in range(draw(st.integers(0, 3))):
        seed = draw(st.integers(0, 1000))
        far = draw(st.sampled_from([0.0, 10.0, 5e6]))
        millimetres = np.random.default_rng(seed).integers(0, 5000, (4, 6))
        depth = (millimetres * 0.001).astype(np.float32) if draw(st.booleans()) else None
        mask = millimetres > 2000 if draw(st.booleans()) else None
        made = View(f"view {i}", draw(cameras()), pose(seed, far), image(seed), depth, extra=draw(extra), mask=mask)
        drawn.append(made)
    return tuple(drawn)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    n = draw(st.integers(1, 8))
    wide = st.floats(-1e6, 1e6, width=32)
    normal = np.random.default_rng(n).normal(size=(n, 3))
    normal[0] = (0, 0, 1)
    normal = (normal / np.linalg.norm(normal, axis=1, keepdims=True)).astype(np.float32)
    if draw(st.booleans()):
        normal[1:2] = 0

    def maybe(dtype: type, shape: tuple[int, ...], elements: st.SearchStrategy[Any] | None = None) -> Any:
        return draw(st.none() | hnp.arrays(dtype, shape, elements=elements))

    labelled = draw(st.booleans())
    extra = hnp.arrays(st.sampled_from([np.uint16, np.float64]), n, elements=st.integers(0, 99))
    transform = np.concatenate([rotation(3), [[1.0], [2.0], [0.1]]], axis=1)
    return Scene(
        name="again",
        coord=draw(hnp.arrays(np.float64, (n, 3), elements=draw(st.sampled_from([wide, finite])))),
        views=draw(views()),
        color=maybe(np.uint8, (n, 3)),
        normal=draw(st.sampled_from([None, normal])),
        strength=maybe(np.float32, (n,), wide),
        label=draw(hnp.arrays(np.int32, n, elements=st.integers(-1, 2))) if labelled else None,
        class_names=("wall", "Möbel", "floor") if labelled else (),
        extra=draw(st.dictionaries(st.sampled_from(["ring", "time"]), extra)),
        applied_transform=draw(st.sampled_from([None, transform])),
        properties={"orientation_override": "up", **({"labels.json": {"how": ["by", "hand"]}} if labelled else {})},
    )


@given(scenes(), st.sampled_from(["jpg", "png"]))
@settings(max_examples=60)
def test_a_scene_survives_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, scene: Scene, image_format: Any
) -> None:
    folder = tmp_path_factory.mktemp("captures")
    write_capture(scene, folder / "again", image_format=image_format)
    once = read_capture(folder / "again")
    assert_same(once, scene, poses_exact=False)
    for found, expected in zip(once.views, scene.views, strict=True):
        assert {k: v for k, v in found.extra.items() if k in expected.extra} == expected.extra
        if image_format == "png":
            np.testing.assert_array_equal(read_image(found), expected.image)
        if expected.depth is not None:
            np.testing.assert_array_equal(read_depth(found), expected.depth)
        if expected.mask is not None:
            np.testing.assert_array_equal(read_mask(found), expected.mask)
    write_capture(once, folder / "more" / "again")
    twice = read_capture(folder / "more" / "again")
    assert_same(twice, once)
    assert [v.extra for v in twice.views] == [v.extra for v in once.views]
    for name in ("transforms.json", "points.ply"):
        assert (folder / "again" / name).read_bytes() == (folder / "more" / "again" / name).read_bytes()


def test_files_are_copied_byte_for_byte_and_stay_where_they_were(capture: Path, tmp_path: Path) -> None:
    (capture / "masks").mkdir()
    Image.fromarray(np.full((8, 12), 255, np.uint8)).save(capture / "masks" / "one.png")
    (capture / "masks" / "other.bin").write_bytes(b"anything")
    edit(capture, 0, mask_path="masks/one.png", some_path="masks/other.bin")
    scene = read_capture(capture)
    write_capture(scene, tmp_path / "again")
    for name in ("images/one.png", "images/two.png", "depth/one.png", "masks/one.png", "masks/other.bin"):
        assert (tmp_path / "again" / name).read_bytes() == (capture / name).read_bytes()
    assert_same(read_capture(tmp_path / "again"), scene)


def test_writing_over_the_capture_that_was_read(capture: Path) -> None:
    scene = read_capture(capture)
    write_capture(scene, capture)
    assert_same(read_capture(capture), scene)
    assert [path.name for path in capture.parent.iterdir()] == ["room"]


def test_a_changed_view_does_not_keep_its_old_pose_or_place(capture: Path, tmp_path: Path) -> None:
    scene = read_capture(capture)
    moved = dataclasses.replace(scene.views[0], name="moved", world_to_camera=pose(5), image=image(9))
    write_capture(dataclasses.replace(scene, views=(*scene.views, moved)), tmp_path / "again", image_format="png")
    found = read_capture(tmp_path / "again").views
    assert [v.name for v in found] == ["one", "two", "moved"]
    np.testing.assert_allclose(found[2].world_to_camera, pose(5), atol=1e-12)
    np.testing.assert_array_equal(read_image(found[2]), image(9))
    np.testing.assert_array_equal(read_image(found[0]), image(3))


def test_coordinates_are_double_only_where_needed(tmp_path: Path) -> None:
    for value, dtype in ((0.5, np.float32), (0.1, np.float64), (4_999_999.123, np.float64)):
        write_capture(Scene("s", np.full((2, 3), value)), tmp_path / "s")
        assert read_ply(tmp_path / "s" / "points.ply")["x"].dtype == dtype


def test_real_captures_survive(captures: Path, tmp_path: Path) -> None:
    for folder in sorted(path.parent for path in captures.glob("*/transforms.json")):
        scene = read_capture(folder)
        write_capture(scene, tmp_path / folder.name)
        again = read_capture(tmp_path / folder.name)
        assert_same(again, scene)
        assert [v.extra for v in again.views] == [v.extra for v in scene.views]
        assert (tmp_path / folder.name / "points.ply").read_bytes() == (folder / "points.ply").read_bytes()
        shutil.rmtree(tmp_path / folder.name)


# ---------------------------------------------------------------------------------------------------------------------
# Bad input


def refused(folder: Path, fault: str, where: str) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        read_capture(folder)
    assert where in caught.value.where


def test_missing_folder_and_files(capture: Path, tmp_path: Path) -> None:
    refused(tmp_path / "absent", "no such folder", "absent")
    (capture / "images" / "two.png").unlink()
    refused(capture, "no such image", "images/two.png")
    edit(capture, 1, file_path="images")
    refused(capture, "no such image", "images")
    edit(capture, frames=[])
    (capture / "cloud.ply").unlink()
    refused(capture, "no such point cloud", "cloud.ply")
    edit(capture, drop=("ply_file_path",))
    refused(capture, "no point cloud", "transforms.json")
    (capture / "transforms.json").unlink()
    refused(capture, "1 photograph here, but no poses", "images")
    shutil.rmtree(capture / "images")
    refused(capture, "there is no such file", "transforms.json")


def test_missing_depth_map(capture: Path) -> None:
    (capture / "depth" / "one.png").unlink()
    refused(capture, "depth map of images/one.png is missing", "depth/one.png")


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '{"frames": 3}', '{"frames": [{}]}', '{"frames": [{"file_path": 1}]}']
)
def test_broken_json(capture: Path, text: str) -> None:
    (capture / "transforms.json").write_text(text)
    refused(capture, "JSON|frames|valid", "transforms.json")


def test_broken_entry_is_named(capture: Path) -> None:
    edit(capture, 1, fl_x="wide")
    refused(capture, "frames.1.fl_x", "transforms.json")


def test_image_of_another_size(capture: Path) -> None:
    Image.fromarray(image(0, 6, 4)).save(capture / "images" / "two.png")
    refused(capture, "12x8, but the image is 6x4", "images/two.png")


@pytest.mark.parametrize("scale", [0.25, 0.5, 2.0, 4.0])
def test_intrinsics_of_another_size(capture: Path, scale: float) -> None:
    edit(capture, cx=6.0 * scale - 0.1, cy=4.0 * scale - 0.1, fl_x=10 * scale, fl_y=11 * scale)
    refused(capture, "principal point", "images/one.png")


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"fl_x": 0.0}, "focal"),
        ({"fl_x": float("nan")}, "finite"),
        ({"w": 0}, "w and h are 0x8"),
        ({"camera_model": "EQUIRECTANGULAR"}, "EQUIRECTANGULAR"),
        ({"camera_model": "OPENCV", "k4": 0.1}, "k4"),
        ({"camera_model": "OPENCV_FISHEYE", "p1": 0.1}, "p1"),
        ({"depth_unit_scale_factor": 0.0}, "depth_unit_scale_factor"),
    ],
)
def test_impossible_camera(capture: Path, changes: dict[str, Any], fault: str) -> None:
    edit(capture, 1, **changes)
    refused(capture, fault, "frame images/two.png")


def test_missing_focal_length(capture: Path) -> None:
    edit(capture, drop=("fl_x", "fl_y", "cx"))
    refused(capture, "fl_x and cx are missing; 2 of 2 frames have this fault", "frame images/one.png")


def changed(row: int, column: int, value: float) -> list[list[float]]:
    matrix = OPENGL_IDENTITY.copy()
    matrix[row, column] = value
    return matrix.tolist()


@pytest.mark.parametrize(
    "matrix",
    [
        changed(0, 0, 0.0),
        changed(0, 0, 2.0),
        changed(0, 0, -1.0),
        changed(1, 3, float("-inf")),
        changed(2, 2, float("nan")),
        changed(3, 0, 1.0),
        np.zeros((4, 4)).tolist(),
        np.eye(3).tolist(),
        [[1.0, 2.0], [3.0]],
        [],
    ],
)
def test_impossible_pose_names_the_frame(capture: Path, matrix: list[list[float]]) -> None:
    edit(capture, 1, transform_matrix=matrix)
    refused(capture, "pose", "frame images/two.png")


@pytest.mark.parametrize("matrix", [np.zeros((3, 4)), np.eye(4), np.full((3, 4), np.nan)])
def test_impossible_applied_transform(capture: Path, matrix: np.ndarray) -> None:
    edit(capture, applied_transform=matrix.tolist())
    refused(capture, "applied_transform", "transforms.json")


@pytest.mark.parametrize("label", [2, -2, 255])
def test_label_outside_the_class_list(capture: Path, label: int) -> None:
    zero = np.zeros(3, np.float32)
    write_ply(capture / "cloud.ply", {"x": zero, "y": zero, "z": zero, "label": np.array([0, label, 1], np.int32)})
    refused(capture, f"that of point 1 is {label}", "cloud.ply")


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"x": [], "y": [], "z": []}, "no points"),
        ({"x": [1.0], "y": [1.0]}, "no property z"),
        ({"x": [1.0, 1.0], "y": [1.0, np.nan], "z": [1.0, 1.0]}, "not finite; the first is point 1"),
        ({"x": [0.0], "y": [0.0], "z": [0.0], "label": [0.5]}, "that of point 0 is 0.5"),
        ({"x": [0.0], "y": [0.0], "z": [0.0], "red": [300.0], "green": [0.0], "blue": [0.0]}, "'red'"),
        ({"x": [0.0], "y": [0.0], "z": [0.0], "red": [np.nan], "green": [0.0], "blue": [0.0]}, "'red'"),
    ],
)
def test_impossible_points(capture: Path, columns: dict[str, list[float]], fault: str) -> None:
    write_ply(capture / "cloud.ply", {key: np.array(values, dtype=np.float64) for key, values in columns.items()})
    refused(capture, fault, "cloud.ply")


def test_damaged_images_and_depth_maps_are_named(capture: Path) -> None:
    views = read_capture(capture).views
    (capture / "depth" / "one.png").write_bytes((capture / "depth" / "one.png").read_bytes()[:60])
    with pytest.raises(InputError, match=r"one\.png"):
        read_depth(views[0])
    whole = (capture / "images" / "two.png").read_bytes()
    (capture / "images" / "two.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"two.png.*cannot be decoded"):
        read_image(views[1])
    (capture / "images" / "two.png").write_bytes(b"<html>not found</html>")
    refused(capture, "cannot be decoded", "two.png")


def test_depth_of_the_wrong_kind(capture: Path) -> None:
    first = read_capture(capture).views[0]
    Image.fromarray(image(0)).save(capture / "depth" / "one.png")
    with pytest.raises(InputError, match="not 16 bit"):
        read_depth(first)
    for stored in (np.zeros((2, 2, 2)), np.array([{}], dtype=object), np.array([["a"]])):
        np.save(capture / "depth" / "one.npy", stored, allow_pickle=True)
        with pytest.raises(InputError, match=r"one\.npy"):
            read_depth(dataclasses.replace(first, depth=capture / "depth" / "one.npy"))


def test_an_image_of_too_many_pixels_is_refused(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)  # Pillow refuses above twice its limit
    refused(capture, "cannot be decoded", "images/one.png")


@pytest.mark.parametrize(
    ("scene", "fault"),
    [
        (Scene("s", np.zeros((1, 3)), (view("a"), view("a"))), "two views"),
        (Scene("s", np.zeros((1, 3)), (view("../a"),)), "not a file name"),
        (Scene("s", np.zeros((1, 3)), (view(depth=np.full((2, 2), 70.0, np.float32)),)), "65535"),
        (Scene("s", np.zeros((1, 3)), (view(image=image(0, 5, 5)),)), "shape"),
        (Scene("s", np.zeros((1, 3)), (view(extra={"what": object()}),)), "JSON"),
        (Scene("s", np.zeros((1, 3)), extra={"x": np.zeros(1)}), "extra property x"),
        (Scene("s", np.zeros((1, 3)), extra={"far": np.zeros((1, 2))}), "shape"),
        (Scene("s", np.zeros((1, 3)), extra={"far": np.zeros(2)}), "lengths"),
        (Scene("s", np.zeros((1, 3)), properties={"frames": []}), "property frames"),
    ],
)
def test_what_a_capture_cannot_hold_leaves_nothing_behind(tmp_path: Path, scene: Scene, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        write_capture(scene, tmp_path / "s")
    assert list(tmp_path.iterdir()) == []

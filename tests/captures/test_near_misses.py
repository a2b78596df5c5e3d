"""What is nearly what the format says is read under its meaning, and said; nothing that changes it is passed over."""

from __future__ import annotations

import json
import shutil
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from small_world import CLASSES, make_scene, write_model

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.captures.images import read_depth, read_image, read_mask, see_with_maps
from ditr.data.dataset import Item, TrainingSet
from ditr.data.preparation import Attribute, Preparation
from ditr.data.scene_views import why_unseen
from ditr.errors import Grade, InputError
from ditr.geometry.projection import Sight, VisibilityRule
from ditr.inference.segmenter import Segmenter
from ditr.io.ply import read_ply, write_ply
from ditr.scene import CameraModel, ReadOptions, Scene

SIZE = (56, 42)


@pytest.fixture
def room(tmp_path: Path) -> Path:
    write_capture(make_scene(3, views=3), tmp_path / "room", image_format="png")
    return tmp_path / "room"


def edit(folder: Path, frame: int | None = None, drop: tuple[str, ...] = (), **changes: Any) -> None:
    """Change entries at the top of transforms.json, or of one frame."""
    path = folder / "transforms.json"
    content = json.loads(path.read_text())
    target = content if frame is None else content["frames"][frame]
    for key in drop:
        target.pop(key, None)
    target.update(changes)
    path.write_text(json.dumps(content))


def edit_cameras(folder: Path, drop: tuple[str, ...] = (), **changes: Any) -> None:
    """Change entries of all frames, and take those that are dropped from the top, too."""
    edit(folder, drop=drop)
    for frame in range(3):
        edit(folder, frame, drop, **changes)


def columns(folder: Path, rename: dict[str, str] | None = None, **changes: np.ndarray) -> None:
    """Rename and replace columns of the PLY."""
    stored = read_ply(folder / "points.ply") | changes
    write_ply(folder / "points.ply", {(rename or {}).get(name, name): values for name, values in stored.items()})


def said(scene: Scene, grade: Grade = Grade.NOTED) -> str:
    return "\n".join(str(finding) for finding in scene.findings if finding.grade is grade)


def refusal(folder: Path, options: ReadOptions | None = None) -> InputError:
    with pytest.raises(InputError) as caught:
        read_capture(folder, options)
    return caught.value


def test_a_sound_capture_has_no_findings(room: Path) -> None:
    assert read_capture(room).findings == ()


# ---------------------------------------------------------------------------------------------------------------------
# Columns


@pytest.mark.parametrize(
    ("rename", "told"),
    [
        ({"label": "scalar_Label"}, "scalar_Label is read as label"),
        ({"label": "Label"}, "Label is read as label"),
        ({"label": "class"}, "class is read as label"),
        ({"label": "scalar_Classification"}, "scalar_Classification is read as label"),
        (dict(zip(("red", "green", "blue"), "rgb", strict=True)), "r g b are read as red green blue"),
        ({c: f"diffuse_{c}" for c in ("red", "green", "blue")}, "diffuse_red diffuse_green diffuse_blue are read as"),
        ({c: c.title() for c in ("red", "green", "blue")}, "Red Green Blue are read as"),
        ({f"n{a}": f"normal{a}" for a in "xyz"}, "normalx normaly normalz are read as nx ny nz"),
        ({f"n{a}": f"normal_{a}" for a in "xyz"}, "normal_x normal_y normal_z are read as"),
        ({f"n{a}": f"scalar_N{a}" for a in "xyz"}, "scalar_Nx scalar_Ny scalar_Nz are read as"),
        ({a: a.upper() for a in "xyz"}, "X Y Z are read as x y z"),
    ],
)
def test_columns_of_other_spellings(room: Path, rename: dict[str, str], told: str) -> None:
    sound = read_capture(room)
    columns(room, rename)
    found = read_capture(room)
    for name in ("coord", "color", "normal", "label"):
        np.testing.assert_array_equal(getattr(found, name), getattr(sound, name))
    assert told in said(found) and not found.extra


@pytest.mark.parametrize("name", ["scalar_Intensity", "Intensity", "reflectance", "remission"])
def test_intensities_of_other_names(room: Path, name: str) -> None:
    values = np.linspace(0, 1, 400, dtype=np.float32)
    columns(room, **{name: values})
    found = read_capture(room)
    np.testing.assert_array_equal(found.strength, values)
    assert f"{name} is read as intensity" in said(found)


def test_labels_as_floats_are_whole_numbers(room: Path) -> None:
    label = read_capture(room).label
    assert label is not None
    columns(room, {"label": "scalar_Label"}, label=label.astype(np.float32))
    found = read_capture(room)
    assert found.label is not None and found.label.dtype == np.int32
    np.testing.assert_array_equal(found.label, label)
    columns(room, scalar_Label=label.astype(np.float32) + 0.5)
    assert "outside the class list" in refusal(room).fault


def test_columns_that_may_be_several_things_stay_unread_and_are_named(room: Path) -> None:
    label = read_ply(room / "points.ply")["label"]
    columns(room, {"label": "class"}, semantic=label)
    found = read_capture(room)
    assert found.label is None and set(found.extra) == {"class", "semantic"}
    assert "class and semantic may both be labels" in said(found)
    assert "no labels; columns that are not read: class, semantic" in said(found)


def test_codes_of_another_list_are_no_labels(room: Path) -> None:
    columns(room, {"label": "classification"}, label=np.full(400, 17, np.uint8))
    found = read_capture(room)
    assert found.label is None and "columns that are not read: classification" in said(found)


def test_our_own_name_comes_before_another_spelling(room: Path) -> None:
    columns(room, scalar_Label=np.zeros(400, np.float32))
    sound = read_capture(room)
    assert sound.label is not None and sound.label.any() and set(sound.extra) == {"scalar_Label"}


@pytest.mark.parametrize(
    ("scale", "kind"), [(1, "f4"), (1, "u2"), (1, "f8"), (257, "u2"), (257, "f4"), (257, "i4"), (1 / 255, "f8")]
)
def test_the_range_of_colours_is_that_of_all_channels(room: Path, scale: float, kind: str) -> None:
    color = read_capture(room).color
    assert color is not None
    dark = color.astype(np.float64)
    dark[:, 2] = np.arange(400) % 2
    channels = dict(zip(("red", "green", "blue"), (dark * scale).astype(kind).T, strict=True))
    columns(room, **channels)
    found = read_capture(room)
    np.testing.assert_array_equal(found.color, dark.astype(np.uint8))
    assert ("divided by 257" in said(found)) == (scale == 257)


@pytest.mark.parametrize("high", [1.3, 300.0, -1.0, 70000.0, float("nan")])
def test_colours_of_no_known_range_are_refused(room: Path, high: float) -> None:
    channel = np.linspace(0, 1, 400).astype(np.float32)
    channel[5] = high
    columns(room, red=channel, green=channel, blue=channel)
    assert "the colours are neither" in refusal(room).fault


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_intensities_that_are_not_finite_are_refused(room: Path, bad: float) -> None:
    values = np.ones(400, dtype=np.float32)
    values[[7, 9]] = bad
    columns(room, intensity=values)
    assert "2 points whose intensity is not finite; that of point 7" in refusal(room).fault


def test_coarse_coordinates_are_said(room: Path) -> None:
    x = read_ply(room / "points.ply")["x"].astype(np.float64)
    columns(room, x=x + 5.4e6)
    assert not read_capture(room).findings
    columns(room, x=(x + 5.4e6).astype(np.float32))
    assert "stored as float, which has steps of 0.5" in said(read_capture(room), Grade.WARNED)


def test_one_class_name_twice_is_refused(room: Path) -> None:
    (room / "labels.json").write_text(json.dumps({"classes": ["wall", "floor", "wall"]}))
    assert "two classes are called 'wall'" in refusal(room).fault


# ---------------------------------------------------------------------------------------------------------------------
# Normals


def normals(folder: Path, rows: slice | list[int], value: float) -> None:
    stored = {name: read_ply(folder / "points.ply")[name].copy() for name in ("nx", "ny", "nz")}
    for values in stored.values():
        values[rows] = value
    columns(folder, **stored)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_no_normals_at_all(room: Path, tmp_path: Path, value: float) -> None:
    normals(room, slice(None), value)
    found = read_capture(room)
    assert found.normal is None and "all 400 are" in said(found)
    write_model(tmp_path / "model", attributes=(Attribute.NORMAL,))
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    zero = segmenter(found)
    bare = {name: values for name, values in read_ply(room / "points.ply").items() if name not in ("nx", "ny", "nz")}
    write_ply(room / "points.ply", bare)
    without = segmenter(read_capture(room))
    np.testing.assert_array_equal(zero.label, without.label)
    np.testing.assert_array_equal(zero.confidence, without.confidence)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_some_missing_normals_are_estimated_and_the_others_kept(room: Path, tmp_path: Path, value: float) -> None:
    sound = read_capture(room)
    assert sound.normal is not None
    rows = [3, 100, 200]
    normals(room, rows, value)
    found = read_capture(room)
    assert found.normal is not None and not found.normal[rows].any()
    assert "3 of 400 are NaN or zero" in said(found, Grade.WARNED)
    preparation = Preparation(voxel_size=0.02, rule=VisibilityRule(), attributes=(Attribute.NORMAL,))
    write_model(tmp_path / "model", attributes=(Attribute.NORMAL,))
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    prediction = segmenter(found)
    assert np.isfinite(prediction.confidence).all()
    assert prediction.normals is not None and prediction.normals.startswith("those of 3 points are estimated")
    data = TrainingSet([room], preparation, segmenter.config.network.pyramid, seed=0)
    normal = data.scene(0).normal
    assert normal is not None
    np.testing.assert_array_equal(np.delete(normal, rows, axis=0), np.delete(sound.normal, rows, axis=0))
    np.testing.assert_allclose(np.linalg.norm(normal[rows], axis=1), 1, atol=1e-5)
    # Floors look up, walls at the cameras, as the estimated ones of all points would.
    assert np.einsum("ij,ij->i", normal[rows], sound.normal[rows]).min() > 0.5
    assert data[Item(0, 0)].feature.isfinite().all()


def test_normals_of_another_length_are_scaled(room: Path) -> None:
    sound = read_capture(room)
    assert sound.normal is not None
    columns(room, **{f"n{axis}": np.rint(127 * sound.normal[:, i]).astype(np.int8) for i, axis in enumerate("xyz")})
    found = read_capture(room)
    assert found.normal is not None
    np.testing.assert_allclose(found.normal, sound.normal, atol=1e-6)
    assert "400 are not of unit length and were scaled (127 to 127)" in said(found)


# ---------------------------------------------------------------------------------------------------------------------
# Files


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("./images/photo_1", "names without an extension"),
        ("images\\photo_1.png", "backslashes are read as slashes"),
        ("images\\photo_1", "names without an extension"),
        ("Images/PHOTO_1.PNG", "upper and lower case differ"),
        ("/home/somebody/room/images/photo_1.png", "the folders are those of another machine"),
        ("C:\\scans\\room\\images\\photo_1.png", "the folders are those of another machine"),
    ],
)
def test_names_of_files_that_are_nearly_there(room: Path, tmp_path: Path, name: str, told: str) -> None:
    sound = read_capture(room)
    edit(room, 1, file_path=name)
    found = read_capture(room)
    assert [view.name for view in found.views] == [view.name for view in sound.views]
    np.testing.assert_array_equal(read_image(found.views[1]), read_image(sound.views[1]))
    assert told in said(found) and name in said(found)
    write_capture(found, tmp_path / "again")
    assert not read_capture(tmp_path / "again").findings


def test_a_name_that_may_mean_two_files_is_refused(room: Path) -> None:
    shutil.copy(room / "images" / "photo_1.png", room / "images" / "photo_1.jpg")
    edit(room, 1, file_path="images/photo_1")
    assert "it may be images/photo_1.jpg, images/photo_1.png" in refusal(room).fault


def test_a_missing_photograph_names_what_lies_beside_it(room: Path) -> None:
    edit(room, 1, file_path="images/photo_1.jpg")
    assert "no such image (there is photo_1.png)" in refusal(room).fault


def test_photographs_of_one_stem_and_one_in_two_frames(room: Path, tmp_path: Path) -> None:
    Image.open(room / "images" / "photo_0.png").save(room / "images" / "photo_0.bmp")
    edit(room, 1, file_path="images/photo_0.bmp")
    edit(room, 2, file_path="images/photo_0.bmp")
    found = read_capture(room)
    assert [view.name for view in found.views] == ["images_photo_0.png", "images_photo_0.bmp", "images_photo_0.bmp.2"]
    assert "more than one frame names the same photograph (images/photo_0.bmp)" in said(found)
    write_capture(found, tmp_path / "again")
    again = read_capture(tmp_path / "again")
    assert [view.name for view in again.views] == [view.name for view in found.views]
    assert sorted(path.name for path in (tmp_path / "again" / "images").iterdir()) == ["photo_0.bmp", "photo_0.png"]


def test_the_one_cloud_that_lies_there_is_taken(room: Path) -> None:
    sound = read_capture(room)
    edit(room, drop=("ply_file_path",))
    (room / "points.ply").rename(room / "sparse_pc.ply")
    found = read_capture(room)
    np.testing.assert_array_equal(found.coord, sound.coord)
    assert "sparse_pc.ply is used, the only one" in said(found)
    shutil.copy(room / "sparse_pc.ply", room / "other.ply")
    assert "names no point cloud, and other.ply, sparse_pc.ply are in the folder" in refusal(room).fault


def test_a_byte_order_mark_does_not_matter(room: Path) -> None:
    for name in ("transforms.json", "labels.json"):
        (room / name).write_bytes(b"\xef\xbb\xbf" + (room / name).read_bytes())
    assert read_capture(room).class_names == CLASSES


# ---------------------------------------------------------------------------------------------------------------------
# Line ends


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("binary", [True, False])
def test_line_ends_of_any_kind(tmp_path: Path, end: bytes, binary: bool) -> None:
    path = tmp_path / "a.ply"
    # The first byte of the data is an LF.
    stored = {"x": np.array([10, 2, 3], np.uint8), "y": np.array([1.5, 2, 3], np.float64)}
    write_ply(path, stored, binary=binary)
    header, data = path.read_bytes().split(b"end_header\n")
    path.write_bytes((header + b"end_header\n").replace(b"\n", end) + (data if binary else data.replace(b"\n", end)))
    found = read_ply(path)
    assert {name: values.tolist() for name, values in found.items()} == {k: v.tolist() for k, v in stored.items()}


def test_mixed_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.ply"
    path.write_bytes(
        b"ply\nformat ascii 1.0\r\nelement other 2\nproperty float q\rproperty float r\nelement vertex 2\r\n"
        b"property float x\n\nend_header\r\n\n1 2\r\r\n3 4\n\n\n5\r\n   \n6\n\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_ply(path)["x"].tolist() == [5, 6]


# ---------------------------------------------------------------------------------------------------------------------
# Cameras


def test_is_fisheye_is_the_camera_model(room: Path) -> None:
    lens = {"k1": 0.05, "k2": -0.01}
    edit_cameras(room, ("camera_model",), is_fisheye=True, **lens)
    flagged = [view.camera for view in read_capture(room).views]
    edit_cameras(room, ("is_fisheye",), camera_model="OPENCV_FISHEYE", **lens)
    assert flagged == [view.camera for view in read_capture(room).views]
    assert flagged[0].model is CameraModel.OPENCV_FISHEYE
    edit_cameras(room, camera_model="PINHOLE", is_fisheye=True)
    assert "is_fisheye is true" in refusal(room).fault


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        ({"k4": 0.1}, "k4 = 0.1"),
        ({"k6": 0.1}, "k6 = 0.1"),
        ({"b1": 2.0}, "b1 = 2.0"),
        ({"distortion_params": [0, 0.1]}, "distortion_params"),
        ({"ftheta_p0": 0.3}, "ftheta_p0"),
        ({"lens_mode": "latlong"}, "lens_mode"),
        ({"equirectangular": True}, "equirectangular"),
        ({"camera_model": "THIN_PRISM_FISHEYE"}, "THIN_PRISM_FISHEYE"),
        ({"is_fisheye": True, "p1": 0.1}, "p1 = 0.1"),
    ],
)
def test_lenses_that_are_not_computed_are_refused(room: Path, entry: dict[str, Any], named: str) -> None:
    edit(room, drop=("camera_model",))
    edit_cameras(room, ("camera_model", "k1", "k2", "p1", "p2"))
    edit(room, **entry)
    assert named in refusal(room).fault


@pytest.mark.parametrize("entry", [{"k4": 0.0}, {"b1": 0}, {"ftheta_p0": 0.0}, {"lens_mode": "perspective"}])
def test_zeros_of_other_lenses_are_harmless(room: Path, entry: dict[str, Any]) -> None:
    sound = read_capture(room).views[0].camera
    edit(room, **entry)
    assert read_capture(room).views[0].camera == sound


@pytest.mark.parametrize("name", ["opencv", "Perspective", "FULL_OPENCV"])
def test_camera_models_of_other_spellings(room: Path, name: str) -> None:
    edit_cameras(room, camera_model=name, k3=0.1)
    camera = read_capture(room).views[0].camera
    assert camera.model is CameraModel.OPENCV and camera.distortion == (0, 0, 0, 0, 0.1)


FOV = 2 * np.arctan(28 / 40)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"camera_angle_x": FOV}, ""),
        ({"camera_angle_x": np.degrees(FOV)}, "is read as degrees"),
        ({"x_fov": np.degrees(FOV)}, ""),
        ({"fov_x": np.degrees(FOV)}, "fov_x is read as x_fov"),
        ({"x_fov": FOV}, "is read as radians"),
        ({"y_fov": np.degrees(2 * np.arctan(21 / 40))}, ""),
        ({"fl_y": 40.0}, ""),
        ({"fx": 40.0, "fy": 40.0}, "fx is read as fl_x"),
    ],
)
def test_focal_lengths_from_what_is_there(room: Path, entry: dict[str, Any], told: str) -> None:
    edit_cameras(room, ("fl_x", "fl_y", "cx", "cy"), **entry)
    found = read_capture(room)
    camera = found.views[0].camera
    assert (camera.fx, camera.fy) == (pytest.approx(40), pytest.approx(40))
    assert (camera.cx, camera.cy) == (28, 21)
    assert "the middle of the image" in said(found) and told in said(found)


def test_an_angle_that_contradicts_the_focal_length_is_said(room: Path) -> None:
    edit_cameras(room, camera_angle_x=0.5)
    assert "but the field of view gives" in said(read_capture(room), Grade.WARNED)


def test_a_calibration_of_the_turned_photograph(room: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    edit_cameras(room, w=42, h=56, cx=21.0, cy=28.0)
    assert "turned by 90 degrees" in refusal(room).remedy
    for path in (room / "images").iterdir():
        Image.open(path).save(path, exif=exif)
    assert "EXIF" in refusal(room).remedy
    edit_cameras(room, ("w", "h"))
    assert "principal point" in refusal(room).fault


@pytest.mark.parametrize(
    ("entry", "told", "remedy"),
    [
        ({"units": "cubits"}, "its unit is cubits", "--unit"),
        ({"rolling_shutter": [0, 0, 1, 0]}, "rolling_shutter", ""),
    ],
)
def test_keys_of_units_and_axes_are_said(room: Path, entry: dict[str, Any], told: str, remedy: str) -> None:
    edit(room, **entry)
    told_of = said(read_capture(room), Grade.WARNED)
    assert told in told_of and remedy in told_of
    sound = {"units": "metres", "rolling_shutter": [0, 0, 0, 0]}
    edit(room, **{key: sound[key] for key in entry})
    assert not read_capture(room).findings


def test_axes_that_the_file_states_are_heeded(room: Path, tmp_path: Path) -> None:
    sound = read_capture(room)
    edit(room, camera_convention="opengl")
    assert not read_capture(room).findings
    edit(room, camera_convention="OpenCV")
    for frame, view in enumerate(sound.views):
        edit(room, frame, transform_matrix=view.camera_to_world.tolist())
    found = read_capture(room)
    assert "poses are read with OpenCV axes" in said(found)
    write_capture(found, tmp_path / "again")
    for scene in (found, read_capture(tmp_path / "again")):
        for view, expected in zip(scene.views, sound.views, strict=True):
            np.testing.assert_allclose(view.world_to_camera, expected.world_to_camera, atol=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# Masks, photographs, depth maps


@pytest.mark.parametrize("key", ["mask_path", "mask_file_path"])
@pytest.mark.parametrize("half", [False, True])
def test_masked_pixels_show_no_point(room: Path, tmp_path: Path, key: str, half: bool) -> None:
    free = see_with_maps(read_capture(room).coord, read_capture(room).views[0], VisibilityRule())
    mask = np.full((SIZE[1], SIZE[0]), 255, np.uint8)
    mask[:, :28] = 0
    (room / "masks").mkdir()
    Image.fromarray(mask[::2, ::2] if half else mask).save(room / "masks" / "m.png")
    edit(room, 0, **{key: "masks/m.png"})
    scene = read_capture(room)
    view = scene.views[0]
    seen = see_with_maps(scene.coord, view, VisibilityRule())
    np.testing.assert_array_equal(seen.visible, free.visible & (free.pixel[:, 0] >= 28))
    hidden = free.visible & (free.pixel[:, 0] < 28)
    assert hidden.any() and set(seen.sight[hidden]) == {Sight.MASKED}
    assert set(why_unseen(scene, [view], VisibilityRule())[hidden]) == {Sight.MASKED}
    write_capture(scene, tmp_path / "again")
    np.testing.assert_array_equal(read_mask(read_capture(tmp_path / "again").views[0]), read_mask(view))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "I;16", "jpg"])
def test_masks_of_any_kind(room: Path, mode: str) -> None:
    wanted = np.zeros((SIZE[1], SIZE[0]), bool)
    wanted[8:24, 16:40] = True
    if mode == "I;16":
        picture = Image.fromarray(wanted.astype(np.uint16) * 1000)
    else:
        picture = Image.fromarray(wanted.astype(np.uint8) * 255).convert("L" if mode == "jpg" else mode)
    picture.save(room / ("m.jpg" if mode == "jpg" else "m.png"))
    edit(room, 0, mask_path="m.jpg" if mode == "jpg" else "m.png")
    np.testing.assert_array_equal(read_mask(read_capture(room).views[0]), wanted)


def test_masks_that_cannot_be_meant(room: Path) -> None:
    edit(room, 0, mask_path="none.png")
    assert "no such mask" in refusal(room).fault
    Image.fromarray(np.zeros((56, 42), np.uint8)).save(room / "none.png")
    assert "the mask is 42x56" in refusal(room).fault


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_photographs_of_other_modes(room: Path, mode: str) -> None:
    values = np.arange(SIZE[0] * SIZE[1]).reshape(SIZE[1], SIZE[0]) % 256
    if mode == "I;16":
        picture = Image.fromarray((values * 257).astype(np.uint16))
    else:
        grey = Image.fromarray(values.astype(np.uint8))
        picture = grey.convert("P") if mode == "P" else grey.convert("RGB").convert(mode)
    picture.save(room / "images" / "other.tif")
    edit(room, 0, file_path="images/other.tif")
    found = read_image(read_capture(room).views[0])
    np.testing.assert_allclose(found, np.repeat(values[:, :, None], 3, axis=2), atol=0 if mode != "CMYK" else 1)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC photograph"),
        (b"\0\0\0\x18ftypavif\0\0\0\0", "an AVIF photograph"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "a video"),
        (b"\x76\x2f\x31\x01\x02\0\0\0", "an OpenEXR image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "a page of HTML"),
        (b"", "an empty file"),
    ],
)
def test_files_that_are_no_images_are_named(room: Path, start: bytes, name: str) -> None:
    (room / "images" / "photo_1.png").write_bytes(start)
    assert name in refusal(room).fault
    (room / "images" / "photo_1.png").write_bytes((room / "images" / "photo_0.png").read_bytes())
    (room / "depth.exr").write_bytes(start)
    edit(room, 0, depth_file_path="depth.exr")
    error = refusal(room)
    assert name in error.fault and error.where.endswith("depth.exr")


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (np.zeros((0, 0), np.float32), "is empty"),
        (np.ones((42, 56), bool), "bool of shape"),
        (np.ones((42, 56, 1), np.float32), "two-dimensional"),
        (np.float32(3), "two-dimensional"),
        (np.ones((42, 56), complex), "two-dimensional"),
    ],
)
def test_odd_depth_maps_are_refused(room: Path, stored: np.ndarray, fault: str) -> None:
    np.save(room / "depth.npy", stored)
    edit(room, 0, depth_file_path="depth.npy")
    assert fault in refusal(room).fault


@pytest.mark.parametrize(
    "stored", [np.full((1, 1), 3.0), np.full((3, 2), 3, np.float16), np.full((42, 56), 3, np.uint8)]
)
def test_odd_depth_maps_that_are_read(room: Path, stored: np.ndarray) -> None:
    np.save(room / "depth.npy", stored)
    edit(room, 0, depth_file_path="depth.npy", depth_unit_scale_factor=1.0)
    scene = read_capture(room)
    depth = read_depth(scene.views[0])
    assert depth is not None and (depth == 3).all()
    assert see_with_maps(scene.coord, scene.views[0], VisibilityRule(depth_margin=0.5)).visible.any()


def test_half_precision_that_overflowed_is_refused(room: Path) -> None:
    np.save(room / "depth.npy", np.full((42, 56), np.inf, np.float16))
    edit(room, 0, depth_file_path="depth.npy")
    with pytest.raises(InputError, match="65504"):
        read_depth(read_capture(room).views[0])


def test_other_names_of_the_unit_of_depth(room: Path) -> None:
    np.save(room / "depth.npy", np.full((42, 56), 3, np.uint16))
    edit(room, 0, depth_path="depth.npy")
    edit(room, drop=("depth_unit_scale_factor",), integer_depth_scale=0.5)
    depth = read_depth(read_capture(room).views[0])
    assert depth is not None and (depth == 1.5).all()
    edit(room, drop=("integer_depth_scale",), depth_scale=5000)
    assert "may mean metres per depth unit" in refusal(room).fault


# ---------------------------------------------------------------------------------------------------------------------
# Bad frames


def test_all_bad_frames_are_named_at_once(room: Path) -> None:
    bad = np.full((4, 4), -np.inf).tolist()
    for frame in (0, 2):
        edit(room, frame, transform_matrix=bad)
    error = refusal(room)
    assert (
        "ScanNet" in error.fault
        and "2 of 3 frames have this fault (images/photo_0.png, images/photo_2.png)" in error.fault
    )
    assert "--skip-bad-views" in error.remedy
    (room / "images" / "photo_1.png").unlink()
    fault = refusal(room).fault
    assert "3 of 3 frames cannot be used" in fault and "no such image" in fault and "not finite" in fault


def damage_pose(room: Path) -> None:
    edit(room, 1, transform_matrix=np.full((4, 4), np.nan).tolist())


def leave_pose_open(room: Path) -> None:
    edit(room, 1, transform_matrix=None)


def leave_numbers_open(room: Path) -> None:
    edit(room, 1, transform_matrix=[[None] * 4] * 4)


def damage_photograph(room: Path) -> None:
    path = room / "images" / "photo_1.png"
    path.write_bytes(path.read_bytes()[:1500])


def damage_depth(room: Path) -> None:
    Image.fromarray(np.ones((42, 56), np.uint16)).save(room / "depth.png")
    (room / "depth.png").write_bytes((room / "depth.png").read_bytes()[:60])
    edit(room, 1, depth_file_path="depth.png")


def remove_mask(room: Path) -> None:
    edit(room, 1, mask_path="none.png")


@pytest.mark.parametrize(
    "damage", [damage_pose, leave_pose_open, leave_numbers_open, damage_photograph, damage_depth, remove_mask]
)
def test_bad_views_are_left_out_where_asked_for(room: Path, tmp_path: Path, damage: Any) -> None:
    damage(room)
    scene = read_capture(room, ReadOptions(skip_bad_views=True))
    assert [view.name for view in scene.views] == ["photo_0", "photo_2"]
    assert "1 of 3 were left out" in said(scene, Grade.WARNED) and "photo_1.png" in said(scene, Grade.WARNED)
    write_capture(scene, tmp_path / "again")
    assert not (tmp_path / "again" / "capture.json").exists()
    (room / "capture.json").write_text('{"skip_bad_views": true}')
    assert len(read_capture(room).views) == 2


def test_bad_views_alone_are_no_capture(room: Path) -> None:
    shutil.rmtree(room / "images")
    assert "3 of 3 frames" in refusal(room, ReadOptions(skip_bad_views=True)).fault


# ---------------------------------------------------------------------------------------------------------------------
# Strangers


@pytest.mark.parametrize(
    ("files", "name"),
    [
        (["sparse/0/cameras.bin"], "a COLMAP project"),
        (["images/1.jpg", "database.db"], "a COLMAP project"),
        (["keyframes/depth/1.png"], "an export of Polycam"),
        (["rgbd/0.jpg"], "a recording of Record3D"),
        (["transforms_train.json"], "a synthetic scene of NeRF"),
        (["scene_vh_clean_2.ply"], "a scan of ScanNet"),
        (["v1.0-mini/scene.json"], "a folder of nuScenes or Lyft"),
    ],
)
def test_folders_of_other_tools_are_named(tmp_path: Path, files: list[str], name: str) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("x")
    error = refusal(tmp_path)
    assert name in error.fault and error.where == str(tmp_path)
    with pytest.raises(InputError, match=name):
        find_captures(tmp_path)


@pytest.mark.parametrize(
    ("file", "start", "name"),
    [
        ("a.zip", b"PK\x03\x04", "a ZIP archive"),
        ("a.obj", b"# Blender\nmtllib a.mtl\n", "an OBJ model"),
        ("a.bin", b"\x01\x02", "a file"),
    ],
)
def test_files_in_the_place_of_a_capture_are_named(tmp_path: Path, file: str, start: bytes, name: str) -> None:
    (tmp_path / file).write_bytes(start)
    assert f"not a capture, but {name}" in refusal(tmp_path / file).fault
    with pytest.raises(InputError, match=name):
        find_captures(tmp_path / file)


def test_a_cloud_of_another_format_is_named(room: Path) -> None:
    (room / "cloud.las").write_bytes(b"LASF" + bytes(400))
    edit(room, ply_file_path="cloud.las")
    assert "this is a LAS or LAZ point cloud, not a PLY file" in refusal(room).fault


def test_a_folder_of_captures_is_no_capture(room: Path) -> None:
    assert "holds captures (room)" in refusal(room.parent).fault
    assert find_captures(room.parent) == [room]
    for name in ("transforms.json", "points.ply"):
        assert refusal(room / name).remedy == f"Name its folder: {room}"


@pytest.mark.parametrize(
    ("units", "metres"), [("inches", 0.0254), ("yards", 0.9144), (0.01, 0.01), ("km", 1000.0), ("0.5", 0.5)]
)
def test_a_unit_is_a_name_or_its_metres(room: Path, units: object, metres: float) -> None:
    sound = read_capture(room).coord
    edit(room, units=units)
    np.testing.assert_allclose(read_capture(room).coord, sound * metres)


@pytest.mark.parametrize(
    ("key", "told", "up"), [("up_axis", "Y", (0, 1, 0)), ("up", [0, 0, 1], (0, 0, 1)), ("world_up", "-z", (0, 0, -1))]
)
def test_the_direction_that_the_file_says_is_up(room: Path, key: str, told: object, up: tuple[int, ...]) -> None:
    edit(room, **{key: told})
    found = read_capture(room)
    assert found.up is not None and tuple(found.up) == up and f"{key} is {told}" in said(found)
    assert tuple(np.asarray(read_capture(room, ReadOptions(up=(1.0, 0.0, 0.0))).up)) == (1, 0, 0)


@pytest.mark.parametrize("told", ["north", [0, 0, 0], [0, 1], True, [0, float("nan"), 0]])
def test_what_is_no_direction_is_not_heeded(room: Path, told: object) -> None:
    edit(room, up=told)
    assert read_capture(room).up is None


@pytest.mark.parametrize("before", ["file:///home/me/room/", "file://"])
def test_paths_as_uris(room: Path, before: str) -> None:
    sound = read_capture(room)
    names = [frame["file_path"] for frame in json.loads((room / "transforms.json").read_text())["frames"]]
    for frame, name in enumerate(names):
        edit(room, frame, file_path=before + name.replace("p", "%70"))
    edit(room, ply_file_path=before + "points.ply")
    assert [view.image for view in read_capture(room).views] == [view.image for view in sound.views]


def test_accents_in_another_form(room: Path) -> None:
    (room / "images").rename(room / "bu\u0308ro")
    for frame in range(3):
        edit(room, frame, file_path=f"b\u00fcro/photo_{frame}.png")
    assert all(isinstance(view.image, Path) and view.image.exists() for view in read_capture(room).views)


def test_blank_names_name_nothing(room: Path) -> None:
    sound = read_capture(room)
    for frame in range(3):
        edit(room, frame, depth_file_path="", mask_path=" ")
    edit(room, ply_file_path="")
    found = read_capture(room)
    assert all(view.mask is None and view.depth is None for view in found.views)
    np.testing.assert_array_equal(found.coord, sound.coord)


def test_a_missing_cloud_is_refused_with_what_lies_there(room: Path) -> None:
    edit(room, ply_file_path="cloud.ply")
    fault = refusal(room)
    assert "cloud.ply" in fault.where and fault.fault == "there is no such point cloud, and points.ply is in the folder"


def test_the_last_row_of_a_pose_may_be_off_by_rounding(room: Path) -> None:
    frame = json.loads((room / "transforms.json").read_text())["frames"][0]
    matrix = frame["transform_matrix"]
    sound = read_capture(room)
    edit(room, 0, transform_matrix=[*matrix[:3], [0.0, 1e-17, 0.0, 1.0]])
    np.testing.assert_array_equal(read_capture(room).views[0].world_to_camera, sound.views[0].world_to_camera)
    edit(room, 0, transform_matrix=[*matrix[:3], [0.0, 1e-3, 0.0, 1.0]])
    assert "the last row of the pose" in refusal(room).fault


def test_a_pose_is_rigid_in_every_frame(room: Path) -> None:
    """What was read may be turned: its poses stay rigid."""
    rng = np.random.default_rng(0)
    view = read_capture(room).views[0]
    for off in (0.0, 0.004, 0.006):
        pose = view.world_to_camera.copy()
        pose[:3, :3] = np.round(pose[:3, :3] + off, 2)
        try:
            kept = replace(view, world_to_camera=pose)
        except InputError:
            continue
        for _ in range(20):
            turn = np.eye(4)
            turn[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0]
            turn[:3, 0] *= np.linalg.det(turn)
            assert replace(kept, world_to_camera=kept.world_to_camera @ turn).is_posed


def test_the_points_of_nerfstudio_tell_that_there_is_no_unit_also_where_they_are_not_named(room: Path) -> None:
    edit(room, applied_transform=[[1.0, 0, 0, 0], [0, 0, 1.0, 0], [0, -1.0, 0, 0]])
    edit(room, drop=("ply_file_path",))
    (room / "points.ply").rename(room / "sparse_pc.ply")
    assert "sparse_pc.ply" in str(read_capture(room).unscaled)


def test_a_capture_of_instant_ngp_without_a_cloud_is_told_where_one_is(room: Path) -> None:
    edit(room, drop=("ply_file_path",), aabb_scale=4)
    (room / "points.ply").unlink()
    assert "instant-ngp writes none" in refusal(room).remedy and "COLMAP" in refusal(room).remedy

"""COLMAP's models, binary and text: the same cameras, poses, patches and points, in every layout, or a reason."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from colmap_files import NUMBER, PARAMETERS, Model, points_of, pose_of, write_binary, write_text
from mutants import read_damaged
from small_world import make_scene

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.colmap_cameras import LENSES
from ditr.captures.images import read_depth
from ditr.errors import Grade, InputError
from ditr.geometry.projection import VisibilityRule, patch_of, project
from ditr.io.ply import write_ply
from ditr.plausibility.judge import judge
from ditr.scene import Camera, CameraModel, ReadOptions, Scene

BOTH = pytest.mark.parametrize("write", [write_binary, write_text])


def save_images(scene: Scene, folder: Path, names: list[str]) -> None:
    from PIL import Image

    for view, name in zip(scene.views, names, strict=True):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        assert isinstance(view.image, np.ndarray)
        Image.fromarray(view.image).save(path)


def model_of(scene: Scene, names: list[str] | None = None) -> Model:
    """A model with the scene's views, as PINHOLE and SIMPLE_RADIAL, and its points; numbers have gaps."""
    names = names or [f"{view.name}.png" for view in scene.views]
    model = Model()
    for row, (view, name) in enumerate(zip(scene.views, names, strict=True)):
        camera = view.camera
        kind, lens = ("SIMPLE_RADIAL", (camera.fx,)) if row % 2 else ("PINHOLE", (camera.fx, camera.fy))
        numbers = (*lens, camera.cx, camera.cy, *((0.0,) if row % 2 else ()))
        model.cameras.append((10 + 3 * row, kind, camera.width, camera.height, numbers))
        seen = [(1.5 * place, 2.0, place if place % 3 else -1) for place in range(row * 5)]
        model.images.append((40 - row, pose_of(view.world_to_camera), 10 + 3 * row, name, seen))
    assert scene.color is not None
    tracks = [[(40, place % 7)] * (place % 4) for place in range(len(scene))]
    model.points = points_of(scene.coord, scene.color, tracks)
    return model


def reconstruction(folder: Path, scene: Scene, write: object = write_binary) -> Scene:
    """A project with ``sparse/0`` and ``images``; the scene that it is of."""
    assert callable(write)
    write(model_of(scene), folder / "sparse" / "0")
    save_images(scene, folder / "images", [f"{view.name}.png" for view in scene.views])
    return scene


@BOTH
def test_cameras_poses_and_points_are_those_of_the_model(tmp_path: Path, write: object) -> None:
    scene = reconstruction(tmp_path / "flat", make_scene(1, views=3), write)
    read = read_capture(tmp_path / "flat")
    assert "sparse/0" in read.findings[0].text and read.name == "flat"
    assert read.unscaled is not None
    np.testing.assert_allclose(read.coord, scene.coord, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(read.color, scene.color)
    np.testing.assert_array_equal(read.extra["reprojection_error"], np.full(len(scene), 0.5, np.float32))
    for before, after in zip(scene.views, read.views, strict=True):
        assert after.name == before.name and after.camera == before.camera
        np.testing.assert_allclose(after.world_to_camera, before.world_to_camera, atol=1e-12)
        one, other = (project(scene.coord, v.camera, v.world_to_camera) for v in (before, after))
        one_patch, other_patch = (
            patch_of(seen.pixel, scale=(1.0, 1.0), patch_size=14, rows=3, columns=4) for seen in (one, other)
        )
        assert (one_patch == other_patch).mean() >= 0.999


@pytest.mark.parametrize("place", ["sparse", "colmap/sparse/0", "colmap_text", "", "dense/sparse"])
def test_models_and_photographs_are_found_where_tools_put_them(tmp_path: Path, place: str) -> None:
    scene = make_scene(1)
    write_text(model_of(scene), tmp_path / place)
    images = tmp_path / "dense" / "images" if place.startswith("dense") else tmp_path / "images"
    save_images(scene, images, ["photo_0.png", "photo_1.png"])
    if place.startswith("dense"):
        (tmp_path / "dense" / "stereo" / "depth_maps").mkdir(parents=True)
    assert [view.name for view in read_capture(tmp_path).views] == ["photo_0", "photo_1"]


def test_the_folder_of_the_model_itself_may_be_named(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    assert len(read_capture(tmp_path / "sparse" / "0").views) == 2


def test_the_model_with_most_images_is_taken_and_said(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1, views=2))
    large = make_scene(1, views=4)
    write_text(model_of(large), tmp_path / "sparse" / "1")
    save_images(large, tmp_path / "images", [f"{view.name}.png" for view in large.views])
    for source, count, said in (
        (tmp_path, 4, "sparse/1 is used, which has the most images (4 images; 0 has 2)"),
        (tmp_path / "sparse", 4, "1 is used, which has the most images (4 images; 0 has 2)"),
        (tmp_path / "sparse" / "0", 2, "the model that was named is used (2 images; 1 has 4)"),
    ):
        read = read_capture(source)
        assert len(read.views) == count
        assert any(said in finding.text for finding in read.findings)


def test_binary_files_count_before_text_and_it_is_said(tmp_path: Path) -> None:
    scene = reconstruction(tmp_path, make_scene(1))
    stale = model_of(scene)
    stale.images = stale.images[:1]
    write_text(stale, tmp_path / "sparse" / "0")
    read = read_capture(tmp_path)
    assert len(read.views) == 2
    assert any(".bin is used" in finding.text for finding in read.findings)


def test_names_with_folders_and_spaces(tmp_path: Path) -> None:
    scene = make_scene(1)
    names = ["left cam/0001.png", "right/0001.png"]
    for write, place in ((write_binary, "b"), (write_text, "t")):
        write(model_of(scene, names), tmp_path / place / "sparse")
        save_images(scene, tmp_path / place / "images", names)
        read = read_capture(tmp_path / place)
        assert [view.name for view in read.views] == ["left cam_0001", "right_0001"]
        write_capture(read, tmp_path / f"{place}-ours")
        assert [view.name for view in read_capture(tmp_path / f"{place}-ours").views] == [v.name for v in read.views]


def test_a_dense_cloud_and_its_depth_maps(tmp_path: Path) -> None:
    scene = make_scene(1, depth=True)
    reconstruction(tmp_path, scene)
    dense = tmp_path / "dense"
    write_binary(model_of(scene), dense / "sparse")
    shutil.copytree(tmp_path / "images", dense / "images")
    columns = {axis: scene.coord[:100, row].astype(np.float32) for row, axis in enumerate("xyz")}
    write_ply(dense / "fused.ply", columns | {c: np.arange(100, dtype=np.uint8) for c in ("red", "green", "blue")})
    maps = dense / "stereo" / "depth_maps"
    maps.mkdir(parents=True)
    for view in scene.views:
        depth = read_depth(view)
        assert depth is not None
        data = f"{depth.shape[1]}&{depth.shape[0]}&1&".encode() + depth.astype("<f4").tobytes()
        (maps / f"{view.name}.png.geometric.bin").write_bytes(data)
    read = read_capture(tmp_path)
    assert len(read) == 100 and "dense/sparse" in read.findings[0].text
    for options, factor in ((None, 1.0), (ReadOptions(unit=2.0), 2.0), (ReadOptions(scale_by=("0", "1", 3.0)), None)):
        told = read_capture(tmp_path, options)
        apart = float(np.linalg.norm(scene.coord[0].astype(np.float32) - scene.coord[1].astype(np.float32)))
        wanted = factor or 3.0 / apart
        for before, after in zip(scene.views, told.views, strict=True):
            stored, depth = read_depth(before), read_depth(after)
            assert stored is not None and depth is not None
            np.testing.assert_allclose(depth, stored * wanted, rtol=1e-5)
            np.testing.assert_allclose(after.center, before.center * wanted, rtol=1e-5)
    write_capture(read, tmp_path / "ours")
    ours = read_capture(tmp_path / "ours", ReadOptions(unit=2.0))
    before, after = read_depth(read.views[0]), read_depth(ours.views[0])
    assert before is not None and ours.unscaled is None
    np.testing.assert_array_equal(after, 2 * before)


def test_the_scale_has_to_be_told(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    rule = VisibilityRule()
    with pytest.raises(InputError, match=r"COLMAP.*--scale-by"):
        judge(read_capture(tmp_path), rule).require()
    write_capture(read_capture(tmp_path), tmp_path / "ours")
    assert read_capture(tmp_path / "ours").unscaled == "it is a reconstruction of COLMAP"
    told = read_capture(tmp_path, ReadOptions(scale_by=("photo_0", "photo_1", 1.5)))
    judge(told, rule).require()
    assert told.unscaled is None
    for names in (("photo_0.png", "photo_1.png"), ("images/photo_0.png", "images/photo_1")):
        again = read_capture(tmp_path, ReadOptions(scale_by=(*names, 1.5)))
        np.testing.assert_array_equal(again.coord, told.coord)
    with pytest.raises(InputError, match=r"oto_0.png and photo_1 are not two views or .* Views are photo_0, photo_1"):
        read_capture(tmp_path, ReadOptions(scale_by=("oto_0.png", "photo_1", 1.5)))
    write_capture(told, tmp_path / "told")
    assert read_capture(tmp_path / "told").unscaled is None


def test_an_image_that_lacks_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    (tmp_path / "images" / "photo_1.png").unlink()
    with pytest.raises(InputError, match=r"photo_1\.png.*--skip-bad-views"):
        read_capture(tmp_path)
    assert len(read_capture(tmp_path, ReadOptions(skip_bad_views=True)).views) == 1
    (tmp_path / "images" / "photo_0.png").unlink()
    with pytest.raises(InputError, match="no folder holds its photographs"):
        read_capture(tmp_path)


def test_smaller_copies_of_the_images_scale_the_cameras(tmp_path: Path) -> None:
    from PIL import Image

    scene = reconstruction(tmp_path, make_scene(1))
    (tmp_path / "images_2").mkdir()
    for path in (tmp_path / "images").iterdir():
        with Image.open(path) as image:
            image.resize((28, 21)).save(tmp_path / "images_2" / path.name)
    shutil.rmtree(tmp_path / "images")
    view = read_capture(tmp_path).views[0]
    assert view.camera == Camera(28, 21, 20.0, 20.0, 14.0, 10.5)
    assert len(scene.views) == 2


# ---- camera models --------------------------------------------------------------------------------------------------


def pixel_of(name: str, p: tuple[float, ...], x: float, y: float) -> tuple[float, float]:
    """Where COLMAP puts the point (x, y, 1), for the models whose terms ours have."""
    fx, fy, (cx, cy, *k) = (p[0], p[0], p[1:]) if LENSES[NUMBER[name]].focals == 1 else (p[0], p[1], p[2:])
    r2, tangential = x * x + y * y, (0.0, 0.0)
    if "FISHEYE" in name:
        theta = np.arctan(np.sqrt(r2))
        k = [k[0], k[1], k[4], k[5]] if name == "THIN_PRISM_FISHEYE" else k[:4]
        growth = theta / np.sqrt(r2) * (1 + sum(c * theta ** (2 * i + 2) for i, c in enumerate(k)))
    else:
        if "OPENCV" in name:
            tangential = (2 * k[2] * x * y + k[3] * (r2 + 2 * x * x), 2 * k[3] * x * y + k[2] * (r2 + 2 * y * y))
        below = k[5:] if name == "FULL_OPENCV" else []
        k = [*k[:2], *k[4:5]] if "OPENCV" in name else k if "RADIAL" in name else []
        growth = 1 + sum(c * r2 ** (i + 1) for i, c in enumerate(k))
        growth /= 1 + sum(c * r2 ** (i + 1) for i, c in enumerate(below))
    return fx * (x * growth + tangential[0]) + cx, fy * (y * growth + tangential[1]) + cy


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name != "EQUIRECTANGULAR"])
@BOTH
def test_camera_models_are_read_exactly_or_refused_by_name(tmp_path: Path, name: str, write: object) -> None:
    assert callable(write)
    scene = make_scene(1, views=1)
    lens = LENSES[NUMBER[name]]
    assert lens.name == name and lens.parameters == PARAMETERS[name]
    start = (*(41.0, 40.0)[: lens.focals], 28.4, 20.7)
    known = tuple(0.0 if term == "-" else 0.02 / (row + 1) for row, term in enumerate(lens.terms))
    model = model_of(scene)
    model.cameras = [(10, name, 56, 42, start + known)]
    write(model, tmp_path / "sparse")
    save_images(scene, tmp_path / "images", ["photo_0.png"])
    camera = read_capture(tmp_path).views[0].camera
    for x, y in ((0.1, 0.2), (-0.4, 0.3), (0.6, -0.5)):
        seen = project(np.array([[x, y, 1.0]]), camera, np.eye(4))
        np.testing.assert_allclose(seen.pixel[0], pixel_of(name, start + known, x, y), atol=1e-9)
    if "-" in lens.terms:
        model.cameras = [(10, name, 56, 42, start + tuple(v or 0.01 for v in known))]
        write(model, tmp_path / "sparse")
        with pytest.raises(InputError, match=f"sparse, camera 10: .*{name}.*colmap image_undistorter"):
            read_capture(tmp_path)


def test_an_image_without_its_camera_is_named_with_the_model(tmp_path: Path) -> None:
    scene = make_scene(1, views=1)
    model = model_of(scene)
    model.cameras = [(11, *row[1:]) for row in model.cameras]
    write_binary(model, tmp_path / "sparse")
    save_images(scene, tmp_path / "images", ["photo_0.png"])
    with pytest.raises(InputError, match=r"sparse, image photo_0.png: its camera \d+ is not in the model"):
        read_capture(tmp_path)


def test_a_panorama_is_refused_by_name(tmp_path: Path) -> None:
    scene = make_scene(1, views=1)
    model = model_of(scene)
    model.cameras = [(10, "EQUIRECTANGULAR", 56, 42, (56.0, 42.0))]
    write_binary(model, tmp_path / "sparse")
    save_images(scene, tmp_path / "images", ["photo_0.png"])
    with pytest.raises(InputError, match="EQUIRECTANGULAR"):
        read_capture(tmp_path)


def test_a_lens_without_distortion_is_a_pinhole(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    assert {view.camera.model for view in read_capture(tmp_path).views} == {CameraModel.PINHOLE}


# ---- damage ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cameras", "images", "points3D"])
def test_counts_are_compared_with_the_file(tmp_path: Path, name: str) -> None:
    reconstruction(tmp_path, make_scene(1))
    path = tmp_path / "sparse" / "0" / f"{name}.bin"
    data = path.read_bytes()
    path.write_bytes(struct.pack("<Q", 2**60) + data[8:])
    with pytest.raises(InputError, match="declares 1152921504606846976") as caught:
        read_capture(tmp_path)
    assert caught.value.where.endswith(f"{name}.bin")
    path.write_bytes(data[:-3])
    with pytest.raises(InputError, match="damaged"):
        read_capture(tmp_path)


def test_a_model_without_points_is_refused(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    (tmp_path / "sparse" / "0" / "points3D.bin").unlink()
    with pytest.raises(InputError, match="no points"):
        read_capture(tmp_path)


def test_an_unknown_model_of_a_camera_stops_the_reader(tmp_path: Path) -> None:
    reconstruction(tmp_path, make_scene(1))
    path = tmp_path / "sparse" / "0" / "cameras.bin"
    data = bytearray(path.read_bytes())
    data[12:16] = struct.pack("<i", 99)
    path.write_bytes(data)
    with pytest.raises(InputError, match="model 99"):
        read_capture(tmp_path)


@BOTH
@pytest.mark.parametrize("count", [50, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_models_are_refused_or_read(tmp_path: Path, write: object, count: int) -> None:
    reconstruction(tmp_path, make_scene(1, points=40), write)
    files = sorted((tmp_path / "sparse" / "0").iterdir())
    read, worst = read_damaged(tmp_path, count, seed=2, files=files)
    print(f"{files[0].suffix}: {count} damaged models, {read} of them read, {worst}")
    assert 0 < read < count and worst.beyond < 0
    assert not [f for f in read_capture(tmp_path).findings if f.grade is Grade.WARNED]

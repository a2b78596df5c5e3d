"""Formats of photographs with depth: read from folders that others' rules wrote, with the same patches and a cloud."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutants import read_damaged
from phone_folders import WRITERS, save_depth, write_arkitscenes, write_open3d, write_polycam, write_record3d, write_tum
from seen_patches import same_patches
from small_world import CAMERA, look_at, photograph

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.captures.images import read_depth
from ditr.errors import Grade, InputError
from ditr.geometry.projection import project
from ditr.scene import Camera, ReadOptions, Scene, View

CORNER = (3.0, 4.0, 2.5)
"""A room from the origin to here."""


def box_depth(camera: Camera, pose: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) float32 metres to the walls of the room, as a depth map of ``size`` (width, height) has them."""
    x, y = ((np.arange(n) + 0.5) * whole / n for n, whole in zip(size, (camera.width, camera.height), strict=True))
    across, down = np.meshgrid((x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy)
    rays = np.stack([across, down, np.ones_like(across)], axis=2) @ pose[:3, :3]
    center = -pose[:3, :3].T @ pose[:3, 3]
    with np.errstate(divide="ignore"):
        far = np.maximum((np.array(CORNER) - center) / rays, -center / rays)
    return far.min(axis=2).astype(np.float32)


def box_scene(views: int = 4) -> Scene:
    """Points on the walls of a room, and photographs with depth maps of half their size, taken inside."""
    rng = np.random.default_rng(5)
    coord = rng.uniform((0, 0, 0), CORNER, (4000, 3))
    axis, side = rng.integers(0, 3, 4000), rng.integers(0, 2, 4000)
    coord[np.arange(4000), axis] = side * np.array(CORNER)[axis]
    camera = replace(CAMERA, width=112, height=84, fx=75.0, fy=76.0, cx=55.2, cy=43.1)
    shots = []
    for number in range(views):
        angle = 2 * np.pi * number / views + 0.3
        target = (1.5 + 2 * np.cos(angle), 2.0 + 2 * np.sin(angle), 1.1)
        pose = look_at((1.5, 1.9, 1.3), target)
        shots.append(View(f"{number}", camera, pose, photograph(rng, camera), depth=box_depth(camera, pose, (56, 42))))
    return Scene("box", coord, tuple(shots))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_folder_is_recognised_and_its_points_lie_in_the_same_patches(tmp_path: Path, kind: str) -> None:
    scene = box_scene()
    WRITERS[kind](scene, tmp_path / "scan")
    read = read_capture(tmp_path / "scan")
    assert read.findings[0].about == "format"
    assert same_patches(scene, read) >= 0.999
    for view, before in zip(read.views, scene.views, strict=True):
        depth, stored = read_depth(view), read_depth(before)
        assert depth is not None and stored is not None
        np.testing.assert_allclose(depth, stored, atol=0.0006)
    if kind in ("polycam", "arkitscenes"):
        assert read.up is not None
        assert read.up.tolist() == ([0, 1, 0] if kind == "polycam" else [0, 0, 1])
    else:
        assert read.up is None


@pytest.mark.parametrize("kind", WRITERS)
def test_a_cloud_is_fused_on_the_surfaces_with_their_normals(tmp_path: Path, kind: str) -> None:
    WRITERS[kind](box_scene(), tmp_path / "scan")
    read = read_capture(tmp_path / "scan")
    assert any(finding.about == "cloud" and "2 cm" in finding.text for finding in read.findings)
    assert len(read) > 3000 and read.color is not None and read.normal is not None
    low, high = read.coord, np.array(CORNER) - read.coord
    off = np.abs(np.concatenate([low, high], axis=1))
    assert np.quantile(off.min(axis=1), 0.99) < 0.005
    inside = off.min(axis=1) < 0.005
    wall = off[inside].argmin(axis=1)
    wanted = np.concatenate([np.eye(3), -np.eye(3)])[wall]
    assert np.quantile((read.normal[inside] * wanted).sum(axis=1), 0.05) > 0.98
    assert len(np.unique(np.floor(read.coord / 0.02), axis=0)) > 0.99 * len(read)


def test_colours_of_a_fused_cloud_are_those_of_the_photographs(tmp_path: Path) -> None:
    scene = box_scene()
    write_tum(scene, tmp_path / "scan")
    read = read_capture(tmp_path / "scan")
    assert read.color is not None
    view = scene.views[0]
    seen = project(read.coord, view.camera, view.world_to_camera)
    column, row = np.floor(seen.pixel[seen.visible]).astype(int).T
    assert isinstance(view.image, np.ndarray)
    difference = np.abs(view.image[row, column].astype(int) - read.color[seen.visible])
    assert np.median(difference) < 12


def test_a_fused_capture_is_written_and_read_back(tmp_path: Path) -> None:
    write_record3d(box_scene(), tmp_path / "scan")
    read = read_capture(tmp_path / "scan")
    write_capture(read, tmp_path / "ours")
    again = read_capture(tmp_path / "ours")
    np.testing.assert_array_equal(again.coord, read.coord)
    for before, after in zip(read.views, again.views, strict=True):
        one, other = read_depth(before), read_depth(after)
        assert one is not None and other is not None
        np.testing.assert_array_equal(one, other)


def test_unsure_depth_does_not_count(tmp_path: Path) -> None:
    write_polycam(box_scene(2), tmp_path / "scan")
    first = sorted((tmp_path / "scan/keyframes/confidence").iterdir())[0]
    both = len(read_capture(tmp_path / "scan"))
    from PIL import Image

    Image.fromarray(np.zeros((42, 56), np.uint8)).save(first)
    assert len(read_capture(tmp_path / "scan")) < 0.7 * both


def test_a_capture_of_ours_without_a_cloud_is_fused_also_through_a_lens(tmp_path: Path) -> None:
    scene = box_scene()
    write_capture(scene, tmp_path / "scan", image_format="png")
    (tmp_path / "scan" / "points.ply").unlink()
    content = json.loads((tmp_path / "scan" / "transforms.json").read_bytes())
    del content["ply_file_path"]
    (tmp_path / "scan" / "transforms.json").write_text(json.dumps(content))
    straight = read_capture(tmp_path / "scan")
    for frame in content["frames"]:
        frame |= {"camera_model": "OPENCV", "k1": 1e-9, "k2": 0.0, "p1": 0.0, "p2": 0.0}
    content.pop("camera_model", None)
    (tmp_path / "scan" / "transforms.json").write_text(json.dumps(content))
    bent = read_capture(tmp_path / "scan")
    assert abs(len(straight) - len(bent)) < 0.01 * len(straight)
    for read in (straight, bent):
        off = np.abs(np.concatenate([read.coord, np.array(CORNER) - read.coord], axis=1)).min(axis=1)
        assert np.quantile(off, 0.99) < 0.005


def test_poses_in_millimetres_are_fused_as_told(tmp_path: Path) -> None:
    scene = box_scene()
    large = []
    for view in scene.views:
        pose = view.world_to_camera.copy()
        pose[:3, 3] *= 1000
        large.append(replace(view, world_to_camera=pose))
    write_open3d(scene, tmp_path / "metres")
    write_open3d(replace(scene, views=tuple(large)), tmp_path / "millimetres")
    metres = read_capture(tmp_path / "metres")
    told = read_capture(tmp_path / "millimetres", ReadOptions(unit=0.001))
    assert len(metres) == pytest.approx(len(told), rel=0.01)
    assert np.abs(told.coord).max() == pytest.approx(np.abs(metres.coord).max(), rel=0.01)


def test_images_of_another_size_scale_their_cameras(tmp_path: Path) -> None:
    from PIL import Image

    scene = box_scene(2)
    write_polycam(scene, tmp_path / "scan")
    for path in (tmp_path / "scan/keyframes/corrected_images").iterdir():
        with Image.open(path) as image:
            half = image.resize((56, 42))
        half.save(path)
    read = read_capture(tmp_path / "scan")
    assert read.views[0].camera.fx == pytest.approx(37.5)
    assert any("0.5 times" in finding.text for finding in read.findings)
    for path in (tmp_path / "scan/keyframes/corrected_images").iterdir():
        Image.new("RGB", (70, 42)).save(path)
    with pytest.raises(InputError, match="its camera 112x84"):
        read_capture(tmp_path / "scan")


def test_a_polycam_export_without_corrections_is_read_and_said(tmp_path: Path) -> None:
    scene = box_scene(2)
    write_polycam(scene, tmp_path / "scan", corrected=False)
    read = read_capture(tmp_path / "scan")
    assert same_patches(scene, read) >= 0.999
    assert any(finding.about == "poses" for finding in read.findings)


def test_a_recording_without_poses_is_refused(tmp_path: Path) -> None:
    scene = box_scene(3)
    still = tuple(replace(view, world_to_camera=np.diag([1.0, -1, -1, 1])) for view in scene.views)
    write_record3d(replace(scene, views=still), tmp_path / "scan")
    with pytest.raises(InputError, match="no poses"):
        read_capture(tmp_path / "scan")


def test_packed_depth_is_unpacked_or_the_package_is_named(tmp_path: Path) -> None:
    scene = box_scene(2)
    write_record3d(scene, tmp_path / "scan")
    path = tmp_path / "scan" / "rgbd" / "0.depth"
    raw = path.read_bytes()
    # A stream of one part that is stored as it is.
    path.write_bytes(b"bvx-" + len(raw).to_bytes(4, "little") + raw + b"bvx$")
    try:
        import lzfse  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match=r"pip install 'ditr\[record3d\]'"):
            read_capture(tmp_path / "scan")
    else:
        assert len(read_capture(tmp_path / "scan")) > 1000
    path.write_bytes(b"bvx-" + (1 << 30).to_bytes(4, "little") + raw)
    with pytest.raises(InputError, match="unpack to more than 16 MB"):
        read_capture(tmp_path / "scan")


def test_arkitscenes_takes_its_mesh_and_leaves_out_what_has_no_pose(tmp_path: Path) -> None:
    from ditr.io.ply import write_ply

    scene = box_scene(4)
    write_arkitscenes(scene, tmp_path / "scan")
    columns = {axis: scene.coord[:, place].astype(np.float32) for place, axis in enumerate("xyz")}
    write_ply(tmp_path / "scan" / "41048190_3dod_mesh.ply", columns)
    trajectory = tmp_path / "scan" / "41048190_frames" / "lowres_wide.traj"
    trajectory.write_text("".join(trajectory.read_text().splitlines(keepends=True)[:3]))
    read = read_capture(tmp_path / "scan")
    assert len(read.views) == 3 and len(read) == len(scene)
    assert any("1 of 4 photographs" in finding.text for finding in read.findings)


def test_poses_between_those_of_a_trajectory_are_interpolated(tmp_path: Path) -> None:
    scene = box_scene(2)
    write_tum(scene, tmp_path / "scan")
    lines = ["1305031102.125304 0 0 0 0 0 0 1\n", "1305031102.225304 1 0 0 0 0 0.70710678118 0.70710678118\n"]
    (tmp_path / "scan" / "groundtruth.txt").write_text("".join(lines))
    read = read_capture(tmp_path / "scan")
    assert len(read.views) == 1
    np.testing.assert_allclose(read.views[0].center, (0.5, 0, 0), atol=1e-9)
    turned = read.views[0].camera_to_world[:3, 0]
    np.testing.assert_allclose(turned, (np.sqrt(0.5), np.sqrt(0.5), 0), atol=1e-9)


def test_depth_in_another_unit_is_doubted_and_told(tmp_path: Path) -> None:
    scene = box_scene(2)
    write_tum(scene, tmp_path / "scan")
    for view, path in zip(scene.views, sorted((tmp_path / "scan" / "depth").iterdir()), strict=True):
        save_depth(view, path, 0.002)
    doubted = read_capture(tmp_path / "scan").findings
    warned = [finding for finding in doubted if finding.grade is Grade.WARNED]
    assert [finding.about for finding in warned] == ["depth"] and "--depth-unit" in warned[0].remedy
    told = read_capture(tmp_path / "scan", ReadOptions(depth_unit=0.002))
    assert not [finding for finding in told.findings if finding.grade is Grade.WARNED]
    off = np.abs(np.concatenate([told.coord, np.array(CORNER) - told.coord], axis=1)).min(axis=1)
    assert np.quantile(off, 0.99) < 0.005


def test_the_camera_of_a_folder_that_does_not_say_it_is_warned_of(tmp_path: Path) -> None:
    from PIL import Image

    scene = box_scene(2)
    folder = tmp_path / "rgbd_dataset_freiburg1_desk"
    write_tum(scene, folder, calibration=False)
    for path in (folder / "rgb").iterdir():
        Image.new("RGB", (640, 480)).save(path)
    read = read_capture(folder)
    camera = read.views[0].camera
    assert camera.cx == pytest.approx(318.6 + 0.5) and len(camera.distortion) == 5
    assert any("freiburg1" in finding.text for finding in read.findings if finding.grade is Grade.WARNED)


@pytest.mark.parametrize(
    ("writer", "name", "fault"),
    [
        (write_polycam, "keyframes/corrected_cameras/1650000000000000.json", "not a number"),
        (write_record3d, "metadata", "poses is not"),
        (write_arkitscenes, "41048190_frames/lowres_wide.traj", "does not have 7 numbers"),
        (write_tum, "groundtruth.txt", "does not have 8 numbers"),
        (write_open3d, "trajectory.log", "three numbers"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, writer: object, name: str, fault: str) -> None:
    assert callable(writer)
    writer(box_scene(2), tmp_path / "scan")
    (tmp_path / "scan" / name).write_text('{"w": 3}' if name != "trajectory.log" else "1 2 3\n1 2\n")
    with pytest.raises(InputError, match=fault) as caught:
        read_capture(tmp_path / "scan")
    assert Path(caught.value.where).name == Path(name).name


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("count", [50, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_folders_are_refused_or_read(tmp_path: Path, kind: str, count: int) -> None:
    WRITERS[kind](box_scene(2), tmp_path / "scan")
    read, worst = read_damaged(tmp_path / "scan", count, seed=1)
    print(f"{kind}: {count} damaged folders, {read} of them read, {worst}")
    assert 0 < read < count and worst.beyond < 0
    assert len(read_capture(tmp_path / "scan").views) == 2


def test_a_folder_of_several_scans_asks_for_one(tmp_path: Path) -> None:
    write_tum(box_scene(2), tmp_path / "desk")
    write_polycam(box_scene(2), tmp_path / "hall")
    with pytest.raises(InputError, match="this folder holds desk, hall"):
        read_capture(tmp_path)
    assert find_captures(tmp_path) == [tmp_path / "desk", tmp_path / "hall"]


def test_a_room_is_fused_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("embreex", reason="Rooms needs embreex")
    from scipy.spatial import cKDTree

    from ditr.worlds.rooms import RoomsConfig, make_room

    room = make_room(RoomsConfig(train=1, test=1, views=6, width=160, height=120, spacing=0.03), "train", 0)
    write_arkitscenes(room, tmp_path / "scan")
    read = read_capture(tmp_path / "scan")
    assert same_patches(room, read) >= 0.999
    distance, near = cKDTree(room.coord).query(read.coord)
    assert np.quantile(distance, 0.9) < 0.05
    assert room.normal is not None and read.normal is not None
    assert np.median((room.normal[near] * read.normal).sum(axis=1)) > 0.95

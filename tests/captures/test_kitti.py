"""Drives of KITTI: read sweep by sweep, with the patches of the scenes that they were written from."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kitti_trees import numbers, rectified_scene, write_object, write_odometry, write_raw
from pandaset_drives import PANDASET, frames_of
from seen_patches import same_patches
from small_world import make_scene

import ditr
from ditr.captures.capture import read_capture, write_capture
from ditr.captures.drives import Drive
from ditr.captures.folders import find_captures, fingerprint
from ditr.errors import InputError
from ditr.geometry.projection import project
from ditr.io.pickle_reader import read_pickle_file
from ditr.scene import ReadOptions, Scene

SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
needs_samples = pytest.mark.skipif(not SAMPLES.exists(), reason="../shared is missing")


def sweeps(count: int = 3) -> list[Scene]:
    return [rectified_scene(make_scene(seed)) for seed in range(count)]


def moves(count: int = 3) -> list[np.ndarray]:
    """Poses (4, 4) of a LiDAR that drives a bend."""
    poses = []
    for number in range(count):
        angle, pose = 0.1 * number, np.eye(4)
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose[:3, 3] = (1.5 * number, 0.2 * number**2, 0.01 * number)
        poses.append(pose)
    return poses


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    write_odometry(sweeps(), tmp_path / "sequences" / "04", moves(), (0.0, 0.1036, 0.2072))
    return tmp_path / "sequences" / "04"


def test_a_sequence_is_an_iterable_of_its_sweeps(sequence: Path) -> None:
    drive = ditr.read(sequence)
    assert isinstance(drive, Drive)
    assert drive.names() == ["000000", "000001", "000002"] and len(drive) == 3 and drive.name == "04"
    for number, (scene, before, pose) in enumerate(zip(drive, sweeps(), moves(), strict=True)):
        assert scene.name == f"04_00000{number}"
        assert str(scene.findings[0]) == (
            "format: read as a sequence of KITTI odometry, since it has velodyne/*.bin and calib.txt."
        )
        assert same_patches(before, scene) >= 0.999
        np.testing.assert_allclose(scene.coord, before.coord, atol=1e-6)
        assert [view.name for view in scene.views] == ["image_2", "image_3"]
        for view, true in zip(scene.views, before.views, strict=True):
            np.testing.assert_allclose(view.world_to_camera, true.world_to_camera, atol=1e-9)
            np.testing.assert_allclose(view.camera.intrinsics, true.camera.intrinsics, atol=1e-9)
            assert (view.camera.width, view.camera.height) == (true.camera.width, true.camera.height)
        assert scene.up is not None and scene.up.tolist() == [0, 0, 1]
        assert scene.label is not None and before.label is not None
        names = [scene.class_names[label] if label >= 0 else "" for label in scene.label]
        assert names == [("car", "road", "building", "")[label] for label in before.label]
        np.testing.assert_allclose(scene.properties["lidar_to_world"], np.linalg.inv(moves()[0]) @ pose, atol=1e-9)
        assert scene.properties["time"] == pytest.approx(0.1036 * number)


def test_a_sweep_has_an_address_that_whatever_takes_captures_takes(sequence: Path, tmp_path: Path) -> None:
    addresses = find_captures(sequence)
    assert addresses == [sequence / f"00000{number}" for number in range(3)]
    scene = read_capture(addresses[1])
    assert scene.name == "04_000001" and len(scene.views) == 2
    write_capture(scene, tmp_path / "ours")
    again = read_capture(tmp_path / "ours")
    assert again.properties["lidar_to_world"] == scene.properties["lidar_to_world"]
    np.testing.assert_array_equal(again.coord, scene.coord)
    assert find_captures(sequence.parent) == addresses
    assert find_captures(sequence, ReadOptions(every=2)) == addresses[::2]
    assert find_captures(sequence, ReadOptions(first=2)) == addresses[:2]
    digests = [fingerprint(address) for address in addresses]
    assert len({tuple(digest) for digest in digests}) == 3 and digests[0] == fingerprint(addresses[0])


def test_one_scene_is_wanted_and_a_drive_has_many(sequence: Path) -> None:
    with pytest.raises(InputError, match=r"with 3 scenes, but one scene is expected. Name one of them, as .*04/000000"):
        read_capture(sequence)
    with pytest.raises(InputError, match=r"no such scene. Did you mean 000001"):
        read_capture(sequence / "00001")
    assert read_capture(sequence, ReadOptions(first=1)).name == "04_000000"


def test_a_sequence_without_photographs_is_sweeps_alone(sequence: Path) -> None:
    for name in ("image_2", "image_3"):
        shutil.rmtree(sequence / name)
    (sequence / "calib.txt").unlink()
    scene = read_capture(sequence / "000002")
    assert scene.views == () and scene.label is not None and "lidar_to_world" not in scene.properties


def test_photographs_that_are_missing_are_said(sequence: Path) -> None:
    (sequence / "image_3" / "000001.png").unlink()
    scene = read_capture(sequence / "000001")
    assert [view.name for view in scene.views] == ["image_2"]
    assert any("image_3 has no photograph" in finding.text for finding in scene.findings)


@pytest.mark.parametrize(
    ("line", "instead", "said"),
    [
        ("Tr: ", "Qr: ", r"it has no Tr. The calib.txt beside the images lacks it"),
        ("P2: ", "P9: ", "it has no P2"),
        ("P3: ", "P3: 1 ", "P3 is not 3 x 4 finite numbers"),
        ("Tr: ", "Tr: nan ", "Tr is not 3 x 4"),
        ("Tr: ", "Tr: 9 9 9 9 9 9 9 9 9 9 9 9\nOther: ", "Tr is not a rotation"),
        ("P2: ", "P2: 1 2 3 4 5 6 7 8 9 10 11 12\nOther: ", "P2 is not a projection of a rectified camera"),
    ],
)
def test_a_calibration_with_a_fault_is_named(sequence: Path, line: str, instead: str, said: str) -> None:
    path = sequence / "calib.txt"
    path.write_text(path.read_text(encoding="utf-8").replace(line, instead), encoding="utf-8")
    with pytest.raises(InputError, match=said) as caught:
        read_capture(sequence / "000000")
    assert caught.value.where == str(path)


def test_lists_that_end_too_early_and_damaged_sweeps_are_named(sequence: Path) -> None:
    (sequence / "times.txt").write_text("0\n0.1\n", encoding="utf-8")
    with pytest.raises(InputError, match="it has 2 lines, and the last sweep is number 2"):
        read_capture(sequence / "000000")
    (sequence / "times.txt").unlink()
    sweep = sequence / "velodyne" / "000001.bin"
    sweep.write_bytes(sweep.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"000001.bin: its .* bytes are not 16 for each point"):
        read_capture(sequence / "000001")


def test_frames_of_the_object_benchmark_have_a_calibration_each(tmp_path: Path) -> None:
    scenes = [
        rectified_scene(scene, [offset])
        for scene, offset in zip([make_scene(0), make_scene(1)], [(0.06, 0.0, 0.003), (0.1, -0.2, 0.05)], strict=True)
    ]
    write_object(scenes, tmp_path / "training", first=7)
    drive = ditr.read(tmp_path / "training")
    assert isinstance(drive, Drive) and drive.names() == ["000007", "000008"]
    for before, scene in zip(scenes, drive, strict=True):
        assert same_patches(before, scene) >= 0.999
        assert scene.findings[0].text.startswith(
            "read as frames of KITTI object, since it has velodyne/*.bin and calib/"
        )
    path = tmp_path / "training" / "calib" / "000008.txt"
    # Files of the tracking benchmark have other names, and no colon behind some.
    text = path.read_text(encoding="utf-8").replace("R0_rect:", "R_rect").replace("Tr_velo_to_cam:", "Tr_velo_cam")
    path.write_text(text, encoding="utf-8")
    assert same_patches(scenes[1], read_capture(tmp_path / "training" / "000008")) >= 0.999
    path.unlink()
    with pytest.raises(
        InputError, match=r"000008.txt: there is no such file, the calibration of this frame's photographs"
    ):
        drive.scene(1)


def test_a_raw_drive_is_read_with_the_calibration_of_its_date_and_the_poses_of_the_car(tmp_path: Path) -> None:
    drive_folder = tmp_path / "2011_09_26" / "2011_09_26_drive_0001_sync"
    write_raw(sweeps(), drive_folder, moves(), [46800.5 + 0.1 * number for number in range(3)])
    drive = ditr.read(drive_folder)
    assert isinstance(drive, Drive) and drive.names()[2] == "0000000002"
    imu_to_lidar = np.eye(4)
    imu_to_lidar[:3, 3] = (-0.8, 0.3, -0.8)
    for number, (before, scene) in enumerate(zip(sweeps(), drive, strict=True)):
        assert same_patches(before, scene) >= 0.999
        assert [view.name for view in scene.views] == ["image_02", "image_03"]
        expected = moves()[number] @ np.linalg.inv(imu_to_lidar)
        np.testing.assert_allclose(scene.properties["lidar_to_world"], expected, atol=1e-4)
    assert find_captures(tmp_path / "2011_09_26") == drive.paths()
    (tmp_path / "2011_09_26" / "calib_velo_to_cam.txt").unlink()
    with pytest.raises(InputError, match=r"calib_velo_to_cam.txt: the calibration of these photographs is missing"):
        ditr.read(drive_folder)


@pytest.mark.skipif(not PANDASET.exists(), reason="../shared is missing")
@pytest.mark.parametrize("layout", ["odometry", "raw", "object"])
def test_frames_of_pandaset(tmp_path: Path, layout: str) -> None:
    """With the camera that looks ahead; a frame is a drive of its own, since the car moved before a shutter opened."""
    (frame,) = frames_of(1)
    view = replace(frame.views[0], name="image_2")
    scene = replace(frame, views=(view,), label=None, class_names=())
    if layout == "odometry":
        write_odometry([scene], tmp_path / "drive")
    elif layout == "raw":
        write_raw([scene], tmp_path / "drive", [np.eye(4)], (46800.0,))
    else:
        write_object([scene], tmp_path / "drive")
    read = read_capture(tmp_path / "drive")
    assert len(read) == len(frame)
    same = same_patches(scene, read)
    print(f"{layout}: {same:.6f} of points have the same patch")
    assert same >= 0.999


@needs_samples
def test_the_real_frame_of_the_object_benchmark(tmp_path: Path) -> None:
    """Its calibration is kept in a pickle of another tool, and is written here as the benchmark has it."""
    folder = SAMPLES / "kitti_object_000008"
    (info,) = read_pickle_file(folder / "000008.pkl")["data_list"]  # type: ignore[index, call-overload]
    matrix = {name: np.array(info["images"]["CAM2"][name]) for name in ("cam2img", "lidar2img")}
    turn, lidar = np.array(info["images"]["R0_rect"]), np.array(info["lidar_points"]["Tr_velo_to_cam"])
    lines = [f"P2: {numbers(matrix['cam2img'][:3])}", f"R0_rect: {numbers(turn[:3, :3])}"]
    lines += [f"Tr_velo_to_cam: {numbers(lidar[:3])}"]
    for place, name in (("velodyne", "000008.bin"), ("image_2", "000008.png")):
        (tmp_path / place).mkdir()
        shutil.copy(folder / name, tmp_path / place / name)
    (tmp_path / "calib").mkdir()
    (tmp_path / "calib" / "000008.txt").write_text("\n".join(lines), encoding="utf-8")
    scene = read_capture(tmp_path)
    assert len(scene) == 17238 and (scene.views[0].camera.width, scene.views[0].camera.height) == (1242, 375)
    pixel = matrix["lidar2img"] @ np.vstack([scene.coord.T, np.ones(len(scene))])
    seen = project(scene.coord, scene.views[0].camera, scene.views[0].world_to_camera)
    assert seen.visible.mean() > 0.99  # these are the points that the camera shows
    np.testing.assert_allclose(seen.pixel, (pixel[:2] / pixel[2]).T + 0.5, atol=1e-3)


@needs_samples
def test_the_real_sweep_of_semantic_kitti() -> None:
    scene = read_capture(SAMPLES / "semantickitti_tiny" / "sequences" / "00")
    assert len(scene) == 50 and scene.label is not None and scene.views == ()
    assert {scene.class_names[label] for label in np.unique(scene.label[scene.label >= 0])} >= {
        "building",
        "vegetation",
    }

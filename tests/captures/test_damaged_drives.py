"""Damaged drives of every format are an error that names the file, or scenes: never a crash, and little memory."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cloud_files
import numpy as np
import pytest
from bags import drive_past, write_bag
from kitti_trees import rectified_scene, write_object, write_odometry, write_raw
from small_world import make_scene
from watched import Watched

from ditr.scene import Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")

# Opens the drive that a file belongs to and reads its scenes with their photographs, where a reader would read them.
_SET_UP = """
import json, resource, sys, time
from importlib import import_module
from pathlib import Path
from ditr.captures import apart, bag_apart, capture, drives, images, rosbag, whole
from ditr.errors import InputError
from ditr.scene import ReadOptions

class Here:
    def __init__(self, path):
        self.path, self.bag = path, apart.guarded(path, bag_apart.OpenBag)
        self.topics = self.bag.topics
    def look_through(self, *names):
        return apart.guarded(self.path, lambda _: self.bag.look_through(*names))
    def fetch(self, places):
        return apart.guarded(self.path, lambda _: self.bag.fetch(places))
    def __del__(self):
        if hasattr(self, "bag"):
            self.bag.close()

rosbag.RemoteBag = Here
for name in ("rosbags.rosbag1", "rosbags.rosbag2", "rosbags.typesys", "PIL.Image", "PIL.JpegImagePlugin"):
    import_module(name)

def read(path):
    rosbag._opened.cache_clear()
    opened = drives.open_drive(path, ReadOptions())
    if opened is None:
        return len(capture.read_capture(path))
    count = 0
    for scene in opened:
        count += len(scene)
        for view in scene.views if not whole.file_faults(scene.views) else ():
            images.read_image(view)
    return count
"""


def scenes() -> list[Scene]:
    return [rectified_scene(make_scene(5, points=120))]


def kitti_odometry(folder: Path) -> tuple[Path, list[Path]]:
    root = folder / "sequences" / "00"
    write_odometry(scenes(), root, [np.eye(4)], (0.5,))
    names = ("calib.txt", "times.txt", "velodyne/000000.bin", "labels/000000.label", "image_2/000000.png")
    return root, [*(root / name for name in names), folder / "poses" / "00.txt"]


def kitti_raw(folder: Path) -> tuple[Path, list[Path]]:
    root = folder / "date" / "drive_sync"
    write_raw(scenes(), root, [np.eye(4)], (0.5,))
    calibrations = ("calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt")
    inside = ("oxts/data/0000000000.txt", "velodyne_points/data/0000000000.bin")
    return root, [*(root.parent / name for name in calibrations), *(root / name for name in inside)]


def kitti_object(folder: Path) -> tuple[Path, list[Path]]:
    root = folder / "training"
    write_object(scenes(), root)
    return root, [root / name for name in ("calib/000000.txt", "velodyne/000000.bin", "image_2/000000.png")]


def bag(kind: str, pattern: str = "") -> Callable[[Path], tuple[Path, list[Path]]]:
    def write(folder: Path) -> tuple[Path, list[Path]]:
        sweeps, poses, lidar = drive_past(1)
        path = folder / "drive.bag" if kind.startswith("bag") else folder / "drive"
        write_bag(path, kind, sweeps, poses[:8], lidar)
        return path, list(path.glob(pattern)) if pattern else [path]

    return write


WRITERS: dict[str, Callable[[Path], tuple[Path, list[Path]]]] = {
    "kitti_odometry": kitti_odometry,
    "kitti_raw": kitti_raw,
    "kitti_object": kitti_object,
    "bag": bag("bag"),
    "bag_lz4": bag("bag.lz4"),
    "bag_bz2": bag("bag.bz2"),
    "db3": bag("db3", "*.db3"),
    "db3_zstd": bag("db3.zstd", "*.zstd"),
    "mcap": bag("mcap", "*.mcap"),
    "metadata": bag("mcap", "metadata.yaml"),
}
"""Each writes a drive, and gives it and its files."""


def survive(folder: Path, kind: str, count: int, victim: cloud_files.Victim) -> None:
    """Read drives of which one file is damaged, and judge what came of them."""
    folder.mkdir()
    drive, files = WRITERS[kind](folder)
    sound = {file: file.read_bytes() for file in files}
    read, worst = 0, Watched()
    outcome, *_ = victim.read(drive)
    assert outcome.startswith("read "), outcome
    mutants = {file: iter(cloud_files.mutants(data, count)) for file, data in sound.items()}
    for number in range(count):
        file = files[number % len(files)]
        file.write_bytes(next(mutants[file]))
        outcome, seconds, memory = victim.read(drive)
        if outcome.startswith("died"):
            print(kind, number, outcome)
            outcome, seconds, memory = victim.read(drive)  # in a new process: the first had read thousands
        worst.see(seconds, memory, sum(path.stat().st_size for path in folder.rglob("*")))
        read += outcome.startswith("read ")
        # A photograph in a bag is not a file, and its view is named.
        named = str(folder) in outcome or outcome.startswith("InputError view ")
        good = outcome.startswith("read ") or (outcome.startswith("InputError") and named)
        kept = folder.parent / f"kept_{kind}_{number}"
        if not good:
            shutil.copytree(folder, kept)
        assert good, f"{kept}: {outcome}"
        file.write_bytes(sound[file])
    print(f"{kind}: {count} damaged drives, {read} of them read, {worst}")
    assert worst.seconds < 5 and worst.beyond < 0


@pytest.fixture(scope="module")
def victim() -> Iterator[cloud_files.Victim]:
    with cloud_files.Victim(_SET_UP) as process:
        yield process


@pytest.mark.parametrize("kind", WRITERS)
def test_damaged_drives(tmp_path: Path, kind: str, victim: cloud_files.Victim) -> None:
    survive(tmp_path / "drive", kind, 50, victim)


@pytest.mark.slow
@pytest.mark.parametrize("kind", WRITERS)
def test_many_damaged_drives(tmp_path: Path, kind: str, victim: cloud_files.Victim) -> None:
    survive(tmp_path / "drive", kind, 10_000, victim)

"""A writer of SemanticKITTI's download, from a description of its files: bytes and text, without any reader's help.

Scenes are in the frame of a LiDAR (x forward, y left, z up), with one photograph each. ``DAMAGES`` spoils a sequence.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from pandaset_drives import frames_of
from PIL import Image

from ditr.captures.images import read_image
from ditr.scene import Scene

__all__ = ["DAMAGES", "IDS", "INSTANCES", "OFFSET", "moves", "pandaset_sweeps", "street_sweeps", "write_raw"]

IDS = (10, 11, 15, 18, 20, 30, 31, 32, 40, 44, 48, 49, 50, 51, 70, 71, 72, 80, 81)
"""Raw id of each of the 19 classes."""
MOVING = {10: 252, 18: 258, 20: 259, 30: 254, 31: 253, 32: 255}
NOTHING = (0, 1, 52, 99)
"""Raw ids of no class."""
INSTANCES = 3
OFFSET = np.array([0.0601, -0.0004, 0.0027])
"""Metres by which camera 2 is beside camera 0, in its frame: as in the real calibrations all three count."""
_BASELINE = np.array([0.5372, -0.003, 0.0])

_PANDASET = {"Car": 0, "Road": 8, "Sidewalk": 10, "Building": 12, "Vegetation": 14, "Pedestrian": 5, "Ground": 16}


@lru_cache(maxsize=4)
def street_sweeps(count: int, scale: float = 0.5) -> tuple[Scene, ...]:
    """Sweeps of the built-in streets, with the class lists of SemanticKITTI."""
    from ditr.worlds.streets import StreetsConfig, make_scan

    config = StreetsConfig(style="kitti", count=100, scale=scale)
    return tuple(make_scan(config, index) for index in range(count))


def pandaset_sweeps(count: int, class_names: tuple[str, ...]) -> list[Scene]:
    """Real sweeps, turned so that their front camera looks along x."""
    found = []
    for frame in frames_of(count):
        view = next(view for view in frame.views if Path(view.name).stem == "front")
        turn = np.linalg.inv(view.world_to_camera)[:3, [2, 0, 1]] * (1, -1, -1)
        pose = view.world_to_camera.copy()
        pose[:3, :3] = pose[:3, :3] @ turn
        coord = (frame.coord @ turn).astype(np.float32).astype(np.float64)
        table = np.array([*(_PANDASET.get(name, -1) for name in frame.class_names), -1])
        assert frame.label is not None and frame.strength is not None
        found.append(
            Scene(
                frame.name, coord, (replace(view, name="image_2", world_to_camera=pose),), class_names=class_names,
                label=table[frame.label].astype(np.int32), strength=(frame.strength / np.float32(255)),
            )
        )  # fmt: skip
    return found


def moves(count: int) -> list[np.ndarray]:
    """Poses (4, 4) of a LiDAR that drives a bend, the first of them anywhere."""
    poses = []
    for number in range(count):
        angle, pose = 0.1 * number + 0.3, np.eye(4)
        pose[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        pose[:3, 3] = (1.5 * number + 4, 0.2 * number**2, 0.01 * number)
        poses.append(pose)
    return poses


def write_raw(root: Path, sequences: Mapping[int, Sequence[Scene]], layout: str = "together") -> Path:
    """Write sequences of scenes; those from 11 on get no labels.

    Args:
        root: folder of the download.
        sequences: scenes by number.
        layout: "together"; "bare", without the folder ``dataset``; "archives", each unpacked into a folder of its own;
            "color", with the photographs in the folder beside.
    """
    for number, scenes in sequences.items():
        folders = _folders(root, layout, number)
        lidar = np.eye(4)
        lidar[:3, 3] = -OFFSET
        lidar = lidar @ scenes[0].views[0].world_to_camera
        for folder in {folders["calib"], folders["labels"]}:  # which is in both archives
            _text(folder / "calib.txt", _calibration(scenes[0], lidar) + "\n")
        if folders["image_2"] != folders["calib"]:
            _text(folders["image_2"] / "calib.txt", _calibration(scenes[0], None))
        _text(folders["calib"] / "times.txt", "".join(f"{0.1037 * row:e}\n" for row in range(len(scenes))))
        world = [pose @ np.linalg.inv(lidar) for pose in moves(len(scenes))]
        rows = [_line(np.linalg.inv(world[0]) @ pose) for pose in world]
        _text(folders["labels" if number < 11 else "calib"] / "poses.txt", "".join(f"{row}\n" for row in rows))
        for row, scene in enumerate(scenes):
            _sweep(scene, folders["velodyne"] / "velodyne" / f"{row:06d}.bin")
            if number < 11:
                _labels(scene, folders["labels"] / "labels" / f"{row:06d}.label")
            image = io.BytesIO()
            Image.fromarray(read_image(scene.views[0])).save(image, "PNG", compress_level=1)
            _bytes(folders["image_2"] / "image_2" / f"{row:06d}.png", image.getvalue())
    return root


def _folders(root: Path, layout: str, number: int) -> dict[str, Path]:
    """The folder of a sequence for each archive."""
    parts = ("velodyne", "labels", "image_2", "calib")
    inner = "sequences" if layout == "bare" else "dataset/sequences"
    roots = dict.fromkeys(parts, root)
    if layout == "color":
        roots["image_2"] = root.with_name(f"{root.name}_color")
    if layout == "archives":
        names = ("data_odometry_velodyne", "data_odometry_labels", "data_odometry_color", "data_odometry_calib")
        roots = {part: root / name for part, name in zip(parts, names, strict=True)}
    return {part: base / inner / f"{number:02d}" for part, base in roots.items()}


def _bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _text(path: Path, content: str) -> None:
    _bytes(path, content.encode("ascii"))


def _line(matrix: np.ndarray) -> str:
    return " ".join(f"{value:.12e}" for value in np.asarray(matrix)[:3].ravel())


def _calibration(scene: Scene, lidar: np.ndarray | None) -> str:
    """P0 to P3, with principal points that count from the middle of a pixel, and Tr."""
    inner = scene.views[0].camera.intrinsics
    inner[:2, 2] -= 0.5
    offsets = (np.zeros(3), OFFSET - _BASELINE, OFFSET, OFFSET - _BASELINE)
    lines = [f"P{row}: {_line(np.column_stack([inner, inner @ offset]))}" for row, offset in enumerate(offsets)]
    return "\n".join([*lines, *([] if lidar is None else [f"Tr: {_line(lidar)}"]), ""])


def _sweep(scene: Scene, path: Path) -> None:
    assert scene.strength is not None
    _bytes(path, np.column_stack([scene.coord, scene.strength]).astype("<f4").tobytes())


def _labels(scene: Scene, path: Path) -> None:
    """Things that move, where there is such a class, for every seventh point, and instances above."""
    assert scene.label is not None
    ids = np.array([*IDS, 0])[scene.label]
    for raw, moving in MOVING.items():
        ids[::7] = np.where(ids[::7] == raw, moving, ids[::7])
    without = np.flatnonzero(scene.label < 0)
    ids[without] = np.array(NOTHING)[without % len(NOTHING)]
    instance = np.arange(len(ids)) % INSTANCES
    _bytes(path, struct.pack(f"<{len(ids)}I", *(ids + (instance << 16)).tolist()))


# ---- damage ---------------------------------------------------------------------------------------------------------


def _cut(name: str, size: int) -> Callable[[Path], None]:
    def spoil(sequence: Path) -> None:
        path = sequence / name
        path.write_bytes(path.read_bytes()[:size])

    return spoil


def _unlink(name: str) -> Callable[[Path], None]:
    return lambda sequence: (sequence / name).unlink()


def _replace(name: str, old: str, new: str) -> Callable[[Path], None]:
    def spoil(sequence: Path) -> None:
        path = sequence / name
        text = path.read_text(encoding="ascii")
        assert old in text
        path.write_text(text.replace(old, new), encoding="ascii")

    return spoil


def _ids(number: int) -> Callable[[Path], None]:
    def spoil(sequence: Path) -> None:
        path = sequence / "labels" / "000001.label"
        content = bytearray(path.read_bytes())
        content[40:44] = struct.pack("<HH", number, 5)
        path.write_bytes(content)

    return spoil


def _classes(sequence: Path) -> None:
    path = sequence / "labels" / "000001.label"
    count = path.stat().st_size // 4
    path.write_bytes(struct.pack(f"<{count}I", *(row % 20 for row in range(count))))


def _smaller(sequence: Path) -> None:
    image = io.BytesIO()
    Image.new("RGB", (20, 10)).save(image, "PNG")
    (sequence / "image_2" / "000001.png").write_bytes(image.getvalue())


def _not_png(sequence: Path) -> None:
    end = b"IEND"
    path = sequence / "image_2" / "000001.png"
    path.write_bytes(b"no picture" + bytes(4) + end + struct.pack(">I", zlib.crc32(end)))


def _without_poses(sequence: Path) -> None:
    path = sequence / "poses.txt"
    path.write_text(path.read_text(encoding="ascii").splitlines()[0] + "\n", encoding="ascii")


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "empty sweep": (_cut("velodyne/000001.bin", 0), r"velodyne/000001.bin: its 0 bytes are not points of 16 bytes"),
    "cut sweep": (_cut("velodyne/000001.bin", 1001), r"velodyne/000001.bin: its 1001 bytes are not points of 16"),
    "shorter sweep": (_cut("velodyne/000001.bin", 1600), r"labels/000001.label: its \d+ bytes are not 4 for each of"),
    "missing sweep": (_unlink("velodyne/000001.bin"), r"velodyne/000001.bin: it is not there.*velodyne laser data"),
    "empty labels": (_cut("labels/000001.label", 0), r"labels/000001.label: its 0 bytes are not 4 for each"),
    "cut labels": (_cut("labels/000001.label", 1000), r"labels/000001.label: its 1000 bytes are not 4 for each"),
    "missing labels": (_unlink("labels/000001.label"), r"labels/000001.label: it is not there"),
    "unknown class": (_ids(77), r"labels/000001.label: SemanticKITTI has no class 77"),
    "classes for ids": (_classes, r"labels/000001.label: .* no class 2, 3, 4, 5, 6 and .* mapped to classes already"),
    "empty image": (_cut("image_2/000001.png", 0), r"image_2/000001.png: the photograph is cut off after 0 bytes"),
    "cut image": (_cut("image_2/000001.png", 900), r"image_2/000001.png: the photograph is cut off after 900 bytes"),
    "no image": (_not_png, r"image_2/000001.png: .*"),
    "odd image": (_smaller, r"image_2/000001.png: it is 20x10, but 2 photographs of the sequence are 248x75"),
    "missing image": (_unlink("image_2/000001.png"), r"image_2/000001.png: it is not there.*color images"),
    "missing calibration": (_unlink("calib.txt"), r"calib.txt: there is no calibration for these photographs"),
    "no Tr": (_replace("calib.txt", "Tr:", "Q:"), r"calib.txt: it has no Tr. The calib.txt beside the images lacks it"),
    "no P2": (_replace("calib.txt", "P2:", "P9:"), r"calib.txt: it has no P2"),
    "short P2": (_replace("calib.txt", "P2: ", "P2: 7 "), r"calib.txt: P2 is not 3 x 4 finite numbers"),
    "few poses": (_without_poses, r"poses.txt: it has 1 lines, and the last sweep is number 2"),
    "no pose": (_replace("poses.txt", "1.0", "9.0"), r"poses.txt: line 1 is not a pose"),
    "no time": (
        _replace("times.txt", "1.037000e-01", "nan"),
        r"times.txt: line 2 is not later than the time before it",
    ),
    "odd name": (
        lambda sequence: (sequence / "velodyne" / "7.bin").write_bytes(bytes(16)) and None,
        r"velodyne/7.bin: the number in its name has not six digits",
    ),
}
"""What spoils a sequence of three street sweeps at half their scale, and what is said of it."""

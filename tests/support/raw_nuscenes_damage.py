"""Damage to a download of nuScenes, kind by kind, and what is to be said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

__all__ = ["DAMAGES", "Damage"]


@dataclass(frozen=True)
class Damage:
    """Something to do to a tree of v1.0-trainval, and what is to be said of it (a regular expression).

    ``at_once``: opening the download fails already.
    """

    do: Callable[[Path], None]
    said: str
    at_once: bool = False


def _file(root: Path, pattern: str) -> Path:
    return sorted(root.glob(pattern))[0]


def _cut(pattern: str, size: int) -> Callable[[Path], None]:
    """Take bytes from the end of a file."""

    def do(root: Path) -> None:
        path = _file(root, pattern)
        path.write_bytes(path.read_bytes()[:-size])

    return do


def _gone(pattern: str) -> Callable[[Path], None]:
    return lambda root: _file(root, pattern).unlink()


def _table(name: str, change: Callable[[list[dict[str, Any]]], object]) -> Callable[[Path], None]:
    """Change the rows of a table."""

    def do(root: Path) -> None:
        path = root / "v1.0-trainval" / f"{name}.json"
        rows = json.loads(path.read_text(encoding="utf-8"))
        change(rows)
        path.write_text(json.dumps(rows), encoding="utf-8")

    return do


def _bytes(pattern: str, at: int, new: bytes) -> Callable[[Path], None]:
    def do(root: Path) -> None:
        path = _file(root, pattern)
        data = bytearray(path.read_bytes())
        data[at : at + len(new)] = new
        path.write_bytes(data)

    return do


def _small_image(root: Path) -> None:
    path = _file(root, "samples/CAM_BACK/*")
    Image.open(path).resize((20, 10)).save(path)


def _keys(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    return (row for row in rows if row["is_key_frame"])


LIDAR_FILES, TABLES = "samples/LIDAR_TOP/*", "v1.0-trainval"
DAMAGES: dict[str, Damage] = {
    "cut points": Damage(_cut(LIDAR_FILES, 7), r"LIDAR_TOP__\d+\.pcd\.bin: its \d+ bytes are not points of"),
    "whole points cut off": Damage(_cut(LIDAR_FILES, 40), r"_lidarseg\.bin: it holds \d+ labels for \d+ points"),
    "points missing": Damage(_gone(LIDAR_FILES), r"samples/LIDAR_TOP: 1 of 4 files of v1\.0-trainval are missing"),
    "image missing": Damage(_gone("samples/CAM_FRONT/*"), r"CAM_FRONT: 1 of 4 .*v1\.0-trainval01_blobs to"),
    "image cut": Damage(_cut("samples/CAM_FRONT/*", 200), r"CAM_FRONT__\d+\.jpg: the photograph is cut off"),
    "image of another size": Damage(_small_image, r"CAM_BACK__\d+\.jpg: the photograph is 20x10, but"),
    "image is not an image": Damage(_bytes("samples/CAM_BACK/*", 0, bytes(4)), r"CAM_BACK__\d+\.jpg"),
    "labels cut": Damage(_cut("lidarseg/*/*", 1), r"_lidarseg\.bin: it holds \d+ labels for \d+ points"),
    "label 32": Damage(_bytes("lidarseg/*/*", 5, b"\x20"), r"at byte 5 is label 32; those of lidarseg end at 31"),
    "labels missing": Damage(_gone("lidarseg/*/*"), r"lidarseg/v1\.0-trainval: 1 of 4 .*nuScenes-lidarseg"),
    "no row of labels": Damage(_table("lidarseg", lambda rows: rows.pop(1)), r"lidarseg\.json: keyframe \w+ of scene"),
    "labels of another": Damage(
        _table("lidarseg", lambda rows: rows[0].update(filename=rows[1]["filename"])), "row 0: 'filename'", True
    ),
    "no labels at all": Damage(_gone(f"{TABLES}/lidarseg.json"), "Download nuScenes-lidarseg and unpack it here", True),
    "categories without index": Damage(
        _table("category", lambda rows: [row.pop("index") for row in rows]), "no index, so it is", True
    ),
    "another numbering": Damage(
        _table("category", lambda rows: rows[17].update(index=18)), "'vehicle.car' has the index 18", True
    ),
    "a category missing": Damage(_table("category", lambda rows: rows.pop(3)), "missing: human.pedestrian.child", True),
    "lost pose": Damage(_table("ego_pose", lambda rows: rows.pop(0)), r"ego_pose_token \w+ of .* is not in ego_pose"),
    "lost sample": Damage(
        _table("sample_data", lambda rows: next(_keys(rows)).update(sample_token="nowhere")),
        "sample_token nowhere is not in sample.json",
    ),
    "lost calibration": Damage(
        _table("sample_data", lambda rows: next(_keys(rows)).update(calibrated_sensor_token="nowhere")),
        "calibrated_sensor_token nowhere is not in calibrated_sensor",
    ),
    "lost scene": Damage(_table("scene", lambda rows: rows.pop(0)), r"scene_token \w+ is not in scene.json"),
    "a keyframe without a camera": Damage(
        _table("sample_data", lambda rows: rows.remove(next(row for row in _keys(rows) if "BACK/" in row["filename"]))),
        "has no keyframe of CAM_BACK",
    ),
    "a keyframe missing": Damage(
        _table("sample", lambda rows: rows.pop(0)), "has 1 keyframes in sample.json, but scene.json declares 2"
    ),
    "no rotation": Damage(_table("ego_pose", lambda rows: rows[0].update(rotation=[0, 0, 0, 0.5])), "length 0.5", True),
    "a path that leads out": Damage(
        _table("sample_data", lambda rows: next(_keys(rows)).update(filename="samples/../../x")), "is in none of", True
    ),
    "a table cut off": Damage(_cut(f"{TABLES}/sample_data.json", 99), r"data\.json: at byte \d+ row .*cut off", True),
    "a table missing": Damage(_gone(f"{TABLES}/ego_pose.json"), r"ego_pose\.json: there is no such file", True),
}  # fmt: skip

"""The tables of nuScenes: JSON files of rows that name one another by tokens, joined to drives.

``sample_data.json`` and ``ego_pose.json`` of v1.0-trainval have 2.6 million rows and gigabytes. They are read row by
row, once, and only keyframes of the cameras and turns of the LiDAR are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.nuscenes.facts import CAMERAS, CATEGORIES, FOLDERS, LIDAR
from ditr.errors import InputError, few
from ditr.io.json_rows import JsonRow, json_rows
from ditr.runtime import progress_bar

__all__ = ["TABLES", "Calibration", "DriveRows", "Shot", "Tables", "check_categories", "read_tables"]

TABLES = ("scene", "sample", "sensor", "calibrated_sensor", "sample_data", "ego_pose")
"""Those without which nothing is read; keyframes with labels need ``category`` and ``lidarseg`` too."""
_MOST_FAULTS = 20
_LONG = 50 << 20
"""Bytes of a table from which on it is shown how far reading is."""
_AGAIN = "Unpack the archive of metadata again"
_LATEST = 1 << 53
"""Microseconds; JSON's numbers are exact up to here."""


class Calibration(NamedTuple):
    """A sensor on a vehicle.

    Attributes:
        channel: such as CAM_FRONT.
        pose: translation (3) in metres and rotation (w, x, y, z) from the sensor to the vehicle.
        intrinsics: nine numbers, row-major; empty for the LiDAR.
    """

    channel: str
    pose: tuple[float, ...]
    intrinsics: tuple[float, ...]


class Shot(NamedTuple):
    """A file of a sensor: a turn of the LiDAR, or a photograph.

    Attributes:
        token: of sample_data.
        sample: number of the keyframe that it belongs to.
        filename: below the root.
        timestamp: microseconds.
        calibration: of its sensor.
        pose: row of its vehicle's pose.
        size: width and height of a photograph, pixels.
        is_key: whether it belongs to a keyframe, and not in between.
        previous: token of the one before; empty for the first.
    """

    token: str
    sample: int
    filename: str
    timestamp: int
    calibration: Calibration
    pose: int
    size: tuple[int, int]
    is_key: bool
    previous: str


@dataclass
class DriveRows:
    """The rows of a scene of nuScenes, which is a drive of twenty seconds.

    Attributes:
        name: such as scene-0061.
        count: of its keyframes, as scene.json says.
        samples: tokens of the keyframes, by number.
        shots: turns of the LiDAR, and photographs of keyframes; ``Shot.pose`` is a row of ``poses``.
        poses: (S, 7) float64 translation in metres and rotation (w, x, y, z) from the vehicle to the world.
        labels: files of lidarseg below the root, by the LiDAR's token.
        faults: what is wrong with its rows.
    """

    name: str
    count: int
    samples: dict[int, str] = field(default_factory=dict)
    shots: list[Shot] = field(default_factory=list)
    poses: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 7)))
    labels: dict[str, str] = field(default_factory=dict)
    faults: list[InputError] = field(default_factory=list)


@dataclass(frozen=True)
class Tables:
    """What a folder of tables holds.

    Attributes:
        folder: such as v1.0-mini.
        drives: those that are wanted, sorted by name.
        scenes: how many scenes there are, wanted or not.
        samples: how many keyframes.
        faults: rows that belong to no drive.
    """

    folder: Path
    drives: tuple[DriveRows, ...]
    scenes: int
    samples: int
    faults: tuple[InputError, ...]


def check_categories(folder: Path) -> None:
    """See that labels mean what they mean in nuScenes-lidarseg.

    Raises:
        InputError: another table; the one before lidarseg has no numbers.
    """
    path = folder / "category.json"
    remedy = "Unpack nuScenes-lidarseg over the dataset: its version of this table has an index for each category"
    found: dict[int, str] = {}
    for row in json_rows(path, remedy):
        if "index" not in row.values:
            raise InputError(path, "its categories have no index, so it is the table from before lidarseg", remedy)
        number, name = row.whole("index", len(CATEGORIES) - 1), row.text("name")
        if CATEGORIES[number] != name:
            raise row.fault(f"category {name!r} has the index {number}, which is {CATEGORIES[number]} in lidarseg")
        found[number] = name
    missing = [name for number, name in enumerate(CATEGORIES) if number not in found]
    if missing:
        raise InputError(path, f"categories are missing: {few(missing, 3)}", remedy)


def read_tables(folder: Path, wanted: Callable[[str], bool], *, labels: bool) -> Tables:
    """Read and join the tables of a version.

    Args:
        folder: of the tables.
        wanted: whether the drive of a name is.
        labels: whether there is lidarseg.

    Raises:
        InputError: a table is missing or damaged. Tokens that lead nowhere are ``faults``.
    """
    reader = _Reader(folder)
    drives = reader.scenes(wanted)
    samples = reader.samples(drives)
    reader.sample_data(samples)
    reader.ego_poses()
    if labels:
        reader.lidarseg()
    found = sorted({drive.name: drive for drive in drives.values() if drive is not None}.values(), key=_name)
    return Tables(folder, tuple(found), len(drives), len(samples), tuple(reader.faults))


def _name(drive: DriveRows) -> str:
    return drive.name


class _Reader:
    """Reads the tables of a folder one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[InputError] = []
        self._poses: dict[str, int] = {}
        self._lidar: dict[str, DriveRows] = {}
        self._drives: list[DriveRows] = []

    def _table(self, name: str) -> Iterator[JsonRow]:
        path = self.folder / f"{name}.json"
        is_long = path.is_file() and path.stat().st_size > _LONG
        with progress_bar(f"read {path.name} (MB)", quiet=not is_long) as report:
            yield from json_rows(path, _AGAIN, report if is_long else None)

    def scenes(self, wanted: Callable[[str], bool]) -> dict[str, DriveRows | None]:
        """Drives by token; None for one that is not wanted."""
        found: dict[str, DriveRows | None] = {}
        names = set()
        for row in self._table("scene"):
            token, name = row.text("token"), row.text("name")
            if not name or len(name) > 200 or not name.replace("-", "").replace("_", "").isalnum():
                raise row.fault(f"{name[:200]!r} is not a scene name")
            if token in found or name in names:
                raise row.fault(f"{name} occurs twice")
            names.add(name)
            drive = DriveRows(name, row.whole("nbr_samples", 1_000_000)) if wanted(name) else None
            found[token] = drive
            self._drives += [drive] if drive is not None else []
        return found

    def samples(self, drives: dict[str, DriveRows | None]) -> dict[str, tuple[int, DriveRows | None]]:
        """Keyframes by token: their number and drive."""
        found: dict[str, tuple[int, DriveRows | None]] = {}
        for number, row in enumerate(self._table("sample")):
            token, scene = row.text("token"), row.text("scene_token")
            if token in found:
                raise row.fault(f"sample {token} occurs twice")
            if scene not in drives:
                _note(self.faults, row.fault(f"scene_token {scene} is not in scene.json"))
                continue
            drive = drives[scene]
            found[token] = (number, drive)
            if drive is not None:
                drive.samples[number] = token
        return found

    def _calibrations(self) -> dict[str, Calibration | None]:
        """By token; None for sensors that are not used, such as radar."""
        channels = {row.text("token"): row.text("channel") for row in self._table("sensor")}
        found: dict[str, Calibration | None] = {}
        for row in self._table("calibrated_sensor"):
            token, sensor = row.text("token"), row.text("sensor_token")
            if sensor not in channels:
                _note(self.faults, row.fault(f"sensor_token {sensor} is not in sensor.json"))
                continue
            channel = channels[sensor]
            found[token] = None
            if channel == LIDAR or channel in CAMERAS:
                intrinsics = () if channel == LIDAR else row.numbers("camera_intrinsic", (3, 3))
                if intrinsics and (min(intrinsics[0], intrinsics[4]) <= 0 or intrinsics[6:] != (0, 0, 1)):
                    raise row.fault("'camera_intrinsic' is not an intrinsic matrix")
                found[token] = Calibration(channel, _pose(row), intrinsics)
        return found

    def sample_data(self, samples: dict[str, tuple[int, DriveRows | None]]) -> None:
        """Give their files to the drives."""
        calibrations = self._calibrations()
        for row in self._table("sample_data"):
            calibration = row.values.get("calibrated_sensor_token")
            if not isinstance(calibration, str) or calibration not in calibrations:
                self._lost(row, "calibrated_sensor_token", "calibrated_sensor.json", samples)
                continue
            sensor = calibrations[calibration]
            if sensor is None:
                continue
            sample = row.values.get("sample_token")
            if not isinstance(sample, str) or sample not in samples:
                self._lost(row, "sample_token", "sample.json", samples)
                continue
            number, drive = samples[sample]
            if drive is not None and (sensor.channel == LIDAR or row.flag("is_key_frame")):
                self._keep(row, number, sensor, drive)

    def _keep(self, row: JsonRow, sample: int, sensor: Calibration, drive: DriveRows) -> None:
        filename = row.text("filename")
        parts = filename.split("/")
        if parts[0] not in FOLDERS or ".." in parts or "\0" in filename:
            raise row.fault(f"'filename' {filename[:200]!r} is in none of {', '.join(FOLDERS)}")
        is_lidar = sensor.channel == LIDAR
        shot = Shot(
            token=row.text("token"),
            sample=sample,
            filename=filename,
            timestamp=row.whole("timestamp", _LATEST),
            calibration=sensor,
            pose=self._poses.setdefault(row.text("ego_pose_token"), len(self._poses)),
            size=(0, 0) if is_lidar else (row.whole("width", 65_535), row.whole("height", 65_535)),
            is_key=row.flag("is_key_frame"),
            previous=row.text("prev") if is_lidar else "",
        )
        if is_lidar and shot.is_key:
            self._lidar[shot.token] = drive
        drive.shots.append(shot)

    def _lost(self, row: JsonRow, key: str, table: str, samples: dict[str, tuple[int, DriveRows | None]]) -> None:
        """A row that leads nowhere is a fault of its drive, where that is known."""
        fault = row.fault(f"{key} {str(row.values.get(key))[:200]} is not in {table}")
        sample = row.values.get("sample_token")
        known = isinstance(sample, str) and sample in samples
        drive = samples[sample][1] if known else None  # type: ignore[index]
        if drive is not None:
            _note(drive.faults, fault)
        elif not known:
            _note(self.faults, fault)

    def ego_poses(self) -> None:
        """Give the vehicle's poses to the drives."""
        poses = np.full((len(self._poses), 7), np.nan)
        for row in self._table("ego_pose"):
            number = self._poses.get(row.text("token"))
            if number is not None:
                poses[number] = _pose(row)
        lacking = np.isnan(poses).any(axis=1)
        tokens = list(self._poses)
        self._poses = {}
        for drive in self._drives:
            drive.poses = poses[np.array([shot.pose for shot in drive.shots], dtype=np.int64)]
            for shot in drive.shots:
                if lacking[shot.pose]:
                    fault = f"ego_pose_token {tokens[shot.pose]} of {shot.filename} is not in ego_pose.json"
                    path = self.folder / "sample_data.json"
                    _note(drive.faults, InputError(path, fault, _AGAIN))
            drive.shots = [shot._replace(pose=number) for number, shot in enumerate(drive.shots)]

    def lidarseg(self) -> None:
        """Give their files of labels to the drives."""
        for row in json_rows(self.folder / "lidarseg.json", "Unpack nuScenes-lidarseg again"):
            token, filename = row.text("sample_data_token"), row.text("filename")
            parts = filename.split("/")
            if parts[0] != "lidarseg" or ".." in parts or parts[-1] != f"{token}_lidarseg.bin":
                raise row.fault(f"'filename' {filename[:200]!r} does not match the labels of {token[:200]}")
            drive = self._lidar.get(token)
            if drive is not None:
                drive.labels[token] = filename


def _note(faults: list[InputError], fault: InputError) -> None:
    """Keep the first faults: where tables of two versions are mixed, each of a million rows is one."""
    if len(faults) < _MOST_FAULTS:
        faults.append(fault)


def _pose(row: JsonRow) -> tuple[float, ...]:
    """Translation and rotation of a row, the rotation of unit length."""
    translation, rotation = row.numbers("translation", (3,)), row.numbers("rotation", (4,))
    length = sum(value * value for value in rotation) ** 0.5
    if not 0.99 < length < 1.01:
        raise row.fault(f"'rotation' has length {length:g}, but a unit quaternion has length 1")
    if max(map(abs, translation)) > 1e7:
        raise row.fault(f"'translation' {max(translation, key=abs):g} m is implausibly large")
    return (*translation, *(value / length for value in rotation))

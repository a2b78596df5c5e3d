"""A drive of nuScenes as a piece that is prepared: its rows of the tables become entries of the published list.

The chain from the LiDAR to a camera goes over the world, because the vehicle moves between the two moments: LiDAR to
vehicle, vehicle to world at the LiDAR's time, world to vehicle at the camera's time, vehicle to camera.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.datasets.arrays import load_floats
from ditr.datasets.nuscenes.facts import CAMERAS, LIDAR
from ditr.datasets.nuscenes.keyframes import load_labels
from ditr.datasets.nuscenes.tables import TABLES, DriveRows, Shot
from ditr.datasets.raw import Place, Repair
from ditr.errors import InputError
from ditr.geometry.rotations import inverse, poses_of, rotations_of

__all__ = ["COPIED", "SWEEPS", "Drive", "Frame"]

SWEEPS = 9
"""Earlier turns that an entry lists; ten with its own."""
COPIED = "files"
"""Folder of copies of samples and lidarseg, to which ``raw`` then links."""
_POINT = 20
_ENTRY = 20_000
"""Bytes of an entry, in the drive's file and in the split's list."""
_PART_MISSING = "A part of the download is probably missing: unpack all its parts into this folder"


class Frame(NamedTuple):
    """A keyframe: its token, the turn of the LiDAR, the photographs in the order of CAMERAS, and the file of labels."""

    token: str
    lidar: Shot
    cameras: tuple[Shot, ...]
    labels: str | None

    @property
    def files(self) -> list[str]:
        """Below the root: points, labels, photographs."""
        labels = [] if self.labels is None else [self.labels]
        return [self.lidar.filename, *labels, *(shot.filename for shot in self.cameras)]


@dataclass(frozen=True)
class Drive:
    """See :class:`~ditr.datasets.raw.RawPiece`.

    Attributes:
        name: of the scene, after ``mini-`` for one of v1.0-mini.
        split: of which it is.
        root: folder of the download.
        version: folder of its tables.
        rows: of this drive.
        labelled: whether each keyframe must have labels.
        copy: the files of keyframes are copied; the list has no earlier turns then.
    """

    name: str
    split: str
    root: Path
    version: str
    rows: DriveRows
    labelled: bool
    copy: bool = False

    @property
    def sources(self) -> Sequence[Path]:
        """The tables."""
        names = (*TABLES, *(("category", "lidarseg") if self.labelled else ()))
        return [self.root / self.version / f"{name}.json" for name in names]

    @property
    def places(self) -> Sequence[Place]:
        files = [Place(f"{COPIED}/{name}") for frame in self.frames for name in frame.files] if self.copy else []
        return [*files, Place(f"info/drives/{self.name}.json")]

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The keyframes that are complete in the tables, in the order of time."""
        return self._joined()[0]

    @property
    def row_faults(self) -> tuple[InputError, ...]:
        """What is wrong with its rows of the tables."""
        return self._joined()[1]

    def _joined(self) -> tuple[tuple[Frame, ...], tuple[InputError, ...]]:
        shots: dict[tuple[int, str], Shot] = {}
        faults = list(self.rows.faults)
        table = self.root / self.version / "sample_data.json"
        for shot in self.rows.shots:
            if shot.is_key and shots.setdefault((shot.sample, shot.calibration.channel), shot) is not shot:
                fault = f"sample {self.rows.samples[shot.sample]} has two keyframes of {shot.calibration.channel}"
                faults.append(InputError(table, fault, "Unpack the archive of metadata again"))
        frames = []
        for number, token in self.rows.samples.items():
            lacking = [name for name in (LIDAR, *CAMERAS) if (number, name) not in shots]
            if lacking:
                fault = f"sample {token} of {self.rows.name} has no keyframe of {', '.join(lacking)}"
                faults.append(InputError(table, fault, "Unpack the archive of metadata again"))
                continue
            lidar = shots[number, LIDAR]
            labels = self.rows.labels.get(lidar.token)
            if self.labelled and labels is None:
                fault = f"keyframe {lidar.token} of {self.rows.name} has no labels"
                faults.append(InputError(table.with_name("lidarseg.json"), fault, "Unpack nuScenes-lidarseg again"))
            frames.append(Frame(token, lidar, tuple(shots[number, name] for name in CAMERAS), labels))
        if len(self.rows.samples) != self.rows.count:
            fault = (
                f"{self.rows.name} has {len(self.rows.samples)} keyframes in sample.json, but scene.json declares "
                f"{self.rows.count}"
            )
            faults.append(InputError(table.with_name("scene.json"), fault, "Unpack the archive of metadata again"))
        return tuple(sorted(frames, key=lambda frame: frame.lidar.timestamp)), tuple(faults)

    def write(self, parts: Sequence[Path]) -> Sequence[Repair]:
        """Write the entries of its keyframes as JSON, an entry a line, and the copies.

        Raises:
            InputError: a table, a point file, a photograph or labels are damaged or missing.
        """
        for fault in self._faults(whole=True):
            raise fault
        broken = self._broken_turns()
        lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in self.entries(broken))
        for part, name in zip(parts, [name for frame in self.frames for name in frame.files], strict=False):
            if self.copy:
                shutil.copyfile(self.root / name, part)
        parts[-1].write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        return self._repairs(broken)

    def check(self) -> Iterator[InputError | Repair]:
        """What is wrong with its rows and files. Files that are missing are counted by folder, for all drives."""
        yield from self._faults(whole=False)
        yield from self._repairs(self._broken_turns())

    def size(self) -> int:
        """Bytes that it will take, about."""
        size = len(self.frames) * _ENTRY
        for frame in self.frames if self.copy else ():
            for name in frame.files:
                with suppress(OSError):
                    size += (self.root / name).stat().st_size
        return size

    def entries(self, broken: frozenset[str] | None = None) -> Iterator[dict[str, Any]]:
        """The entries of the published list for its keyframes.

        Args:
            broken: tokens of turns that are left out of the lists of earlier ones; None for no such lists.
        """
        turns = {shot.token: shot for shot in self.rows.shots if shot.calibration.channel == LIDAR}
        mounts = np.array([shot.calibration.pose for shot in self.rows.shots]).reshape(-1, 7)
        to_world = _poses(self.rows.poses) @ _poses(mounts)
        for frame in self.frames:
            lidar = frame.lidar
            to_lidar = inverse(to_world[lidar.pose])
            entry: dict[str, Any] = {
                "lidar_path": lidar.filename,
                "lidar_token": lidar.token,
                "token": frame.token,
                "timestamp": lidar.timestamp / 1e6,
                "scene": self.rows.name,
                "ref_from_car": inverse(_poses(mounts[lidar.pose])).tolist(),
                "car_from_global": inverse(_poses(self.rows.poses[lidar.pose])).tolist(),
                "sweeps": [],
                "cams": {
                    shot.calibration.channel: self._camera(shot, to_lidar @ to_world[shot.pose])
                    for shot in frame.cameras
                },
            }
            if frame.labels is not None:
                entry["gt_segment_path"] = frame.labels
            if broken is not None and not self.copy:
                entry["sweeps"] = [
                    {
                        "lidar_path": turn.filename,
                        "sample_data_token": turn.token,
                        "transform_matrix": (to_lidar @ to_world[turn.pose]).tolist(),
                        "time_lag": (lidar.timestamp - turn.timestamp) / 1e6,
                    }
                    for turn in _earlier(lidar, turns)
                    if turn.token not in broken
                ]
            yield entry

    def _camera(self, shot: Shot, pose: NDArray[np.float64]) -> dict[str, Any]:
        mount, vehicle = shot.calibration.pose, self.rows.poses[shot.pose].tolist()
        return {
            "data_path": shot.filename,
            "type": shot.calibration.channel,
            "sample_data_token": shot.token,
            "timestamp": shot.timestamp,
            "sensor2ego_translation": list(mount[:3]),
            "sensor2ego_rotation": list(mount[3:]),
            "ego2global_translation": vehicle[:3],
            "ego2global_rotation": vehicle[3:],
            "sensor2lidar_rotation": pose[:3, :3].tolist(),
            "sensor2lidar_translation": pose[:3, 3].tolist(),
            "camera_intrinsics": np.reshape(shot.calibration.intrinsics, (3, 3)).tolist(),
        }

    # ---- what is wrong ----------------------------------------------------------------------------------------------

    def _faults(self, *, whole: bool) -> Iterator[InputError]:
        """Of rows and files; ``whole``: all bytes of points and labels are read, and missing files count."""
        frames, faults = self._joined()
        yield from faults
        for frame in frames:
            yield from _file_faults(self.root, frame, whole=whole)

    def _broken_turns(self) -> frozenset[str]:
        """Tokens of turns between keyframes whose files are missing or cut off."""
        found = set()
        for shot in self.rows.shots:
            if shot.calibration.channel == LIDAR and not shot.is_key:
                try:
                    size = (self.root / shot.filename).stat().st_size
                except OSError:
                    size = 0
                if size == 0 or size % _POINT:
                    found.add(shot.token)
        return frozenset(found)

    def _repairs(self, broken: frozenset[str]) -> list[Repair]:
        if not broken or self.copy:
            return []
        turns = [shot for shot in self.rows.shots if shot.token in broken]
        count = sum(shot.calibration.channel == LIDAR and not shot.is_key for shot in self.rows.shots)
        what = f"{len(turns)} of {count} sweeps between keyframes are missing or cut off; they are left out of the list"
        return [Repair("earlier sweeps missing", str(self.root / turns[0].filename), what)]


def _poses(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 4, 4) of translations and unit quaternions (w, x, y, z), (..., 7)."""
    return poses_of(rotations_of(rows[..., 3:]), rows[..., :3])


def _earlier(lidar: Shot, turns: dict[str, Shot]) -> Iterator[Shot]:
    """The turns before one, the last one first; the chain ends where the table does."""
    at: Shot | None = turns.get(lidar.previous)
    for _ in range(SWEEPS):
        if at is None or at.timestamp >= lidar.timestamp:
            return
        yield at
        at = turns.get(at.previous)


def _file_faults(root: Path, frame: Frame, *, whole: bool) -> Iterator[InputError]:
    missing = {name for name in frame.files if not (root / name).is_file()}
    if whole:
        for name in sorted(missing):
            yield InputError(root / name, "there is no such file", _PART_MISSING)
    points = root / frame.lidar.filename
    looks: list[tuple[str, Callable[[], None]]] = [(frame.lidar.filename, partial(_look_at_points, points, whole))]
    if frame.labels is not None and frame.lidar.filename not in missing:
        looks.append((frame.labels, partial(_look_at_labels, root / frame.labels, points)))
    looks += [(shot.filename, partial(_look_at_image, root / shot.filename, shot)) for shot in frame.cameras]
    for name, look in looks:
        try:
            if name not in missing:
                look()
        except InputError as error:
            yield error


def _look_at_points(path: Path, whole: bool) -> None:
    if not whole:
        size = path.stat().st_size
        if size == 0 or size % _POINT:
            raise InputError(path, f"its {size} bytes are not points of {_POINT} bytes", "Unpack this file again")
        return
    finite = np.isfinite(load_floats(path, 5)).all(axis=1)
    if not finite.all():
        at = int(np.argmin(finite))
        raise InputError(path, f"point {at} (byte {at * _POINT}) is not finite", "Unpack this file again")


def _look_at_labels(path: Path, points: Path) -> None:
    load_labels(path, points.stat().st_size // _POINT)


def _look_at_image(path: Path, shot: Shot) -> None:
    found = image_size(path)
    if found != shot.size:
        fault = f"the photograph is {found[0]}x{found[1]}, but {shot.size[0]}x{shot.size[1]} in sample_data.json"
        raise InputError(path, fault, "Unpack this file again")
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 64))
        if path.suffix.lower() in (".jpg", ".jpeg") and b"\xff\xd9" not in file.read():
            raise InputError(path, "the photograph is cut off", "Unpack this file again")

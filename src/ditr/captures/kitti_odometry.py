"""Sequences of KITTI's odometry benchmark and of SemanticKITTI: sweeps with the photographs of the same moments."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.kitti_calibration import (
    calibration,
    inner_camera,
    lidar_pose,
    matrix_of,
    poses_of_lidar,
    times_of,
)
from ditr.captures.kitti_files import photographs_of, sweep_with_photographs
from ditr.captures.notes import Notes
from ditr.captures.tables import by_stem
from ditr.scene import ReadOptions, Scene

__all__ = ["CAMERAS", "Sequence", "open_drive", "recognise"]

CAMERAS = (("image_2", "image_3"), ("image_0", "image_1"))
"""Folders of the photographs: the colour cameras, or else the grey ones."""
_ENDINGS = (".png", ".jpg", ".jpeg")


def recognise(path: Path) -> str | None:
    """By its folder of sweeps, with a calibration or labels."""
    if not (path / "velodyne").is_dir() or (path / "calib").is_dir():
        return None
    beside = next((name for name in ("calib.txt", "labels") if (path / name).exists()), None)
    if beside is None or next((path / "velodyne").glob("*.bin"), None) is None:
        return None
    return f"it has velodyne/*.bin and {beside}"


def open_drive(path: Path, options: ReadOptions) -> Sequence:
    """The sequence in a folder.

    Raises:
        InputError: photographs without a calibration, or one that is damaged.
    """
    return Sequence(path, options)


class Sequence:
    """Sweeps, called by their files: ``000012``; see :class:`~ditr.scene.SceneSource`."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self.options = options
        self.name = path.resolve().name
        self._sweeps = by_stem(path / "velodyne", ".bin")
        names = next((names for names in CAMERAS if any((path / name).is_dir() for name in names)), ())
        self._images = {name: files for name in names if (files := by_stem(path / name, *_ENDINGS))}
        self._cameras = {name: self._camera(name) for name in self._images}

    def __len__(self) -> int:
        return len(self._sweeps)

    def names(self) -> list[str]:
        return list(self._sweeps)

    def scene(self, index: int) -> Scene:
        """A sweep in the LiDAR's frame, with the photographs of its number.

        Its pose and time, where the sequence has them, are ``lidar_to_world`` (4, 4) and ``time`` (seconds) of
        ``Scene.properties``.

        Raises:
            InputError: damaged files, or poses and times that are not as many as the sweeps.
        """
        stem, sweep = list(self._sweeps.items())[index]
        notes = Notes()
        photographs = photographs_of(stem, self._images, self._cameras, notes)
        scene = sweep_with_photographs(
            sweep, f"{self.name}_{stem}", photographs, self.path / "calib.txt", notes, self.options
        )
        return replace(scene, properties={**scene.properties, **self._facts(stem, index)})

    def _facts(self, stem: str, index: int) -> dict[str, object]:
        """By the number of the sweep: there may be some of a sequence alone."""
        row = int(stem) if stem.isdecimal() else index
        facts: dict[str, object] = {}
        if self._poses is not None:
            facts["lidar_to_world"] = self._poses[row].tolist()
        if self._times is not None:
            facts["time"] = float(self._times[row])
        return facts

    def _camera(self, name: str) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
        """Lens, and the pose from the LiDAR."""
        path = self.path / "calib.txt"
        which = f"P{name[-1]}"
        lens, offset = inner_camera(path, matrix_of(path, self._lines, (which,), (3, 4)), which)
        return lens, offset @ self._lidar

    @cached_property
    def _lines(self) -> dict[str, NDArray[np.float64]]:
        return calibration(self.path / "calib.txt")

    @cached_property
    def _lidar(self) -> NDArray[np.float64]:
        """(4, 4) from the LiDAR to camera 0."""
        return lidar_pose(self.path / "calib.txt", self._lines)

    @cached_property
    def _poses(self) -> NDArray[np.float64] | None:
        """(n, 4, 4) LiDAR to the frame of the first sweep; files have those of camera 0."""
        places = (self.path / "poses.txt", self.path.resolve().parent.parent / "poses" / f"{self.name}.txt")
        place = next((place for place in places if place.is_file()), None)
        if place is None or not (self.path / "calib.txt").is_file():
            return None
        return poses_of_lidar(place, self._lidar, self._last)

    @cached_property
    def _times(self) -> NDArray[np.float64] | None:
        place = self.path / "times.txt"
        return times_of(place, self._last) if place.is_file() else None

    @property
    def _last(self) -> int:
        """Number of the last sweep."""
        return max((int(stem) for stem in self._sweeps if stem.isdecimal()), default=len(self) - 1)

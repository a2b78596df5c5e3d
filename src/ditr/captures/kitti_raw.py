"""Drives of KITTI's raw recordings: sweeps, photographs, and the pose that GPS and gyroscopes gave."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.kitti_calibration import calibration, inner_camera, matrix_of, rigid
from ditr.captures.kitti_files import photographs_of, sweep_with_photographs
from ditr.captures.notes import Notes
from ditr.captures.tables import by_stem, numbers_of
from ditr.errors import InputError
from ditr.geometry.rotations import inverse
from ditr.scene import ReadOptions, Scene

__all__ = ["RawDrive", "open_drive", "recognise"]

_CAMERAS = (("image_02", "image_03"), ("image_00", "image_01"))
"""Folders of the photographs: the colour cameras, or else the grey ones."""
_ENDINGS = (".png", ".jpg", ".jpeg")
_INNER, _LIDAR, _IMU = "calib_cam_to_cam.txt", "calib_velo_to_cam.txt", "calib_imu_to_velo.txt"
_CALIBRATION = "Unpack the calibration of the date (calib.zip) beside its drives"
_RADIUS = 6378137.0
"""Metres of the sphere that stands for the earth."""
_OXTS = 30
"""Numbers in a file of the inertial unit, which begin with latitude, longitude, altitude, roll, pitch and yaw."""


def recognise(path: Path) -> str | None:
    """By its folder of sweeps."""
    if next((path / "velodyne_points" / "data").glob("*.bin"), None) is None:
        return None
    return "it has velodyne_points/data/*.bin"


def open_drive(path: Path, options: ReadOptions) -> RawDrive:
    """The drive in a folder such as ``2011_09_26/2011_09_26_drive_0001_sync``.

    Raises:
        InputError: photographs without a calibration, or one that is damaged.
    """
    return RawDrive(path, options)


class RawDrive:
    """Sweeps, called by their files: ``0000000012``; see :class:`~ditr.scene.SceneSource`.

    The LiDAR triggers the cameras as it looks ahead, so what they show was measured at their moment: sweep and
    photographs of a number belong together as they are. Points behind the car are from up to 0.05 s before or after.
    """

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self.options = options
        self.name = path.resolve().name
        self.date = path.resolve().parent
        self._sweeps = by_stem(path / "velodyne_points" / "data", ".bin")
        names = next((names for names in _CAMERAS if any((path / name).is_dir() for name in names)), ())
        self._images = {name: files for name in names if (files := by_stem(path / name / "data", *_ENDINGS))}
        self._cameras = self._calibrated() if self._images else {}

    def __len__(self) -> int:
        return len(self._sweeps)

    def names(self) -> list[str]:
        return list(self._sweeps)

    def scene(self, index: int) -> Scene:
        """A sweep in the LiDAR's frame, with the photographs of its number.

        The LiDAR's pose, east, north and up from the first sweep's place on, is ``lidar_to_world`` (4, 4) of
        ``Scene.properties``.

        Raises:
            InputError: damaged files.
        """
        stem, sweep = list(self._sweeps.items())[index]
        notes = Notes()
        photographs = photographs_of(stem, self._images, self._cameras, notes)
        scene = sweep_with_photographs(
            sweep, f"{self.name}_{stem}", photographs, self.date / _INNER, notes, self.options
        )
        pose = self._pose(stem)
        return scene if pose is None else replace(scene, properties={"lidar_to_world": pose.tolist()})

    def _calibrated(self) -> dict[str, tuple[tuple[float, float, float, float], NDArray[np.float64]]]:
        """Lens, and the pose from the LiDAR, of each camera.

        Raises:
            InputError: a file that is missing or damaged.
        """
        path = self._beside(_INNER)
        lines = calibration(path)
        # Images of all cameras are rectified into the plane of the first one, by that one's rotation.
        rectify = rigid(path, matrix_of(path, lines, ("R_rect_00",), (3, 3)), "R_rect_00")
        lidar = _transform(self._beside(_LIDAR))
        found = {}
        for name in self._images:
            which = f"P_rect_{name[-2:]}"
            lens, offset = inner_camera(path, matrix_of(path, lines, (which,), (3, 4)), which)
            found[name] = (lens, offset @ rectify @ lidar)
        return found

    def _beside(self, name: str) -> Path:
        """A file of the date's calibration, which lies above the drive; some put it inside.

        Raises:
            InputError: it is missing.
        """
        places = (self.date / name, self.path / name)
        place = next((place for place in places if place.is_file()), None)
        if place is None:
            raise InputError(places[0], "the calibration of these photographs is missing", _CALIBRATION)
        return place

    def _pose(self, stem: str) -> NDArray[np.float64] | None:
        """(4, 4) LiDAR to world; None where it is not recorded.

        Raises:
            InputError: a damaged file.
        """
        path = self.path / "oxts" / "data" / f"{stem}.txt"
        if not path.is_file() or self._imu is None:
            return None
        return np.asarray(inverse(self._first) @ _imu_to_world(path, self._scale) @ self._imu)

    @cached_property
    def _imu(self) -> NDArray[np.float64] | None:
        """(4, 4) LiDAR to the inertial unit."""
        path = next((path for path in (self.date / _IMU, self.path / _IMU) if path.is_file()), None)
        return None if path is None else np.asarray(inverse(_transform(path)))

    @cached_property
    def _oldest(self) -> Path:
        return next(iter(by_stem(self.path / "oxts" / "data", ".txt").values()))

    @cached_property
    def _scale(self) -> float:
        """By which the Mercator projection stretches lengths where the drive begins, inverted."""
        return float(np.cos(np.radians(_oxts(self._oldest)[0])))

    @cached_property
    def _first(self) -> NDArray[np.float64]:
        """(4, 4) the place where the drive begins, without a turn."""
        pose = np.eye(4)
        pose[:3, 3] = _imu_to_world(self._oldest, self._scale)[:3, 3]
        return pose


def _transform(path: Path) -> NDArray[np.float64]:
    """(4, 4) of the lines R and T."""
    lines = calibration(path)
    turn, move = matrix_of(path, lines, ("R",), (3, 3)), matrix_of(path, lines, ("T",), (3, 1))
    return rigid(path, np.hstack([turn, move]), "R")


def _oxts(path: Path) -> NDArray[np.float64]:
    rows = numbers_of(path, _OXTS)
    if len(rows) != 1 or not np.isfinite(rows[0, :6]).all() or not -85 < rows[0, 0] < 85:
        raise InputError(path, "it is not the position and attitude of an inertial unit", "Copy the file again")
    return np.asarray(rows[0])


def _imu_to_world(path: Path, scale: float) -> NDArray[np.float64]:
    """(4, 4) inertial unit (forward, left, up) to metres east, north and up, by a Mercator projection."""
    latitude, longitude, altitude, roll, pitch, yaw = _oxts(path)[:6]
    pose = np.eye(4)
    for angle, (a, b) in ((yaw, (0, 1)), (pitch, (2, 0)), (roll, (1, 2))):
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        pose[:3, :3] = pose[:3, :3] @ turn
    east = scale * _RADIUS * np.radians(longitude)
    north = scale * _RADIUS * np.log(np.tan(np.radians(90 + latitude) / 2))
    pose[:3, 3] = east, north, altitude
    return pose

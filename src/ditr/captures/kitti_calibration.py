"""The small text files of KITTI's layouts: calibrations, poses and times."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.tables import numbers_of
from ditr.errors import InputError
from ditr.geometry.rotations import inverse, poses_of

__all__ = ["calibration", "inner_camera", "lidar_pose", "matrix_of", "poses_of_lidar", "rigid", "times_of"]

_LARGEST = 1 << 16
"""Bytes that no file of a calibration has."""
_AGAIN = "Copy the calibration again"
_LIST_AGAIN = "Copy the file again, or remove it"
_ALMOST = 1e-9
_TURNED = 0.01
"""By which the rows of a rotation may be off."""
_NO_TR = "The calib.txt beside the images lacks it: use that of the odometry calibration files (data_odometry_calib)"


def calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """The numbers of each line behind its name, which ends with a colon or, in some files, with a blank.

    Lines of anything else (dates, empty ones) are left out.

    Raises:
        InputError: a file that cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(path, "it is too large for a calibration", _AGAIN)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(path, f"the calibration cannot be read ({error.strerror or error})", "Add the file") from None
    found = {}
    for line in lines:
        name, _, numbers = line.strip().partition(" ")
        try:
            found[name.rstrip(":")] = np.array([float(word) for word in numbers.split()])
        except ValueError:
            continue
    return found


def matrix_of(
    path: Path, lines: dict[str, NDArray[np.float64]], names: Sequence[str], shape: tuple[int, int], remedy: str = ""
) -> NDArray[np.float64]:
    """The matrix of the first of some names, row by row in the file.

    Raises:
        InputError: there is none, or it has other numbers; ``remedy`` is what to do where there is none.
    """
    name = next((name for name in names if name in lines), None)
    if name is None:
        raise InputError(path, f"it has no {names[0]}", remedy or _AGAIN)
    values = lines[name]
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise InputError(path, f"{name} is not {shape[0]} x {shape[1]} finite numbers", _AGAIN)
    return values.reshape(shape)


def rigid(path: Path, matrix: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """(4, 4) of a rotation (3, 3), or one with a translation (3, 4).

    Raises:
        InputError: its first three columns are not a rotation; ``what`` names it.
    """
    rotation = matrix[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _TURNED or np.linalg.det(rotation) < 0:
        raise InputError(path, f"{what} is not a rotation", _AGAIN)
    return poses_of(rotation, matrix[:, 3] if matrix.shape[1] == 4 else np.zeros(3))


def inner_camera(
    path: Path, projection: NDArray[np.float64], what: str
) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
    """Focal lengths and principal point of a projection (3, 4) of rectified images, and the pose (4, 4) that leads from
    the frame that it projects from to the camera's.

    Its last column is K times the camera's offset, of which all three parts count.

    Raises:
        InputError: it is not a projection of a rectified camera; ``what`` names it.
    """
    inner = projection[:, :3]
    wanted = np.array([[inner[0, 0], 0, inner[0, 2]], [0, inner[1, 1], inner[1, 2]], [0, 0, 1]])
    if np.abs(inner - wanted).max() > _ALMOST or inner[0, 0] <= 0 or inner[1, 1] <= 0:
        raise InputError(path, f"{what} is not a projection of a rectified camera", _AGAIN)
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(inner, projection[:, 3])
    return (inner[0, 0], inner[1, 1], inner[0, 2], inner[1, 2]), offset


def lidar_pose(path: Path, lines: dict[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """(4, 4) from the LiDAR to camera 0, of the lines of a ``calib.txt``.

    Raises:
        InputError: there is none, or it is not a movement; ``path`` is named.
    """
    return rigid(path, matrix_of(path, lines, ("Tr", "Tr_velo_to_cam", "Tr_velo_cam"), (3, 4), _NO_TR), "Tr")


def poses_of_lidar(path: Path, lidar: NDArray[np.float64], last: int) -> NDArray[np.float64]:
    """(n, 4, 4) from the LiDAR of each sweep to that of the first; a ``poses.txt`` has those of camera 0.

    Args:
        path: of the poses.
        lidar: (4, 4) from the LiDAR to camera 0.
        last: number of the last sweep, which has a line.

    Raises:
        InputError: a file that is damaged or ends too early.
    """
    rows = numbers_of(path, 12)
    _require_all(path, len(rows), last)
    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3] = rows.reshape(-1, 3, 4)
    turns = poses[:, :3, :3]
    with np.errstate(invalid="ignore", over="ignore"):
        off = np.abs(turns @ turns.transpose(0, 2, 1) - np.eye(3)).max(axis=(1, 2))
        bad = ~((off < _TURNED) & np.isfinite(rows).all(axis=1) & (np.linalg.det(turns) > 0))
    if bad.any():
        raise InputError(path, f"line {int(np.argmax(bad)) + 1} is not a pose", _LIST_AGAIN)
    return np.asarray(inverse(lidar) @ poses @ lidar)


def times_of(path: Path, last: int) -> NDArray[np.float64]:
    """(n,) seconds of the sweeps, of a ``times.txt``; ``last`` is the number of the last one.

    Raises:
        InputError: a file that is damaged or ends too early.
    """
    times = numbers_of(path, 1)[:, 0]
    _require_all(path, len(times), last)
    bad = ~np.isfinite(times)
    bad[1:] |= times[1:] < times[:-1]
    if bad.any():
        raise InputError(path, f"line {int(np.argmax(bad)) + 1} is not later than the time before it", _LIST_AGAIN)
    return times


def _require_all(path: Path, count: int, last: int) -> None:
    """A list has a line for each number of a sweep.

    Raises:
        InputError: it ends before the last one.
    """
    if count <= last:
        raise InputError(path, f"it has {count} lines, and the last sweep is number {last}", _LIST_AGAIN)

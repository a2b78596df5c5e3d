"""RGB-D sequences as the TUM benchmark has them: ``rgb.txt``, ``depth.txt`` and ``groundtruth.txt`` with times."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.notes import Notes
from ditr.captures.rgbd import KINECT, camera_from, doubt_depth, stated_camera
from ditr.captures.shots import Shot, only_cloud, scene_of
from ditr.captures.tables import nearest_in_time, numbers_of, rows_of
from ditr.errors import InputError
from ditr.geometry.rotations import between, inverse, poses_of, rotations_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_LISTS = ("rgb.txt", "depth.txt", "groundtruth.txt")
_TOGETHER = 0.02
"""Seconds between a photograph and its depth map at most."""
_GAP = 0.1
"""Seconds between a photograph and the pose on either side at most."""
_UNIT = 1 / 5000
_CALIBRATED = {
    1: ((517.3, 516.5, 318.6, 255.3), (0.2624, -0.9531, -0.0054, 0.0026, 1.1633)),
    2: ((520.9, 521.0, 325.1, 249.7), (0.2312, -0.7849, -0.0033, -0.0001, 0.9172)),
    3: ((535.4, 539.2, 320.1, 247.6), ()),
}
"""Focal lengths, principal point and distortion of the benchmark's cameras, which its folders do not hold."""


def recognise(path: Path) -> str | None:
    """By its lists."""
    return f"{_LISTS[0]} and {_LISTS[1]} are in it" if all((path / name).is_file() for name in _LISTS[:2]) else None


def read(path: Path, options: ReadOptions) -> Scene:
    """Photographs, poses between those of the trajectory, and depth maps, of which the cloud is fused unless a PLY lies
    there.

    A folder says nothing of its camera: ``calibration.txt`` (fx fy cx cy and OpenCV's distortion) or
    ``camera_intrinsic.json`` of Open3D count, else the benchmark's figures by the folder's name, else those of its
    kind of sensor. Which way is up is not known.

    Raises:
        InputError: damaged files, photographs that cannot be used (all are named), or no poses at their times.
    """
    notes = Notes()
    stamps, images = _listed(path / _LISTS[0])
    depth_stamps, depths = _listed(path / _LISTS[1])
    rows = numbers_of(path / _LISTS[2], 8)
    poses, known = _poses_at(stamps, rows)
    partner = nearest_in_time(stamps, depth_stamps, _TOGETHER)
    if not known.any():
        fault = f"it has no pose within {_GAP} s of any photograph"
        raise InputError(path / _LISTS[2], fault, "Give the trajectory of these photographs")
    if not known.all():
        notes.say(
            "views",
            f"{np.count_nonzero(~known)} of {len(known)} photographs have no pose near them in time, and are left out",
        )
    camera = _camera(path, path / images[int(np.flatnonzero(known)[0])], notes)
    shots = [
        Shot(
            name=images[row],
            image=path / images[row],
            camera=lambda: camera,
            world_to_camera=poses[row],
            depth=path / depths[partner[row]] if partner[row] >= 0 else None,
            depth_unit=_UNIT,
        )
        for row in np.flatnonzero(known)
    ]
    doubt_depth(shots, camera, options, notes)
    return scene_of(path, shots, only_cloud(path, notes), notes, options)


def _listed(path: Path) -> tuple[NDArray[np.float64], list[str]]:
    """Time stamps and names of files."""
    stamps, names = [], []
    for row in rows_of(path):
        try:
            stamps.append(float(row[0]))
            names.append(" ".join(row[1:]))
        except ValueError:
            raise InputError(
                path, f"a line is not a time and a file name: {' '.join(row)[:60]!r}", "Copy the file again"
            ) from None
    if not all(names) or not names:
        raise InputError(path, "it lists no files", "Copy the file again")
    return np.array(stamps), names


def _poses_at(stamps: NDArray[np.float64], rows: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """World to camera (n, 4, 4) at some times, and whether there are poses near enough (n,), of time, position and
    quaternion x y z w, camera to world.
    """
    rows = rows[np.isfinite(rows).all(axis=1) & (rows[:, 4:] != 0).any(axis=1)]
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    if not len(rows):
        return np.tile(np.eye(4), (len(stamps), 1, 1)), np.zeros(len(stamps), dtype=bool)
    after = np.searchsorted(rows[:, 0], stamps).clip(max=len(rows) - 1)
    before = np.where(rows[after, 0] > stamps, np.maximum(after - 1, 0), after)
    first, second = rows[before], rows[after]
    known = (np.abs(first[:, 0] - stamps) <= _GAP) & (np.abs(second[:, 0] - stamps) <= _GAP)
    span = second[:, 0] - first[:, 0]
    share = np.where(span > 0, (stamps - first[:, 0]) / np.where(span > 0, span, 1.0), 0.0).clip(0, 1)
    position = first[:, 1:4] + share[:, None] * (second[:, 1:4] - first[:, 1:4])
    turn = between(first[:, [7, 4, 5, 6]], second[:, [7, 4, 5, 6]], share)
    return inverse(poses_of(rotations_of(turn), position)), known


def _camera(path: Path, image: Path, notes: Notes) -> Camera:
    size = image_size(image)
    if (stated := stated_camera(path, size)) is not None:
        return stated
    name = path.resolve().name.lower()
    number = next((n for n in _CALIBRATED if f"freiburg{n}" in name or f"fr{n}" in name), None)
    lens, distortion = KINECT if number is None else _CALIBRATED[number]
    which = "freiburg" + str(number) if number is not None else "a Kinect"
    remedy = "If it was another one, put calibration.txt (fx fy cx cy) beside the images"
    notes.warn("cameras", f"the folder does not name its camera; that of {which} is assumed", remedy)
    return camera_from(path, (640, 480), lens, distortion)

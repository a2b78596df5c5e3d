"""What folders of colour and depth images have in common: the camera that they may name, and doubts of their unit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ditr.captures.images import read_depth
from ditr.captures.notes import Notes
from ditr.captures.shots import Shot
from ditr.captures.tables import json_object, rows_of
from ditr.errors import InputError
from ditr.scene import Camera, CameraModel, ReadOptions, View

__all__ = ["KINECT", "camera_from", "doubt_depth", "stated_camera"]

KINECT: tuple[tuple[float, float, float, float], tuple[float, ...]] = ((525.0, 525.0, 319.5, 239.5), ())
"""Focal lengths, principal point and distortion of sensors of its kind, for 640x480, the first pixel's centre at 0."""
_SANE = (0.5, 6.0)
"""Metres between which the median of a depth map lies."""
_MAPS = 4


def stated_camera(path: Path, size: tuple[int, int]) -> Camera | None:
    """The camera of ``camera_intrinsic.json`` or ``calibration.txt``; None where neither lies there.

    Both count pixels from the middle of the first one.

    Raises:
        InputError: a damaged file.
    """
    open3d = path / "camera_intrinsic.json"
    if open3d.is_file():
        content = json_object(open3d)
        matrix, width, height = (content.get(key) for key in ("intrinsic_matrix", "width", "height"))
        numbers = matrix if isinstance(matrix, list) and len(matrix) == 9 else []
        if len(numbers) != 9 or not all(type(n) in (int, float) for n in (*numbers, width, height)):
            raise InputError(open3d, "it has no width, height and intrinsic_matrix of 9 numbers", "Write it again")
        fx, fy, cx, cy = (float(numbers[place]) for place in (0, 4, 6, 7))  # column by column
        return camera_from(open3d, (int(str(width)), int(str(height))), (fx, fy, cx, cy), ())
    simple = path / "calibration.txt"
    if simple.is_file():
        words = [word for row in rows_of(simple) for word in row]
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = []
        if len(values) not in (4, 8, 9):
            raise InputError(
                simple, "it is not fx fy cx cy, optionally followed by k1 k2 p1 p2 (k3)", "Write these numbers"
            )
        return camera_from(simple, size, (values[0], values[1], values[2], values[3]), tuple(values[4:]))
    return None


def camera_from(
    path: Path, size: tuple[int, int], lens: tuple[float, float, float, float], distortion: tuple[float, ...]
) -> Camera:
    """The camera of focal lengths and a principal point that counts pixels from the middle of the first one.

    Raises:
        InputError: numbers that no camera has; ``path`` is named.
    """
    fx, fy, cx, cy = lens
    model = CameraModel.OPENCV if distortion else CameraModel.PINHOLE
    try:
        return Camera(*size, fx, fy, cx + 0.5, cy + 0.5, model, distortion)
    except InputError as error:
        raise InputError(path, error.fault, "Correct these numbers") from None


def doubt_depth(shots: Sequence[Shot], camera: Camera, options: ReadOptions, notes: Notes) -> None:
    """Warn where depths are not those of rooms: folders of one kind are written with several units.

    Depth maps that cannot be read are left to whoever reads them.
    """
    if options.depth_unit is not None:
        return
    values = []
    some = [shot for shot in shots if shot.depth is not None]
    for row in np.unique(np.linspace(0, len(some) - 1, min(len(some), _MAPS)).astype(np.int64)):
        shot = some[row]
        try:
            depth = read_depth(
                View(shot.name, camera, np.eye(4), shot.image, depth=shot.depth, depth_unit=shot.depth_unit)
            )
        except InputError:
            continue
        if depth is not None:
            values.append(depth[depth > 0])
    known = np.concatenate(values) if values else np.empty(0)
    if len(known) and not _SANE[0] < (median := float(np.median(known))) < _SANE[1]:
        text = f"half of the depths are below {median:.2g} m, with the assumed unit of {some[0].depth_unit:g} m"
        notes.warn("depth", text, "Give the metres of one unit with --depth-unit, such as 0.001 or 0.0002")

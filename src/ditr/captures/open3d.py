"""RGB-D folders as Open3D and Redwood have them: ``color/`` (or ``rgb/``, ``image/``), ``depth/`` and a trajectory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.notes import Notes
from ditr.captures.rgbd import KINECT, camera_from, doubt_depth, stated_camera
from ditr.captures.shots import Shot, only_cloud, scene_of
from ditr.captures.tables import by_stem, json_object, rows_of
from ditr.errors import InputError
from ditr.geometry.rotations import inverse
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_COLORS = ("image", "rgb", "color")
_TRAJECTORIES = ("trajectory.log", "trajectory.json", "scene/trajectory.log", "scene/trajectory.json")
_UNIT = 0.001


def _color(path: Path) -> Path | None:
    return next((path / name for name in _COLORS if (path / name).is_dir()), None)


def _trajectory(path: Path) -> Path | None:
    return next((path / name for name in _TRAJECTORIES if (path / name).is_file()), None)


def recognise(path: Path) -> str | None:
    """By a trajectory beside folders of colour and depth."""
    color, trajectory = _color(path), _trajectory(path)
    if color is None or trajectory is None or not (path / "depth").is_dir():
        return None
    return f"{trajectory.relative_to(path).as_posix()} and the folders {color.name} and depth are in it"


def read(path: Path, options: ReadOptions) -> Scene:
    """Photographs and depth maps in pairs, in the order of their names, with a pose for each; the cloud is fused unless
    a PLY lies there or in ``scene``.

    The camera is that of ``camera_intrinsic.json`` (``calibration.txt`` is known, too), else that of a Kinect.

    Raises:
        InputError: damaged files, other numbers of photographs, depth maps and poses, or photographs that cannot be
            used (all are named).
    """
    notes = Notes()
    color, trajectory = _color(path), _trajectory(path)
    assert color is not None and trajectory is not None
    jpg, png = by_stem(color, ".jpg", ".jpeg"), by_stem(color, ".png")
    images, depths = list((jpg or png).values()), list(by_stem(path / "depth", ".png").values())
    poses = _poses(trajectory)
    if jpg and png:
        raise InputError(color, "it holds both JPEG and PNG, so their order is unknown", "Keep one of the two formats")
    if not images or not len(images) == len(depths) == len(poses):
        fault = f"there are {len(images)} photographs, {len(depths)} depth maps and {len(poses)} poses"
        raise InputError(path, fault, "Give as many of each: they are matched by their order")
    camera = _camera(path, image_size(images[0]), notes)
    shots = [
        Shot(image.name, image, lambda: camera, pose, depth=depth, depth_unit=_UNIT)
        for image, depth, pose in zip(images, depths, poses, strict=True)
    ]
    doubt_depth(shots, camera, options, notes)
    cloud = only_cloud(path, notes) or only_cloud(path / "scene", notes)
    return scene_of(path, shots, cloud, notes, options)


def _camera(path: Path, size: tuple[int, int], notes: Notes) -> Camera:
    if (stated := stated_camera(path, size)) is not None:
        return stated
    remedy = "If it was another one, put camera_intrinsic.json beside the images"
    notes.warn("cameras", "the folder does not name its camera; a Kinect is assumed", remedy)
    return camera_from(path, (640, 480), *KINECT)


def _poses(path: Path) -> NDArray[np.float64]:
    """(n, 4, 4) world to camera: of text, which has camera to world, or of JSON."""
    return _of_json(path) if path.suffix == ".json" else _of_text(path)


def _of_text(path: Path) -> NDArray[np.float64]:
    """For each camera a line of three whole numbers, and four rows of a matrix."""
    rows = rows_of(path)
    again = "Write it again"
    if len(rows) % 5 or any(len(row) != (3 if place % 5 == 0 else 4) for place, row in enumerate(rows)):
        raise InputError(path, "it is not one line of three numbers and four lines of four for each camera", again)
    try:
        values = [[float(word) for word in row] for place, row in enumerate(rows) if place % 5]
    except ValueError as error:
        raise InputError(path, f"it is not all numbers ({error})", again) from None
    return inverse(np.array(values, dtype=np.float64).reshape(-1, 4, 4))


def _of_json(path: Path) -> NDArray[np.float64]:
    """The extrinsics of ``parameters``, which are world to camera, column by column."""
    parameters: Any = json_object(path).get("parameters")
    found = (
        [entry.get("extrinsic") for entry in parameters if isinstance(entry, dict)]
        if isinstance(parameters, list)
        else []
    )
    try:
        values = np.array(found, dtype=np.float64).reshape(-1, 4, 4)
    except (TypeError, ValueError, OverflowError):
        raise InputError(path, "its parameters have no extrinsic of 16 numbers each", "Write it again") from None
    return values.transpose(0, 2, 1)

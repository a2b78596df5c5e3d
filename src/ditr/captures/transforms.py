"""nerfstudio's ``transforms.json`` as typed models, and the poses in it; ``intrinsics.py`` has the cameras.

Poses in the file are camera-to-world with OpenGL camera axes (x right, y up, looking along -z). Ours are
world-to-camera with OpenCV axes, so the camera's y and z axes change sign.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ditr.captures.notes import Notes
from ditr.errors import InputError
from ditr.io.json_file import read_json
from ditr.scene import PoseConvention, ReadOptions

__all__ = [
    "LABELS",
    "Intrinsics",
    "Labels",
    "Pose",
    "Transforms",
    "TransformsFrame",
    "heed_keys",
    "load_json",
    "load_transforms",
    "other_entries",
    "stored_classes",
    "transform_matrix",
    "world_to_camera",
]

_GL_TO_CV = np.array([1.0, -1.0, -1.0])
_POSE_REMEDY = "Give a rotation and a position in metres, or leave the frame out"


class Intrinsics(BaseModel):
    """What may stand in a frame or, for all frames, at the top of the file."""

    model_config = ConfigDict(extra="allow")

    camera_model: str | None = None
    w: int | None = None
    h: int | None = None
    fl_x: float | None = None
    fl_y: float | None = None
    cx: float | None = None
    cy: float | None = None
    camera_angle_x: float | None = None
    camera_angle_y: float | None = None
    x_fov: float | None = None
    y_fov: float | None = None
    is_fisheye: bool | None = None
    k1: float | None = None
    k2: float | None = None
    k3: float | None = None
    k4: float | None = None
    k5: float | None = None
    k6: float | None = None
    p1: float | None = None
    p2: float | None = None
    depth_unit_scale_factor: float | None = None


Pose = list[list[float | None]]
"""Rows of a matrix as they stand in the file; some tools write null for a frame whose pose they did not find."""


class TransformsFrame(Intrinsics):
    file_path: str
    transform_matrix: Pose | None = None
    depth_file_path: str | None = None
    mask_path: str | None = None


class Transforms(Intrinsics):
    ply_file_path: str | None = None
    applied_transform: list[list[float]] | None = None
    unscaled: str | None = None
    frames: list[TransformsFrame]


class Labels(BaseModel):
    """``labels.json``: the class names, and the value that stands for "not labelled"."""

    model_config = ConfigDict(extra="allow")

    classes: list[str] = Field(min_length=1)
    unlabelled: int = -1

    @field_validator("classes")
    @classmethod
    def _each_once(cls, classes: list[str]) -> list[str]:
        twice = [name for name, count in Counter(classes).items() if count > 1]
        if twice:
            raise ValueError(f"two classes are called {twice[0]!r}; give every class its own name")
        for number, name in enumerate(classes):
            if not name.strip() or name != name.encode("utf-8", "replace").decode():
                raise ValueError(f"class {number} is called {name!r}, which is not a valid name")
        return classes


TRANSFORMS = "transforms.json"
LABELS = "labels.json"
_Model = TypeVar("_Model", bound=BaseModel)


_OTHER_NAMES = {
    "width": "w", "height": "h", "image_width": "w", "image_height": "h", "fx": "fl_x", "fy": "fl_y", "fov_x": "x_fov",
    "fov_y": "y_fov", "fovx": "x_fov", "fovy": "y_fov", "fisheye": "is_fisheye", "depth_path": "depth_file_path",
    "integer_depth_scale": "depth_unit_scale_factor", "mask_file_path": "mask_path", "mask": "mask_path",
    "ply_path": "ply_file_path",
}  # fmt: skip
"""What other tools call entries of ours."""


def load_transforms(path: Path, notes: Notes) -> Transforms:
    """Read and check ``transforms.json``; entries under the names of other tools are read under ours, and noted.

    Raises:
        InputError: as for :func:`load_json`.
    """
    content = _json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    for entry in (content, *(frames if isinstance(frames, list) else ())):
        if isinstance(entry, dict):
            for other in entry.keys() & _OTHER_NAMES.keys():
                ours = _OTHER_NAMES[other]
                if entry.get(ours) is None and not isinstance(entry[other], list | dict):
                    entry[ours] = entry.pop(other)
                    notes.say("keys", f"{other} is read as {ours}")
    return _checked(path, content, Transforms)


_UNIT_KEYS = ("unit", "units", "length_unit")
_UNIT_NAMES = {
    "m": 1.0, "metre": 1.0, "meter": 1.0, "cm": 0.01, "centimetre": 0.01, "centimeter": 0.01,
    "mm": 0.001, "millimetre": 0.001, "millimeter": 0.001, "ft": 0.3048, "foot": 0.3048, "feet": 0.3048,
    "in": 0.0254, "inch": 0.0254, "inche": 0.0254, "yd": 0.9144, "yard": 0.9144, "dm": 0.1, "km": 1000.0,
}  # fmt: skip
"""Metres of one of them."""
_UP_KEYS = ("up", "up_axis", "up_vector", "world_up")
_AXES = {
    "x": (1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "z": (0.0, 0.0, 1.0),
    "-x": (-1.0, 0.0, 0.0), "-y": (0.0, -1.0, 0.0), "-z": (0.0, 0.0, -1.0),
}  # fmt: skip
_CONVENTIONS = ("camera_convention", "pose_convention", "coordinate_convention", "camera_axes")


def heed_keys(transforms: Transforms, reading: ReadOptions, notes: Notes) -> ReadOptions:
    """Options with what entries at the top of the file say of axes and of the unit."""
    extra = dict(transforms.model_extra or {})
    told = next((str(extra[key]) for key in _UNIT_KEYS if extra.get(key)), None)
    if told is not None:
        unit = _UNIT_NAMES.get(told.lower().removesuffix("s"), _positive(told))
        if unit is None:
            notes.warn("scale", f"the file says that its unit is {told}, but metres are assumed", "Give --unit METRES")
        else:
            reading = reading.over(ReadOptions(unit=unit)) if not reading.tells_unit else reading
    shutter = extra.get("rolling_shutter")
    if isinstance(shutter, list) and any(shutter):
        notes.warn("cameras", "rolling_shutter is given, but each photograph is treated as taken at one moment")
    for key in _UP_KEYS:
        axis = _direction(extra.get(key))
        if reading.up is None and axis is not None:
            notes.say("up", f"{key} is {extra[key]}, which is applied")
            reading = replace(reading, up=axis)
    for key in _CONVENTIONS:
        said = str(extra.get(key, "")).lower()
        if reading.poses is None and ("opencv" in said or "colmap" in said):
            notes.say("cameras", f"{key} is {extra[key]}, so the poses are read with OpenCV axes")
            reading = replace(reading, poses=PoseConvention.OPENCV)
    return reading


def _positive(told: str) -> float | None:
    """The number that is told, where it can be metres of one unit."""
    try:
        number = float(told)
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None


def _direction(told: Any) -> tuple[float, float, float] | None:
    """The direction that an axis' name or three numbers stand for; None where they are none."""
    if isinstance(told, str):
        name = told.lower().removeprefix("+")
        return _AXES.get(name)
    if isinstance(told, list) and len(told) == 3 and all(type(part) in (int, float) for part in told):
        x, y, z = map(float, told)
        return (x, y, z) if np.isfinite((x, y, z)).all() and any(told) else None
    return None


def other_entries(transforms: Transforms) -> dict[str, Any]:
    """The entries at the top of the file that have no meaning here, to be written back."""
    return {
        key: value for key, value in (transforms.model_extra or {}).items() if key not in (*_CONVENTIONS, *_UNIT_KEYS)
    }


def stored_classes(folder: Path) -> tuple[str, ...]:
    """A capture's class list as it is in its file; none where it cannot be read."""
    try:
        return tuple(load_json(folder / LABELS, Labels).classes)
    except InputError:
        return ()


def load_json(path: Path, model: type[_Model]) -> _Model:
    """Read and check a JSON file.

    Raises:
        InputError: a missing file, broken JSON, or an entry of the wrong kind, which is named.
    """
    return _checked(path, _json(path), model)


def _json(path: Path) -> Any:
    return read_json(path, "Correct the file or write it again")


def _checked(path: Path, content: Any, model: type[_Model]) -> _Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        entry = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(path, f"{entry}: {first['msg']}", "Correct this entry") from error


def world_to_camera(where: str, matrix: Pose | None) -> NDArray[np.float64]:
    """Camera-to-world with OpenGL axes (4x4 or 3x4, as in the file) -> world-to-camera with OpenCV axes, (4, 4).

    Raises:
        InputError: another shape, numbers that are not finite, or a matrix that cannot be inverted.
    """
    if matrix is None:
        raise InputError(where, "it has no pose (transform_matrix)", _POSE_REMEDY)
    if len(matrix) not in (3, 4) or any(len(row) != 4 for row in matrix):
        raise InputError(where, "the pose is not a 4x4 matrix", _POSE_REMEDY)
    pose = np.array(matrix, dtype=np.float64)
    if not np.isfinite(pose).all():
        scannet = " (ScanNet writes -inf where its tracking was lost)" if np.isneginf(pose).any() else ""
        raise InputError(where, f"the pose is not finite{scannet}", _POSE_REMEDY)
    if len(pose) == 4 and not np.allclose(pose[3], (0.0, 0.0, 0.0, 1.0), rtol=0, atol=1e-6):
        raise InputError(where, f"the last row of the pose is {matrix[3]}, not 0 0 0 1", _POSE_REMEDY)
    try:
        rotation = np.linalg.inv(pose[:3, :3] * _GL_TO_CV)
    except np.linalg.LinAlgError:
        raise InputError(where, "the pose is singular", _POSE_REMEDY) from None
    result = np.eye(4)
    result[:3, :3] = rotation
    result[:3, 3] = -rotation @ pose[:3, 3]
    return result


def transform_matrix(pose: NDArray[np.float64]) -> list[list[float]]:
    """The inverse of :func:`world_to_camera`, up to rounding."""
    rotation = np.linalg.inv(pose[:3, :3])
    result = np.eye(4)
    result[:3, :3] = rotation * _GL_TO_CV
    result[:3, 3] = -rotation @ pose[:3, 3]
    rows: list[list[float]] = (result + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
    return rows

"""nerfstudio's ``transforms.json`` as typed models, and what its entries mean: cameras and poses.

Poses in the file are camera-to-world with OpenGL camera axes (x right, y up, looking along -z). Ours are
world-to-camera with OpenCV axes, so the camera's y and z axes change sign.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ditr.errors import InputError
from ditr.scene import Camera, CameraModel

__all__ = [
    "Labels",
    "Transforms",
    "TransformsFrame",
    "camera_fields",
    "camera_of",
    "load_json",
    "transform_matrix",
    "world_to_camera",
]

_PERSPECTIVE = frozenset({"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV"})
_OPENCV_KEYS = ("k1", "k2", "p1", "p2")
_FISHEYE_KEYS = ("k1", "k2", "k3", "k4")
_ALL_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_GL_TO_CV = np.array([1.0, -1.0, -1.0])
_POSE_REMEDY = "Give a rotation and a position in metres, or leave this frame out"


class _Intrinsics(BaseModel):
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
    k1: float | None = None
    k2: float | None = None
    k3: float | None = None
    k4: float | None = None
    k5: float | None = None
    k6: float | None = None
    p1: float | None = None
    p2: float | None = None
    depth_unit_scale_factor: float | None = None


class TransformsFrame(_Intrinsics):
    file_path: str
    transform_matrix: list[list[float]]
    depth_file_path: str | None = None


class Transforms(_Intrinsics):
    ply_file_path: str | None = None
    applied_transform: list[list[float]] | None = None
    frames: list[TransformsFrame]


class Labels(BaseModel):
    """``labels.json``: the class names, and the value that stands for "not labelled"."""

    model_config = ConfigDict(extra="allow")

    classes: list[str] = Field(min_length=1)
    unlabelled: int = -1


_Model = TypeVar("_Model", bound=BaseModel)


def load_json(path: Path, model: type[_Model]) -> _Model:
    """Read and check a JSON file.

    Raises:
        InputError: a missing file, broken JSON, or an entry of the wrong kind, which is named.
    """
    try:
        return model.model_validate(json.loads(path.read_bytes()))
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        entry = ".".join(map(str, first["loc"])) or "the file"
        raise InputError(path, f"{entry}: {first['msg']}", "Mend this entry") from error
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"this is not valid JSON ({error})", "Mend the file or write it again") from error


def camera_of(where: str, frame: TransformsFrame, shared: Transforms, image_size: tuple[int, int]) -> Camera:
    """The camera of one frame: its own entries first, then those at the top of the file.

    ``image_size`` is (width, height) of the image file: it stands in for missing ``w`` and ``h`` and must agree
    with them otherwise. ``where`` names file and frame in errors. A perspective model with a distortion other than
    zero is OPENCV, whatever the file calls it; one without is PINHOLE unless the file says OPENCV.

    Raises:
        InputError: missing or impossible intrinsics, an unknown camera model, distortion that the model does not
            have, or intrinsics that belong to another image size.
    """
    entry = {key: _own_or_shared(frame, shared, key) for key in _Intrinsics.model_fields}
    given = tuple(
        size if stated is None else stated for stated, size in zip((entry["w"], entry["h"]), image_size, strict=True)
    )
    if given != image_size:
        raise InputError(
            where,
            f"w and h are {given[0]}x{given[1]}, but the image is {image_size[0]}x{image_size[1]}",
            "Scale fl_x, fl_y, cx, cy, w and h with the image, or give the image that was calibrated",
        )
    fx, fy, cx, cy = _focal_and_center(where, entry, image_size)
    _check_scale(where, (cx, cy), image_size)
    model, distortion = _lens(where, entry)
    try:
        return Camera(*image_size, fx, fy, cx, cy, model, distortion)
    except InputError as error:
        raise InputError(where, error.fault, error.remedy) from None


def _own_or_shared(frame: TransformsFrame, shared: Transforms, key: str) -> Any:
    own = getattr(frame, key)
    return getattr(shared, key) if own is None else own


def _focal_and_center(
    where: str, entry: Mapping[str, Any], image_size: tuple[int, int]
) -> tuple[float, float, float, float]:
    width, height = image_size
    fx, fy, cx, cy = (entry[key] for key in ("fl_x", "fl_y", "cx", "cy"))
    if fx is None and entry["camera_angle_x"] is not None:
        # The convention of files with an opening angle: the principal point is the image's centre unless given.
        fx = _focal_from_angle(where, entry["camera_angle_x"], width)
        if fy is None and entry["camera_angle_y"] is not None:
            fy = _focal_from_angle(where, entry["camera_angle_y"], height)
        cx = 0.5 * width if cx is None else cx
        cy = 0.5 * height if cy is None else cy
    missing = [key for key, value in (("fl_x", fx), ("cx", cx), ("cy", cy)) if value is None]
    if missing:
        raise InputError(
            where, f"{' and '.join(missing)} missing", "Give the focal length and the principal point in pixels"
        )
    return fx, fx if fy is None else fy, cx, cy


def _focal_from_angle(where: str, angle: float, side: int) -> float:
    if not 0.0 < angle < math.pi:
        raise InputError(where, f"the opening angle {angle} is not between 0 and pi", "Give radians, or fl_x")
    return 0.5 * side / math.tan(0.5 * angle)


def _check_scale(where: str, center: tuple[float, float], image_size: tuple[int, int]) -> None:
    """Refuse intrinsics of a larger or smaller version of the image.

    A principal point outside the image, or one at half the distance (or less) from the corner that the image's centre
    has, in both directions alike, is what forgotten scaling looks like. Crops and shifted lenses stay possible.
    """
    across, down = (2.0 * c / size for c, size in zip(center, image_size, strict=True))
    outside = not (0.0 <= across <= 2.0 and 0.0 <= down <= 2.0)
    halved = 0.0 < across < 0.55 and abs(across - down) < 0.05
    doubled = across > 1.8 and abs(across - down) < 0.1
    if all(map(math.isfinite, center)) and (outside or halved or doubled):
        raise InputError(
            where,
            f"the principal point ({center[0]:g}, {center[1]:g}) does not fit an image of "
            f"{image_size[0]}x{image_size[1]}; it would be the centre of one of {round(2 * center[0])}x"
            f"{round(2 * center[1])}",
            "Scale fl_x, fl_y, cx and cy to the size of the image",
        )


def _lens(where: str, entry: Mapping[str, Any]) -> tuple[CameraModel, tuple[float, ...]]:
    name = "PINHOLE" if entry["camera_model"] is None else entry["camera_model"]
    if name != "OPENCV_FISHEYE" and name not in _PERSPECTIVE:
        raise InputError(
            where,
            f"the camera model {name!r} is not known",
            f"Undistort the images, or use one of {', '.join(sorted(_PERSPECTIVE))}, OPENCV_FISHEYE",
        )
    keys = _FISHEYE_KEYS if name == "OPENCV_FISHEYE" else _OPENCV_KEYS
    beyond = [key for key in _ALL_DISTORTION_KEYS if key not in keys and entry[key]]
    if beyond:
        raise InputError(
            where,
            f"{beyond[0]} = {entry[beyond[0]]} is not part of the camera model {name} (it has {' '.join(keys)})",
            "Undistort the images, or calibrate with a model that has only these coefficients",
        )
    distortion = tuple(0.0 if entry[key] is None else entry[key] for key in keys)
    if name == "OPENCV_FISHEYE":
        return CameraModel.OPENCV_FISHEYE, distortion
    if name == "OPENCV" or any(distortion):
        return CameraModel.OPENCV, distortion
    return CameraModel.PINHOLE, ()


def camera_fields(camera: Camera) -> dict[str, Any]:
    """The entries of a frame that ``camera_of`` reads back as the same camera."""
    fields: dict[str, Any] = {
        "camera_model": camera.model.value,
        "w": int(camera.width),
        "h": int(camera.height),
        "fl_x": float(camera.fx),
        "fl_y": float(camera.fy),
        "cx": float(camera.cx),
        "cy": float(camera.cy),
    }
    keys = _FISHEYE_KEYS if camera.model is CameraModel.OPENCV_FISHEYE else _OPENCV_KEYS
    fields.update((key, float(value)) for key, value in zip(keys, camera.distortion, strict=False))
    return fields


def world_to_camera(where: str, matrix: list[list[float]]) -> NDArray[np.float64]:
    """Camera-to-world with OpenGL axes (4x4 or 3x4, as in the file) -> world-to-camera with OpenCV axes, (4, 4).

    Raises:
        InputError: another shape, numbers that are not finite, or a matrix that cannot be inverted.
    """
    if len(matrix) not in (3, 4) or any(len(row) != 4 for row in matrix):
        raise InputError(where, "the pose is not a 4x4 matrix", _POSE_REMEDY)
    pose = np.array(matrix, dtype=np.float64)
    if not np.isfinite(pose).all():
        raise InputError(where, "the pose is not finite", _POSE_REMEDY)
    if len(pose) == 4 and not np.array_equal(pose[3], (0.0, 0.0, 0.0, 1.0)):
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

"""The camera of a frame of ``transforms.json``: size, focal lengths, principal point, lens.

What would change a camera's meaning is honoured or refused, never passed over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ditr.captures.notes import Notes
from ditr.captures.transforms import Intrinsics, Transforms, TransformsFrame
from ditr.errors import Grade, InputError
from ditr.scene import Camera, CameraModel

__all__ = ["camera_fields", "camera_of", "plainest_lens", "resized"]

_PERSPECTIVE = frozenset({"SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV"})
_FISHEYE = frozenset({"OPENCV_FISHEYE", "RADIAL_FISHEYE", "SIMPLE_RADIAL_FISHEYE"})
_PLAIN_NAMES = {"PERSPECTIVE": "PINHOLE", "FISHEYE": "OPENCV_FISHEYE"}
_OPENCV_KEYS = ("k1", "k2", "p1", "p2", "k3")
_FULL_KEYS = (*_OPENCV_KEYS, "k4", "k5", "k6")
_FISHEYE_KEYS = ("k1", "k2", "k3", "k4")
_DISTORTION_KEYS = ("k1", "k2", "k3", "k4", "k5", "k6", "p1", "p2")
_OTHER_LENSES = frozenset({
    "equirectangular", "is_equirectangular", "latlong", "is_latlong", "orthographic", "is_orthographic", "lens_mode",
    "lens_params",
})  # fmt: skip
"""Entries that stand for another lens, whatever their value is, if it is not false."""
_OTHER_TERMS = frozenset({
    "p3", "p4", "b1", "b2", "s1", "s2", "s3", "s4", "skew", "xi", "tau_x", "tau_y", "distortion", "distortion_params",
    "distortion_coefficients", "dist_coeffs",
})  # fmt: skip
"""Entries of lens models that are not computed; zeros are harmless."""
_UNDISTORT = "Undistort the images, or calibrate with a model that has only these coefficients"


def camera_of(
    where: str,
    frame: TransformsFrame,
    shared: Transforms,
    image_size: tuple[int, int],
    notes: Notes,
    *,
    turned: bool = False,
) -> Camera:
    """The camera of one frame: its own entries first, then those at the top of the file.

    ``image_size`` is (width, height) of the image file: it stands in for missing ``w`` and ``h`` and must agree
    with them otherwise. ``where`` names file and frame in errors. A perspective model with a distortion other than
    zero is OPENCV, whatever the file calls it; one without is PINHOLE unless the file says OPENCV. ``turned`` tells
    that the image's EXIF entry asks viewers for a quarter turn.

    Raises:
        InputError: missing or impossible intrinsics, an unknown camera model, distortion that the model does not
            have, or intrinsics that belong to another image size.
    """
    entry = {key: _own_or_shared(frame, shared, key) for key in Intrinsics.model_fields}
    _refuse_other_lenses(where, {**(shared.model_extra or {}), **(frame.model_extra or {})})
    _check_size(where, (entry["w"], entry["h"]), image_size, turned)
    fx, fy, cx, cy = _focal_and_center(where, entry, image_size, notes, frame.file_path)
    _check_scale(where, (cx, cy), image_size)
    model, distortion = _lens(where, entry)
    try:
        return Camera(*image_size, fx, fy, cx, cy, model, distortion)
    except InputError as error:
        raise InputError(where, error.fault, error.remedy) from None


def _refuse_other_lenses(where: str, extra: Mapping[str, Any]) -> None:
    for key, value in extra.items():
        plain = value in (None, False, 0, "") or str(value).lower() in ("perspective", "pinhole")
        if (key.startswith("ftheta") or key in _OTHER_LENSES) and not plain:
            raise InputError(where, f"{key} belongs to a lens that is not supported", "Undistort the images first")
        numbers = value if isinstance(value, list) else [value]
        if key in _OTHER_TERMS and any(number not in (None, False, 0, "") for number in numbers):
            raise InputError(where, f"{key} = {value} does not belong to any supported camera model", _UNDISTORT)


def _check_size(where: str, stated: tuple[int | None, int | None], image_size: tuple[int, int], turned: bool) -> None:
    width, height = (size if given is None else given for given, size in zip(stated, image_size, strict=True))
    if (width, height) == image_size:
        return
    remedy = "Scale fl_x, fl_y, cx, cy, w and h with the image, or give the images that were calibrated"
    if (height, width) == image_size:
        remedy = (
            "its EXIF entry turns it for viewing, and the calibration is that of the turned image: save the "
            "image turned, without the entry (`exiftran -ai`, or `mogrify -auto-orient`)"
            if turned
            else "The calibration is that of the image turned by 90 degrees: turn the image, or the calibration"
        )
    raise InputError(where, f"w and h are {width}x{height}, but the image is {image_size[0]}x{image_size[1]}", remedy)


def _own_or_shared(frame: TransformsFrame, shared: Transforms, key: str) -> Any:
    own = getattr(frame, key)
    return getattr(shared, key) if own is None else own


def _focal_and_center(
    where: str, entry: Mapping[str, Any], image_size: tuple[int, int], notes: Notes, frame: str
) -> tuple[float, float, float, float]:
    fx, fy, cx, cy = (entry[key] for key in ("fl_x", "fl_y", "cx", "cy"))
    across, down = (
        _focal_from_angle(where, entry, axis, side, notes) for axis, side in zip("xy", image_size, strict=True)
    )
    for key, focal, angle in (("fl_x", fx, across), ("fl_y", fy, down)):
        if focal is not None and angle is not None and abs(focal - angle) > 0.05 * angle:
            text = f"{key} is {focal:g}, but the field of view gives {angle:.4g}; {key} is used"
            notes.say("cameras", text, frame, grade=Grade.WARNED)
    if fx is None:
        fx = across if across is not None else fy if fy is not None else down
    fy = down if fy is None else fy
    if fx is None:
        lacking = [key for key, value in (("fl_x", fx), ("cx", cx), ("cy", cy)) if value is None]
        raise InputError(
            where,
            f"{' and '.join(lacking)} {'is' if len(lacking) == 1 else 'are'} missing",
            "Give the focal length and the principal point in pixels",
        )
    if cx is None or cy is None:
        notes.say("cameras", "there is no principal point; the middle of the image is assumed", frame)
    return (
        fx,
        fx if fy is None else fy,
        0.5 * image_size[0] if cx is None else cx,
        0.5 * image_size[1] if cy is None else cy,
    )


def _focal_from_angle(where: str, entry: Mapping[str, Any], axis: str, side: int, notes: Notes) -> float | None:
    """From ``camera_angle_x``, which is radians, or ``x_fov``, degrees; what only the other can be is taken as that."""
    radians, degrees = entry[f"camera_angle_{axis}"], entry[f"{axis}_fov"]
    if radians is None and degrees is None:
        return None
    key, angle = (f"camera_angle_{axis}", radians) if radians is not None else (f"{axis}_fov", degrees)
    if not 0.0 < angle < 180.0:
        raise InputError(
            where,
            f"the field of view {key} = {angle} is neither between 0 and pi nor below 180",
            "Give radians, or fl_x",
        )
    is_degrees = angle >= math.pi
    if is_degrees == (radians is not None):
        notes.say("cameras", f"{key} = {angle:g} is read as {'degrees' if is_degrees else 'radians'}")
    return 0.5 * side / math.tan(0.5 * (math.radians(angle) if is_degrees else angle))


def _check_scale(where: str, center: tuple[float, float], image_size: tuple[int, int]) -> None:
    """Refuse intrinsics of a larger or smaller version of the image.

    A principal point outside the image, or one at half the distance (or less) from the corner that the image's centre
    has, in both directions alike, is what forgotten scaling looks like. Crops and shifted lenses stay possible.
    """
    across, down = (2.0 * c / size for c, size in zip(center, image_size, strict=True))
    outside = not (0.0 <= across <= 2.0 and 0.0 <= down <= 2.0)
    halved = 0.0 < across < 0.55 and abs(across - down) < 0.05
    other_way = all(abs(2.0 * c - size) < 0.02 * size for c, size in zip(center, reversed(image_size), strict=True))
    turned = other_way and abs(image_size[0] - image_size[1]) > 0.1 * max(image_size)
    doubled = across > 1.8 and abs(across - down) < 0.1
    if all(map(math.isfinite, center)) and (outside or halved or doubled or turned):
        raise InputError(
            where,
            f"the principal point ({center[0]:g}, {center[1]:g}) does not fit an image of "
            f"{image_size[0]}x{image_size[1]}; it would be the centre of one of {round(2 * center[0])}x"
            f"{round(2 * center[1])}",
            "Scale fl_x, fl_y, cx and cy to the size of the image",
        )


def _lens(where: str, entry: Mapping[str, Any]) -> tuple[CameraModel, tuple[float, ...]]:
    stated = "PINHOLE" if entry["camera_model"] is None else entry["camera_model"]
    name = _PLAIN_NAMES.get(stated.upper(), stated.upper())
    if name not in _FISHEYE and name not in _PERSPECTIVE:
        raise InputError(
            where,
            f"the camera model {stated!r} is not supported",
            f"Undistort the images, or use one of {', '.join(sorted(_PERSPECTIVE))}, OPENCV_FISHEYE",
        )
    told = entry["is_fisheye"]
    if told is not None and entry["camera_model"] is not None and told != (name in _FISHEYE):
        fault = f"the camera model is {stated}, but is_fisheye is {str(told).lower()}"
        raise InputError(where, fault, "Leave out the one that is wrong")
    if told:
        name = "OPENCV_FISHEYE"
    keys = _FISHEYE_KEYS if name in _FISHEYE else _FULL_KEYS if name == "FULL_OPENCV" else _OPENCV_KEYS
    beyond = [key for key in _DISTORTION_KEYS if key not in keys and entry[key]]
    if beyond:
        raise InputError(
            where,
            f"{beyond[0]} = {entry[beyond[0]]} does not belong to the camera model {name} (which has {' '.join(keys)})",
            _UNDISTORT,
        )
    distortion = tuple(0.0 if entry[key] is None else entry[key] for key in keys)
    if name in _FISHEYE:
        return CameraModel.OPENCV_FISHEYE, distortion
    model, distortion = plainest_lens(distortion)
    if model is CameraModel.PINHOLE and name in ("OPENCV", "FULL_OPENCV"):
        return CameraModel.OPENCV, (0.0,) * 4
    return model, distortion


def plainest_lens(distortion: Sequence[float]) -> tuple[CameraModel, tuple[float, ...]]:
    """The perspective model with the fewest coefficients that says the same as ``k1 k2 p1 p2 k3 k4 k5 k6``, of which
    the last ones may be missing."""
    k = (*distortion, *[0.0] * (8 - len(distortion)))
    if any(k[5:]):
        return CameraModel.FULL_OPENCV, k
    if any(k):
        return CameraModel.OPENCV, k[: 5 if k[4] else 4]
    return CameraModel.PINHOLE, ()


def resized(camera: Camera, size: tuple[int, int]) -> Camera | None:
    """The camera of a smaller or larger copy of its images, of ``size`` (width, height); None for other proportions."""
    across, down = (part / whole for part, whole in zip(size, (camera.width, camera.height), strict=True))
    # A side is rounded, by the larger of the two pixels.
    if abs(across - down) > max(across, down) / min(*size, camera.width, camera.height):
        return None
    return replace(
        camera,
        width=size[0], height=size[1],
        fx=camera.fx * across, fy=camera.fy * down, cx=camera.cx * across, cy=camera.cy * down,
    )  # fmt: skip


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
    keys = _FISHEYE_KEYS if camera.model is CameraModel.OPENCV_FISHEYE else _FULL_KEYS
    fields.update((key, float(value)) for key, value in zip(keys, camera.distortion, strict=False))
    return fields

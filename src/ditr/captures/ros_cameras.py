"""Calibrations of ROS (CameraInfo) as cameras."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.intrinsics import plainest_lens
from ditr.errors import InputError
from ditr.geometry.rotations import poses_of
from ditr.scene import Camera, CameraModel

__all__ = ["Calibration", "calibration_of"]

_PLAIN = ("plumb_bob", "rational_polynomial", "")
_ANGLE = ("equidistant", "fisheye", "kannala_brandt4")
"""Names of one model."""
_AGAIN = "Calibrate the camera, or leave it out with --topics"


@dataclass(frozen=True, eq=False)
class Calibration:
    """What a CameraInfo says of images.

    Attributes:
        camera: of the images in their full size, or of the part that was read out, in corner coordinates.
        from_frame: (4, 4) of points in the camera's frame to the axes of the images: rectified ones are turned.
        baseline: (3,) by which a projection of a stereo pair moves points before, in metres; zeros for a single camera.
    """

    camera: Camera
    from_frame: NDArray[np.float64]
    baseline: NDArray[np.float64]


def calibration_of(where: str, message: Any, *, rectified: bool) -> Calibration:
    """The calibration in a message.

    Args:
        where: names the topic in errors.
        message: ``sensor_msgs/CameraInfo`` of ROS 1 or 2.
        rectified: whether the images are those of ``P`` and not those of ``K`` with distortion.

    Raises:
        InputError: a camera that was not calibrated, or a lens that is not known here.
    """
    inner = _numbers(message, "k", "K").reshape(3, 3)
    turn = _numbers(message, "r", "R").reshape(3, 3)
    projection = _numbers(message, "p", "P").reshape(3, 4)
    if inner[0, 0] == 0 and not (rectified and projection[0, 0]):
        raise InputError(where, "the camera is not calibrated (K is 0)", _AGAIN)
    if not rectified:
        model, distortion = _lens(where, str(message.distortion_model), _numbers(message, "d", "D"))
        return Calibration(_camera(where, message, inner, model, distortion), np.eye(4), np.zeros(3))
    inner = projection[:, :3]
    regular = np.linalg.matrix_rank(inner) == 3
    return Calibration(
        _camera(where, message, inner, CameraModel.PINHOLE, ()),
        poses_of(turn, np.zeros(3)) if turn.any() else np.eye(4),
        np.asarray(np.linalg.solve(inner, projection[:, 3]) if regular else np.zeros(3)),
    )


def _numbers(message: Any, new: str, old: str) -> NDArray[np.float64]:
    """A field of ROS 2, or of ROS 1, which spelt it otherwise."""
    return np.asarray(getattr(message, new if hasattr(message, new) else old), np.float64)


def _lens(where: str, name: str, numbers: NDArray[np.float64]) -> tuple[CameraModel, tuple[float, ...]]:
    values = tuple(numbers.tolist())
    if name in ("none", "None") or not any(values):
        return CameraModel.PINHOLE, ()
    if name in _ANGLE and len(values) >= 4 and not any(values[4:]):
        return CameraModel.OPENCV_FISHEYE, values[:4]
    if name in _PLAIN and len(values) <= 14 and not any(values[8:]):
        return plainest_lens(values[:8])
    known = f"Rectify the images (image_proc), or use one of {', '.join(filter(None, (*_PLAIN, *_ANGLE)))}"
    raise InputError(
        where, f"its lens is {name or 'without a name'} with {len(values)} terms, which is not supported", known
    )


def _camera(
    where: str,
    message: Any,
    inner: NDArray[np.float64],
    model: CameraModel,
    distortion: tuple[float, ...],
) -> Camera:
    """Of the images as they were read out: a part of the sensor's, with pixels put together."""
    part = message.roi
    size = [int(message.width), int(message.height)]
    # ROS counts pixels from the middle of the first one.
    middle = [inner[0, 2] + 0.5, inner[1, 2] + 0.5]
    if part.width and part.height and (part.width, part.height) != tuple(size):
        middle = [middle[0] - int(part.x_offset), middle[1] - int(part.y_offset)]
        size = [int(part.width), int(part.height)]
    bins = [max(1, int(message.binning_x)), max(1, int(message.binning_y))]
    try:
        return Camera(
            size[0] // bins[0], size[1] // bins[1],
            inner[0, 0] / bins[0], inner[1, 1] / bins[1], middle[0] / bins[0], middle[1] / bins[1],
            model, distortion,
        )  # fmt: skip
    except InputError as error:
        raise InputError(where, f"its calibration is damaged: {error.fault}", _AGAIN) from None

"""Lens distortion: from the ideal image to the distorted one, and where the model stops being one-to-one.

A radial polynomial is r -> r * (1 + k[0] r^2 + k[1] r^4 + ...), in the distance from the axis on the plane z = 1 for
OPENCV, in the angle off the axis for OPENCV_FISHEYE.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ditr.scene import Camera, CameraModel

__all__ = ["image_of"]


def _radial(camera: Camera) -> tuple[float, ...]:
    """The coefficients of the polynomial; OPENCV has its third behind the two of tangential distortion."""
    if camera.model is not CameraModel.OPENCV:
        return camera.distortion
    return camera.distortion[:2] + camera.distortion[4:]


@lru_cache(maxsize=256)
def _fold(coefficients: tuple[float, ...]) -> float:
    """The smallest positive radius at which the derivative of a radial polynomial is zero; inf without one."""
    # The derivative is 1 + 3 k[0] s + 5 k[1] s^2 + ... in s = r^2. Its roots are found as those of the reversed
    # polynomial in 1 / s, which begins with 1 however small the last coefficients are. A pair of roots that is complex
    # by rounding only is a double root: the lens is flat there.
    roots = np.roots([1.0, *((2 * i + 3) * k for i, k in enumerate(coefficients))])
    real = roots.real[(np.abs(roots.imag) <= 1e-7 * np.abs(roots)) & (roots.real > 0)]
    return float(1.0 / np.sqrt(real.max())) if len(real) else np.inf


def _growth(squared: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """``1 + k[0] s + k[1] s^2 + ...`` for the squared radius ``s``."""
    total = np.zeros_like(squared)
    for k in reversed(coefficients):
        total = (total + k) * squared
    return total + 1.0


def image_of(
    x: NDArray[np.float64], y: NDArray[np.float64], z: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Image coordinates of points in camera coordinates; NaN where the camera has none."""
    lost = ~(z > 0)
    if camera.model is CameraModel.OPENCV_FISHEYE:
        radius = np.hypot(x, y)
        angle = np.arctan2(radius, z)
        lost |= angle >= _fold(camera.distortion)
        # On the axis, angle / radius tends to 1 / z.
        growth = np.where(radius > 0, angle / radius, 1.0 / z) * _growth(angle**2, camera.distortion)
        x, y = x * growth, y * growth
    else:
        x, y = x / z, y / z
        if camera.model is CameraModel.OPENCV:
            squared = x * x + y * y
            lost |= squared >= _fold(_radial(camera)) ** 2
            x, y = _distort(x, y, camera)
    u, v = camera.fx * x + camera.cx, camera.fy * y + camera.cy
    u[lost] = np.nan
    v[lost] = np.nan
    return u, v


def _distort(
    x: NDArray[np.float64], y: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """OPENCV: radial and tangential distortion on the plane z = 1."""
    p1, p2 = camera.distortion[2:4]
    squared = x * x + y * y
    radial = _growth(squared, _radial(camera))
    return (
        x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
        y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
    )

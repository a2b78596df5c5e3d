"""Lens distortion: from the ideal image to the distorted one, and where the model stops being one-to-one.

A radial polynomial is r -> r * (1 + k[0] r^2 + k[1] r^4 + ...), in the distance from the axis on the plane z = 1 for
OPENCV, in the angle off the axis for OPENCV_FISHEYE. That of FULL_OPENCV is divided by another of the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ditr.scene import Camera, CameraModel

__all__ = ["image_of"]


def _radial(camera: Camera) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The coefficients of the polynomial, and of the one that it is divided by; OPENCV's and FULL_OPENCV's have two of
    tangential distortion between the second and the third.
    """
    if camera.model is CameraModel.OPENCV_FISHEYE:
        return camera.distortion, ()
    k = camera.distortion[:2] + camera.distortion[4:]
    return k[:3], k[3:]


@lru_cache(maxsize=256)
def _fold(above: tuple[float, ...], below: tuple[float, ...]) -> float:
    """The smallest positive radius at which the derivative of a radial distortion is zero, or what it is divided by;
    inf without one."""
    # Of r * p(s) / q(s) in s = r^2 the derivative is zero where (p + 2 s p') q - 2 p s q' is.
    p, q = np.array([1.0, *above]), np.array([1.0, *below])
    powers_p, powers_q = np.arange(len(p)), np.arange(len(q))
    turning = np.convolve((2 * powers_p + 1) * p, q) - 2 * np.convolve(p, powers_q * q)
    return min(_smallest_root(turning), _smallest_root(q))


def _smallest_root(ascending: NDArray[np.float64]) -> float:
    """The radius of the smallest positive root of a polynomial in its square, which begins with 1; inf without one."""
    # Its roots are found as those of the reversed polynomial in 1 / s, which begins with 1 however small the last
    # coefficients are. A pair of roots that is complex by rounding only is a double root: the lens is flat there.
    roots = np.roots(ascending)
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
        lost |= angle >= _fold(*_radial(camera))
        # On the axis, angle / radius tends to 1 / z.
        growth = np.where(radius > 0, angle / radius, 1.0 / z) * _growth(angle**2, camera.distortion)
        x, y = x * growth, y * growth
    else:
        x, y = x / z, y / z
        if camera.model is not CameraModel.PINHOLE:
            squared = x * x + y * y
            lost |= squared >= _fold(*_radial(camera)) ** 2
            x, y = _distort(x, y, camera)
    u, v = camera.fx * x + camera.cx, camera.fy * y + camera.cy
    u[lost] = np.nan
    v[lost] = np.nan
    return u, v


def _distort(
    x: NDArray[np.float64], y: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """OPENCV and FULL_OPENCV: radial and tangential distortion on the plane z = 1."""
    p1, p2 = camera.distortion[2:4]
    squared = x * x + y * y
    above, below = _radial(camera)
    radial = _growth(squared, above)
    if below:
        with np.errstate(divide="ignore", invalid="ignore"):  # beyond the fold
            radial = radial / _growth(squared, below)
    return (
        x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
        y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
    )

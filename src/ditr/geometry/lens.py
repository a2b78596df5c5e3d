"""Lens distortion: from the ideal image to the distorted one, and where the model stops being one-to-one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ditr.scene import Camera, CameraModel

__all__ = []


def _radial(camera: Camera) -> tuple[float, ...]:
    return camera.distortion[:2] if camera.model is CameraModel.OPENCV else camera.distortion


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


def _slope(squared: NDArray[np.float64], coefficients: Sequence[float]) -> NDArray[np.float64]:
    """Derivative of ``r * _growth(r^2)`` by ``r``."""
    return _growth(squared, [(2 * i + 3) * k for i, k in enumerate(coefficients)])


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
    _, _, p1, p2 = camera.distortion
    squared = x * x + y * y
    radial = _growth(squared, _radial(camera))
    return (
        x * radial + 2 * p1 * x * y + p2 * (squared + 2 * x * x),
        y * radial + p1 * (squared + 2 * y * y) + 2 * p2 * x * y,
    )


def undistort(
    x: NDArray[np.float64], y: NDArray[np.float64], camera: Camera
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points on the plane z = 1 for distorted ones; NaN where there are none before the fold."""
    if camera.model is CameraModel.PINHOLE:
        return x, y
    target = np.hypot(x, y)
    radius = _invert_radial(target, _radial(camera))
    if camera.model is CameraModel.OPENCV_FISHEYE:
        radius = np.where(radius < 0.5 * np.pi, np.tan(radius), np.nan)
    scale = np.where(target > 0, radius / target, 1.0)
    if camera.model is CameraModel.OPENCV_FISHEYE or not any(camera.distortion[2:]):
        return x * scale, y * scale
    return _solve_tangential(x, y, x * scale, y * scale, camera)


def _invert_radial(target: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """The radius below the fold that a radial polynomial maps to ``target``: Newton steps in a shrinking bracket."""
    low = np.zeros_like(target)
    high = np.full_like(target, _fold(coefficients))
    if np.isinf(high).any():  # the polynomial grows without end: double until the target is passed
        high = np.maximum(target, 1e-9)
        for _ in range(64):
            high = np.where(high * _growth(high**2, coefficients) <= target, 2 * high, high)
    reachable = high * _growth(high**2, coefficients) > target
    radius = np.minimum(target, 0.5 * high)
    for _ in range(60):
        value = radius * _growth(radius**2, coefficients)
        low, high = np.where(value < target, radius, low), np.where(value < target, high, radius)
        step = radius - (value - target) / _slope(radius**2, coefficients)
        # A step onto the bracket's end is allowed: it may be the solution itself.
        radius = np.where((step >= low) & (step <= high), step, 0.5 * (low + high))
    return np.where(reachable | (target == 0), radius, np.nan)


def _solve_tangential(
    target_x: NDArray[np.float64],
    target_y: NDArray[np.float64],
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    camera: Camera,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Newton's method for radial and tangential distortion together, from the solution of the radial part."""
    coefficients = _radial(camera)
    _, _, p1, p2 = camera.distortion
    fold = _fold(coefficients)
    # Where only the tangential part brings a pixel within reach, start just inside the fold.
    lost = np.isnan(x)
    shrink = 0.9 * min(fold, 1e9) / np.hypot(target_x, target_y)
    x, y = np.where(lost, target_x * shrink, x), np.where(lost, target_y * shrink, y)
    for _ in range(30):
        squared = x * x + y * y
        radial = _growth(squared, coefficients)
        bend = (_slope(squared, coefficients) - radial) / squared  # twice the derivative of ``radial`` by ``squared``
        bend = np.where(squared > 0, bend, 2 * coefficients[0])
        xx = radial + bend * x * x + 2 * p1 * y + 6 * p2 * x
        yy = radial + bend * y * y + 6 * p1 * y + 2 * p2 * x
        xy = bend * x * y + 2 * p1 * x + 2 * p2 * y
        fx, fy = _distort(x, y, camera)
        dx, dy = target_x - fx, target_y - fy
        determinant = xx * yy - xy * xy
        x, y = x + (yy * dx - xy * dy) / determinant, y + (xx * dy - xy * dx) / determinant
    fx, fy = _distort(x, y, camera)
    error = np.hypot(fx - target_x, fy - target_y)
    good = (error <= 1e-11 * np.maximum(1.0, np.hypot(target_x, target_y))) & (x * x + y * y < fold**2)
    return np.where(good, x, np.nan), np.where(good, y, np.nan)

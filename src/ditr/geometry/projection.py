"""Points to pixels and back: cameras with distortion, visibility, and the patch that a pixel lies in.

This is the 2D-3D mapping of the paper's section 3.1. Everything is numpy float64; only :func:`patch_of` computes in
float32, because the published weights were trained with patches found that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.scene import Camera, CameraModel, View

__all__ = ["INDOOR", "OUTDOOR", "Projection", "VisibilityRule", "patch_of", "project", "see", "unproject"]

# Points handled at a time: the intermediate arrays stay in the cache, and large clouds need little memory beside the
# result.
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class Projection:
    """Where N points lie in one image.

    Attributes:
        pixel: (N, 2) float64 image coordinates (u, v); NaN where a point has no image: behind the camera, or beyond the
            field of view that the lens model describes.
        depth: (N,) float64 metres along the optical axis, negative behind the camera.
        visible: (N,) bool, whether the view shows the point; implies a pixel inside the image.
    """

    pixel: NDArray[np.float64]
    depth: NDArray[np.float64]
    visible: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.depth)


@dataclass(frozen=True)
class VisibilityRule:
    """What, beside lying inside the image, a point must satisfy to be visible; None switches a test off.

    Attributes:
        min_depth, max_depth: metres along the optical axis; the depth lies strictly between them.
        depth_margin: metres by which depth and depth map may differ. Where the map has no value (0), a point is not
            visible.
    """

    min_depth: float | None = None
    max_depth: float | None = None
    depth_margin: float | None = None


INDOOR = VisibilityRule(min_depth=1.0, max_depth=4.0, depth_margin=0.2)
"""The rule of the published indoor models (ScanNet, Structured3D)."""
OUTDOOR = VisibilityRule()
"""The rule of the published driving models: inside the image is enough."""


def project(coord: NDArray[Any], camera: Camera, world_to_camera: NDArray[np.float64]) -> Projection:
    """Project world points into an image.

    Visible are points in front of the camera whose pixel lies inside the image: ``0 <= u < width``,
    ``0 <= v < height``. Beyond the angle at which a distortion polynomial turns back (its derivative's smallest
    positive root) a point would be drawn a second time nearer the centre; such points have no pixel.

    Args:
        coord: (N, 3) metres. Float64 keeps its precision for large coordinates (UTM).
        camera: the intrinsics.
        world_to_camera: (4, 4) pose with OpenCV axes.
    """
    count = len(coord)
    result = Projection(np.empty((count, 2)), np.empty(count), np.empty(count, dtype=bool))
    rotation = world_to_camera[:3, :3]
    # Subtracting the camera's position first keeps the numbers small before they are rotated.
    center = -np.linalg.solve(rotation, world_to_camera[:3, 3])
    with np.errstate(all="ignore"):  # points behind the camera may divide by zero; they are taken out below
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            x, y, z = rotation @ (np.asarray(coord[part], dtype=np.float64) - center).T
            u, v = _image_of(x, y, z, camera)
            result.pixel[part, 0], result.pixel[part, 1] = u, v
            result.depth[part] = z
            result.visible[part] = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
    return result


def see(
    coord: NDArray[Any], view: View, rule: VisibilityRule = OUTDOOR, depth_map: NDArray[np.floating[Any]] | None = None
) -> Projection:
    """Project points into a view and decide which of them it shows.

    The comparison with the depth map, ``|depth - map| <= margin``, reads the map at the pixel's column and row; a
    map of another size than the image is read at the place in proportion. A view without a depth map
    (``depth_map`` None) is not tested against one.

    Args:
        coord: (N, 3) metres.
        view: the view; its own ``depth`` is not read.
        rule: range limits and depth margin.
        depth_map: (h, w) metres, 0 for no value.
    """
    seen = project(coord, view.camera, view.world_to_camera)
    visible = seen.visible
    if rule.min_depth is not None:
        visible &= seen.depth > rule.min_depth
    if rule.max_depth is not None:
        visible &= seen.depth < rule.max_depth
    if rule.depth_margin is not None and depth_map is not None:
        inside = np.flatnonzero(visible)
        column, row = (
            _map_index(seen.pixel[inside, axis], image_side, map_side)
            for axis, image_side, map_side in (
                (0, view.camera.width, depth_map.shape[1]),
                (1, view.camera.height, depth_map.shape[0]),
            )
        )
        stored = depth_map[row, column].astype(np.float64)
        visible[inside] = (stored > 0) & (np.abs(seen.depth[inside] - stored) <= rule.depth_margin)
    return seen


def _map_index(pixel: NDArray[np.float64], image_side: int, map_side: int) -> NDArray[np.int64]:
    scaled = pixel if map_side == image_side else pixel * (map_side / image_side)
    return np.minimum(scaled.astype(np.int64), map_side - 1)


def unproject(
    pixel: NDArray[np.floating[Any]],
    depth: NDArray[np.floating[Any]],
    camera: Camera,
    world_to_camera: NDArray[np.float64],
) -> NDArray[np.float64]:
    """World points of image points at given depths: the inverse of :func:`project`.

    Args:
        pixel: (N, 2) image coordinates (u, v).
        depth: (N,) metres along the optical axis.
        camera: the intrinsics.
        world_to_camera: (4, 4) pose with OpenCV axes.

    Returns:
        (N, 3) float64 metres; NaN where no ray of the lens model meets the pixel.
    """
    rotation = world_to_camera[:3, :3]
    center = -np.linalg.solve(rotation, world_to_camera[:3, 3])
    inverse = np.linalg.inv(rotation)
    result = np.empty((len(depth), 3))
    with np.errstate(all="ignore"):
        for start in range(0, len(depth), _CHUNK):
            part = slice(start, start + _CHUNK)
            x = (np.asarray(pixel[part, 0], dtype=np.float64) - camera.cx) / camera.fx
            y = (np.asarray(pixel[part, 1], dtype=np.float64) - camera.cy) / camera.fy
            x, y = _undistort(x, y, camera)
            z = np.asarray(depth[part], dtype=np.float64)
            result[part] = (inverse @ np.stack([x * z, y * z, z])).T + center
    return result


def patch_of(
    pixel: NDArray[Any], *, scale: tuple[float, float], patch_size: int, rows: int, columns: int
) -> NDArray[np.int64]:
    """The patch of an encoder's image in which each image point lies, by floor.

    Coordinates scale with the image, without a half-pixel shift. All of it is float32, as in the published code.

    Args:
        pixel: (N, 2) points (u, v) of the stored image; NaN lies in no patch.
        scale: width and height of the image that the encoder sees over those of the stored image.
        patch_size: side of a patch in the encoder's image, pixels.
        rows, columns: the encoder's grid of patches.

    Returns:
        (N,) ``row * columns + column``, or -1 for points outside the grid.
    """
    patch = np.asarray(pixel, dtype=np.float32) * np.asarray(scale, dtype=np.float32)
    patch /= np.float32(patch_size)
    np.floor(patch, out=patch)
    with np.errstate(invalid="ignore"):
        # Each of the two by itself: numpy is slow along an axis of length two.
        across, down = patch[:, 0], patch[:, 1]
        inside = (across >= 0) & (across < columns) & (down >= 0) & (down < rows)
    column, row = (np.where(inside, part, 0).astype(np.int64) for part in (across, down))
    return np.where(inside, row * columns + column, -1)


# ---------------------------------------------------------------------------------------------------------------------
# Lenses. A radial polynomial is r -> r * (1 + k[0] r^2 + k[1] r^4 + ...), in the distance from the axis on the plane
# z = 1 for OPENCV, in the angle off the axis for OPENCV_FISHEYE.


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


def _image_of(
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


def _undistort(
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

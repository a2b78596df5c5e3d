"""Points to pixels: cameras with distortion, visibility, and the patch that a pixel lies in.

This is the 2D-3D mapping of the paper's section 3.1. Everything is numpy float64; only :func:`patch_of` computes in
float32, because the published weights were trained with patches found that way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.lens import image_of
from ditr.geometry.occlusion import DepthBuffer
from ditr.reading import Occlusion
from ditr.scene import Camera, View

__all__ = [
    "INDOOR",
    "OUTDOOR",
    "Projection",
    "Sight",
    "VisibilityRule",
    "map_index",
    "patch_of",
    "project",
    "see",
    "shown_points",
    "values_at",
]

# Points handled at a time: the intermediate arrays stay in the cache, and large clouds need little memory beside the
# result.
_CHUNK = 1 << 16


class Sight(IntEnum):
    """Whether a view shows a point, and if not, the test that it fails first.

    The later that test comes, the smaller is the number; so of several views, the one with the smallest number came
    closest to showing the point.
    """

    VISIBLE = 0
    MASKED = 1
    HIDDEN = 2
    IN_FRONT = 3
    NO_DEPTH = 4
    TOO_FAR = 5
    TOO_NEAR = 6
    OUTSIDE = 7
    BEHIND = 8
    NOT_LISTED = 9
    NO_VIEW = 10

    @property
    def meaning(self) -> str:
        """A few words for a person."""
        return _MEANINGS[self]


_MEANINGS = {
    Sight.VISIBLE: "shown",
    Sight.MASKED: "in a part of the image that its mask excludes",
    Sight.HIDDEN: "hidden behind something nearer",
    Sight.IN_FRONT: "in front of what the depth map shows",
    Sight.NO_DEPTH: "no value in the depth map",
    Sight.TOO_FAR: "too far from the camera",
    Sight.TOO_NEAR: "too near to the camera",
    Sight.OUTSIDE: "outside the image",
    Sight.BEHIND: "behind the camera",
    Sight.NOT_LISTED: "not among the points that the view's file lists",
    Sight.NO_VIEW: "the scene has no views",
}


@dataclass(frozen=True, eq=False)
class Projection:
    """Where N points lie in one image.

    Attributes:
        pixel: (N, 2) float64 image coordinates (u, v); NaN where a point has no image: behind the camera, or beyond the
            field of view that the lens model describes.
        depth: (N,) float64 metres along the optical axis, negative behind the camera.
        sight: (N,) uint8 numbers of :class:`Sight`.
    """

    pixel: NDArray[np.float64]
    depth: NDArray[np.float64]
    sight: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def visible(self) -> NDArray[np.bool_]:
        """(N,) whether the view shows the point; implies a pixel inside the image."""
        return np.asarray(self.sight == np.uint8(Sight.VISIBLE))


@dataclass(frozen=True)
class VisibilityRule:
    """What, beside lying inside the image, a point must satisfy to be visible; None switches a test off.

    Attributes:
        min_depth, max_depth: metres along the optical axis; the depth lies strictly between them.
        depth_margin: metres by which depth and depth map may differ. Where the map has no value (0), a point is not
            visible.
        occlusion: what is asked in the views of which no depth map is; with a z-buffer of the cloud itself
            (:mod:`ditr.geometry.occlusion`), a point that lies behind others by more than the margin is not visible.
    """

    min_depth: float | None = None
    max_depth: float | None = None
    depth_margin: float | None = None
    occlusion: Occlusion = "none"


INDOOR = VisibilityRule(min_depth=1.0, max_depth=4.0, depth_margin=0.2)
"""The rule of the published indoor models (ScanNet, Structured3D)."""
OUTDOOR = VisibilityRule()
"""The rule of the published driving models: inside the image is enough."""


def project(coord: NDArray[Any], camera: Camera, world_to_camera: NDArray[np.float64]) -> Projection:
    """Project world points into an image.

    Visible are points in front of the camera whose pixel lies inside the image: ``0 <= u < width``,
    ``0 <= v < height``. Beyond the angle at which a distortion polynomial turns back (its derivative's smallest
    positive root) a point would be drawn a second time nearer the centre; such points have no pixel, and count as
    outside the image.

    Args:
        coord: (N, 3) metres. Float64 keeps its precision for large coordinates (UTM).
        camera: the intrinsics.
        world_to_camera: (4, 4) pose with OpenCV axes.
    """
    count = len(coord)
    result = Projection(np.empty((count, 2)), np.empty(count), np.empty(count, dtype=np.uint8))
    with np.errstate(all="ignore"):  # points behind the camera may divide by zero; they are taken out below
        for part, (x, y, z) in _in_camera(coord, world_to_camera):
            u, v = image_of(x, y, z, camera)
            result.pixel[part, 0], result.pixel[part, 1] = u, v
            result.depth[part] = z
            inside = (u >= 0) & (u < camera.width) & (v >= 0) & (v < camera.height)
            outside = np.where(z > 0, np.uint8(Sight.OUTSIDE), np.uint8(Sight.BEHIND))
            result.sight[part] = np.where(inside, np.uint8(Sight.VISIBLE), outside)
    return result


def _in_camera(
    coord: NDArray[Any], world_to_camera: NDArray[np.float64]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Some points at a time, and their (3, n) coordinates in the camera's frame."""
    rotation = world_to_camera[:3, :3]
    # Subtracting the camera's position first keeps the numbers small before they are rotated.
    center = -np.linalg.solve(rotation, world_to_camera[:3, 3])
    for start in range(0, len(coord), _CHUNK):
        part = slice(start, start + _CHUNK)
        points = np.asarray(coord[part], dtype=np.float64)
        relative = np.empty_like(points)
        for axis in range(3):  # each by itself: numpy is slow along an axis of length three
            np.subtract(points[:, axis], center[axis], out=relative[:, axis])
        yield part, rotation @ relative.T


def see(
    coord: NDArray[Any],
    view: View,
    rule: VisibilityRule = OUTDOOR,
    depth_map: NDArray[np.floating[Any]] | None = None,
    mask: NDArray[np.bool_] | None = None,
    buffer: DepthBuffer | None = None,
) -> Projection:
    """Project points into a view and decide which of them it shows.

    The comparison with the depth map, ``|depth - map| <= margin``, reads the map at the pixel's column and row; a
    map of another size than the image is read at the place in proportion. A view without a depth map
    (``depth_map`` None) is not tested against one. A mask is read likewise.

    Args:
        coord: (N, 3) metres.
        view: the view; its own ``depth`` and ``mask`` are not read.
        rule: range limits and depth margin.
        depth_map: (h, w) metres, 0 for no value.
        mask: (h, w) whether a pixel counts.
        buffer: of the cloud in this view; None where it is not asked.
    """
    seen = project(coord, view.camera, view.world_to_camera)
    sight, depth = seen.sight, seen.depth
    if rule.min_depth is not None:
        sight[seen.visible & ~(depth > rule.min_depth)] = Sight.TOO_NEAR
    if rule.max_depth is not None:
        sight[seen.visible & ~(depth < rule.max_depth)] = Sight.TOO_FAR
    if rule.depth_margin is not None and depth_map is not None:
        inside = np.flatnonzero(seen.visible)
        stored = values_at(depth_map, seen.pixel[inside], view.camera).astype(np.float64)
        beyond = depth[inside] - stored
        differs = np.where(beyond > 0, Sight.HIDDEN, Sight.IN_FRONT)
        agrees = np.abs(beyond) <= rule.depth_margin
        sight[inside] = np.where(stored > 0, np.where(agrees, Sight.VISIBLE, differs), Sight.NO_DEPTH)
    if buffer is not None:
        inside = np.flatnonzero(seen.visible)
        sight[inside[buffer.hides(seen.pixel[inside], depth[inside], rule.depth_margin)]] = Sight.HIDDEN
    if mask is not None:
        inside = np.flatnonzero(seen.visible)
        sight[inside[~values_at(mask, seen.pixel[inside], view.camera)]] = Sight.MASKED
    return seen


def shown_points(
    coord: NDArray[Any],
    view: View,
    rule: VisibilityRule = OUTDOOR,
    depth_map: NDArray[np.floating[Any]] | None = None,
    mask: NDArray[np.bool_] | None = None,
    buffer: DepthBuffer | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The points that a view shows, where nobody asks why it does not show the others: the fast path of :func:`see`.

    Points beside the range of depths are left out before they are projected, those outside the image before the depth
    map is read. The arguments are those of :func:`see`.

    Returns:
        (n,) rows of the points, in their order, and (n, 2) image coordinates (u, v); equal to those of :func:`see`.
    """
    near = 0.0 if rule.min_depth is None else max(0.0, rule.min_depth)
    far = np.inf if rule.max_depth is None else rule.max_depth
    width, height = view.camera.width, view.camera.height
    parts = [(np.empty(0, dtype=np.int64), np.empty(0), np.empty(0), np.empty(0))]
    for part, (x, y, z) in _in_camera(coord, view.world_to_camera):
        rows = np.flatnonzero((z > near) & (z < far))
        depth = z.take(rows)
        with np.errstate(all="ignore"):
            u, v = image_of(x.take(rows), y.take(rows), depth, view.camera)
            inside = np.flatnonzero((u >= 0) & (u < width) & (v >= 0) & (v < height))
        parts.append((rows.take(inside) + part.start, *(values.take(inside) for values in (u, v, depth))))
    rows, u, v, depth = (np.concatenate(values) for values in zip(*parts, strict=True))
    pixel = np.stack([u, v], axis=1)
    shown = np.ones(len(rows), dtype=np.bool_)
    if rule.depth_margin is not None and depth_map is not None:
        stored = values_at(depth_map, pixel, view.camera).astype(np.float64)
        shown &= (stored > 0) & (np.abs(depth - stored) <= rule.depth_margin)
    if buffer is not None:
        shown &= ~buffer.hides(pixel, depth, rule.depth_margin)
    if mask is not None:
        shown &= values_at(mask, pixel, view.camera)
    return rows[shown], pixel[shown]


def values_at(values: NDArray[Any], pixel: NDArray[np.float64], camera: Camera) -> NDArray[Any]:
    """What a map of any size, laid over the image, holds at image coordinates (N, 2)."""
    column = map_index(pixel[:, 0], camera.width, values.shape[1])
    row = map_index(pixel[:, 1], camera.height, values.shape[0])
    return np.asarray(values[row, column])


def map_index(pixel: NDArray[np.float64], image_side: int, map_side: int) -> NDArray[np.int64]:
    """Rows or columns of a map that is laid over an image, for image coordinates along one axis."""
    scaled = pixel if map_side == image_side else pixel * (map_side / image_side)
    return np.minimum(scaled.astype(np.int64), map_side - 1)


def patch_of(
    pixel: NDArray[Any], *, scale: tuple[float, float], patch_size: int, rows: int, columns: int
) -> NDArray[np.int64]:
    """The patch of an encoder's image in which each image point lies, by floor.

    Coordinates scale with the image, without a half-pixel shift. All of it is float32, as in the published code.

    Args:
        pixel: (N, 2) points (u, v) of the stored image; NaN lies in no patch.
        scale: width and height of the image that the encoder sees over those of the stored image.
        patch_size: side of a patch in the encoder's image, pixels.
        rows: of the encoder's grid of patches.
        columns: of the same grid.

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

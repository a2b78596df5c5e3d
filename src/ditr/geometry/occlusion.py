"""What hides what, by the points alone: a z-buffer of the cloud's own discs, for views without a depth map.

Each disc is drawn into a coarse map of the image, at the depth of its plane there. A point is hidden where the map is
nearer than the point by more than a margin, at the point's own place and all around it: discs that close the gaps
between points reach beyond the edges of things, and what is seen past an edge has nothing before it on one side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.lens import image_of
from ditr.geometry.surfels import Surfels
from ditr.scene import Camera

__all__ = ["DepthBuffer", "depth_buffer"]

MARGIN = 0.2
"""Metres by which something nearer has to lie before a point that it hides, where a rule has none for depth maps."""
RELATIVE = 0.01
"""Of the point's depth, beside the margin: noise of poses and ranges grows with the distance."""
TILES = 480
"""Along the image's longer side: so fine is the map, unless pixels are coarser."""
COVER = 1.0
"""Radius of a disc in spacings: neighbouring ones overlap, and few gaps are left between points strewn at random."""
INWARD = 0.5
"""Radii from the edge of a disc to what hides: half a spacing of the surface lies beyond its outermost points."""
WIDEST = 0.1
"""Radians that a disc spans to its edge at most: something right before the camera does not fill the image."""
REACH = 6.0
"""Radii by which a disc may slope away from the camera; as far back lies one whose slope is not known."""
_FINE = 2
# Tiles from a disc's middle to its edge; larger ones are drawn into a map of larger tiles.
_STEP = 1e-4
_AROUND = tuple((float(np.cos(angle)), float(np.sin(angle))) for angle in np.arange(8) * np.pi / 4)
_EMPTY = np.uint64(np.iinfo(np.uint64).max)
_DEPTH_BITS, _INDEX = np.uint64(32), np.uint64(0xFFFFFFFF)
_CHUNK = 1 << 16


@dataclass(frozen=True, eq=False)
class DepthBuffer:
    """How far the nearest discs are, in tiles that cover an image.

    Attributes:
        depth: (rows, columns) float32 metres along the optical axis; inf where there is no disc.
        radius: (rows, columns) float32 tiles, of the disc that is nearest there.
        side: of a tile, in pixels of the image.
    """

    depth: NDArray[np.float32]
    radius: NDArray[np.float32]
    side: float

    def hides(
        self, pixel: NDArray[np.float64], depth: NDArray[np.float64], margin: float | None = None
    ) -> NDArray[np.bool_]:
        """Which points lie behind discs.

        Args:
            pixel: (n, 2) image coordinates (u, v) inside the image.
            depth: (n,) metres along the optical axis.
            margin: metres by which a disc has to be nearer, beside a share of the depth; None for :data:`MARGIN`.

        Returns:
            (n,) whether a point is hidden.
        """
        hidden = np.empty(len(depth), dtype=bool)
        for start in range(0, len(depth), _CHUNK):
            part = slice(start, start + _CHUNK)
            beyond = depth[part] * (1 - RELATIVE) - (MARGIN if margin is None else margin)
            hidden[part] = self._covered(pixel[part] / self.side, beyond)
        return hidden

    def _covered(self, place: NDArray[np.float64], limit: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether discs nearer than ``limit`` (n,) are at places (n, 2), in tiles, and on all sides of them."""
        covered = self._at(self.depth, place) < limit
        rows = np.flatnonzero(covered)
        step = INWARD * self._at(self.radius, place[rows])
        for direction in _AROUND:
            beside = place[rows] + step[:, None] * direction
            kept = self._at(self.depth, beside) < limit[rows]
            covered[rows[~kept]] = False
            rows, step = rows[kept], step[kept]
        return covered

    def _at(self, values: NDArray[np.float32], place: NDArray[np.float64]) -> NDArray[np.float32]:
        """What a map (rows, columns) holds; beyond its border what it has there."""
        rows, columns = self.depth.shape
        column = np.clip(place[:, 0], 0, columns - 1).astype(np.int64)
        row = np.clip(place[:, 1], 0, rows - 1).astype(np.int64)
        return values[row, column]


@dataclass(frozen=True, eq=False)
class _Discs:
    """Discs in an image, the largest first; (M,) float32 each.

    Attributes:
        u, v: middles, in tiles across and down.
        radius: tiles.
        inverse: inverse depth of the middle, per metre.
        slope_u, slope_v: how inverse depth grows from tile to tile.
        least: inverse depth of the farthest that a disc may be.
    """

    u: NDArray[np.float32]
    v: NDArray[np.float32]
    radius: NDArray[np.float32]
    inverse: NDArray[np.float32]
    slope_u: NDArray[np.float32]
    slope_v: NDArray[np.float32]
    least: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.radius)


def depth_buffer(surfels: Surfels, camera: Camera, world_to_camera: NDArray[np.float64]) -> DepthBuffer:
    """Draw the discs of a cloud as a camera sees them.

    Memory is that of the discs in the image, and does not grow with the image.

    Args:
        surfels: of the cloud.
        camera: the intrinsics.
        world_to_camera: (4, 4) pose with OpenCV axes.
    """
    side = max(1.0, max(camera.width, camera.height) / TILES)
    rows, columns = math.ceil(camera.height / side), math.ceil(camera.width / side)
    discs = _discs_in(surfels, camera, world_to_camera, side)
    level = np.ceil(np.log2(np.maximum(discs.radius / _FINE, 1.0))).astype(np.int64)
    keys: NDArray[np.uint64] | None = None
    for number in range(int(level.max(initial=0)), -1, -1):
        tile = 1 << number
        height, width = -(-rows // tile), -(-columns // tile)
        if keys is None:
            keys = np.full((height, width), _EMPTY)
        else:  # what was drawn into larger tiles covers their four parts
            keys = keys.repeat(2, axis=0).repeat(2, axis=1)[:height, :width].copy()
        begin, end = np.searchsorted(-level, (-number, 1 - number))
        _draw(keys, discs, int(begin), int(end), tile)
    assert keys is not None
    empty = keys == _EMPTY
    depth = np.where(empty, np.float32(np.inf), (keys >> _DEPTH_BITS).astype(np.uint32).view(np.float32))
    radius = np.append(discs.radius, np.float32(0))[np.where(empty, len(discs), (keys & _INDEX).astype(np.int64))]
    return DepthBuffer(depth, radius, side)


def _discs_in(surfels: Surfels, camera: Camera, world_to_camera: NDArray[np.float64], side: float) -> _Discs:
    """The discs that reach into an image whose tiles have ``side`` pixels."""
    rotation = world_to_camera[:3, :3]
    center = -np.linalg.solve(rotation, world_to_camera[:3, 3]) - surfels.middle
    x, y, z = rotation @ (surfels.place - center).T
    with np.errstate(all="ignore"):  # what has no image is NaN, and so left out
        u, v = image_of(x, y, z, camera)
        # No disc reaches farther than the image's own size.
        near = (np.abs(2 * u - camera.width) < 3 * camera.width) & (np.abs(2 * v - camera.height) < 3 * camera.height)
        rows = np.flatnonzero(near)
        x, y, z, u, v = x[rows], y[rows], z[rows], u[rows], v[rows]
        # How far that moves per unit of x and of y on the plane z = 1.
        (u_x, v_x), (u_y, v_y) = (
            ((moved_u - u) / _STEP, (moved_v - v) / _STEP)
            for moved_u, moved_v in (image_of(x + _STEP * z, y, z, camera), image_of(x, y + _STEP * z, z, camera))
        )
        area = u_x * v_y - v_x * u_y
        radius = np.minimum(COVER * surfels.spacing[rows] / z, WIDEST) * np.sqrt(np.abs(area))
        inside = (u > -radius) & (u < camera.width + radius) & (v > -radius) & (v < camera.height + radius)
        # On a plane n . X = d, inverse depth is n . (x, y, 1) / d: it grows evenly on the plane z = 1, and nearly so
        # in the image.
        across, down, along = rotation @ surfels.normal[rows].T
        facing = (across * x + down * y + along * z) * area
        slope_u, slope_v = (across * v_y - down * v_x) / facing, (down * u_x - across * u_y) / facing
    least = 1 / (z + REACH * COVER * surfels.spacing[rows])
    known = np.isfinite(slope_u) & np.isfinite(slope_v)
    inverse = np.where(known, 1 / z, least)
    slopes = (np.where(known, slope * side, 0.0) for slope in (slope_u, slope_v))
    order = np.flatnonzero(inside)
    order = order[np.argsort(-radius[order], kind="stable")]
    columns = (u / side, v / side, radius / side, inverse, *slopes, least)
    return _Discs(*(column[order].astype(np.float32) for column in columns))


def _draw(keys: NDArray[np.uint64], discs: _Discs, begin: int, end: int, tile: int) -> None:
    """Draw some discs into a map of larger tiles, which are ``tile`` of the finest wide.

    Keys hold the bits of a positive float32, which sort as the number does, before the number of the disc: the smallest
    is the nearest, and of equal ones the first, so the map does not depend on the order of drawing.
    """
    height, width = keys.shape
    flat = keys.reshape(-1)
    radius = discs.radius[begin:end] / tile
    reach = math.ceil(radius.max(initial=0.0))
    for down in range(-reach, reach + 1):
        for across in range(-reach, reach + 1):
            # The nearest that the middle of a tile so many farther may be; the largest discs come first.
            least = math.hypot(max(0.0, abs(across) - 0.5), max(0.0, abs(down) - 0.5))
            last = begin + int(np.searchsorted(-radius, -least)) if across or down else end
            for start in range(begin, last, _CHUNK):
                part = slice(start, min(start + _CHUNK, last))
                place, key = _keys(discs, part, (across, down), tile, (height, width))
                np.minimum.at(flat, place, key)


def _keys(
    discs: _Discs, part: slice, step: tuple[int, int], tile: int, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The tiles that lie ``step`` from those of the discs' middles and are covered by them, and the keys there."""
    u, v = discs.u[part] / tile, discs.v[part] / tile
    column, row = np.floor(u) + step[0], np.floor(v) + step[1]
    beside, below = column + np.float32(0.5) - u, row + np.float32(0.5) - v
    drawn = (column >= 0) & (column < shape[1]) & (row >= 0) & (row < shape[0])
    if step != (0, 0):
        drawn &= beside**2 + below**2 <= (discs.radius[part] / tile) ** 2
    some = np.flatnonzero(drawn)
    disc = some + part.start
    slope_u, slope_v, middle = discs.slope_u[disc], discs.slope_v[disc], discs.inverse[disc]
    # The farthest that a disc's plane is in the tile; not before its middle, nor behind what it may reach.
    growth = slope_u * beside[some] + slope_v * below[some] - (np.abs(slope_u) + np.abs(slope_v)) / 2
    depth = 1 / np.clip(middle + tile * growth, discs.least[disc], middle)
    key = depth.view(np.uint32).astype(np.uint64) << _DEPTH_BITS | disc.astype(np.uint64)
    return row[some].astype(np.int64) * shape[1] + column[some].astype(np.int64), key

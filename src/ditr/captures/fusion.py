"""A cloud from depth maps, for captures that have no other: a point per voxel, the mean of all that was measured there.

Depth maps are gone through one by one; what is kept is the sums of the voxels, so that memory goes with the place and
not with the number of photographs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.as_read import views_with_poses
from ditr.captures.images import read_depth, read_image, read_mask, read_sureness
from ditr.captures.notes import Notes
from ditr.captures.points import Points
from ditr.errors import InputError
from ditr.geometry.lens import image_of
from ditr.geometry.rotations import inverse
from ditr.scene import Camera, CameraModel, ReadOptions, View

__all__ = ["VOXEL", "fused_points"]

Array = NDArray[np.float64]

VOXEL = 0.02
"""Metres of a voxel's edge."""
FARTHEST = 5.0
"""Metres beyond which depth cameras of phones and consoles guess."""
_JUMP = 0.1
"""Share of the depth by which the pixels on either side may differ; where they differ more, one thing ends."""
_PIXELS = 100_000
"""Largest number of pixels that are taken of one depth map, as every second or third of a row and column."""
_MAPS = 400
"""Largest number of depth maps, spread evenly."""
_PENDING = 1 << 18
"""Rows of sums that wait to be joined."""
_AXIS = 1 << 20
"""Voxels from the origin to the farthest, on each axis; three of them fit 64 bits."""
_STEPS, _EXACT = 30, 0.05
"""With which a lens is undone, and the pixels by which the result may be off."""


def fused_points(
    views: Sequence[View],
    options: ReadOptions,
    notes: Notes,
    *,
    sureness: Mapping[str, Path] | None = None,
    voxel: float = VOXEL,
) -> Points:
    """The points that the depth maps of some views show, in the unit of the poses.

    Each has the mean position and colour of its voxel, and the mean of the depth maps' normals, towards the cameras.
    Left out are pixels without depth, beyond five metres, masked ones, those at an edge of something, and the
    unsure ones.

    Args:
        views: with poses as the file has them.
        options: what they are to be read as; ``unit``, ``depth_unit`` and ``poses`` count.
        notes: is told what was done.
        sureness: by view, a file that says how sure each value of its depth map is, from 0, which does not count.
        voxel: edge in metres.

    Raises:
        InputError: no depth maps, nothing near enough in them, files that cannot be read, or poses farther than 20 km
            from the origin.
    """
    seen = [view for view in views_with_poses(views, options.poses) if view.depth is not None]
    chosen = [seen[row] for row in np.unique(np.linspace(0, len(seen) - 1, min(len(seen), _MAPS)).astype(np.int64))]
    unit = 1.0 if options.unit is None else options.unit
    sums = _Sums(voxel / unit)
    for view in chosen:
        if options.depth_unit is not None:
            view = replace(view, depth_unit=options.depth_unit)
        sums.add(view.name, _surface(view, (sureness or {}).get(view.name), unit))
    coord, normal, color = sums.means()
    if not len(coord):
        fault = f"none of the {len(chosen)} depth maps has a surface within {FARTHEST:g} m"
        raise InputError("depth maps", fault, "Check the unit of depth (--depth-unit), or give the cloud as PLY")
    text = f"there is no point cloud, so {len(chosen)} depth maps were fused, one point per voxel of {voxel * 100:g} cm"
    notes.say("cloud", text + (f" (every {len(seen) / len(chosen):.1f}th map)" if len(chosen) < len(seen) else ""))
    return Points(coord, color, normal, None, None, {})


def _surface(view: View, sureness: Path | None, unit: float) -> Array:
    """(n, 9) of each pixel that shows a surface: position in the world, normal, colour."""
    depth = read_depth(view)
    assert depth is not None
    step = max(1, int(np.ceil(np.sqrt(depth.size / _PIXELS))))
    rows, columns = (np.arange(step // 2, side, step) for side in depth.shape)
    if min(len(rows), len(columns)) < 3:
        return np.empty((0, 9))
    size = (view.camera.width, view.camera.height)
    pixel_x, pixel_y = ((part + 0.5) * (side / whole) for part, side, whole in zip(
        (columns, rows), size, depth.shape[::-1], strict=True
    ))  # fmt: skip
    near = depth[np.ix_(rows, columns)].astype(np.float64)
    points = np.concatenate([_rays(view.camera, pixel_x, pixel_y), np.ones((*near.shape, 1))], axis=2) * near[..., None]
    good = (near > 0) & (near <= FARTHEST) & np.isfinite(points).all(axis=2)
    for which in (None if sureness is None else read_sureness(view, sureness) > 0, read_mask(view)):
        if which is not None:
            good &= _at(which, pixel_x, pixel_y, size)
    normal, known = _normals(points, near, good)
    across, down = np.meshgrid(pixel_x, pixel_y)
    u, v = across[known].astype(np.int64), down[known].astype(np.int64)
    pose = inverse(view.world_to_camera)
    world = points[known] / unit @ pose[:3, :3].T + pose[:3, 3]
    return np.concatenate([world, normal[known] @ pose[:3, :3].T, read_image(view)[v, u]], axis=1)


def _at(values: NDArray[Any], x: Array, y: Array, size: tuple[int, int]) -> NDArray[Any]:
    """A map of any size, laid over an image of ``size``, at some of its columns and rows."""
    row, column = (
        np.minimum(part * (whole / side), whole - 1).astype(np.int64)
        for part, side, whole in zip((y, x), size[::-1], values.shape, strict=True)
    )
    return np.asarray(values[np.ix_(row, column)])


def _normals(points: Array, depth: Array, good: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """(h, w, 3) normals towards the camera by each pixel's neighbours in row and column, and where there are any."""
    normal, known = np.zeros_like(points), np.zeros_like(good)
    inner = (slice(1, -1), slice(1, -1))
    left, right, above, below = np.s_[1:-1, :-2], np.s_[1:-1, 2:], np.s_[:-2, 1:-1], np.s_[2:, 1:-1]
    found = good[inner].copy()
    for first, second in ((left, right), (above, below)):
        found &= good[first] & good[second] & (np.abs(depth[first] - depth[second]) < _JUMP * depth[inner])
    across = np.cross(points[below] - points[above], points[right] - points[left])
    length = np.linalg.norm(across, axis=2)
    found &= length > 0
    sign = np.where((across * points[inner]).sum(axis=2) > 0, -1.0, 1.0)
    normal[inner] = across * (sign / np.where(length > 0, length, 1.0))[..., None]
    known[inner] = found
    return normal, known


def _rays(camera: Camera, x: Array, y: Array) -> Array:
    """(h, w, 2) places on the plane z = 1 with images at columns ``x`` and rows ``y``; NaN where there are none."""
    if camera.model is CameraModel.PINHOLE:
        across, down = np.meshgrid((x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy)
        return np.stack([across, down], axis=2)
    return _rays_through_lens(camera, tuple(x.tolist()), tuple(y.tolist()))


@lru_cache(maxsize=2)
def _rays_through_lens(camera: Camera, x: tuple[float, ...], y: tuple[float, ...]) -> Array:
    u, v = (part.ravel() for part in np.meshgrid(x, y))
    across, down = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
    ahead = np.ones_like(across)
    with np.errstate(all="ignore"):
        if camera.model is CameraModel.OPENCV_FISHEYE:
            angle = np.hypot(across, down).clip(max=1.5)
            stretch = np.where(angle > 0, np.tan(angle) / angle, 1.0)
            across, down = across * stretch, down * stretch
        for _ in range(_STEPS):
            found_u, found_v = image_of(across, down, ahead, camera)
            across, down = across + (u - found_u) / camera.fx, down + (v - found_v) / camera.fy
        found_u, found_v = image_of(across, down, ahead, camera)
        good = np.hypot(found_u - u, found_v - v) < _EXACT
    rays = np.where(good[:, None], np.stack([across, down], axis=1), np.nan)
    return np.asarray(rays.reshape(len(y), len(x), 2))


class _Sums:
    """Sums over voxels of the rows that were added: their number, and nine columns."""

    def __init__(self, voxel: float) -> None:
        self._voxel = voxel
        self._parts: list[tuple[NDArray[np.int64], Array]] = []
        self._pending = 0

    def add(self, name: str, rows: Array) -> None:
        """Add rows (n, 9), which begin with a position."""
        cell = np.floor(rows[:, :3] / self._voxel)
        if not (np.abs(cell) < _AXIS).all():
            fault = f"it shows points more than {_AXIS * self._voxel:.3g} m from the origin"
            raise InputError(f"view {name}", fault, "Shift the poses towards the origin")
        x, y, z = (cell.astype(np.int64) + _AXIS).T
        part = _summed(x << 42 | y << 21 | z, np.concatenate([np.ones((len(rows), 1)), rows], axis=1))
        self._parts.append(part)
        self._pending += len(part[0])
        # Joined once as many wait as there are already: each row is then sorted a few times in all, however many come.
        if self._pending > max(_PENDING, len(self._parts[0][0])):
            self._join()

    def _join(self) -> None:
        keys, sums = (np.concatenate(column) for column in zip(*self._parts, strict=True))
        self._parts, self._pending = [_summed(keys, sums)], 0

    def means(self) -> tuple[Array, NDArray[np.float32], NDArray[np.uint8]]:
        """Of each voxel, in a fixed order: position, normal (zero where they cancel), and colour."""
        if not self._parts:
            return np.empty((0, 3)), np.empty((0, 3), np.float32), np.empty((0, 3), np.uint8)
        self._join()
        _, sums = self._parts[0]
        mean = sums[:, 1:] / sums[:, :1]
        length = np.linalg.norm(mean[:, 3:6], axis=1, keepdims=True)
        normal = np.where(length > 1e-3, mean[:, 3:6] / np.maximum(length, 1e-3), 0.0)
        return mean[:, :3].copy(), normal.astype(np.float32), np.rint(mean[:, 6:9]).astype(np.uint8)


def _summed(keys: NDArray[np.int64], rows: Array) -> tuple[NDArray[np.int64], Array]:
    """Each key once, in order, with the sum of its rows."""
    if not len(keys):
        return keys, rows
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    start = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    return keys[start], np.add.reduceat(rows[order], start, axis=0)

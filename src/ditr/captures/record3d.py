"""Recordings of Record3D: an unpacked ``.r3d``, or its export of images with ``metadata.json``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.depth_files import SURENESS
from ditr.captures.notes import Notes
from ditr.captures.shots import Shot, scene_of
from ditr.captures.tables import by_stem, json_object
from ditr.errors import InputError
from ditr.geometry.rotations import inverse, poses_of, rotations_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_AGAIN = "Export the recording again"
_METADATA = ("metadata", "metadata.json")
_FOLDERS = (("rgbd", "rgbd"), ("rgb", "depth"))
"""Of photographs and of depth maps."""
_OPENGL = np.array([1.0, -1.0, -1.0])


def recognise(path: Path) -> str | None:
    """By its metadata beside the photographs."""
    found = [
        (n, folder) for n in _METADATA if (path / n).is_file() for folder, _ in _FOLDERS if (path / folder).is_dir()
    ]
    return f"{found[0][0]} and the folder {found[0][1]} are in it" if found else None


def read(path: Path, options: ReadOptions) -> Scene:
    """Photographs, poses and depth maps; the cloud is fused from the depth maps. Which way is up is not known.

    Raises:
        InputError: damaged files, a recording without poses, photographs that cannot be used (all are named), depth
            maps of a kind that cannot be read, or none.
    """
    notes = Notes()
    metadata = next(path / name for name in _METADATA if (path / name).is_file())
    content = json_object(metadata)
    poses = _poses(metadata, content)
    folder, depth_folder = next((path / a, path / b) for a, b in _FOLDERS if (path / a).is_dir())
    images = by_stem(folder, ".jpg", ".jpeg", ".png")
    depths = by_stem(depth_folder, ".depth", ".npy", ".png" if folder != depth_folder else ".depth")
    if not depths and by_stem(depth_folder, ".exr"):
        fault = "its depth maps are OpenEXR images, which cannot be read"
        raise InputError(
            depth_folder, fault, "Share the recording as .r3d and unpack it, or convert them to .npy, in metres"
        )
    sureness = by_stem(folder, SURENESS)
    lenses = _lenses(metadata, content, len(poses))
    size = _table(metadata, content, ("w", "h"))
    numbered = [(int(stem), stem) for stem in images if stem.isdecimal() and len(stem) < 10]
    known = [(number, stem) for number, stem in numbered if number < len(poses)]
    if len(known) < len(images) or len(known) < len(poses):
        notes.warn("views", f"there are {len(images)} photographs and {len(poses)} poses, of which {len(known)} match")
    shots = [
        Shot(
            name=images[stem].name,
            image=images[stem],
            camera=partial(_camera, metadata, size, lenses[number]),
            world_to_camera=poses[number],
            depth=depths.get(stem),
            depth_unit=0.001 if stem in depths and depths[stem].suffix.lower() == ".png" else 1.0,
            sureness=sureness.get(stem),
        )
        for number, stem in known
    ]
    return scene_of(path, shots, None, notes, options)


def _array(path: Path, content: dict[str, Any], key: str, columns: int) -> NDArray[np.float64]:
    """(n, columns) numbers of an entry."""
    try:
        array = np.array(content.get(key), dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.ndim == 1 and array.size == columns:
        array = array[None]
    if array.ndim != 2 or array.shape[1] != columns:
        raise InputError(path, f"{key} is not a list with {columns} numbers in each entry", _AGAIN)
    return array


def _table(path: Path, content: dict[str, Any], keys: tuple[str, ...]) -> tuple[int, ...]:
    values = tuple(content.get(key) for key in keys)
    for key, value in zip(keys, values, strict=True):
        if type(value) is not int:
            raise InputError(path, f"{key} is not a whole number", _AGAIN)
    return tuple(value for value in values if isinstance(value, int))


def _poses(path: Path, content: dict[str, Any]) -> NDArray[np.float64]:
    """(n, 4, 4) world to camera; the file has x y z w and the position, camera to world with OpenGL axes."""
    rows = _array(path, content, "poses", 7)
    if len(rows) > 1 and (rows == rows[0]).all():
        fault = "it has no poses (all are the same), as in recordings of the front camera"
        raise InputError(path, fault, "Record with the LiDAR on the back of the device")
    return inverse(poses_of(rotations_of(rows[:, [3, 0, 1, 2]]) * _OPENGL, rows[:, 4:]))


def _lenses(path: Path, content: dict[str, Any], count: int) -> NDArray[np.float64]:
    """(count, 4) fx fy cx cy of each photograph; in older files only of the first."""
    if content.get("perFrameIntrinsicCoeffs"):
        each = _array(path, content, "perFrameIntrinsicCoeffs", 4)
        if len(each) >= count:
            return each
    matrix = _array(path, content, "K", 9)[0]  # column by column
    return np.repeat(matrix[[0, 4, 6, 7]][None], count, axis=0)


def _camera(path: Path, size: tuple[int, ...], lens: NDArray[np.float64]) -> Camera:
    fx, fy, cx, cy = lens.tolist()
    try:
        return Camera(size[0], size[1], fx, fy, cx, cy)
    except InputError as error:
        raise InputError(path, error.fault, _AGAIN) from None

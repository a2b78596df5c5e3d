"""COLMAP's model files, binary and text: cameras, the poses of the images, and the points.

``rigs`` and ``frames`` of newer versions say which images were taken together; the poses of the images stand in
``images`` all the same, so the two are not needed.
"""

from __future__ import annotations

import mmap
import os
import struct
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ditr.captures.colmap_cameras import LENSES, ColmapCamera, lens_called
from ditr.errors import InputError

__all__ = ["ColmapImage", "ColmapPoints", "count_of_images", "read_cameras", "read_images", "read_points3d"]

_AGAIN = "Copy it again, or write it again with `colmap model_converter`"
_POINT = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("track", "<u8")])
_Record = TypeVar("_Record")
_ROWS = 1 << 16
"""Points that are gathered at a time."""


@dataclass(frozen=True)
class ColmapImage:
    """A photograph with its pose: the rotation as quaternion w x y z and the translation, world to camera."""

    name: str
    camera: int
    quaternion: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class ColmapPoints:
    """Coordinates (N, 3) float64, colours (N, 3) uint8, and reprojection errors in pixels (N,) float32."""

    coord: NDArray[np.float64]
    color: NDArray[np.uint8]
    error: NDArray[np.float32]


class _Cut(Exception):
    """A record goes on beyond the end of its file, or is none."""


def _file(folder: Path, stem: str) -> Path:
    """The binary file, which COLMAP prefers too, or else the one of text."""
    binary = folder / f"{stem}.bin"
    return binary if binary.is_file() else folder / f"{stem}.txt"


def read_cameras(folder: Path) -> dict[int, ColmapCamera]:
    """The cameras of a model, by their numbers.

    Raises:
        InputError: a missing or damaged file, or a camera model that COLMAP does not have.
    """
    path = _file(folder, "cameras")
    with _faults(path):
        found = _binary(path, 40, _camera) if path.suffix == ".bin" else map(_camera_of_text, _lines(path))
        return {camera.number: camera for camera in found}


def count_of_images(folder: Path) -> int:
    """How many registered images a model says that it has; 0 where that cannot be told."""
    path = _file(folder, "images")
    try:
        if path.suffix == ".bin":
            with path.open("rb") as file:
                return int.from_bytes(file.read(8), "little")
        return sum(1 for _ in _image_lines(path))
    except OSError:
        return 0


def read_images(folder: Path) -> list[ColmapImage]:
    """The registered images of a model; where they show points is passed over.

    Raises:
        InputError: a missing or damaged file.
    """
    path = _file(folder, "images")
    with _faults(path):
        if path.suffix == ".bin":
            return list(_binary(path, 73, _image))
        return [_image_of_text(line) for line in _image_lines(path)]


def read_points3d(folder: Path) -> ColmapPoints | None:
    """The points of a model; None where it has no file of them, or none in it. What sees them is passed over.

    Raises:
        InputError: a damaged file.
    """
    path = _file(folder, "points3D")
    if not path.is_file():
        return None
    with _faults(path):
        points = _points_binary(path) if path.suffix == ".bin" else _points_text(path)
    return points if len(points.coord) else None


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Whatever a damaged file makes of its reader is an error that names it."""
    try:
        yield
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error
    except (_Cut, struct.error, ValueError, IndexError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"it is damaged ({error})", _AGAIN) from None


# ---- binary ---------------------------------------------------------------------------------------------------------


def _binary(path: Path, least: int, read: Callable[[mmap.mmap, int], tuple[_Record, int]]) -> Iterator[_Record]:
    """The records of a file, which begins with their number; each is of ``least`` bytes at least."""
    with _mapped(path, least) as (data, count):
        place = 8
        for _ in range(count):
            record, place = read(data, place)
            yield record


@contextmanager
def _mapped(path: Path, least: int) -> Iterator[tuple[mmap.mmap, int]]:
    with path.open("rb") as file:
        held = os.fstat(file.fileno()).st_size
        if held < 8:
            raise _Cut(f"it has {held} bytes")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            (count,) = struct.unpack_from("<Q", data)
            if count * least > held - 8:
                raise _Cut(f"it declares {count} entries, and {held - 8} bytes follow")
            yield data, count


def _camera(data: mmap.mmap, place: int) -> tuple[ColmapCamera, int]:
    number, model, width, height = struct.unpack_from("<IiQQ", data, place)
    if not 0 <= model < len(LENSES):
        raise _Cut(f"camera {number} has the unknown model {model}")
    lens = LENSES[model]
    parameters = struct.unpack_from(f"<{lens.parameters}d", data, place + 24)
    return ColmapCamera(number, lens, width, height, parameters), place + 24 + 8 * lens.parameters


def _image(data: mmap.mmap, place: int) -> tuple[ColmapImage, int]:
    pose = struct.unpack_from("<7d", data, place + 4)
    (camera,) = struct.unpack_from("<I", data, place + 60)
    end = data.find(b"\0", place + 64)
    if end < 0:
        raise _Cut("the name of an image has no end")
    name = os.fsdecode(data[place + 64 : end])
    (observed,) = struct.unpack_from("<Q", data, end + 1)
    behind = end + 9 + 24 * observed
    if behind > len(data):
        raise _Cut(f"image {name!r} is cut off")
    return ColmapImage(name, camera, pose[:4], pose[4:]), behind


def _points_binary(path: Path) -> ColmapPoints:
    with _mapped(path, _POINT.itemsize) as (data, count):
        start = array("q")
        place, unpack, last = 8, struct.Struct("<Q").unpack_from, _POINT.itemsize - 8
        for _ in range(count):
            start.append(place)
            place += _POINT.itemsize + 8 * unpack(data, place + last)[0]
        if place > len(data):
            raise _Cut(f"it declares {count} points, but ends before the last one")
        coord, color = np.empty((count, 3)), np.empty((count, 3), np.uint8)
        error = np.empty(count, np.float32)
        held = np.frombuffer(data, np.uint8)
        for first in range(0, count, _ROWS):
            rows = slice(first, first + _ROWS)
            places = np.array(start[rows])[:, None] + np.arange(_POINT.itemsize)
            points = held[places].view(_POINT)[:, 0]
            coord[rows], color[rows] = points["xyz"], points["rgb"]
            with np.errstate(over="ignore", invalid="ignore"):
                error[rows] = points["error"]
        del held  # else the file could not be closed
    return ColmapPoints(coord, color, error)


# ---- text -----------------------------------------------------------------------------------------------------------


def _lines(path: Path) -> Iterator[bytes]:
    """What says something."""
    with path.open("rb") as file:
        yield from (line for line in map(bytes.strip, file) if line and not line.startswith(b"#"))


def _image_lines(path: Path) -> Iterator[bytes]:
    """Of each image the first of its two lines; the second, of where it shows points, may be empty."""
    with path.open("rb") as file:
        for line in map(bytes.strip, file):
            if line and not line.startswith(b"#"):
                yield line
                next(file, None)


def _camera_of_text(line: bytes) -> ColmapCamera:
    number, name, width, height, *parameters = line.split()
    lens = lens_called(name.decode("latin-1"))
    if lens is None:
        raise _Cut(f"camera {number.decode('latin-1')} has the unknown model {name.decode('latin-1')}")
    if len(parameters) != lens.parameters:
        raise _Cut(f"{lens.name} has {lens.parameters} parameters, and {len(parameters)} are given")
    return ColmapCamera(int(number), lens, int(width), int(height), tuple(map(float, parameters)))


def _image_of_text(line: bytes) -> ColmapImage:
    words = line.split(None, 9)
    if len(words) < 10:
        raise _Cut(f"an image has {len(words)} of 10 entries: {line[:60].decode('latin-1')!r}")
    pose = tuple(map(float, words[1:8]))
    return ColmapImage(os.fsdecode(words[9]), int(words[8]), pose[:4], pose[4:])


def _points_text(path: Path) -> ColmapPoints:
    numbers, colors = array("d"), bytearray()
    for line in _lines(path):
        words = line.split(None, 8)
        if len(words) < 8:
            raise _Cut(f"a point has {len(words)} of 8 entries: {line[:60].decode('latin-1')!r}")
        numbers.extend((float(words[1]), float(words[2]), float(words[3]), float(words[7])))
        colors.extend((int(words[4]), int(words[5]), int(words[6])))
    values = np.frombuffer(numbers, np.float64).reshape(-1, 4) if numbers else np.empty((0, 4))
    with np.errstate(over="ignore", invalid="ignore"):
        error = values[:, 3].astype(np.float32)
    return ColmapPoints(values[:, :3].copy(), np.frombuffer(bytes(colors), np.uint8).reshape(-1, 3), error)

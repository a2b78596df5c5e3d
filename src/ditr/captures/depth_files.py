"""Depth maps, and how sure they are, in files that are not images: numpy arrays, COLMAP's dense maps, Record3D's."""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.array_file import map_array

__all__ = ["DEPTH_LOADERS", "SURENESS", "load_sureness", "present"]

SURENESS = ".conf"
"""The ending of Record3D's files that say how sure depth is; others use images."""

_BLOCK = re.compile(rb"bvx[12n-](.{4})", re.DOTALL)
"""The beginning of a part of an LZFSE stream, with the number of its bytes once they are unpacked."""
_LARGEST = 1 << 24
"""Bytes that a depth map of a phone does not reach."""
_AGAIN = "Copy or export it again"


def present(path: Path) -> bool:
    """Whether this is a file that can be; names of others' files may be too long for one."""
    return os.path.isfile(path)


def _load_npy(path: Path, _size: tuple[int, int]) -> NDArray[Any]:
    array = map_array(path, "the depth map", "Write it again with numpy.save")
    if array.ndim != 2 or array.dtype.kind not in "fui":
        fault = f"the depth map is not a two-dimensional array of numbers ({array.dtype} of shape {array.shape})"
        raise InputError(path, fault, "Store an array of shape (h, w), such as metres as float32")
    if not array.size:
        raise InputError(path, f"the depth map is empty (shape {array.shape})", "Write it again, or remove its entry")
    return array


def _load_colmap(path: Path, _size: tuple[int, int]) -> NDArray[Any]:
    """``width&height&1&`` and as many float32, row by row."""
    try:
        with path.open("rb") as file:
            head = re.match(rb"([0-9]{1,9})&([0-9]{1,9})&1&", file.read(64))
            held = path.stat().st_size
        if head is None:
            raise InputError(path, "this is not a depth map of COLMAP", _AGAIN)
        width, height = map(int, head.groups())
        if not width * height or held != head.end() + 4 * width * height:
            fault = f"it declares {width}x{height} values, but {held - head.end()} bytes follow"
            raise InputError(path, fault, _AGAIN)
        return np.memmap(path, "<f4", mode="r", offset=head.end(), shape=(height, width))
    except OSError as error:
        raise InputError(
            path, f"the depth map cannot be read ({error.strerror or error})", "Check the file and its permissions"
        ) from error


def _load_record3d(path: Path, size: tuple[int, int]) -> NDArray[Any]:
    return _unpacked(path, "<f4", size)


def load_sureness(path: Path, size: tuple[int, int]) -> NDArray[Any]:
    """How sure the values of a Record3D depth map are, (h, w) from 0; ``size`` as for :data:`DEPTH_LOADERS`.

    Raises:
        InputError: a missing or damaged file, or a package that is missing.
    """
    return _unpacked(path, "u1", size)


def _unpacked(path: Path, code: str, size: tuple[int, int]) -> NDArray[Any]:
    """An LZFSE stream, or bytes as they are where their number is that of a map in the photograph's proportions."""
    width = np.dtype(code).itemsize
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(path, f"it has more than {_LARGEST >> 20} MB, which no depth map has", _AGAIN)
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            path, f"the depth map cannot be read ({error.strerror or error})", "Check the file and its permissions"
        ) from error
    if data.startswith(b"bvx"):
        # The marks of parts can stand in packed bytes by chance, too, so the sum is an upper bound.
        if sum(struct.unpack("<I", part)[0] for part in _BLOCK.findall(data)) > _LARGEST:
            raise InputError(path, f"it would unpack to more than {_LARGEST >> 20} MB", _AGAIN)
        data = _decompressed(path, data)
    shape = None if len(data) % width else _shape(len(data) // width, size)
    if shape is None:
        fault = (
            f"its {len(data)} bytes do not form a depth map with the aspect ratio of the photograph, "
            f"{size[0]}x{size[1]}"
        )
        raise InputError(path, fault, _AGAIN)
    return np.frombuffer(data, code).reshape(shape)


def _decompressed(path: Path, data: bytes) -> bytes:
    try:
        from lzfse import decompress
    except ImportError:
        fault = "Record3D packs depth with LZFSE, and the package that unpacks it is missing"
        raise InputError(path, fault, "Install it: pip install 'ditr[record3d]'") from None
    try:
        return bytes(decompress(data))
    except Exception as error:  # its own kinds of errors
        raise InputError(path, f"the depth map cannot be unpacked ({error})", _AGAIN) from None


def _shape(count: int, size: tuple[int, int]) -> tuple[int, int] | None:
    """Rows and columns of ``count`` values in the proportions of ``size``; None where there are none."""
    if count == 0:
        return None
    columns = round(math.sqrt(count * size[0] / size[1]))
    if columns == 0 or count % columns:
        return None
    rows = count // columns
    return (rows, columns) if abs(columns * size[1] - rows * size[0]) <= 0.02 * rows * size[0] else None


DEPTH_LOADERS: Mapping[str, Callable[[Path, tuple[int, int]], NDArray[Any]]] = MappingProxyType({
    ".npy": _load_npy,
    ".bin": _load_colmap,
    ".depth": _load_record3d,
})  # fmt: skip
"""By the ending of a file: (h, w) as stored, given width and height of the photograph, whose proportions count."""

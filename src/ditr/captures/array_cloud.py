"""NumPy arrays of points: (N, 3) and more, or with named fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import guarded
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.colors import COLOR
from ditr.captures.points import NORMAL, Columns
from ditr.captures.unnamed import unnamed_columns
from ditr.errors import InputError
from ditr.io.array_file import map_array
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "read_cloud", "recognise"]

_AGAIN = "Write it again with numpy.save"
_WIDEST = 64
"""Columns; an array with more is an image or a table of features."""
_PARTS = {
    **dict.fromkeys(("xyz", "coord", "coords", "position", "positions", "point", "points"), ("x", "y", "z")),
    **dict.fromkeys(("rgb", "color", "colors", "colour"), COLOR),
    **dict.fromkeys(("normal", "normals"), NORMAL),
}
"""What fields of three numbers are called, and the names of these."""


def recognise(path: Path) -> str | None:
    """By its header."""
    if first_bytes(path, 6) != b"\x93NUMPY":
        return None
    try:
        values = map_array(path, "the array", _AGAIN)
    except InputError:
        return None
    if values.dtype.names is not None and values.ndim == 1:
        return "it is a NumPy array with named fields"
    if values.dtype.kind in "fiu" and values.ndim == 2 and 3 <= values.shape[1] <= _WIDEST:
        return f"it is a NumPy array of {values.shape[0]} rows and {values.shape[1]} columns"
    return None


def read(path: Path, options: ReadOptions) -> Scene:
    """The rows of an array as points.

    Raises:
        InputError: a damaged file, columns of no known meaning, or as for :func:`~ditr.captures.points.points_of`.
    """
    return cloud_scene(path, read_cloud(path))


def read_cloud(path: Path) -> Cloud:
    """What an array holds.

    Raises:
        InputError: a damaged file, or columns of no known meaning.
    """
    return guarded(path, _cloud_of)


def _cloud_of(path: Path) -> Cloud:
    values = map_array(path, "the array", _AGAIN)
    if values.dtype.names is None:
        columns, said = unnamed_columns(path, np.asarray(values))
        cloud = Cloud(columns)
        cloud.say("columns", said)
        return cloud
    return Cloud(_fields(np.asarray(values)))


def _fields(values: NDArray[Any]) -> Columns:
    columns: Columns = {}
    for name in values.dtype.names or ():
        inner = values[name]
        if inner.dtype.kind not in "fiub":
            continue
        inner = inner.astype(inner.dtype.newbyteorder("=")).reshape(len(values), -1)
        width = inner.shape[1]
        numbered = (name,) if width == 1 else tuple(f"{name}_{i}" for i in range(width))
        names = _PARTS.get(name.lower(), numbered) if width == 3 else numbered
        columns |= {part: np.ascontiguousarray(inner[:, i]) for i, part in enumerate(names)}
    return columns

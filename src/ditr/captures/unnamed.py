"""Columns of points that have no names: what they mean by how many they are and what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.colors import COLOR
from ditr.captures.points import NORMAL, Columns
from ditr.errors import InputError

__all__ = ["unnamed_columns"]

_AXES = ("x", "y", "z")
_NAME = "Name the columns: in a first line as `x y z red green blue label`, in NumPy as fields"
_UNIT_LENGTH = 0.01


def unnamed_columns(path: Path, values: NDArray[Any]) -> tuple[Columns, str]:
    """(N, C) numbers by name, and what was taken for what.

    The first three are x, y, z. One more is an intensity; three more are colours (0..255) or normals (of unit length);
    four more are colours with an intensity before or behind them, where the numbers leave no doubt.

    Raises:
        InputError: another number of columns, some that may mean several things, or the matrix of a pose or a camera.
    """
    if _is_matrix(values):
        fault = f"it is a {' x '.join(map(str, values.shape))} matrix, such as a pose or intrinsics"
        raise InputError(path, fault, "Name the file of the points")
    count = values.shape[1]
    if count == 3:
        names: tuple[str, ...] = _AXES
    elif count == 4:
        names = (*_AXES, "intensity")
    elif count == 6 and _is_color(values[:, 3:]):
        names = (*_AXES, *COLOR)
    elif count == 6 and _is_normal(values[:, 3:]):
        names = (*_AXES, *NORMAL)
    elif count == 7:
        before, behind = _is_color(values[:, 4:]), _is_color(values[:, 3:6])
        names = (*_AXES, "intensity", *COLOR) if before else (*_AXES, *COLOR, "intensity")
        if before == behind:
            which = "both the 4th to 6th and the 5th to 7th" if before else "neither the 4th to 6th nor the 5th to 7th"
            raise InputError(path, f"it has 7 columns without names, of which {which} could be colours", _NAME)
    elif count == 9 and _is_color(values[:, 3:6]) and _is_normal(values[:, 6:]):
        names = (*_AXES, *COLOR, *NORMAL)
    elif count == 6:
        raise InputError(path, "it has 6 columns without names, and the last 3 are neither 0..255 nor normals", _NAME)
    else:
        raise InputError(path, f"it has {count} columns without names", _NAME)
    columns = {name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)}
    for name in COLOR:
        if name in columns:
            columns[name] = columns[name].astype(np.uint8)
    return columns, f"they have no names, and are read as {' '.join(names)}"


def _is_matrix(values: NDArray[Any]) -> bool:
    """Whether these few numbers are rather a pose or a camera's matrix than points."""
    if values.shape in ((4, 4), (3, 3)):
        return bool((values[-1] == np.eye(len(values))[-1]).all())
    if values.shape != (3, 4) or not np.isfinite(values).all():
        return False
    rotation = values[:, :3].astype(np.float64)
    return bool(np.abs(rotation @ rotation.T - np.eye(3)).max() < 1e-3)


def _is_color(values: NDArray[Any]) -> bool:
    """Whether these (N, 3) are whole numbers of 0..255 and not all 0 or 1."""
    inside = (values >= 0) & (values <= 255) & (values == np.floor(values))
    return bool(inside.all()) and bool(values.max(initial=0) > 1)


def _is_normal(values: NDArray[Any]) -> bool:
    """Whether these (N, 3) are of unit length, or zero where there is none."""
    length = np.linalg.norm(values.astype(np.float64), axis=1)
    return bool((np.abs(length - 1) < _UNIT_LENGTH)[length > 0].all()) and bool(length.any())

"""The points of a capture: which columns of its PLY mean what, checked and brought into the scene's units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.colors import COLOR, colors_of, other_colors
from ditr.captures.formats import format_of
from ditr.captures.notes import Notes
from ditr.captures.transforms import Labels
from ditr.errors import InputError, counted, few
from ditr.io.ply import read_ply
from ditr.scene import UNLABELLED

__all__ = ["NORMAL", "Columns", "Points", "checked_labels", "ply_columns", "points_of", "read_points"]

Columns = dict[str, NDArray[Any]]

NORMAL = ("nx", "ny", "nz")
_COLOR_WORDS = ("diffuse", "color", "ambient")
_NORMAL_WORDS = ("normal", "normal_", "normals_", "norm_", "n_")
_SPELLINGS: dict[str, tuple[tuple[str, ...], ...]] = {
    "coordinates": (("x", "y", "z"),),
    "colours": (COLOR, ("r", "g", "b"), *(tuple(f"{stem}_{name}" for name in COLOR) for stem in _COLOR_WORDS)),
    "normals": (NORMAL, *(tuple(f"{stem}{axis}" for axis in "xyz") for stem in _NORMAL_WORDS)),
    "intensities": (("intensity",), ("reflectance",), ("reflectivity",), ("remission",)),
    "labels": tuple(
        (name,) for name in ("label", "labels", "class", "class_id", "label_id", "classification", "semantic")
    ),
}  # fmt: skip
"""For each role the names of its columns, ours first; case does not matter, nor does CloudCompare's ``scalar_``."""
_UNIT_LENGTH = 0.01
"""Normals as near to unit length as this are left as they are."""
_FEW_STEPS = 1000
"""Whole numbers that span fewer than this are not millimetres."""
_COARSE = 0.01
"""Metres between neighbouring coordinates of type float, from which on this is said."""


@dataclass(frozen=True)
class Points:
    """What a PLY says of N points, in the words of :class:`~ditr.scene.Scene`; missing normals are zero."""

    coord: NDArray[np.float64]
    color: NDArray[np.uint8] | None
    normal: NDArray[np.float32] | None
    strength: NDArray[np.float32] | None
    label: NDArray[np.int32] | None
    extra: Columns


def read_points(path: Path, labels: Labels | None, notes: Notes) -> Points:
    """Read the PLY file of a capture.

    Raises:
        InputError: a file that is not a PLY, no points, colours of no known range, intensities that are not finite, or
            labels outside the class list.
    """
    return points_of(path, ply_columns(path), labels, notes)


def points_of(path: Path, columns: Columns, labels: Labels | None, notes: Notes) -> Points:
    """Points of columns (N,) under the names that PLY files give them, whatever file they come from.

    ``columns`` is used up: what has a meaning is taken out, and the rest is ``extra``.

    Raises:
        InputError: as for :func:`read_points`; ``path`` names the file in it.
    """
    names = _role("coordinates", columns, notes)
    if names is None:
        missing = [axis for axis in "xyz" if axis not in columns]
        raise InputError(path, f"the vertices have no property {missing[0]}", "Save the cloud with x, y and z")
    if len(columns[names[0]]) == 0:
        raise InputError(path, "the cloud has no points", "Give a cloud with at least one point")
    coord = _coordinates([columns.pop(name) for name in names], notes)
    color = normal = strength = label = None
    read: tuple[str, ...] = ()
    found = {role: _role(role, columns, notes, labels) for role in ("colours", "normals", "intensities", "labels")}
    taken = {role: [columns.pop(name) for name in names] for role, names in found.items() if names is not None}
    if "colours" in taken:
        color = colors_of(path, taken.pop("colours"), notes)
    else:
        color, read = other_colors(path, columns, notes)
    if "normals" in taken:
        normal = _normals(taken.pop("normals"), notes)
    if "intensities" in taken:
        strength = _strengths(path, taken.pop("intensities")[0])
    if "labels" in taken:
        label = checked_labels(path, taken.pop("labels")[0], *_counted(labels))
    lacking = [role for role, names in found.items() if names is None and (role != "labels" or labels is not None)]
    lacking = [role for role in lacking if role != "colours" or color is None]
    if lacking and (unread := [name for name in columns if name not in read]):
        notes.say("columns", f"the points have no {', no '.join(lacking)}; columns that are not read: {few(unread, 8)}")
    return Points(coord, color, normal, strength, label, columns)


def ply_columns(path: Path) -> Columns:
    """The vertices' columns (N,) by name.

    Raises:
        InputError: a file that is not a PLY, or is damaged.
    """
    try:
        return read_ply(path)
    except InputError as error:
        known = format_of(path) if path.is_file() else None
        if known is None or "PLY point cloud" in known[0]:
            raise
        raise InputError(path, f"this is {known[0]}, not a PLY file", known[1] or error.remedy) from None


def _plain(name: str) -> str:
    return name.lower().removeprefix("scalar_")


def _role(role: str, columns: Columns, notes: Notes, labels: Labels | None = None) -> tuple[str, ...] | None:
    """The columns of a role, under our names or else the only ones that are spelt nearly like them."""
    own, *others = _SPELLINGS[role]
    if all(name in columns for name in own):
        return own
    by_plain: dict[str, str] = {}
    for name in columns:
        by_plain.setdefault(_plain(name), name)
    found = [tuple(by_plain[n] for n in names) for names in (own, *others) if all(n in by_plain for n in names)]
    if found and _plain(found[0][0]) == own[0]:
        found = found[:1]
    elif role == "labels":
        # Under another name only what the class list knows: there are other classes than these.
        found = [] if labels is None else [f for f in found if _known(_exact(columns[f[0]]), labels).all()]
    if len(found) > 1:
        notes.say(
            "columns", f"{' and '.join(names[0] for names in found)} may both be {role}, so neither is read as such"
        )
    if len(found) != 1:
        return None
    notes.say("columns", f"{' '.join(found[0])} {'are' if len(found[0]) > 1 else 'is'} read as {' '.join(own)}")
    return found[0]


def _coordinates(columns: Sequence[NDArray[Any]], notes: Notes) -> NDArray[np.float64]:
    if all(column.dtype.kind in "iu" for column in columns) and max(map(np.ptp, columns)) < _FEW_STEPS:
        text = (
            f"they are whole numbers, {max(map(np.ptp, columns))} steps in all: points closer together than one unit "
            "coincide"
        )
        notes.warn("coordinates", text, "Store them as float, without rounding")
    single = [column[np.isfinite(column)] for column in columns if column.dtype == np.float32]
    far = max((float(np.abs(column).max(initial=0)) for column in single), default=0.0)
    if (step := float(np.spacing(np.float32(far)))) > _COARSE:
        text = f"they reach {far:.3g} and are stored as float, which has steps of {step:.2g} there"
        notes.warn("coordinates", text, "Store them as double, or subtract an offset first (from the poses, too)")
    whole = columns[0].base
    if whole is not None and whole.dtype == np.float64 and whole.shape == (len(columns[0]), 3):
        places = [column.__array_interface__["data"][0] - whole.__array_interface__["data"][0] for column in columns]
        if places == [0, 8, 16] and all(column.base is whole for column in columns):
            return whole  # what is together already needs no copy
    with np.errstate(invalid="ignore"):  # signalling NaNs of damaged files, which are refused later
        return np.stack([column.astype(np.float64) for column in columns], axis=1)


def _normals(columns: Sequence[NDArray[Any]], notes: Notes) -> NDArray[np.float32] | None:
    """(N, 3) of unit length, or zero where they are missing; None where all are."""
    normal = np.stack([column.astype(np.float32) for column in columns], axis=1)
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.linalg.norm(normal.astype(np.float64), axis=1)
    broken = ~np.isfinite(length)
    missing = broken | (length < 1e-6)
    if missing.all():
        notes.say(
            "normals", f"all {len(normal)} are {'NaN' if broken.all() else 'zero'}, so they are treated as missing"
        )
        return None
    if (signed := _signed(normal[~missing], length[~missing])) is not None:
        normal[~missing] = signed
        length[~missing] = np.linalg.norm(signed.astype(np.float64), axis=1)
        notes.say("normals", "they are stored as 0..255, like colours, and were scaled to -1..1")
    stored = length[~missing]
    wrong = ~missing & (np.abs(length - 1) > _UNIT_LENGTH)
    if wrong.any():
        normal[wrong] /= length[wrong, None].astype(np.float32)
        text = f"{np.count_nonzero(wrong)} are not of unit length and were scaled"
        notes.say("normals", f"{text} ({stored.min():.3g} to {stored.max():.3g})")
    if missing.any():
        normal[missing] = 0
        notes.warn(
            "normals",
            f"{np.count_nonzero(missing)} of {len(normal)} are NaN or zero, so they are missing: where a model "
            "needs normals, they are estimated from the neighbours",
        )
    return normal


def _signed(normal: NDArray[np.float32], length: NDArray[np.float64]) -> NDArray[np.float32] | None:
    """Normals whose -1..1 were stored as 0..1 or 0..255, which then are of unit length; None for others."""
    if normal.min() < 0 or np.median(np.abs(length - 1)) <= _UNIT_LENGTH:
        return None
    signed = normal * np.float32(2 / (1 if normal.max() <= 1 else 255)) - 1
    off = np.abs(np.linalg.norm(signed, axis=1) - 1)
    return np.asarray(signed) if np.quantile(off, 0.9) < 2 * _UNIT_LENGTH else None


def _strengths(path: Path, values: NDArray[Any]) -> NDArray[np.float32]:
    strength = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(strength))
    if len(bad):
        raise InputError(
            path,
            f"it has {counted(len(bad), 'point')} whose intensity is not finite; that of point {bad[0]} is "
            f"{values[bad[0]]}",
            "Remove these points, or give them an intensity",
        )
    return strength


def _exact(values: NDArray[Any]) -> NDArray[Any]:
    """Signed integers or float64 of the same numbers."""
    if values.dtype.kind in "iu" and values.dtype != np.uint64:
        return values.astype(np.int32 if np.can_cast(values.dtype, np.int32) else np.int64, copy=False)
    return values.astype(np.float64)


def _known(numbers: NDArray[Any], labels: Labels | None) -> NDArray[np.bool_]:
    """(N,) whether a number is that of a class, or the one for "not labelled"."""
    return _of_classes(numbers, *_counted(labels))


def _counted(labels: Labels | None) -> tuple[int | None, int]:
    """How many classes there are, None where nobody says it; and the number for "not labelled"."""
    return (None, UNLABELLED) if labels is None else (len(labels.classes), labels.unlabelled)


def _of_classes(numbers: NDArray[Any], classes: int | None, unlabelled: int) -> NDArray[np.bool_]:
    highest = np.iinfo(np.int32).max if classes is None else classes - 1
    in_list = (numbers >= 0) & (numbers <= highest) & (numbers == np.floor(numbers))
    return np.asarray(in_list | (numbers == unlabelled))


def checked_labels(
    path: Path, values: NDArray[Any], classes: int | None, unlabelled: int = UNLABELLED
) -> NDArray[np.int32]:
    """Labels (N,) as int32, of numbers of any type.

    Args:
        path: the file, for errors.
        values: (N,) what it has.
        classes: how many there are; None where nobody says it.
        unlabelled: what stands for "not labelled" there; it becomes -1.

    Raises:
        InputError: numbers that are none of a class.
    """
    numbers = _exact(values)
    good = _of_classes(numbers, classes, unlabelled)
    if not good.all():
        first = int(np.flatnonzero(~good)[0])
        known = "whole numbers from 0" if classes is None else f"0..{classes - 1} of the {classes} classes"
        raise InputError(
            path,
            f"it has {counted(int(np.count_nonzero(~good)), 'label')} outside the class list; that of point {first} is "
            f"{values[first]}",
            f"Labels are {known}, or {unlabelled} for unlabelled",
        )
    return np.where(numbers == unlabelled, UNLABELLED, numbers).astype(np.int32, copy=False)

"""What all formats of annotations become: for each photograph an image of labels, painted when it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.errors import Finding, InputError, few

__all__ = ["MOST_CLASSES", "NOTHING", "VOID", "Annotations", "LabelImage", "numbered", "require_once", "require_size"]

NOTHING, VOID = -1, -2
"""Pixels that nobody painted, and those that were painted as "not to be used"."""
MOST_CLASSES = 10_000
_MOST_PIXELS = 1 << 27
_NOTHING_NAMES = frozenset({"background", "unlabelled", "unlabeled", "unannotated"})
_VOID_NAMES = frozenset({"void", "ignore", "ignored"})


@dataclass(frozen=True, eq=False)
class LabelImage:
    """The annotation of one photograph.

    Attributes:
        name: of the photograph, as the annotation has it; may have folders before it.
        size: (width, height) in pixels.
        paint: makes (height, width) int16 indices into the classes, :data:`NOTHING` or :data:`VOID`.
        where: what errors call it.
    """

    name: str
    size: tuple[int, int]
    paint: Callable[[], NDArray[np.int16]]
    where: str


@dataclass(frozen=True, eq=False)
class Annotations:
    """All that a file or folder of annotations says.

    Attributes:
        title: what it was taken for.
        classes: names, in the order of the file.
        images: in the order of the file.
        upright: whether the tool shows photographs as their EXIF entry asks, so that its pixels are those.
        findings: what was noticed.
    """

    title: str
    classes: tuple[str, ...]
    images: tuple[LabelImage, ...]
    upright: bool
    findings: tuple[Finding, ...] = ()


def numbered(names: Sequence[str], where: str) -> tuple[tuple[str, ...], list[int]]:
    """Classes of a tool's list, and the index of each of its names: :data:`NOTHING` for background and the like,
    :data:`VOID` for what is to be ignored.

    Raises:
        InputError: two of one name, none, too many, or one that is not a name.
    """
    require_once(names, where, "classes")
    if bad := [name for name in names if not name.strip() or len(name) > 200 or not name.isprintable()]:
        raise InputError(where, f"{bad[0][:40]!r} is not a name of a class", "Name each class by a word")
    plain = [name.strip().lower() for name in names]
    classes = [name for name, word in zip(names, plain, strict=True) if word not in _NOTHING_NAMES | _VOID_NAMES]
    if not 0 < len(classes) <= MOST_CLASSES:
        raise InputError(where, f"it has {len(classes)} classes", f"Name 1 to {MOST_CLASSES}")
    index = {name: number for number, name in enumerate(classes)}
    other = [NOTHING if word in _NOTHING_NAMES else VOID for word in plain]
    return tuple(classes), [index.get(name, label) for name, label in zip(names, other, strict=True)]


def require_size(size: tuple[int, int], where: str) -> tuple[int, int]:
    """Refuse an image that is none, or larger than any photograph.

    Raises:
        InputError: it is.
    """
    width, height = size
    if width < 1 or height < 1:
        raise InputError(where, f"its size is {width} x {height}", "Give the photograph's width and height in pixels")
    if width * height > _MOST_PIXELS:
        fault = f"it has {width} x {height} pixels, more than any photograph"
        raise InputError(where, fault, f"Save it smaller; the largest size is {_MOST_PIXELS} pixels")
    return size


def require_once(names: Sequence[str], where: str, what: str) -> None:
    """Refuse a name that stands there twice.

    Raises:
        InputError: one does.
    """
    if double := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(where, f"{what} there is more than once: {few(double, 3)}", "Keep only one of them")

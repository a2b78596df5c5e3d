"""Colours: of classes, of differences between two predictions, and of a number such as height.

Colours are chosen in OKLab (B. Ottosson, 2020), a space in which distances are about as large as they look.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.scene import UNLABELLED

__all__ = [
    "BOTH_RIGHT",
    "BOTH_WRONG",
    "GREY",
    "LIGHT_GREY",
    "ONLY_FIRST",
    "ONLY_SECOND",
    "class_colors",
    "difference_colors",
]
__all__ += ["Color", "chosen_colors", "label_colors", "value_colors"]

Color = tuple[int, int, int]

GREY: Color = (150, 150, 150)
"""Points without a label or without features."""
LIGHT_GREY: Color = (217, 217, 217)
"""Unlabelled points in the picture of differences."""
BOTH_RIGHT: Color = (44, 44, 48)
"""Both predictions right: black, except for the shading to show."""
BOTH_WRONG: Color = (240, 180, 60)
"""Both predictions wrong."""
ONLY_FIRST: Color = (216, 32, 42)
"""Only the baseline is right."""
ONLY_SECOND: Color = (22, 166, 62)
"""Only DITR is right."""

_FIRST_CLASS: Color = (90, 140, 230)


@lru_cache(maxsize=8)
def class_colors(count: int) -> NDArray[np.uint8]:
    """Distinct colours for ``count`` classes, (count, 3) uint8, read-only.

    Colour ``i`` does not depend on ``count``. Each next colour is the one farthest from all before it and from the
    grey of unlabelled points, among colours that show on both white and black.
    """
    if count < 0:
        raise InputError("class count", f"{count} is negative", "Give the number of classes")
    candidates = _candidates()
    spot = _oklab(candidates)
    distance = np.minimum(_apart(spot, GREY), _apart(spot, LIGHT_GREY))
    chosen = np.empty((count, 3), dtype=np.uint8)
    for i in range(count):
        chosen[i] = _FIRST_CLASS if i == 0 else candidates[int(distance.argmax())]
        distance = np.minimum(distance, _apart(spot, chosen[i]))
    chosen.flags.writeable = False
    return chosen


def chosen_colors(count: int, colors: Sequence[Color] | None) -> NDArray[np.uint8]:
    """A dataset's own colours as (count, 3) uint8, or :func:`class_colors` without any.

    Raises:
        InputError: another number of colours than classes, or a value outside 0..255.
    """
    if colors is None:
        return class_colors(count)
    if len(colors) != count or any(len(c) != 3 or min(c) < 0 or max(c) > 255 for c in colors):
        raise InputError(
            "class colours", f"{len(colors)} for {count} classes", "Give red, green and blue, 0..255, for each class"
        )
    return np.array(colors, dtype=np.uint8).reshape(count, 3)


def label_colors(
    label: NDArray[np.integer[Any]], count: int, colors: Sequence[Color] | None = None
) -> NDArray[np.uint8]:
    """The colour of each label, (N, 3) uint8; grey for -1.

    Args:
        label: (N,) integers in -1..count-1.
        count: number of classes.
        colors: of the classes, where a dataset has its own; by default :func:`class_colors`.

    Raises:
        InputError: a label outside that range, or another number of colours than classes.
    """
    _check_labels(label, count)
    table: NDArray[np.uint8] = np.vstack([chosen_colors(count, colors), np.array([GREY], dtype=np.uint8)])
    return np.asarray(table[label])


def difference_colors(
    truth: NDArray[np.integer[Any]], baseline: NDArray[np.integer[Any]], ditr: NDArray[np.integer[Any]]
) -> NDArray[np.uint8]:
    """Who is right, as in the paper's Figs. 9-11: (N, 3) uint8.

    Black where both predictions are right, yellow where both are wrong (the paper has black there too), green where
    only DITR is right, red where only the baseline is right, light grey where there is no ground truth.

    Args:
        truth: (N,) labels, -1 for unlabelled.
        baseline: (N,) labels predicted by the baseline.
        ditr: (N,) labels predicted by DITR.

    Raises:
        InputError: arrays of different lengths.
    """
    if not truth.shape == baseline.shape == ditr.shape:
        raise InputError(
            "labels", f"shapes {truth.shape}, {baseline.shape}, {ditr.shape}", "Give one of each per point"
        )
    first, second = baseline == truth, ditr == truth
    table: NDArray[np.uint8] = np.array([BOTH_WRONG, ONLY_FIRST, ONLY_SECOND, BOTH_RIGHT, LIGHT_GREY], dtype=np.uint8)
    return np.asarray(table[np.where(truth == UNLABELLED, 4, first + 2 * second)])


def value_colors(
    value: NDArray[np.floating[Any]], *, low: float | None = None, high: float | None = None
) -> NDArray[np.uint8]:
    """A number per point as a colour, (N, 3) uint8: dark blue for small, over green, to light yellow for large.

    Args:
        value: (N,) numbers; points whose number is not finite become grey.
        low: the number that is darkest; by default the 2nd percentile.
        high: the number that is lightest; by default the 98th percentile.
    """
    value = np.asarray(value, dtype=np.float64)
    finite = np.isfinite(value)
    if not finite.any():
        return np.full((len(value), 3), GREY, dtype=np.uint8)
    low = float(np.percentile(value[finite], 2)) if low is None else low
    high = float(np.percentile(value[finite], 98)) if high is None else high
    share = (np.where(finite, value, low) - low) / max(high - low, 1e-12)
    table = _value_table()
    out = table[np.rint(np.clip(share, 0, 1) * (len(table) - 1)).astype(np.int64)]
    out[~finite] = GREY
    return out


def _check_labels(label: NDArray[np.integer[Any]], count: int) -> None:
    if len(label) and (int(label.min()) < UNLABELLED or int(label.max()) >= count):
        worst = int(label.min()) if int(label.min()) < UNLABELLED else int(label.max())
        raise InputError("labels", f"{worst} is outside the {count} classes", "Labels are 0..classes-1, or -1")


@lru_cache(maxsize=1)
def _candidates() -> NDArray[np.uint8]:
    """Colours of middle lightness that are not greyish, (C, 3) uint8."""
    level = np.arange(0, 256, 12, dtype=np.uint8)
    grid = np.stack(np.meshgrid(level, level, level, indexing="ij"), axis=-1).reshape(-1, 3)
    lab = _oklab(grid)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    return grid[(lab[:, 0] > 0.5) & (lab[:, 0] < 0.88) & (chroma > 0.07) & (chroma < 0.21)]


@lru_cache(maxsize=1)
def _value_table() -> NDArray[np.uint8]:
    share = np.linspace(0, 1, 256)
    hue = np.deg2rad(285 - 185 * share)
    chroma = 0.15 + 0.01 * share
    lab = np.stack([0.45 + 0.46 * share, chroma * np.cos(hue), chroma * np.sin(hue)], axis=1)
    return _srgb(lab)


def _apart(lab: NDArray[np.float64], color: Color | NDArray[np.uint8]) -> NDArray[np.float64]:
    """Distance of every candidate to one colour, (C,)."""
    return np.asarray(np.linalg.norm(lab - _oklab(np.array([color], dtype=np.uint8)), axis=1))


_TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def _oklab(color: NDArray[np.uint8]) -> NDArray[np.float64]:
    """sRGB (..., 3) uint8 -> OKLab (..., 3)."""
    share = color / 255.0
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T)


def _srgb(lab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """OKLab (..., 3) -> sRGB (..., 3) uint8, clipped to what a screen shows."""
    linear = np.clip((lab @ np.linalg.inv(_TO_LAB).T) ** 3 @ np.linalg.inv(_TO_CONES).T, 0, 1)
    share = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * share), dtype=np.uint8)

"""The colours of a capture's points, in whatever way they are stored, as 0..255."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.notes import Notes
from ditr.errors import InputError

__all__ = ["COLOR", "colors_of", "other_colors"]

COLOR = ("red", "green", "blue")
_OVER = 1e-3
"""By so much floats of 0..1 may be beyond their range."""
_HARDLY = 2.0
"""Floats whose largest is between 1 and this are rather of no known range than the darkest of 0..255."""
_TWELVE_BIT = 4095
"""Colours of 16 bit reach more than this."""
_ROWS = 1 << 18
"""Points that are converted at a time."""
_FEWEST = 50
"""Points of which one has to have another colour than the others."""
_SPLAT = ("f_dc_0", "f_dc_1", "f_dc_2")
_CONSTANT_HARMONIC = 0.28209479177387814
"""The constant spherical harmonic, by which the colour of a Gaussian splat less its middle was divided."""
_PACKED = ("rgb", "rgba")


def colors_of(path: Path, channels: Sequence[NDArray[Any]], notes: Notes) -> NDArray[np.uint8] | None:
    """(N, 3) of three channels: the range is decided once, from the type and all channels; None where all are black.

    Raises:
        InputError: channels of no known range, or of types that do not go together.
    """
    if len({channel.dtype.kind == "f" for channel in channels}) > 1:
        types = ", ".join(str(channel.dtype) for channel in channels)
        raise InputError(path, f"the colours are of different types ({types})", "Store all three as uchar, 0..255")
    dtype = np.result_type(*channels)
    scaled = None if dtype == np.uint8 else _scaling(path, channels, dtype, notes)
    color = np.empty((len(channels[0]), 3), dtype=np.uint8)
    for start in range(0, len(color), _ROWS):
        for index, channel in enumerate(channels):
            part = channel[start : start + _ROWS].astype(dtype, copy=False)
            color[start : start + _ROWS, index] = part if scaled is None else np.rint(scaled(part))
    return _unless_missing(color, notes)


def _unless_missing(color: NDArray[np.uint8], notes: Notes) -> NDArray[np.uint8] | None:
    if len(color) >= _FEWEST and (color == color[0]).all():
        if not color.any():
            notes.say("colours", f"all {len(color)} are black, so they are treated as missing")
            return None
        notes.say("colours", f"all {len(color)} are the same, {tuple(color[0].tolist())}")
    return color


def _scaling(
    path: Path, channels: Sequence[NDArray[Any]], dtype: np.dtype[Any], notes: Notes
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """What makes 0..255 of the values of a channel."""
    low, high = float(np.min([c.min() for c in channels])), float(np.max([c.max() for c in channels]))
    is_float = dtype.kind == "f"
    if is_float and low >= -_OVER and high <= 1 + _OVER:
        return lambda values: values.clip(0, 1) * 255.0
    if low >= 0 and high <= 255 and not (is_float and high < _HARDLY):
        return lambda values: values
    if low >= 0 and (_TWELVE_BIT if is_float else 255) < high <= 65535:
        notes.say("colours", "they have 16 bits and were divided by 257")
        if high <= _TWELVE_BIT:
            text = f"they are nearly black: 16-bit values that reach only {high:g}"
            notes.warn("colours", text, "Store them as uchar, 0..255, if they are of 10 or 12 bits")
        return lambda values: values / 257.0
    # The first channel that is outside every range, for whoever looks into the file.
    bad = [name for name, v in zip(COLOR, channels, strict=True) if not ((v >= 0) & (v <= 255)).all()]
    raise InputError(
        path,
        f"the colours are neither 0..255 nor floats 0..1 nor 16 bit ('{(bad or COLOR)[0]}'; {low:g} to {high:g})",
        "Store colours as uchar, 0..255",
    )


def other_colors(
    path: Path, columns: Mapping[str, NDArray[Any]], notes: Notes
) -> tuple[NDArray[np.uint8] | None, tuple[str, ...]]:
    """(N, 3) of what is stored otherwise, and the names of its columns: packed as by PCL, or as by Gaussian splats,
    without what depends on the viewpoint; None where neither is.

    Raises:
        InputError: colours of a splat that are not finite.
    """
    if all(name in columns for name in _SPLAT):
        values = 0.5 + _CONSTANT_HARMONIC * np.stack([columns[name] for name in _SPLAT], axis=1).astype(np.float64)
        bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
        if len(bad):
            raise InputError(
                path,
                f"f_dc_0..2 of {len(bad)} points are not finite; the first is point {bad[0]}",
                "Remove these points",
            )
        notes.say("colours", f"{' '.join(_SPLAT)} are read as {' '.join(COLOR)}, as a Gaussian splat has them")
        return np.rint(values.clip(0, 1) * 255).astype(np.uint8), _SPLAT
    name = next((name for name in _PACKED if name in columns and columns[name].dtype.itemsize == 4), None)
    if name is None:
        return None, ()
    packed = np.ascontiguousarray(columns[name]).view(np.uint32)
    notes.say("colours", f"{name} is read as {' '.join(COLOR)}, packed as PCL does")
    color = np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)
    return _unless_missing(color, notes), (name,)

"""Run lengths, as COCO, CVAT and Label Studio store masks; checked against the size before anything is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["coco_counts", "from_counts", "from_label_studio", "require_counts"]

_AGAIN = "The file is damaged; export it again"


def require_counts(counts: Sequence[Any], total: int, where: str) -> NDArray[np.int64]:
    """Lengths of runs in turn beside and in the mask, beside it first, that fill ``total`` pixels.

    Raises:
        InputError: they do not.
    """
    good = all(isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= total for count in counts)
    if not good or (found := sum(counts)) != total:
        what = f"fill {found} pixels" if good else "are not lengths"
        raise InputError(where, f"the run lengths of its mask {what}, but the mask has {total} pixels", _AGAIN)
    return np.array(counts, np.int64)


def from_counts(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """(pixels,) of lengths as :func:`require_counts` gives them."""
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts)


def coco_counts(text: str, where: str) -> list[int]:
    """The lengths in COCO's compressed form: numbers of any length in 5 bits a character, from the third on as the
    difference from the one before the last.

    Raises:
        InputError: it is not that.
    """
    counts: list[int] = []
    value, shift = 0, 0
    for character in text.encode("latin-1", "replace"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 40:
            raise InputError(where, "the compressed run lengths of its mask cannot be read", _AGAIN)
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + (counts[-2] if len(counts) > 2 else 0))
            value, shift = 0, 0
    if shift:
        raise InputError(where, "the compressed run lengths of its mask are cut off", _AGAIN)
    return counts


def from_label_studio(data: Sequence[Any], size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """(height, width) where a brush has painted, of Label Studio's runs: an image of four channels, value after value.

    A stream of bits: 32 for the number of values, 5 for the bits of a value, four times 4 for the bits of lengths.
    Then, again and again, a bit that says whether a value is repeated, 2 that say which of the four, the length, and
    the value or values. All but the first of these are stored less 1.

    Raises:
        InputError: it is not that, or has another number of values.
    """
    if not all(isinstance(byte, int) and not isinstance(byte, bool) and 0 <= byte < 256 for byte in data):
        raise InputError(where, "the run lengths of its brush mask are not bytes", _AGAIN)
    bits = np.unpackbits(np.array(data, np.uint8))
    text = (bits + 48).tobytes().decode("ascii")
    width, height = size
    total = 4 * width * height
    if len(text) < 53 or (promised := int(text[:32], 2)) != total:
        promise = f"{promised} values" if len(text) >= 53 else "less than a header"
        raise InputError(where, f"its brush mask has {promise}, but {width} x {height} pixels need {total}", _AGAIN)
    word = int(text[32:37], 2) + 1
    lengths = [int(text[37 + 4 * i : 41 + 4 * i], 2) + 1 for i in range(4)]
    powers = 1 << np.arange(word)[::-1]
    values = np.zeros(total, bool)
    at, done = 53, 0
    while done < total:
        start = at + 3
        end = start + lengths[int(text[at + 1 : start] or "0", 2)]
        count = int(text[start:end] or "0", 2) + 1
        repeated = text[at : at + 1] == "1"
        at = end + (word if repeated else word * count)
        if done + count > total or at > len(text):
            raise InputError(where, "the run lengths of its brush mask go beyond the image, or are cut off", _AGAIN)
        stored = bits[end:at].reshape(-1, word) @ powers
        values[done : done + count] = stored > 0
        done += count
    return values[3::4].reshape(height, width)

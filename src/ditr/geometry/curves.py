"""Space-filling curves: the order in which Point Transformer V3 reads the voxels of a scene.

A curve code is the position of a cell along the curve. All four orders share one property that the pyramid rests on:
a code shifted right by three bits is the code of the parent cell (coordinates halved) at a depth smaller by one.

Two ways to the same codes: :func:`encode` follows the definitions bit by bit, :func:`codes_along` reads tables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum
from functools import cache
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.errors import InputError

__all__ = ["ALL_CURVES", "MAX_DEPTH", "Curve", "codes_along", "curve_depth", "encode"]

MAX_DEPTH = 16
"""Bits per axis: 3 x 16 bits of code leave room for a sample's number in an int64."""


class Curve(Enum):
    """The four orders of the paper's backbone; the values are the field's names for them."""

    Z = "z"
    Z_TRANS = "z-trans"
    HILBERT = "hilbert"
    HILBERT_TRANS = "hilbert-trans"


ALL_CURVES = (Curve.Z, Curve.Z_TRANS, Curve.HILBERT, Curve.HILBERT_TRANS)


def curve_depth(grid: Tensor) -> int:
    """Bits per axis that the cells ``grid`` (M, 3) need.

    Raises:
        InputError: cells below zero, or beyond ``MAX_DEPTH`` bits.
    """
    if len(grid) == 0:
        return 0
    low, high = int(grid.min()), int(grid.max())
    if low < 0:
        raise InputError("grid", f"a cell coordinate is {low}", "Shift the cells so that the smallest is 0")
    if high.bit_length() > MAX_DEPTH:
        # Larger voxels need not begin where these do, which can cost one; and the figure must not be rounded down.
        factor = math.ceil((high + 1) / ((1 << MAX_DEPTH) - 1) * 1000) / 1000
        raise InputError(
            "grid",
            f"the scene spans {high + 1} voxels along one axis, more than {1 << MAX_DEPTH}",
            f"Use voxels at least {factor:.3f} times as large, or crop the scene",
        )
    return high.bit_length()


def encode(grid: Tensor, curve: Curve, depth: int) -> Tensor:
    """Codes of cells along a curve: (M, 3) integers below 2**depth -> (M,) int64 below 8**depth.

    The coordinates are not checked; :func:`curve_depth` gives the smallest depth that holds them.
    """
    x, y, z = grid.to(torch.int64).unbind(1)
    if curve in (Curve.Z_TRANS, Curve.HILBERT_TRANS):
        x, y = y, x
    if curve in (Curve.Z, Curve.Z_TRANS):
        return _interleave(x, y, z)
    return _gray_to_binary(_interleave(*_unfold_hilbert(x, y, z, depth)))


def _interleave(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
    """Bit i of x, y, z goes to bits 3i + 2, 3i + 1, 3i."""
    return (_spread(x) << 2) | (_spread(y) << 1) | _spread(z)


def _spread(v: Tensor) -> Tensor:
    """Put two zero bits between the bits of 16-bit numbers, by halving the stride of the gaps four times."""
    for shift, mask in (
        (16, 0x0000FF0000FF),
        (8, 0x00F00F00F00F),
        (4, 0x0C30C30C30C3),
        (2, 0x249249249249),
    ):
        v = (v | (v << shift)) & mask
    return v


def _unfold_hilbert(x: Tensor, y: Tensor, z: Tensor, depth: int) -> tuple[Tensor, Tensor, Tensor]:
    """Skilling's transform ("Programming the Hilbert curve", 2004): coordinates to the curve's transposed Gray code.

    The curve depends on ``depth``: one more leading zero bit turns it.
    """
    axes = [x, y, z]
    for bit in range(depth - 1, -1, -1):
        lower = (1 << bit) - 1
        for axis in range(3):
            # Bit set: invert the lower bits of the first axis; clear: swap them with this axis.
            is_set = -((axes[axis] >> bit) & 1)
            swap = (axes[0] ^ axes[axis]) & lower & ~is_set
            axes[axis] = axes[axis] ^ swap
            axes[0] = axes[0] ^ swap ^ (is_set & lower)
    return axes[0], axes[1], axes[2]


def _gray_to_binary(code: Tensor) -> Tensor:
    """Prefix XOR from the highest bit."""
    for shift in (1, 2, 4, 8, 16, 32):
        code = code ^ (code >> shift)
    return code


def codes_along(grid: NDArray[np.int64], curves: Sequence[Curve], depth: int) -> NDArray[np.int64]:
    """The fast path, equal to :func:`encode` for each curve: (M, 3) cells below 2**depth -> (curves, M) int64 codes."""
    spread = _spread_table()
    x, y, z = (spread.take(grid[:, axis]) for axis in range(3))
    codes = np.empty((len(curves), len(grid)), dtype=np.int64)
    for number, curve in enumerate(curves):
        first, second = (y, x) if curve in (Curve.Z_TRANS, Curve.HILBERT_TRANS) else (x, y)
        interleaved = first << 2 | second << 1 | z
        codes[number] = interleaved if curve in (Curve.Z, Curve.Z_TRANS) else _hilbert(interleaved, depth)
    return codes


@cache
def _spread_table() -> NDArray[np.int64]:
    """(65536,) :func:`_spread` of every number."""
    return _spread(torch.arange(1 << MAX_DEPTH)).numpy()


_DIGITS = 3
"""Digits that one step along a Hilbert curve reads: their table fits into the second-level cache."""
_AT_ONCE = 1 << 14


def _hilbert(interleaved: NDArray[np.int64], depth: int) -> NDArray[np.int64]:
    """Codes along the Hilbert curve from interleaved coordinates, from the highest digits down.

    A digit is three bits, one of each axis. What the digits above did to the axes and the bits below is one of 48
    states; so a table of states and digits gives the code's digits and the next state.
    """
    width, beginning = 3 * _DIGITS, depth % _DIGITS
    table, mask = _hilbert_steps(_DIGITS), (1 << width) - 1
    out = np.empty_like(interleaved)
    for start in range(0, len(out), _AT_ONCE):
        part = interleaved[start : start + _AT_ONCE]
        shift = 3 * (depth - beginning)
        step = _hilbert_steps(beginning).take(part >> shift)
        code, state = step & ((1 << 3 * beginning) - 1), step >> 3 * beginning
        while shift:
            shift -= width
            step = table.take(state << width | ((part >> shift) & mask))
            code, state = code << width | (step & mask), step >> width
        out[start : start + _AT_ONCE] = code
    return out


@cache
def _hilbert_steps(digits: int) -> NDArray[np.int64]:
    """(states x 8**digits,) the state after so many digits, shifted by them, and the digits of the code; 0 begins."""
    code_of, next_of = _hilbert_digits()
    code = np.zeros((len(code_of), 1), dtype=np.int64)
    state = np.arange(len(code_of))[:, None]
    for _ in range(digits):
        code = (code[:, :, None] << 3 | code_of[state]).reshape(len(code_of), -1)
        state = next_of[state].reshape(len(code_of), -1)
    return (state << 3 * digits | code).ravel()


@cache
def _hilbert_digits() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(states, 8) the code's digit for each digit, and the state after it, of Skilling's transform and the Gray code.

    A state says from which axis each axis takes its bits, which axes are inverted, and the parity of the bits above.
    """
    waiting: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [((0, 1, 2), (0, 0, 0), 0)]
    states = {waiting[0]: 0}
    code_of: list[list[int]] = []
    next_of: list[list[int]] = []
    for axes, inverted, parity in waiting:
        code_of.append([0] * 8)
        next_of.append([0] * 8)
        for digit, bits in enumerate(product((0, 1), repeat=3)):
            new_axes, new_inverted, prefix, code = list(axes), list(inverted), parity, 0
            for axis in range(3):
                bit = bits[axes[axis]] ^ inverted[axis]
                if bit:
                    new_inverted[0] ^= 1
                else:
                    new_axes[0], new_axes[axis] = new_axes[axis], new_axes[0]
                    new_inverted[0], new_inverted[axis] = new_inverted[axis], new_inverted[0]
                prefix ^= bit
                code = code << 1 | prefix
            state = (tuple(new_axes), tuple(new_inverted), prefix)
            if state not in states:
                states[state] = len(states)
                waiting.append(state)
            code_of[-1][digit], next_of[-1][digit] = code, states[state]
    return np.array(code_of), np.array(next_of)

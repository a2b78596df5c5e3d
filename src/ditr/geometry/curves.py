"""Space-filling curves: the order in which Point Transformer V3 reads the voxels of a scene.

A curve code is the position of a cell along the curve. All four orders share one property that the pyramid rests on:
a code shifted right by three bits is the code of the parent cell (coordinates halved) at a depth smaller by one.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
import torch
from torch import Tensor

from ditr.errors import InputError

__all__ = ["ALL_CURVES", "MAX_DEPTH", "Curve", "curve_depth", "encode", "sorted_rows"]

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


def sorted_rows(codes: Tensor) -> Tensor:
    """(curves, n) -> the rows in order of their codes along each curve; equal ones in their own order."""
    if codes.is_cuda:
        return torch.argsort(codes, dim=1, stable=True)
    # NumPy's sort that does not keep the order of equals uses vector instructions, and mostly there are no equals.
    order = torch.from_numpy(np.argsort(codes.numpy(), axis=1))
    if bool((codes[0].gather(0, order[0]).diff() == 0).any()):
        return torch.argsort(codes, dim=1, stable=True)
    return order

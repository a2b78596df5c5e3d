"""Submanifold sparse convolution: outputs exist where inputs exist, so geometry never grows.

Weights are (k^3, in, out), the kernel's offsets in the order of :func:`ditr.geometry.neighbours.kernel_offsets`
(x slowest). The published layout (out, k, k, k, in) is translated in ``models/convert.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from ditr.geometry.pyramid import Level

__all__ = ["SubmanifoldConv", "convolve", "convolve_by_offset"]

_CHUNK_BYTES = 4 << 20
"""Gathered inputs are multiplied in pieces of this size on the CPU: small enough to stay in the second-level cache."""


def convolve_by_offset(x: Tensor, table: Tensor, weight: Tensor) -> Tensor:
    """The reference: for each kernel offset, add the product of that neighbour's features.

    Args:
        x: (n, in) features.
        table: (n, k^3) neighbour rows, n where there is none.
        weight: (k^3, in, out).

    Returns:
        (n, out): out[p] = sum over offsets k of x[table[p, k]] @ weight[k].
    """
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    out = x.new_zeros(len(x), weight.shape[2])
    for column, matrix in enumerate(weight):
        out = out + padded[table[:, column].long()] @ matrix
    return out


def convolve(x: Tensor, table: Tensor, weight: Tensor, *, mirrored: bool = True) -> Tensor:
    """The fast path, equal to :func:`convolve_by_offset`: rows of all neighbours side by side, one product per piece.

    ``mirrored`` says that p is q's neighbour wherever q is p's, which holds unless cells repeat; the gradient of the
    features is then a convolution with the mirrored kernel.
    """
    out: Tensor = _GatherConvolution.apply(x, table, weight, mirrored)  # type: ignore[no-untyped-call]
    return out


class _GatherConvolution(torch.autograd.Function):
    """Keeps only the features for the backward pass; the gathered copy is made anew there."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, x: Tensor, table: Tensor, weight: Tensor, mirrored: bool
    ) -> Tensor:
        ctx.save_for_backward(x, table, weight)
        ctx.mirrored = mirrored  # type: ignore[attr-defined]
        return _gather_product(x, table, weight.reshape(-1, weight.shape[2]))

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous()
        dx = dw = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            if ctx.mirrored:  # type: ignore[attr-defined]
                flipped = weight.flip(0).transpose(1, 2).reshape(-1, weight.shape[1])
                dx = _gather_product(gradient, table, flipped)
            else:
                dx = _scatter_product(gradient, table, weight)
        if ctx.needs_input_grad[2]:  # type: ignore[attr-defined]
            dw = _weight_gradient(x, table, gradient).view_as(weight)
        return dx, None, dw, None


def _pieces(x: Tensor, table: Tensor) -> list[tuple[int, int]]:
    if x.is_cuda:
        rows = max(1, (1 << 29) // (table.shape[1] * x.shape[1] * x.element_size()))
    else:
        rows = max(64, _CHUNK_BYTES // (table.shape[1] * x.shape[1] * x.element_size()))
    return [(start, min(start + rows, len(table))) for start in range(0, len(table), rows)]


def _gather_product(x: Tensor, table: Tensor, matrix: Tensor) -> Tensor:
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    out = x.new_empty(len(table), matrix.shape[1])
    for start, stop in _pieces(x, table):
        rows = padded.index_select(0, table[start:stop].reshape(-1))
        torch.mm(rows.view(stop - start, -1), matrix, out=out[start:stop])
    return out


def _scatter_product(gradient: Tensor, table: Tensor, weight: Tensor) -> Tensor:
    dx = gradient.new_zeros(len(gradient) + 1, weight.shape[1])
    matrix = weight.permute(2, 0, 1).reshape(weight.shape[2], -1)
    for start, stop in _pieces(dx, table):
        products = (gradient[start:stop] @ matrix).view(-1, weight.shape[1])
        dx.index_add_(0, table[start:stop].reshape(-1), products)
    return dx[:-1]


def _weight_gradient(x: Tensor, table: Tensor, gradient: Tensor) -> Tensor:
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    total = x.new_zeros(table.shape[1] * x.shape[1], gradient.shape[1])
    for start, stop in _pieces(x, table):
        rows = padded.index_select(0, table[start:stop].reshape(-1)).view(stop - start, -1)
        total.addmm_(rows.t(), gradient[start:stop])
    return total


class SubmanifoldConv(nn.Module):
    """Sparse convolution of a level's features with a centred k x k x k kernel.

    Args:
        in_channels, out_channels: widths.
        kernel: odd edge of the kernel.
        bias: whether to add one.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(kernel**3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        bound = 1 / math.sqrt(in_channels * kernel**3)
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """(n, in) features of a level -> (n, out)."""
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(x.device.type):
            dtype = torch.get_autocast_dtype(x.device.type)
            x, weight = x.to(dtype), weight.to(dtype)
        out = convolve(x, level.neighbours[self.kernel], weight, mirrored=not level.repeated_cells)
        return out if self.bias is None else out + self.bias.to(out.dtype)

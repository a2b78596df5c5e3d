"""Sparse convolutions: within a level, to the next coarser one, and back; geometry never grows.

Weights are (k^3, in, out), the kernel's offsets in the order of :func:`ditr.geometry.neighbours.kernel_offsets`
(x slowest). The published layout (out, k, k, k, in) is translated in ``models/published_names.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.neighbours import Neighbours, Pairs, octant_of, pieces_of
from ditr.geometry.pyramid import Level
from ditr.nn.norms import Affine, folded, folded_bias
from ditr.nn.pieces import ROWS, add, keeps_no_gradients
from ditr.nn.products import add_transposed_product, linear, product

__all__ = [
    "InverseConv",
    "StridedConv",
    "SubmanifoldConv",
    "convolve",
    "convolve_by_offset",
    "invert",
    "invert_by_octant",
    "stride",
    "stride_by_octant",
]

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


def convolve(
    x: Tensor, table: Neighbours, weight: Tensor, *, first: Tensor | None = None, pairs: Sequence[Pairs] | None = None
) -> Tensor:
    """The fast path, equal to :func:`convolve_by_offset`: rows of all neighbours side by side, one product per piece.

    Args:
        x: features, as for :func:`convolve_by_offset`.
        weight: the same.
        table: its table, kept or not.
        first: (n,) the first row of each row's cell, where cells repeat: a neighbour is the first row of its cell, so
            that p need not be q's neighbour where q is p's. None where no cell repeats.
        pairs: the table's pairs. With them only neighbours that are there are multiplied, one product per piece and
            offset: half the arithmetic, in more and smaller steps.
    """
    out: Tensor = _GatherConvolution.apply(x, table, weight, first, pairs)  # type: ignore[no-untyped-call]
    return out


class _GatherConvolution(torch.autograd.Function):
    """Keeps only the features for the backward pass; the gathered copy is made again there."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        x: Tensor,
        table: Neighbours,
        weight: Tensor,
        first: Tensor | None,
        pairs: Sequence[Pairs] | None,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.table, ctx.first, ctx.pairs = table, first, pairs  # type: ignore[attr-defined]
        return _product(x, table, weight, pairs)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        table: Neighbours = ctx.table  # type: ignore[attr-defined]
        pairs: Sequence[Pairs] | None = ctx.pairs  # type: ignore[attr-defined]
        gradient = gradients[0].contiguous()
        dx = dw = None
        if ctx.needs_input_grad[0]:  # type: ignore[attr-defined]
            dx = _feature_gradient(gradient, table, weight, ctx.first, pairs)  # type: ignore[attr-defined]
        if ctx.needs_input_grad[2]:  # type: ignore[attr-defined]
            if pairs is None:
                dw = _weight_gradient(x, table, gradient).view_as(weight).to(weight.dtype)
            else:
                dw = _weight_gradient_of_pairs(x, pairs, gradient)
        return dx, None, dw, None, None


def _product(x: Tensor, table: Neighbours, weight: Tensor, pairs: Sequence[Pairs] | None) -> Tensor:
    if pairs is None:
        return _gather_product(x, table, weight.reshape(-1, weight.shape[2]))
    return _pair_product(x, pairs, weight)


def _pair_product(x: Tensor, pairs: Sequence[Pairs], weight: Tensor) -> Tensor:
    out = x.new_empty(len(x), weight.shape[2])
    for piece in pairs:
        products = x.new_empty(len(piece.neighbours), weight.shape[2])
        for offset, first, last in _by_offset(piece):
            rows = x.index_select(0, piece.neighbours[first:last])
            torch.mm(rows, weight[offset], out=products[first:last])
        # Sums of rows, as for bags of words; adding each product to its row would run on one core and take longer.
        out[piece.start : piece.stop] = functional.embedding_bag(piece.of_rows, products, piece.begins, mode="sum")
    return out


def _weight_gradient_of_pairs(x: Tensor, pairs: Sequence[Pairs], gradient: Tensor) -> Tensor:
    total = x.new_zeros(len(pairs[0].ends), x.shape[1], gradient.shape[1])
    for piece in pairs:
        degree = piece.begins.diff(append=piece.begins.new_tensor([len(piece.of_rows)]))
        row = torch.empty_like(piece.of_rows)
        row[piece.of_rows.long()] = torch.arange(piece.start, piece.stop, dtype=row.dtype).repeat_interleave(degree)
        for offset, first, last in _by_offset(piece):
            rows = x.index_select(0, piece.neighbours[first:last])
            add_transposed_product(total[offset], rows, gradient.index_select(0, row[first:last]))
    return total


def _by_offset(piece: Pairs) -> Iterator[tuple[int, int, int]]:
    """Each offset that has pairs, with where they begin and end."""
    first = 0
    for offset, last in enumerate(piece.ends):
        if last > first:
            yield offset, first, last
        first = last


def _piece(x: Tensor, table: Neighbours) -> int:
    """How many rows of a table are gathered at a time."""
    least, most = (1, 1 << 29) if x.is_cuda else (64, _CHUNK_BYTES)
    return max(least, most // (table.shape[1] * x.shape[1] * x.element_size()))


def _gather_product(x: Tensor, table: Neighbours, matrix: Tensor) -> Tensor:
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    out = x.new_empty(table.shape[0], matrix.shape[1])
    size = _piece(x, table)
    for part, into in zip(pieces_of(table, size), torch.split(out, size), strict=True):
        rows = padded.index_select(0, part.reshape(-1)).view(len(part), -1)
        product(rows, matrix, out=into, at_once=size)
    return out


def _feature_gradient(
    gradient: Tensor, table: Neighbours, weight: Tensor, first: Tensor | None, pairs: Sequence[Pairs] | None
) -> Tensor:
    """A convolution with the mirrored kernel.

    Where cells repeat, the first row of a cell was read by the neighbours of all its rows: it gathers what the rows of
    each neighbour ask for together, and the other rows get what they ask for themselves. (Adding every product to the
    row that was read would take a GPU far longer.)
    """
    mirror = weight.flip(0).transpose(1, 2)
    if first is None:
        return _product(gradient, table, mirror, pairs)
    middle = len(weight) // 2
    own = gradient @ weight[middle].t()
    around = mirror.clone()
    around[middle] = 0
    together = torch.zeros_like(gradient).index_add_(0, first, gradient)
    read = first == torch.arange(len(first), dtype=first.dtype, device=first.device)
    return own + _product(together, table, around, pairs) * read[:, None]


def _weight_gradient(x: Tensor, table: Neighbours, gradient: Tensor) -> Tensor:
    """In float32 at least: in bfloat16 a sum of many pieces would soon be too large for the next one to count."""
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    wide = torch.promote_types(x.dtype, torch.float32)
    total = x.new_zeros(table.shape[1] * x.shape[1], gradient.shape[1], dtype=wide)
    size = _piece(x, table)
    for part, upstream in zip(pieces_of(table, size), torch.split(gradient, size), strict=True):
        rows = padded.index_select(0, part.reshape(-1)).view(len(part), -1)
        add_transposed_product(total, rows, upstream, at_once=size)
    return total


def stride_by_octant(x: Tensor, level: Level, weight: Tensor) -> Tensor:
    """The reference of :func:`stride`: for each octant, add the products of the children there to their parents."""
    parent, octants = _family(level)
    octant = octant_of(level.grid)
    out = x.new_zeros(len(octants), weight.shape[2])
    for o, matrix in enumerate(weight):
        out = out.index_add(0, parent[octant == o], x[octant == o] @ matrix)
    return out


def invert_by_octant(x: Tensor, level: Level, weight: Tensor) -> Tensor:
    """The reference of :func:`invert`: the parent's features times the matrix of one's own octant."""
    parent, _ = _family(level)
    octant = octant_of(level.grid)[:, None]
    out = x.new_zeros(len(parent), weight.shape[2])
    for o, matrix in enumerate(weight):
        out = torch.where(octant == o, x[parent] @ matrix, out)
    return out


def stride(x: Tensor, level: Level, weight: Tensor) -> Tensor:
    """Features of the next coarser level from those of ``level``: a kernel of 2 with a stride of 2.

    The fast path, equal to :func:`stride_by_octant`: eight children side by side, one product.

    Args:
        x: (n, in) features of ``level``.
        level: the finer of the two levels; of repeated cells all are summed.
        weight: (8, in, out), octants with x slowest.

    Returns:
        (coarser n, out): out[q] = sum over children p of q of x[p] @ weight[octant of p].
    """
    children: Tensor = _SideBySide.apply(x, level)  # type: ignore[no-untyped-call]
    return linear(children, weight.reshape(-1, weight.shape[2]).t())


def invert(x: Tensor, level: Level, weight: Tensor) -> Tensor:
    """The way back, to ``level`` from the next coarser level: each parent gives every child a value.

    The fast path, equal to :func:`invert_by_octant`: one product for all octants, of which the children that are there
    take theirs.

    Args:
        x: (coarser n, in) features of the next coarser level.
        level: the finer of the two levels.
        weight: (8, in, out), octants with x slowest.

    Returns:
        (n, out): out[p] = x[parent of p] @ weight[octant of p].
    """
    values = linear(x, weight.permute(1, 0, 2).reshape(weight.shape[1], -1).t())
    out: Tensor = _OneEach.apply(values, level)  # type: ignore[no-untyped-call]
    return out


def _family(level: Level) -> tuple[Tensor, Tensor]:
    if level.parent is None or level.octants is None:
        raise ValueError("there is no strided convolution from the coarsest level, nor one back to it")
    return level.parent, level.octants


def _side_by_side(x: Tensor, level: Level) -> Tensor:
    """(n, c) -> (coarser n, 8 c): each parent's children, those of one cell summed, zeros where there is none."""
    parent, octants = _family(level)
    if level.first_row is not None:
        slots = x.new_zeros(octants.numel(), x.shape[1])
        return slots.index_add_(0, parent * 8 + octant_of(level.grid), x).view(len(octants), -1)
    padded = torch.cat([x, x.new_zeros(1, x.shape[1])])
    return padded.index_select(0, octants.view(-1)).view(len(octants), -1)


def _one_each(values: Tensor, level: Level) -> Tensor:
    """(coarser n, 8 c) -> (n, c): the transpose of :func:`_side_by_side`."""
    parent, octants = _family(level)
    return values.view(octants.numel(), -1).index_select(0, parent * 8 + octant_of(level.grid))


class _SideBySide(torch.autograd.Function):
    """Gathering has gathering as its gradient, which torch, not knowing the family, would do by adding row by row."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor, level: Level) -> Tensor:
        ctx.level = level  # type: ignore[attr-defined]
        return _side_by_side(x, level)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _one_each(gradients[0].contiguous(), ctx.level), None  # type: ignore[attr-defined]


class _OneEach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, level: Level) -> Tensor:
        ctx.level = level  # type: ignore[attr-defined]
        return _one_each(values, level)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        return _side_by_side(gradients[0], ctx.level), None  # type: ignore[attr-defined]


def _invert_present(x: Tensor, level: Level, weight: Tensor) -> Tensor:
    """:func:`invert`, octant by octant: only the children that are there are multiplied; knows no gradients."""
    parent, octants = _family(level)
    out = x.new_empty(len(parent), weight.shape[2])
    for o, matrix in enumerate(weight):
        rows = octants[:, o]
        there = (rows < len(parent)).nonzero().squeeze(1)
        for some in torch.split(there, ROWS):
            result = x.new_empty(len(some), weight.shape[2])
            product(x.index_select(0, some), matrix, out=result)
            out.index_copy_(0, rows.index_select(0, some).long(), result)
    return out


def _uniform(parameter: Tensor, inputs: int) -> None:
    """The initialization of the published layers (and of torch's own): uniform within 1 / sqrt(inputs)."""
    bound = 1 / math.sqrt(inputs)
    nn.init.uniform_(parameter, -bound, bound)


def _for_autocast(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    if not torch.is_autocast_enabled(x.device.type):
        return x, weight
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), weight.to(dtype)


class SubmanifoldConv(nn.Module):
    """Sparse convolution of a level's features with a centred k x k x k kernel.

    Args:
        in_channels: width of what comes in.
        out_channels: width of what goes out.
        kernel: odd edge of the kernel.
        bias: whether to add one.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, *, bias: bool) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(torch.empty(kernel**3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        _uniform(self.weight, in_channels * kernel**3)
        if self.bias is not None:
            _uniform(self.bias, in_channels * kernel**3)

    def forward(self, x: Tensor, level: Level, fold: Affine | None = None) -> Tensor:
        """(n, in) features of a level -> (n, out); ``fold`` is applied to the result."""
        x, weight = _for_autocast(x, folded(self.weight, fold))
        pairs = level.pairs(self.kernel) if self._in_pairs(x) else None
        out = convolve(x, level.neighbours[self.kernel], weight, first=level.first_row, pairs=pairs)
        bias = folded_bias(self.bias, fold)
        return out if bias is None else add(out, bias.to(out.dtype))

    def _in_pairs(self, x: Tensor) -> bool:
        """Pays on one core, where arithmetic costs more than many small steps.

        Several threads would wait for each other after every step: on two busy cores a pass then takes not a third
        less but ten times as long. Half precision would round each product.
        """
        if x.is_cuda or torch.get_num_threads() > 1:
            return False
        return x.dtype in (torch.float32, torch.float64) and self.kernel == 3 and x.shape[1] >= 16


class _BetweenLevels(nn.Module):
    """What convolutions with a kernel of 2 between two levels share: a matrix per octant, and no bias."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, in_channels, out_channels))
        _uniform(self.weight, in_channels * 8)


class StridedConv(_BetweenLevels):
    """Sparse convolution to the next coarser level, kernel and stride 2, without a bias."""

    def forward(self, x: Tensor, level: Level, fold: Affine | None = None) -> Tensor:
        """(n, in) features of ``level`` -> (m, out) features of the next coarser one; ``fold`` is applied to them.

        Raises:
            ValueError: the coarsest level.
        """
        x, weight = _for_autocast(x, folded(self.weight, fold))
        out = stride(x, level, weight)
        return out if fold is None else add(out, fold.shift)


class InverseConv(_BetweenLevels):
    """Sparse convolution back from the next coarser level, kernel 2, without a bias."""

    def forward(self, x: Tensor, level: Level, fold: Affine | None = None) -> Tensor:
        """(m, in) features of the level next coarser than ``level`` -> (n, out) of ``level``; ``fold`` is applied.

        Raises:
            ValueError: the coarsest level.
        """
        x, weight = _for_autocast(x, folded(self.weight, fold))
        if keeps_no_gradients(self, x) and level.first_row is None:
            out = _invert_present(x, level, weight)
        else:
            out = invert(x, level, weight)
        return out if fold is None else add(out, fold.shift)

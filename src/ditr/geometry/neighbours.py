"""Who lies beside whom: the row at every offset of a cubic kernel, for the sparse convolutions.

Two ways to the same table. The search is short and needs nothing but the cells; it serves the coarsest level. The
descent gives a finer level's table from the coarser one's by indexing alone: a cell's neighbour is a child of a
neighbour of its parent, and a kernel of up to 5 never reaches further than the parent's own 3 x 3 x 3. A table can then
be written as pairs, without the neighbours that are not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

__all__ = [
    "Pairs",
    "first_rows",
    "kernel_offsets",
    "neighbours_by_search",
    "neighbours_from_parents",
    "octant_of",
    "octant_table",
    "pair_up",
]

_PIECE = 4096
"""Rows of a piece: few enough for a cache to keep the products of its pairs, many enough for few steps."""


def kernel_offsets(kernel: int) -> Tensor:
    """(k^3, 3) int64 offsets of a centred kernel, x slowest and z fastest."""
    reach = range(-(kernel // 2), kernel // 2 + 1)
    return torch.tensor(list(product(reach, reach, reach)))


def neighbours_by_search(grid: Tensor, kernel: int) -> Tensor:
    """Neighbour rows by binary search among sorted cell keys.

    Args:
        grid: (n, 3) int64 cell coordinates >= 0, in any order. Of equal cells the first row is found.
        kernel: odd edge of the kernel.

    Returns:
        (n, kernel^3) int32 rows; n where there is no cell.
    """
    n = len(grid)
    reach = kernel // 2
    # Room on both sides of y and z keeps a step over the border from landing on another row of cells.
    size = grid.max(dim=0).values + 1 + 2 * reach
    weight = torch.stack([size[1] * size[2], size[2], torch.ones_like(size[0])])
    keys, rows = torch.sort(((grid + reach) * weight).sum(dim=1), stable=True)
    steps = (kernel_offsets(kernel).to(grid.device) * weight).sum(dim=1)
    table = torch.empty((n, kernel**3), dtype=torch.int32, device=grid.device)
    for column, step in enumerate(steps.tolist()):
        wanted = keys + step
        at = torch.searchsorted(keys, wanted).clamp_(max=n - 1)
        table[rows, column] = torch.where(keys[at] == wanted, rows[at], n).to(torch.int32)
    table[:, kernel**3 // 2] = torch.arange(n, dtype=torch.int32, device=grid.device)
    return table


def octant_of(grid: Tensor) -> Tensor:
    """(n,) int64: which of its parent's eight children a cell is, x slowest and z fastest."""
    bit = grid & 1
    return bit[:, 0] * 4 + bit[:, 1] * 2 + bit[:, 2]


def octant_table(grid: Tensor, parent: Tensor, parents: int) -> Tensor:
    """(parents, 8) int32: the row of each coarser cell's child in each octant; n where there is none.

    Of equal cells the first row is found. ``grid`` (n, 3) and ``parent`` (n,) are those of the finer level.
    """
    n = len(grid)
    table = torch.full((parents * 8,), n, dtype=torch.int32, device=grid.device)
    rows = torch.arange(n, dtype=torch.int32, device=grid.device)
    table.scatter_reduce_(0, parent * 8 + octant_of(grid), rows, "amin")
    return table.view(parents, 8)


def neighbours_from_parents(
    grid: Tensor, parent: Tensor, parent_table: Tensor, kernel: int, octants: Tensor | None = None
) -> Tensor:
    """Neighbour rows from the coarser level's 3 x 3 x 3 table; equal to :func:`neighbours_by_search`.

    Args:
        grid: (n, 3) int64 cell coordinates.
        parent: (n,) int64 rows of the coarser level (cell >> 1).
        parent_table: (m, 27) int32, the coarser level's neighbours; m where there is none.
        kernel: odd edge of the kernel, at most 5.
        octants: (m, 8) int32, the cells' :func:`octant_table`, where it is there already.

    Returns:
        (n, kernel^3) int32 rows; n where there is no cell.

    Raises:
        ValueError: a kernel that reaches beyond the parents' neighbours.
    """
    if kernel > 5:
        raise ValueError(f"a kernel of {kernel} reaches beyond the neighbours of a cell's parent")
    n, m = len(grid), len(parent_table)
    if octants is None:
        octants = octant_table(grid, parent, m)
    octant = octant_of(grid)
    # children[p * 8 + o] is the row of the child of p in octant o; the row m is the parent that is not there.
    children = torch.cat([octants.view(-1), octants.new_full((8,), n)])

    offsets = kernel_offsets(kernel).to(grid.device)
    table = torch.empty((n, kernel**3), dtype=torch.int32, device=grid.device)
    for o, bits in enumerate(product((0, 1), repeat=3)):
        members = (octant == o).nonzero().squeeze(1)
        target = offsets + torch.tensor(bits, device=grid.device)
        step = (target >> 1) + 1
        column = (step[:, 0] * 3 + step[:, 1]) * 3 + step[:, 2]
        there = parent_table[parent[members]].index_select(1, column)
        slot = (there * 8).add_(octant_of(target).to(torch.int32))
        table[members] = children.index_select(0, slot.view(-1)).view(slot.shape)
    table[:, kernel**3 // 2] = torch.arange(n, dtype=torch.int32, device=grid.device)
    return table


def neighbours_within(table: Tensor, kernel: int) -> Tensor:
    """The part of an (n, k^3) neighbour table that a kernel of the same or a smaller edge reaches, (n, kernel^3)."""
    edge = round(table.shape[1] ** (1 / 3))
    if edge == kernel:
        return table
    column = ((kernel_offsets(kernel) + edge // 2) * torch.tensor([edge * edge, edge, 1])).sum(dim=1)
    return table.index_select(1, column.to(table.device))


def first_rows(table: Tensor) -> Tensor:
    """The first row of each row's cell, as far as it matters: where a cell has no neighbour it is the row itself.

    Args:
        table: (n, k^3) neighbour rows; one's neighbour's neighbour on the way back is the first row of one's own cell.

    Returns:
        (n,) int32.
    """
    n, columns = table.shape
    rows = torch.arange(n, dtype=table.dtype, device=table.device)
    for column in range(columns // 2):
        for there, back in ((column, columns - 1 - column), (columns - 1 - column, column)):
            neighbour = table[:, there].long()
            own = table[:, back].index_select(0, neighbour.clamp(max=n - 1))
            rows = torch.where(neighbour < n, own, rows)
    return rows


@dataclass(frozen=True, eq=False)
class Pairs:
    """Neighbours of the rows ``start`` to ``stop`` of a level as pairs: on surfaces about half of a table is empty.

    Attributes:
        start, stop: the rows.
        neighbours: (p,) int32, the neighbour of each pair; the pairs are in order of the kernel's offsets.
        ends: for each offset, where its pairs end.
        of_rows: (p,) int32, the pairs of the first row, then those of the second, and so on.
        begins: (stop - start,) int32, where in ``of_rows`` those of each row begin.
    """

    start: int
    stop: int
    neighbours: Tensor
    ends: tuple[int, ...]
    of_rows: Tensor
    begins: Tensor


def pair_up(table: Tensor) -> tuple[Pairs, ...]:
    """The pairs of an (n, k^3) int32 neighbour table, in pieces."""
    n = len(table)
    pieces = []
    for start in range(0, n, _PIECE):
        part = table[start : start + _PIECE].t().contiguous()
        there = part < n
        count = torch.cumsum(there.view(-1), 0, dtype=torch.int32).view(there.shape)
        by_row = there.t()
        degree = by_row.sum(dim=1, dtype=torch.int32)
        pieces.append(
            Pairs(
                start=start,
                stop=start + len(degree),
                neighbours=part[there],
                ends=tuple(count[:, -1].tolist()),
                of_rows=(count - 1).t()[by_row],
                begins=degree.cumsum(0, dtype=torch.int32) - degree,
            )
        )
    return tuple(pieces)

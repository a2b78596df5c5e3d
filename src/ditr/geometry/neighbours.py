"""Who lies beside whom: the row at every offset of a cubic kernel, for the sparse convolutions.

Two ways to the same table. The search is short and needs nothing but the cells; it serves the coarsest level. The
descent gives a finer level's table from the coarser one's by indexing alone: a cell's neighbour is a child of a
neighbour of its parent, and a kernel of up to 5 never reaches further than the parent's own 3 x 3 x 3. So the largest
table, that of the stem, need not be kept: its rows are made where they are read. A table can also be written as pairs,
without the neighbours that are not there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = [
    "Descent",
    "Neighbours",
    "Pairs",
    "kernel_offsets",
    "neighbours_by_search",
    "octant_of",
    "octant_table",
    "pair_up",
    "pieces_of",
]

_ROWS = 1024
"""Rows that are made at a time on a CPU: few enough for its second-level cache."""

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


@dataclass(frozen=True, eq=False)
class Descent:
    """A table of neighbours as the coarser level's table gives it; equal to :func:`neighbours_by_search`.

    Attributes:
        grid: (n, 3) int64 cell coordinates.
        parent: (n,) int64 rows of the coarser level (cell >> 1).
        parent_table: (m, 27) int32, the coarser level's neighbours; m where there is none.
        octants: (m, 8) int32, the cells' :func:`octant_table`.
        kernel: odd edge of the kernel, at most 5.

    Raises:
        ValueError: a kernel that reaches beyond the parents' neighbours.
    """

    grid: Tensor
    parent: Tensor
    parent_table: Tensor
    octants: Tensor
    kernel: int

    def __post_init__(self) -> None:
        if self.kernel > 5:
            raise ValueError(f"a kernel of {self.kernel} reaches beyond the neighbours of a cell's parent")

    @property
    def shape(self) -> tuple[int, int]:
        """That of the table."""
        return len(self.grid), self.kernel**3

    def table(self) -> Tensor:
        """(n, kernel^3) int32 rows; n where there is no cell."""
        if self.grid.device.type != "cpu":
            return self._gather(0, len(self.grid))
        table = np.empty(self.shape, dtype=np.int32)
        for start in range(0, len(table), _ROWS):
            self._take(start, min(start + _ROWS, len(table)), table[start : start + _ROWS])
        return torch.from_numpy(table)

    def rows(self, start: int, stop: int) -> Tensor:
        """The table's rows from ``start`` to ``stop``, as far as there are so many."""
        stop = min(stop, len(self.grid))
        if self.grid.device.type != "cpu":
            return self._gather(start, stop)
        return torch.from_numpy(self._take(start, stop, np.empty((stop - start, self.shape[1]), dtype=np.int32)))

    def _gather(self, start: int, stop: int) -> Tensor:
        """By torch alone: a neighbour is a child of a neighbour of the cell's parent."""
        around = _around(self.kernel, self.grid.device).index_select(0, octant_of(self.grid[start:stop]))
        parents = self.parent_table.index_select(0, self.parent[start:stop])
        slot = parents.gather(1, around >> 3).mul_(8).add_(around & 7)
        rows = self._children.view(-1).index_select(0, slot.view(-1)).view(slot.shape)
        rows[:, self.kernel**3 // 2] = torch.arange(start, stop, dtype=torch.int32, device=rows.device)
        return rows

    def _take(self, start: int, stop: int, out: NDArray[np.int32]) -> NDArray[np.int32]:
        """Equal to :meth:`_gather`: the 6 x 6 x 6 cells around each parent are copied in rows of eight, then picked."""
        grid, parent, parent_table, children, around = self._arrays
        cells = children.take(parent_table.take(parent[start:stop], axis=0).ravel(), axis=0, mode="clip").ravel()
        picked = around.take((grid[start:stop] & 1) @ np.array([4, 2, 1]), axis=0, mode="clip")
        picked += np.arange(0, cells.size, 27 * 8)[:, None]
        cells.take(picked, out=out, mode="clip")
        out[:, self.kernel**3 // 2] = np.arange(start, stop)
        return out

    @cached_property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        around = _around(self.kernel, self.grid.device)
        return tuple(a.numpy() for a in (self.grid, self.parent, self.parent_table, self._children, around))

    @cached_property
    def _children(self) -> Tensor:
        """(m + 1, 8) the octants, and those of a parent that is not there."""
        return torch.cat([self.octants, self.octants.new_full((1, 8), len(self.grid))])


Neighbours = Tensor | Descent
"""An (n, k^3) int32 table of neighbour rows, kept or not."""


def pieces_of(neighbours: Neighbours, size: int) -> Iterator[Tensor]:
    """The table's rows, so many at a time."""
    if isinstance(neighbours, Tensor):
        yield from torch.split(neighbours, size)
    else:
        yield from (neighbours.rows(start, start + size) for start in range(0, neighbours.shape[0], size))


@cache
def _around(kernel: int, device: torch.device) -> Tensor:
    """(8, kernel^3) int64: for a cell in each octant, where its neighbours are among the children around its parent.

    The number of the parent among its own 27 neighbours, times 8, and the octant in it.
    """
    target = kernel_offsets(kernel) + torch.tensor(list(product((0, 1), repeat=3)))[:, None]
    step = (target >> 1) + 1
    parent = (step[..., 0] * 3 + step[..., 1]) * 3 + step[..., 2]
    return (parent * 8 + octant_of(target.view(-1, 3)).view(parent.shape)).to(device)


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


def pair_up(neighbours: Neighbours) -> tuple[Pairs, ...]:
    """The pairs of a table on the CPU, in pieces."""
    n = neighbours.shape[0]
    pieces = []
    for number, table in enumerate(pieces_of(neighbours, _PIECE)):
        by_offset = np.ascontiguousarray(table.numpy().T)
        there = by_offset < n
        pairs = np.flatnonzero(there)
        rank = np.empty(there.shape, dtype=np.int32)
        rank.ravel()[pairs] = np.arange(len(pairs), dtype=np.int32)
        degree = there.sum(axis=0, dtype=np.int32)
        pieces.append(
            Pairs(
                start=number * _PIECE,
                stop=number * _PIECE + len(table),
                neighbours=torch.from_numpy(by_offset.ravel().take(pairs)),
                ends=tuple(there.sum(axis=1).cumsum().tolist()),
                of_rows=torch.from_numpy(np.ascontiguousarray(rank.T)[table.numpy() < n]),
                begins=torch.from_numpy(degree.cumsum(dtype=np.int32) - degree),
            )
        )
    return tuple(pieces)

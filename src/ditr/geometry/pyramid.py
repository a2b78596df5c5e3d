"""The pyramid: all geometry that the network needs on every level, computed once from voxel coordinates.

A level's rows are cells. Level 0 holds the voxels in the order in which they came; a coarser level holds the cells
that pooling makes of the level below, stored along that level's first curve. Nothing here knows features or weights.

Pyramids are built for one sample and then joined, so that a result cannot depend on batch mates. Three accidents of
the published code do let it: they are the optional arguments ``permutations``, ``depth`` and ``patch_sizes`` of
:func:`build_pyramid`, and this is the one place where they can be asked for:

* ``depth``: the published code takes the curve depth of the whole batch; Hilbert curves turn with the depth;
* ``permutations``: it shuffles the curves at inference too; ours are shuffled in training only;
* ``patch_sizes``: without flash attention it shrinks the patches of a whole batch to its smallest sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.curves import ALL_CURVES, MAX_DEPTH, Curve, curve_depth, encode, sorted_rows
from ditr.geometry.neighbours import (
    Pairs,
    first_rows,
    neighbours_by_search,
    neighbours_from_parents,
    neighbours_within,
    octant_table,
    pair_up,
)

__all__ = [
    "Level",
    "PatchRun",
    "Patches",
    "Pyramid",
    "PyramidSpec",
    "build_pyramid",
    "draw_permutations",
    "join_pyramids",
    "published_permutations",
]


@dataclass(frozen=True)
class PyramidSpec:
    """What of the geometry a network asks for.

    ``patch_size`` is the longest attention patch, in cells. ``strided`` adds the tables of strided convolutions.

    Raises:
        ValueError: numbers that describe no pyramid.
    """

    levels: int = 5
    curves: tuple[Curve, ...] = ALL_CURVES
    stem_kernel: int = 5
    kernel: int = 3
    patch_size: int = 1024
    strided: bool = False

    def __post_init__(self) -> None:
        if self.levels < 1 or self.patch_size < 1 or not self.curves:
            raise ValueError("a pyramid needs at least one level, one curve and one cell per patch")
        if not {self.kernel, self.stem_kernel} <= {1, 3, 5}:
            raise ValueError(f"kernels of {self.kernel} and {self.stem_kernel}; they can be 1, 3 or 5")


@dataclass(frozen=True)
class PatchRun:
    """Consecutive attention patches of one length in the padded order: ``count`` of them from slot ``start`` on."""

    start: int
    count: int
    length: int


@dataclass(frozen=True, eq=False)
class Patches:
    """Attention patches of one level, along each of its curves.

    A sample of at most K cells is one patch. A larger one is cut into patches of exactly K; the last patch borrows
    what it lacks from the end of the one before, and what the borrowed copies give is not read.

    Attributes:
        gather: (curves, slots) int64, the row in each slot.
        scatter: (curves, n) int64, the slot from which each row reads its result.
        runs: the patches, in order of their slots.
    """

    gather: Tensor
    scatter: Tensor
    runs: tuple[PatchRun, ...]


@dataclass(frozen=True, eq=False)
class Level:
    """Geometry of one level with n cells.

    Attributes:
        grid: (n, 3) int64, cell coordinates at this level's resolution.
        offsets: where samples begin and end: sample b has the rows ``offsets[b]`` to ``offsets[b + 1]``.
        order: (curves, n) int64, the rows along each curve.
        patches: the attention patches.
        neighbours: kernel size k -> (n, k^3) int32, the rows at all offsets of a k x k x k kernel, x slowest; n where
            there is no cell.
        parent: (n,) int64, each cell's row on the next coarser level; None on the coarsest.
        children: (coarser n, c) int64, the rows of this level in each coarser cell, the first one repeated to fill;
            None on the coarsest. c is at most 8, unless cells repeat.
        octants: (coarser n, 8) int32, the row of this level in each octant of each coarser cell, x slowest; n where
            there is none, and of repeated cells the first. None on the coarsest, and unless the spec asks for it.
        repeated_cells: whether two rows of a sample may be one cell (two mixed scenes).
    """

    grid: Tensor
    offsets: tuple[int, ...]
    order: Tensor
    patches: Patches
    neighbours: dict[int, Tensor]
    parent: Tensor | None = None
    children: Tensor | None = None
    octants: Tensor | None = None
    repeated_cells: bool = False

    def __len__(self) -> int:
        return len(self.grid)

    def pairs(self, kernel: int) -> tuple[Pairs, ...]:
        """The neighbours as pairs. They are made when first asked for, since only convolutions on a CPU ask."""
        if kernel not in self._pairs:
            self._pairs[kernel] = pair_up(self.neighbours[kernel])
        return self._pairs[kernel]

    def first_rows(self, kernel: int) -> Tensor:
        """The first row of each row's cell among the neighbours of a kernel; only gradients of mixed scenes ask."""
        if kernel not in self._first_rows:
            self._first_rows[kernel] = first_rows(self.neighbours[kernel])
        return self._first_rows[kernel]

    @cached_property
    def _first_rows(self) -> dict[int, Tensor]:
        return {}

    @cached_property
    def _pairs(self) -> dict[int, tuple[Pairs, ...]]:
        return {}


@dataclass(frozen=True, eq=False)
class Pyramid:
    """The levels, finest first."""

    levels: tuple[Level, ...]

    @property
    def samples(self) -> int:
        return len(self.levels[0].offsets) - 1

    def to(self, device: torch.device | str) -> Pyramid:
        """A copy whose tensors are on ``device``."""
        return Pyramid(tuple(_level_to(level, device) for level in self.levels))


def build_pyramid(
    grid: Tensor,
    spec: PyramidSpec,
    *,
    permutations: Sequence[Sequence[int]] | None = None,
    depth: int | None = None,
    patch_sizes: Sequence[int] | None = None,
) -> Pyramid:
    """The pyramid of one sample.

    Args:
        grid: (M, 3) integer cell coordinates >= 0. Cells may repeat (two mixed scenes); the network then sees both,
            and a convolution reads the first.
        spec: what the network asks for.
        permutations: for each level an order of the curves, applied on top of that of the level below
            (:func:`draw_permutations` in training).
        depth: bits per axis of the curves, where another than the sample's own is wanted.
        patch_sizes: for each level the longest patch, where another than the spec's is wanted.

    Raises:
        InputError: no cells, or cells below zero or beyond 16 bits per axis.
        ValueError: cells that are not (M, 3) integers, a ``depth`` too small for them, ``permutations`` that are not
            one order of all curves per level, or ``patch_sizes`` that are not one size per level.
    """
    if grid.ndim != 2 or grid.shape[1] != 3 or grid.is_floating_point():
        raise ValueError(f"cells are (M, 3) integers, not {tuple(grid.shape)} {grid.dtype}")
    if len(grid) == 0:
        raise InputError("grid", "there are no cells", "A sample needs at least one voxel")
    _check_levels(spec, permutations, patch_sizes)
    own_depth = curve_depth(grid)
    depth = own_depth if depth is None else depth
    if not own_depth <= depth <= MAX_DEPTH:
        raise ValueError(f"a curve depth of {depth} for cells of {own_depth} bits")
    grid = grid.to(torch.int64)
    codes = torch.stack([encode(grid, curve, depth) for curve in spec.curves])
    order = sorted_rows(codes)
    levels: list[Level] = []
    for index in range(spec.levels):
        if permutations is not None:
            order = order[torch.as_tensor(permutations[index])]
        patch_size = spec.patch_size if patch_sizes is None else patch_sizes[index]
        repeated = index == 0 and bool((codes.gather(1, order[:1])[0].diff() == 0).any())
        level = Level(grid, (0, len(grid)), order, _cut_patches(order, patch_size), {}, repeated_cells=repeated)
        if index + 1 < spec.levels:
            grid, order, parent, children = _pool(grid, order)
            level = replace(level, parent=parent, children=children)
        levels.append(level)
    return Pyramid(_with_neighbours(levels, spec))


def draw_permutations(rng: np.random.Generator, spec: PyramidSpec) -> list[list[int]]:
    """Random orders of the curves for all levels, for training (PTv3 calls it "shuffle orders")."""
    return [rng.permutation(len(spec.curves)).tolist() for _ in range(spec.levels)]


def published_permutations(seed: int, spec: PyramidSpec) -> list[list[int]]:
    """The orders that the published code draws for one forward pass after ``torch.manual_seed(seed)``.

    It draws them in evaluation too: once for the finest level and once at every pooling, each on top of the last.
    """
    generator = torch.Generator().manual_seed(seed)
    return [torch.randperm(len(spec.curves), generator=generator).tolist() for _ in range(spec.levels)]


def join_pyramids(pyramids: Sequence[Pyramid]) -> Pyramid:
    """One pyramid of several samples: rows are concatenated, nothing is shared."""
    if len(pyramids) == 1:
        return pyramids[0]
    counts = {len(pyramid.levels) for pyramid in pyramids}
    if len(counts) != 1:
        raise ValueError(f"pyramids of {sorted(counts)} levels cannot be joined")
    return Pyramid(tuple(_join_levels([p.levels[i] for p in pyramids]) for i in range(counts.pop())))


# ---------------------------------------------------------------------------------------------------------------------


def _check_levels(
    spec: PyramidSpec, permutations: Sequence[Sequence[int]] | None, patch_sizes: Sequence[int] | None
) -> None:
    """Each has one entry per level: more would be passed over without a word."""
    if permutations is not None:
        curves = list(range(len(spec.curves)))
        if len(permutations) != spec.levels or any(sorted(order) != curves for order in permutations):
            raise ValueError(
                f"permutations {[list(order) for order in permutations]}; "
                f"give one order of the {len(curves)} curves for each of the {spec.levels} levels"
            )
    if patch_sizes is not None and (len(patch_sizes) != spec.levels or min(patch_sizes) < 1):
        raise ValueError(f"patch sizes {list(patch_sizes)}; give a positive one for each of the {spec.levels} levels")


def _pool(grid: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Coarser cells (coordinates halved), their order along the curves, and who is whose parent.

    Siblings are consecutive along every curve, so nothing is sorted: the coarse order is the fine one without
    repetitions. Returns grid (m, 3), order (curves, m), parent (n,), children (m, at most 8).
    """
    half = grid >> 1
    along = half[order[0]]
    begins = torch.ones(len(grid), dtype=torch.bool, device=grid.device)
    begins[1:] = (along[1:] != along[:-1]).any(dim=1)
    rank = begins.cumsum(0) - 1
    parent = torch.empty_like(rank)
    parent[order[0]] = rank
    start = begins.nonzero().squeeze(1)

    walk = parent[order]
    new = torch.ones_like(walk, dtype=torch.bool)
    new[:, 1:] = walk[:, 1:] != walk[:, :-1]
    coarse_order = walk[new].view(len(order), len(start))

    count = torch.diff(start, append=torch.tensor([len(grid)], device=grid.device))
    slot = torch.arange(int(count.max()), device=grid.device)
    position = start[:, None] + torch.where(slot < count[:, None], slot, 0)
    return half[order[0][start]], coarse_order, parent, order[0][position]


def _with_neighbours(levels: list[Level], spec: PyramidSpec) -> tuple[Level, ...]:
    """Fill in the neighbour tables from the coarsest level down: a neighbour is a child of a parent's neighbour."""
    coarsest = levels[-1]
    table = neighbours_by_search(coarsest.grid, spec.kernel)
    done = [replace(coarsest, neighbours={spec.kernel: table})]
    if spec.levels == 1:
        done = [replace(done[0], neighbours={k: neighbours_by_search(coarsest.grid, k) for k in _kernels(spec, 0)})]
    for index in range(len(levels) - 2, -1, -1):
        level = levels[index]
        parents = done[-1].neighbours[3] if 3 in done[-1].neighbours else neighbours_by_search(done[-1].grid, 3)
        assert level.parent is not None
        octants = octant_table(level.grid, level.parent, len(parents))
        kernels = _kernels(spec, index)
        widest = neighbours_from_parents(level.grid, level.parent, parents, max(kernels), octants)
        tables = {k: neighbours_within(widest, k) for k in kernels}
        done.append(replace(level, neighbours=tables, octants=octants if spec.strided else None))
    return tuple(reversed(done))


def _kernels(spec: PyramidSpec, level: int) -> tuple[int, ...]:
    return tuple(sorted({spec.kernel, spec.stem_kernel})) if level == 0 else (spec.kernel,)


def _cut_patches(order: Tensor, patch_size: int) -> Patches:
    n = order.shape[1]
    if n <= patch_size:
        inverse = torch.empty_like(order)
        inverse.scatter_(1, order, torch.arange(n, device=order.device).expand_as(order))
        return Patches(order, inverse, (PatchRun(0, 1, n),))
    count = -(-n // patch_size)
    position = torch.arange(count * patch_size, device=order.device)
    # The slots past the end repeat the slots one patch earlier.
    gather = order[:, torch.where(position < n, position, position - patch_size)]
    scatter = torch.empty_like(order)
    scatter.scatter_(1, order, position[:n].expand_as(order))
    return Patches(gather, scatter, (PatchRun(0, count, patch_size),))


def _join_levels(levels: Sequence[Level]) -> Level:
    rows = np.cumsum([0, *(len(level) for level in levels)]).tolist()
    coarse = np.cumsum([0, *(0 if level.children is None else len(level.children) for level in levels)]).tolist()
    tables = {
        kernel: _join_tables([level.neighbours[kernel] for level in levels], rows) for kernel in levels[0].neighbours
    }
    has_parent = levels[0].parent is not None
    return Level(
        grid=torch.cat([level.grid for level in levels]),
        offsets=(
            *(start + o for level, start in zip(levels, rows, strict=False) for o in level.offsets[:-1]),
            rows[-1],
        ),
        order=torch.cat([level.order + start for level, start in zip(levels, rows, strict=False)], dim=1),
        patches=_join_patches([level.patches for level in levels], rows),
        neighbours=tables,
        parent=_join_rows([level.parent for level in levels], coarse) if has_parent else None,
        children=_join_children([level.children for level in levels], rows) if has_parent else None,
        octants=_join_tables([level.octants for level in levels], rows) if levels[0].octants is not None else None,
        repeated_cells=any(level.repeated_cells for level in levels),
    )


def _join_tables(parts: Sequence[Tensor | None], rows: Sequence[int]) -> Tensor:
    """Tables of rows, where each sample's number of rows stands for a cell that is not there."""
    tables = [part for part in parts if part is not None]
    return torch.cat(
        [
            torch.where(table == stop - start, rows[-1], table + start)
            for table, start, stop in zip(tables, rows, rows[1:], strict=False)
        ]
    )


def _join_rows(parts: Sequence[Tensor | None], starts: Sequence[int]) -> Tensor:
    return torch.cat([part + start for part, start in zip(parts, starts, strict=False) if part is not None])


def _join_children(parts: Sequence[Tensor | None], starts: Sequence[int]) -> Tensor:
    tables = [part for part in parts if part is not None]
    width = max(table.shape[1] for table in tables)
    wide = [torch.cat([t, t[:, :1].expand(-1, width - t.shape[1])], dim=1) for t in tables]
    return _join_rows(wide, starts)


def _join_patches(parts: Sequence[Patches], rows: Sequence[int]) -> Patches:
    slots = np.cumsum([0, *(part.gather.shape[1] for part in parts)]).tolist()
    runs: list[PatchRun] = []
    for part, start in zip(parts, slots, strict=False):
        for run in part.runs:
            last = runs[-1] if runs else None
            if last is not None and last.length == run.length:
                runs[-1] = replace(last, count=last.count + run.count)
            else:
                runs.append(replace(run, start=run.start + start))
    return Patches(
        gather=torch.cat([part.gather + start for part, start in zip(parts, rows, strict=False)], dim=1),
        scatter=torch.cat([part.scatter + start for part, start in zip(parts, slots, strict=False)], dim=1),
        runs=tuple(runs),
    )


def _level_to(level: Level, device: torch.device | str) -> Level:
    moved = {
        field.name: getattr(level, field.name).to(device)
        for field in fields(level)
        if isinstance(getattr(level, field.name), Tensor)
    }
    patches = replace(level.patches, gather=level.patches.gather.to(device), scatter=level.patches.scatter.to(device))
    tables = {kernel: table.to(device) for kernel, table in level.neighbours.items()}
    return replace(level, patches=patches, neighbours=tables, **moved)

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
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.curves import ALL_CURVES, MAX_DEPTH, Curve, codes_along, curve_depth
from ditr.geometry.neighbours import Descent, Neighbours, Pairs, neighbours_by_search, octant_table, pair_up
from ditr.geometry.sorting import beginnings, stable_order

__all__ = [
    "Level",
    "PatchRun",
    "Patches",
    "Pyramid",
    "PyramidSpec",
    "build_pyramid",
    "draw_permutations",
    "published_permutations",
    "with_descents",
]


@dataclass(frozen=True)
class PyramidSpec:
    """What of the geometry a network asks for.

    ``patch_size`` is the longest attention patch, in cells.

    Raises:
        ValueError: numbers that describe no pyramid.
    """

    levels: int = 5
    curves: tuple[Curve, ...] = ALL_CURVES
    stem_kernel: int = 5
    kernel: int = 3
    patch_size: int = 1024

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
        patches: the attention patches, along each curve.
        neighbours: kernel size k -> (n, k^3) int32, the rows at all offsets of a k x k x k kernel, x slowest; n where
            there is no cell. Where the stem has a kernel of its own, its table is not kept.
        parent: (n,) int64, each cell's row on the next coarser level; None on the coarsest.
        children: (coarser n, c) int64, the rows of this level in each coarser cell, the first one repeated to fill;
            None on the coarsest. c is at most 8, unless cells repeat.
        octants: (coarser n, 8) int32, the row of this level in each octant of each coarser cell, x slowest; n where
            there is none, and of repeated cells the first. None on the coarsest.
        first_row: (n,) int32, the first row of each row's cell, where cells repeat (two mixed scenes); None where none
            does.
    """

    grid: Tensor
    offsets: tuple[int, ...]
    patches: Patches
    neighbours: dict[int, Neighbours]
    parent: Tensor | None = None
    children: Tensor | None = None
    octants: Tensor | None = None
    first_row: Tensor | None = None

    def __len__(self) -> int:
        return len(self.grid)

    def pairs(self, kernel: int) -> tuple[Pairs, ...]:
        """The neighbours as pairs. They are made when first asked for, since only convolutions on a CPU ask."""
        if kernel not in self._pairs:
            self._pairs[kernel] = pair_up(self.neighbours[kernel])
        return self._pairs[kernel]

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
        return Pyramid(with_descents([_level_to(level, device) for level in self.levels]))


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
    cells = grid.to(torch.int64).numpy()
    along = [_along(codes, 3 * depth) for codes in codes_along(cells, spec.curves, depth)]
    first = _first_rows(along[0])
    levels: list[Level] = []
    for index in range(spec.levels):
        if permutations is not None:
            along = [along[number] for number in permutations[index]]
        patches = _cut_patches(along, spec.patch_size if patch_sizes is None else patch_sizes[index])
        level = Level(torch.from_numpy(cells), (0, len(cells)), patches, {}, first_row=None if index else first)
        if index + 1 < spec.levels:
            cells, along, parent, children = _pool(cells, along)
            octants = octant_table(level.grid, parent, len(cells))
            level = replace(level, parent=parent, children=children, octants=octants)
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


def with_descents(levels: list[Level]) -> tuple[Level, ...]:
    """The levels with tables that are not kept made from what the levels themselves have now."""
    for index, level in enumerate(levels):
        tables = dict(level.neighbours)
        for kernel, table in tables.items():
            if isinstance(table, Descent):
                assert level.parent is not None and level.octants is not None
                parents = levels[index + 1].neighbours[3]
                assert isinstance(parents, Tensor)
                tables[kernel] = Descent(level.grid, level.parent, parents, level.octants, kernel)
        levels[index] = replace(level, neighbours=tables)
    return tuple(levels)


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


class _Along(NamedTuple):
    """Cells along one curve: their codes (n,), and their rows in this order (n,), both int64."""

    codes: NDArray[np.int64]
    rows: NDArray[np.int64]


def _along(codes: NDArray[np.int64], bits: int) -> _Along:
    rows = stable_order(codes, bits)
    return _Along(codes.take(rows), rows)


def _first_rows(along: _Along) -> Tensor | None:
    """(n,) the first row of each row's cell; None where no cell repeats."""
    start = beginnings(along.codes)
    if len(start) == len(along.codes):
        return None
    first = np.empty(len(along.codes), dtype=np.int32)
    first[along.rows] = along.rows[start].repeat(np.diff(start, append=len(first)))
    return torch.from_numpy(first)


def _pool(cells: NDArray[np.int64], along: Sequence[_Along]) -> tuple[NDArray[np.int64], list[_Along], Tensor, Tensor]:
    """Coarser cells (coordinates halved), the same along the curves, and who is whose parent.

    Siblings are consecutive along every curve, so nothing is sorted: the coarse order is the fine one without
    repetitions. Returns cells (m, 3), as many curves as there were, parent (n,), children (m, at most 8).
    """
    rows, start = along[0].rows, beginnings(along[0].codes >> 3)
    count = np.diff(start, append=len(cells))
    parent = np.empty(len(cells), dtype=np.int64)
    parent[rows] = np.arange(len(start)).repeat(count)
    coarse = []
    for codes, of_curve in along:
        above = codes >> 3
        first = beginnings(above)
        coarse.append(_Along(above.take(first), parent.take(of_curve.take(first))))
    slot = np.arange(count.max())
    children = rows.take(start[:, None] + np.where(slot < count[:, None], slot, 0))
    return cells.take(rows.take(start), axis=0) >> 1, coarse, torch.from_numpy(parent), torch.from_numpy(children)


def _with_neighbours(levels: list[Level], spec: PyramidSpec) -> tuple[Level, ...]:
    """Fill in the neighbour tables from the coarsest level down: a neighbour is a child of a parent's neighbour."""
    coarsest = levels[-1]
    kernels = _kernels(spec, len(levels) - 1)
    done = [replace(coarsest, neighbours={k: neighbours_by_search(coarsest.grid, k) for k in kernels})]
    for index in range(len(levels) - 2, -1, -1):
        level, coarser = levels[index], done[-1]
        parents = coarser.neighbours.get(3)
        kept = parents if isinstance(parents, Tensor) else neighbours_by_search(coarser.grid, 3)
        tables: dict[int, Neighbours] = {}
        for kernel in _kernels(spec, index):
            assert level.parent is not None and level.octants is not None
            descent = Descent(level.grid, level.parent, kept, level.octants, kernel)
            tables[kernel] = descent.table() if kernel == spec.kernel or parents is None else descent
        done.append(replace(level, neighbours=tables))
    return tuple(reversed(done))


def _kernels(spec: PyramidSpec, level: int) -> tuple[int, ...]:
    return tuple(sorted({spec.kernel, spec.stem_kernel})) if level == 0 else (spec.kernel,)


def _cut_patches(along: Sequence[_Along], patch_size: int) -> Patches:
    n = len(along[0].rows)
    scatter = np.empty((len(along), n), dtype=np.int64)
    for into, (_, rows) in zip(scatter, along, strict=True):
        into[rows] = np.arange(n)
    count, length = (1, n) if n <= patch_size else (-(-n // patch_size), patch_size)
    # The slots past the end repeat the slots one patch earlier.
    again = slice(n - length, (count - 1) * length)
    gather = np.stack([np.append(rows, rows[again]) for _, rows in along])
    return Patches(torch.from_numpy(gather), torch.from_numpy(scatter), (PatchRun(0, count, length),))


def _level_to(level: Level, device: torch.device | str) -> Level:
    moved = {
        field.name: getattr(level, field.name).to(device)
        for field in fields(level)
        if isinstance(getattr(level, field.name), Tensor)
    }
    patches = replace(level.patches, gather=level.patches.gather.to(device), scatter=level.patches.scatter.to(device))
    tables = {k: table.to(device) if isinstance(table, Tensor) else table for k, table in level.neighbours.items()}
    return replace(level, patches=patches, neighbours=tables, **moved)

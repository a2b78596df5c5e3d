"""The pyramid: each level's geometry follows from its cells, and joined samples stay what they were alone."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.curves import ALL_CURVES, Curve, curve_depth, encode
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.neighbours import Neighbours, neighbours_by_search
from ditr.geometry.pyramid import (
    Level,
    Patches,
    PatchRun,
    Pyramid,
    PyramidSpec,
    build_pyramid,
    draw_permutations,
    published_permutations,
)

SMALL = PyramidSpec(levels=4, patch_size=8)

FAR = 65535
SPECIAL = {
    "one voxel": torch.tensor([[5, 6, 7]]),
    "one voxel at the origin": torch.tensor([[0, 0, 0]]),
    "two voxels of one parent": torch.tensor([[0, 0, 1], [0, 0, 0]]),
    "two voxels far apart": torch.tensor([[FAR, FAR, FAR], [0, 0, 0]]),
    "one voxel twice": torch.tensor([[3, 3, 3], [3, 3, 3]]),
    "a line": torch.arange(30)[:, None] * torch.tensor([[0, 1, 0]]),
    "one patch exactly": torch.arange(8)[:, None] * torch.tensor([[1, 0, 0]]),
    "one more than a patch": torch.arange(9)[:, None] * torch.tensor([[1, 1, 0]]),
    "a cube with every cell twice": torch.cartesian_prod(*[torch.arange(4)] * 3).repeat(2, 1),
}


def cell_lists(high: int) -> st.SearchStrategy[Tensor]:
    return st.lists(st.tuples(*[st.integers(0, high)] * 3), min_size=1, max_size=50).map(torch.tensor)


grids = st.one_of(cell_lists(3), cell_lists(12), cell_lists(FAR), st.sampled_from(list(SPECIAL.values())))


def patches_by_definition(order: list[int], longest: int) -> list[list[int]]:
    """Rows of each patch: cut the curve; a last patch that is too short repeats slots of the one before it."""
    n = len(order)
    if n <= longest:
        return [order]
    patches = [order[i : i + longest] for i in range(0, n, longest)]
    patches[-1] = patches[-1] + patches[-2][len(patches[-1]) :]
    return patches


def patches_of(patches: Patches, curve: int) -> list[list[int]]:
    found, slot = [], 0
    for run in patches.runs:
        assert run.start == slot, "runs follow each other"
        for _ in range(run.count):
            found.append(patches.gather[curve, slot : slot + run.length].tolist())
            slot += run.length
    assert slot == patches.gather.shape[1]
    return found


def check_pooling(fine: Level, coarse: Level) -> None:
    assert fine.parent is not None and fine.children is not None
    assert torch.equal(coarse.grid[fine.parent], fine.grid >> 1)
    assert len(torch.unique(coarse.grid, dim=0)) == len(coarse)
    for cell, row in enumerate(fine.children.tolist()):
        members = (fine.parent == cell).nonzero().squeeze(1).tolist()
        assert set(row) == set(members)
        assert row[len(members) :] == [row[0]] * (len(row) - len(members))


def check_octants(fine: Level, coarse: Level) -> None:
    """The child in the corner (a, b, c) of a coarser cell is in column 4 a + 2 b + c."""
    first: dict[tuple[int, ...], int] = {}
    for row, cell in enumerate(fine.grid.tolist()):
        first.setdefault(tuple(cell), row)
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    expected = [
        [first.get((2 * x + a, 2 * y + b, 2 * z + c), len(fine)) for a, b, c in corners]
        for x, y, z in coarse.grid.tolist()
    ]
    assert fine.octants is not None and fine.octants.dtype == torch.int32
    assert fine.octants.tolist() == expected


def check_first_rows(level: Level) -> None:
    """Of the cells of each sample; there are none where no cell repeats."""
    expected: list[int] = []
    for start, stop in pairwise(level.offsets):
        cells = list(map(tuple, level.grid[start:stop].tolist()))
        expected += [start + cells.index(cell) for cell in cells]
    if expected == list(range(len(level))):
        assert level.first_row is None
    else:
        assert level.first_row is not None and level.first_row.dtype == torch.int32
        assert level.first_row.tolist() == expected


def whole(neighbours: Neighbours) -> Tensor:
    return neighbours if isinstance(neighbours, Tensor) else neighbours.table()


def check_level(level: Level, curves: tuple[Curve, ...], depth: int, spec: PyramidSpec) -> None:
    n = len(level)
    for number, curve in enumerate(curves):
        codes = encode(level.grid, curve, depth)
        cut = patches_by_definition(torch.argsort(codes, stable=True).tolist(), spec.patch_size)
        assert patches_of(level.patches, number) == cut
        slots = [row for patch in cut for row in patch]
        assert level.patches.scatter[number].tolist() == [slots.index(row) for row in range(n)]
    for kernel, neighbours in level.neighbours.items():
        assert torch.equal(whole(neighbours), neighbours_by_search(level.grid, kernel))


def check_pyramid(pyramid: Pyramid, grid: Tensor, spec: PyramidSpec, permutations: Any = None) -> None:
    depth, curves = curve_depth(grid), spec.curves
    assert len(pyramid.levels) == spec.levels
    assert pyramid.samples == 1
    assert torch.equal(pyramid.levels[0].grid, grid)
    check_first_rows(pyramid.levels[0])
    for index, level in enumerate(pyramid.levels):
        if permutations is not None:
            curves = tuple(curves[i] for i in permutations[index])
        assert level.offsets == (0, len(level))
        assert set(level.neighbours) == ({spec.kernel, spec.stem_kernel} if index == 0 else {spec.kernel})
        # A level's rows are kept as pooling made them, along the first curve of the level below.
        check_level(level, curves, max(depth - index, 0), spec)
        if index + 1 < spec.levels:
            check_pooling(level, pyramid.levels[index + 1])
            check_octants(level, pyramid.levels[index + 1])
            assert pyramid.levels[index + 1].first_row is None
    assert pyramid.levels[-1].parent is None and pyramid.levels[-1].children is None
    assert pyramid.levels[-1].octants is None


@given(grid=grids)
def test_every_level_follows_from_its_cells(grid: Tensor) -> None:
    check_pyramid(build_pyramid(grid, SMALL), grid, SMALL)


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize(
    "spec",
    [
        PyramidSpec(),
        PyramidSpec(levels=1, patch_size=8),
        PyramidSpec(levels=2, curves=(Curve.HILBERT,), kernel=5, stem_kernel=3, patch_size=1),
        PyramidSpec(levels=3, curves=(Curve.Z, Curve.Z_TRANS), kernel=1, stem_kernel=1, patch_size=2),
        PyramidSpec(levels=20, patch_size=8),
        PyramidSpec(levels=5, curves=(Curve.Z,)),
    ],
)
def test_special_clouds(name: str, spec: PyramidSpec) -> None:
    check_pyramid(build_pyramid(SPECIAL[name], spec), SPECIAL[name], spec)


@given(grid=grids, seed=st.integers(0, 100))
def test_permutations_reorder_the_curves_on_top_of_the_level_below(grid: Tensor, seed: int) -> None:
    permutations = draw_permutations(np.random.default_rng(seed), SMALL)
    check_pyramid(build_pyramid(grid, SMALL, permutations=permutations), grid, SMALL, permutations)


@given(grid=cell_lists(12), seed=st.integers(0, 100))
def test_the_order_of_voxels_changes_the_finest_level_only(grid: Tensor, seed: int) -> None:
    grid = torch.unique(grid, dim=0)
    moved = torch.randperm(len(grid), generator=torch.Generator().manual_seed(seed))
    one, other = build_pyramid(grid, SMALL), build_pyramid(grid[moved], SMALL)
    first, second = one.levels[0], other.levels[0]
    assert torch.equal(moved[second.patches.gather], first.patches.gather)
    assert first.parent is not None and second.parent is not None
    assert torch.equal(second.parent, first.parent[moved])
    for left, right in zip(tensors(one.levels[1:]), tensors(other.levels[1:]), strict=True):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    ("sizes", "pad", "unpad", "starts"),
    [
        ([10], [*range(10), 6, 7], [*range(10)], [0, 4, 8, 12]),
        ([3, 10], [*range(13), 9, 10], [*range(13)], [0, 3, 7, 11, 15]),
        ([9, 3], [*range(9), 5, 6, 7, 9, 10, 11], [*range(9), 12, 13, 14], [0, 4, 8, 12, 15]),
    ],
)
def test_patches_equal_the_published_vectors(
    sizes: list[int], pad: list[int], unpad: list[int], starts: list[int]
) -> None:
    """Along the z-order a line of cells keeps its order, so rows are positions."""
    spec = PyramidSpec(levels=1, curves=(Curve.Z,), patch_size=4)
    lines = [torch.arange(n)[:, None] * torch.tensor([[1, 0, 0]]) for n in sizes]
    patches = join_pyramids([build_pyramid(line, spec) for line in lines]).levels[0].patches
    assert patches.gather.tolist() == [pad]
    assert patches.scatter.tolist() == [unpad]
    ends = [run.start + run.length * (i + 1) for run in patches.runs for i in range(run.count)]
    assert [0, *ends] == starts


def test_patches_of_one_length_form_one_run() -> None:
    spec = PyramidSpec(levels=1, patch_size=4)
    pyramids = [build_pyramid(torch.arange(n)[:, None] * torch.tensor([[1, 0, 0]]), spec) for n in (4, 9, 3, 8)]
    runs = join_pyramids(pyramids).levels[0].patches.runs
    assert runs == (PatchRun(0, 4, 4), PatchRun(16, 1, 3), PatchRun(19, 2, 4))


@given(parts=st.lists(grids, min_size=1, max_size=4), patch_size=st.sampled_from([1, 7, 64]))
def test_joined_samples_are_what_they_were_alone(parts: list[Tensor], patch_size: int) -> None:
    spec = PyramidSpec(levels=3, patch_size=patch_size)
    pyramids = [build_pyramid(grid, spec) for grid in parts]
    joined = join_pyramids(pyramids)
    assert joined.samples == len(parts)
    check_first_rows(joined.levels[0])
    for index, level in enumerate(joined.levels):
        for number, pyramid in enumerate(pyramids):
            check_joined(joined, number, pyramid.levels[index], index)
        assert level.offsets[-1] == len(level)
        for curve in range(len(spec.curves)):
            alone = [
                patch
                for p, start in zip(pyramids, level.offsets, strict=False)
                for patch in shifted(p, index, curve, start)
            ]
            assert patches_of(level.patches, curve) == alone
            assert torch.equal(level.patches.gather[curve][level.patches.scatter[curve]], torch.arange(len(level)))


def shifted(pyramid: Pyramid, index: int, curve: int, start: int) -> list[list[int]]:
    return [[row + start for row in patch] for patch in patches_of(pyramid.levels[index].patches, curve)]


def check_joined(joined: Pyramid, number: int, alone: Level, index: int) -> None:
    level = joined.levels[index]
    start, stop = level.offsets[number : number + 2]
    assert torch.equal(level.grid[start:stop], alone.grid)
    for kernel, neighbours in alone.neighbours.items():
        own, table = whole(level.neighbours[kernel])[start:stop], whole(neighbours)
        assert own.dtype == torch.int32
        assert torch.equal(torch.where(own == len(level), len(alone), own - start), table)
    if alone.parent is None or alone.children is None or alone.octants is None:
        assert level.parent is None and level.children is None and level.octants is None
        return
    assert level.parent is not None and level.children is not None and level.octants is not None
    above = joined.levels[index + 1].offsets[number]
    assert torch.equal(level.parent[start:stop] - above, alone.parent)
    children = level.children[above : joined.levels[index + 1].offsets[number + 1]] - start
    assert torch.equal(children[:, : alone.children.shape[1]], alone.children)
    assert (children[:, alone.children.shape[1] :] == children[:, :1]).all()
    octants = level.octants[above : joined.levels[index + 1].offsets[number + 1]]
    assert octants.dtype == torch.int32
    assert torch.equal(torch.where(octants == len(level), len(alone), octants - start), alone.octants)


def test_joining_batches_again_counts_all_samples() -> None:
    parts = [build_pyramid(SPECIAL[name], SMALL) for name in ("one voxel", "a line", "two voxels far apart")]
    nested = join_pyramids([join_pyramids(parts[:2]), parts[2]])
    flat = join_pyramids(parts)
    assert nested.samples == 3
    assert [level.offsets for level in nested.levels] == [level.offsets for level in flat.levels]
    for left, right in zip(tensors(nested), tensors(flat), strict=True):
        assert torch.equal(left, right)


def test_joining_refuses_pyramids_of_different_height() -> None:
    grid = SPECIAL["a line"]
    with pytest.raises(ValueError, match="cannot be joined"):
        join_pyramids([build_pyramid(grid, SMALL), build_pyramid(grid, PyramidSpec(levels=2))])
    with pytest.raises(ValueError, match="cannot be joined"):
        join_pyramids([])


@pytest.mark.parametrize("name", ["a line", "one voxel twice"])
def test_moving_takes_every_tensor_along(name: str) -> None:
    pyramid = build_pyramid(SPECIAL[name], SMALL)
    moved = pyramid.to("meta")
    assert all(tensor.device.type == "meta" for tensor in tensors(moved))
    assert [t.shape for t in tensors(moved)] == [t.shape for t in tensors(pyramid)]
    assert all(tensor.device.type == "cpu" for tensor in tensors(pyramid))
    assert [level.offsets for level in moved.levels] == [level.offsets for level in pyramid.levels]


def tensors(value: Any) -> list[Tensor]:
    """All tensors inside dataclasses, tuples and dictionaries."""
    if isinstance(value, Tensor):
        return [value]
    if is_dataclass(value):
        return [t for field in fields(value) for t in tensors(getattr(value, field.name))]
    if isinstance(value, dict):
        return [t for part in value.values() for t in tensors(part)]
    if isinstance(value, (tuple, list)):
        return [t for part in value for t in tensors(part)]
    return []


def test_a_greater_depth_turns_hilbert_curves_only() -> None:
    grid = torch.cartesian_prod(*[torch.arange(4)] * 3)
    own, deeper = (build_pyramid(grid, SMALL, depth=depth).levels[0].patches.gather for depth in (2, 3))
    assert [torch.equal(a, b) for a, b in zip(own, deeper, strict=True)] == [True, True, False, False]


def test_patch_sizes_can_be_given_by_level() -> None:
    pyramid = build_pyramid(SPECIAL["a line"], SMALL, patch_sizes=[3, 8, 2, 8])
    assert [level.patches.runs[0].length for level in pyramid.levels] == [3, 8, 2, 4]


def test_narrow_integers_are_taken() -> None:
    grid = SPECIAL["a line"]
    for left, right in zip(
        tensors(build_pyramid(grid.to(torch.int16), SMALL)), tensors(build_pyramid(grid, SMALL)), strict=True
    ):
        assert torch.equal(left, right)


@pytest.mark.parametrize(
    "permutations",
    [
        [],
        [[0, 1, 2, 3]] * 3,
        [[0, 1, 2, 3]] * 5,
        [[0, 1, 2]] * 4,
        [[0, 1, 2, 2]] * 4,
        [[0, 1, 2, 3]] * 3 + [[1, 2, 3, 4]],
        [[-1, 0, 1, 2]] * 4,
    ],
)
def test_permutations_that_are_not_one_per_level_are_refused(permutations: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="one order of the 4 curves for each of the 4 levels"):
        build_pyramid(SPECIAL["a line"], SMALL, permutations=permutations)


@pytest.mark.parametrize("sizes", [[], [8, 8, 8], [8] * 5, [8, 8, 0, 8]])
def test_patch_sizes_that_are_not_one_per_level_are_refused(sizes: list[int]) -> None:
    with pytest.raises(ValueError, match="for each of the 4 levels"):
        build_pyramid(SPECIAL["a line"], SMALL, patch_sizes=sizes)


def test_drawn_permutations_are_repeatable_and_reach_every_order() -> None:
    spec = PyramidSpec()
    assert draw_permutations(np.random.default_rng(3), spec) == draw_permutations(np.random.default_rng(3), spec)
    rng = np.random.default_rng(0)
    drawn = [tuple(order) for _ in range(100) for order in draw_permutations(rng, spec)]
    assert len(drawn) == 100 * spec.levels
    assert len(set(drawn)) == 24
    assert all(sorted(order) == list(range(len(ALL_CURVES))) for order in drawn)


def test_bad_cells_are_refused() -> None:
    with pytest.raises(InputError, match="no cells"):
        build_pyramid(torch.zeros(0, 3, dtype=torch.int64), SMALL)
    with pytest.raises(InputError, match="-1"):
        build_pyramid(torch.tensor([[0, 0, -1]]), SMALL)
    with pytest.raises(InputError, match="voxels"):
        build_pyramid(torch.tensor([[0, 0, 1 << 16]]), SMALL)
    with pytest.raises(ValueError, match="integers"):
        build_pyramid(torch.tensor([[0.0, 0.5, 1.0]]), SMALL)
    with pytest.raises(ValueError, match="integers"):
        build_pyramid(torch.zeros(4, 2, dtype=torch.int64), SMALL)


@pytest.mark.parametrize("depth", [2, 17])
def test_a_depth_that_does_not_hold_the_cells_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match="curve depth"):
        build_pyramid(torch.tensor([[0, 0, 4]]), SMALL, depth=depth)


@pytest.mark.parametrize(
    "fault", [{"levels": 0}, {"patch_size": 0}, {"curves": ()}, {"kernel": 2}, {"kernel": 7}, {"stem_kernel": 4}]
)
def test_numbers_that_describe_no_pyramid_are_refused(fault: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pyramid needs|kernels of"):
        PyramidSpec(**fault)


def test_published_permutations_are_those_of_torch_after_its_seed() -> None:
    spec = PyramidSpec(levels=5)
    torch.manual_seed(7)
    expected = [torch.randperm(4).tolist() for _ in range(5)]
    assert published_permutations(7, spec) == expected
    assert published_permutations(8, spec) != expected

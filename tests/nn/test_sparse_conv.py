"""Sparse convolution: the fast path, the reference and a dense convolution give the same values and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.neighbours import Descent, neighbours_by_search, octant_of, pair_up
from ditr.geometry.pyramid import Level, PyramidSpec, build_pyramid
from ditr.nn import sparse_conv
from ditr.nn.sparse_conv import (
    InverseConv,
    StridedConv,
    SubmanifoldConv,
    convolve,
    convolve_by_offset,
    invert,
    invert_by_octant,
    stride,
    stride_by_octant,
)

KERNELS = (1, 3, 5)

cell_lists = st.lists(st.tuples(*[st.integers(0, 4)] * 3), min_size=1, max_size=40).map(torch.tensor)


def is_distinct(grid: Tensor) -> bool:
    return len(torch.unique(grid, dim=0)) == len(grid)


def random_inputs(grid: Tensor, kernel: int, channels: tuple[int, int] = (3, 4)) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(len(grid))
    x = torch.randn(len(grid), channels[0], dtype=torch.float64, generator=generator)
    weight = torch.randn(kernel**3, *channels, dtype=torch.float64, generator=generator)
    return x.requires_grad_(), neighbours_by_search(grid, kernel), weight.requires_grad_()


def values_and_gradients(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor) -> list[Tensor]:
    out = function(x, weight)
    upstream = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    return [out, *torch.autograd.grad(out, (x, weight), upstream)]


def first_rows(grid: Tensor) -> Tensor:
    """The first row of each row's cell."""
    cells = list(map(tuple, grid.tolist()))
    return torch.tensor([cells.index(cell) for cell in cells], dtype=torch.int32)


def convolve_with(
    grid: Tensor, table: Tensor, mirrored: bool, x: Tensor, weight: Tensor, paired: bool = False
) -> Tensor:
    """``mirrored``: as where no cell repeats."""
    first = None if mirrored else first_rows(grid)
    return convolve(x, table, weight, first=first, pairs=pair_up(table) if paired else None)


def dense(grid: Tensor, x: Tensor, weight: Tensor) -> Tensor:
    """The same on a full grid with zeros where no cell is; correlation, as in torch, with x slowest."""
    kernel = round(len(weight) ** (1 / 3))
    edge = int(grid.max()) + 1
    volume = x.new_zeros(edge, edge, edge, x.shape[1]).index_put(tuple(grid.T), x)
    filters = weight.view(kernel, kernel, kernel, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    out = functional.conv3d(volume.permute(3, 0, 1, 2)[None], filters, padding=kernel // 2)[0]
    return out[:, grid[:, 0], grid[:, 1], grid[:, 2]].T


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=cell_lists)
def test_fast_path_equals_the_reference(kernel: int, grid: Tensor) -> None:
    """With repeated cells too, where a cell's neighbour need not be the other way round."""
    x, table, weight = random_inputs(grid, kernel)
    reference = values_and_gradients(lambda x, w: convolve_by_offset(x, table, w), x, weight)
    for mirrored, paired in product({False, is_distinct(grid)}, (False, True)):
        fast = values_and_gradients(partial(convolve_with, grid, table, mirrored, paired=paired), x, weight)
        for found, expected in zip(fast, reference, strict=True):
            torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=cell_lists)
def test_equal_to_a_dense_convolution(kernel: int, grid: Tensor) -> None:
    grid = torch.unique(grid, dim=0)
    x, table, weight = random_inputs(grid, kernel)
    expected = values_and_gradients(lambda x, w: dense(grid, x, w), x, weight)
    for mirrored in (True, False):
        found = values_and_gradients(partial(convolve_with, grid, table, mirrored), x, weight)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("repeats", [False, True])
def test_gradients_are_those_of_finite_differences(kernel: int, repeats: bool) -> None:
    grid = torch.tensor([[0, 0, 0], [0, 0, 1], [1, 1, 1], [3, 3, 3], [0, 1, 0], [0, 0, 1] if repeats else [2, 0, 0]])
    x, table, weight = random_inputs(grid, kernel, (2, 3))
    assert torch.autograd.gradcheck(partial(convolve_with, grid, table, not repeats), (x, weight))


@pytest.mark.parametrize("mirrored", [True, False])
def test_only_the_gradients_that_are_asked_for(mirrored: bool) -> None:
    grid = torch.tensor([[0, 0, 0], [0, 0, 1]])
    x, table, weight = random_inputs(grid, 3)
    whole = values_and_gradients(partial(convolve_with, grid, table, mirrored), x, weight)
    out = convolve_with(grid, table, mirrored, x.detach(), weight)
    upstream = torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view(out.shape)
    torch.testing.assert_close(torch.autograd.grad(out, weight, upstream)[0], whole[2])
    out = convolve_with(grid, table, mirrored, x, weight.detach())
    torch.testing.assert_close(torch.autograd.grad(out, x, upstream)[0], whole[1])


@pytest.mark.parametrize("mirrored", [True, False])
def test_many_pieces_give_what_one_offset_after_the_other_gives(mirrored: bool) -> None:
    """So wide that the gathered copy does not fit into one piece, nor into a whole number of them."""
    grid = torch.unique(torch.randint(0, 9, (500, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    x, table, weight = random_inputs(grid, 5, (32, 4))
    piece = sparse_conv._piece(x, table)
    assert len(table) > 2 * piece and len(table) % piece
    expected = values_and_gradients(lambda x, w: convolve_by_offset(x, table, w), x, weight)
    found = values_and_gradients(partial(convolve_with, grid, table, mirrored), x, weight)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("repeats", [False, True])
def test_many_pieces_of_pairs_give_what_one_offset_after_the_other_gives(repeats: bool) -> None:
    """More rows than a piece has, not a whole number of pieces, some of them without neighbours."""
    grid = torch.unique(torch.randint(0, 20, (8000, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    grid = torch.cat([grid, grid[:9] if repeats else grid[:9] + 50])
    x, table, weight = random_inputs(grid, 3, (8, 4))
    assert len(pair_up(table)) > 1
    expected = values_and_gradients(lambda x, w: convolve_by_offset(x, table, w), x, weight)
    found = values_and_gradients(partial(convolve_with, grid, table, not repeats, paired=True), x, weight)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_one_voxel_meets_the_middle_of_the_kernel() -> None:
    grid = torch.tensor([[7, 0, 3]])
    x, table, weight = random_inputs(grid, 5)
    torch.testing.assert_close(convolve(x, table, weight), x @ weight[62])


def test_first_offset_is_the_neighbour_below_on_every_axis() -> None:
    grid = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 1, 0]])
    x = torch.tensor([[1.0], [10.0], [100.0]])
    weight = torch.zeros(27, 1, 1)
    weight[0] = 2
    weight[12] = 3
    assert convolve(x, neighbours_by_search(grid, 3), weight).squeeze(1).tolist() == [320, 0, 0]


def level_of(grid: Tensor) -> Level:
    return build_pyramid(grid, PyramidSpec(levels=2)).levels[0]


@pytest.mark.parametrize(("channels", "kernel"), [(3, 5), (16, 3)])
@given(grid=cell_lists)
def test_module_knows_whether_cells_repeat(channels: int, kernel: int, grid: Tensor) -> None:
    """Its gradient is right on mixed scenes too, in a batch with one that is not mixed, on both of its ways."""
    level = join_pyramids([build_pyramid(part, PyramidSpec(levels=2)) for part in (grid, torch.tensor([[0, 0, 0]]))])
    conv = SubmanifoldConv(channels, 4, kernel, bias=True).double()
    x = torch.randn(len(level.levels[0]), channels, dtype=torch.float64, requires_grad=True)
    assert conv.bias is not None
    neighbours = level.levels[0].neighbours[kernel]
    assert isinstance(neighbours, Descent) == (kernel == 5), "the stem's table is not kept"
    table = neighbours if isinstance(neighbours, Tensor) else neighbours.table()
    expected = values_and_gradients(lambda x, w: convolve_by_offset(x, table, w) + conv.bias, x, conv.weight)
    found = values_and_gradients(lambda x, w: conv(x, level.levels[0]), x, conv.weight)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("channels", "kernel", "bound"), [(64, 3, 0.02406), (6, 5, 0.0365)])
def test_weights_begin_as_the_published_layers_do(channels: int, kernel: int, bound: float) -> None:
    torch.manual_seed(0)
    conv = SubmanifoldConv(channels, 64, kernel, bias=True)
    assert conv.bias is not None
    for values in (conv.weight, conv.bias):
        assert float(values.detach().abs().max()) <= bound + 5e-5
        assert float(values.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.15)


def test_mixed_precision_keeps_the_weights_gradients_whole() -> None:
    level = level_of(torch.cartesian_prod(*[torch.arange(4)] * 3))
    torch.manual_seed(0)
    conv = SubmanifoldConv(8, 8, 3, bias=True)
    x = torch.randn(len(level), 8, requires_grad=True)
    exact = values_and_gradients(lambda x, w: conv(x, level), x, conv.weight)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x, level)
    assert out.dtype == torch.bfloat16
    upstream = torch.cos(torch.arange(out.numel(), dtype=torch.float32)).view(out.shape)
    gradients = torch.autograd.grad(out, (x, conv.weight), upstream.to(out.dtype))
    for found, expected in zip((out, *gradients), exact, strict=True):
        assert float((found.float() - expected).detach().norm() / expected.detach().norm()) < 0.02
    assert all(gradient.dtype == torch.float32 for gradient in gradients)


TWO_LEVELS = PyramidSpec(levels=2)
REPEATED = torch.tensor([[3, 3, 3], [2, 3, 3], [3, 3, 3], [0, 0, 0], [3, 3, 3]])


def strided_level(parts: list[Tensor]) -> Level:
    return join_pyramids([build_pyramid(part, TWO_LEVELS) for part in parts]).levels[0]


def between_levels(level: Level, channels: tuple[int, int] = (3, 4)) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the finer and of the coarser level, and weights."""
    assert level.octants is not None
    generator = torch.Generator().manual_seed(len(level))
    fine, coarse, weight = (
        torch.randn(size, dtype=torch.float64, generator=generator).requires_grad_()
        for size in ((len(level), channels[0]), (len(level.octants), channels[0]), (8, *channels))
    )
    return fine, coarse, weight


@given(parts=st.lists(cell_lists, min_size=1, max_size=3))
def test_strided_fast_path_equals_the_reference(parts: list[Tensor]) -> None:
    level = strided_level(parts)
    x, _, weight = between_levels(level)
    expected = values_and_gradients(lambda x, w: stride_by_octant(x, level, w), x, weight)
    for one, other in zip(values_and_gradients(lambda x, w: stride(x, level, w), x, weight), expected, strict=True):
        torch.testing.assert_close(one, other)


@given(parts=st.lists(cell_lists, min_size=1, max_size=3))
def test_inverse_fast_path_equals_the_reference(parts: list[Tensor]) -> None:
    level = strided_level(parts)
    _, x, weight = between_levels(level)
    expected = values_and_gradients(lambda x, w: invert_by_octant(x, level, w), x, weight)
    for one, other in zip(values_and_gradients(lambda x, w: invert(x, level, w), x, weight), expected, strict=True):
        torch.testing.assert_close(one, other)


@given(grid=cell_lists)
def test_strided_equals_a_dense_convolution(grid: Tensor) -> None:
    """And the inverse the transposed one, at the cells that are there."""
    grid = torch.unique(grid, dim=0)
    pyramid = build_pyramid(grid, TWO_LEVELS)
    fine, coarse = pyramid.levels
    x, y, weight = between_levels(fine)
    filters = weight.view(2, 2, 2, *weight.shape[1:]).permute(4, 3, 0, 1, 2)
    volume = x.new_zeros(6, 6, 6, x.shape[1]).index_put(tuple(fine.grid.T), x).permute(3, 0, 1, 2)
    halved = functional.conv3d(volume[None], filters, stride=2)[0][:, *coarse.grid.T].T
    torch.testing.assert_close(stride(x, fine, weight), halved)
    volume = y.new_zeros(3, 3, 3, y.shape[1]).index_put(tuple(coarse.grid.T), y).permute(3, 0, 1, 2)
    transposed = functional.conv_transpose3d(volume[None], filters.transpose(0, 1), stride=2)[0]
    torch.testing.assert_close(invert(y, fine, weight), transposed[:, *fine.grid.T].T)


def test_repeated_cells_are_all_summed_and_all_served() -> None:
    level = strided_level([REPEATED])
    assert level.first_row is not None and level.parent is not None
    ones = torch.ones(len(REPEATED), 1)
    assert stride(ones, level, torch.ones(8, 1, 1))[level.parent[0]].tolist() == [4]
    values = invert(torch.ones(2, 1), level, torch.arange(8.0).view(8, 1, 1)).squeeze(1)
    assert values.tolist() == octant_of(REPEATED).tolist() == [7, 3, 7, 0, 7]


@pytest.mark.parametrize("grid", [REPEATED, torch.unique(REPEATED, dim=0)], ids=["repeated", "distinct"])
def test_gradients_between_levels_are_those_of_finite_differences(grid: Tensor) -> None:
    level = strided_level([grid])
    x, y, weight = between_levels(level, (2, 3))
    assert torch.autograd.gradcheck(lambda x, w: stride(x, level, w), (x, weight))
    assert torch.autograd.gradcheck(lambda y, w: invert(y, level, w), (y, weight))


@given(grid=cell_lists)
def test_the_inverse_is_the_transpose(grid: Tensor) -> None:
    level = strided_level([grid])
    x, _, weight = between_levels(level)
    there = stride(x, level, weight)
    y = torch.cos(torch.arange(there.numel(), dtype=there.dtype)).view(there.shape)
    torch.testing.assert_close((there * y).sum(), (x * invert(y, level, weight.transpose(1, 2))).sum())


@pytest.mark.parametrize("make", [StridedConv, InverseConv])
def test_modules_between_levels(make: type[StridedConv] | type[InverseConv]) -> None:
    """Their initialization, mixed precision, and gradients in full precision."""
    level = strided_level([torch.cartesian_prod(*[torch.arange(4)] * 3)])
    torch.manual_seed(0)
    conv = make(32, 16)
    bound = 1 / math.sqrt(8 * 32)
    assert bound * 0.99 < float(conv.weight.detach().abs().max()) <= bound
    assert [name for name, _ in conv.named_parameters()] == ["weight"]
    x = torch.randn(64 if make is StridedConv else 8, 32, requires_grad=True)
    exact = values_and_gradients(lambda x, w: conv(x, level), x, conv.weight)
    assert exact[0].shape == (8 if make is StridedConv else 64, 16)
    with torch.autocast("cpu", torch.bfloat16):
        out = conv(x, level)
    assert out.dtype == torch.bfloat16
    upstream = torch.cos(torch.arange(out.numel(), dtype=torch.float32)).view(out.shape)
    gradients = torch.autograd.grad(out, (x, conv.weight), upstream.to(out.dtype))
    for found, expected in zip((out, *gradients), exact, strict=True):
        assert float((found.float() - expected).detach().norm() / expected.detach().norm()) < 0.02
    assert all(gradient.dtype == torch.float32 for gradient in gradients)


def test_the_coarsest_level_is_refused() -> None:
    coarsest = build_pyramid(torch.tensor([[0, 0, 0], [0, 0, 1]]), TWO_LEVELS).levels[-1]
    with pytest.raises(ValueError, match="the coarsest level"):
        StridedConv(3, 4)(torch.zeros(2, 3), coarsest)
    with pytest.raises(ValueError, match="the coarsest level"):
        InverseConv(3, 4)(torch.zeros(1, 3), coarsest)


def test_many_small_pieces_add_up_in_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sum of 3,000 pieces of about 1 each stops growing at 256 where it is kept in bfloat16."""
    monkeypatch.setattr(sparse_conv, "_CHUNK_BYTES", 1)  # the shortest pieces: 64 rows
    count = 64 * 3000
    table = torch.arange(count, dtype=torch.int32)[:, None]
    x = torch.full((count, 1), 1 / 64, dtype=torch.bfloat16)
    weight = torch.ones(1, 1, 1, dtype=torch.bfloat16, requires_grad=True)
    convolve(x, table, weight).backward(torch.ones(count, 1, dtype=torch.bfloat16))
    assert weight.grad is not None and weight.grad.dtype == torch.bfloat16
    assert float(weight.grad) == pytest.approx(3000, rel=2**-8)

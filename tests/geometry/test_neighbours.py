"""Neighbour tables: both ways to them agree with each other and with a dictionary of cells."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ditr.geometry.neighbours import (
    Descent,
    kernel_offsets,
    neighbours_by_search,
    octant_table,
    pair_up,
    pieces_of,
)

KERNELS = (1, 3, 5)


def cell_lists(high: int) -> st.SearchStrategy[Tensor]:
    """Cells of a small cube, so that many are neighbours and some repeat."""
    return st.lists(st.tuples(*[st.integers(0, high)] * 3), min_size=1, max_size=60).map(torch.tensor)


cells = st.one_of(cell_lists(3), cell_lists(9), cell_lists(65535))
lines = st.tuples(st.integers(0, 2), st.integers(1, 40)).map(
    lambda drawn: torch.eye(3, dtype=torch.int64)[drawn[0]] * torch.arange(drawn[1])[:, None]
)


def by_dictionary(grid: Tensor, kernel: int) -> Tensor:
    """The definition: look every offset up. A row is its own centre; of equal cells the first is everyone else's."""
    n, reach = len(grid), range(-(kernel // 2), kernel // 2 + 1)
    first: dict[tuple[int, ...], int] = {}
    for row, cell in enumerate(grid.tolist()):
        first.setdefault(tuple(cell), row)
    table = [
        [
            row if (a, b, c) == (0, 0, 0) else first.get((x + a, y + b, z + c), n)
            for a in reach
            for b in reach
            for c in reach
        ]
        for row, (x, y, z) in enumerate(grid.tolist())
    ]
    return torch.tensor(table, dtype=torch.int32)


def with_parents(grid: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct parent cells in some order, and each cell's row among them."""
    coarse, parent = torch.unique(grid >> 1, dim=0, return_inverse=True)
    shuffle = torch.randperm(len(coarse), generator=torch.Generator().manual_seed(0))
    return coarse[shuffle], shuffle.argsort()[parent]


def descent(grid: Tensor, kernel: int) -> Descent:
    coarse, parent = with_parents(grid)
    octants = octant_table(grid, parent, len(coarse))
    return Descent(grid, parent, neighbours_by_search(coarse, 3), octants, kernel)


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=st.one_of(cells, lines))
def test_search_finds_what_a_dictionary_finds(kernel: int, grid: Tensor) -> None:
    found = neighbours_by_search(grid, kernel)
    assert found.dtype == torch.int32
    assert torch.equal(found, by_dictionary(grid, kernel))


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=st.one_of(cells, lines))
def test_descent_equals_search(kernel: int, grid: Tensor) -> None:
    found = descent(grid, kernel).table()
    assert found.dtype == torch.int32
    assert torch.equal(found, neighbours_by_search(grid, kernel))


@pytest.mark.parametrize("kernel", KERNELS)
def test_descent_equals_search_on_a_full_cube_and_with_every_cell_twice(kernel: int) -> None:
    cube = torch.cartesian_prod(*[torch.arange(6)] * 3)
    for grid in (cube, torch.cat([cube, cube]), cube.repeat_interleave(2, dim=0)):
        found = descent(grid, kernel).table()
        assert torch.equal(found, neighbours_by_search(grid, kernel))
        assert torch.equal(found, by_dictionary(grid, kernel))


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=st.one_of(cells, lines))
def test_a_gpu_gathers_what_a_cpu_takes(kernel: int, grid: Tensor) -> None:
    """Both ways of the descent, here on the CPU."""
    whole = descent(grid, kernel)
    assert torch.equal(whole._gather(0, len(grid)), whole.table())


@pytest.mark.parametrize("size", [1, 7, 1024, 5000])
def test_rows_that_are_made_when_read_are_those_of_the_table(size: int) -> None:
    grid = torch.unique(torch.randint(0, 16, (3000, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    whole, table = descent(grid, 5), neighbours_by_search(grid, 5)
    assert whole.shape == table.shape and len(grid) > 1024
    assert torch.equal(whole.table(), table)
    for rows, expected in zip(pieces_of(whole, size), pieces_of(table, size), strict=True):
        assert torch.equal(rows, expected)


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=cells)
def test_distinct_cells_are_neighbours_of_each_other(kernel: int, grid: Tensor) -> None:
    """What the mirrored gradient of the convolution rests on."""
    grid = torch.unique(grid, dim=0)
    table = neighbours_by_search(grid, kernel)
    for column in range(kernel**3):
        rows = (table[:, column] < len(grid)).nonzero().squeeze(1)
        back = table[table[rows, column].long(), kernel**3 - 1 - column]
        assert torch.equal(back.long(), rows)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_ends_of_sixteen_bits_are_not_neighbours(kernel: int) -> None:
    """Keys of cells may not run over from one row of the grid into the next."""
    far = 65535
    grid = torch.tensor([[0, 0, far], [0, 1, 0], [0, far, far], [1, 0, 0], [far, far, far], [0, 0, 0]])
    assert torch.equal(neighbours_by_search(grid, kernel), by_dictionary(grid, kernel))


def test_one_voxel_has_only_itself() -> None:
    grid = torch.tensor([[5, 6, 7]])
    table = neighbours_by_search(grid, 3)
    assert table.tolist() == [[1] * 13 + [0] + [1] * 13]
    assert torch.equal(descent(grid, 3).table(), table)


def test_offsets_run_over_x_slowest() -> None:
    offsets = kernel_offsets(3)
    assert offsets[0].tolist() == [-1, -1, -1]
    assert offsets[1].tolist() == [-1, -1, 0]
    assert offsets[13].tolist() == [0, 0, 0]
    assert offsets[22].tolist() == [1, 0, 0]
    assert torch.equal(offsets, -offsets.flip(0))


def test_descent_refuses_a_kernel_that_reaches_too_far() -> None:
    grid = torch.tensor([[0, 0, 0]])
    with pytest.raises(ValueError, match="reaches beyond"):
        descent(grid, 7)


@pytest.mark.parametrize("kernel", KERNELS)
@given(grid=cells)
def test_pairs_are_what_the_table_holds(kernel: int, grid: Tensor) -> None:
    table = neighbours_by_search(grid, kernel)
    (piece,) = pair_up(descent(grid, kernel))
    assert (piece.start, piece.stop) == (0, len(grid))
    expected = [[row for row in column if row < len(grid)] for column in table.T.tolist()]
    begins = [0, *piece.ends[:-1]]
    assert [piece.neighbours[a:b].tolist() for a, b in zip(begins, piece.ends, strict=True)] == expected
    ends = [*piece.begins.tolist()[1:], len(piece.of_rows)]
    for row, (begin, end) in enumerate(zip(piece.begins.tolist(), ends, strict=True)):
        found = piece.neighbours[piece.of_rows[begin:end].long()].tolist()
        assert found == [neighbour for neighbour in table[row].tolist() if neighbour < len(grid)]


def test_pairs_come_in_pieces() -> None:
    table = neighbours_by_search(torch.arange(5000)[:, None] * torch.tensor([[0, 0, 1]]), 3)
    pieces = pair_up(table)
    assert len(pieces) > 1
    assert [piece.start for piece in pieces[1:]] == [piece.stop for piece in pieces[:-1]]
    assert pieces[0].start == 0 and pieces[-1].stop == len(table)
    assert sum(len(piece.neighbours) for piece in pieces) == int((table < len(table)).sum())

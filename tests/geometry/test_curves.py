"""Curves: every cell once, parents by shifting, and the Hilbert curve without a jump."""

from __future__ import annotations

import re
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.curves import ALL_CURVES, MAX_DEPTH, Curve, codes_along, curve_depth, encode

HILBERT = (Curve.HILBERT, Curve.HILBERT_TRANS)

far_cells = st.lists(st.tuples(*[st.integers(0, 2**MAX_DEPTH - 1)] * 3), min_size=1, max_size=50).map(torch.tensor)


def cube(depth: int) -> Tensor:
    return torch.tensor(list(product(range(1 << depth), repeat=3)))


@pytest.mark.parametrize("curve", ALL_CURVES)
@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 5])
def test_codes_number_the_cells_of_a_cube(curve: Curve, depth: int) -> None:
    codes = encode(cube(depth), curve, depth)
    assert codes.dtype == torch.int64
    assert torch.equal(codes.sort().values, torch.arange(8**depth))


@pytest.mark.parametrize("depth", [0, 1, 2, 3, 4, 5])
def test_tables_give_the_codes_of_every_cell_of_a_cube(depth: int) -> None:
    codes = codes_along(cube(depth).numpy(), ALL_CURVES, depth)
    for found, curve in zip(codes, ALL_CURVES, strict=True):
        assert found.tolist() == encode(cube(depth), curve, depth).tolist()


@given(cells=far_cells, depth=st.integers(1, MAX_DEPTH))
def test_tables_give_the_codes_of_far_cells(cells: Tensor, depth: int) -> None:
    cells = cells >> (MAX_DEPTH - depth)
    codes = codes_along(cells.numpy(), ALL_CURVES, depth)
    for found, curve in zip(codes, ALL_CURVES, strict=True):
        assert found.tolist() == encode(cells, curve, depth).tolist()


@pytest.mark.parametrize("curve", HILBERT)
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_successive_cells_of_a_hilbert_curve_share_a_face(curve: Curve, depth: int) -> None:
    cells = cube(depth)
    walk = cells[encode(cells, curve, depth).argsort()]
    assert (walk.diff(dim=0).abs().sum(dim=1) == 1).all()
    assert walk[0].tolist() == [0, 0, 0]


@pytest.mark.parametrize("curve", ALL_CURVES)
@given(cells=far_cells, depth=st.integers(1, MAX_DEPTH))
def test_shifting_a_code_gives_the_parents(curve: Curve, cells: Tensor, depth: int) -> None:
    cells = cells >> (MAX_DEPTH - depth)
    assert torch.equal(encode(cells, curve, depth) >> 3, encode(cells >> 1, curve, depth - 1))


@pytest.mark.parametrize("curve", ALL_CURVES)
@given(cells=far_cells)
def test_no_two_cells_share_a_code(curve: Curve, cells: Tensor) -> None:
    """Over the full 16 bits per axis, where no cube can be enumerated."""
    codes = encode(cells, curve, MAX_DEPTH)
    assert len(codes.unique()) == len(cells.unique(dim=0))
    assert int(codes.min()) >= 0
    assert int(codes.max()) < 8**MAX_DEPTH


@given(cells=far_cells)
def test_z_codes_interleave_the_bits(cells: Tensor) -> None:
    for cell, code in zip(cells.tolist(), encode(cells, Curve.Z, MAX_DEPTH).tolist(), strict=True):
        for axis, coordinate in enumerate(cell):
            bits = [(code >> (3 * i + 2 - axis)) & 1 for i in range(MAX_DEPTH)]
            assert sum(bit << i for i, bit in enumerate(bits)) == coordinate


@pytest.mark.parametrize(("curve", "swapped"), [(Curve.Z, Curve.Z_TRANS), (Curve.HILBERT, Curve.HILBERT_TRANS)])
@given(cells=far_cells)
def test_the_other_two_curves_swap_x_and_y(curve: Curve, swapped: Curve, cells: Tensor) -> None:
    assert torch.equal(encode(cells, swapped, MAX_DEPTH), encode(cells[:, [1, 0, 2]], curve, MAX_DEPTH))


def test_three_more_bits_do_not_turn_the_hilbert_curve_and_one_does() -> None:
    cells = cube(3)
    order = {depth: encode(cells, Curve.HILBERT, depth).argsort().tolist() for depth in (3, 4, 6)}
    assert order[3] == order[6]
    assert order[3] != order[4]


def test_narrow_integers_are_widened() -> None:
    cells = torch.tensor([[30000, 1, 2], [7, 30000, 9]])
    for curve in ALL_CURVES:
        assert torch.equal(encode(cells.to(torch.int16), curve, MAX_DEPTH), encode(cells, curve, MAX_DEPTH))


@pytest.mark.parametrize(("high", "depth"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (65535, 16)])
def test_depth_is_the_number_of_bits(high: int, depth: int) -> None:
    assert curve_depth(torch.tensor([[0, high, 0]])) == depth


def test_depth_refuses_cells_below_zero() -> None:
    with pytest.raises(InputError, match="-3"):
        curve_depth(torch.tensor([[0, 0, 0], [1, -3, 2]]))


@given(high=st.integers(1 << MAX_DEPTH, 1 << 40))
def test_depth_names_a_voxel_size_that_works(high: int) -> None:
    with pytest.raises(InputError, match="Use voxels at least") as caught:
        curve_depth(torch.tensor([[0, 0, high]]))
    factor = float(re.search(r"at least ([\d.]+) times", caught.value.remedy)[1])  # type: ignore[index]
    # Larger voxels may begin anywhere, so one more of them can be needed.
    assert (high + 1) / factor + 1 <= 1 << MAX_DEPTH
    assert factor <= (high + 1) / (1 << MAX_DEPTH) * 1.0001 + 0.001

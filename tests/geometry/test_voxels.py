"""Voxels: cells are floors, points and cells know each other, and large coordinates keep their precision."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.curves import MAX_DEPTH, Curve, encode
from ditr.geometry.voxels import Voxels, cells_around, voxelize

Points = NDArray[np.float64]

clouds = nps.arrays(np.float64, st.tuples(st.integers(1, 60), st.just(3)), elements=st.floats(-20, 20, width=32))
sizes = st.sampled_from([0.02, 0.05, 0.1, 1 / 3, 1.0, 7.5, 100.0])


def check_membership(voxels: Voxels, points: int) -> None:
    """``inverse``, ``members``, ``start`` and ``count`` tell the same story about ``points`` points."""
    assert torch.equal(voxels.members.sort().values, torch.arange(points))
    assert int(voxels.count.sum()) == points
    assert int(voxels.count.min()) >= 1
    for cell in range(len(voxels)):
        members = voxels.members[voxels.start[cell] :][: voxels.count[cell]]
        assert (voxels.inverse[members] == cell).all()
        assert (members.diff() > 0).all(), "points of a cell keep the order of the cloud"


@given(coord=clouds, size=sizes)
def test_every_point_lies_in_the_cell_that_it_is_told(coord: Points, size: float) -> None:
    voxels = voxelize(coord, size)
    floors = np.floor(coord / size)
    np.testing.assert_array_equal(voxels.grid[voxels.inverse].numpy(), floors - floors.min(axis=0))
    assert len(np.unique(floors, axis=0)) == len(voxels)
    assert voxels.grid.amin(dim=0).tolist() == [0, 0, 0]
    check_membership(voxels, len(coord))


@given(coord=clouds, size=sizes)
def test_cells_follow_the_z_order_curve(coord: Points, size: float) -> None:
    voxels = voxelize(coord, size)
    assert (encode(voxels.grid, Curve.Z, MAX_DEPTH).diff() > 0).all()


@given(coord=clouds, size=sizes, seed=st.integers(0, 5))
def test_a_choice_takes_one_point_of_each_cell(coord: Points, size: float, seed: int) -> None:
    voxels = voxelize(coord, size)
    cells = torch.arange(len(voxels))
    first, drawn = voxels.first(), voxels.random(np.random.default_rng(seed))
    for choice in (first, drawn, *(voxels.fragment(n) for n in range(voxels.fragment_count))):
        assert torch.equal(voxels.inverse[choice], cells)
    expected = [np.flatnonzero(voxels.inverse.numpy() == cell)[0] for cell in range(len(voxels))]
    assert first.tolist() == expected
    assert torch.equal(drawn, voxels.random(np.random.default_rng(seed)))


@given(coord=clouds, size=sizes)
def test_fragments_contain_every_point(coord: Points, size: float) -> None:
    voxels = voxelize(coord, size)
    fragments = [voxels.fragment(n) for n in range(voxels.fragment_count)]
    assert len(fragments) == int(voxels.count.max())
    assert torch.cat(fragments).unique().tolist() == list(range(len(coord)))
    for number, fragment in enumerate(fragments):
        place = (voxels.members[None] == fragment[:, None]).int().argmax(dim=1)
        assert torch.equal(place - voxels.start, number % voxels.count)


@given(coord=clouds, size=sizes, seed=st.integers(0, 5), favour=st.integers(0, 2**60 - 1))
def test_a_choice_of_some_takes_these_where_a_cell_has_any(coord: Points, size: float, seed: int, favour: int) -> None:
    voxels = voxelize(coord, size)
    favoured = np.array([favour >> row & 1 for row in range(len(coord))], dtype=bool)
    chosen = voxels.random_of(favoured, np.random.default_rng(seed))
    assert torch.equal(voxels.inverse[chosen], torch.arange(len(voxels)))
    for cell in range(len(voxels)):
        members = (voxels.inverse == cell).numpy()
        assert favoured[chosen[cell]] == (members & favoured).any()


def test_a_choice_of_some_reaches_each_of_them() -> None:
    voxels = voxelize(np.zeros((6, 3)), 1.0)
    favoured = np.array([False, True, False, True, True, False])
    rng = np.random.default_rng(0)
    assert {int(voxels.random_of(favoured, rng)[0]) for _ in range(200)} == {1, 3, 4}


def test_random_choice_reaches_every_point_of_a_cell() -> None:
    voxels = voxelize(np.zeros((5, 3)), 1.0)
    rng = np.random.default_rng(0)
    assert {int(voxels.random(rng)) for _ in range(200)} == set(range(5))


@given(
    cells=st.lists(st.tuples(*[st.integers(0, 500)] * 3), min_size=1, max_size=40),
    inside=st.tuples(*[st.floats(0.05, 0.95)] * 3),
    offset=st.tuples(*[st.sampled_from([0.0, 32_500_000.0, 5_412_345.0, -4_999_999.98, 691_000.02])] * 3),
    size=st.sampled_from([0.01, 0.02, 0.05]),
)
def test_utm_coordinates_keep_their_centimetres(
    cells: list[tuple[int, int, int]],
    inside: tuple[float, float, float],
    offset: tuple[float, float, float],
    size: float,
) -> None:
    """Far from the origin points still fall into the cells that they fill there, counted from whole cells."""
    whole = np.round(np.array(offset) / size)
    coord = (whole + np.array(cells) + np.array(inside)) * size
    voxels = voxelize(coord, size)
    expected = np.array(cells) - np.array(cells).min(axis=0)
    np.testing.assert_array_equal(voxels.grid[voxels.inverse].numpy(), expected)


def test_utm_coordinates_in_single_precision_would_not_do() -> None:
    """The reason for float64: the same scene, rounded to float32 first, has lost its centimetres."""
    coord = np.array([[5e6, 4e5, 100.0]]) + np.arange(50)[:, None] * [0.02, 0, 0] + 0.01
    assert len(voxelize(coord, 0.02)) == 50
    assert len(voxelize(coord.astype(np.float32), 0.02)) < 10


def test_tensors_and_single_precision_are_taken() -> None:
    coord = np.random.default_rng(0).uniform(-3, 3, (100, 3)).astype(np.float32)
    assert torch.equal(voxelize(torch.from_numpy(coord), 0.1).inverse, voxelize(coord, 0.1).inverse)


@given(
    low=st.floats(-1e7, 1e7),
    extent=st.floats(1, 1e9),
    axis=st.integers(0, 2),
    ratio=st.floats(1.001, 100),
)
def test_too_fine_voxels_name_a_size_that_works(low: float, extent: float, axis: int, ratio: float) -> None:
    coord = np.full((2, 3), low)
    coord[1, axis] += extent
    extent = coord[1, axis] - coord[0, axis]
    size = extent / 65536 / ratio
    with pytest.raises(InputError, match="Use voxels of at least") as caught:
        voxelize(coord, size)
    named = float(re.search(r"at least ([\d.e+-]+) m", caught.value.remedy)[1])  # type: ignore[index]
    voxels = voxelize(coord, named)
    assert int(voxels.grid.max()) < 1 << MAX_DEPTH
    assert named <= extent / 65536 * 1.011, "it names hardly more than what is needed"


def test_the_last_cell_of_sixteen_bits_can_be_used() -> None:
    voxels = voxelize(np.array([[0.5, 0, 0], [65535.5, 0, 0]]), 1.0)
    assert voxels.grid.tolist() == [[0, 0, 0], [65535, 0, 0]]
    with pytest.raises(InputError):
        voxelize(np.array([[0.5, 0, 0], [65536.5, 0, 0]]), 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_points_that_are_not_finite_are_refused(bad: float) -> None:
    coord = np.zeros((4, 3))
    coord[2, 1] = bad
    with pytest.raises(InputError, match="not finite"):
        voxelize(coord, 0.1)


@pytest.mark.parametrize("garbage", [1e308, -1e38])
def test_points_beyond_all_precision_are_refused(garbage: float) -> None:
    coord = np.zeros((4, 3))
    coord[2, 1] = garbage
    with pytest.raises(InputError, match="too large"):
        voxelize(coord, 0.1)


@pytest.mark.parametrize("shape", [(0, 3), (3,), (4, 2), (1, 4, 3)])
def test_what_is_no_cloud_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least one point"):
        voxelize(np.zeros(shape), 0.1)


@pytest.mark.parametrize("size", [0.0, -0.1, np.nan, np.inf])
def test_what_is_no_voxel_size_is_refused(size: float) -> None:
    with pytest.raises(InputError, match="positive length"):
        voxelize(np.zeros((1, 3)), size)


@pytest.mark.parametrize("offset", [0.0, 512.0, -300.0])
def test_a_linear_field_on_full_cells_is_interpolated_exactly(offset: float) -> None:
    rng = np.random.default_rng(4)
    size = 0.5
    lattice = np.stack(np.meshgrid(*3 * [np.arange(8) * size + size / 2 + offset]), axis=-1).reshape(-1, 3)
    inner = rng.uniform(offset + size / 2, offset + 7.5 * size, (500, 3))
    coord = np.concatenate([lattice, inner])
    voxels = voxelize(coord, size)
    middles = np.empty((len(voxels), 3))
    middles[voxels.inverse.numpy()[: len(lattice)]] = lattice
    seen = 0
    for part, index, weight in cells_around(coord, size, voxels):
        found = torch.einsum("nk,nkd->nd", weight.double(), torch.from_numpy(middles)[index]).numpy()
        np.testing.assert_allclose(found, coord[part], atol=1e-6 * (1 + abs(offset)))
        seen += len(index)
    assert seen == len(coord)


def test_weights_of_empty_cells_go_to_the_others() -> None:
    rng = np.random.default_rng(5)
    coord = rng.uniform(0, 4, (3000, 3))
    coord[:, 2] *= 0.1
    size = 0.3
    voxels = voxelize(coord, size)
    where = {tuple(cell): row for row, cell in enumerate(voxels.grid.tolist())}
    first = np.floor(coord.min(axis=0) / size)
    ((_, index, weight),) = cells_around(coord, size, voxels)
    for row in range(0, len(coord), 97):
        place = coord[row] / size - first - 0.5
        expected: dict[int, float] = {}
        for step in np.ndindex(2, 2, 2):
            cell = np.floor(place) + step
            share = float(np.prod(1 - np.abs(place - cell)))
            if tuple(cell.astype(int).tolist()) in where:
                expected[where[tuple(cell.astype(int).tolist())]] = share
        total = sum(expected.values())
        found = {int(i): float(w) for i, w in zip(index[row], weight[row], strict=True) if w > 0}
        assert found.keys() == {i for i, share in expected.items() if share > 0}
        assert all(found[i] == pytest.approx(expected[i] / total, abs=1e-5) for i in found)
    assert (weight >= 0).all() and torch.allclose(weight.sum(dim=1), torch.ones(len(coord)))
    own = voxels.inverse
    of_own = torch.where(index == own[:, None], weight, 0).amax(dim=1)
    assert (of_own >= 0.125 - 1e-6).all()

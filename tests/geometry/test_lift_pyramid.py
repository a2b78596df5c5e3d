"""The lift on coarser levels: exactly the distinct tokens of a cell's voxels, also in a batch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ditr.geometry.lift_pyramid import LiftPyramid, build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid

SPEC = PyramidSpec(levels=4)
TOKENS = 6

voxel = st.tuples(*[st.integers(0, 6)] * 3, st.integers(-1, TOKENS - 1))
samples = st.lists(voxel, min_size=1, max_size=50).map(torch.tensor)


def build(sample: Tensor) -> tuple[Pyramid, LiftPyramid]:
    pyramid = build_pyramid(sample[:, :3], SPEC)
    return pyramid, build_lift_pyramid(sample[:, 3], TOKENS, pyramid)


def ancestors(pyramid: Pyramid, level: int) -> Tensor:
    """(M,) the cell of every voxel on a level."""
    cell = torch.arange(len(pyramid.levels[0]))
    for fine in pyramid.levels[:level]:
        assert fine.parent is not None
        cell = fine.parent[cell]
    return cell


def tokens_by_cell(lift: LiftPyramid, level: int) -> list[list[int]]:
    part = lift.levels[level]
    return [tokens.tolist() for tokens in part.token.split(part.count.tolist())]


@given(sample=samples)
def test_every_cell_has_the_distinct_tokens_of_its_voxels(sample: Tensor) -> None:
    pyramid, lift = build(sample)
    assert torch.equal(lift.levels[0].token, sample[:, 3])
    for level, geometry in enumerate(pyramid.levels):
        cell = ancestors(pyramid, level)
        expected = [sorted(set(sample[cell == c, 3].tolist())) for c in range(len(geometry))]
        assert tokens_by_cell(lift, level) == expected


@given(parts=st.lists(samples, min_size=1, max_size=4))
def test_a_batch_has_its_samples_tokens_one_after_the_other(parts: list[Tensor]) -> None:
    lifts = [build(part)[1] for part in parts]
    joined = join_lift_pyramids(lifts)
    assert joined.tokens == TOKENS * len(parts)
    for level in range(SPEC.levels):
        expected = [
            [token if token < 0 else token + TOKENS * number for token in cell]
            for number, lift in enumerate(lifts)
            for cell in tokens_by_cell(lift, level)
        ]
        assert tokens_by_cell(joined, level) == expected


def test_a_scene_that_no_view_sees() -> None:
    pyramid = build_pyramid(torch.tensor([[0, 0, 0], [9, 9, 9]]), SPEC)
    lift = build_lift_pyramid(torch.tensor([-1, -1]), 0, pyramid)
    assert [level.token.tolist() for level in lift.levels] == [[-1, -1]] * 4
    sighted = build_lift_pyramid(torch.tensor([0, -1]), 1, pyramid)
    joined = join_lift_pyramids([lift, sighted])
    assert joined.tokens == 1
    assert joined.levels[0].token.tolist() == [-1, -1, 0, -1]


def test_moving_takes_every_tensor_along() -> None:
    _, lift = build(torch.tensor([[0, 0, 0, 1], [5, 5, 5, 2]]))
    moved = lift.to("meta")
    assert moved.tokens == TOKENS
    assert all(level.token.device.type == level.count.device.type == "meta" for level in moved.levels)


@pytest.mark.parametrize("token", [-2, TOKENS])
def test_tokens_outside_the_list_are_refused(token: int) -> None:
    pyramid = build_pyramid(torch.tensor([[0, 0, 0]]), SPEC)
    with pytest.raises(ValueError, match=f"{token} to {token} of a list of {TOKENS}"):
        build_lift_pyramid(torch.tensor([token]), TOKENS, pyramid)


def test_another_number_of_voxels_is_refused() -> None:
    pyramid = build_pyramid(torch.tensor([[0, 0, 0]]), SPEC)
    for shape in ((2,), (0,), (1, 1)):
        with pytest.raises(ValueError, match="for 1 voxels"):
            build_lift_pyramid(torch.zeros(shape, dtype=torch.int64), TOKENS, pyramid)

"""The mapping variants that the paper tried: bilinear lookup, the nearest view, the mean and the maximum over views."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from ditr.geometry.lift import Lift, TokenGrid, choose_view, gather, join, tokens_of
from ditr.geometry.lift_pyramid import (
    LiftPyramid,
    blend_lift_pyramid,
    build_lift_pyramid,
    join_lift_pyramids,
)
from ditr.geometry.lift_variants import aggregate_views, bilinear_tokens_of, interpolate_view
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid
from ditr.models.injection import TokenTable, pooled_tokens

WIDTH = 3
ROWS, COLUMNS = 2, 3
SPEC = PyramidSpec(levels=3)


def features(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


class Views:
    """Random points in random views of ROWS x COLUMNS patches."""

    def __init__(self, points: int, views: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.grids = [TokenGrid(ROWS, COLUMNS, 14, (0.5, 0.25), ROWS * COLUMNS * view) for view in range(views)]
        self.pixel = rng.uniform((0, 0), (COLUMNS * 28, ROWS * 56), (views, points, 2))
        self.visible = rng.random((views, points)) < 0.6
        self.distance = rng.uniform(0, 5, (views, points))
        self.points, self.count = points, ROWS * COLUMNS * views
        self.tokens = [tokens_of(*part) for part in self.parts()]
        self.corners = [bilinear_tokens_of(*part) for part in self.parts()]

    def parts(self) -> list[tuple[np.ndarray, np.ndarray, TokenGrid]]:
        return list(zip(self.pixel, self.visible, self.grids, strict=True))

    def of_view(self, table: Tensor, view: int, bilinear: bool) -> Tensor:
        """(M, D) what a view gives, NaN where it does not show the point."""
        index, weight = self.corners[view] if bilinear else (self.tokens[view][:, None], np.ones((self.points, 1)))
        found = (table[index] * torch.from_numpy(weight)[:, :, None]).sum(dim=1)
        return torch.where(torch.from_numpy(self.visible[view])[:, None], found, torch.nan)


cases = st.builds(Views, st.integers(1, 12), st.integers(0, 5), st.integers(0, 10_000))


@given(cases)
def test_bilinear_lookup_is_grid_sample_with_clamped_borders(case: Views) -> None:
    table = features(case.count)
    for view, grid in enumerate(case.grids):
        image = table[grid.offset : grid.offset + grid.token_count].reshape(1, ROWS, COLUMNS, WIDTH).permute(0, 3, 1, 2)
        place = torch.from_numpy(case.pixel[view] * grid.scale / (COLUMNS * 14, ROWS * 14) * 2 - 1)
        expected = functional.grid_sample(image, place[None, None], padding_mode="border", align_corners=False)
        index, weight = bilinear_tokens_of(case.pixel[view], np.ones(case.points, dtype=bool), grid)
        found = gather(table, Lift(torch.from_numpy(index), torch.from_numpy(weight), case.count))
        torch.testing.assert_close(found, expected[0, :, 0].T, rtol=0, atol=1e-5)


@given(cases)
def test_bilinear_lookup_finds_the_points_that_patches_find(case: Views) -> None:
    for tokens, (index, weight) in zip(case.tokens, case.corners, strict=True):
        np.testing.assert_array_equal(index >= 0, np.repeat(tokens[:, None] >= 0, 4, axis=1))
        np.testing.assert_allclose(weight.sum(axis=1), tokens >= 0, atol=1e-6)
        assert (weight >= 0).all()


def test_a_point_at_the_centre_of_a_patch_takes_its_token_alone() -> None:
    grid = TokenGrid(ROWS, COLUMNS, 14, (1.0, 1.0), 0)
    pixel = np.array([[7.0, 7.0], [21.0, 21.0], [0.0, 0.0], [41.9, 27.9], [14.0, 7.0]])
    index, weight = bilinear_tokens_of(pixel, np.ones(5, dtype=bool), grid)
    found = np.zeros((5, ROWS * COLUMNS))
    for column in range(4):
        np.add.at(found, (np.arange(5), index[:, column]), weight[:, column])
    assert found.round(5).tolist() == [
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [1, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0.5, 0.5, 0, 0, 0, 0],
    ]


@given(cases)
def test_the_nearest_view_is_the_one_of_the_nearest_camera(case: Views) -> None:
    found = choose_view(case.tokens, case.points, case.count, choice="nearest", distances=case.distance)
    for point in range(case.points):
        seen = [view for view in range(len(case.tokens)) if case.visible[view, point]]
        nearest = min(seen, key=lambda view: case.distance[view, point], default=None)
        assert int(found.patch_index[point, 0]) == (-1 if nearest is None else case.tokens[nearest][point])


def test_the_nearest_view_needs_distances() -> None:
    with pytest.raises(ValueError, match="distances"):
        choose_view([np.array([0])], 1, 1, choice="nearest")


@pytest.mark.parametrize("bilinear", [False, True])
@pytest.mark.parametrize("reduce", ["mean", "max"])
@settings(max_examples=40)
@given(case=cases)
def test_aggregation_is_that_of_what_each_view_gives(
    reduce: Literal["mean", "max"], bilinear: bool, case: Views
) -> None:
    tokens = [index for index, _ in case.corners] if bilinear else case.tokens
    weights = [weight for _, weight in case.corners] if bilinear else None
    lift = aggregate_views(tokens, weights, case.points, case.count, reduce=reduce)
    table, missing = features(case.count), torch.full((WIDTH,), 9.0, dtype=torch.float64)
    for empty in (None, missing):
        found = gather(table, lift, empty)
        for point in range(case.points):
            each = [case.of_view(table, view, bilinear)[point] for view in np.flatnonzero(case.visible[:, point])]
            if each:
                stacked = torch.stack(each)
                expected = stacked.mean(dim=0) if reduce == "mean" else stacked.amax(dim=0)
            else:
                expected = torch.zeros(WIDTH, dtype=torch.float64) if empty is None else empty
            torch.testing.assert_close(found[point], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("choice", ["random", "last", "nearest"])
@settings(max_examples=40)
@given(case=cases, seed=st.integers(0, 50))
def test_interpolation_chooses_the_view_that_patches_choose(
    choice: Literal["random", "last", "nearest"], case: Views, seed: int
) -> None:
    patches = choose_view(
        case.tokens,
        case.points,
        case.count,
        choice=choice,
        rng=np.random.default_rng(seed),
        distances=case.distance,
    )
    corners = interpolate_view(
        [index for index, _ in case.corners],
        [weight for _, weight in case.corners],
        case.points,
        case.count,
        choice=choice,
        rng=np.random.default_rng(seed),
        distances=case.distance,
    )
    view = patches.patch_index[:, 0] // (ROWS * COLUMNS)
    assert torch.equal(corners.patch_index // (ROWS * COLUMNS), view[:, None].expand(-1, 4))
    table = features(case.count)
    for point in range(case.points):
        if view[point] >= 0:
            expected = case.of_view(table, int(view[point]), True)[point]
            torch.testing.assert_close(gather(table, corners)[point], expected)


# ---- levels ---------------------------------------------------------------------------------------------------------


def lift_of(case: Views, kind: str) -> Lift:
    index, weight = ([part[i] for part in case.corners] for i in range(2))
    if kind == "mean":
        return aggregate_views(case.tokens, None, case.points, case.count, reduce="mean")
    if kind == "max":
        return aggregate_views(case.tokens, None, case.points, case.count, reduce="max")
    if kind == "bilinear max":
        return aggregate_views(index, weight, case.points, case.count, reduce="max")
    return interpolate_view(index, weight, case.points, case.count, choice="last")


def cells_of(points: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 5, (points, 3)))


def pooled_over_points(table: Tensor, lift: Lift, pyramid: Pyramid, level: int, missing: Tensor) -> Tensor:
    """As the paper has it: the features of all points, then the maximum over the points of each cell."""
    found = gather(table, lift, missing)
    for fine in pyramid.levels[:level]:
        assert fine.parent is not None
        cells = range(int(fine.parent.max()) + 1)
        found = torch.stack([found[fine.parent == cell].amax(dim=0) for cell in cells])
    return found


KINDS = ("mean", "max", "bilinear", "bilinear max")
parts = st.tuples(cases, st.sampled_from([*KINDS, "plain"]), st.integers(0, 100))


def built(case: Views, kind: str, seed: int) -> tuple[Pyramid, Lift, LiftPyramid]:
    pyramid = build_pyramid(cells_of(case.points, seed), SPEC)
    if kind == "plain":
        lift = choose_view(case.tokens, case.points, case.count, choice="last")
        return pyramid, lift, build_lift_pyramid(lift.patch_index[:, 0], case.count, pyramid)
    lift = lift_of(case, kind)
    return pyramid, lift, blend_lift_pyramid(lift, pyramid)


@settings(max_examples=30)
@given(st.lists(parts, min_size=1, max_size=3))
def test_levels_are_the_maximum_over_points_of_blended_features(batch: list[tuple[Views, str, int]]) -> None:
    """For each sample alone, and for samples of any kinds joined: plain ones, and such without any view, too."""
    samples = [built(*part) for part in batch]
    tables = [features(case.count, seed) for case, _, seed in batch]
    missing = torch.full((WIDTH,), 0.25, dtype=torch.float64)
    joined = join_lift_pyramids([lift for _, _, lift in samples])
    assert joined.tokens == sum(map(len, tables))
    together = TokenTable.of(torch.cat(tables), joined, missing)
    for level in range(SPEC.levels):
        expected = torch.cat(
            [
                pooled_over_points(table, lift, pyramid, level, missing)
                for table, (pyramid, lift, _) in zip(tables, samples, strict=True)
            ]
        )
        torch.testing.assert_close(pooled_tokens(together.rows, joined, level), expected, rtol=0, atol=1e-6)
        alone = torch.cat(
            [
                pooled_tokens(TokenTable.of(table, lift, missing).rows, lift, level)
                for table, (_, _, lift) in zip(tables, samples, strict=True)
            ]
        )
        torch.testing.assert_close(alone, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_fragments_share_tokens_and_not_blends(kind: str) -> None:
    case, other = Views(9, 3, 0), Views(9, 3, 1)
    samples = [built(case, kind, 0), built(other, kind, 0)]
    joined = join_lift_pyramids([lift for _, _, lift in samples], shared=True)
    assert joined.tokens == case.count
    table, missing = features(case.count), torch.zeros(WIDTH, dtype=torch.float64)
    rows = TokenTable.of(table, joined, None).rows
    for level in range(SPEC.levels):
        expected = torch.cat([pooled_over_points(table, lift, p, level, missing) for p, lift, _ in samples])
        torch.testing.assert_close(pooled_tokens(rows, joined, level), expected, rtol=0, atol=1e-6)


def test_points_of_the_same_tokens_share_an_entry() -> None:
    tokens = np.array([[0, 0, 1, -1], [2, 2, 2, -1]])
    pyramid = build_pyramid(cells_of(4, 0), SPEC)
    lift = blend_lift_pyramid(aggregate_views(tokens, None, 4, 3, reduce="mean"), pyramid)
    assert lift.entries == 2 and lift.tokens == 3
    assert lift.levels[0].token.tolist() == [0, 0, 1, -1]


def test_a_lift_without_weights_needs_no_blend() -> None:
    with pytest.raises(ValueError, match="weights"):
        blend_lift_pyramid(Lift(torch.zeros(4, 1, dtype=torch.int64), None, 1), build_pyramid(cells_of(4, 0), SPEC))


def test_alternatives_divide_the_tokens() -> None:
    with pytest.raises(ValueError, match="2 alternatives"):
        Lift(torch.zeros(1, 3, dtype=torch.int64), torch.ones(1, 3), 1, 2)


@given(st.lists(st.tuples(cases, st.sampled_from(KINDS)), min_size=1, max_size=4))
def test_joined_lifts_gather_what_each_gathers(batch: list[tuple[Views, str]]) -> None:
    lifts = [lift_of(case, kind) for case, kind in batch]
    tables = [features(case.count, number) for number, (case, _) in enumerate(batch)]
    expected = torch.cat([gather(table, lift) for table, lift in zip(tables, lifts, strict=True)])
    torch.testing.assert_close(gather(torch.cat(tables), join(lifts)), expected)


def test_moving_and_selecting_keep_the_alternatives() -> None:
    case = Views(6, 3, 2)
    _, lift, carried = built(case, "max", 0)
    moved = carried.to("meta")
    assert moved.blend is not None and carried.blend is not None
    assert moved.blend.alternatives == carried.blend.alternatives == lift.alternatives > 1
    assert moved.blend.patch_index.device.type == "meta" and moved.entries == carried.entries
    rows = torch.tensor([4, 0])
    table = features(case.count)
    assert torch.equal(gather(table, lift.select(rows)), gather(table, lift)[rows])

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ditr.captures.capture import read_capture
from ditr.geometry.lift import Lift, TokenGrid, choose_view, gather, join, token_grids, tokens_of
from ditr.geometry.projection import Projection, Sight, see


def lift(index: list[list[int]], weight: list[list[float]] | None = None, token_count: int = 10) -> Lift:
    return Lift(torch.tensor(index), None if weight is None else torch.tensor(weight), token_count)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def projection(pixel: list[list[float]], visible: list[bool]) -> Projection:
    sight = np.where(visible, Sight.VISIBLE, Sight.OUTSIDE).astype(np.uint8)
    return Projection(np.array(pixel), np.ones(len(pixel)), sight)


# ---------------------------------------------------------------------------------------------------------------------
# Tokens of views


def test_grids_follow_one_another_whatever_their_sizes() -> None:
    first, second, third = token_grids([(480, 640), (100, 50), (56, 56)], [(420, 560), (28, 14), (60, 69)], 14)
    assert first == TokenGrid(30, 40, 14, (560 / 640, 420 / 480), 0)
    assert second == TokenGrid(2, 1, 14, (14 / 50, 28 / 100), 1200)
    assert third == TokenGrid(4, 4, 14, (69 / 56, 60 / 56), 1202)


def test_tokens_of_one_view() -> None:
    grid = TokenGrid(rows=2, columns=3, patch_size=14, scale=(1.0, 1.0), offset=100)
    pixel = np.array([[0.0, 0.0], [41.0, 27.0], [20.0, 20.0], [43.0, 3.0], [np.nan, np.nan]])
    visible = np.array([True, True, False, True, False])
    assert tokens_of(pixel, visible, grid).tolist() == [100, 105, -1, -1, -1]


def test_points_behind_the_last_whole_patch_are_dropped() -> None:
    # An image of 20x20 pixels has one whole patch of 14.
    (grid,) = token_grids([(20, 20)], [(20, 20)], 14)
    seen = projection([[13.9, 13.9], [14.0, 3.0], [3.0, 19.0]], [True, True, True])
    assert tokens_of(seen.pixel, seen.visible, grid).tolist() == [0, -1, -1]


# ---------------------------------------------------------------------------------------------------------------------
# Choice among views


def test_last_takes_the_last_view_that_shows_the_point() -> None:
    tokens = [np.array([0, 1, -1, -1]), np.array([10, -1, 12, -1]), np.array([-1, -1, 22, -1])]
    found = choose_view(tokens, 4, 30, choice="last")
    assert found.patch_index.tolist() == [[10], [1], [22], [-1]]
    assert found.has_token.tolist() == [True, True, True, False]
    assert (found.weight, found.token_count) == (None, 30)


def test_random_is_uniform_among_the_views_that_show_the_point() -> None:
    count = 40_000
    tokens = [np.full(count, view) for view in range(5)]
    tokens[2] = np.where(np.arange(count) % 2 == 0, 2, -1)
    index = choose_view(tokens, count, 5, choice="random", rng=rng()).patch_index[:, 0].numpy()
    for part, views in ((index[::2], 5), (index[1::2], 4)):
        observed = np.bincount(part, minlength=5)
        expected = len(part) / views
        if views == 4:
            assert observed[2] == 0
        # Five standard deviations of a binomial count.
        shown = observed[observed > 0]
        assert len(shown) == views
        assert np.abs(shown - expected).max() < 5 * np.sqrt(expected * (1 - 1 / views))
    # Neighbouring points are drawn on their own: equal pairs are as frequent as chance has it.
    assert abs((index[::2][1:] == index[::2][:-1]).mean() - 0.2) < 0.02


def test_random_repeats_with_its_seed_and_only_with_it() -> None:
    tokens = [rng(view).integers(-1, 50, 1000) for view in range(6)]
    one, same, other = (choose_view(tokens, 1000, 50, choice="random", rng=rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one.patch_index, same.patch_index)
    assert not torch.equal(one.patch_index, other.patch_index)


@given(st.integers(0, 8), st.integers(0, 30), st.sampled_from(["random", "last"]), st.integers(0, 10**6))
def test_a_token_comes_from_a_view_that_shows_the_point(views: int, points: int, choice: str, seed: int) -> None:
    tokens = [np.where(rng(seed + v).random(points) < 0.4, v, -1) for v in range(views)]
    found = choose_view(tokens, points, views, choice=choice, rng=rng(seed))  # type: ignore[arg-type]
    table = np.array(tokens, dtype=np.int64).reshape(views, points)
    for point, (token,) in enumerate(found.patch_index.tolist()):
        available = set(table[:, point].tolist()) - {-1}
        assert (token in available) if available else token == -1


def test_views_are_not_held_in_memory() -> None:
    count, views = 100_000, 40

    def tokens() -> Iterator[np.ndarray]:
        for view in range(views):
            yield np.full(count, view, dtype=np.int64)

    tracemalloc.start()
    try:
        choose_view(tokens(), count, views, choice="random", rng=rng())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * count * 8


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="random generator"):
        choose_view([], 3, 0, choice="random")
    with pytest.raises(ValueError, match="for 3 points"):
        choose_view([np.array([1, 2])], 3, 5, choice="last")
    with pytest.raises(ValueError, match="need weights"):
        lift([[0, 1]])
    with pytest.raises(ValueError, match="int32"):
        Lift(torch.zeros(3, 1, dtype=torch.int32), None, 1)
    with pytest.raises(ValueError, match="weights of shape"):
        lift([[0, 1]], [[1.0]])


def test_no_views_at_all() -> None:
    found = choose_view([], 4, 0, choice="random", rng=rng())
    assert found.patch_index.tolist() == [[-1]] * 4
    assert found.token_count == 0
    assert gather(torch.zeros(0, 3), found).tolist() == [[0.0] * 3] * 4


# ---------------------------------------------------------------------------------------------------------------------
# Features

TOKENS = torch.arange(12, dtype=torch.float32).reshape(4, 3)


def test_gather_takes_tokens_and_leaves_zeros() -> None:
    assert gather(TOKENS, lift([[2], [-1], [0]])).tolist() == [[6, 7, 8], [0, 0, 0], [0, 1, 2]]


def test_gather_with_an_embedding_for_points_without_view() -> None:
    missing = torch.tensor([7.0, 8.0, 9.0])
    assert gather(TOKENS, lift([[2], [-1]]), missing).tolist() == [[6, 7, 8], [7, 8, 9]]
    weighted = lift([[0, -1], [-1, -1]], [[0.5, 0.5], [0.5, 0.5]])
    assert gather(TOKENS, weighted, missing).tolist() == [[0, 0.5, 1], [7, 8, 9]]


def test_gather_sums_by_weight() -> None:
    weighted = lift([[0, 3], [1, -1], [-1, -1]], [[0.25, 0.75], [1.0, 5.0], [1.0, 1.0]])
    assert gather(TOKENS, weighted).tolist() == [[6.75, 7.75, 8.75], [3, 4, 5], [0, 0, 0]]


def test_weights_of_one_change_nothing() -> None:
    index = torch.from_numpy(rng().integers(-1, 4, (50, 1)))
    plain, weighted = Lift(index, None, 4), Lift(index, torch.ones(50, 1), 4)
    assert torch.equal(gather(TOKENS, plain), gather(TOKENS, weighted))


@pytest.mark.parametrize("weight", [None, [[1.0], [1.0], [1.0]]])
def test_gradients_reach_tokens_and_embedding(weight: list[list[float]] | None) -> None:
    tokens, missing = TOKENS.clone().requires_grad_(), torch.zeros(3, requires_grad=True)
    gather(tokens, lift([[1], [1], [-1]], weight), missing).sum().backward()
    assert tokens.grad is not None and missing.grad is not None
    assert tokens.grad[:, 0].tolist() == [0, 2, 0, 0]
    assert missing.grad.tolist() == [1, 1, 1]


def test_half_precision_stays_half() -> None:
    assert gather(TOKENS.half(), lift([[0], [-1]]), torch.zeros(3)).dtype == torch.float16
    assert gather(TOKENS.bfloat16(), lift([[0]], [[1.0]])).dtype == torch.bfloat16


# ---------------------------------------------------------------------------------------------------------------------
# Subsets and batches


def test_select_by_index_and_mask() -> None:
    whole = lift([[1, 2], [3, -1], [5, 6]], [[0.1, 0.9], [1.0, 0.0], [0.5, 0.5]])
    for rows in (torch.tensor([2, 0]), torch.tensor([True, False, True])):
        part = whole.select(rows)
        assert part.token_count == 10
        assert torch.equal(part.patch_index, whole.patch_index[rows])
        assert part.weight is not None and whole.weight is not None
        assert torch.equal(part.weight, whole.weight[rows])


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.booleans()), min_size=1, max_size=4), st.integers(0, 99)
)
def test_joining_gathers_what_the_samples_gather(parts: list[tuple[int, int, bool]], seed: int) -> None:
    lifts, features = [], []
    for i, (points, tokens, weighted) in enumerate(parts):
        index = torch.from_numpy(rng(seed + i).integers(-1, tokens, (points, 1)))
        weight = torch.rand(points, 1, generator=torch.Generator().manual_seed(seed)) if weighted else None
        lifts.append(Lift(index, weight, tokens))
        features.append(torch.from_numpy(rng(seed + i).normal(size=(tokens, 4))))
    batch = join(lifts)
    expected = torch.cat([gather(f, one) for f, one in zip(features, lifts, strict=True)])
    torch.testing.assert_close(gather(torch.cat(features), batch), expected, rtol=0, atol=0)
    assert batch.token_count == sum(len(f) for f in features)
    assert torch.equal(batch.has_token, torch.cat([one.has_token for one in lifts]))


def test_join_needs_samples() -> None:
    with pytest.raises(ValueError, match="must be a sample"):
        join([])


# ---------------------------------------------------------------------------------------------------------------------
# Real captures


@pytest.mark.parametrize(
    ("name", "unseen", "twice"),
    [
        ("nuscenes_sample", 0.418, 0.056),
        ("rellis3d_000104", 0.902, 0.0),
        ("ddad_scene_a_0", 0.420, 0.059),
        ("ddad_scene_b_1", 0.007, 0.257),
    ],
)
def test_coverage_of_real_captures(captures: Path, name: str, unseen: float, twice: float) -> None:
    scene = read_capture(captures / name)
    projections = [see(scene.coord, view) for view in scene.views]
    seen = sum(each.visible.astype(int) for each in projections)
    assert (seen == 0).mean() == pytest.approx(unseen, abs=1e-3)
    assert (seen >= 2).mean() == pytest.approx(twice, abs=1e-3)
    sizes = [(view.camera.height, view.camera.width) for view in scene.views]
    grids = token_grids(sizes, [(378, 672)] * len(sizes), 14)
    tokens = [tokens_of(each.pixel, each.visible, grid) for each, grid in zip(projections, grids, strict=True)]
    found = choose_view(tokens, len(scene), sum(grid.token_count for grid in grids), choice="last")
    np.testing.assert_array_equal(found.has_token.numpy(), seen > 0)

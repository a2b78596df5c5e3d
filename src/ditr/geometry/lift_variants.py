"""Lookups that section 3.1 of the paper found no better: bilinear, and the mean or maximum over views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.geometry.lift import NO_TOKEN, Lift, TokenGrid, choose_view, tokens_of

__all__ = ["aggregate_views", "bilinear_tokens_of", "interpolate_view"]


def bilinear_tokens_of(
    pixel: NDArray[Any], visible: NDArray[np.bool_], grid: TokenGrid
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The four tokens of one view whose patches' centres are around each point, and their weights.

    Beyond the outermost centres the last one counts (coordinates are clamped), so that an outer corner takes one token.

    Args:
        pixel: (N, 2) as for :func:`tokens_of`, whose points have tokens here too, and no others.
        visible: (N,) the same.
        grid: of the view's tokens.

    Returns:
        (M, 4) indices, upper left, upper right, lower left, lower right, -1 for points without; and (M, 4) weights,
        whose sum is 1, or 0 for points without.
    """
    index = np.full((len(pixel), 4), NO_TOKEN, dtype=np.int64)
    weight = np.zeros((len(pixel), 4), dtype=np.float32)
    shown = np.flatnonzero(tokens_of(pixel, visible, grid) >= 0)
    scale = np.asarray(grid.scale, dtype=np.float64) / grid.patch_size
    position = np.asarray(pixel, dtype=np.float64)[shown] * scale - 0.5
    position = position.clip(0, (grid.columns - 1, grid.rows - 1))
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, (grid.columns - 1, grid.rows - 1))
    right, down = (position - low).T
    (left_column, top), (right_column, bottom) = low.T, high.T
    rows = np.stack([top, top, bottom, bottom], axis=1)
    columns = np.stack([left_column, right_column, left_column, right_column], axis=1)
    index[shown] = grid.offset + rows * grid.columns + columns
    weight[shown] = np.stack([(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down], axis=1)
    return index, weight


def interpolate_view(
    tokens: Sequence[NDArray[np.int64]],
    weights: Sequence[NDArray[np.float32]],
    point_count: int,
    token_count: int,
    *,
    choice: Literal["random", "last", "nearest"],
    rng: np.random.Generator | None = None,
    distances: Iterable[NDArray[np.floating]] | None = None,
) -> Lift:
    """As :func:`choose_view`, and drawing the same, for views whose tokens are (M, 4) with weights."""
    numbers = (np.where(of_view[:, 0] >= 0, number, NO_TOKEN) for number, of_view in enumerate(tokens))
    view = choose_view(numbers, point_count, len(tokens), choice=choice, rng=rng, distances=distances).patch_index[:, 0]
    index = np.full((point_count, 4), NO_TOKEN, dtype=np.int64)
    weight = np.zeros((point_count, 4), dtype=np.float32)
    for number, (of_view, of_weight) in enumerate(zip(tokens, weights, strict=True)):
        taken = np.flatnonzero(view.numpy() == number)
        index[taken], weight[taken] = of_view[taken], of_weight[taken]
    return Lift(torch.from_numpy(index), torch.from_numpy(weight), token_count)


def aggregate_views(
    tokens: Iterable[NDArray[np.int64]],
    weights: Iterable[NDArray[np.float32]] | None,
    point_count: int,
    token_count: int,
    *,
    reduce: Literal["mean", "max"],
) -> Lift:
    """Give each point the tokens of all views that show it, to be aggregated channel by channel.

    Args:
        tokens: for each view, (M,) from :func:`tokens_of`, or (M, 4) from :func:`bilinear_tokens_of`.
        weights: for each view (M, 4), where tokens are four; else None.
        point_count: M; also right where there are no views.
        token_count: length of the flat list of tokens.
        reduce: the mean or the maximum over the views of what each gives the point.

    Returns:
        as many tokens per point as the point that most views show has; fewer are filled up with -1.
    """
    corners = 1 if weights is None else 4
    of_weights = None if weights is None else iter(weights)
    index = np.full((point_count, 1, corners), NO_TOKEN, dtype=np.int64)
    weight = np.zeros((point_count, 1, corners), dtype=np.float32)
    count = np.zeros(point_count, dtype=np.int64)
    for of_view in tokens:
        of_view = of_view.reshape(point_count, corners)
        shown = np.flatnonzero(of_view[:, 0] >= 0)
        if len(shown) and count[shown].max() == index.shape[1]:
            index = np.concatenate([index, np.full_like(index[:, :1], NO_TOKEN)], axis=1)
            weight = np.concatenate([weight, np.zeros_like(weight[:, :1])], axis=1)
        index[shown, count[shown]] = of_view[shown]
        weight[shown, count[shown]] = 1 if of_weights is None else next(of_weights)[shown]
        count[shown] += 1
    alternatives = index.shape[1] if reduce == "max" else 1
    if reduce == "mean":
        weight /= np.maximum(count, 1).astype(np.float32)[:, None, None]
    flat = (torch.from_numpy(values.reshape(point_count, -1)) for values in (index, weight))
    return Lift(next(flat), next(flat), token_count, alternatives)

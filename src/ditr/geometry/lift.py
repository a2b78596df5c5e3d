"""The lift: which image token each point takes its features from.

Projection, visibility, the choice among views, flips and crops of images all end here. What remains of them is one
table of indices into the flat list of a sample's tokens (view after view, row-major in each), and :func:`gather` reads
it. The paper's section 3.1: one view per point, and the one patch of it that the point falls into.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.geometry.projection import Projection, patch_of

__all__ = ["Lift", "TokenGrid", "choose_view", "coverage", "gather", "join", "lift_views", "token_grids", "tokens_of"]

NO_TOKEN = -1


@dataclass(frozen=True, eq=False)
class Lift:
    """Indices of image tokens for M points.

    Attributes:
        patch_index: (M, S) int64 into the flat list of the sample's tokens, -1 for none. S is 1 where each point takes
            one token.
        weight: (M, S) float32, or None where S is 1 and every token counts in full.
        token_count: length of the flat list.

    Raises:
        ValueError: tensors of other shapes or types.
    """

    patch_index: Tensor
    weight: Tensor | None
    token_count: int

    def __post_init__(self) -> None:
        if self.patch_index.ndim != 2 or self.patch_index.dtype != torch.int64:
            raise ValueError(f"patch_index is {self.patch_index.dtype} of shape {tuple(self.patch_index.shape)}")
        if self.weight is None:
            if self.patch_index.shape[1] != 1:
                raise ValueError(f"{self.patch_index.shape[1]} tokens per point need weights")
        elif self.weight.shape != self.patch_index.shape:
            raise ValueError(f"weights of shape {tuple(self.weight.shape)} for {tuple(self.patch_index.shape)} indices")

    def __len__(self) -> int:
        return len(self.patch_index)

    @property
    def has_token(self) -> Tensor:
        """(M,) bool: whether some view gives the point a token."""
        return (self.patch_index >= 0).any(dim=1)

    def select(self, rows: Tensor) -> Lift:
        """The lift of a subset of the points, by index or mask."""
        return Lift(self.patch_index[rows], None if self.weight is None else self.weight[rows], self.token_count)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Lift:
        """A copy on another device."""
        weight = None if self.weight is None else self.weight.to(device, non_blocking=non_blocking)
        return Lift(self.patch_index.to(device, non_blocking=non_blocking), weight, self.token_count)


@dataclass(frozen=True)
class TokenGrid:
    """Where the tokens of one view are.

    Attributes:
        rows, columns: the encoder's grid of patches.
        patch_size: side of a patch in the encoder's image, pixels.
        scale: width and height of the encoder's image over those of the stored image.
        offset: place of the view's first token in the flat list of the sample.
    """

    rows: int
    columns: int
    patch_size: int
    scale: tuple[float, float]
    offset: int

    @property
    def token_count(self) -> int:
        return self.rows * self.columns


def token_grids(
    image_sizes: Sequence[tuple[int, int]], encoder_sizes: Sequence[tuple[int, int]], patch_size: int
) -> list[TokenGrid]:
    """The grids of views whose tokens follow one another; sizes are (height, width), and may differ by view.

    Pixels of the encoder's image that fill no whole patch have no token.
    """
    grids: list[TokenGrid] = []
    offset = 0
    for (height, width), (new_height, new_width) in zip(image_sizes, encoder_sizes, strict=True):
        scale = (new_width / width, new_height / height)
        grids.append(TokenGrid(new_height // patch_size, new_width // patch_size, patch_size, scale, offset))
        offset += grids[-1].token_count
    return grids


def tokens_of(pixel: NDArray[Any], visible: NDArray[np.bool_], grid: TokenGrid) -> NDArray[np.int64]:
    """The token of one view that shows each point.

    Args:
        pixel: (M, 2) points (u, v) of the stored image.
        visible: (M,) whether the view shows the point.
        grid: the view's tokens.

    Returns:
        (M,) index in the flat list of the sample's tokens; -1 where the view does not show the point or the point
        lies beyond the last whole patch.
    """
    result = np.full(len(pixel), NO_TOKEN, dtype=np.int64)
    shown = np.flatnonzero(visible)
    patch = patch_of(pixel[shown], scale=grid.scale, patch_size=grid.patch_size, rows=grid.rows, columns=grid.columns)
    result[shown] = np.where(patch < 0, NO_TOKEN, patch + grid.offset)
    return result


def choose_view(
    tokens: Iterable[NDArray[np.int64]],
    point_count: int,
    token_count: int,
    *,
    choice: Literal["random", "last"],
    rng: np.random.Generator | None = None,
) -> Lift:
    """Give each point the token of one of the views that show it.

    Views are taken one at a time and forgotten again, so memory does not grow with their number.

    Args:
        tokens: for each view, (M,) from :func:`tokens_of`.
        point_count: M; also right where there are no views.
        token_count: length of the flat list of tokens.
        choice: "random" draws uniformly among the views that show a point, for each point on its own (the paper);
            "last" takes the last of them (the published code).
        rng: the source of "random".

    Raises:
        ValueError: "random" without ``rng``, or a view with another number of points.
    """
    if choice == "random" and rng is None:
        raise ValueError("the choice 'random' needs a random generator")
    chosen = np.full(point_count, NO_TOKEN, dtype=np.int64)
    views_so_far = np.zeros(point_count, dtype=np.int32)
    for of_view in tokens:
        if of_view.shape != (point_count,):
            raise ValueError(f"a view has tokens of shape {of_view.shape} for {point_count} points")
        shown = np.flatnonzero(of_view >= 0)
        if choice == "random" and rng is not None:
            # Reservoir sampling: the n-th view replaces what is there with probability 1/n.
            views_so_far[shown] += 1
            shown = shown[rng.random(len(shown)) * views_so_far[shown] < 1.0]
        chosen[shown] = of_view[shown]
    return Lift(torch.from_numpy(chosen[:, None]), None, token_count)


def lift_views(
    projections: Iterable[Projection],
    grids: Sequence[TokenGrid],
    point_count: int,
    *,
    choice: Literal["random", "last"],
    rng: np.random.Generator | None = None,
) -> Lift:
    """:func:`tokens_of` and :func:`choose_view` in one: from projections into the views to the lift."""
    tokens = (tokens_of(seen.pixel, seen.visible, grid) for seen, grid in zip(projections, grids, strict=True))
    return choose_view(tokens, point_count, sum(grid.token_count for grid in grids), choice=choice, rng=rng)


def coverage(projections: Iterable[Projection], point_count: int) -> NDArray[np.int32]:
    """(N,) the number of views that show each point."""
    count = np.zeros(point_count, dtype=np.int32)
    for seen in projections:
        count += seen.visible
    return count


def gather(tokens: Tensor, lift: Lift, missing: Tensor | None = None) -> Tensor:
    """Image features of points: their tokens, or the weighted sum of these.

    Args:
        tokens: (T, D), all tokens of the sample (or batch) in the order of ``lift``; T may be 0.
        lift: M points.
        missing: (D,) the feature of points that no view shows; zeros where None (the paper).

    Returns:
        (M, D) in the type of ``tokens``. Entries without a token add nothing to a weighted sum.
    """
    empty = tokens.new_zeros(tokens.shape[1]) if missing is None else missing.to(tokens.dtype)
    index = lift.patch_index
    if lift.weight is None:
        # One more row stands for "none", so that one lookup serves all points.
        table = torch.cat([tokens, empty[None]])
        return table[torch.where(index < 0, len(tokens), index)[:, 0]]
    table = torch.cat([tokens, tokens.new_zeros(1, tokens.shape[1])])
    total = tokens.new_zeros(len(index), tokens.shape[1])
    for column, weight in zip(index.unbind(1), lift.weight.to(tokens.dtype).unbind(1), strict=True):
        total = total + table[torch.where(column < 0, len(tokens), column)] * weight[:, None]
    return total if missing is None else torch.where(lift.has_token[:, None], total, empty)


def join(lifts: Sequence[Lift]) -> Lift:
    """The lift of samples joined to a batch, whose tokens follow one another in the same order.

    Raises:
        ValueError: no samples, or samples with different numbers of tokens per point.
    """
    if len({lift.patch_index.shape[1] for lift in lifts}) != 1:
        raise ValueError("samples to join must have the same number of tokens per point, and there must be one")
    parts, weights, offset = [], [], 0
    for lift in lifts:
        index = lift.patch_index
        parts.append(torch.where(index < 0, index, index + offset))
        weights.append(torch.ones_like(index, dtype=torch.float32) if lift.weight is None else lift.weight)
        offset += lift.token_count
    weighted = any(lift.weight is not None for lift in lifts)
    return Lift(torch.cat(parts), torch.cat(weights) if weighted else None, offset)

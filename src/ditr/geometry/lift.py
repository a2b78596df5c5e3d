"""The lift: which image token each point takes its features from.

Projection, visibility, the choice among views, flips and crops of images all end here. What remains of them is one
table of indices into the flat list of a sample's tokens (view after view, row-major in each), and :func:`gather` reads
it. The paper's section 3.1: one view per point, and the one patch of it that the point falls into. What it found to be
worse is there too: bilinear interpolation between patches, and aggregation over all views that show a point.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ditr.geometry.projection import patch_of

__all__ = ["NO_TOKEN", "Lift", "TokenGrid", "choose_view", "gather", "join", "token_grids", "tokens_of"]

NO_TOKEN = -1


@dataclass(frozen=True, eq=False)
class Lift:
    """Indices of image tokens for M points.

    Attributes:
        patch_index: (M, S) int64 into the flat list of the sample's tokens, -1 for none. S is 1 where each point takes
            one token.
        weight: (M, S) float32, or None where S is 1 and every token counts in full.
        token_count: length of the flat list.
        alternatives: A, which divides S: a point's feature is the maximum over A weighted sums of S / A consecutive
            tokens each. 1 for a weighted sum of all.

    Raises:
        ValueError: tensors of other shapes or types.
    """

    patch_index: Tensor
    weight: Tensor | None
    token_count: int
    alternatives: int = 1

    def __post_init__(self) -> None:
        if self.patch_index.ndim != 2 or self.patch_index.dtype != torch.int64:
            raise ValueError(f"patch_index is {self.patch_index.dtype} of shape {tuple(self.patch_index.shape)}")
        if self.weight is None:
            if self.patch_index.shape[1] != 1:
                raise ValueError(f"{self.patch_index.shape[1]} tokens per point need weights")
        elif self.weight.shape != self.patch_index.shape:
            raise ValueError(f"weights of shape {tuple(self.weight.shape)} for {tuple(self.patch_index.shape)} indices")
        if self.alternatives < 1 or self.patch_index.shape[1] % self.alternatives:
            raise ValueError(f"{self.patch_index.shape[1]} tokens per point are not {self.alternatives} alternatives")

    def __len__(self) -> int:
        return len(self.patch_index)

    @property
    def has_token(self) -> Tensor:
        """(M,) bool: whether some view gives the point a token."""
        return (self.patch_index >= 0).any(dim=1)

    def select(self, rows: Tensor) -> Lift:
        """The lift of a subset of the points, by index or mask."""
        weight = None if self.weight is None else self.weight[rows]
        return Lift(self.patch_index[rows], weight, self.token_count, self.alternatives)

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Lift:
        """A copy on another device."""
        weight = None if self.weight is None else self.weight.to(device, non_blocking=non_blocking)
        index = self.patch_index.to(device, non_blocking=non_blocking)
        return Lift(index, weight, self.token_count, self.alternatives)


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
    choice: Literal["random", "last", "nearest"],
    rng: np.random.Generator | None = None,
    distances: Iterable[NDArray[np.floating]] | None = None,
) -> Lift:
    """Give each point the token of one of the views that show it.

    Views are taken one at a time and forgotten again, so memory does not grow with their number.

    Args:
        tokens: for each view, (M,) from :func:`tokens_of`.
        point_count: M; also right where there are no views.
        token_count: length of the flat list of tokens.
        choice: "random" draws uniformly among the views that show a point, for each point on its own (the paper);
            "last" takes the last of them (the published code); "nearest" the one at the smallest distance, and of equal
            distances the first.
        rng: the source of "random".
        distances: for each view (M,), how far each point is from its camera; the measure of "nearest".

    Raises:
        ValueError: "random" without ``rng``, "nearest" without ``distances``, or a view with another number of points.
    """
    if choice == "random" and rng is None:
        raise ValueError("the choice 'random' needs a random generator")
    if choice == "nearest" and distances is None:
        raise ValueError("the choice 'nearest' needs distances")
    of_views = iter(() if distances is None else distances)
    smallest = np.full(point_count if choice == "nearest" else 0, np.inf)
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
        elif choice == "nearest":
            distance = next(of_views)
            shown = shown[distance[shown] < smallest[shown]]
            smallest[shown] = distance[shown]
        chosen[shown] = of_view[shown]
    return Lift(torch.from_numpy(chosen[:, None]), None, token_count)


def gather(tokens: Tensor, lift: Lift, missing: Tensor | None = None) -> Tensor:
    """Image features of points: their tokens, or the weighted sum of these, or the maximum of several such sums.

    Args:
        tokens: (T, D), all tokens of the sample (or batch) in the order of ``lift``; T may be 0.
        lift: M points.
        missing: (D,) the feature of points that no view shows; zeros where None (the paper).

    Returns:
        (M, D) in the type of ``tokens``. Entries without a token add nothing to a weighted sum, and a sum of nothing
        but those takes no part in a maximum.
    """
    empty = tokens.new_zeros(tokens.shape[1]) if missing is None else missing.to(tokens.dtype)
    index = lift.patch_index
    if lift.weight is None:
        # One more row stands for "none", so that one lookup serves all points.
        table = torch.cat([tokens, empty[None]])
        return table[torch.where(index < 0, len(tokens), index)[:, 0]]
    table = torch.cat([tokens, tokens.new_zeros(1, tokens.shape[1])])
    best: Tensor | None = None
    weights = lift.weight.to(tokens.dtype)
    for columns, parts in zip(index.chunk(lift.alternatives, 1), weights.chunk(lift.alternatives, 1), strict=True):
        rows = torch.where(columns < 0, len(tokens), columns)
        # Sums as it looks up: memory is that of the result, however many tokens a point has.
        total = functional.embedding_bag(rows, table, per_sample_weights=parts.contiguous(), mode="sum")
        if lift.alternatives > 1:
            total = torch.where((columns >= 0).any(dim=1, keepdim=True), total, -torch.inf)
        best = total if best is None else torch.maximum(best, total)
    assert best is not None
    if missing is None and lift.alternatives == 1:
        return best
    return torch.where(lift.has_token[:, None], best, empty)


def join(lifts: Sequence[Lift], *, shared: bool = False) -> Lift:
    """The lift of samples joined to a batch, whose tokens follow one another in the same order.

    Samples may have different numbers of tokens per point, and of alternatives; those of fewer are filled up with -1.
    With ``shared`` all samples look into one and the same list of tokens.

    Raises:
        ValueError: no samples.
    """
    if not lifts:
        raise ValueError("there must be a sample to join")
    alternatives = max(lift.alternatives for lift in lifts)
    each = max(lift.patch_index.shape[1] // lift.alternatives for lift in lifts)
    parts, weights, offset = [], [], 0
    for lift in lifts:
        index = lift.patch_index
        weight = torch.ones_like(index, dtype=torch.float32) if lift.weight is None else lift.weight
        parts.append(_filled(torch.where(index < 0, index, index + offset), lift.alternatives, alternatives, each, -1))
        weights.append(_filled(weight, lift.alternatives, alternatives, each, 0))
        offset += 0 if shared else lift.token_count
    weighted = any(lift.weight is not None for lift in lifts)
    count = lifts[0].token_count if shared else offset
    return Lift(torch.cat(parts), torch.cat(weights) if weighted else None, count, alternatives)


def _filled(values: Tensor, had: int, alternatives: int, each: int, fill: int) -> Tensor:
    """(M, S) in ``had`` alternatives -> (M, alternatives * each)."""
    apart = values.view(len(values), had, values.shape[1] // had)
    wide = functional.pad(apart, (0, each - apart.shape[2], 0, alternatives - had), value=fill)
    return wide.flatten(1)

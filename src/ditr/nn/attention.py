"""Serialized patch attention: cells attend to the cells near them along a space-filling curve (PTv3, section 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.pyramid import Level, PatchRun
from ditr.nn.pieces import ROWS, keeps_no_gradients
from ditr.nn.products import Linear, linear

__all__ = ["PatchAttention", "SampleTokens", "position_bound"]

_BIAS_BYTES = 64 << 20
"""Biases of relative positions are made for so many patches at a time."""


def position_bound(patch_size: int) -> int:
    """How many cells apart two cells may be before relative positions no longer tell the distance.

    The published formula int((4 K)^(1/3) * 2), in floating point, which ends just below some whole numbers: 15 and not
    16 for patches of 128 cells.
    """
    return int((4 * patch_size) ** (1 / 3) * 2)


@dataclass(frozen=True, eq=False)
class SampleTokens:
    """Tokens that are not cells, but that every cell of their sample attends to.

    Attributes:
        rows: (V, channels), one sample's after the other's.
        counts: how many each sample has; may be 0.
    """

    rows: Tensor
    counts: tuple[int, ...]


class PatchAttention(nn.Module):
    """Multi-head self-attention within the patches of one curve.

    Args:
        channels: width, a multiple of ``heads``.
        heads: number of heads.
        position_bound: b adds a learned bias to the attention between two cells: the sum over the axes of a table's
            entry for the difference of their coordinates, clamped to -b..b. None for no bias.
        half: queries, keys and values are rounded to half precision, and so is what attention gives, whatever the
            precision around it: the arithmetic with which the published figures were made.
    """

    def __init__(self, channels: int, heads: int, *, position_bound: int | None = None, half: bool = False) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.half_precision = half
        self.qkv = Linear(channels, 3 * channels)
        self.proj = Linear(channels, channels)
        self.bound = position_bound
        self.position_table: nn.Parameter | None = None
        if position_bound is not None:
            self.position_table = nn.Parameter(torch.empty(3 * (2 * position_bound + 1), heads))
            nn.init.trunc_normal_(self.position_table, std=0.02)

    def forward(self, x: Tensor, level: Level, curve: int, extra: SampleTokens | None = None) -> Tensor:
        """(n, channels) features of a level -> (n, channels), along the level's curve number ``curve``.

        ``extra`` are further keys and values in all patches of their sample, at no position.
        """
        gather, scatter = level.patches.gather[curve], level.patches.scatter[curve]
        # Without gradients a few patches at a time: queries, keys and values of all cells are never there at once.
        few = keeps_no_gradients(self, x)
        whole = None if few else self.qkv(x).index_select(0, gather)
        beside = None if extra is None else self._keys_and_values(extra)
        attended = []
        for run, more in _runs(level, beside):
            for part in _cut(run, ROWS) if few else (run,):
                span = slice(part.start, part.start + part.count * part.length)
                slots = self.qkv(x.index_select(0, gather[span])) if whole is None else whole[span]
                if self.half_precision:
                    slots = _rounded_to_half(slots)
                grid = None if self.position_table is None else level.grid.index_select(0, gather[span])
                attended.append(self._attend(slots, grid, part, more))
        joined = attended[0] if len(attended) == 1 else torch.cat(attended)
        del attended
        if self.half_precision:
            joined = joined.half()
        if whole is not None:
            result: Tensor = self.proj(joined.index_select(0, scatter).to(whole.dtype))
            return result
        out = torch.empty_like(x)
        for slots, into in zip(torch.split(scatter, ROWS), torch.split(out, ROWS), strict=True):
            into.copy_(self.proj(joined.index_select(0, slots).to(x.dtype)))
        return out

    def _keys_and_values(self, extra: SampleTokens) -> SampleTokens:
        """(V, channels) -> (V, 2 channels), as the cells' own keys and values are made."""
        channels = extra.rows.shape[1]
        rows = linear(extra.rows, self.qkv.weight[channels:], self.qkv.bias[channels:])
        return SampleTokens(_rounded_to_half(rows) if self.half_precision else rows, extra.counts)

    def _attend(self, slots: Tensor, grid: Tensor | None, run: PatchRun, more: Tensor | None) -> Tensor:
        """(slots, 3 channels) of a run of patches, and (V, 2 channels) beside them -> (slots, channels)."""
        channels = slots.shape[1] // 3
        heads = slots.view(run.count, run.length, 3, self.heads, channels // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if more is not None:
            added = more.view(1, len(more), 2, self.heads, channels // self.heads).expand(run.count, -1, -1, -1, -1)
            more_keys, more_values = added.permute(2, 0, 3, 1, 4)
            key, value = torch.cat([key, more_keys], dim=2), torch.cat([value, more_values], dim=2)
        if grid is None:
            out = functional.scaled_dot_product_attention(query, key, value)
            return out.transpose(1, 2).reshape(-1, channels)
        cells = grid.view(run.count, run.length, 3)
        at_once = max(1, _BIAS_BYTES // (4 * self.heads * run.length**2))
        parts = []
        for start in range(0, run.count, at_once):
            piece = slice(start, start + at_once)
            bias = self._position_bias(cells[piece]).to(query.dtype)
            bias = bias if more is None else functional.pad(bias, (0, len(more)))
            parts.append(functional.scaled_dot_product_attention(query[piece], key[piece], value[piece], bias))
        return torch.cat(parts).transpose(1, 2).reshape(-1, channels)

    def _position_bias(self, cells: Tensor) -> Tensor:
        """(patches, K, 3) cell coordinates -> (patches, heads, K, K), the row being the query's cell."""
        assert self.position_table is not None and self.bound is not None
        difference = (cells[:, :, None] - cells[:, None]).clamp_(-self.bound, self.bound) + self.bound
        rows = 2 * self.bound + 1
        bias = self.position_table.new_zeros(*difference.shape[:3], self.heads)
        for axis in range(3):
            entries = self.position_table[axis * rows : (axis + 1) * rows]
            bias = bias + entries.index_select(0, difference[..., axis].flatten()).view_as(bias)
        return bias.permute(0, 3, 1, 2)


def _runs(level: Level, extra: SampleTokens | None) -> Iterator[tuple[PatchRun, Tensor | None]]:
    """The patches in order of their slots; with tokens beside them, cut where another sample begins."""
    if extra is None:
        yield from ((run, None) for run in level.patches.runs)
        return
    runs = iter(level.patches.runs)
    left, start = next(runs), 0
    for (begin, end), rows in zip(pairwise(level.offsets), torch.split(extra.rows, list(extra.counts)), strict=True):
        left = left if left.count else next(runs)
        # A sample is one patch of all its cells or several of the longest length; both follow from its size.
        count = -(-(end - begin) // left.length)
        yield PatchRun(start, count, left.length), rows
        start += count * left.length
        left = PatchRun(start, left.count - count, left.length)


def _cut(run: PatchRun, slots: int) -> Iterator[PatchRun]:
    """A run as runs of at most so many slots, and of at least one patch."""
    at_once = max(1, slots // run.length)
    for first in range(0, run.count, at_once):
        yield PatchRun(run.start + first * run.length, min(at_once, run.count - first), run.length)


def _rounded_to_half(x: Tensor) -> Tensor:
    """Half precision on a GPU; elsewhere the same numbers in single precision, which CPUs compute with faster."""
    rounded = x.half()
    return rounded if x.is_cuda else rounded.float()

"""Serialized patch attention: cells attend to the cells near them along a space-filling curve (PTv3, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.pyramid import Level, PatchRun

__all__ = ["PatchAttention", "position_bound"]

_BIAS_BYTES = 64 << 20
"""Biases of relative positions are made for so many patches at a time."""


def position_bound(patch_size: int) -> int:
    """How many cells apart two cells may be before relative positions no longer tell the distance.

    The published formula int((4 K)^(1/3) * 2), in floating point, which ends just below some whole numbers: 15 and not
    16 for patches of 128 cells.
    """
    return int((4 * patch_size) ** (1 / 3) * 2)


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
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.bound = position_bound
        self.position_table: nn.Parameter | None = None
        if position_bound is not None:
            self.position_table = nn.Parameter(torch.empty(3 * (2 * position_bound + 1), heads))
            nn.init.trunc_normal_(self.position_table, std=0.02)

    def forward(self, x: Tensor, level: Level, curve: int) -> Tensor:
        """(n, channels) features of a level -> (n, channels), along the level's curve number ``curve``."""
        patches = level.patches
        qkv = self.qkv(x)
        slots = qkv.index_select(0, patches.gather[curve])
        if self.half_precision:
            slots = _rounded_to_half(slots)
        grid = None if self.position_table is None else level.grid.index_select(0, patches.gather[curve])
        attended = []
        for run in patches.runs:
            span = slice(run.start, run.start + run.count * run.length)
            attended.append(self._attend(slots[span], None if grid is None else grid[span], run))
        joined = attended[0] if len(attended) == 1 else torch.cat(attended)
        if self.half_precision:
            joined = joined.half()
        result: Tensor = self.proj(joined.index_select(0, patches.scatter[curve]).to(qkv.dtype))
        return result

    def _attend(self, slots: Tensor, grid: Tensor | None, run: PatchRun) -> Tensor:
        """(slots, 3 channels) of a run of patches -> (slots, channels)."""
        channels = slots.shape[1] // 3
        heads = slots.view(run.count, run.length, 3, self.heads, channels // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if grid is None:
            out = functional.scaled_dot_product_attention(query, key, value)
            return out.transpose(1, 2).reshape(-1, channels)
        cells = grid.view(run.count, run.length, 3)
        at_once = max(1, _BIAS_BYTES // (4 * self.heads * run.length**2))
        parts = []
        for start in range(0, run.count, at_once):
            piece = slice(start, start + at_once)
            bias = self._position_bias(cells[piece]).to(query.dtype)
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


def _rounded_to_half(x: Tensor) -> Tensor:
    """Half precision on a GPU; elsewhere the same numbers in single precision, which CPUs compute with faster."""
    rounded = x.half()
    return rounded if x.is_cuda else rounded.float()

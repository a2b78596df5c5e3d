"""Serialized patch attention: cells attend to the cells near them along a space-filling curve (PTv3, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ditr.geometry.pyramid import Level

__all__ = ["PatchAttention"]


class PatchAttention(nn.Module):
    """Multi-head self-attention within the patches of one curve.

    Args:
        channels: width, a multiple of ``heads``.
        heads: number of heads.
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not divide into {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, level: Level, curve: int) -> Tensor:
        """(n, channels) features of a level -> (n, channels), along the level's curve number ``curve``."""
        channels = x.shape[1]
        patches = level.patches
        qkv = self.qkv(x).index_select(0, patches.gather[curve])
        attended = []
        for run in patches.runs:
            span = qkv[run.start : run.start + run.count * run.length]
            heads = span.view(run.count, run.length, 3, self.heads, channels // self.heads)
            query, key, value = heads.permute(2, 0, 3, 1, 4)
            out = functional.scaled_dot_product_attention(query, key, value)
            attended.append(out.transpose(1, 2).reshape(-1, channels))
        joined = attended[0] if len(attended) == 1 else torch.cat(attended)
        result: Tensor = self.proj(joined.index_select(0, patches.scatter[curve]))
        return result

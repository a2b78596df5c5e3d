"""The building blocks of Point Transformer V3: functions of (features, level)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ditr.geometry.pyramid import Level
from ditr.nn.attention import PatchAttention
from ditr.nn.sparse_conv import SubmanifoldConv

__all__ = ["Block", "DropPath", "LinearNormAct", "Pool", "Stem", "batch_norm"]


def batch_norm(channels: int) -> nn.BatchNorm1d:
    """BatchNorm with PTv3's constants."""
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)


class DropPath(nn.Module):
    """Leave out a residual branch at random, for each point on its own, and scale what stays by 1 / (1 - p).

    The published code drops single points, not samples; so does this.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"a branch cannot be dropped with probability {probability}")
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels) -> (n, channels)."""
        if not self.training or self.probability == 0:
            return x
        keep = 1 - self.probability
        return x * (torch.rand(len(x), 1, device=x.device, dtype=x.dtype) < keep) / keep


class Stem(nn.Module):
    """Input features to the width of the first stage: convolution, BatchNorm, GELU."""

    def __init__(self, in_channels: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(in_channels, channels, kernel, bias=False)
        self.norm = batch_norm(channels)
        self.act = nn.GELU()

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        out: Tensor = self.act(self.norm(self.conv(x, level)))
        return out


class LinearNormAct(nn.Module):
    """A linear projection, BatchNorm and GELU: each branch f of the paper's fusion (section 3.1)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)
        self.norm = batch_norm(channels)
        self.act = nn.GELU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        out: Tensor = self.act(self.norm(self.linear(x)))
        return out


class Position(nn.Module):
    """The conditional positional encoding: a 3 x 3 x 3 convolution, a linear layer and LayerNorm."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(channels, channels, kernel, bias=True)
        self.linear = nn.Linear(channels, channels)
        self.norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """(n, channels) -> (n, channels)."""
        out: Tensor = self.norm(self.linear(self.conv(x, level)))
        return out


class Block(nn.Module):
    """One transformer block: positional branch, attention, MLP; each is added to what came before.

    Args:
        channels, heads: width and attention heads.
        mlp_ratio: the MLP's width over the block's.
        drop_path: probability of dropping attention and MLP at a point.
        curve: which of a level's curves the attention follows.
        kernel: edge of the positional convolution's kernel.
    """

    def __init__(
        self, channels: int, heads: int, *, mlp_ratio: int, drop_path: float, curve: int, kernel: int = 3
    ) -> None:
        super().__init__()
        self.curve = curve
        self.position = Position(channels, kernel)
        self.norm1 = nn.LayerNorm(channels)
        self.attention = PatchAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(
            nn.Linear(channels, mlp_ratio * channels), nn.GELU(), nn.Linear(mlp_ratio * channels, channels)
        )
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, level: Level, conv_input: Tensor | None = None) -> Tensor:
        """(n, channels) -> (n, channels).

        ``conv_input`` is what the positional convolution reads, where that is not ``x`` (see ``Decoder``).
        """
        x = x + self.position(x if conv_input is None else conv_input, level)
        x = x + self.drop_path(self.attention(self.norm1(x), level, self.curve))
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


class Pool(nn.Module):
    """To the next coarser level: linear projection, maximum over each cell, BatchNorm, GELU (in this order)."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, channels)
        self.norm = batch_norm(channels)
        self.act = nn.GELU()

    def forward(self, x: Tensor, level: Level) -> Tensor:
        """(n, in_channels) features of ``level`` -> (m, channels) features of the next coarser one."""
        if level.children is None:
            raise ValueError("the coarsest level cannot be pooled")
        projected = self.linear(x)
        children = projected.index_select(0, level.children.view(-1)).view(*level.children.shape, -1)
        out: Tensor = self.act(self.norm(children.max(dim=1).values))
        return out

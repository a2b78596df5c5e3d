"""The building blocks of Point Transformer V3: functions of (features, level)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ditr.geometry.pyramid import Level, Pyramid
from ditr.nn.attention import PatchAttention, SampleTokens
from ditr.nn.norms import Condition, DatasetNorms, as_affine, batch_norm, layer_norm, normalize
from ditr.nn.pieces import add, by_rows, keeps_no_gradients, largest
from ditr.nn.products import Linear, linear
from ditr.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv

__all__ = ["Block", "BlockOptions", "DropPath", "LayerScale", "LinearNormAct", "Pool", "Stem", "check_input"]
__all__ += ["conv_norm"]


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


def conv_norm(
    conv: SubmanifoldConv | StridedConv | InverseConv,
    norm: nn.Module,
    x: Tensor,
    level: Level,
    condition: Condition | None,
) -> Tensor:
    """A convolution and its norm, in one where nothing is learned."""
    fold = as_affine(norm, condition)
    return normalize(norm, conv(x, level), condition) if fold is None else conv(x, level, fold)


class Stem(nn.Module):
    """Input features to the width of the first stage: convolution, BatchNorm, GELU."""

    def __init__(self, in_channels: int, channels: int, kernel: int, norms: DatasetNorms | None = None) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(in_channels, channels, kernel, bias=False)
        self.norm = batch_norm(channels, norms)
        self.act = nn.GELU()

    def forward(self, x: Tensor, level: Level, condition: Condition | None = None) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        out: Tensor = self.act(conv_norm(self.conv, self.norm, x, level, condition))
        return out


class LinearNormAct(nn.Module):
    """A linear projection, BatchNorm and GELU: each branch f of the paper's fusion (section 3.1)."""

    def __init__(self, in_channels: int, channels: int, norms: DatasetNorms | None = None) -> None:
        super().__init__()
        self.linear = Linear(in_channels, channels)
        self.norm = batch_norm(channels, norms)
        self.act = nn.GELU()

    def forward(self, x: Tensor, condition: Condition | None = None) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        fold = as_affine(self.norm, condition)
        if fold is not None:
            weight, bias = self.linear.weight * fold.scale[:, None], self.linear.bias * fold.scale + fold.shift
            return linear(x, weight, bias, gelu=True)
        out: Tensor = self.act(normalize(self.norm, self.linear(x), condition))
        return out


class Position(nn.Module):
    """The conditional positional encoding: a 3 x 3 x 3 convolution, a linear layer and LayerNorm."""

    def __init__(self, channels: int, kernel: int, norms: DatasetNorms | None = None) -> None:
        super().__init__()
        self.conv = SubmanifoldConv(channels, channels, kernel, bias=True)
        self.linear = Linear(channels, channels)
        self.norm = layer_norm(channels, norms)

    def forward(self, x: Tensor, level: Level, condition: Condition | None = None) -> Tensor:
        """(n, channels) -> (n, channels)."""
        out = self.conv(x, level)
        if keeps_no_gradients(self, out):
            return by_rows(lambda rows: normalize(self.norm, self.linear(rows), condition), out)
        return normalize(self.norm, self.linear(out), condition)


class LayerScale(nn.Module):
    """A learned factor per channel, at first ``value``, on a residual branch."""

    def __init__(self, channels: int, value: float) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((channels,), value))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels) -> (n, channels)."""
        return x * self.gamma


@dataclass(frozen=True)
class BlockOptions:
    """What all blocks of a network have in common.

    Attributes:
        mlp_ratio: the MLP's width over the block's.
        kernel: edge of the positional convolution's kernel.
        pre_norm: whether norms stand before attention and MLP, or after the sums.
        layer_scale: initial value of :class:`LayerScale`; None for a network without.
        position_bound: see :class:`ditr.nn.attention.PatchAttention`.
        half_attention: see :class:`ditr.nn.attention.PatchAttention`.
        norms: which norms exist once per dataset.
    """

    mlp_ratio: int = 4
    kernel: int = 3
    pre_norm: bool = True
    layer_scale: float | None = None
    position_bound: int | None = None
    half_attention: bool = False
    norms: DatasetNorms | None = None


class MLP(nn.Sequential):
    """Two linear layers with GELU between them."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(Linear(channels, width), nn.GELU(), Linear(width, channels))

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels) -> (n, channels)."""
        first, _, second = self
        out: Tensor = second(first(input, gelu=True))
        return out


class Block(nn.Module):
    """One transformer block: positional branch, attention, MLP; each is added to what came before.

    Args:
        channels: width.
        heads: of the attention.
        drop_path: probability of dropping attention and MLP at a point.
        curve: which of a level's curves the attention follows.
        options: what the network's blocks have in common.
    """

    def __init__(
        self, channels: int, heads: int, *, drop_path: float, curve: int, options: BlockOptions | None = None
    ) -> None:
        super().__init__()
        options = options or BlockOptions()
        self.curve = curve
        self.pre_norm = options.pre_norm
        self.position = Position(channels, options.kernel, options.norms)
        self.norm1 = layer_norm(channels, options.norms)
        self.attention = PatchAttention(
            channels, heads, position_bound=options.position_bound, half=options.half_attention
        )
        self.norm2 = layer_norm(channels, options.norms)
        width = options.mlp_ratio * channels
        self.mlp = MLP(channels, width)
        scale = options.layer_scale
        self.scale1 = None if scale is None else LayerScale(channels, scale)
        self.scale2 = None if scale is None else LayerScale(channels, scale)
        self.drop_path = DropPath(drop_path)

    def forward(
        self,
        x: Tensor,
        level: Level,
        condition: Condition | None = None,
        *,
        conv_input: Tensor | None = None,
        extra: SampleTokens | None = None,
    ) -> Tensor:
        """(n, channels) -> (n, channels).

        ``conv_input`` is what the positional convolution reads, where that is not ``x`` (see ``DecoderStage``);
        ``extra`` is what the cells attend to beside one another.
        """
        # From here on x is this block's own, and may be overwritten.
        x = add(self.position(x if conv_input is None else conv_input, level, condition), x)
        if self.pre_norm:
            x = add(x, self._attend(normalize(self.norm1, x, condition), level, extra))
        else:
            x = normalize(self.norm1, add(x, self._attend(x, level, extra)), condition)
        return by_rows(self._last(condition), x) if keeps_no_gradients(self, x) else self._last(condition)(x)

    def _last(self, condition: Condition | None) -> Callable[[Tensor], Tensor]:
        """The MLP with its norm and the sum around it, a function of single rows."""
        if self.pre_norm:
            return lambda x: add(self._transform(normalize(self.norm2, x, condition)), x)
        return lambda x: normalize(self.norm2, add(self._transform(x), x), condition)

    def _attend(self, x: Tensor, level: Level, extra: SampleTokens | None) -> Tensor:
        out: Tensor = self.attention(x, level, self.curve, extra)
        if self.scale1 is not None:
            out = self.scale1(out)
        dropped: Tensor = self.drop_path(out)
        return dropped

    def _transform(self, x: Tensor) -> Tensor:
        out: Tensor = self.mlp(x)
        if self.scale2 is not None:
            out = self.scale2(out)
        dropped: Tensor = self.drop_path(out)
        return dropped


class Pool(nn.Module):
    """To the next coarser level: linear projection, maximum over each cell, BatchNorm, GELU (in this order)."""

    def __init__(self, in_channels: int, channels: int, norms: DatasetNorms | None = None) -> None:
        super().__init__()
        self.linear = Linear(in_channels, channels)
        self.norm = batch_norm(channels, norms)
        self.act = nn.GELU()

    def forward(self, x: Tensor, level: Level, condition: Condition | None = None) -> Tensor:
        """(n, in_channels) features of ``level`` -> (m, channels) features of the next coarser one."""
        if level.children is None:
            raise ValueError("the coarsest level cannot be pooled")
        projected = self.linear(x)
        if keeps_no_gradients(self, x):
            most = largest(projected, level.children)
        else:
            children = projected.index_select(0, level.children.view(-1)).view(*level.children.shape, -1)
            most = children.max(dim=1).values
        out: Tensor = self.act(normalize(self.norm, most, condition))
        return out


def check_input(features: Tensor, pyramid: Pyramid, channels: int, levels: int) -> None:
    """The features are of this pyramid's finest cells, and both are made for a network of these sizes.

    Raises:
        ValueError: they are not.
    """
    cells = len(pyramid.levels[0])
    if features.shape != (cells, channels):
        raise ValueError(f"features of shape {tuple(features.shape)} for {cells} voxels and {channels} input channels")
    if len(pyramid.levels) != levels:
        raise ValueError(f"a pyramid of {len(pyramid.levels)} levels for a network of {levels}")

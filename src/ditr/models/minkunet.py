"""MinkUNet: a U-Net of sparse convolutions, the second student of the paper's distillation (section 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ditr.errors import InputError
from ditr.geometry.curves import Curve
from ditr.geometry.pyramid import Level, Pyramid, PyramidSpec
from ditr.models.minkunet_names import STEMS, MinkUNetNames, stages
from ditr.models.published_names import Shapes, Unseen, norms_of, shape_of
from ditr.nn.blocks import check_input, conv_norm
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Condition, DatasetNorms, batch_norm, normalize
from ditr.nn.products import Linear
from ditr.nn.sparse_conv import InverseConv, StridedConv, SubmanifoldConv

__all__ = ["MinkUNet", "MinkUNetConfig"]


@dataclass(frozen=True)
class MinkUNetConfig:
    """Sizes of the network; the defaults are those of the published models.

    The stem works on the finest level, encoder stage s on level s + 1, decoder stage s on level s; all values are
    listed by stage, the finest first. ``norms`` keeps the statistics of several datasets apart.

    Raises:
        ValueError: sizes that describe no network.
    """

    in_channels: int = 6
    stem_channels: int = 32
    encoder_depths: tuple[int, ...] = (2, 3, 4, 6)
    encoder_channels: tuple[int, ...] = (32, 64, 128, 256)
    decoder_depths: tuple[int, ...] = (2, 2, 2, 2)
    decoder_channels: tuple[int, ...] = (96, 96, 128, 256)
    stem_kernel: int = 5
    kernel: int = 3
    norms: DatasetNorms | None = None
    kind: Literal["minkunet"] = "minkunet"

    title: ClassVar[str] = "MinkUNet"
    image_width: ClassVar[None] = None  # no variant of this network takes images
    reads_cls: ClassVar[bool] = False
    head_std: ClassVar[float | None] = 0.02  # as published: the head is one of the network's convolutions

    def __post_init__(self) -> None:
        lengths = {len(self.encoder_depths), len(self.encoder_channels)}
        if lengths != {len(self.decoder_depths)} or lengths != {len(self.decoder_channels)}:
            raise ValueError("depths and channels of encoder and decoder must be of one length")
        if lengths == {0}:
            raise ValueError("the network needs at least one stage")
        _ = self.pyramid  # which refuses kernels that there are no neighbour tables for

    @property
    def pyramid(self) -> PyramidSpec:
        """The geometry that this network asks for: one curve, which orders the cells."""
        return PyramidSpec(
            levels=len(self.encoder_channels) + 1,
            curves=(Curve.Z,),
            stem_kernel=self.stem_kernel,
            kernel=self.kernel,
        )

    def for_input(self, in_channels: int, image_width: int | None) -> MinkUNetConfig:
        if image_width is not None:
            raise InputError(
                "network",
                f"{self.title} takes no image features",
                "Leave the encoder out, or distil (`ditr train --distill`)",
            )
        return replace(self, in_channels=in_channels)

    def build(self) -> MinkUNet:
        return MinkUNet(self)

    def published_names(self) -> MinkUNetNames:
        return MinkUNetNames(per_dataset=self.norms is not None)

    @classmethod
    def recognize(cls, shapes: Shapes, unseen: Unseen) -> MinkUNetConfig | None:
        stem = next((name for name in reversed(STEMS) if name in shapes), None)
        if stem is None:
            return None
        outputs, stem_kernel, *_, inputs = shape_of(shapes, stem, 5)
        encoder_depths, encoder_channels = stages(shapes, "enc")
        decoder_depths, decoder_channels = stages(shapes, "dec")
        return cls(
            in_channels=inputs,
            stem_channels=outputs,
            encoder_depths=encoder_depths,
            encoder_channels=encoder_channels,
            decoder_depths=decoder_depths,
            decoder_channels=decoder_channels,
            stem_kernel=stem_kernel,
            kernel=shape_of(shapes, "backbone.enc.0.block0.conv1.weight", 5)[1],
            norms=norms_of(shapes, unseen.datasets, batch="backbone.conv_input.bn.bns."),
        )


class ConvNormAct(nn.Module):
    """A sparse convolution, a norm and ReLU."""

    def __init__(
        self, conv: SubmanifoldConv | StridedConv | InverseConv, channels: int, norms: DatasetNorms | None
    ) -> None:
        super().__init__()
        self.conv = conv
        self.norm = batch_norm(channels, norms)

    def forward(self, x: Tensor, level: Level, condition: Condition | None) -> Tensor:
        """``level`` is the finer one of those that the convolution connects."""
        return conv_norm(self.conv, self.norm, x, level, condition).relu_()


class Shortcut(nn.Module):
    """What a residual block adds where its width changes: a linear layer and a norm."""

    def __init__(self, in_channels: int, channels: int, norms: DatasetNorms | None) -> None:
        super().__init__()
        self.linear = Linear(in_channels, channels, bias=False)
        self.norm = batch_norm(channels, norms)

    def forward(self, x: Tensor, condition: Condition | None) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        return normalize(self.norm, self.linear(x), condition)


class ResidualBlock(nn.Module):
    """Two convolutions, each with a norm, and a shortcut around them.

    Args:
        in_channels, channels: widths.
        kernel: edge of the convolutions' kernels.
        norms: which norms exist once per dataset.
    """

    def __init__(self, in_channels: int, channels: int, kernel: int, norms: DatasetNorms | None) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv(in_channels, channels, kernel, bias=False)
        self.norm1 = batch_norm(channels, norms)
        self.conv2 = SubmanifoldConv(channels, channels, kernel, bias=False)
        self.norm2 = batch_norm(channels, norms)
        self.shortcut = Shortcut(in_channels, channels, norms) if in_channels != channels else None

    def forward(self, x: Tensor, level: Level, condition: Condition | None) -> Tensor:
        """(n, in_channels) -> (n, channels)."""
        out = conv_norm(self.conv1, self.norm1, x, level, condition).relu_()
        out = conv_norm(self.conv2, self.norm2, out, level, condition)
        return out.add_(x if self.shortcut is None else self.shortcut(x, condition)).relu_()


class EncoderStage(nn.Module):
    """A strided convolution to the next coarser level and residual blocks there."""

    def __init__(self, config: MinkUNetConfig, stage: int) -> None:
        super().__init__()
        inputs = (config.stem_channels, *config.encoder_channels)[stage]
        channels = config.encoder_channels[stage]
        self.down = ConvNormAct(StridedConv(inputs, channels), channels, config.norms)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels, channels, config.kernel, config.norms) for _ in range(config.encoder_depths[stage])
        )

    def forward(self, x: Tensor, pyramid: Pyramid, stage: int, condition: Condition | None) -> Tensor:
        """Features of level ``stage`` -> features of level ``stage + 1``."""
        x = self.down(x, pyramid.levels[stage], condition)
        for block in self.blocks:
            x = block(x, pyramid.levels[stage + 1], condition)
        return x


class DecoderStage(nn.Module):
    """An inverse convolution from the next coarser level, the skip beside it, and residual blocks."""

    def __init__(self, config: MinkUNetConfig, stage: int) -> None:
        super().__init__()
        below = (*config.decoder_channels, config.encoder_channels[-1])[stage + 1]
        skip = (config.stem_channels, *config.encoder_channels)[stage]
        channels = config.decoder_channels[stage]
        self.up = ConvNormAct(InverseConv(below, channels), channels, config.norms)
        self.blocks = nn.ModuleList(
            ResidualBlock(channels if index else channels + skip, channels, config.kernel, config.norms)
            for index in range(config.decoder_depths[stage])
        )

    def forward(self, coarse: Tensor, skip: Tensor, level: Level, condition: Condition | None) -> Tensor:
        """Features of the level below and those that the encoder gave for ``level`` -> features of ``level``."""
        x = torch.cat([self.up(coarse, level, condition), skip], dim=1)
        for block in self.blocks:
            x = block(x, level, condition)
        return x


class MinkUNet(nn.Module):
    """The backbone: features of voxels in, features of voxels out."""

    encodes_images = False

    def __init__(self, config: MinkUNetConfig) -> None:
        super().__init__()
        self.config = config
        self.out_channels = config.decoder_channels[0]
        self.bottleneck_channels = config.encoder_channels[-1]
        stem = SubmanifoldConv(config.in_channels, config.stem_channels, config.stem_kernel, bias=False)
        self.stem = ConvNormAct(stem, config.stem_channels, config.norms)
        self.encoder = nn.ModuleList(EncoderStage(config, stage) for stage in range(len(config.encoder_depths)))
        self.decoder = nn.ModuleList(DecoderStage(config, stage) for stage in range(len(config.decoder_depths)))
        for module in self.modules():
            # Convolutions between levels keep their own initialization, as in the published code.
            if isinstance(module, (nn.Linear, SubmanifoldConv)):
                nn.init.trunc_normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> Tensor:
        """(M, in_channels) features of the finest cells -> (M, decoder_channels[0]); no image is read."""
        return self.decode(self.encode(features, pyramid, image, condition), pyramid, image, condition)

    def encode(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> list[Tensor]:
        """Arguments as for :meth:`forward` -> features of every level, finest first: stem, then encoder stages."""
        check_input(features, pyramid, self.config.in_channels, len(self.encoder) + 1)
        skips: list[Tensor] = [self.stem(features, pyramid.levels[0], condition)]
        for stage, encoder in enumerate(self.encoder):
            skips.append(encoder(skips[-1], pyramid, stage, condition))
        return skips

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        """What :meth:`encode` gives -> (M, decoder_channels[0])."""
        x = skips[-1]
        for stage in range(len(self.decoder) - 1, -1, -1):
            x = self.decoder[stage](x, skips[stage], pyramid.levels[stage], condition)
        return x

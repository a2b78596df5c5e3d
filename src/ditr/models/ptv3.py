"""Point Transformer V3, and DITR, which is the same network with image features in its decoder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from ditr.errors import InputError
from ditr.geometry.curves import ALL_CURVES, Curve
from ditr.geometry.pyramid import Pyramid, PyramidSpec
from ditr.models import ptv3_names as names
from ditr.models.injection import Fusion, Injection, TokenTable
from ditr.models.published_names import Shapes, Unseen, last_dimension, norms_of, shape_of
from ditr.nn.blocks import Block, BlockOptions, Pool, Stem, check_input
from ditr.nn.image_features import ImageFeatures
from ditr.nn.norms import Condition, DatasetNorms

__all__ = ["DecoderStage", "PTv3", "PTv3Config", "learned_embedding"]


@dataclass(frozen=True)
class PTv3Config:
    """Sizes of the network; the defaults are those of every published DITR model.

    Decoder values are listed by level, the finest first. ``image_width`` is the width of the image tokens and makes
    the network DITR; without it this is plain PTv3. ``injection`` is where they join it; the published models have the
    default, and the places that this file does not know are in :mod:`ditr.models.injection_variants`.
    ``missing_embedding`` learns a feature for points that no view sees, in place of zeros. ``image_drop`` leaves out
    image features of single cells in training. The remaining options are off in all published DITR models; inherited
    checkpoints use them (see :class:`ditr.nn.blocks.BlockOptions`).
    """

    in_channels: int = 6
    encoder_depths: tuple[int, ...] = (2, 2, 2, 6, 2)
    encoder_channels: tuple[int, ...] = (32, 64, 128, 256, 512)
    encoder_heads: tuple[int, ...] = (2, 4, 8, 16, 32)
    decoder_depths: tuple[int, ...] = (2, 2, 2, 2)
    decoder_channels: tuple[int, ...] = (64, 64, 128, 256)
    decoder_heads: tuple[int, ...] = (4, 4, 8, 16)
    curves: tuple[Curve, ...] = ALL_CURVES
    patch_size: int = 1024
    stem_kernel: int = 5
    kernel: int = 3
    mlp_ratio: int = 4
    drop_path: float = 0.3
    image_width: int | None = None
    injection: Injection = Injection.DECODER
    missing_embedding: bool = False
    image_drop: float = 0.0
    pre_norm: bool = True
    layer_scale: float | None = None
    position_bound: int | None = None
    half_attention: bool = False
    norms: DatasetNorms | None = None
    kind: Literal["ptv3"] = "ptv3"

    title: ClassVar[str] = "Point Transformer V3"
    head_std: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        levels = len(self.encoder_channels)
        if levels < 2:
            raise ValueError("the network needs at least two levels")
        lengths = {len(self.encoder_depths), len(self.encoder_heads), levels}
        if len(lengths) != 1:
            raise ValueError("encoder depths, channels and heads must be of one length")
        if {len(self.decoder_depths), len(self.decoder_channels), len(self.decoder_heads)} != {levels - 1}:
            raise ValueError("the decoder has one stage fewer than the encoder")
        if self.injection is Injection.NONE and self.image_width is not None:
            raise ValueError("a network without injection takes no images: leave out the image_width (the encoder)")
        if self.injection is Injection.CLS and (self.missing_embedding or self.image_drop):
            raise ValueError("[cls] tokens belong to no point: leave out missing_embedding and image_drop")

    def image_width_at(self, stage: int) -> int | None:
        """``image_width`` where decoder stage ``stage`` has an image branch, else None."""
        stages = {Injection.DECODER: len(self.decoder_depths), Injection.LAST: 1}
        return self.image_width if stage < stages.get(self.injection, 0) else None

    @property
    def reads_cls(self) -> bool:
        return self.injection is Injection.CLS

    @property
    def pyramid(self) -> PyramidSpec:
        """The geometry that this network asks for."""
        return PyramidSpec(
            levels=len(self.encoder_channels),
            curves=self.curves,
            stem_kernel=self.stem_kernel,
            kernel=self.kernel,
            patch_size=self.patch_size,
        )

    @property
    def block(self) -> BlockOptions:
        """What the blocks have in common."""
        return BlockOptions(
            mlp_ratio=self.mlp_ratio,
            kernel=self.kernel,
            pre_norm=self.pre_norm,
            layer_scale=self.layer_scale,
            position_bound=self.position_bound,
            half_attention=self.half_attention,
            norms=self.norms,
        )

    def for_input(self, in_channels: int, image_width: int | None) -> PTv3Config:
        if self.missing_embedding and image_width is None:
            raise InputError("missing_embedding", "the network sees no images that could be missing", "Give an encoder")
        return replace(self, in_channels=in_channels, image_width=image_width)

    def build(self) -> PTv3:
        return PTv3(self)

    def published_names(self) -> names.PTv3Names:
        return names.PTv3Names()

    @classmethod
    def recognize(cls, shapes: Shapes, unseen: Unseen) -> PTv3Config | None:
        if names.STEM not in shapes:
            return None
        _, stem_kernel, *_, in_channels = shape_of(shapes, names.STEM, 5)
        encoder, decoder, block = names.stages(shapes, "enc"), names.stages(shapes, "dec"), names.FIRST_BLOCK
        bound = None
        if f"{block}attn.rpe.rpe_table" in shapes:
            bound = (shape_of(shapes, f"{block}attn.rpe.rpe_table", 2)[0] // 3 - 1) // 2
        return cls(
            in_channels=in_channels,
            encoder_depths=tuple(stage.depth for stage in encoder),
            encoder_channels=tuple(stage.channels for stage in encoder),
            encoder_heads=tuple(stage.heads for stage in encoder),
            decoder_depths=tuple(stage.depth for stage in decoder),
            decoder_channels=tuple(stage.channels for stage in decoder),
            decoder_heads=tuple(stage.heads for stage in decoder),
            patch_size=names.patch_size(bound) if unseen.patch_size is None else unseen.patch_size,
            stem_kernel=stem_kernel,
            kernel=shape_of(shapes, f"{block}cpe.0.weight", 5)[1],
            mlp_ratio=shape_of(shapes, f"{block}mlp.0.fc1.weight", 2)[0] // encoder[0].channels,
            image_width=last_dimension(shapes, names.IMAGE_BRANCH.format(0)),
            injection=names.injection_of(shapes, len(decoder)),
            missing_embedding="backbone.missing_feature_embedding" in shapes,
            pre_norm=unseen.pre_norm,
            layer_scale=1.0 if f"{block}ls1.0.gamma" in shapes else None,
            position_bound=bound,
            norms=norms_of(
                shapes, unseen.datasets, batch="backbone.embedding.stem.norm.norm.", layer=f"{block}norm1.0.norm."
            ),
        )


class EncoderStage(nn.Module):
    """Pooling (except on the finest level) and transformer blocks."""

    def __init__(self, config: PTv3Config, stage: int, drop_path: list[float]) -> None:
        super().__init__()
        channels = config.encoder_channels[stage]
        self.pool = Pool(config.encoder_channels[stage - 1], channels, config.norms) if stage else None
        self.blocks = _blocks(config, channels, config.encoder_heads[stage], drop_path)

    def forward(self, features: Tensor, pyramid: Pyramid, stage: int, condition: Condition | None) -> Tensor:
        x: Tensor = features
        if self.pool is not None:
            x = self.pool(x, pyramid.levels[stage - 1], condition)
        for block in self.blocks:
            x = block(x, pyramid.levels[stage], condition)
        return x


class DecoderStage(nn.Module):
    """The fusion of the paper's section 3.1 and transformer blocks.

    The first block's positional convolution reads the skip branch alone, not the fused features: a slip of the
    published code on which the published weights depend.
    """

    def __init__(self, config: PTv3Config, stage: int, drop_path: list[float]) -> None:
        super().__init__()
        channels = config.decoder_channels[stage]
        below = (*config.decoder_channels, config.encoder_channels[-1])[stage + 1]
        self.fusion = Fusion(
            below,
            config.encoder_channels[stage],
            channels,
            config.image_width_at(stage),
            config.image_drop,
            config.norms,
        )
        self.blocks = _blocks(config, channels, config.decoder_heads[stage], drop_path)

    def forward(
        self,
        coarse: Tensor,
        skip: Tensor,
        pyramid: Pyramid,
        stage: int,
        table: TokenTable | None,
        condition: Condition | None,
    ) -> Tensor:
        x: Tensor
        x, skip_branch = self.fusion(coarse, skip, pyramid, stage, table, condition)
        for index, block in enumerate(self.blocks):
            x = block(x, pyramid.levels[stage], condition, conv_input=skip_branch if index == 0 else None)
        return x


def _blocks(config: PTv3Config, channels: int, heads: int, drop_path: list[float]) -> nn.ModuleList:
    return nn.ModuleList(
        Block(
            channels,
            heads,
            drop_path=probability,
            curve=index % len(config.curves),
            options=config.block,
        )
        for index, probability in enumerate(drop_path)
    )


def _drop_path_schedule(highest: float, depths: tuple[int, ...]) -> list[list[float]]:
    """Probabilities that grow linearly with the depth of the block, cut into stages."""
    # On the CPU also where the network is laid out on the meta device, whose tensors have no values.
    steps = torch.linspace(0, highest, sum(depths), device="cpu").tolist()
    ends = list(accumulate(depths))
    return [steps[end - depth : end] for end, depth in zip(ends, depths, strict=True)]


def learned_embedding(config: PTv3Config) -> nn.Parameter | None:
    """The feature of points that no view sees (image_width,), in a network that learns it."""
    if not config.missing_embedding or config.image_width is None:
        return None
    embedding = nn.Parameter(torch.empty(config.image_width))
    nn.init.trunc_normal_(embedding, std=0.02)
    return embedding


class PTv3(nn.Module):
    """The backbone: features of voxels in, features of voxels out."""

    encodes_images = False
    decoder_stage = DecoderStage

    def __init__(self, config: PTv3Config) -> None:
        super().__init__()
        self.config = config
        self.out_channels = config.decoder_channels[0]
        self.bottleneck_channels = config.encoder_channels[-1]
        self.stem = Stem(config.in_channels, config.encoder_channels[0], config.stem_kernel, config.norms)
        encoder = _drop_path_schedule(config.drop_path, config.encoder_depths)
        self.encoder = nn.ModuleList(EncoderStage(config, stage, drop) for stage, drop in enumerate(encoder))
        decoder = _drop_path_schedule(config.drop_path, config.decoder_depths)
        # Within a decoder stage the published schedule runs backwards.
        self.decoder = nn.ModuleList(
            self.decoder_stage(config, stage, drop[::-1]) for stage, drop in enumerate(decoder)
        )
        self.missing_embedding = learned_embedding(config)

    def forward(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> Tensor:
        """(M, in_channels) features of the finest cells -> (M, decoder_channels[0]); see ``Backbone``."""
        return self.decode(self.encode(features, pyramid, image, condition), pyramid, image, condition)

    def encode(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None = None, condition: Condition | None = None
    ) -> list[Tensor]:
        """The encoder alone: features of all levels, the finest first; the last ones are the bottleneck's."""
        check_input(features, pyramid, self.config.in_channels, len(self.encoder))
        x = self.embed(features, pyramid, image, condition)
        skips = []
        for stage, encoder in enumerate(self.encoder):
            x = encoder(x, pyramid, stage, condition)
            skips.append(x)
        return skips

    def embed(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures | None, condition: Condition | None
    ) -> Tensor:
        """(M, in_channels) -> (M, encoder_channels[0]), what the first encoder stage takes."""
        x: Tensor = self.stem(features, pyramid.levels[0], condition)
        return x

    def decode(
        self,
        skips: list[Tensor],
        pyramid: Pyramid,
        image: ImageFeatures | None = None,
        condition: Condition | None = None,
    ) -> Tensor:
        """The decoder: from what :meth:`encode` gives to features of the finest cells."""
        x = skips[-1]
        table = None if self.config.image_width_at(0) is None else self.token_table(image)
        for stage in range(len(self.decoder) - 1, -1, -1):
            x = self.decoder[stage](x, skips[stage], pyramid, stage, table, condition)
        return x

    def token_table(self, image: ImageFeatures | None) -> TokenTable:
        """The tokens, and the feature of points that no view sees: zeros, as in the paper, or the embedding."""
        if image is None:
            raise ValueError("this network takes image features (config.image_width is set) and got none")
        if image.tokens.shape != (image.lift.tokens, self.config.image_width):
            raise ValueError(
                f"image tokens of shape {tuple(image.tokens.shape)} for a lift from {image.lift.tokens} tokens "
                f"and a network of image_width {self.config.image_width}"
            )
        return TokenTable.of(image.tokens.to(self.stem.conv.weight.dtype), image.lift, self.missing_embedding)

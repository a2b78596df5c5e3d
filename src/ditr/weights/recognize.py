"""What network a published checkpoint holds, from the names and shapes of its tensors.

Depths, widths, heads and options leave their traces in names and shapes. Not to be seen are the longest attention
patch (except through relative positions), the curves, the order of norms and sums, and drop path: those are the
published ones unless the caller knows better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ditr.errors import few
from ditr.models.backbone import NetworkConfig
from ditr.models.distillation import Student
from ditr.models.injection import Injection
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.nn.attention import position_bound
from ditr.nn.norms import DatasetNorms

__all__ = ["Recognized", "recognize"]

HEAD_WIDTH = 16
"""Channels of one attention head in every published network."""
PATCH_SIZES = (1024, 128, 48, 64, 256, 512)
"""Longest patches of published and inherited networks, the usual one first."""

_MINKUNET_STEMS = ("backbone.conv_input.0.weight", "backbone.conv_input.conv.weight")
"""Names of the stem with norms for all data, and with norms per dataset."""

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Recognized:
    """A network and what stands on it: ``classes`` of a segmentation head, or the heads of a ``student``."""

    network: NetworkConfig
    classes: int | None
    student: Student | None


def recognize(
    shapes: Shapes, *, datasets: tuple[str, ...] = (), patch_size: int | None = None, pre_norm: bool = True
) -> Recognized:
    """The model behind the names and shapes of a published state dict.

    Args:
        shapes: by published name, without the prefix ``module.``.
        datasets: names of the norms per dataset, in order, where there are such norms.
        patch_size: the longest attention patch; by default 1024, or what fits the relative positions.
        pre_norm: whether norms stand before attention and MLP.

    Raises:
        ValueError: another architecture, or parts that do not belong together.
    """
    if "backbone.embedding.stem.conv.weight" in shapes:
        network: NetworkConfig = _ptv3(shapes, datasets, patch_size, pre_norm)
    elif not shapes.keys().isdisjoint(_MINKUNET_STEMS):
        network = _minkunet(shapes, datasets)
    else:
        held = few(sorted(shapes), 3) or "no tensors"
        raise ValueError(
            f"neither a Point Transformer V3 nor a MinkUNet of the published code (it has {held}): "
            "there is no backbone.embedding.stem.conv.weight and no backbone.conv_input.0.weight"
        )
    _ = network.pyramid  # which refuses sizes that there is no geometry for
    classes, student = _heads(shapes)
    if (classes is None) == (student is None):
        raise ValueError("a model has either a segmentation head (seg_head, final) or a projection (proj)")
    return Recognized(network, classes, student)


def _heads(shapes: Shapes) -> tuple[int | None, Student | None]:
    classes = None
    if "seg_head.weight" in shapes:
        classes = _shape(shapes, "seg_head.weight", 2)[0]
    elif "backbone.final.weight" in shapes:
        classes = _shape(shapes, "backbone.final.weight", 5)[0]
    per_dataset = "proj.0.weight" in shapes
    projection = "proj.0.weight" if per_dataset else "proj.weight"
    if projection not in shapes:
        return classes, None
    width = _shape(shapes, projection, 2)[0]
    tokens = 0
    if "proj_cls_token.weight" in shapes:
        tokens, rest = divmod(_shape(shapes, "proj_cls_token.weight", 2)[0], width)
        if rest:
            raise ValueError(f"proj_cls_token does not give whole tokens of {width} channels")
    return classes, Student(width, per_dataset, tokens)


def _ptv3(shapes: Shapes, datasets: tuple[str, ...], patch_size: int | None, pre_norm: bool) -> PTv3Config:
    stem = _shape(shapes, "backbone.embedding.stem.conv.weight", 5)
    encoder = _stages(shapes, "enc")
    decoder = _stages(shapes, "dec")
    block = "backbone.enc.enc0.block0."
    channels = encoder[0].channels
    bound = None
    if f"{block}attn.rpe.rpe_table" in shapes:
        rows = _shape(shapes, f"{block}attn.rpe.rpe_table", 2)[0]
        bound = (rows // 3 - 1) // 2
    return PTv3Config(
        in_channels=stem[4],
        encoder_depths=tuple(stage.depth for stage in encoder),
        encoder_channels=tuple(stage.channels for stage in encoder),
        encoder_heads=tuple(stage.heads for stage in encoder),
        decoder_depths=tuple(stage.depth for stage in decoder),
        decoder_channels=tuple(stage.channels for stage in decoder),
        decoder_heads=tuple(stage.heads for stage in decoder),
        patch_size=_patch_size(bound) if patch_size is None else patch_size,
        stem_kernel=stem[1],
        kernel=_shape(shapes, f"{block}cpe.0.weight", 5)[1],
        mlp_ratio=_shape(shapes, f"{block}mlp.0.fc1.weight", 2)[0] // channels,
        image_width=_last(shapes, "backbone.dec.dec0.up.proj_image_feat.1.weight"),
        injection=_injection(shapes, len(decoder)),
        missing_embedding="backbone.missing_feature_embedding" in shapes,
        pre_norm=pre_norm,
        layer_scale=1.0 if f"{block}ls1.0.gamma" in shapes else None,
        position_bound=bound,
        norms=_norms(shapes, datasets, batch="backbone.embedding.stem.norm.norm.", layer=f"{block}norm1.0.norm."),
    )


def _injection(shapes: Shapes, stages: int) -> Injection:
    """In all decoder stages unless only the last one, which is stage 0, has an image branch."""
    injected = [stage for stage in range(stages) if f"backbone.dec.dec{stage}.up.proj_image_feat.1.weight" in shapes]
    return Injection.LAST if injected == [0] and stages > 1 else Injection.DECODER


def _minkunet(shapes: Shapes, datasets: tuple[str, ...]) -> MinkUNetConfig:
    per_dataset = _MINKUNET_STEMS[1] in shapes
    stem = _shape(shapes, _MINKUNET_STEMS[per_dataset], 5)
    depths: dict[str, list[int]] = {"enc": [], "dec": []}
    channels: dict[str, list[int]] = {"enc": [], "dec": []}
    for part in ("enc", "dec"):
        pattern = re.compile(rf"backbone\.{part}\.(\d+)\.block(\d+)\.conv1\.weight")
        blocks = {(int(m[1]), int(m[2])) for m in map(pattern.fullmatch, shapes) if m}
        for stage in range(1 + max((s for s, _ in blocks), default=-1)):
            depths[part].append(sum(s == stage for s, _ in blocks))
            channels[part].append(_shape(shapes, f"backbone.{part}.{stage}.block0.conv1.weight", 5)[0])
    return MinkUNetConfig(
        in_channels=stem[4],
        stem_channels=stem[0],
        encoder_depths=tuple(depths["enc"]),
        encoder_channels=tuple(channels["enc"]),
        decoder_depths=tuple(depths["dec"]),
        decoder_channels=tuple(channels["dec"]),
        stem_kernel=stem[1],
        kernel=_shape(shapes, "backbone.enc.0.block0.conv1.weight", 5)[1],
        norms=_norms(shapes, datasets, batch="backbone.conv_input.bn.bns."),
    )


@dataclass(frozen=True)
class _Stage:
    depth: int
    channels: int
    heads: int


def _stages(shapes: Shapes, part: str) -> list[_Stage]:
    """The stages of the encoder ("enc") or decoder ("dec"), the finest first."""
    pattern = re.compile(rf"backbone\.{part}\.{part}(\d+)\.block(\d+)\.")
    blocks = {(int(m[1]), int(m[2])) for m in map(pattern.match, shapes) if m}
    stages = []
    for stage in range(1 + max((s for s, _ in blocks), default=-1)):
        depth = sum(s == stage for s, _ in blocks)
        prefix = f"backbone.{part}.{part}{stage}.block0.attn."
        channels = _shape(shapes, f"{prefix}proj.weight", 2)[0]
        heads = _last(shapes, f"{prefix}rpe.rpe_table") or channels // HEAD_WIDTH
        if heads == 0 or channels % heads:
            raise ValueError(f"{prefix}proj.weight has {channels} channels, which do not make whole attention heads")
        stages.append(_Stage(depth, channels, heads))
    if not stages:
        raise ValueError(f"a Point Transformer V3 without blocks in its {part}oder")
    return stages


def _patch_size(bound: int | None) -> int:
    if bound is None:
        return PATCH_SIZES[0]
    for size in PATCH_SIZES:
        if position_bound(size) == bound:
            return size
    raise ValueError(f"relative positions up to {bound} cells belong to no usual patch size: name it")


def _norms(shapes: Shapes, datasets: tuple[str, ...], *, batch: str, layer: str | None = None) -> DatasetNorms | None:
    """Norms per dataset, where the names of the first BatchNorm or LayerNorm (by prefix) have a number per dataset."""
    of_batch, of_layer = _numbered(shapes, batch), 0 if layer is None else _numbered(shapes, layer)
    count = max(of_batch, of_layer)
    if count != len(datasets):
        raise ValueError(
            f"it has norms of {count or 'no'} datasets, whose names and order are not in the file, and "
            f"{len(datasets) or 'none'} are given"
        )
    if count == 0:
        return None
    return DatasetNorms(
        datasets,
        batch=of_batch > 0,
        layer=of_layer > 0,
        context_width=_last(shapes, "embedding_table.weight"),
        adaptive=f"{batch.removesuffix('norm.')}modulation.1.weight" in shapes,
    )


def _numbered(shapes: Shapes, prefix: str) -> int:
    return sum(re.fullmatch(rf"{re.escape(prefix)}\d+\.weight", name) is not None for name in shapes)


def _shape(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    if name not in shapes:
        raise ValueError(f"{name} is missing")
    if len(shapes[name]) != dimensions or 0 in shapes[name]:
        raise ValueError(f"{name} has the shape {shapes[name]}, where {dimensions} dimensions are expected")
    return shapes[name]


def _last(shapes: Shapes, name: str) -> int | None:
    """The last dimension of a matrix that may not be there."""
    return _shape(shapes, name, 2)[1] if name in shapes else None

"""PTv3's parameters under published names, and the sizes that published names and shapes tell of.

The table maps our names to the published ones, piece by piece.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ditr.models.injection import Injection
from ditr.models.published_names import PatchUnknown, PublishedNames, Shapes, last_dimension, shape_of
from ditr.nn.attention import position_bound

__all__ = ["FIRST_BLOCK", "IMAGE_BRANCH", "STEM", "PTv3Names", "StageSizes", "injection_of", "patch_size", "stages"]

STEM = "backbone.embedding.stem.conv.weight"
FIRST_BLOCK = "backbone.enc.enc0.block0."
IMAGE_BRANCH = "backbone.dec.dec{}.up.proj_image_feat.1.weight"
"""Index 0 of the published image branch is a dropout without parameters."""

HEAD_WIDTH = 16
"""Channels of one attention head in every published network."""
PATCH_SIZES = (1024, 128, 48, 64, 256, 512)
"""Longest patches of published and inherited networks, the usual one first."""

_BLOCK = (
    (r"position\.conv\.", "cpe.0."),
    (r"position\.linear\.", "cpe.1."),
    (r"position\.norm\.", "cpe.2."),
    (r"norm([12])\.", r"norm\1.0."),
    (r"attention\.position_table$", "attn.rpe.rpe_table"),
    (r"attention\.", "attn."),
    (r"scale([12])\.", r"ls\1.0."),
    (r"mlp\.0\.", "mlp.0.fc1."),
    (r"mlp\.2\.", "mlp.0.fc2."),
)
_STAGE = (
    (r"backbone\.stem\.(conv|norm)\.", r"backbone.embedding.stem.\1."),
    (r"backbone\.encoder\.(\d+)\.pool\.linear\.", r"backbone.enc.enc\1.down.proj."),
    (r"backbone\.encoder\.(\d+)\.pool\.norm\.", r"backbone.enc.enc\1.down.norm.0."),
    (r"backbone\.decoder\.(\d+)\.fusion\.up\.linear\.", r"backbone.dec.dec\1.up.proj.0."),
    (r"backbone\.decoder\.(\d+)\.fusion\.up\.norm\.", r"backbone.dec.dec\1.up.proj.1."),
    (r"backbone\.decoder\.(\d+)\.fusion\.skip\.linear\.", r"backbone.dec.dec\1.up.proj_skip.0."),
    (r"backbone\.decoder\.(\d+)\.fusion\.skip\.norm\.", r"backbone.dec.dec\1.up.proj_skip.1."),
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.linear\.", r"backbone.dec.dec\1.up.proj_image_feat.1."),
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.norm\.", r"backbone.dec.dec\1.up.proj_image_feat.2."),
    (r"backbone\.missing_embedding$", "backbone.missing_feature_embedding"),
)
_BLOCK_PREFIX = re.compile(r"backbone\.(enc|dec)oder\.(\d+)\.blocks\.(\d+)\.")


class PTv3Names(PublishedNames):
    """Of DITR, D-DITR and PTv3."""

    def name(self, ours: str) -> str:
        block = _BLOCK_PREFIX.match(ours)
        prefix, rest = "", ours
        table: tuple[tuple[str, str], ...] = _STAGE
        if block:
            part, stage, index = block.groups()
            prefix, rest, table = f"backbone.{part}.{part}{stage}.block{index}.", ours[block.end() :], _BLOCK
        for pattern, replacement in table:
            if re.match(pattern, rest):
                return prefix + re.sub("^" + pattern, replacement, rest)
        raise KeyError(f"no published network has a parameter {ours!r}")


@dataclass(frozen=True)
class StageSizes:
    """How many blocks a stage has, of how many channels and attention heads."""

    depth: int
    channels: int
    heads: int


def stages(shapes: Shapes, part: str) -> list[StageSizes]:
    """The stages of the encoder ("enc") or decoder ("dec"), the finest first.

    Raises:
        ValueError: none, or attention of no whole heads.
    """
    pattern = re.compile(rf"backbone\.{part}\.{part}(\d+)\.block(\d+)\.")
    blocks = {(int(m[1]), int(m[2])) for m in map(pattern.match, shapes) if m}
    found = []
    for stage in range(1 + max((s for s, _ in blocks), default=-1)):
        depth = sum(s == stage for s, _ in blocks)
        prefix = f"backbone.{part}.{part}{stage}.block0.attn."
        channels = shape_of(shapes, f"{prefix}proj.weight", 2)[0]
        heads = last_dimension(shapes, f"{prefix}rpe.rpe_table") or channels // HEAD_WIDTH
        if heads == 0 or channels % heads:
            raise ValueError(f"{prefix}proj.weight has {channels} channels, which do not make whole attention heads")
        found.append(StageSizes(depth, channels, heads))
    if not found:
        raise ValueError(f"a Point Transformer V3 without blocks in its {part}oder")
    return found


def patch_size(bound: int | None) -> int:
    """The usual longest patch whose relative positions end at ``bound``; None for attention without positions.

    Raises:
        PatchUnknown: there is none.
    """
    if bound is None:
        return PATCH_SIZES[0]
    for size in PATCH_SIZES:
        if position_bound(size) == bound:
            return size
    raise PatchUnknown(f"relative positions up to {bound} cells belong to no usual patch size: name it")


def injection_of(shapes: Shapes, count: int) -> Injection:
    """In all ``count`` decoder stages unless only the last one, which is stage 0, has an image branch."""
    injected = [stage for stage in range(count) if IMAGE_BRANCH.format(stage) in shapes]
    return Injection.LAST if injected == [0] and count > 1 else Injection.DECODER

"""Parameter names and layouts of the published checkpoints, and ours.

The published names follow the code base that the weights were trained with; ours follow this package. The table maps
ours to theirs, piece by piece; it is one to one, so it serves both directions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

__all__ = ["from_published", "published_name", "to_published"]

_BLOCK = (
    (r"position\.conv\.", "cpe.0."),
    (r"position\.linear\.", "cpe.1."),
    (r"position\.norm\.", "cpe.2."),
    (r"norm([12])\.", r"norm\1.0."),
    (r"attention\.", "attn."),
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
    # Index 0 of the published image branch is a dropout without parameters.
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.linear\.", r"backbone.dec.dec\1.up.proj_image_feat.1."),
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.norm\.", r"backbone.dec.dec\1.up.proj_image_feat.2."),
    (r"backbone\.missing_embedding$", "backbone.missing_feature_embedding"),
    (r"head\.", "seg_head."),
)
_BLOCK_PREFIX = re.compile(r"backbone\.(enc|dec)oder\.(\d+)\.blocks\.(\d+)\.")


def published_name(name: str) -> str:
    """The published name of one of our parameters or buffers.

    Raises:
        KeyError: a name that no published network has.
    """
    block = _BLOCK_PREFIX.match(name)
    prefix, rest = "", name
    table: tuple[tuple[str, str], ...] = _STAGE
    if block:
        kind, stage, index = block.groups()
        prefix, rest, table = f"backbone.{kind}.{kind}{stage}.block{index}.", name[block.end() :], _BLOCK
    for pattern, replacement in table:
        if re.match(pattern, rest):
            return prefix + re.sub("^" + pattern, replacement, rest)
    raise KeyError(f"no published network has a parameter {name!r}")


def _is_convolution(name: str) -> bool:
    return name.endswith("conv.weight")


def _published_shape(name: str, value: Tensor) -> tuple[int, ...]:
    if not _is_convolution(name):
        return tuple(value.shape)
    edge = round(value.shape[0] ** (1 / 3))
    return value.shape[2], edge, edge, edge, value.shape[1]


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our state dict under published names and in published layouts."""
    result = {}
    for name, value in state.items():
        if _is_convolution(name):
            value = value.permute(2, 0, 1).reshape(_published_shape(name, value))
        result[published_name(name)] = value
    return result


def from_published(published: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict under our names and in our layouts.

    Args:
        published: tensors by published name.
        state: our model's state dict, whose names and shapes say what is wanted.

    Raises:
        KeyError: names that are wanted and not there, or there and not wanted.
        ValueError: a tensor of another shape than is wanted.
    """
    wanted = {published_name(name): name for name in state}
    missing, unexpected = sorted(wanted.keys() - published.keys()), sorted(published.keys() - wanted.keys())
    if missing or unexpected:
        raise KeyError(f"the checkpoint lacks {missing} and has {unexpected}, which this network does not know")
    result = {}
    for theirs, ours in wanted.items():
        value, shape = published[theirs], _published_shape(ours, state[ours])
        if value.shape != shape:
            raise ValueError(f"{theirs} has the shape {tuple(value.shape)}, and this network wants {shape}")
        if _is_convolution(ours):
            value = value.permute(1, 2, 3, 4, 0).reshape(-1, value.shape[4], value.shape[0])
        result[ours] = value.contiguous()
    return result

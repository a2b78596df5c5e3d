"""PTv3's parameters under published names and in published layouts.

The table maps our names to the published ones, piece by piece; it is one to one, so it serves both directions.
"""

from __future__ import annotations

import re

from torch import Tensor

__all__ = ["from_published_layout", "published_name", "to_published_layout"]

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
    # Index 0 of the published image branch is a dropout without parameters.
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.linear\.", r"backbone.dec.dec\1.up.proj_image_feat.1."),
    (r"backbone\.decoder\.(\d+)\.fusion\.image\.norm\.", r"backbone.dec.dec\1.up.proj_image_feat.2."),
    (r"backbone\.missing_embedding$", "backbone.missing_feature_embedding"),
)
_BLOCK_PREFIX = re.compile(r"backbone\.(enc|dec)oder\.(\d+)\.blocks\.(\d+)\.")


def published_name(name: str) -> str:
    """The published name of one of the backbone's parameters or buffers.

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


def to_published_layout(name: str, value: Tensor) -> Tensor:
    """A tensor by our name in the published layout: convolutions (k^3, in, out) become (out, k, k, k, in)."""
    if not name.endswith("conv.weight"):
        return value
    edge = round(value.shape[0] ** (1 / 3))
    return value.permute(2, 0, 1).reshape(value.shape[2], edge, edge, edge, value.shape[1])


def from_published_layout(name: str, value: Tensor) -> Tensor:
    """The inverse of :func:`to_published_layout`, for the same name."""
    if not name.endswith("conv.weight"):
        return value
    return value.permute(1, 2, 3, 4, 0).reshape(-1, value.shape[4], value.shape[0])

"""MinkUNet's parameters under published names and in published layouts, and the sizes that these tell of.

The published network exists in two variants: with norms for all data, and with norms per dataset, which also names its
convolutions otherwise.
"""

from __future__ import annotations

import re

from torch import Tensor

from ditr.models.published_names import PublishedNames, Shapes, shape_of

__all__ = ["STEMS", "MinkUNetNames", "stages"]

STEMS = ("backbone.conv_input.0.weight", "backbone.conv_input.conv.weight")
"""Names of the stem with norms for all data, and with norms per dataset."""

_STAGE = r"backbone\.(encoder|decoder)\.(\d+)\."
_BETWEEN = {"encoder": "down", "decoder": "up"}
_AT = {"encoder": "enc", "decoder": "dec"}
_LAYER = {
    "conv1": ("conv1", "conv1"),
    "norm1": ("bn1", "bn1"),
    "conv2": ("conv2", "conv2"),
    "norm2": ("bn2", "bn2"),
    "shortcut.linear": ("proj.0", "proj_conv"),
    "shortcut.norm": ("proj.1", "proj_norm"),
    "conv": ("0", "conv"),
    "norm": ("1", "bn"),
}
"""Our name of a layer -> the published ones, with norms for all data and with norms per dataset."""

_VALUE = r"(?:norm\.(?P<dataset>\d+)\.)?(?P<value>weight|bias|running_mean|running_var|num_batches_tracked)$"
_NAME = re.compile(
    r"(?:(?P<stem>backbone\.stem)\.(?P<stem_layer>conv|norm)|"
    rf"{_STAGE}(?:(?:down|up)\.(?P<between>conv|norm)|"
    r"blocks\.(?P<block>\d+)\.(?P<layer>conv1|conv2|norm1|norm2|shortcut\.linear|shortcut\.norm)))\." + _VALUE
)


class MinkUNetNames(PublishedNames):
    """Of MinkUNet, with norms for all data or ``per_dataset``."""

    head = "backbone.final."
    head_dimensions = 5

    def __init__(self, per_dataset: bool) -> None:
        self.per_dataset = per_dataset

    def name(self, ours: str) -> str:
        match = _NAME.match(ours)
        if match is None or not self._is_consistent(match):
            raise KeyError(f"no published MinkUNet has a parameter {ours!r}")
        kind, stage = match[3], match[4]
        if match["stem"]:
            prefix, layer = "backbone.conv_input", match["stem_layer"]
        elif match["between"]:
            prefix, layer = f"backbone.{_BETWEEN[kind]}.{stage}", match["between"]
        else:
            prefix, layer = f"backbone.{_AT[kind]}.{stage}.block{match['block']}", match["layer"]
        dataset = "" if match["dataset"] is None else f"bns.{match['dataset']}."
        return f"{prefix}.{_LAYER[layer][self.per_dataset]}.{dataset}{match['value']}"

    def _is_consistent(self, match: re.Match[str]) -> bool:
        """Norms, and they alone, carry a dataset's number where the network has norms per dataset."""
        layer = match["stem_layer"] or match["between"] or match["layer"]
        return (match["dataset"] is not None) == (self.per_dataset and "norm" in layer)

    def to_layout(self, ours: str, value: Tensor) -> Tensor:
        if _is_pointwise(ours):
            # A trap of the published weights: a 1 x 1 x 1 convolution reads its (out, 1, 1, 1, in) memory as (in, out).
            return value.t().reshape(value.shape[0], 1, 1, 1, value.shape[1])
        return super().to_layout(ours, value)

    def from_layout(self, ours: str, value: Tensor) -> Tensor:
        if _is_pointwise(ours):
            return value.reshape(value.shape[4], value.shape[0]).t()
        return super().from_layout(ours, value)


def _is_pointwise(ours: str) -> bool:
    return ours == "head.weight" or ours.endswith("shortcut.linear.weight")


def stages(shapes: Shapes, part: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How many blocks each stage of the encoder ("enc") or decoder ("dec") has, and of how many channels."""
    pattern = re.compile(rf"backbone\.{part}\.(\d+)\.block(\d+)\.conv1\.weight")
    blocks = {(int(m[1]), int(m[2])) for m in map(pattern.fullmatch, shapes) if m}
    found = range(1 + max((s for s, _ in blocks), default=-1))
    return (
        tuple(sum(s == stage for s, _ in blocks) for stage in found),
        tuple(shape_of(shapes, f"backbone.{part}.{stage}.block0.conv1.weight", 5)[0] for stage in found),
    )

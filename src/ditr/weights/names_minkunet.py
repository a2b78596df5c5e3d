"""Parameter names and layouts of the published MinkUNet checkpoints, and ours.

The published network exists in two variants: with norms for all data, and with norms per dataset, which also names its
convolutions otherwise.
"""

from __future__ import annotations

import re

from torch import Tensor

__all__ = ["from_published_layout", "published_name", "to_published_layout"]

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


def published_name(name: str, *, per_dataset: bool = False) -> str:
    """The published name of one of our parameters or buffers.

    Args:
        name: ours, of the backbone (``backbone.``) or of the classifier (``head.``).
        per_dataset: whether the network has norms per dataset.

    Raises:
        KeyError: a name that no published network has.
    """
    if name in ("head.weight", "head.bias"):
        return name.replace("head", "backbone.final")
    match = _NAME.match(name)
    if match is None or not _is_consistent(match, per_dataset):
        raise KeyError(f"no published MinkUNet has a parameter {name!r}")
    kind, stage = match[3], match[4]
    if match["stem"]:
        prefix, layer = "backbone.conv_input", match["stem_layer"]
    elif match["between"]:
        prefix, layer = f"backbone.{_BETWEEN[kind]}.{stage}", match["between"]
    else:
        prefix, layer = f"backbone.{_AT[kind]}.{stage}.block{match['block']}", match["layer"]
    dataset = "" if match["dataset"] is None else f"bns.{match['dataset']}."
    return f"{prefix}.{_LAYER[layer][per_dataset]}.{dataset}{match['value']}"


def _is_consistent(match: re.Match[str], per_dataset: bool) -> bool:
    """Norms, and they alone, carry a dataset's number where the network has norms per dataset."""
    layer = match["stem_layer"] or match["between"] or match["layer"]
    return (match["dataset"] is not None) == (per_dataset and "norm" in layer)


def to_published_layout(name: str, value: Tensor) -> Tensor:
    """One of our tensors in the published layout; ``name`` is ours."""
    if _is_pointwise(name):
        # A trap of the published weights: a 1 x 1 x 1 convolution reads its (out, 1, 1, 1, in) memory as (in, out).
        return value.t().reshape(value.shape[0], 1, 1, 1, value.shape[1])
    if _is_convolution(name):
        edge = round(value.shape[0] ** (1 / 3))
        return value.permute(2, 0, 1).reshape(value.shape[2], edge, edge, edge, value.shape[1])
    return value


def from_published_layout(name: str, value: Tensor) -> Tensor:
    """The inverse of :func:`to_published_layout`, for the same name."""
    if _is_pointwise(name):
        return value.reshape(value.shape[4], value.shape[0]).t()
    if _is_convolution(name):
        return value.permute(1, 2, 3, 4, 0).reshape(-1, value.shape[4], value.shape[0])
    return value


def _is_pointwise(name: str) -> bool:
    return name == "head.weight" or name.endswith("shortcut.linear.weight")


def _is_convolution(name: str) -> bool:
    return re.search(r"\.conv[12]?\.weight$", name) is not None

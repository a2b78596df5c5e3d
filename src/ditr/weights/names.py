"""Whole models under published names and in published layouts, and back.

The published names follow the code base that the weights were trained with; ours follow this package. Which names
belong to which depends on the backbone; its own are in ``names_ptv3.py`` and ``names_minkunet.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from torch import Tensor

from ditr.errors import few
from ditr.models.backbone import NetworkConfig
from ditr.models.minkunet import MinkUNetConfig
from ditr.weights import names_minkunet as convert_minkunet
from ditr.weights import names_ptv3 as convert_ptv3

__all__ = ["from_published", "published_name", "to_published"]

_AROUND = (
    ("head.", "seg_head."),
    ("projection.", "proj."),
    ("cls_projection.", "proj_cls_token."),
    ("conditions.context.", "embedding_table."),
)
"""What surrounds a backbone: our prefixes and the published ones."""


def published_name(name: str, network: NetworkConfig) -> str:
    """The published name of one of our parameters or buffers.

    Raises:
        KeyError: a name that no published model has.
    """
    minkunet = isinstance(network, MinkUNetConfig)
    if minkunet and name.startswith("head."):
        return convert_minkunet.published_name(name)
    for ours, theirs in _AROUND:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    if minkunet:
        return convert_minkunet.published_name(name, per_dataset=network.norms is not None)
    return convert_ptv3.published_name(name)


def to_published(state: Mapping[str, Tensor], network: NetworkConfig) -> dict[str, Tensor]:
    """Our state dict under published names and in published layouts."""
    layout = _layout(network)
    return {
        published_name(name, network): layout.to_published_layout(name, value).contiguous()
        for name, value in state.items()
    }


def from_published(
    published: Mapping[str, Tensor], state: Mapping[str, Tensor], network: NetworkConfig
) -> dict[str, Tensor]:
    """A published state dict under our names and in our layouts.

    Args:
        published: tensors by published name.
        state: our model's state dict, whose names and shapes say what is wanted.
        network: of that model.

    Raises:
        KeyError: names that are wanted and not there, or there and not wanted.
        ValueError: a tensor of another shape than is wanted.
    """
    wanted = {published_name(name, network): name for name in state}
    missing, unexpected = sorted(wanted.keys() - published.keys()), sorted(published.keys() - wanted.keys())
    if missing or unexpected:
        raise KeyError(
            f"the checkpoint lacks [{few(missing, 8)}] and has [{few(unexpected, 8)}], which this network does not know"
        )
    layout, result = _layout(network), {}
    for theirs, ours in wanted.items():
        value = published[theirs]
        shape = tuple(layout.to_published_layout(ours, state[ours].detach().to("meta")).shape)
        if value.shape != shape:
            raise ValueError(f"{theirs} has the shape {tuple(value.shape)}, and this network wants {shape}")
        result[ours] = layout.from_published_layout(ours, value).contiguous()
    return result


def _layout(network: NetworkConfig) -> ModuleType:
    return convert_minkunet if isinstance(network, MinkUNetConfig) else convert_ptv3

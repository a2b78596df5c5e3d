"""Whole models under published names and in published layouts, and back.

The published names follow the code base that the weights were trained with; ours follow this package. Those of a
backbone are its own affair (:meth:`ditr.models.backbone.BackboneConfig.published_names`); the rest is here.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from ditr.errors import few
from ditr.models.backbone import BackboneConfig
from ditr.models.published_names import PublishedNames

__all__ = ["from_published", "published_name", "to_published"]

_AROUND = (
    ("projection.", "proj."),
    ("cls_projection.", "proj_cls_token."),
    ("conditions.context.", "embedding_table."),
)
"""What surrounds a backbone: our prefixes and the published ones."""


def published_name(name: str, network: BackboneConfig) -> str:
    """The published name of one of our parameters or buffers.

    Raises:
        KeyError: a name that no published model has.
    """
    names = _names(network)
    for ours, theirs in (("head.", names.head), *_AROUND):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return names.name(name)


def to_published(state: Mapping[str, Tensor], network: BackboneConfig) -> dict[str, Tensor]:
    """Our state dict under published names and in published layouts."""
    names = _names(network)
    return {published_name(name, network): names.to_layout(name, value).contiguous() for name, value in state.items()}


def from_published(
    published: Mapping[str, Tensor], state: Mapping[str, Tensor], network: BackboneConfig
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
            f"the checkpoint lacks [{few(missing, 8)}] and has [{few(unexpected, 8)}], which this network does not have"
        )
    names, result = _names(network), {}
    for theirs, ours in wanted.items():
        value = published[theirs]
        shape = tuple(names.to_layout(ours, state[ours].detach().to("meta")).shape)
        if value.shape != shape:
            raise ValueError(f"{theirs} has the shape {tuple(value.shape)}, but this network needs {shape}")
        result[ours] = names.from_layout(ours, value).contiguous()
    return result


def _names(network: BackboneConfig) -> PublishedNames:
    names = network.published_names()
    if names is None:
        raise KeyError(f"no checkpoint of a {network.title} was published")
    return names

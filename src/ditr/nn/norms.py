"""Norms, shared by all data or one per dataset: a joint model keeps the statistics of each dataset apart.

A batch comes from one dataset. Its number, and for the adaptive variant its context vector, go through the network as
a :class:`Condition`; norms that all datasets share do not read it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ditr.errors import nearest
from ditr.nn.products import Linear

__all__ = [
    "Affine",
    "Condition",
    "Conditions",
    "DatasetNorm",
    "DatasetNorms",
    "as_affine",
    "batch_norm",
    "folded",
    "folded_bias",
    "layer_norm",
    "normalize",
    "set_momentum",
]


@dataclass(frozen=True)
class DatasetNorms:
    """Which norms of a network exist once per dataset.

    Attributes:
        datasets: their names, in the order of the parameters.
        batch: whether each dataset has its own BatchNorms.
        layer: whether each dataset has its own LayerNorms.
        context_width: width of the learned vector per dataset, where the model has one. The published code keeps it
            without reading it unless ``adaptive`` is set.
        adaptive: whether that vector shifts and scales what a norm gives.

    Raises:
        ValueError: no dataset or one twice, or an adaptive norm without a context.
    """

    datasets: tuple[str, ...]
    batch: bool = True
    layer: bool = True
    context_width: int | None = None
    adaptive: bool = False

    def __post_init__(self) -> None:
        if not self.datasets or len(set(self.datasets)) < len(self.datasets):
            raise ValueError(f"norms per dataset need names of datasets, each once, not {list(self.datasets)}")
        if self.adaptive and self.context_width is None:
            raise ValueError("adaptive norms need a context_width")


@dataclass(frozen=True, eq=False)
class Condition:
    """The dataset of a batch: its ``index`` among the network's and its ``context`` (width,), if it has one."""

    index: int
    context: Tensor | None = None


class Conditions(nn.Module):
    """From the name of a batch's dataset to its :class:`Condition`.

    Args:
        norms: of the network; None where it shares all norms.
    """

    def __init__(self, norms: DatasetNorms | None) -> None:
        super().__init__()
        self.norms = norms
        self.context: nn.Embedding | None = None
        if norms is not None and norms.context_width is not None:
            self.context = nn.Embedding(len(norms.datasets), norms.context_width)

    def forward(self, dataset: str | None) -> Condition | None:
        """The condition; None where all data share the norms, whatever the dataset is called.

        Raises:
            ValueError: norms per dataset, and no dataset or one that the network does not know.
        """
        if self.norms is None:
            return None
        known = self.norms.datasets
        if dataset not in known:
            near = nearest(dataset or "", known)
            hint = f"did you mean {near!r}? " if near else ""
            raise ValueError(f"no norms of the dataset {dataset!r}: {hint}this network has those of {', '.join(known)}")
        index = known.index(dataset)
        return Condition(index, None if self.context is None else self.context.weight[index])


class DatasetNorm(nn.Module):
    """One norm per dataset; the batch's dataset says which.

    The adaptive variant then gives norm(x) * (1 + scale) + shift, where (shift, scale), in this order, are the two
    halves of Linear(SiLU(context)).

    Args:
        make: the norm of one dataset.
        channels: width.
        norms: which datasets.
    """

    def __init__(self, make: Callable[[int], nn.Module], channels: int, norms: DatasetNorms) -> None:
        super().__init__()
        self.norm = nn.ModuleList(make(channels) for _ in norms.datasets)
        self.modulation: nn.Sequential | None = None
        if norms.adaptive and norms.context_width is not None:
            self.modulation = nn.Sequential(nn.SiLU(), Linear(norms.context_width, 2 * channels))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """(n, channels) -> (n, channels)."""
        out: Tensor = self.norm[condition.index](x)
        if self.modulation is not None:
            shift, scale = self.modulation(condition.context).chunk(2)
            out = out * (1 + scale) + shift
        return out


def normalize(norm: nn.Module, x: Tensor, condition: Condition | None) -> Tensor:
    """Apply a norm of either kind.

    Raises:
        ValueError: a norm per dataset, and no dataset.
    """
    if not isinstance(norm, DatasetNorm):
        out: Tensor = norm(x)
        return out
    if condition is None:
        raise ValueError("this network has norms per dataset: name the dataset that the batch comes from")
    return norm(x, condition)  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class Affine:
    """What a BatchNorm does where its statistics are fixed: x * scale + shift, each (channels,)."""

    scale: Tensor
    shift: Tensor


def as_affine(norm: nn.Module, condition: Condition | None) -> Affine | None:
    """What may be folded into the weights before a norm: that of a BatchNorm in inference; None for all else.

    Folded results differ from others by rounding alone. Under autocast nothing is folded, since the weights would be
    rounded after it and not before.
    """
    if isinstance(norm, DatasetNorm):
        if condition is None or norm.modulation is not None:
            return None
        norm = norm.norm[condition.index]
    if not isinstance(norm, nn.BatchNorm1d) or norm.training or torch.is_grad_enabled():
        return None
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None or torch.is_autocast_enabled(mean.device.type):
        return None
    scale = torch.rsqrt(var + norm.eps)
    if not norm.affine:
        return Affine(scale, -mean * scale)
    scale = scale * norm.weight
    return Affine(scale, norm.bias - mean * scale)


def folded(weight: Tensor, fold: Affine | None) -> Tensor:
    """The weights (..., out) of a product whose result is to be scaled."""
    return weight if fold is None else weight * fold.scale


def folded_bias(bias: Tensor | None, fold: Affine | None) -> Tensor | None:
    """The bias (out,) of a product whose result is to be scaled and shifted; None for none."""
    if fold is None:
        return bias
    return fold.shift if bias is None else bias * fold.scale + fold.shift


def batch_norm(channels: int, norms: DatasetNorms | None = None) -> nn.Module:
    """BatchNorm with the constants of PTv3 and of the published MinkUNet."""
    if norms is not None and norms.batch:
        return DatasetNorm(_batch_norm, channels, norms)
    return _batch_norm(channels)


def set_momentum(model: nn.Module, momentum: float) -> None:
    """Give every BatchNorm of a model this weight of the newest batch in its running averages."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = momentum


def layer_norm(channels: int, norms: DatasetNorms | None = None) -> nn.Module:
    """LayerNorm with torch's constants."""
    if norms is not None and norms.layer:
        return DatasetNorm(nn.LayerNorm, channels, norms)
    return nn.LayerNorm(channels)


def _batch_norm(channels: int) -> nn.BatchNorm1d:
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=0.01)

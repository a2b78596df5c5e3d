"""Published checkpoints of a backbone: their names and layouts, and what network their names and shapes tell of.

Depths, widths, heads and options leave their traces in names and shapes. Not to be seen are the longest attention
patch (except through relative positions), the curves, the order of norms and sums, and drop path: those are the
published ones unless the caller knows better.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ditr.nn.norms import DatasetNorms

__all__ = [
    "NormsUnnamed",
    "PatchUnknown",
    "PublishedNames",
    "Shapes",
    "Unseen",
    "last_dimension",
    "norms_of",
    "shape_of",
]

Shapes = Mapping[str, tuple[int, ...]]
"""Of a published state dict, by published name, without the prefix ``module.``."""


@dataclass(frozen=True)
class Unseen:
    """What names and shapes of a checkpoint do not say.

    Attributes:
        datasets: names of the norms per dataset, in order, where there are such norms.
        patch_size: the longest attention patch; None for 1024, or what fits the relative positions.
        pre_norm: whether norms stand before attention and MLP.
    """

    datasets: tuple[str, ...] = ()
    patch_size: int | None = None
    pre_norm: bool = True


class NormsUnnamed(ValueError):
    """There are norms per dataset, and not as many names of datasets."""


class PatchUnknown(ValueError):
    """Nothing tells the length of the attention patches."""


class PublishedNames:
    """The names and layouts of one backbone's parameters in published checkpoints; one to one, so they serve both ways.

    Attributes:
        head: prefix of the segmentation head that stands on it.
        head_dimensions: of the head's weight.
    """

    head = "seg_head."
    head_dimensions = 2

    def name(self, ours: str) -> str:
        """The published name of one of the backbone's parameters or buffers (``backbone.``).

        Raises:
            KeyError: a name that no published network has.
        """
        raise NotImplementedError

    def to_layout(self, ours: str, value: Tensor) -> Tensor:
        """A tensor by our name in the published layout: convolutions (k^3, in, out) become (out, k, k, k, in)."""
        if not re.search(r"\.conv[12]?\.weight$", ours):
            return value
        edge = round(value.shape[0] ** (1 / 3))
        return value.permute(2, 0, 1).reshape(value.shape[2], edge, edge, edge, value.shape[1])

    def from_layout(self, ours: str, value: Tensor) -> Tensor:
        """The inverse of :meth:`to_layout`, for the same name."""
        if not re.search(r"\.conv[12]?\.weight$", ours):
            return value
        return value.permute(1, 2, 3, 4, 0).reshape(-1, value.shape[4], value.shape[0])


def norms_of(shapes: Shapes, datasets: tuple[str, ...], *, batch: str, layer: str | None = None) -> DatasetNorms | None:
    """Norms per dataset, where the names of the first BatchNorm or LayerNorm (by prefix) have a number per dataset.

    Raises:
        NormsUnnamed: another number of datasets than there are names.
    """
    of_batch, of_layer = _numbered(shapes, batch), 0 if layer is None else _numbered(shapes, layer)
    count = max(of_batch, of_layer)
    if count != len(datasets):
        raise NormsUnnamed(
            f"it has norms of {count or 'no'} datasets, whose names and order are not in the file, and "
            f"{len(datasets) or 'none'} are given"
        )
    if count == 0:
        return None
    return DatasetNorms(
        datasets,
        batch=of_batch > 0,
        layer=of_layer > 0,
        context_width=last_dimension(shapes, "embedding_table.weight"),
        adaptive=f"{batch.removesuffix('norm.')}modulation.1.weight" in shapes,
    )


def _numbered(shapes: Shapes, prefix: str) -> int:
    return sum(re.fullmatch(rf"{re.escape(prefix)}\d+\.weight", name) is not None for name in shapes)


def shape_of(shapes: Shapes, name: str, dimensions: int) -> tuple[int, ...]:
    """The shape of a tensor that has to be there.

    Raises:
        ValueError: it is not, or not of so many dimensions.
    """
    if name not in shapes:
        raise ValueError(f"{name} is missing")
    if len(shapes[name]) != dimensions or 0 in shapes[name]:
        raise ValueError(f"{name} has the shape {shapes[name]}, where {dimensions} dimensions are expected")
    return shapes[name]


def last_dimension(shapes: Shapes, name: str) -> int | None:
    """The last dimension of a matrix that may not be there."""
    return shape_of(shapes, name, 2)[1] if name in shapes else None

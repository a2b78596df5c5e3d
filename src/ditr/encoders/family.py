"""What is common to frozen image networks: what one offers, how its weights are checked, and how it is built.

A new network is one module beside `ditr.encoders.dinov2` and its siblings: an architecture (a dataclass that satisfies
`Architecture`), what gives its tokens (`Network`), and a `Family` that is added to ``FAMILIES`` in
`ditr.encoders.weights`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ditr.errors import InputError
from ditr.nn.products import Linear

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Architecture",
    "Config",
    "EncoderVariant",
    "Family",
    "Network",
    "PatchEmbedding",
    "PositionTable",
    "check_names",
    "load_network",
    "project_patches",
    "random_weights",
    "rename",
    "too_old_transformers",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_KEPT_GRIDS = 16


class Network(Protocol):
    """A network with its weights, on its device and in its precision, frozen."""

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens after the final norm, (V, prefix + rows * columns, D), of ``images`` (V, 3, h, w), normalised.

        First the token of the whole image: [cls], or what the family puts in its place (its module says what). Then
        other tokens that belong to no place, at last the patches row by row. Called without gradients and without
        autocast, with sides in whole patches.
        """


class Architecture(Protocol):
    """The shape of a network, and all that decides what it computes besides the values of its weights."""

    @property
    def width(self) -> int:
        """Channels of a token."""

    @property
    def patch_size(self) -> int:
        """Side of a patch in pixels."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Per channel, what is taken from an image with values in 0..1."""

    @property
    def std(self) -> tuple[float, float, float]:
        """Per channel, what an image is divided by after that."""

    @property
    def rule(self) -> str:
        """What a key of cached features must say besides weights, sizes and precision: how positions are computed."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its hub name, in the order of the forward pass."""

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub by hub name: a prefix cut, and what takes no part in encoding left out."""

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names by hub name."""

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Network:
        """The network with these weights (hub names, complete); called when it is needed, as it may take seconds."""


@dataclass(frozen=True)
class EncoderVariant:
    """A published network: its short name, its repository on the hub, what timm calls it (without a tag)."""

    name: str
    hub: str
    timm: tuple[str, ...]
    architecture: Architecture


@dataclass(frozen=True)
class Config:
    """A ``config.json`` of ``transformers``; its values come from outside, and are checked as they are read."""

    where: Path
    values: Mapping[str, object]

    def number(self, key: str, default: int | None = None, *, least: int = 1) -> int:
        """A whole number of at least ``least``.

        Raises:
            InputError: it is missing and there is no default, or is something else.
        """
        value = self.values.get(key, default)
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not isinstance(value, int | float) or not whole or value < least:
            raise InputError(self.where, f"{key} is {value!r}", "Get the file again")
        return int(value)

    def heads(self, key: str, width: int, default: int | None = None) -> int:
        """The number of heads, which divides ``width``.

        Raises:
            InputError: it does not, or is not a number.
        """
        heads = self.number(key, default)
        if width % heads:
            raise InputError(self.where, f"{width} channels do not divide into {heads} heads", "Get the file again")
        return heads

    def demand(self, key: str, expected: object) -> None:
        """Refuse a network that differs from the published ones where this package knows no other.

        Raises:
            InputError: the value is there and differs.
        """
        value = self.values.get(key, expected)
        if value != expected:
            raise InputError(
                self.where,
                f"{key} is {value!r}, not {expected!r}",
                "Only the published networks are supported; get the file again",
            )


@dataclass(frozen=True)
class Family:
    """Networks that are built by one rule.

    Attributes:
        title: how people call them.
        variants: the published sizes.
        timm_tag: which of timm's weights are meant where none are named.
        model_types: what ``config.json`` of ``transformers`` calls them.
        read_config: the architecture that such a file describes.
    """

    title: str
    variants: tuple[EncoderVariant, ...]
    timm_tag: str
    model_types: tuple[str, ...]
    read_config: Callable[[Config], Architecture]


def check_names(tensors: Mapping[str, Tensor], architecture: Architecture, where: str) -> dict[str, Tensor]:
    """The weights that ``architecture`` needs, by hub name.

    Raises:
        InputError: a weight is missing, has another shape, or does not belong to this network.
    """
    shapes = architecture.shapes()
    faults = [f"{name} is missing" for name in shapes if name not in tensors]
    faults += [f"{name} is unknown" for name in tensors if name not in shapes]
    faults += [
        f"{name} has shape {tuple(tensors[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if name in tensors and tuple(tensors[name].shape) != shape
    ]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(
            where,
            f"the weights do not fit the network: {faults[0]}{more}",
            "Give the weights of the network that the name or config.json describes",
        )
    return {name: tensors[name] for name in shapes}


def random_weights(architecture: Architecture, seed: int) -> dict[str, Tensor]:
    """Untrained weights, the same for the same seed on every machine and with every version of ``transformers``.

    The standard initialisation of vision transformers: normal with deviation 0.02 for matrices and tokens, zero biases.
    Layer scales start at 1 as in ``transformers``: at timm's 1e-5 the blocks would do nothing, and a control that only
    embeds its patches says little.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in architecture.shapes().items():
        if len(shape) > 1:
            weights[name] = torch.empty(shape).normal_(std=0.02, generator=generator)
        else:
            weights[name] = torch.zeros(shape) if name.endswith("bias") else torch.ones(shape)
    return weights


def project_patches(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Patches of ``images`` (V, 3, h, w) times ``weight`` (D, 3, side, side): (V, rows * columns, D).

    As a product and not as the convolution it is: cuDNN would convolve float32 in TF32.
    """
    side = weight.shape[-1]
    rows, columns = images.shape[2] // side, images.shape[3] // side
    pixels = images.reshape(-1, 3, rows, side, columns, side).permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
    return F.linear(pixels, weight.flatten(1), bias)


class PatchEmbedding(nn.Module):
    """Takes the place of a network's convolution; see `project_patches`."""

    def __init__(self, convolution: Any) -> None:
        super().__init__()
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, images: Tensor) -> Tensor:
        """(V, D, rows, columns)."""
        side = self.weight.shape[-1]
        patches = project_patches(images, self.weight, self.bias)
        return patches.mT.reshape(len(images), -1, images.shape[2] // side, images.shape[3] // side)


class PositionTable:
    """Learned positions, one for each of ``prefix`` tokens without a place and then of a square grid of patches.

    Another grid gets the square resampled bicubically *with antialiasing*, as timm does (``dynamic_img_size``), and
    hence the published DITR; the tokens without a place keep theirs. ``transformers`` antialiases DINOv2 with registers
    only, which is why no network here leaves this to it.

    Args:
        table: (1, prefix + side * side, D), on the device it is wanted on.
        prefix: number of tokens without a place.
        dtype: of what `on_grid` gives.
    """

    def __init__(self, table: Tensor, prefix: int, dtype: torch.dtype) -> None:
        # Kept in float32 whatever the precision: it is resampled before it is rounded.
        self._table, self._prefix, self._dtype = table.float(), prefix, dtype
        self._side = math.isqrt(table.shape[1] - prefix)
        self._grids: dict[tuple[int, int], Tensor] = {}

    def on_grid(self, rows: int, columns: int) -> Tensor:
        """(1, prefix + rows * columns, D), the patches row by row."""
        grid, side = (rows, columns), self._side
        if grid not in self._grids:
            table = self._table
            if grid != (side, side):
                square = table[:, self._prefix :].reshape(1, side, side, -1).permute(0, 3, 1, 2)
                resampled = F.interpolate(square, grid, mode="bicubic", align_corners=False, antialias=True)
                table = torch.cat((table[:, : self._prefix], resampled.flatten(2).mT), dim=1)
            if len(self._grids) == _KEPT_GRIDS:
                del self._grids[next(iter(self._grids))]
            self._grids[grid] = table.to(self._dtype).contiguous()
        return self._grids[grid]


def rename(
    tensors: Mapping[str, Tensor], rules: Iterable[tuple[str, str]], joint: str, parts: Iterable[str]
) -> dict[str, Tensor]:
    """Weights under new names: every rule (pattern, replacement) is applied to a name in turn.

    ``joint`` is a piece of a new name whose weight holds queries, keys and values one below the other, ``parts`` the
    three pieces that take its place.
    """
    compiled = [(re.compile(pattern), replacement) for pattern, replacement in rules]
    renamed: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = key
        for pattern, replacement in compiled:
            name = pattern.sub(replacement, name)
        if joint in name and value.ndim and value.shape[0] % 3 == 0:
            for part, third in zip(parts, value.chunk(3), strict=True):
                renamed[name.replace(joint, part)] = third
        else:
            renamed[name] = value
    return renamed


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """``transformers`` draws a bar for every load, however short."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def load_network(model_class: Any, config: Any, weights: Mapping[str, Tensor]) -> Any:
    """A network of ``transformers`` with these weights (hub names, complete), float32, in eval mode and frozen.

    Raises:
        InputError: this version of ``transformers`` knows the weights by other names.
    """
    state = {name: tensor.float() for name, tensor in weights.items()}
    with _no_progress_bars():
        network, report = model_class.from_pretrained(
            None, config=config, state_dict=state, attn_implementation="sdpa", output_loading_info=True
        )
    # It would only log these, and leave what is missing at random values.
    strange = sorted({*report["missing_keys"], *report["unexpected_keys"]})
    if strange:
        raise InputError(
            model_class.__name__,
            f"the installed transformers does not match its weights at {strange[0]}",
            "Upgrade it: pip install -U transformers",
        )
    for module in network.modules():
        if type(module) is nn.Linear:
            module.__class__ = Linear  # the same parameters, multiplied as this process multiplies
    return network.float().eval().requires_grad_(False)


def too_old_transformers(name: str, first: str, fault: ImportError) -> InputError:
    """What to say where the installed transformers does not have a network.

    Args:
        name: of the family.
        first: version that has it.
        fault: what the import said.
    """
    text = f"the installed transformers cannot build it, {first} is the first that can ({fault})"
    return InputError(name, text, "Upgrade it: pip install -U transformers")

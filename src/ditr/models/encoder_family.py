"""What is common to frozen image networks: what one offers, how its weights are checked, and how it is built.

A new network is one module beside `ditr.models.dinov2` and `ditr.models.dinov3`: an architecture (a dataclass that
satisfies `Architecture`), what gives its tokens (`Network`), and a `Family` that is added to ``FAMILIES`` in
`ditr.models.encoder_weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from ditr.files import InputError

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "Architecture",
    "Config",
    "Family",
    "Network",
    "Variant",
    "check_names",
    "load_network",
    "project_patches",
    "random_weights",
]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Network(Protocol):
    """A network with its weights, on its device and in its precision, frozen."""

    def tokens(self, images: Tensor) -> Tensor:
        """Tokens after the final norm, (V, prefix + rows * columns, D), of ``images`` (V, 3, h, w), normalised.

        First [cls], then other tokens that belong to no place, at last the patches row by row. Called without
        gradients and without autocast, with sides in whole patches.
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
class Variant:
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

    def demand(self, key: str, expected: object) -> None:
        """Refuse a network that differs from the published ones where this package knows no other.

        Raises:
            InputError: the value is there and differs.
        """
        value = self.values.get(key, expected)
        if value != expected:
            raise InputError(
                self.where, f"{key} is {value!r}, not {expected!r}", "Only the published networks are known"
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
    variants: tuple[Variant, ...]
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
            f"weights do not fit the network: {faults[0]}{more}",
            "Give weights of the network that their name or config.json says",
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
            f"transformers has no place or no value for {strange[0]}",
            "pip install -U transformers",
        )
    return network.float().eval().requires_grad_(False)

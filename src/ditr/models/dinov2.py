"""DINOv2 vision transformers: their sizes, the names of their weights, and the network itself from ``transformers``.

Weights travel through the package under one set of names, those of the files on the Hugging Face hub ("hub names":
``encoder.layer.0.attention.attention.query.weight``, …), which every version of ``transformers`` reads. Weights under
timm's names, which the published DITR loads, are renamed by `rename_timm`:

==================================  ===========================================================================
timm                                hub
==================================  ===========================================================================
``cls_token``                       ``embeddings.cls_token``
``reg_token``                       ``embeddings.register_tokens``
``pos_embed``                       ``embeddings.position_embeddings``; a zero for [cls] is put before it where
                                    timm's table has none (with registers, timm keeps [cls] and its position as
                                    one sum)
``patch_embed.proj.*``              ``embeddings.patch_embeddings.projection.*``
``blocks.N.attn.qkv.*``             ``encoder.layer.N.attention.attention.{query, key, value}.*``, a third each
``blocks.N.attn.proj.*``            ``encoder.layer.N.attention.output.dense.*``
``blocks.N.ls{1, 2}.gamma``         ``encoder.layer.N.layer_scale{1, 2}.lambda1``
``blocks.N.norm{1, 2}.*``           ``encoder.layer.N.norm{1, 2}.*``
``blocks.N.mlp.fc{1, 2}.*``         ``encoder.layer.N.mlp.fc{1, 2}.*``; in the giant, whose MLP is gated,
                                    ``encoder.layer.N.mlp.weights_{in, out}.*``
``norm.*``                          ``layernorm.*``
==================================  ===========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ditr.files import InputError

__all__ = ["SIZES", "Architecture", "build_network", "check_names", "random_weights", "rename_timm"]

NORM_EPSILON = 1e-6


@dataclass(frozen=True)
class Architecture:
    """The shape of a DINOv2 network; ``table`` is the side of its square grid of learned positions, in patches."""

    width: int
    depth: int
    heads: int
    registers: int = 0
    gated_mlp: bool = False
    mlp_ratio: int = 4
    patch_size: int = 14
    table: int = 37

    @property
    def hidden(self) -> int:
        """Width inside the MLP; a gated one has two thirds, rounded up to a multiple of 8."""
        hidden = self.width * self.mlp_ratio
        return (int(hidden * 2 / 3) + 7) // 8 * 8 if self.gated_mlp else hidden

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its hub name, in the order of the forward pass."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.cls_token": (1, 1, width),
            "embeddings.position_embeddings": (1, self.table**2 + 1, width),
            "embeddings.patch_embeddings.projection.weight": (width, 3, self.patch_size, self.patch_size),
            "embeddings.patch_embeddings.projection.bias": (width,),
        }
        if self.registers:
            shapes["embeddings.register_tokens"] = (1, self.registers, width)
        mlp = ("weights_in", "weights_out") if self.gated_mlp else ("fc1", "fc2")
        linear = {
            "attention.attention.query": (width, width),
            "attention.attention.key": (width, width),
            "attention.attention.value": (width, width),
            "attention.output.dense": (width, width),
            f"mlp.{mlp[0]}": (2 * hidden if self.gated_mlp else hidden, width),
            f"mlp.{mlp[1]}": (width, hidden),
        }
        for index in range(self.depth):
            layer = f"encoder.layer.{index}."
            for name, shape in linear.items():
                shapes[f"{layer}{name}.weight"] = shape
                shapes[f"{layer}{name}.bias"] = shape[:1]
            for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
                shapes[layer + name] = (width,)
            shapes[layer + "layer_scale1.lambda1"] = shapes[layer + "layer_scale2.lambda1"] = (width,)
        return shapes | {"layernorm.weight": (width,), "layernorm.bias": (width,)}


SIZES = {
    "small": Architecture(width=384, depth=12, heads=6),
    "base": Architecture(width=768, depth=12, heads=12),
    "large": Architecture(width=1024, depth=24, heads=16),
    "giant": Architecture(width=1536, depth=40, heads=24, gated_mlp=True),
}
"""The four published sizes, without registers."""


def check_names(tensors: Mapping[str, Tensor], architecture: Architecture, where: str) -> dict[str, Tensor]:
    """The weights that ``architecture`` needs, by hub name; a mask token, which only training uses, is dropped.

    Raises:
        InputError: a weight is missing, has another shape, or does not belong to this network.
    """
    shapes = architecture.shapes()
    given = {name: tensor for name, tensor in tensors.items() if name != "embeddings.mask_token"}
    faults = [f"{name} is missing" for name in shapes if name not in given]
    faults += [f"{name} is unknown" for name in given if name not in shapes]
    faults += [
        f"{name} has shape {tuple(given[name].shape)} instead of {shape}"
        for name, shape in shapes.items()
        if name in given and tuple(given[name].shape) != shape
    ]
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(
            where, f"weights do not fit the network: {faults[0]}{more}", "Give weights of a DINOv2 network"
        )
    return {name: given[name] for name in shapes}


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


_TIMM = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^reg_token$", "embeddings.register_tokens"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.ls([12])\.gamma$", r".layer_scale\1.lambda1"),
)


def rename_timm(tensors: Mapping[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Weights under timm's names (``vit_*_patch14_dinov2``, ``vit_*_patch14_reg4_dinov2``) -> hub names."""
    gated = ((r"\.mlp\.fc1\.", ".mlp.weights_in."), (r"\.mlp\.fc2\.", ".mlp.weights_out."))
    rules = _TIMM + (gated if architecture.gated_mlp else ())
    renamed: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name, value = key, tensor
        for pattern, replacement in rules:
            name = re.sub(pattern, replacement, name)
        if ".attn.qkv." in name and value.shape[0] % 3 == 0:
            for part, third in zip(("query", "key", "value"), value.chunk(3), strict=True):
                renamed[name.replace(".attn.qkv.", f".attention.attention.{part}.")] = third
            continue
        if key == "pos_embed" and value.shape[1] == architecture.table**2:
            value = torch.cat((torch.zeros_like(value[:, :1]), value), dim=1)
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


def build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    """The network of ``transformers`` with these weights (hub names, complete), float32, in eval mode and frozen.

    It is a ``Dinov2Model`` or a ``Dinov2WithRegistersModel``.
    """
    # Imported late: it takes a second or two. The modules are named directly, since transformers' own lazy names pull
    # in image processors, and these torchvision.
    if architecture.registers:
        from transformers.models.dinov2_with_registers import configuration_dinov2_with_registers as configuration
        from transformers.models.dinov2_with_registers import modeling_dinov2_with_registers as modeling

        config_class, model_class = configuration.Dinov2WithRegistersConfig, modeling.Dinov2WithRegistersModel
        registers = {"num_register_tokens": architecture.registers}
    else:
        from transformers.models.dinov2 import configuration_dinov2 as configuration
        from transformers.models.dinov2 import modeling_dinov2 as modeling

        config_class, model_class = configuration.Dinov2Config, modeling.Dinov2Model
        registers = {}
    config = config_class(
        hidden_size=architecture.width,
        num_hidden_layers=architecture.depth,
        num_attention_heads=architecture.heads,
        mlp_ratio=architecture.mlp_ratio,
        use_swiglu_ffn=architecture.gated_mlp,
        patch_size=architecture.patch_size,
        image_size=architecture.patch_size * architecture.table,
        layer_norm_eps=NORM_EPSILON,
        **registers,
    )
    # Both networks have a parameter for masked training; it takes no part in anything here.
    state = {name: tensor.float() for name, tensor in weights.items()}
    state["embeddings.mask_token"] = torch.zeros(1, architecture.width)
    with _no_progress_bars():
        network = model_class.from_pretrained(None, config=config, state_dict=state, attn_implementation="sdpa")
    return network.float().eval().requires_grad_(False)

"""DINOv3 vision transformers: their sizes, the names of their weights, and the network itself from ``transformers``.

They differ from DINOv2 in what is around the blocks more than in them: patches of 16 pixels, positions that rotate
queries and keys instead of a learned table, and no bias of the keys. Weights travel under the names of the files on the
Hugging Face hub. timm (from 1.0.20, class Eva) has them under others:

======================================  =======================================================================
timm                                    hub
======================================  =======================================================================
``cls_token``, ``reg_token``            ``embeddings.cls_token``, ``embeddings.register_tokens``
``patch_embed.proj.*``                  ``embeddings.patch_embeddings.*``
``blocks.N.attn.qkv.weight``            ``layer.N.attention.{q, k, v}_proj.weight``, a third each
``blocks.N.attn.{q, v}_bias``           ``layer.N.attention.{q, v}_proj.bias``; only the networks named ``_qkvb``
                                        have them. All published ones are zero, and timm leaves them out elsewhere;
                                        here they are put in as zeros, so that one network has one digest
``blocks.N.attn.proj.*``                ``layer.N.attention.o_proj.*``
``blocks.N.gamma_{1, 2}``               ``layer.N.layer_scale{1, 2}.lambda1``
``blocks.N.norm{1, 2}.*``               ``layer.N.norm{1, 2}.*``
``blocks.N.mlp.{fc1, fc2}.*``           ``layer.N.mlp.{up, down}_proj.*``
``blocks.N.mlp.{fc1_g, fc1_x, fc2}.*``  ``layer.N.mlp.{gate, up, down}_proj.*``, where the MLP is gated ("plus")
``norm.*``                              ``norm.*``
======================================  =======================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ditr.encoders.family import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Config,
    EncoderVariant,
    Family,
    PatchEmbedding,
    load_network,
    rename,
    too_old_transformers,
)
from ditr.errors import InputError

__all__ = ["FAMILY", "SIZES", "Architecture", "Dinov3"]

NORM_EPSILON = 1e-5
ROPE_BASE = 100.0


@dataclass(frozen=True)
class Architecture:
    """The shape of a DINOv3 network; ``hidden`` is the width inside the MLP, which is gated in the "plus" sizes."""

    width: int
    depth: int
    heads: int
    hidden: int
    gated_mlp: bool = False
    registers: int = 4
    patch_size: int = 16

    mean: ClassVar = IMAGENET_MEAN
    std: ClassVar = IMAGENET_STD

    @property
    def rule(self) -> str:
        """Heads are named as they decide the rotation, and no weight's shape tells their number."""
        return f"rotary heads={self.heads}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its hub name, in the order of the forward pass."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.cls_token": (1, 1, width),
            "embeddings.register_tokens": (1, self.registers, width),
            "embeddings.patch_embeddings.weight": (width, 3, self.patch_size, self.patch_size),
            "embeddings.patch_embeddings.bias": (width,),
        }
        linear = {f"attention.{part}_proj": (width, width) for part in "qkvo"}
        linear |= {"mlp.gate_proj": (hidden, width)} if self.gated_mlp else {}
        linear |= {"mlp.up_proj": (hidden, width), "mlp.down_proj": (width, hidden)}
        for index in range(self.depth):
            layer = f"layer.{index}."
            for name, shape in linear.items():
                shapes[f"{layer}{name}.weight"] = shape
                if name != "attention.k_proj":
                    shapes[f"{layer}{name}.bias"] = shape[:1]
            for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias"):
                shapes[layer + name] = (width,)
            shapes[layer + "layer_scale1.lambda1"] = shapes[layer + "layer_scale2.lambda1"] = (width,)
        return shapes | {"norm.weight": (width,), "norm.bias": (width,)}

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub, without the token of masked training."""
        return {name: value for name, value in tensors.items() if name != "embeddings.mask_token"}

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names (``vit_*_patch16_dinov3``, with or without ``_qkvb``) by hub name."""
        mlp = (
            ((r"\.mlp\.fc1_g\.", ".mlp.gate_proj."), (r"\.mlp\.fc1_x\.", ".mlp.up_proj."))
            if self.gated_mlp
            else ((r"\.mlp\.fc1\.", ".mlp.up_proj."),)
        )
        zeros = {
            f"layer.{index}.attention.{part}_proj.bias": torch.zeros(self.width)
            for index in range(self.depth)
            for part in "qv"
        }
        return zeros | rename(tensors, (*_TIMM, *mlp), ".attn.qkv.", [f".attention.{part}_proj." for part in "qkv"])

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Dinov3:
        return Dinov3(self, weights, device, dtype)


_TIMM = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^reg_token$", "embeddings.register_tokens"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings."),
    (r"^blocks\.", "layer."),
    (r"\.attn\.([qv])_bias$", r".attention.\1_proj.bias"),
    (r"\.attn\.proj\.", ".attention.o_proj."),
    (r"\.gamma_([12])$", r".layer_scale\1.lambda1"),
    (r"\.mlp\.fc2\.", ".mlp.down_proj."),
)

SIZES = {
    "small": Architecture(width=384, depth=12, heads=6, hidden=1536),
    "small-plus": Architecture(width=384, depth=12, heads=6, hidden=1536, gated_mlp=True),
    "base": Architecture(width=768, depth=12, heads=12, hidden=3072),
    "large": Architecture(width=1024, depth=24, heads=16, hidden=4096),
    "huge-plus": Architecture(width=1280, depth=32, heads=20, hidden=5120, gated_mlp=True),
}
"""The published sizes but the largest, which no scene is encoded with: it has 7 billion weights."""


class Dinov3:
    """A frozen DINOv3 on a device: ``DINOv3ViTModel`` of ``transformers``."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        network = _build_network(architecture, weights).to(dtype)
        # In float32 whatever the precision, as in timm, which the published DITR loads; Meta's own code rounds them to
        # bfloat16 always, which turns the outermost patches by up to a hundredth of a radian.
        exponents = torch.arange(0, 1, 4 * architecture.heads / architecture.width, dtype=torch.float32)
        network.rope_embeddings.inv_freq = ROPE_BASE**-exponents
        network.embeddings.patch_embeddings = PatchEmbedding(network.embeddings.patch_embeddings)
        self._network = network.to(device)

    def tokens(self, images: Tensor) -> Tensor:
        """(V, 1 + registers + rows * columns, D): [cls], registers, patches row by row."""
        tokens: Tensor = self._network(images).last_hidden_state
        return tokens


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    # Imported late and by module, as for DINOv2.
    try:
        from transformers.models.dinov3_vit import configuration_dinov3_vit as configuration
        from transformers.models.dinov3_vit import modeling_dinov3_vit as modeling
    except ImportError as fault:
        raise too_old_transformers("DINOv3", "4.56", fault) from fault
    config = configuration.DINOv3ViTConfig(
        hidden_size=architecture.width,
        intermediate_size=architecture.hidden,
        num_hidden_layers=architecture.depth,
        num_attention_heads=architecture.heads,
        num_register_tokens=architecture.registers,
        use_gated_mlp=architecture.gated_mlp,
        patch_size=architecture.patch_size,
        layer_norm_eps=NORM_EPSILON,
        rope_theta=ROPE_BASE,
        hidden_act=_activation(architecture.gated_mlp),
        query_bias=True,
        key_bias=False,
        value_bias=True,
    )
    # A parameter for masked training, which takes no part in anything here.
    mask = {"embeddings.mask_token": torch.zeros(1, 1, architecture.width)}
    return load_network(modeling.DINOv3ViTModel, config, {**weights, **mask})


def _activation(gated: bool) -> str:
    return "silu" if gated else "gelu"


def _read_config(config: Config) -> Architecture:
    gated = bool(config.values.get("use_gated_mlp", False))
    config.demand("hidden_act", _activation(gated))
    config.demand("layer_norm_eps", NORM_EPSILON)
    config.demand("rope_theta", ROPE_BASE)
    for part in ("query", "value", "proj", "mlp"):
        config.demand(f"{part}_bias", True)
    config.demand("key_bias", False)
    architecture = Architecture(
        width=config.number("hidden_size"),
        depth=config.number("num_hidden_layers", least=0),
        heads=config.number("num_attention_heads"),
        hidden=config.number("intermediate_size"),
        gated_mlp=gated,
        registers=config.number("num_register_tokens", 0, least=0),
        patch_size=config.number("patch_size", 16),
    )
    if architecture.width % (4 * architecture.heads):
        raise InputError(
            config.where,
            f"{architecture.heads} heads on {architecture.width} channels leave no channels to rotate in two "
            "directions",
            "Get the file again",
        )
    return architecture


def _variant(size: str, hub: str) -> EncoderVariant:
    timm = f"vit_{size.replace('-', '_')}_patch16_dinov3"
    return EncoderVariant(
        f"dinov3-{size}", f"facebook/dinov3-{hub}-pretrain-lvd1689m", (timm, f"{timm}_qkvb"), SIZES[size]
    )


FAMILY = Family(
    title="DINOv3",
    variants=(
        _variant("small", "vits16"),
        _variant("small-plus", "vits16plus"),
        _variant("base", "vitb16"),
        _variant("large", "vitl16"),
        _variant("huge-plus", "vith16plus"),
    ),
    timm_tag="lvd1689m",
    model_types=("dinov3_vit",),
    read_config=_read_config,
)

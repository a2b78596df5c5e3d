"""DINOv2 vision transformers: their sizes, the names of their weights, and the network itself from ``transformers``.

Weights travel through the package under one set of names, those of the files on the Hugging Face hub ("hub names":
``encoder.layer.0.attention.attention.query.weight``, …), which every version of ``transformers`` reads. Weights under
timm's names, which the published DITR loads, are renamed by `Architecture.from_timm`:

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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ditr.encoders.family import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Config,
    EncoderVariant,
    Family,
    PositionTable,
    load_network,
    project_patches,
    rename,
)

__all__ = ["FAMILY", "SIZES", "Architecture", "Dinov2"]

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

    mean: ClassVar = IMAGENET_MEAN
    std: ClassVar = IMAGENET_STD
    rule: ClassVar = "antialiased"

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

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub: without a prefix, a classifier, and the token of masked training."""
        named = {re.sub(r"^(dinov2|dinov2_with_registers)\.", "", name): value for name, value in tensors.items()}
        return {
            name: value
            for name, value in named.items()
            if not name.startswith("classifier.") and name != "embeddings.mask_token"
        }

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names (``vit_*_patch14_dinov2``, ``vit_*_patch14_reg4_dinov2``) by hub name."""
        gated = ((r"\.mlp\.fc1\.", ".mlp.weights_in."), (r"\.mlp\.fc2\.", ".mlp.weights_out."))
        rules = _TIMM + (gated if self.gated_mlp else ())
        parts = [f".attention.attention.{part}." for part in ("query", "key", "value")]
        renamed = rename(tensors, rules, ".attn.qkv.", parts)
        table = renamed.get("embeddings.position_embeddings")
        if table is not None and table.shape[1] == self.table**2:
            renamed["embeddings.position_embeddings"] = torch.cat((torch.zeros_like(table[:, :1]), table), dim=1)
        return renamed

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Dinov2:
        return Dinov2(self, weights, device, dtype)


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


SIZES = {
    "small": Architecture(width=384, depth=12, heads=6),
    "base": Architecture(width=768, depth=12, heads=12),
    "large": Architecture(width=1024, depth=24, heads=16),
    "giant": Architecture(width=1536, depth=40, heads=24, gated_mlp=True),
}
"""The four published sizes, without registers."""


class Dinov2:
    """A frozen DINOv2 on a device; of ``transformers`` it uses the blocks, and puts the embedding together itself."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self.architecture = architecture
        self._positions = PositionTable(weights["embeddings.position_embeddings"].to(device), 1, dtype)
        self._network = _build_network(architecture, weights).to(device, dtype)

    def tokens(self, images: Tensor) -> Tensor:
        """(V, 1 + registers + rows * columns, D): [cls], registers, patches row by row."""
        embeddings, side = self._network.embeddings, self.architecture.patch_size
        projection = embeddings.patch_embeddings.projection
        patches = project_patches(images, projection.weight, projection.bias)
        positions = self.positions(images.shape[2] // side, images.shape[3] // side)
        count = len(images)
        # Registers have no position.
        prefix = [(embeddings.cls_token + positions[:, :1]).expand(count, -1, -1)]
        if self.architecture.registers:
            prefix.append(embeddings.register_tokens.expand(count, -1, -1))
        hidden = torch.cat((*prefix, patches + positions[:, 1:]), dim=1)
        tokens: Tensor = self._network.layernorm(self._network.encoder(hidden).last_hidden_state)
        return tokens

    def positions(self, rows: int, columns: int) -> Tensor:
        """Positions of [cls] and the patches, (1, 1 + rows * columns, D); see `PositionTable`."""
        return self._positions.on_grid(rows, columns)


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    """A ``Dinov2Model`` or a ``Dinov2WithRegistersModel`` with these weights, float32, in eval mode and frozen."""
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
    mask = {"embeddings.mask_token": torch.zeros(1, architecture.width)}
    return load_network(model_class, config, {**weights, **mask})


def _read_config(config: Config) -> Architecture:
    patch = config.number("patch_size")
    with_registers = config.values["model_type"] == "dinov2_with_registers"
    return Architecture(
        width=config.number("hidden_size"),
        depth=config.number("num_hidden_layers", least=0),
        heads=config.number("num_attention_heads"),
        registers=config.number("num_register_tokens", 4, least=0) if with_registers else 0,
        gated_mlp=bool(config.values.get("use_swiglu_ffn", False)),
        mlp_ratio=config.number("mlp_ratio", 4),
        patch_size=patch,
        table=config.number("image_size") // patch,
    )


FAMILY = Family(
    title="DINOv2, with and without registers",
    variants=(
        *(
            EncoderVariant(f"dinov2-{size}", f"facebook/dinov2-{size}", (f"vit_{size}_patch14_dinov2",), architecture)
            for size, architecture in SIZES.items()
        ),
        # The published DITR uses these.
        *(
            EncoderVariant(
                f"dinov2-{size}-reg",
                f"facebook/dinov2-with-registers-{size}",
                (f"vit_{size}_patch14_reg4_dinov2",),
                replace(architecture, registers=4),
            )
            for size, architecture in SIZES.items()
        ),
    ),
    timm_tag="lvd142m",
    model_types=("dinov2", "dinov2_with_registers"),
    read_config=_read_config,
)

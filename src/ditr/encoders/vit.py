"""Vision transformers trained to name the classes of ImageNet-21k, and the network itself from ``transformers``.

The first vision transformers, with patches of 16 pixels and [cls]. Two trainings of the same networks are published:

* ``vit-{base, large}-in21k``, the first one, as Google's repositories on the hub have it;
* ``vit-{base, large}-augreg-in21k``, a later one with more augmentation and regularisation, in timm's repositories. It
  is the one that timm means by its name, and so most likely the IN21k ViT-L of the paper (Table 6).

Positions are a learned table for images of 224 pixels, treated as in timm (`PositionTable`). ``transformers`` refuses
images of another size unless it is told to resample the table, and then it does without antialiasing.

Weights travel under the names of the files on the Hugging Face hub. timm has them under others:

==================================  ===========================================================================
timm                                hub
==================================  ===========================================================================
``cls_token``, ``pos_embed``        ``embeddings.cls_token``, ``embeddings.position_embeddings``
``patch_embed.proj.*``              ``embeddings.patch_embeddings.projection.*``
``blocks.N.norm{1, 2}.*``           ``encoder.layer.N.layernorm_{before, after}.*``
``blocks.N.attn.qkv.*``             ``encoder.layer.N.attention.attention.{query, key, value}.*``, a third each
``blocks.N.attn.proj.*``            ``encoder.layer.N.attention.output.dense.*``
``blocks.N.mlp.{fc1, fc2}.*``       ``encoder.layer.N.{intermediate, output}.dense.*``
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

from ditr.encoders.family import Config, EncoderVariant, Family, PatchEmbedding, PositionTable, load_network, rename
from ditr.errors import InputError

__all__ = ["FAMILY", "SIZES", "Architecture", "Vit"]

ACTIVATION = "gelu"
HUB_EPSILON = 1e-12
TIMM_EPSILON = 1e-6


@dataclass(frozen=True)
class Architecture:
    """The shape of a vision transformer.

    ``hidden`` is the width inside the MLP, ``table`` the side of the square grid of learned positions in patches,
    ``epsilon`` that of the norms, where timm and the files of the hub differ.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    patch_size: int = 16
    table: int = 14
    epsilon: float = HUB_EPSILON

    mean: ClassVar = (0.5, 0.5, 0.5)
    std: ClassVar = (0.5, 0.5, 0.5)

    @property
    def rule(self) -> str:
        """Neither the number of heads nor the norms' epsilon shows in a weight."""
        return f"vit antialiased heads={self.heads} epsilon={self.epsilon:g}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its hub name, in the order of the forward pass."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.cls_token": (1, 1, width),
            "embeddings.position_embeddings": (1, self.table**2 + 1, width),
            "embeddings.patch_embeddings.projection.weight": (width, 3, self.patch_size, self.patch_size),
            "embeddings.patch_embeddings.projection.bias": (width,),
        }
        linear = {f"attention.attention.{part}": (width, width) for part in ("query", "key", "value")}
        linear |= {
            "attention.output.dense": (width, width),
            "intermediate.dense": (hidden, width),
            "output.dense": (width, hidden),
        }
        for index in range(self.depth):
            layer = f"encoder.layer.{index}."
            for name, shape in linear.items():
                shapes[f"{layer}{name}.weight"] = shape
                shapes[f"{layer}{name}.bias"] = shape[:1]
            for norm in ("layernorm_before", "layernorm_after"):
                shapes[f"{layer}{norm}.weight"] = shapes[f"{layer}{norm}.bias"] = (width,)
        return shapes | {"layernorm.weight": (width,), "layernorm.bias": (width,)}

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub: without a prefix, a classifier, and what comes after [cls]."""
        named = {re.sub(r"^vit\.", "", name): value for name, value in tensors.items()}
        return {
            name: value
            for name, value in named.items()
            if not name.startswith(("classifier.", "pooler.")) and name != "embeddings.mask_token"
        }

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names (``vit_*_patch16_224``) by hub name, without the classifier."""
        kept = {name: value for name, value in tensors.items() if not name.startswith("head.")}
        parts = [f".attention.attention.{part}." for part in ("query", "key", "value")]
        return rename(kept, _TIMM, ".attn.qkv.", parts)

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Vit:
        return Vit(self, weights, device, dtype)


_TIMM = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^norm\.", "layernorm."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
)

SIZES = {
    "base": Architecture(width=768, depth=12, heads=12, hidden=3072),
    "large": Architecture(width=1024, depth=24, heads=16, hidden=4096),
}
"""The published sizes with patches of 16 that saw ImageNet-21k in both trainings."""


class Vit:
    """A frozen vision transformer on a device: ``ViTModel`` of ``transformers`` with timm's positions."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        network = _build_network(architecture, weights).to(device, dtype)
        table = PositionTable(weights["embeddings.position_embeddings"].to(device), 1, dtype)
        side = architecture.patch_size

        def positions(_: Tensor, height: int, width: int) -> Tensor:
            return table.on_grid(height // side, width // side)

        embeddings = network.embeddings
        embeddings.patch_embeddings.projection = PatchEmbedding(embeddings.patch_embeddings.projection)
        embeddings.interpolate_pos_encoding = positions
        self._network = network

    def tokens(self, images: Tensor) -> Tensor:
        """(V, 1 + rows * columns, D): [cls], patches row by row."""
        tokens: Tensor = self._network(images, interpolate_pos_encoding=True).last_hidden_state
        return tokens


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    # Imported late and by module, as for DINOv2.
    from transformers.models.vit import configuration_vit as configuration
    from transformers.models.vit import modeling_vit as modeling

    width = architecture.width
    config = configuration.ViTConfig(
        hidden_size=width,
        intermediate_size=architecture.hidden,
        num_hidden_layers=architecture.depth,
        num_attention_heads=architecture.heads,
        image_size=architecture.table * architecture.patch_size,
        patch_size=architecture.patch_size,
        hidden_act=ACTIVATION,
        layer_norm_eps=architecture.epsilon,
        qkv_bias=True,
    )
    # What comes after [cls] takes no part in anything here.
    pooler = {"pooler.dense.weight": torch.zeros(width, width), "pooler.dense.bias": torch.zeros(width)}
    return load_network(modeling.ViTModel, config, {**weights, **pooler})


def _read_config(config: Config) -> Architecture:
    config.demand("hidden_act", ACTIVATION)
    config.demand("qkv_bias", True)
    epsilon = config.values.get("layer_norm_eps", HUB_EPSILON)
    if epsilon not in (HUB_EPSILON, TIMM_EPSILON):
        raise InputError(
            config.where,
            f"layer_norm_eps is {epsilon!r}, not {HUB_EPSILON!r} or {TIMM_EPSILON!r}",
            "Only the published networks are supported; get the file again",
        )
    patch, width = config.number("patch_size", 16), config.number("hidden_size")
    return Architecture(
        width=width,
        depth=config.number("num_hidden_layers", least=0),
        heads=config.heads("num_attention_heads", width),
        hidden=config.number("intermediate_size"),
        patch_size=patch,
        table=config.number("image_size", 224, least=patch) // patch,
        epsilon=HUB_EPSILON if epsilon == HUB_EPSILON else TIMM_EPSILON,
    )


FAMILY = Family(
    title="ViT (ImageNet-21k)",
    variants=(
        *(
            EncoderVariant(f"vit-{size}-in21k", f"google/vit-{size}-patch16-224-in21k", (), architecture)
            for size, architecture in SIZES.items()
        ),
        *(
            EncoderVariant(
                f"vit-{size}-augreg-in21k",
                f"timm/vit_{size}_patch16_224.augreg_in21k",
                (f"vit_{size}_patch16_224",),
                replace(architecture, epsilon=TIMM_EPSILON),
            )
            for size, architecture in SIZES.items()
        ),
    ),
    timm_tag="augreg_in21k",
    model_types=("vit",),
    read_config=_read_config,
)

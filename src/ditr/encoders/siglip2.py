"""SigLIP 2 image encoders: their sizes, the names of their weights, and the network itself from ``transformers``.

The image half of a pair that was trained with captions (paper, Table 6: ViT-g). Patches of 16 pixels, no [cls] and no
registers; a head pools the patch tokens with one learned query, and its output stands in the place of [cls], as that is
what was trained to say what the whole image shows. Without a head (``vision_use_head``) the mean of the patch tokens
does. Only networks for images of one size are known: those named "naflex" pack their patches in another way.

Positions are a learned table, treated as in timm (`PositionTable`). ``transformers`` refuses images of another size
unless it is told to resample the table, and then it does without antialiasing.

Weights travel under the names of the files on the Hugging Face hub, which hold the text half too; it is left out. Files
that ``transformers`` writes of the image half alone lack the prefix ``vision_model.``, which is put before. timm (from
1.0.15; the published DITR pins 1.0.11, which lacks these networks) has other names:

=========================================  ====================================================================
timm                                       hub, after ``vision_model.``
=========================================  ====================================================================
``pos_embed``                              ``embeddings.position_embedding.weight``
``patch_embed.proj.*``                     ``embeddings.patch_embedding.*``
``blocks.N.norm{1, 2}.*``                  ``encoder.layers.N.layer_norm{1, 2}.*``
``blocks.N.attn.qkv.*``                    ``encoder.layers.N.self_attn.{q, k, v}_proj.*``, a third each
``blocks.N.attn.proj.*``                   ``encoder.layers.N.self_attn.out_proj.*``
``blocks.N.mlp.fc{1, 2}.*``                ``encoder.layers.N.mlp.fc{1, 2}.*``
``norm.*``                                 ``post_layernorm.*``
``attn_pool.latent``                       ``head.probe``
``attn_pool.q.*``, ``attn_pool.kv.*``      ``head.attention.in_proj_*``, one below the other
``attn_pool.proj.*``                       ``head.attention.out_proj.*``
``attn_pool.norm.*``                       ``head.layernorm.*``
``attn_pool.mlp.fc{1, 2}.*``               ``head.mlp.fc{1, 2}.*``
=========================================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from ditr.encoders.family import Config, EncoderVariant, Family, PositionTable, load_network, project_patches, rename
from ditr.errors import InputError

__all__ = ["FAMILY", "SIZES", "Architecture", "Siglip2"]

NORM_EPSILON = 1e-6
ACTIVATION = "gelu_pytorch_tanh"
_PREFIX = "vision_model."
_TABLE = f"{_PREFIX}embeddings.position_embedding.weight"


@dataclass(frozen=True)
class Architecture:
    """The shape of a SigLIP 2 image encoder.

    ``hidden`` is the width inside the MLP, ``table`` the side of the square grid of learned positions in patches.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    patch_size: int = 16
    table: int = 32
    head: bool = True

    mean: ClassVar = (0.5, 0.5, 0.5)
    std: ClassVar = (0.5, 0.5, 0.5)

    @property
    def rule(self) -> str:
        """The number of heads shows in no weight."""
        return f"siglip antialiased heads={self.heads}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its hub name, in the order of the forward pass."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.patch_embedding.weight": (width, 3, self.patch_size, self.patch_size),
            "embeddings.patch_embedding.bias": (width,),
            "embeddings.position_embedding.weight": (self.table**2, width),
        }
        mlp: dict[str, tuple[int, ...]] = {
            "mlp.fc1.weight": (hidden, width),
            "mlp.fc1.bias": (hidden,),
            "mlp.fc2.weight": (width, hidden),
            "mlp.fc2.bias": (width,),
        }
        for index in range(self.depth):
            layer = f"encoder.layers.{index}."
            for part in ("q", "k", "v", "out"):
                shapes[f"{layer}self_attn.{part}_proj.weight"] = (width, width)
                shapes[f"{layer}self_attn.{part}_proj.bias"] = (width,)
            for norm in ("layer_norm1", "layer_norm2"):
                shapes[f"{layer}{norm}.weight"] = shapes[f"{layer}{norm}.bias"] = (width,)
            shapes |= {layer + name: shape for name, shape in mlp.items()}
        shapes |= {"post_layernorm.weight": (width,), "post_layernorm.bias": (width,)}
        if self.head:
            shapes |= {
                "head.probe": (1, 1, width),
                "head.attention.in_proj_weight": (3 * width, width),
                "head.attention.in_proj_bias": (3 * width,),
                "head.attention.out_proj.weight": (width, width),
                "head.attention.out_proj.bias": (width,),
                "head.layernorm.weight": (width,),
                "head.layernorm.bias": (width,),
            }
            shapes |= {f"head.{name}": shape for name, shape in mlp.items()}
        return {_PREFIX + name: shape for name, shape in shapes.items()}

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub: the image half, with the prefix that it has beside a text half."""
        named = {name: value for name, value in tensors.items() if name.startswith(_PREFIX)}
        return named or {_PREFIX + name: value for name, value in tensors.items()}

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names (``vit_*_patch16_siglip_*``) by hub name."""
        parts = [f".self_attn.{part}_proj." for part in "qkv"]
        renamed = rename(tensors, _TIMM, ".attn.qkv.", parts)
        for kind in ("weight", "bias"):
            query, both = renamed.pop(f"attn_pool.q.{kind}", None), renamed.pop(f"attn_pool.kv.{kind}", None)
            if query is not None and both is not None and query.shape[1:] == both.shape[1:]:
                renamed[f"{_PREFIX}head.attention.in_proj_{kind}"] = torch.cat((query, both))
        table = renamed.get(_TABLE)
        if table is not None and table.ndim == 3 and len(table) == 1:
            renamed[_TABLE] = table[0]
        return renamed

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Siglip2:
        return Siglip2(self, weights, device, dtype)


_TIMM = (
    (r"^pos_embed$", _TABLE),
    (r"^patch_embed\.proj\.", f"{_PREFIX}embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.norm", rf"{_PREFIX}encoder.layers.\1.layer_norm"),
    (r"^blocks\.", f"{_PREFIX}encoder.layers."),
    (r"\.attn\.proj\.", ".self_attn.out_proj."),
    (r"^norm\.", f"{_PREFIX}post_layernorm."),
    (r"^attn_pool\.latent$", f"{_PREFIX}head.probe"),
    (r"^attn_pool\.proj\.", f"{_PREFIX}head.attention.out_proj."),
    (r"^attn_pool\.norm\.", f"{_PREFIX}head.layernorm."),
    (r"^attn_pool\.mlp\.", f"{_PREFIX}head.mlp."),
)

SIZES = {
    "base": Architecture(width=768, depth=12, heads=12, hidden=3072),
    "large": Architecture(width=1024, depth=24, heads=16, hidden=4096),
    "so400m": Architecture(width=1152, depth=27, heads=16, hidden=4304),
    "giant": Architecture(width=1536, depth=40, heads=16, hidden=6144, table=24),
}
"""The published sizes with patches of 16, for images of 512 pixels or, the giant, of 384."""

_RESOLUTIONS = {"base": (512, 384, 256, 224), "large": (512, 384, 256), "so400m": (512, 384, 256), "giant": (384, 256)}


class Siglip2:
    """A frozen SigLIP 2 on a device; of ``transformers`` it uses all but the embedding."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._side, self._head = architecture.patch_size, architecture.head
        self._positions = PositionTable(weights[_TABLE][None].to(device), 0, dtype)
        network = _build_network(architecture, weights)
        # Before transformers 5 the network was one level further down.
        self._network = getattr(network, "vision_model", network).to(device, dtype)

    def tokens(self, images: Tensor) -> Tensor:
        """(V, 1 + rows * columns, D): what the head pools (without one, the patches' mean), patches row by row."""
        network, projection = self._network, self._network.embeddings.patch_embedding
        positions = self._positions.on_grid(images.shape[2] // self._side, images.shape[3] // self._side)
        hidden = project_patches(images, projection.weight, projection.bias) + positions
        patches = network.post_layernorm(network.encoder(inputs_embeds=hidden).last_hidden_state)
        image = network.head(patches) if self._head else patches.mean(dim=1)
        return torch.cat((image[:, None], patches), dim=1)


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    # Imported late and by module, as for DINOv2. The class is that of the first SigLIP: the second trains it otherwise.
    from transformers.models.siglip import configuration_siglip as configuration
    from transformers.models.siglip import modeling_siglip as modeling

    config = configuration.SiglipVisionConfig(
        hidden_size=architecture.width,
        intermediate_size=architecture.hidden,
        num_hidden_layers=architecture.depth,
        num_attention_heads=architecture.heads,
        image_size=architecture.table * architecture.patch_size,
        patch_size=architecture.patch_size,
        hidden_act=ACTIVATION,
        layer_norm_eps=NORM_EPSILON,
    )
    config.vision_use_head = architecture.head
    return load_network(modeling.SiglipVisionModel, config, weights)


def _read_config(config: Config) -> Architecture:
    if config.values["model_type"] == "siglip":
        # With the text half beside it; values that are the class's defaults are left out of such a file.
        vision = config.values.get("vision_config", {})
        if not isinstance(vision, dict):
            raise InputError(config.where, f"vision_config is {vision!r}", "Get the file again")
        config = Config(config.where, vision)
    config.demand("hidden_act", ACTIVATION)
    config.demand("layer_norm_eps", NORM_EPSILON)
    patch, width = config.number("patch_size", 16), config.number("hidden_size", 768)
    return Architecture(
        width=width,
        depth=config.number("num_hidden_layers", 12, least=0),
        heads=config.heads("num_attention_heads", width, 12),
        hidden=config.number("intermediate_size", 3072),
        patch_size=patch,
        table=config.number("image_size", 224, least=patch) // patch,
        head=bool(config.values.get("vision_use_head", True)),
    )


def _variants(size: str) -> list[EncoderVariant]:
    """The largest resolution has the plain name: its table of positions is the nearest to the grids of DITR."""
    hub = timm = size
    if size == "giant":
        hub, timm = "giant-opt", "giantopt"
    return [
        EncoderVariant(
            f"siglip2-{size}" if index == 0 else f"siglip2-{size}-{pixels}",
            f"google/siglip2-{hub}-patch16-{pixels}",
            (f"vit_{timm}_patch16_siglip_{pixels}",),
            replace(SIZES[size], table=pixels // 16),
        )
        for index, pixels in enumerate(_RESOLUTIONS[size])
    ]


FAMILY = Family(
    title="SigLIP 2",
    variants=tuple(variant for size in SIZES for variant in _variants(size)),
    timm_tag="v2_webli",
    model_types=("siglip", "siglip_vision_model"),
    read_config=_read_config,
)

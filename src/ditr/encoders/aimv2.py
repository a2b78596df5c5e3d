"""AIMv2 image encoders: their sizes, the names of their weights, and the network itself from ``transformers``.

Trained to continue images and captions (paper, Table 6: ViT-L, the smallest that is published). Patches of 14 pixels, a
norm on the embedded patches, root-mean-square norms, gated MLPs and no bias but the embedding's. There is no [cls] and
no head; the mean of the patch tokens stands in the place of [cls].

Two kinds of positions are published. The "native" network computes sines and cosines for any grid. The others have a
learned table for images of 224, 336 or 448 pixels, treated as in timm (`PositionTable`); ``transformers`` takes these
for images of the table's own size only.

Weights travel under the names of ``transformers``, which files of the Hugging Face hub have had since it knows these
networks. Older files, and timm (from 1.0.12; the published DITR pins 1.0.11), name them otherwise:

==================================  =============================  ============================================
older file of the hub               timm                           here
==================================  =============================  ============================================
``preprocessor.patchifier.proj.*``  ``patch_embed.proj.*``         ``embeddings.patch_embed.*``
``preprocessor.patchifier.norm.*``  ``patch_embed.norm.*``         ``embeddings.rms_norm.*``
``preprocessor.pos_embed``          ``pos_embed``                  ``embeddings.position_embedding.weight``
``trunk.post_trunk_norm.*``         ``norm.*``                     ``rms_norm.*``
in ``trunk.blocks.N.``              in ``blocks.N.``               in ``encoder.layers.N.``
``norm_{1, 2}.*``                   ``norm{1, 2}.*``               ``rms_norm{1, 2}.*``
``attn.qkv.*``                      ``attn.qkv.*``                 ``attention.{q, k, v}_proj.*``, a third each
``attn.proj.*``                     ``attn.proj.*``                ``attention.out_proj.*``
``mlp.{fc1, fc3, fc2}.*``           ``mlp.{fc1_g, fc1_x, fc2}.*``  ``ffn.{gate, up, down}_proj.*``
==================================  =============================  ============================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ditr.encoders.family import (
    Config,
    EncoderVariant,
    Family,
    PositionTable,
    load_network,
    project_patches,
    rename,
    too_old_transformers,
)
from ditr.errors import InputError

__all__ = ["FAMILY", "Aimv2", "Architecture"]

NORM_EPSILON = 1e-5
ACTIVATION = "silu"
PERIOD = 10000.0
_TABLE = "embeddings.position_embedding.weight"


@dataclass(frozen=True)
class Architecture:
    """The shape of an AIMv2 image encoder.

    ``hidden`` is the width inside the MLP, ``table`` the side of the square grid of learned positions in patches; None
    where positions are computed.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    patch_size: int = 14
    table: int | None = None

    # Those of CLIP.
    mean: ClassVar = (0.48145466, 0.4578275, 0.40821073)
    std: ClassVar = (0.26862954, 0.26130258, 0.27577711)

    @property
    def rule(self) -> str:
        """The number of heads shows in no weight."""
        return f"aimv2 {'sinusoidal' if self.table is None else 'antialiased'} heads={self.heads}"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every weight by its name in ``transformers``, in the order of the forward pass."""
        width, hidden = self.width, self.hidden
        shapes: dict[str, tuple[int, ...]] = {
            "embeddings.patch_embed.weight": (width, 3, self.patch_size, self.patch_size),
            "embeddings.patch_embed.bias": (width,),
            "embeddings.rms_norm.weight": (width,),
        }
        if self.table is not None:
            shapes[_TABLE] = (self.table**2, width)
        for index in range(self.depth):
            layer = f"encoder.layers.{index}."
            shapes[f"{layer}rms_norm1.weight"] = (width,)
            for part in ("q", "k", "v", "out"):
                shapes[f"{layer}attention.{part}_proj.weight"] = (width, width)
            shapes[f"{layer}rms_norm2.weight"] = (width,)
            shapes[f"{layer}ffn.gate_proj.weight"] = shapes[f"{layer}ffn.up_proj.weight"] = (hidden, width)
            shapes[f"{layer}ffn.down_proj.weight"] = (width, hidden)
        return shapes | {"rms_norm.weight": (width,)}

    def from_hub(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file of the hub, old or new, without a head."""
        if any(name.startswith("trunk.") for name in tensors):
            return self.from_timm(tensors)
        return {name: value for name, value in tensors.items() if not name.startswith("head.")}

    def from_timm(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights under timm's names (``aimv2_large_patch14_*``), or those of older files of the hub."""
        renamed = rename(tensors, _TIMM, ".attn.qkv.", [f".attention.{part}_proj." for part in "qkv"])
        table = renamed.get(_TABLE)
        if table is not None and table.ndim == 3 and len(table) == 1:
            renamed[_TABLE] = table[0]
        return renamed

    def build(self, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype) -> Aimv2:
        return Aimv2(self, weights, device, dtype)


_TIMM = (
    (r"^(preprocessor\.patchifier|patch_embed)\.proj\.", "embeddings.patch_embed."),
    (r"^(preprocessor\.patchifier|patch_embed)\.norm\.", "embeddings.rms_norm."),
    (r"^(preprocessor\.)?pos_embed$", _TABLE),
    (r"^(trunk\.post_trunk_norm|norm)\.", "rms_norm."),
    (r"^(trunk\.)?blocks\.", "encoder.layers."),
    (r"\.norm_?([12])\.", r".rms_norm\1."),
    (r"\.attn\.proj\.", ".attention.out_proj."),
    (r"\.mlp\.(fc3|fc1_x)\.", ".ffn.up_proj."),
    (r"\.mlp\.(fc1|fc1_g)\.", ".ffn.gate_proj."),
    (r"\.mlp\.fc2\.", ".ffn.down_proj."),
)


class Aimv2:
    """A frozen AIMv2 on a device; of ``transformers`` it uses all but the positions."""

    def __init__(
        self, architecture: Architecture, weights: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> None:
        self._architecture, self._dtype, self._device = architecture, dtype, device
        learned = architecture.table is not None
        self._table = PositionTable(weights[_TABLE][None].to(device), 0, dtype) if learned else None
        self._network = _build_network(architecture, weights).to(device, dtype)

    def tokens(self, images: Tensor) -> Tensor:
        """(V, 1 + rows * columns, D): the mean of the patch tokens, then these row by row."""
        network, side = self._network, self._architecture.patch_size
        projection, norm = network.embeddings.patch_embed, network.embeddings.rms_norm
        hidden = norm(project_patches(images, projection.weight, projection.bias))
        hidden = hidden + self.positions(images.shape[2] // side, images.shape[3] // side)
        patches = network.rms_norm(network.encoder(inputs_embeds=hidden).last_hidden_state)
        return torch.cat((patches.mean(dim=1, keepdim=True), patches), dim=1)

    def positions(self, rows: int, columns: int) -> Tensor:
        """Positions of the patches, (1, rows * columns, D).

        Where they are computed, the first half of the channels says the column and the second the row, each as sines
        and then cosines.
        """
        if self._table is not None:
            return self._table.on_grid(rows, columns)
        quarter = self._architecture.width // 4
        frequencies = PERIOD ** -(torch.arange(quarter, dtype=torch.float64) / quarter)
        row, column = (torch.arange(count, dtype=torch.float64).outer(frequencies) for count in (rows, columns))
        row, column = (torch.cat((angles.sin(), angles.cos()), dim=1) for angles in (row, column))
        grid = torch.cat((column.expand(rows, -1, -1), row[:, None].expand(-1, columns, -1)), dim=2)
        return grid.reshape(1, rows * columns, -1).to(self._device, self._dtype)


def _build_network(architecture: Architecture, weights: Mapping[str, Tensor]) -> Any:
    # Imported late and by module, as for DINOv2.
    try:
        from transformers.models.aimv2 import configuration_aimv2 as configuration
        from transformers.models.aimv2 import modeling_aimv2 as modeling
    except ImportError as fault:
        raise too_old_transformers("AIMv2", "4.54", fault) from fault
    config = configuration.Aimv2VisionConfig(
        hidden_size=architecture.width,
        intermediate_size=architecture.hidden,
        num_hidden_layers=architecture.depth,
        num_attention_heads=architecture.heads,
        image_size=(architecture.table or 1) * architecture.patch_size,
        patch_size=architecture.patch_size,
        hidden_act=ACTIVATION,
        rms_norm_eps=NORM_EPSILON,
        qkv_bias=False,
        mlp_bias=False,
        use_head=False,
        is_native=architecture.table is None,
    )
    return load_network(modeling.Aimv2VisionModel, config, weights)


def _read_config(config: Config) -> Architecture:
    if "vision_config" in config.values:
        raise InputError(
            config.where,
            "it describes AIMv2 with a text encoder",
            "Use an image encoder alone (apple/aimv2-large-patch14-native)",
        )
    config.demand("hidden_act", ACTIVATION)
    config.demand("rms_norm_eps", NORM_EPSILON)
    config.demand("qkv_bias", False)
    config.demand("mlp_bias", False)
    patch, width = config.number("patch_size"), config.number("hidden_size")
    # The older file of the native network says no image size, the newer one says a size that means nothing.
    native = bool(config.values.get("is_native", "image_size" not in config.values))
    architecture = Architecture(
        width=width,
        depth=config.number("num_hidden_layers", least=0),
        heads=config.heads("num_attention_heads", width),
        hidden=config.number("intermediate_size"),
        patch_size=patch,
        table=None if native else config.number("image_size", least=patch) // patch,
    )
    if native and width % 4:
        raise InputError(config.where, f"the positions do not divide {width} channels evenly", "Get the file again")
    return architecture


def _large(table: int | None) -> Architecture:
    return Architecture(width=1024, depth=24, heads=8, hidden=2816, table=table)


FAMILY = Family(
    title="AIMv2",
    variants=(
        # The plain name is the network that was made for images of any size.
        EncoderVariant("aimv2-large", "apple/aimv2-large-patch14-native", (), _large(None)),
        *(
            EncoderVariant(
                f"aimv2-large-{pixels}",
                f"apple/aimv2-large-patch14-{pixels}",
                (f"aimv2_large_patch14_{pixels}",),
                _large(pixels // 14),
            )
            for pixels in (224, 336, 448)
        ),
    ),
    timm_tag="apple_pt",
    model_types=("aimv2_vision_model", "aimv2"),
    read_config=_read_config,
)

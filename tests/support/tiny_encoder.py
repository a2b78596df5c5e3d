"""A DINOv2 of a few thousand random weights in a folder, as the hub would have it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save_file

from ditr.encoders.dinov2 import Architecture
from ditr.encoders.family import random_weights

TINY = Architecture(width=32, depth=2, heads=2, table=4)


def write_tiny_encoder(folder: Path, architecture: Architecture = TINY, seed: int = 0) -> Path:
    """``config.json`` and ``model.safetensors`` in ``folder``, which is returned."""
    folder.mkdir(parents=True, exist_ok=True)
    described = asdict(architecture)
    config = {
        "model_type": "dinov2_with_registers" if architecture.registers else "dinov2",
        "hidden_size": described["width"],
        "num_hidden_layers": described["depth"],
        "num_attention_heads": described["heads"],
        "mlp_ratio": described["mlp_ratio"],
        "use_swiglu_ffn": described["gated_mlp"],
        "patch_size": described["patch_size"],
        "image_size": described["patch_size"] * described["table"],
        "layer_norm_eps": 1e-6,
    }
    if architecture.registers:
        config["num_register_tokens"] = architecture.registers
    (folder / "config.json").write_text(json.dumps(config))
    save_file(random_weights(architecture, seed), folder / "model.safetensors")
    return folder

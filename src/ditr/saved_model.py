"""A trained model in a folder: ``model.safetensors`` and ``config.json``, which holds all that inference needs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ditr.data.sample import Preparation
from ditr.files import InputError, atomic_path
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.plain import from_plain, to_plain

__all__ = ["ModelConfig", "load_model", "read_config", "save_model"]

FORMAT = 1


@dataclass(frozen=True)
class ModelConfig:
    """What a segmentation model is and how its input is made.

    Attributes:
        network: sizes.
        preparation: how scenes become samples.
        class_names: in the order of the logits.
        encoder: the image encoder, as for ``load_image_encoder``; None for a model without images.
        encoder_weights: which weights the encoder held in training.
        seed: of the run that trained it.
        format: of this file.
    """

    network: PTv3Config
    preparation: Preparation
    class_names: tuple[str, ...]
    encoder: str | None = None
    encoder_weights: str | None = None
    seed: int = 0
    format: int = FORMAT

    def build(self) -> Segmentation:
        """The network with fresh weights."""
        return Segmentation(self.network, len(self.class_names))


def save_model(folder: Path, config: ModelConfig, model: Segmentation) -> None:
    """Write a model; each file appears whole or not at all, the weights first."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic_path(folder / "model.safetensors") as path:
        save_file(state, path)
    with atomic_path(folder / "config.json") as path:
        path.write_text(json.dumps(to_plain(config), indent=2) + "\n")


def read_config(folder: Path) -> ModelConfig:
    """The config of a saved model.

    Raises:
        InputError: no model there, or a config that is damaged or of a newer format.
    """
    path = folder / "config.json"
    if not path.exists():
        raise InputError(folder, "there is no trained model here (no config.json)", "Name a finished run's folder")
    try:
        content = json.loads(path.read_text())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(path, f"not JSON ({error})", "Restore the file from the run") from None
    config = from_plain(ModelConfig, content, str(path))
    if config.format != FORMAT:
        raise InputError(
            path, f"format {config.format}, this version reads {FORMAT}", "Install the version that wrote it"
        )
    return config


def load_model(folder: Path, device: torch.device | str = "cpu") -> tuple[ModelConfig, Segmentation]:
    """A saved model, in eval mode.

    Raises:
        InputError: no model there, damaged weights, or weights of another network.
    """
    config = read_config(folder)
    path = folder / "model.safetensors"
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"the weights cannot be read ({error})", "Restore the file from the run") from None
    try:
        # Without memory: what a damaged config asks for may not fit into any.
        with torch.device("meta"):
            wanted = config.build().state_dict()
    except (ValueError, RuntimeError) as error:
        raise InputError(folder / "config.json", f"no network can be built ({error})", "Restore the file") from None
    wrong = sorted(
        name
        for name in wanted.keys() | state.keys()
        if name not in wanted or name not in state or wanted[name].shape != state[name].shape
    )
    if wrong:
        shown = ", ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise InputError(
            path, f"tensors missing, unknown or of another shape: {shown}", "Use the config that belongs to it"
        )
    model = config.build()
    model.load_state_dict(state)
    return config, model.to(device).eval()

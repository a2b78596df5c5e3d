"""Three small networks whose weights come from a formula, and what they give, stored in the package.

Nothing has to be downloaded to find out whether this machine computes what it should. The scene is the one of
:mod:`ditr.weights.contract`; the weights follow from their names, so that no file of weights is needed either.

Whoever changes what a network computes makes the stored outputs again::

    python -c 'from ditr.doctor.self_check import OUTPUTS, write_outputs; write_outputs(OUTPUTS)'
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ditr.errors import InputError
from ditr.io.files import write_tensors
from ditr.models.backbone import NetworkConfig
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.weights.contract import contract_output, pseudo_random

__all__ = ["NETWORKS", "OUTPUTS", "build_network", "compute", "read_outputs", "write_outputs"]

OUTPUTS = Path(__file__).with_name("self_check.safetensors")
CLASSES = 4

_PTV3 = PTv3Config(
    encoder_depths=(1, 1, 1),
    encoder_channels=(8, 16, 24),
    encoder_heads=(1, 2, 3),
    decoder_depths=(1, 1),
    decoder_channels=(8, 16),
    decoder_heads=(1, 2),
    patch_size=64,
    stem_kernel=3,
    mlp_ratio=2,
    drop_path=0.0,
)

NETWORKS: dict[str, NetworkConfig] = {
    "PTv3": _PTV3,
    "DITR": replace(_PTV3, image_width=16),
    "MinkUNet": MinkUNetConfig(
        stem_channels=8,
        encoder_depths=(1, 1),
        encoder_channels=(8, 16),
        decoder_depths=(1, 1),
        decoder_channels=(8, 16),
        stem_kernel=3,
    ),
}


def build_network(name: str) -> Segmentation:
    """The network of ``NETWORKS`` with its weights, on the CPU, in eval mode."""
    # Without memory first: random numbers for weights that are replaced would move torch's global generator.
    with torch.device("meta"):
        model = Segmentation(NETWORKS[name], CLASSES)
    model.load_state_dict({name: _fill(name, value) for name, value in model.state_dict().items()}, assign=True)
    return model.eval()


def compute(name: str, device: str) -> Tensor:
    """What the network gives on the contract's scene on ``device``: (cells, classes) float32 on the CPU."""
    return contract_output(build_network(name).to(device), NETWORKS[name])


def write_outputs(path: Path) -> None:
    """Compute the outputs of all networks on this CPU and store them, with the hash of their numbers."""
    outputs = {name: compute(name, "cpu").contiguous() for name in NETWORKS}
    write_tensors(path, outputs, {"sha256": _digest(outputs)})


def read_outputs(path: Path = OUTPUTS) -> dict[str, Tensor]:
    """The stored outputs by name of the network.

    Raises:
        InputError: no file, a damaged one, or one that does not hold these networks.
    """
    remedy = "Install ditr again: pip install --force-reinstall --no-deps ditr"
    try:
        with safe_open(path, framework="pt") as file:
            outputs = {name: file.get_tensor(name) for name in NETWORKS}
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"the stored outputs cannot be read ({error})", remedy) from None
    if metadata.get("sha256") != _digest(outputs):
        raise InputError(path, "the stored outputs are damaged: their SHA-256 is not the recorded one", remedy)
    return outputs


def _fill(name: str, like: Tensor) -> Tensor:
    """Pseudo-random numbers that follow from the tensor's name, of a size that keeps features about 1."""
    if not like.is_floating_point():
        return torch.zeros(like.shape, dtype=like.dtype)
    numbers = torch.from_numpy(pseudo_random(tuple(like.shape), zlib.crc32(name.encode())))
    if name.endswith("running_var"):
        return 1 + numbers / 2
    if like.ndim > 1:
        # Kernels are (k^3, in, out), matrices (out, in); numbers from -1 to 1 have a variance of 1/3.
        out = like.shape[-1] if like.ndim == 3 else like.shape[0]
        return numbers * math.sqrt(3 * out / like.numel())
    return 1 + numbers / 4 if name.endswith("weight") else numbers / 4


def _digest(outputs: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, output in sorted(outputs.items()):
        digest.update(f"{name} {tuple(output.shape)} {output.dtype}".encode())
        digest.update(output.contiguous().numpy().tobytes())
    return digest.hexdigest()

"""The weights' contract: what a model gave on a small fixed scene when it was saved, and the hash of its weights.

The scene is a corner of a room with a block in it, its features and image tokens pseudo-random numbers from integer
arithmetic, so that every machine makes the same ones. Whoever loads a model elsewhere can tell whether it still
computes what it should (``ditr doctor``).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.pyramid import Pyramid, build_pyramid
from ditr.io.files import file_sha256, write_tensors
from ditr.models.backbone import NetworkConfig
from ditr.models.distillation import Distillation
from ditr.models.segmentation import Segmentation
from ditr.nn.image_features import ImageFeatures

__all__ = ["Comparison", "check_contract", "check_weights", "contract_output", "pseudo_random", "write_contract"]

FILE = "contract.safetensors"
TOKENS, VIEWS = 60, 2
TOLERANCE = {"cpu": 1e-4, "cuda": 1e-3}
"""Largest difference over root mean square; GPUs sum in other orders, and some in TF32."""


@dataclass(frozen=True)
class Comparison:
    """How far a model's output is from the one it was saved with: ``difference`` over root mean square."""

    difference: float
    tolerance: float

    @property
    def holds(self) -> bool:
        # A model of damaged weights may give NaN, which no comparison holds against.
        return self.difference <= self.tolerance


def pseudo_random(shape: tuple[int, ...], seed: int) -> NDArray[np.float32]:
    """Numbers in [-1, 1), equal on every machine: SplitMix64 of a counter, the upper 24 bits."""
    with np.errstate(over="ignore"):
        state = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) + np.uint64(seed << 32)
        state = state * np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = (state ^ (state >> np.uint64(31))) >> np.uint64(40)
    return (state.astype(np.float32) / np.float32(1 << 23) - 1).reshape(shape)


def contract_output(model: Segmentation | Distillation, network: NetworkConfig) -> Tensor:
    """What a model gives on the fixed scene, float32 on the CPU: logits, or a student's prediction."""
    device = next(model.parameters()).device
    grid = _corner()
    pyramid = build_pyramid(grid, network.pyramid).to(device)
    features = torch.from_numpy(pseudo_random((len(grid), network.in_channels), 1)).to(device)
    dataset = model.dataset
    if dataset is None and network.norms is not None:
        dataset = network.norms.datasets[0]
    with torch.no_grad():
        if isinstance(model, Distillation):
            out: Tensor = model(features, pyramid, dataset).prediction
        else:
            image = None if network.image_width is None else _image(network.image_width, grid, pyramid, device)
            out = model(features, pyramid, image, dataset)
    return out.float().cpu()


def write_contract(folder: Path, model: Segmentation | Distillation, network: NetworkConfig) -> None:
    """Beside ``model.safetensors`` in ``folder``: what ``model``, which holds these weights, gives, and their hash."""
    metadata = {
        "weights_sha256": sha256(folder / "model.safetensors"),
        "torch": torch.__version__,
        "dataset": model.dataset or "",
    }
    write_tensors(folder / FILE, {"output": contract_output(model, network)}, metadata)


def check_weights(folder: Path) -> None:
    """The weights are those that the contract was written for.

    Raises:
        InputError: no contract, a damaged one, or other weights.
    """
    _, metadata = _read(folder)
    if metadata.get("weights_sha256") != sha256(folder / "model.safetensors"):
        raise InputError(
            folder / "model.safetensors",
            f"its SHA-256 differs from the one in {FILE}, so the weights were changed or damaged after they were saved",
            "Restore the folder from its source",
        )


def check_contract(folder: Path, model: Segmentation | Distillation, network: NetworkConfig) -> Comparison:
    """Compute the model's output on the fixed scene again and compare it with the stored one.

    Raises:
        InputError: no contract or a damaged one.
    """
    stored, metadata = _read(folder)
    chosen, model.dataset = model.dataset, metadata.get("dataset") or None
    try:
        found = contract_output(model, network)
    finally:
        model.dataset = chosen
    device = next(model.parameters()).device.type
    return compare(found, stored, TOLERANCE.get(device, 1e-3))


def compare(found: Tensor, stored: Tensor, tolerance: float) -> Comparison:
    """Of two outputs of one shape; another shape is an infinite difference."""
    if found.shape != stored.shape:
        return Comparison(float("inf"), tolerance)
    scale = stored.double().square().mean().sqrt().clamp(min=1e-30)
    return Comparison(float((found.double() - stored.double()).abs().max() / scale), tolerance)


def sha256(path: Path) -> str:
    """Of a file's content.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(path, f"it cannot be read ({error.strerror})", "Restore the folder from its source") from None


def _read(folder: Path) -> tuple[Tensor, dict[str, str]]:
    path = folder / FILE
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("output"), file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"it cannot be read ({error})", "Restore the folder from its source") from None


def _corner() -> Tensor:
    """(n, 3) cells: floor, two walls and a block."""
    floor = itertools.product(range(20), range(16), (0,))
    walls = [*itertools.product(range(20), (0,), range(1, 9)), *itertools.product((0,), range(1, 16), range(1, 9))]
    block = itertools.product(range(8, 13), range(6, 10), range(1, 5))
    return torch.tensor(sorted({*floor, *walls, *block}))


def _image(width: int, grid: Tensor, pyramid: Pyramid, device: torch.device) -> ImageFeatures:
    tokens = torch.from_numpy(pseudo_random((TOKENS, width), 2))
    # About a third of the cells is seen by no view.
    token = torch.from_numpy((pseudo_random((len(grid),), 3) * TOKENS).astype(np.int64)).clamp(min=-TOKENS // 3)
    lift = build_lift_pyramid(torch.where(token < 0, -1, token), TOKENS, pyramid.to("cpu"))
    cls = torch.from_numpy(pseudo_random((VIEWS, width), 4))
    return ImageFeatures(tokens.to(device), lift.to(device), cls.to(device), (VIEWS,))

"""Checkpoints: weights, optimizer state and step in one safetensors file, written whole or not at all."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ditr.files import InputError, atomic_path

__all__ = ["load_newest", "save_checkpoint"]

KEPT = 2
_log = logging.getLogger(__name__)


def save_checkpoint(folder: Path, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, run: str) -> Path:
    """Write the state after ``step`` optimizer steps; older files go, but for the one before.

    ``run`` identifies the recipe and the data, so that a checkpoint is not taken up by another run.
    """
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    target = folder / f"step-{step:08d}.safetensors"
    with atomic_path(target) as path:
        save_file(tensors, path, metadata={"step": str(step), "run": json.dumps(run)})
    # What starts with a dot is what a process left that was killed while it wrote.
    for old in [*sorted(folder.glob("step-*.safetensors"))[:-KEPT], *folder.glob(".step-*.part.safetensors")]:
        old.unlink()
    return target


def load_newest(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, run: str) -> int:
    """Take up the newest readable checkpoint; returns its step, 0 where there is none.

    Raises:
        InputError: the checkpoints belong to another recipe or other data.
    """
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            _log.warning("%s cannot be read (%s); trying the one before", path, error)
            continue
        if json.loads(metadata.get("run", '""')) != run:
            raise InputError(
                path, "this checkpoint belongs to another recipe or other data", "Choose another folder, or delete it"
            )
        _restore(tensors, model, optimizer)
        return int(metadata["step"])
    return 0


def _restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

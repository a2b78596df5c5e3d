"""Checkpoints: weights, optimizer state and step in one safetensors file, written whole or not at all.

A run that has reached its last step leaves ``finished.json`` beside its model: checkpoints may then be deleted.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ditr.files import InputError, atomic_path

__all__ = ["is_finished", "load_newest", "mark_finished", "save_checkpoint"]

KEPT = 2
_FINISHED = "finished.json"
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


def mark_finished(folder: Path, steps: int, run: str) -> None:
    """Say in the run's folder that its model is the last one; to be called when the model is written."""
    with atomic_path(folder / _FINISHED) as path:
        path.write_text(json.dumps({"steps": steps, "run": run}) + "\n")


def is_finished(folder: Path, run: str) -> bool:
    """Whether this run has left its last model in ``folder``.

    Raises:
        InputError: another run has.
    """
    mark = folder / _FINISHED
    if not all((folder / name).exists() for name in (_FINISHED, "model.safetensors", "config.json")):
        return False
    try:
        content = json.loads(mark.read_text())
    except (OSError, ValueError) as error:
        raise InputError(mark, f"it cannot be read ({error})", "Delete it to train again") from None
    if not isinstance(content, dict) or content.get("run") != run:
        raise InputError(
            mark, "the model here belongs to another recipe or other data", "Choose another folder, or delete it"
        )
    return True


def _restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

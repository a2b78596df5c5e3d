"""Checkpoints: weights, optimizer state and progress in one safetensors file, written whole or not at all.

A run that has reached its last step leaves ``finished.json`` beside its model: checkpoints may then be deleted.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ditr.errors import InputError
from ditr.io.files import atomic_path, require_room, write_tensors
from ditr.io.json_file import read_json
from ditr.io.settings_json import from_plain, to_json_values

__all__ = ["Pace", "Progress", "has_checkpoint", "is_finished", "load_newest", "mark_finished", "remove_rests"]
__all__ += ["require_room_for_run", "save_checkpoint", "writing"]

KEPT = 2
_FINISHED = "finished.json"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: with weights and optimizer all that its next step depends on.

    Attributes:
        step: steps done, those included that were skipped.
        skipped: of these; the schedule does not count them.
        bad: of the last steps, how many in a row were skipped for a loss or gradient that was not finite.
        best: the best validation so far, the larger the better; None before the first one.
        best_step: the step after which it was.
        scale, growth: of the gradient scaler of a run in fp16.
        pending: whether the validation after the last step is still to be done.
    """

    step: int = 0
    skipped: int = 0
    bad: int = 0
    best: float | None = None
    best_step: int | None = None
    scale: float | None = None
    growth: int = 0
    pending: bool = False


@dataclass
class Pace:
    """When checkpoints are due: after so many steps, after so many minutes (0 for never), and at the end."""

    every: int
    minutes: float
    written: float = field(default_factory=time.monotonic)

    def due(self, step: int, steps: int) -> bool:
        """Whether one is due after ``step`` of ``steps`` steps."""
        late = self.minutes > 0 and time.monotonic() - self.written >= 60 * self.minutes
        return late or step % self.every == 0 or step == steps


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A full disk or a folder that cannot be written becomes an error that says what to do about it."""
    try:
        yield
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            error.filename or path,
            f"it cannot be written ({error.strerror or error})",
            "Free space or choose another folder; the same command then continues the run from its last checkpoint",
        ) from None


def save_checkpoint(
    folder: Path, progress: Progress, model: nn.Module, optimizer: torch.optim.Optimizer, run: str
) -> Path:
    """Write the state after ``progress.step`` steps; older files go, except for the one before.

    ``run`` identifies the recipe and the data, so that a checkpoint is not taken up by another run.

    Raises:
        InputError: the disk is full or the folder cannot be written; the checkpoints before stay.
    """
    tensors = {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if value is not None:
                tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).detach().cpu().contiguous()
    target = folder / f"step-{progress.step:08d}.safetensors"
    metadata = {"progress": json.dumps(to_json_values(progress)), "run": json.dumps(run)}
    with writing(target):
        write_tensors(target, tensors, metadata)
    for old in sorted(folder.glob("step-*.safetensors"))[:-KEPT]:
        old.unlink()
    remove_rests(folder)
    return target


def require_room_for_run(folder: Path, model: nn.Module, checkpoints: int) -> None:
    """Ask before the first step whether a run's model and so many checkpoints fit where ``folder`` is.

    Raises:
        InputError: they do not, or nothing can be written there.
    """
    state = sum(value.nbytes for value in model.state_dict().values())
    there = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    with writing(folder):
        # An optimizer has a moment of every weight at least; the newest checkpoint stays while the next is written.
        require_room(folder, state + 2 * state * min(checkpoints, KEPT + 1) - there)


def remove_rests(folder: Path) -> None:
    """Remove what a process left in ``folder`` that was killed while it wrote."""
    for rest in folder.glob(".*.part*"):
        shutil.rmtree(rest) if rest.is_dir() else rest.unlink()


def has_checkpoint(folder: Path) -> bool:
    """Whether there is one to take up, be it readable or not."""
    return any(folder.glob("step-*.safetensors"))


def load_newest(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, runs: Collection[str]) -> Progress:
    """Take up the newest readable checkpoint; where there is none, the progress is that of a run that begins.

    ``runs`` are the names under which checkpoints of this run may have been written.

    Raises:
        InputError: the checkpoints belong to another recipe or other data.
    """
    unreadable = 0
    for path in sorted(folder.glob("step-*.safetensors"), reverse=True):
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            _log.warning("%s cannot be read (%s); trying the previous one", path, error)
            unreadable += 1
            continue
        if json.loads(metadata.get("run", '""')) not in runs:
            raise InputError(
                path,
                "this checkpoint belongs to another recipe or to other data",
                "Choose another folder, or delete this one",
            )
        progress = from_plain(Progress, json.loads(metadata["progress"]), str(path))
        _restore(tensors, model, optimizer)
        return progress
    if unreadable:
        _log.warning("no checkpoint in %s can be read; the run starts again", folder)
    return Progress()


def mark_finished(folder: Path, steps: int, run: str) -> None:
    """Say in the run's folder that its model is the last one; to be called when the model is written."""
    with writing(folder), atomic_path(folder / _FINISHED) as path:
        path.write_text(json.dumps({"steps": steps, "run": run}) + "\n", encoding="utf-8")


def is_finished(folder: Path, runs: Collection[str], steps: int) -> bool:
    """Whether this run has left its last model in ``folder``; not if that was after fewer steps than are wanted now.

    Raises:
        InputError: another run has.
    """
    mark = folder / _FINISHED
    if not all((folder / name).exists() for name in (_FINISHED, "model.safetensors", "config.json")):
        return False
    content = read_json(mark, "Delete it to train again")
    if not isinstance(content, dict) or content.get("run") not in runs:
        raise InputError(
            mark,
            "the model here belongs to another recipe or to other data",
            "Choose another folder, or delete this one",
        )
    if int(content.get("steps", steps)) >= steps:
        return True
    if not has_checkpoint(folder / "checkpoints"):
        fault = f"the run finished after {content['steps']} steps, and its checkpoints were deleted"
        raise InputError(
            folder,
            fault,
            f"To train for {steps} steps, choose another folder, or start from this model with --init {folder}",
        )
    return False


def _restore(tensors: dict[str, Tensor], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    model.load_state_dict({name[6:]: value for name, value in tensors.items() if name.startswith("model.")})
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})

"""What a run says while it works: a progress bar, a text log, JSON lines and TensorBoard.

Lines that a killed run left and will write again are dropped, so that the files of a run that was interrupted hold
what those of one without a break hold, except for the time.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from torch.utils.tensorboard import SummaryWriter

from ditr.errors import InputError, counted
from ditr.io.files import atomic_path, defined
from ditr.runtime import progress_bar
from ditr.stopping import Stopped
from ditr.training.board import open_board
from ditr.training.checkpoint import Progress, writing

__all__ = ["RunLog", "as_line", "metrics_of", "read_rows"]


class RunLog:
    """Logs of a training run in its folder: ``train.log``, ``log.jsonl``, ``validation.jsonl`` and ``tensorboard/``.

    A run that is taken up at step s keeps the lines of the steps before s and drops those that were done twice.

    Args:
        folder: of the run.
        steps: in all.
        progress: where it begins.
        quiet: no progress bar; the files are written all the same.
        wandb: project of Weights & Biases to which the TensorBoard log is sent too, if that is installed.
        writes: False for all but one of several processes that train together; these write and show nothing.

    Raises:
        InputError: the folder cannot be written, or the disk is full; also while the run works. Or Weights & Biases is
            wanted and not installed.
    """

    def __init__(
        self,
        folder: Path,
        steps: int,
        progress: Progress,
        *,
        quiet: bool,
        wandb: str | None = None,
        writes: bool = True,
    ) -> None:
        start = progress.step
        self.folder, self.steps, self.start, self.quiet = folder, steps, start, quiet
        self._jsonl: TextIO | None = None
        self._validation: TextIO | None = None
        self._text: TextIO | None = None
        self._board: SummaryWriter | None = None
        self._sync = _begin_sync(wandb, folder) if writes and wandb is not None else None
        if writes:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
                self._jsonl = _continue(folder / "log.jsonl", start)
                self._validation = _continue(folder / "validation.jsonl", start - progress.pending)
                self._text = (folder / "train.log").open("a", encoding="utf-8")
                self._board = open_board(folder / "tensorboard", start)
        self._began = time.perf_counter()
        self._bar = progress_bar(f"train {folder.name}", quiet=quiet or not writes)

    def __enter__(self) -> RunLog:
        self._show = self._bar.__enter__()
        self._show(self.start, self.steps)
        self.say(f"steps {self.start} to {self.steps}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.__exit__(None, None, None)
        why = error.text if isinstance(error, Stopped) else repr(error)
        # What ended the run is more than that its files cannot be closed either.
        faults = writing(self.folder) if error is None else suppress(OSError, InputError)
        with faults, ExitStack() as closing:
            for file in (self._jsonl, self._validation, self._text, self._board):
                if file is not None:
                    closing.callback(file.close)
            self.say("done" if error is None else f"stopped: {why}")
        if self._sync is not None:
            self._sync.finish(exit_code=0 if error is None else 1)

    def step(
        self,
        step: int,
        loss: float,
        *,
        lr: float,
        gradient_norm: float,
        more: Mapping[str, float | int | str | bool] | None = None,
    ) -> None:
        """Record one optimizer step; what is not finite is null in the JSON lines."""
        if self._jsonl is None or self._board is None:
            return
        seconds = time.perf_counter() - self._began
        row = {
            "step": step,
            "loss": loss,
            "lr": lr,
            "seconds": round(seconds, 3),
            "gradient_norm": gradient_norm,
            **(more or {}),
        }
        with writing(self.folder):
            self._jsonl.write(json.dumps(defined(row), allow_nan=False) + "\n")
            self._jsonl.flush()
            for name, value in (("loss", loss), ("lr", lr), ("gradient_norm", gradient_norm)):
                self._board.add_scalar(name, value, step)
        self._show(step + 1, self.steps, f"loss of this step {loss:.3f}")
        done = step + 1 - self.start
        if done % 20 == 0 or step + 1 == self.steps:
            left = seconds / done * (self.steps - step - 1)
            self.say(f"step {step + 1}/{self.steps}  loss {loss:.4f}  lr {lr:.2e}  {left:.0f} s left")

    def validation(self, step: int, figures: Mapping[str, Mapping[str, Any]], *, best: bool) -> None:
        """Record what a validation after step number ``step`` gave, by what was counted: voxels, points."""
        if self._validation is None or self._board is None:
            return
        with writing(self.folder):
            self._validation.write(json.dumps(defined({"step": step, **figures, "best": best}), allow_nan=False) + "\n")
            self._validation.flush()
            shown = []
            for what, values in figures.items():
                for name, value in values.items():
                    if isinstance(value, float):
                        self._board.add_scalar(f"validation/{name} of {what}", value, step)
                        shown.append(f"{name} of {what} {value:.4f}")
        self.say(f"validation after step {step + 1}: {', '.join(shown)}{' (the best so far)' if best else ''}")

    def say(self, line: str) -> None:
        """Write a line to ``train.log``."""
        if self._text is not None:
            with writing(self.folder):
                self._text.write(f"{time.strftime('%F %T')}  {line}\n")
                self._text.flush()


def _begin_sync(project: str, folder: Path) -> Any:
    """A run of Weights & Biases that follows every TensorBoard file that is opened from now on.

    It keeps its name over restarts, so that a run that was killed goes on there too.
    """
    try:
        import wandb
    except ImportError:
        raise InputError("wandb", "it is not installed", "pip install wandb, or leave it out") from None
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return wandb.init(
        project=project, name=folder.name, id=name, resume="allow", dir=str(folder), sync_tensorboard=True
    )


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON-lines log up to the first that is torn; none where there is no log."""
    rows: list[dict[str, Any]] = []
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                break
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                break
            rows.append(row)
    return rows


def metrics_of(folder: Path, progress: Progress) -> dict[str, Any]:
    """What a run came to, from its logs; the loss is the mean of the last 20 steps that have one."""
    rows = read_rows(folder / "log.jsonl")
    validations = read_rows(folder / "validation.jsonl")
    losses = [row["loss"] for row in rows if row["loss"] is not None][-20:]
    return {
        "run": folder.name,
        "steps": progress.step,
        "skipped_steps": progress.skipped,
        "unseen_batches": sum(row.get("unseen", 0) for row in rows),
        "loss": sum(losses) / len(losses) if losses else None,
        "last": validations[-1] if validations else None,
        "best": next((row for row in validations if row["step"] + 1 == progress.best_step), None),
    }


def as_line(metrics: Mapping[str, Any]) -> str:
    """The metrics of a run as its row in a table."""
    cells = [str(metrics["run"]), f"{metrics['steps']} steps"]
    if metrics["loss"] is not None:
        cells.append(f"loss {metrics['loss']:.4f} ({_mean_of(metrics['steps'])})")
    for which in ("last", "best"):
        for what in ("points", "voxels"):
            figures = (metrics[which] or {}).get(what, {})
            if "miou" in figures:
                cells.append(f"{which} mIoU of {what} {100 * figures['miou']:.1f}")
            elif figures:
                cells.append(f"{which} cosine loss of {what} {figures['cosine_loss']:.4f}")
    return "  ".join(cells)


def _mean_of(steps: int) -> str:
    return f"mean of the last {counted(min(20, steps), 'step')}"


def _continue(path: Path, start: int) -> TextIO:
    """Open a JSON-lines log for the steps from ``start`` on, without lines that were torn or will be done again."""
    kept = [json.dumps(row) + "\n" for row in read_rows(path) if row["step"] < start]
    with atomic_path(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")
    return path.open("a", encoding="utf-8")

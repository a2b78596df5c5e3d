"""What a run says while it works: a progress bar, a text log, JSON lines and TensorBoard."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import TracebackType
from typing import TextIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch.utils.tensorboard import SummaryWriter

from ditr.files import atomic_path

__all__ = ["RunLog"]


class RunLog:
    """Logs of a training run in its folder: ``train.log``, ``log.jsonl`` and ``tensorboard/``.

    A run that is taken up at step s keeps the lines of the steps before s and drops those that were done twice.

    Args:
        folder: of the run.
        steps: in all.
        start: first step to be done.
        quiet: no progress bar; the files are written all the same.
        writes: False for all but one of several processes that train together; these write and show nothing.
    """

    def __init__(self, folder: Path, steps: int, start: int, *, quiet: bool, writes: bool = True) -> None:
        if writes:
            folder.mkdir(parents=True, exist_ok=True)
        self.steps, self.start, self.quiet = steps, start, quiet
        self._jsonl = _continue(folder / "log.jsonl", start) if writes else None
        self._text: TextIO | None = (folder / "train.log").open("a") if writes else None
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=start) if writes else None
        self._began = time.perf_counter()
        self._bar = Progress(
            TextColumn(f"train {folder.name}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.3f}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            disable=quiet or not writes,
        )
        self._task = self._bar.add_task("train", total=steps, completed=start, loss=float("nan"))

    def __enter__(self) -> RunLog:
        self._bar.start()
        self._say(f"steps {self.start} to {self.steps}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        self._say("done" if error is None else f"stopped: {error!r}")
        for file in (self._jsonl, self._text, self._board):
            if file is not None:
                file.close()

    def step(self, step: int, loss: float, *, lr: float, gradient_norm: float | None) -> None:
        """Record one optimizer step."""
        if self._jsonl is None or self._board is None:
            return
        seconds = time.perf_counter() - self._began
        row: dict[str, float | int] = {"step": step, "loss": loss, "lr": lr, "seconds": round(seconds, 3)}
        if gradient_norm is not None:
            row["gradient_norm"] = gradient_norm
            self._board.add_scalar("gradient_norm", gradient_norm, step)
        self._jsonl.write(json.dumps(row) + "\n")
        self._jsonl.flush()
        self._board.add_scalar("loss", loss, step)
        self._board.add_scalar("lr", lr, step)
        self._bar.update(self._task, completed=step + 1, loss=loss)
        done = step + 1 - self.start
        if done % 20 == 0 or step + 1 == self.steps:
            left = seconds / done * (self.steps - step - 1)
            self._say(f"step {step + 1}/{self.steps}  loss {loss:.4f}  lr {lr:.2e}  {left:.0f} s left")

    def _say(self, line: str) -> None:
        if self._text is not None:
            self._text.write(f"{time.strftime('%F %T')}  {line}\n")
            self._text.flush()


def _continue(path: Path, start: int) -> TextIO:
    """Open a JSON-lines log for the steps from ``start`` on, without lines that were torn or will be done again."""
    kept = []
    if path.exists():
        for line in path.read_text().splitlines():
            try:
                if json.loads(line)["step"] < start:
                    kept.append(line)
            except (json.JSONDecodeError, KeyError):
                break
    with atomic_path(path) as temporary:
        temporary.write_text("".join(line + "\n" for line in kept))
    return path.open("a")

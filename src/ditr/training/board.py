"""TensorBoard's file of a run. Its writer works in a thread of its own."""

from __future__ import annotations

import threading
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

__all__ = ["open_board"]

_report = threading.excepthook


def _hook(fault: threading.ExceptHookArgs) -> None:
    """The writer's thread is silent: a fault of its disk is raised again by the next call in the run's own thread."""
    if not type(fault.thread).__module__.startswith("tensorboard."):
        _report(fault)


def open_board(folder: Path, start: int) -> SummaryWriter:
    """A writer for the steps from ``start`` on; later ones of an earlier process count no more.

    Raises:
        OSError: it cannot be written; so do the writer's methods.
    """
    threading.excepthook = _hook
    return SummaryWriter(str(folder), purge_step=start)

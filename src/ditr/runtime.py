"""The machine that the work runs on: worker processes, the device, memory given back, progress shown."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, Protocol

from ditr.errors import InputError

__all__ = ["START", "OnProgress", "choose_device", "one_thread_per_worker", "progress_bar", "progress_bars"]
__all__ += ["release_memory", "worker_pool"]

START = multiprocessing.get_context("spawn")
"""How workers start: a fork of a process in which torch or embree runs threads may hang."""

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextmanager
def one_thread_per_worker() -> Iterator[None]:
    """Processes started inside use one thread each: what they do side by side is the parallelism."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def worker_pool(
    workers: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of ``workers`` processes that end when this one is killed; ``begin(*arguments)`` is called in each."""
    return ProcessPoolExecutor(workers, START, initializer=_begin, initargs=(begin, arguments))


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    _follow_parent()
    if begin is not None:
        begin(*arguments)


def _follow_parent() -> None:
    """End this worker when its parent is killed; it would wait for work for ever otherwise."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def release_memory() -> None:
    """Return freed memory to the system, where the C library is glibc; elsewhere nothing happens.

    Every scene has arrays of other sizes, and glibc keeps the holes: a training on small rooms grew by 20 MB per
    step, of which nothing was in use.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def choose_device(name: str) -> str:
    """ "auto" becomes "cuda" where there is a GPU and "cpu" elsewhere; other names are checked.

    Raises:
        InputError: another name, or a GPU that is not there.
    """
    import torch

    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise InputError("device", f"{name!r} is not known", "Use auto, cpu or cuda")
    if kind == "cuda" and not there:
        raise InputError("device", "there is no GPU that torch can use", "Use cpu, or install torch for this GPU")
    return name


class OnProgress(Protocol):
    """Told what is done of how much; parts of a whole one make the bar and the time left move."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def progress_bar(title: str, *, quiet: bool = False) -> Iterator[OnProgress]:
    """A bar with counts and the time left."""
    with progress_bars(title, quiet=quiet) as (report,):
        yield report


@contextmanager
def progress_bars(*titles: str, quiet: bool = False) -> Iterator[list[OnProgress]]:
    """Bars one below the other, for work of several kinds; the first is shown at once, others with their first report.

    Yields a function for each title; its ``note`` stands behind the counts.
    """
    from rich import progress

    bars = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        disable=quiet,
    )

    def report_to(task: progress.TaskID) -> OnProgress:
        def report(done: float, total: float, note: str = "") -> None:
            if bars.tasks[task].total is None:
                # The time left is reckoned from the start of the work.
                bars.reset(task, visible=True, total=total, completed=int(done), note=note)
            bars.update(task, completed=done, total=total, note=note)

        return report

    with bars:
        yield [report_to(bars.add_task(t, total=None, visible=not i, note="")) for i, t in enumerate(titles)]

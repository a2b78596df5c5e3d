"""The machine that the work runs on: worker processes, the device, memory given back, progress shown.

Progress is bars on a terminal. Elsewhere, as in the log of a job, it is plain lines: when a piece of work begins, every
ten seconds while it goes on, and when it is done.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol, TextIO, cast

from ditr.errors import InputError
from ditr.stopping import ignore_stop_signals

__all__ = ["START", "LogFile", "OnProgress", "choose_device", "end_with_parent", "is_quiet", "phase", "progress_bar"]
__all__ += ["progress_bars", "release_memory", "showing", "tell", "usable_cores", "worker_pool"]

START = multiprocessing.get_context("spawn")
"""How workers start: a fork of a process in which torch or embree runs threads may hang."""


def usable_cores() -> int:
    """How many processors this process may use; a container or a cluster's job often has fewer than the machine."""
    # Only Linux says it.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(
    workers: int, begin: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> ProcessPoolExecutor:
    """A pool of ``workers`` processes that end when this one is killed; ``begin(*arguments)`` is called in each.

    Of the signals that ask to stop they heed SIGTERM alone: the others a terminal or a cluster sends to all processes,
    and this one decides what happens.
    """
    return ProcessPoolExecutor(workers, START, initializer=_begin, initargs=(begin, arguments))


def _begin(begin: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    ignore_stop_signals()
    end_with_parent()
    if begin is not None:
        begin(*arguments)


def end_with_parent() -> None:
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
        raise InputError("device", f"{name!r} is not a device", "Use auto, cpu or cuda")
    if kind == "cuda" and not there:
        raise InputError("device", "there is no GPU that torch can use", "Use cpu, or install torch for this GPU")
    return name


class OnProgress(Protocol):
    """Told what is done of how much; parts of a whole one make the bar and the time left move."""

    def __call__(self, done: float, total: float, note: str = "") -> None: ...


@contextmanager
def progress_bar(title: str, *, quiet: bool = False) -> Iterator[OnProgress]:
    """A bar with counts and the time left; plain lines where there is no terminal."""
    with progress_bars(title, quiet=quiet) as (report,):
        yield report


@contextmanager
def progress_bars(*titles: str, quiet: bool = False) -> Iterator[list[OnProgress]]:
    """Bars one below the other, for work of several kinds; the first is shown at once, others with their first report.

    Yields a function for each title; its ``note`` stands behind the counts.
    """
    shown: list[list[OnProgress]] = []
    with ExitStack() as stack:
        if not (quiet or _shown.quiet):
            if on_terminal := _on_terminal():
                shown.append(stack.enter_context(_bars(titles)))
            if (say := _plain(on_terminal)) is not None:
                shown.append(stack.enter_context(_Lines(titles, say)))

        def report_to(index: int) -> OnProgress:
            def report(done: float, total: float, note: str = "") -> None:
                for reports in shown:
                    reports[index](done, total, note)

            return report

        yield [report_to(index) for index in range(len(titles))]


@contextmanager
def phase(what: str, *, quiet: bool = False) -> Iterator[None]:
    """Work of which nobody knows how long it takes, such as loading a model: plain lines where there is no terminal."""
    say = None if quiet or _shown.quiet else _plain(_on_terminal())
    if say is None:
        yield
        return
    with _Lines([what], say):
        yield


def tell(line: str) -> None:
    """A plain line where there is no terminal, which has bars; and in the log."""
    if not _shown.quiet and (say := _plain(_on_terminal())) is not None:
        say(line)


# ---- how it is shown ------------------------------------------------------------------------------------------------

_EVERY = 10.0
"""Seconds between two plain lines."""
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")


class LogFile:
    """A text file to whose end everything goes that is printed, each line with the time, in UTF-8.

    Args:
        path: of the file, which may exist.

    Raises:
        InputError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file: TextIO | None = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)
        except OSError as error:
            raise InputError(path, f"it cannot be written ({error.strerror})", "Name another log file") from None
        self._path = path

    def line(self, text: str) -> None:
        """Write a line, or several; where that fails, say so once and go on without, as the work must not suffer."""
        now = time.strftime("%F %T")
        clean = (part.rpartition("\r")[2].rstrip() for part in _ESCAPES.sub("", text).split("\n"))
        try:
            if self._file is not None:
                self._file.write("".join(f"{now}  {part}\n" for part in clean))
        except OSError as error:
            self._file = None
            print(f"ditr: warning: {self._path} is no longer written: {error.strerror}", file=sys.__stderr__)

    def copying(self, stream: TextIO) -> TextIO:
        """A stream that writes to ``stream`` and here."""
        return cast(TextIO, _Copied(stream, self))

    def close(self) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.close()
        self._file = None


class _Copied:
    """A text stream of which whole lines are copied to a log."""

    def __init__(self, stream: TextIO, log: LogFile) -> None:
        self.copied_stream, self._log, self._begun = stream, log, ""

    def write(self, text: str) -> int:
        count = self.copied_stream.write(text)
        whole, newline, self._begun = (self._begun + text).rpartition("\n")
        if newline:
            self._log.line(whole)
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self.copied_stream, name)


@dataclass(frozen=True)
class _Shown:
    quiet: bool = False
    log: LogFile | None = None


_shown = _Shown()


@contextmanager
def showing(*, quiet: bool, log: LogFile | None) -> Iterator[None]:
    """Inside, show no progress if ``quiet``; and whatever is printed or shown goes to ``log`` too."""
    global _shown
    before, streams = _shown, (sys.stdout, sys.stderr)
    _shown = _Shown(quiet, log)
    if log is not None:
        sys.stdout, sys.stderr = map(log.copying, streams)
    try:
        yield
    finally:
        _shown = before
        sys.stdout, sys.stderr = streams


def is_quiet() -> bool:
    """Whether results and warnings are all that shall be said."""
    return _shown.quiet


def _on_terminal() -> bool:
    from rich.console import Console

    console = Console()
    return (console.is_terminal and not console.is_dumb_terminal) or console.is_jupyter


def _plain(on_terminal: bool) -> Callable[[str], None] | None:
    """Where plain lines go: to the output if it is not a terminal, where bars are, and to the log anyway."""
    if not on_terminal:
        # In one piece, as threads print side by side.
        return lambda line: print(f"{line}\n", end="", flush=True)
    return None if _shown.log is None else _shown.log.line


@contextmanager
def _bars(titles: Sequence[str]) -> Iterator[list[OnProgress]]:
    from rich import progress
    from rich.console import Console

    log = _shown.log
    bars = progress.Progress(
        progress.TextColumn("{task.description}"),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TextColumn("{task.fields[note]}"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
        # Not the copying stream: the log gets plain lines.
        console=None if log is None else Console(file=getattr(sys.stdout, "copied_stream", None)),
    )

    def report_to(task: progress.TaskID) -> OnProgress:
        def report(done: float, total: float, note: str = "") -> None:
            if bars.tasks[task].total is None:
                # The time left is reckoned from the start of the work.
                bars.reset(task, visible=True, total=total, completed=int(done), note=note)
            bars.update(task, completed=done, total=total, note=note)

        return report

    with bars:
        if log is not None:
            # What is printed meanwhile goes through the bars; they put the streams back when they end.
            sys.stdout, sys.stderr = log.copying(sys.stdout), log.copying(sys.stderr)
        yield [report_to(bars.add_task(t, total=None, visible=not i, note="")) for i, t in enumerate(titles)]


@dataclass
class _State:
    """Where a piece of work is; times are of ``time.monotonic``."""

    title: str
    began: float = field(default_factory=time.monotonic)
    changed: float = 0.0
    done: float = 0.0
    first: float = 0.0
    total: float | None = None
    note: str = ""

    def report(self, done: float, total: float, note: str = "") -> None:
        if self.total is None:
            self.began, self.first = time.monotonic(), done
        self.done, self.total, self.note, self.changed = done, total, note, time.monotonic()

    @property
    def under_way(self) -> bool:
        return self.total is not None and self.done < self.total

    def __str__(self) -> str:
        gone = (time.monotonic() if self.total is None or self.under_way else self.changed) - self.began
        if self.total is None:
            return f"{self.title}: {_clock(gone)} elapsed"
        parts = [f"{self.title}: {int(self.done)} of {int(self.total)}", *([self.note] if self.note else [])]
        if not self.under_way:
            return ", ".join([*parts, f"took {_clock(gone)}" if round(gone) else "took under a second"])
        parts.append(f"{_clock(gone)} elapsed")
        if self.done > self.first:
            parts.append(f"about {_clock(gone / (self.done - self.first) * (self.total - self.done))} left")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}" if minutes >= 60 else f"{minutes}:{rest:02}"


class _Lines:
    """Plain lines about work, by a thread of their own, so that they come however long a piece takes."""

    def __init__(self, titles: Sequence[str], say: Callable[[str], None]) -> None:
        self._states = [_State(title.strip()) for title in titles]
        self._say = say
        self._began, self._over = time.monotonic(), threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> list[OnProgress]:
        self._tell(f"{self._states[0].title} ...")
        self._thread.start()
        return [state.report for state in self._states]

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if known := [str(state) for state in self._states if state.total is not None]:
            self._tell("; ".join(known))

    def _go_on(self) -> None:
        while not self._over.wait(_EVERY):
            self._tell(self._line())

    def _line(self) -> str:
        """What is under way; where nothing is, what was done last, and how long all has taken."""
        if under_way := [str(state) for state in self._states if state.under_way]:
            return "; ".join(under_way)
        last = max(self._states, key=lambda state: state.changed)
        return str(last) if last.total is None else f"{last}; {_clock(time.monotonic() - self._began)} in all"

    def _tell(self, line: str) -> None:
        # Whoever read the output may have closed it: that is for the work itself to notice.
        with suppress(OSError, ValueError):
            self._say(line)

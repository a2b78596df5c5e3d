"""Signals that ask work to stop: it ends at the next good place, and says how to go on."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

__all__ = ["STATUS", "StopSignals", "Stopped", "exiting_when_stopped", "ignore_stop_signals"]

STATUS = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 75}
"""Exit statuses. SIGUSR1 is the warning that SLURM's ``--signal`` sends before a job's time is up; 75 is EX_TEMPFAIL,
"try again", by which a script can tell that the job has to be queued again."""

_SIGNALS = tuple(getattr(signal, name) for name in STATUS if hasattr(signal, name))


class Stopped(SystemExit):
    """Work ended early because a signal asked for it; all that was done is kept.

    Attributes:
        name: of the signal.
        text: what was reached, a sentence without its full stop.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.name, self.text = name, text
        self.code = STATUS[name]


class StopSignals:
    """Within ``with``, signals are noted and nothing else happens; a SIGINT after the first signal ends at once.

    A signal that is ignored stays so. Outside the main thread, where Python lets nobody handle signals, none is noted.

    Attributes:
        asked: name of the first signal that came; None before.
    """

    def __init__(self) -> None:
        self.asked: str | None = None
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for one in _SIGNALS:
                if signal.getsignal(one) not in (signal.SIG_IGN, None):
                    self._before[one] = signal.signal(one, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one, before in self._before.items():
            signal.signal(one, before)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        if self.asked is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.asked is None and number == signal.SIGINT and os.isatty(2):
            # Not by print, which may be at work in the operation that was interrupted.
            os.write(2, b"\nditr: stopping where it can go on later; Ctrl-C again ends at once\n")
        self.asked = self.asked or signal.Signals(number).name


@contextmanager
def exiting_when_stopped() -> Iterator[None]:
    """Inside, SIGTERM and the end of the terminal (SIGHUP) end the process as an exception does, so that what was made
    for a while is taken away; they would end it at once. Where they are ignored or handled, nothing changes."""

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for name in ("SIGTERM", "SIGHUP"):
            one = getattr(signal, name, None)
            if one is not None and signal.getsignal(one) is signal.SIG_DFL:
                before[one] = signal.signal(one, leave)
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def ignore_stop_signals(*, terminate: bool = False) -> None:
    """In a helping process: a terminal and a cluster signal all processes, and the main one decides what happens.

    With ``terminate``, SIGTERM is ignored too.
    """
    for one in _SIGNALS:
        if one != signal.SIGTERM or terminate:
            signal.signal(one, signal.SIG_IGN)

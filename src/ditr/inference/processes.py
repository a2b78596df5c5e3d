"""Processes that each keep an object of their own and do with it what they are told, one thing after the other."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from ditr.errors import InputError
from ditr.runtime import START, end_with_parent, showing, usable_cores
from ditr.stopping import ignore_stop_signals
from ditr.threads import one_thread_per_worker

__all__ = ["Answer", "Died", "Helpers", "usual_helpers"]

_log = logging.getLogger(__name__)
_MOST = 8
"""Helpers; more seldom gain, as the network is what takes time then."""
_PATIENCE = 5.0
"""Seconds that processes have to end by themselves."""

Handler = Callable[[Any], Any]
"""What a process does with a message; what it returns is sent back."""


@dataclass(frozen=True)
class Answer:
    """What the process ``helper`` gave back for the oldest message that it had not answered."""

    helper: int
    message: Any
    content: Any


@dataclass(frozen=True)
class Died:
    """A process that is no more; another has taken its number, and knows nothing of the messages.

    Attributes:
        helper: its number.
        unanswered: messages that it had still to answer.
        at: the one of these that it was at; None where it had begun none.
        how: in words.
    """

    helper: int
    unanswered: Sequence[Any]
    at: Any
    how: str


@dataclass(eq=False)
class _Helper:
    process: BaseProcess
    pipe: Connection
    unanswered: deque[tuple[int, Any]] = field(default_factory=deque)
    began: bool = False
    is_at_one: bool = False


class Helpers:
    """A number of processes, started at once; to be closed.

    They import while this process goes on; :meth:`equip` then gives each its object.

    Args:
        count: of the processes.
    """

    def __init__(self, count: int) -> None:
        self._make: Callable[[Any], Handler] | None = None
        self._argument: Any = None
        self._times = 0
        self._helpers = [_started() for _ in range(count)]

    def __len__(self) -> int:
        return len(self._helpers)

    def __enter__(self) -> Helpers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def equip(self, make: Callable[[Any], Handler], argument: Any) -> None:
        """Have each process, and those that take the place of dead ones, call ``make(argument)`` for its handler. One
        that it has is dropped, and so is what it has still to answer."""
        self._make, self._argument = make, argument
        self._times += 1
        for helper in self._helpers:
            with suppress(OSError):  # it is dead; whoever asks for answers is told
                helper.pipe.send((make, argument, None))

    def tell(self, number: int, message: Any) -> None:
        """Send a message to a process, which takes it when it has done what it was told before."""
        helper = self._helpers[number]
        helper.unanswered.append((self._times, message))
        with suppress(OSError):
            helper.pipe.send((None, None, message))

    def answers(self, wait: bool) -> Iterator[Answer | Died]:
        """What came back since the last call; with ``wait``, at least something, or after half a second nothing.

        Raises:
            InputError: processes cannot start here.
        """
        pipes = {helper.pipe: number for number, helper in enumerate(self._helpers)}
        for pipe in connection.wait(list(pipes), timeout=0.5 if wait else 0):
            assert isinstance(pipe, Connection)
            yield from self._read(pipes[pipe])

    def _read(self, number: int) -> Iterator[Answer | Died]:
        helper = self._helpers[number]
        try:
            kind, content = helper.pipe.recv()
        except (EOFError, OSError):
            yield self._replaced(number)
            return
        helper.began = True
        if kind == "log":
            level, text = content
            _log.log(level, "%s", text)
        elif kind == "taken":
            helper.is_at_one = True
        elif kind == "answer":
            helper.is_at_one = False
            times, message = helper.unanswered.popleft()
            if times == self._times:
                yield Answer(number, message, content)

    def _replaced(self, number: int) -> Died:
        helper = self._helpers[number]
        helper.pipe.close()
        helper.process.join(_PATIENCE)
        how = _how_it_ended(helper.process.exitcode)
        if not helper.began:
            raise InputError(
                "worker processes",
                f"they cannot start ({how})",
                'Call this under `if __name__ == "__main__":` in a script, or use workers=0',
            )
        new = self._helpers[number] = _started()
        if self._make is not None:
            new.pipe.send((self._make, self._argument, None))
        unanswered = [message for times, message in helper.unanswered if times == self._times]
        is_at_one = helper.is_at_one and helper.unanswered[0][0] == self._times
        return Died(number, unanswered, unanswered[0] if is_at_one else None, how)

    def close(self) -> None:
        """End all processes, whatever they are at."""
        for helper in self._helpers:
            helper.process.terminate()
            helper.pipe.close()
        for helper in self._helpers:
            helper.process.join(_PATIENCE)
            if helper.process.is_alive():
                helper.process.kill()
                helper.process.join()


def usual_helpers(device: str, scenes: int) -> int:
    """How many processes prepare scenes for a network on "cpu" or "cuda": none for a single scene."""
    cores = usable_cores()
    usual = max(1, cores // 2 if device == "cpu" else cores - 1)
    return min(usual, _MOST, scenes) if scenes > 1 else 0


def _how_it_ended(status: int | None) -> str:
    """The exit status of a process, in words."""
    if status is not None and status < 0:
        why = ", probably because memory ran out" if status == -9 else ""
        return f"ended by signal {-status}{why}"
    return f"ended with status {status}"


def _started() -> _Helper:
    ours, theirs = START.Pipe()
    # No daemons: readers of some formats have processes of their own, which daemons may not.
    process = START.Process(target=_serve, args=(theirs,), daemon=False)
    with one_thread_per_worker():
        process.start()
    theirs.close()
    return _Helper(process, ours)


def _serve(pipe: Connection) -> None:
    """What a process does until its pipe is closed or its parent ends."""
    ignore_stop_signals()
    end_with_parent()
    torch.set_num_threads(1)
    logger = logging.getLogger("ditr")
    logger.setLevel(logging.INFO)
    logger.addHandler(_Sent(pipe))
    pipe.send(("began", None))
    # Messages are taken off the pipe at once, so that whoever sends them never waits.
    inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(pipe, inbox), daemon=True).start()
    handler: Handler | None = None
    with showing(quiet=True, log=None):
        while (told := inbox.get()) is not None:
            make, argument, message = told
            if make is not None:
                handler = make(argument)
            elif handler is not None:
                pipe.send(("taken", None))
                pipe.send(("answer", handler(message)))


def _receive(pipe: Connection, inbox: queue.SimpleQueue[Any]) -> None:
    try:
        while True:
            inbox.put(pipe.recv())
    except (EOFError, OSError):
        inbox.put(None)


class _Sent(logging.Handler):
    """The library's log, said by the process that began the work."""

    def __init__(self, pipe: Connection) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        self._pipe.send(("log", (record.levelno, record.getMessage())))

"""Worker processes: one thread each, and none that outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

__all__ = ["START", "one_thread_per_worker", "worker_pool"]

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

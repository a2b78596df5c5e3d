"""Functions in worker processes: results as they come, a process that dies costs one of them, and stopping is quick."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from ditr.errors import InputError
from ditr.runtime import worker_pool

__all__ = ["side_by_side"]

_LOOK = 0.2
"""Seconds between two looks at whether to stop."""
_MEMORY = "Use fewer --workers, or a machine with more memory"


def side_by_side(
    work: Mapping[str, Callable[[], Any]], workers: int, stop: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, Any]]:
    """What each function gives, by name, as results come; an InputError for one whose process died of it.

    Args:
        work: the functions, which go to other processes.
        workers: processes; 0 for none but this one.
        stop: asked again and again; once it says so, processes are ended and the rest is left.

    Raises:
        OSError: as a function does; the processes of others are ended then.
    """
    if workers < 1:
        for name, call in work.items():
            if stop():
                return
            yield name, _called(name, call)
        return
    left = dict(work)
    while left and not stop():
        suspects: list[str] = []
        with _pool(workers) as pool:
            running: dict[Future[Any], str] = {}
            names = iter(list(left))
            try:
                while not stop():
                    # A few more than there are workers, so that none waits, and few are lost with a process that dies.
                    for name in names:
                        running[pool.submit(_called, name, left[name])] = name
                        if len(running) >= 2 * workers:
                            break
                    if not running:
                        break
                    done, _ = wait(running, timeout=_LOOK, return_when=FIRST_COMPLETED)
                    for future in done:
                        result = future.result()
                        name = running.pop(future)
                        del left[name]
                        yield name, result
            except BrokenProcessPool:
                suspects = list(running.values())
        # One of them was too much for its process. Each gets one of its own, so that it is known which.
        yield from _one_by_one(suspects, left, stop)


def _called(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except MemoryError:
        return InputError(name, "it needs more memory than there is", _MEMORY)


def _one_by_one(
    names: Sequence[str], left: dict[str, Callable[[], Any]], stop: Callable[[], bool]
) -> Iterator[tuple[str, Any]]:
    for name in names:
        if stop():
            return
        with _pool(1) as pool:
            try:
                future = pool.submit(_called, name, left[name])
                while not wait([future], timeout=_LOOK).done:
                    if stop():
                        return
                result = future.result()
            except BrokenProcessPool:
                if stop():  # which may have been told to the process, too
                    return
                result = InputError(name, "the process that read it died, probably because memory ran out", _MEMORY)
        del left[name]
        yield name, result


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes are ended, whatever they do, when the inside is left with work undone."""
    others = set(multiprocessing.active_children())
    pool = worker_pool(workers)
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
            process.join()
        pool.shutdown(wait=True)

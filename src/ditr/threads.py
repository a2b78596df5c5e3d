"""The threads of libraries that compute: how they wait for each other, and how many there are in worker processes.

The libraries read this from the environment as they load.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["calm_threads", "given_environment", "one_thread_per_worker"]

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_SPINS = "GOMP_SPINCOUNT"
_set_here: set[str] = set()


def calm_threads() -> None:
    """Let torch's threads spin for a moment and then sleep, unless the environment says how they wait.

    They wait for each other hundreds of times in a pass. By default they spin for long, which is no faster on a quiet
    machine and takes two to three times as long beside other work. It is read as torch loads.
    """
    if "OMP_WAIT_POLICY" not in os.environ and _SPINS not in os.environ:
        os.environ[_SPINS] = "3000"
        _set_here.add(_SPINS)


def given_environment() -> dict[str, str]:
    """The environment of this process without what :func:`calm_threads` set."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


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

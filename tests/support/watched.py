"""How long a reader takes, and how much memory: of one file among thousands, in this process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Watched"]

MOST, TIMES = 64 << 20, 4
"""Bytes that a reader may take for a damaged file, and how many more for each of its own."""


@dataclass
class Watched:
    """The worst of what was watched.

    Attributes:
        seconds: of processor time.
        memory: the largest resident size beyond that before, bytes; 0 where the system does not tell.
        beyond: what was taken beyond what a file of its size may take, bytes; negative for none.
    """

    seconds: float = 0.0
    memory: int = 0
    beyond: int = -MOST

    @contextmanager
    def reading(self, size: int) -> Iterator[None]:
        """Inside, a file (or folder) of so many bytes is read."""
        before = _forget_the_most()
        begin = time.process_time()
        try:
            yield
        finally:
            self.see(time.process_time() - begin, _bytes("VmHWM") - before, size)

    def see(self, seconds: float, memory: int, size: int) -> None:
        """Count what was watched elsewhere."""
        self.seconds = max(self.seconds, seconds)
        self.memory = max(self.memory, memory)
        self.beyond = max(self.beyond, memory - MOST - TIMES * size)

    def __str__(self) -> str:
        return f"the longest took {self.seconds:.2f} s, the largest {self.memory / 2**20:.0f} MB"


def _forget_the_most() -> int:
    """The resident size now, from which the largest is counted again."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return 1 << 62
    return _bytes("VmRSS")


def _bytes(name: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return int(status.read_text(encoding="ascii").partition(f"{name}:")[2].split()[0]) * 1024

"""Which scenes each of the loader's processes is making, so that one that dies can be told by them."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch.utils.data import get_worker_info

from ditr.errors import InputError

__all__ = ["WorkerTrace"]


class WorkerTrace:
    """A table in memory that this process and its loader's processes share; a row for each of them.

    Args:
        workers: the loader's processes; with 0 there is nothing to tell.
        scenes: at most so many scenes make a batch.
        name: from the number of a dataset and of a scene in it to what people call that scene.
    """

    def __init__(self, workers: int, scenes: int, name: Callable[[int, int], str]) -> None:
        self.name = name
        self._dead: list[str] = []
        self._rows = torch.full((workers, 2 + scenes), -1, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]

    def begin(self, dataset: int, scenes: Sequence[int]) -> None:
        """To be called in a loader's process: it is at these scenes now."""
        worker = get_worker_info()
        if worker is not None:
            row = torch.full_like(self._rows[0], -1)
            row[: 2 + len(scenes)] = torch.tensor([os.getpid(), dataset, *scenes])
            self._rows[worker.id] = row

    def look(self) -> None:
        """Note which processes have died, before the others are ended because of it."""
        self._dead = self._dead or self._left_behind()

    @contextmanager
    def deaths_named(self) -> Iterator[None]:
        """Around all that happens while the loader works: torch says in any place that a process died.

        Raises:
            InputError: one died, by a signal or for want of memory; the text says at which scenes.
        """
        try:
            yield
        except RuntimeError as error:
            self.look()
            names = self._dead
            if not names:
                raise
            raise InputError(
                f"scenes {', '.join(names)}",
                "a data loading process was killed while it prepared them, probably because memory ran out",
                "Use fewer --workers or smaller crops, or check these scenes; the same command continues from the "
                "newest checkpoint",
            ) from error

    def _left_behind(self) -> list[str]:
        """The scenes of processes that are no more."""
        alive = {child.pid for child in multiprocessing.active_children()}
        rows = [row for row in self._rows.tolist() if row[0] >= 0 and row[0] not in alive]
        return [self.name(dataset, scene) for _, dataset, *scenes in rows for scene in scenes if scene >= 0]

"""Rooms on disk: captures, one folder per room."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from ditr.worlds.common.writing import SceneJob, as_stored, write_jobs
from ditr.worlds.rooms.config import RoomsConfig, Split
from ditr.worlds.rooms.generate import make_room, room_name

__all__ = ["write_rooms"]

_SPLITS: tuple[Split, ...] = ("train", "test")


def write_rooms(
    folder: str | os.PathLike[str], config: RoomsConfig, *, workers: int | None = None, progress: bool = False
) -> list[Path]:
    """Write all rooms of a configuration as captures ``folder/train/room_0000``, ..., ``folder/test/room_0000``, ...

    Rooms that are there already and come from the same configuration are kept; what an interrupted call left
    unfinished is removed. The result does not depend on ``workers``.

    Args:
        workers: number of processes, by default one per processor; with 1 everything runs in this process.
        progress: show a progress bar with the time left.

    Returns:
        The folders of all rooms, training rooms first.

    Raises:
        InputError: a room's folder holds something else than this configuration's room, or embreex is not
            installed.
    """
    jobs = [
        SceneJob(
            Path(folder) / split / room_name(index),
            partial(make_room, config, split, index),
            _identity(config, split, index),
        )
        for split in _SPLITS
        for index in range(config.count(split))
    ]
    return write_jobs("room", jobs, workers=workers, progress=progress)


def _identity(config: RoomsConfig, split: Split, index: int) -> dict[str, Any]:
    """All that decides what a room contains; the number of rooms does not."""
    settings = {key: value for key, value in asdict(config).items() if key not in _SPLITS}
    return as_stored({"world": "rooms", "split": split, "index": index, "config": settings})

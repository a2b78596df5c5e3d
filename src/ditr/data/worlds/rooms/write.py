"""Rooms on disk: captures, one folder per room, written by several processes and finished where they were left."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import as_completed
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ditr.data.readers.capture import LABELS, write_capture
from ditr.data.worlds.rooms.config import RoomsConfig, Split
from ditr.data.worlds.rooms.generate import make_room, room_name
from ditr.files import InputError
from ditr.processes import one_thread_per_worker, worker_pool

__all__ = ["write_rooms"]

_SPLITS: tuple[Split, ...] = ("train", "test")
_UNFINISHED = re.compile(r"\.room_\d{4}\.(\d+)-[0-9a-f]{8}\.part")


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
        InputError: a room's folder holds something else than this configuration's room.
        ImportError: embreex is not installed.
    """
    folder = Path(folder)
    rooms = [(split, index) for split in _SPLITS for index in range(config.count(split))]
    paths = {room: folder / room[0] / room_name(room[1]) for room in rooms}
    for split in _SPLITS:
        _remove_unfinished(folder / split)
    missing = [room for room in rooms if not _is_complete(paths[room], config, *room)]
    count = min(len(missing), workers if workers is not None else _processors())
    bar = Progress(TextColumn("rooms"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), disable=not progress)
    with bar:
        task = bar.add_task("rooms", total=len(rooms), completed=len(rooms) - len(missing))
        if count <= 1:
            for room in missing:
                _write_room(config, *room, paths[room])
                bar.advance(task)
        else:
            with one_thread_per_worker(), worker_pool(count) as pool:
                jobs = [pool.submit(_write_room, config, *room, paths[room]) for room in missing]
                try:
                    for job in as_completed(jobs):
                        job.result()
                        bar.advance(task)
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
    return [paths[room] for room in rooms]


def _write_room(config: RoomsConfig, split: Split, index: int, path: Path) -> None:
    scene = make_room(config, split, index)
    write_capture(replace(scene, properties={LABELS: _identity(config, split, index)}), path)


def _identity(config: RoomsConfig, split: Split, index: int) -> dict[str, Any]:
    """All that decides what a room contains, as JSON would give it back; the number of rooms does not."""
    settings = {key: value for key, value in asdict(config).items() if key not in _SPLITS}
    return {"world": "rooms", "split": split, "index": index, "config": json.loads(json.dumps(settings))}


def _is_complete(path: Path, config: RoomsConfig, split: Split, index: int) -> bool:
    """Whether the room is there; folders are written atomically, so one that exists is whole."""
    if not path.exists():
        return False
    try:
        found = json.loads((path / LABELS).read_text(encoding="utf-8"))
        same = _identity(config, split, index).items() <= found.items()
    except (OSError, ValueError, AttributeError):
        same = False
    if not same:
        raise InputError(path, "it holds something else than this room", "Remove it or choose another folder")
    return True


def _remove_unfinished(folder: Path) -> None:
    """Remove what processes that no longer run left behind."""
    for path in folder.glob(".room_*.part"):
        match = _UNFINISHED.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            shutil.rmtree(path, ignore_errors=True)


def _processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # there os.kill ends the process instead of asking
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A killed worker whose parent is gone stays a zombie where, as in many containers, nobody collects it.
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True  # no /proc on this system
    return state not in "ZX"

"""Worlds on disk: captures, one folder per scene, written by several processes and finished where they were left."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ditr.captures.capture import write_capture
from ditr.captures.transforms import LABELS
from ditr.errors import InputError
from ditr.io.files import remove_rests, require_room
from ditr.io.json_file import read_json
from ditr.runtime import progress_bar, usable_cores, worker_pool
from ditr.scene import Scene
from ditr.threads import one_thread_per_worker
from ditr.worlds.common.rays import require_embree

__all__ = ["SceneJob", "as_stored", "write_jobs"]


@dataclass(frozen=True)
class SceneJob:
    """A scene that is to be there.

    Attributes:
        path: its folder.
        make: makes it; a function of a module, or a ``functools.partial`` of one, so that workers can be sent it.
        identity: all that decides what it contains, see :func:`as_stored`.
    """

    path: Path
    make: Callable[[], Scene]
    identity: Mapping[str, Any]


def as_stored(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON would give them back, so that they can be compared with a file's."""
    stored: dict[str, Any] = json.loads(json.dumps(settings))
    return stored


def write_jobs(kind: str, jobs: Sequence[SceneJob], *, workers: int | None, progress: bool) -> list[Path]:
    """Write all scenes that are not there yet; the result does not depend on ``workers``.

    What an interrupted call left unfinished is removed.

    Args:
        kind: what a scene is called, such as "room"; folders are called ``room_0000`` and so on.
        workers: number of processes, by default one per processor; with 1 everything runs in this process.
        progress: show a progress bar with the time left.

    Returns:
        The folders of all scenes.

    Raises:
        InputError: a folder holds something else than its scene, or embreex is not installed.
        OSError: scenes cannot be written; those that are whole stay.
    """
    for folder in {job.path.parent for job in jobs}:
        remove_rests(folder)
        require_room(folder)
    missing = [job for job in jobs if not _is_complete(job, kind)]
    if missing:
        require_embree()
    count = min(len(missing), workers if workers is not None else usable_cores())
    done = len(jobs) - len(missing)
    with progress_bar(f"{kind}s", quiet=not progress) as report:
        report(done, len(jobs))
        if count <= 1:
            for number, job in enumerate(missing, start=done + 1):
                _write(job)
                report(number, len(jobs))
        else:
            with one_thread_per_worker(), worker_pool(count) as pool:
                futures = [pool.submit(_write, job) for job in missing]
                try:
                    for number, future in enumerate(as_completed(futures), start=done + 1):
                        future.result()
                        report(number, len(jobs))
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
    return [job.path for job in jobs]


def _write(job: SceneJob) -> None:
    write_capture(replace(job.make(), properties={LABELS: dict(job.identity)}), job.path)


def _is_complete(job: SceneJob, kind: str) -> bool:
    """Whether the scene is there; folders are written atomically, so one that exists is whole."""
    if not job.path.exists():
        return False
    try:
        found = read_json(job.path / LABELS)
        same = job.identity.items() <= found.items()
    except (InputError, AttributeError):
        same = False
    if not same:
        raise InputError(job.path, f"it holds something other than this {kind}", "Remove it or choose another folder")
    return True

"""Processes that measure, and those that only keep the machine busy."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ditr
from ditr.errors import InputError
from ditr.studies.bench.plan import Job
from ditr.threads import given_environment

__all__ = ["OURS", "busy_processes", "commit", "export", "run_job"]

OURS = Path(ditr.__file__).resolve().parents[1]
"""Where this revision's package is."""


def run_job(job: Job, source: Path = OURS) -> dict[str, Any]:
    """What a fresh process finds, with the package that lies in ``source``.

    Raises:
        RuntimeError: it failed; the text is its own.
    """
    # Each revision's own program says how its threads wait (start.py).
    environment = {**given_environment(), "PYTHONPATH": str(source), "OMP_NUM_THREADS": str(job.threads)}
    start = Path(__file__).with_name("start.py")
    done = subprocess.run(
        [sys.executable, str(start)], input=job.to_text(), capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        raise RuntimeError(f"{job.title} failed:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if Path(found.pop("source")) != source.resolve():
        raise RuntimeError(f"{job.title} was measured with another package than that of {source}")
    return found


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """So many processes that compete for the machine, each with one thread that never rests."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def commit(revision: str = "HEAD") -> str | None:
    """The short name of a revision, with + where files were changed since; None where this is not a git repository."""
    name = _git("rev-parse", "--short", revision)
    if name is None:
        return None
    changed = revision == "HEAD" and bool((_git("status", "--porcelain", "--", "src") or b"").strip())
    return name.decode().strip() + ("+" if changed else "")


def export(revision: str, folder: Path) -> Path:
    """The package of another revision; returns the folder that holds it.

    Raises:
        InputError: there is no such revision, or no repository.
    """
    files = _git("archive", "--format=tar", f"{revision}:src")
    if files is None:
        raise InputError(
            "--against",
            f"git knows no revision {revision!r} here",
            "Run it in a clone of the repository that has this revision",
        )
    with tarfile.open(None, "r", io.BytesIO(files)) as archive:
        archive.extractall(folder, filter="data")
    return folder


def _git(*arguments: str) -> bytes | None:
    root = OURS.parent
    if not (root / ".git").exists():
        return None  # an installed package, perhaps within somebody else's repository
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None

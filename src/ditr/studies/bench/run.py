"""Everything that a call of ``ditr bench`` asks for, one process after the other."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ditr.errors import InputError, nearest
from ditr.io.files import atomic_path, write_json
from ditr.runtime import choose_device, progress_bar, usable_cores
from ditr.studies.bench.against import compare
from ditr.studies.bench.inputs import prepare
from ditr.studies.bench.machine import describe
from ditr.studies.bench.plan import CASES, VOXELS, WHAT, Job
from ditr.studies.bench.processes import busy_processes, commit, export, run_job
from ditr.studies.bench.report import to_markdown
from ditr.studies.bench.work import work_of

__all__ = ["Bench", "run_bench", "write_results"]

LARGEST = 2_000_000
_PEAK = "2048 x 2048 x 2048"


@dataclass(frozen=True)
class Bench:
    """What is asked for.

    Attributes:
        what: see ``plan.CASES``.
        cases: only these; none for all.
        encoders: names as for ``load_image_encoder``, for "encoder".
        voxels: for what is measured by voxels.
        threads: of torch; none for as many as it takes by itself.
        precision: "fp32" or "bf16".
        device: "auto", "cpu" or "cuda".
        repeats: times that each process measures, after one to warm up.
        pairs: processes of each revision, with ``against``.
        against: another revision; None for none.
        busy: foreign processes that compete for the machine.
        stages: whether to tell where the time goes.
        command: what was typed.

    Raises:
        InputError: a name that is not known, or a number out of its range.
    """

    what: tuple[str, ...] = ("inference",)
    cases: tuple[str, ...] = ()
    encoders: tuple[str, ...] = CASES["encoder"]
    voxels: tuple[int, ...] = (20_000, 80_000)
    threads: tuple[int, ...] = ()
    precision: str = "fp32"
    device: str = "cpu"
    repeats: int = 5
    pairs: int = 5
    against: str | None = None
    busy: int = 0
    stages: bool = True
    command: str = "ditr bench"

    def __post_init__(self) -> None:
        cases = tuple(dict.fromkeys(case for what in WHAT[:5] for case in CASES[what]))
        for option, names, known in (("--what", self.what, WHAT), ("--cases", self.cases, cases)):
            for name in names:
                if name not in known:
                    near = nearest(name, known)
                    hint = f"Did you mean {near!r}?" if near else f"Use some of {', '.join(known)}"
                    raise InputError(option, f"there is no {name!r}", hint)
        for option, numbers, low, high in (
            ("--voxels", self.voxels, 100, LARGEST),
            ("--threads", self.threads, 1, 1024),
            ("--repeats", (self.repeats,), 1, 10_000),
            ("--pairs", (self.pairs,), 1, 1000),
            ("--busy", (self.busy,), 0, 1024),
        ):
            for number in numbers:
                if not low <= number <= high:
                    raise InputError(option, f"it is {number}", f"Give {low} to {high}")

    def jobs(self, folder: Path) -> list[Job]:
        """All measurements, with the machine's peaks first where something is held against them."""
        device = choose_device(self.device)
        what = list(dict.fromkeys(self.what))
        if "machine" in what or (device == "cpu" and {"inference", "encoder"} & set(what)):
            what = ["machine", *(name for name in what if name != "machine")]
        return [
            Job(name, case, voxels, threads, self.precision, device, self.repeats, str(folder), self.stages)
            for threads in self.threads or (_threads(),)
            for name in what
            for case in (self.encoders if name == "encoder" else CASES[name])
            if name in ("encoder", "machine") or not self.cases or case in self.cases
            for voxels in (self.voxels if name in VOXELS else (None,))
        ]


def run_bench(bench: Bench, finished: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure; gives rows with all figures, and what they were measured on.

    ``finished`` is told a line after each row.

    Raises:
        InputError: the other revision is not there.
        RuntimeError: a measuring process failed.
    """
    rows = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "inputs").mkdir()
        jobs = bench.jobs(folder / "inputs")
        other = None if bench.against is None else export(bench.against, folder / "other")
        prepare(jobs, folder / "inputs")
        stack.enter_context(busy_processes(bench.busy))
        report = stack.enter_context(progress_bar("measurements"))
        for number, job in enumerate(jobs):
            report(number, len(jobs), job.title)
            rows.append(_row(job, other, bench.pairs))
            finished(_line(rows[-1]))
        report(len(jobs), len(jobs))
        _add_floors(rows, jobs)
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "command": bench.command,
        "commit": commit(),
        "against": None if bench.against is None else commit(bench.against),
        "busy": bench.busy,
        "machine": describe(),
        "rows": rows,
    }


def write_results(content: dict[str, Any], out: Path) -> tuple[Path, Path]:
    """``out`` as JSON, and the tables beside it in a file of the same name that ends with .md."""
    out = out.with_suffix(".json")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, content)
    with atomic_path(out.with_suffix(".md")) as path:
        path.write_text(to_markdown(content), encoding="utf-8")
    return out, out.with_suffix(".md")


def _row(job: Job, other: Path | None, pairs: int) -> dict[str, Any]:
    named = {name: value for name, value in asdict(job).items() if name not in ("inputs", "result", "stages")}
    if job.what == "machine" or other is None:
        return {**named, **run_job(job)}
    found, against = compare(job, other, pairs)
    return {**named, **found, "against": against}


def _line(row: dict[str, Any]) -> str:
    title = " ".join(str(row[name]) for name in ("what", "case", "voxels") if row[name] is not None)
    if row["what"] == "machine":
        return f"{title}, {row['threads']} threads: " + ", ".join(f"{n} {v}" for n, v in row["peaks"].items())
    memory = "" if row["peak_bytes"] is None else f", {row['peak_bytes'] / 1e9:.2f} GB"
    text = f"{title}, {row['threads']} threads: {row['seconds']:.3f} s ({row['p10']:.3f} to {row['p90']:.3f}){memory}"
    if (against := row.get("against")) is not None:
        low, high = against["interval"]
        text += f"; {against['ratio']:.2f} times as fast ({low:.2f} to {high:.2f}), differences "
        text += ", ".join(f"{name} {value:.1e}" for name, value in against["differences"].items())
    return text if row["others"] is None else f"{text}; others used {row['others']:.0%}"


def _add_floors(rows: list[dict[str, Any]], jobs: list[Job]) -> None:
    """The operations of each row, and the time that the machine's fastest products take for as many."""
    fastest = {
        row["threads"]: max(value for name, value in row["peaks"].items() if name.endswith(_PEAK))
        for row in rows
        if row["what"] == "machine"
    }
    for row, job in zip(rows, jobs, strict=True):
        needed = row.get("facts", {}).get("gflop")
        if job.what == "inference" and job.voxels is not None:
            work = work_of(job.case, _grid(job))
            needed = work.needed
            row["gflop"] = {**asdict(work), "needed": needed}
        elif needed is not None:
            row["gflop"] = {"needed": needed}
        if needed is not None and job.threads in fastest and job.precision == "fp32" and job.device == "cpu":
            row["floor_seconds"] = needed / fastest[job.threads]


def _grid(job: Job) -> Any:
    from safetensors.torch import load_file

    return load_file(job.folder / f"voxels-{job.voxels}.safetensors")["grid"]


def _threads() -> int:
    """As many as torch takes where nobody says otherwise."""
    said = os.environ.get("OMP_NUM_THREADS", "")
    if said.isdigit() and int(said) > 0:
        return int(said)
    return usable_cores()

"""The process that measures: one job in, one line of JSON out. It imports the measured revision's ``ditr``."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

import ditr
from ditr.studies.bench.machine import OthersShare, peaks
from ditr.studies.bench.memory import PeakMemory, count_work, slowest_operators
from ditr.studies.bench.plan import Job
from ditr.studies.bench.stages import Stages
from ditr.studies.bench.subjects import Subject, make_subject

__all__ = ["main"]


def main() -> None:
    """Read a job from the standard input, measure, print."""
    job = Job.from_text(sys.stdin.read())
    if job.device == "cpu":
        torch.set_num_threads(job.threads)
    others = OthersShare()
    if job.what == "machine":
        found: dict[str, Any] = {"peaks": peaks()}
    else:
        subject = make_subject(job)
        others = OthersShare()
        found = measured(job, subject)
    found["others"] = others.share()
    found["thread_spins"] = os.environ.get("GOMP_SPINCOUNT")
    found["source"] = str(Path(ditr.__file__).resolve().parents[1])
    if job.stages and job.what != "machine":
        found |= taken_apart(job, subject)
    print(json.dumps(found))


def measured(job: Job, subject: Subject) -> dict[str, Any]:
    """Latency and memory: nothing else is done meanwhile."""
    laps: list[dict[str, float]] = []

    @contextmanager
    def lap(name: str) -> Iterator[None]:
        began = _now(job)
        yield
        laps[-1][name] = laps[-1].get(name, 0.0) + _now(job) - began

    memory = PeakMemory(job.device)
    seconds: list[float] = []
    for number in range(job.repeats + 1):
        laps.append({})
        began = _now(job)
        results = subject.run(lap)
        seconds.append(_now(job) - began)
        if number == 0 and job.result is not None:
            save_file({name: value.cpu().contiguous() for name, value in results.items()}, job.result)
        del results
    peak = memory.above()
    timed = seconds[1:]
    p10, p90 = np.percentile(timed, [10, 90]).tolist()
    return {
        "seconds": statistics.median(timed),
        "p10": p10,
        "p90": p90,
        "warm_up": seconds[0],
        "parts": {name: statistics.median(row[name] for row in laps[1:]) for name in laps[-1]},
        "peak_bytes": peak,
        "unit": subject.unit,
        "size": subject.size,
        "facts": subject.facts,
    }


def taken_apart(job: Job, subject: Subject) -> dict[str, Any]:
    """Counts, the slowest operators and the stages, in this order: the clocks of the stages stay."""
    counts = count_work(lambda: subject.run(_no_lap)) if job.device == "cpu" else None
    operators = slowest_operators(lambda: subject.run(_no_lap)) if counts is None else counts.slowest
    clock = Stages(job.device)
    subject.stages(clock)
    with clock.stage("rest"):
        subject.run(_no_lap)
    return {
        "operator_calls": None if counts is None else counts.calls,
        "allocated_peak_bytes": None if counts is None else counts.peak_bytes,
        "operators": operators,
        "stages": clock.seconds,
    }


def _no_lap(name: str) -> nullcontext[None]:
    return nullcontext()


def _now(job: Job) -> float:
    """The time when all that was asked of the device is done."""
    if job.device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()

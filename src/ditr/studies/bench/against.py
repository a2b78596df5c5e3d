"""Two revisions side by side: fresh processes that alternate, so that what the machine does beside hits both alike."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from ditr.studies.bench.plan import Job
from ditr.studies.bench.processes import run_job

__all__ = ["compare", "interval"]


def compare(job: Job, other: Path, pairs: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Our measurement of a job, and what the revision in ``other`` is to it.

    Every pair is a process of each revision, ours first and theirs first in turn. The ratio of a pair is that of its
    two medians; above 1 ours is faster. Both have the same weights, and what they compute first is compared.
    """
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    files = [job.folder / f"result-{name}.safetensors" for name in ("ours", "theirs")]
    for pair in range(pairs):
        here = replace(job, stages=job.stages and pair == 0, result=str(files[0]) if pair == 0 else None)
        there = replace(job, stages=False, result=str(files[1]) if pair == 0 else None)
        for mine in (True, False) if pair % 2 == 0 else (False, True):
            if mine:
                ours.append(run_job(here))
            else:
                theirs.append(run_job(there, other))
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    found = {
        "seconds": statistics.median(row["seconds"] for row in theirs),
        "ratio": statistics.median(ratios),
        "interval": interval(ratios),
        "ratios": ratios,
        "peak_bytes": _middle(theirs, "peak_bytes"),
        "others": _middle(theirs, "others"),
        "differences": _differences(*files),
    }
    for file in files:
        file.unlink()
    whole = {**ours[0], **{name: _middle(ours, name) for name in ("seconds", "p10", "p90", "peak_bytes", "others")}}
    return whole, found


def interval(ratios: list[float], draws: int = 10_000) -> tuple[float, float]:
    """Within which the median lies in 95 % of draws of as many pairs from these pairs."""
    rng = np.random.default_rng(0)
    drawn = np.asarray(ratios)[rng.integers(0, len(ratios), (draws, len(ratios)))]
    low, high = np.percentile(np.median(drawn, axis=1), [2.5, 97.5]).tolist()
    return low, high


def _middle(rows: list[dict[str, Any]], name: str) -> float | None:
    known = [row[name] for row in rows if row[name] is not None]
    return statistics.median(known) if known else None


def _differences(ours: Path, theirs: Path) -> dict[str, float]:
    """Largest difference over the root mean square, of whole numbers the share that differ; inf of other shapes."""
    found = {}
    mine, others = load_file(ours), load_file(theirs)
    for name in mine:
        a, b = mine[name], others[name]
        if a.shape != b.shape:
            found[name] = float("inf")
        elif a.is_floating_point():
            a, b = a.double(), b.double()
            scale = b.square().mean().sqrt()
            found[name] = float((a - b).abs().max() / torch.where(scale > 0, scale, torch.ones_like(scale)))
        else:
            found[name] = float((a != b).double().mean())
    return found

"""Means over seeds and paired differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

__all__ = ["Difference", "Verdict", "mean_and_spread", "paired_difference", "verdict"]


class Verdict(Enum):
    """What the seeds say about an expected ordering."""

    MET = "met"
    NOT_MET = "not met"
    NOT_RESOLVED = "not resolved"


@dataclass(frozen=True)
class Difference:
    """Of two variants with the same seeds.

    Attributes:
        mean: over the seeds.
        spread: standard deviation over the seeds; None for one seed.
        low, high: the 95 % interval of the mean, by Student's t; None for one seed.
        seeds: how many.
    """

    mean: float
    spread: float | None
    low: float | None
    high: float | None
    seeds: int


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation (of a sample); None for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def paired_difference(better: Sequence[float], worse: Sequence[float]) -> Difference:
    """The mean of ``better`` - ``worse``, seed by seed, and where it lies with 95 % confidence.

    Raises:
        ValueError: no seeds, or other numbers of them.
    """
    if len(better) != len(worse) or not better:
        raise ValueError("paired differences need the same seeds, one at least")
    mean, spread = mean_and_spread([a - b for a, b in zip(better, worse, strict=True)])
    if spread is None:
        return Difference(mean, None, None, None, 1)
    from scipy.stats import t

    half = float(t.ppf(0.975, len(better) - 1)) * spread / math.sqrt(len(better))
    return Difference(mean, spread, mean - half, mean + half, len(better))


def verdict(difference: Difference, at_least: float = 0.0) -> Verdict:
    """Met or not met where the whole interval is on one side of ``at_least``, and not resolved otherwise."""
    if difference.low is None or difference.high is None:
        return Verdict.NOT_RESOLVED
    if difference.low > at_least:
        return Verdict.MET
    return Verdict.NOT_MET if difference.high < at_least else Verdict.NOT_RESOLVED

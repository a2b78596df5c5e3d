"""How the server of a benchmark makes one figure of many: what absent classes count, and which belong together.

The paper counts a class without a point as 0 everywhere (see :attr:`ditr.evaluation.metrics.ConfusionMatrix.miou`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["Absent", "Counting"]


class Absent(Enum):
    """What a class counts in the mean that no point has and none was given; the value is a sentence's end."""

    ZERO = "counts as 0"
    LEFT_OUT = "is left out"


@dataclass(frozen=True)
class Counting:
    """How a benchmark counts.

    Attributes:
        absent: see :class:`Absent`.
        groups: classes (indices) that it has a mean of too, by name of the group.
        unseen: classes (indices) that the validation split has no point of.
    """

    absent: Absent
    groups: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unseen: tuple[int, ...] = ()

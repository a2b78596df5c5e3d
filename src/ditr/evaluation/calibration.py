"""Confidence that means something: how far it is from the share of right labels, and the temperature that corrects it.

Guo et al., "On Calibration of Modern Neural Networks", 2017.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.scene import UNLABELLED

__all__ = ["Calibration", "TemperatureSearch", "some_labelled"]

BINS = 15


class Calibration:
    """How often labels of a confidence are right, over all labelled points so far.

    Attributes:
        points: (15,) int64 in each of equally wide bins of confidence.
        right: (15,) int64 of them labelled as they should be.
        confidence: (15,) float64 sum of their confidences.
    """

    def __init__(self) -> None:
        self.points = np.zeros(BINS, np.int64)
        self.right = np.zeros(BINS, np.int64)
        self.confidence = np.zeros(BINS)

    def update(
        self, confidence: NDArray[np.floating], prediction: NDArray[np.integer], label: NDArray[np.integer]
    ) -> None:
        """Add the points of a scene, all (N,); those with label -1 are not counted."""
        known = np.asarray(label) != UNLABELLED
        values = np.asarray(confidence, dtype=np.float64)[known]
        right = np.asarray(prediction)[known] == np.asarray(label)[known]
        # The bin (a, b] has the confidences above a.
        row = np.clip(np.ceil(values * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self.points += np.bincount(row, minlength=BINS)
        self.right += np.bincount(row[right], minlength=BINS)
        self.confidence += np.bincount(row, weights=values, minlength=BINS)

    @property
    def error(self) -> float:
        """The expected calibration error, 0 to 1: |confidence - share of right labels|, mean over points by bins; 0
        where there are none."""
        return float(np.abs(self.confidence - self.right).sum() / max(1, self.points.sum()))


class TemperatureSearch:
    """The temperature by which logits have to be divided for the smallest negative log likelihood of the labels.

    Scenes are added one at a time and not kept: the likelihood is summed for each of a series of temperatures, and the
    best of them is refined by a parabola through its neighbours.
    """

    def __init__(self) -> None:
        self.temperatures = np.geomspace(1 / 8, 8, 49)
        self.loss = np.zeros(len(self.temperatures))

    def add(self, logits: Tensor, label: Tensor, weight: float = 1.0) -> None:
        """Add points: logits (M, classes), label (M,) int64 without -1; each counts ``weight`` times."""
        logits = logits.float()
        for row, temperature in enumerate(self.temperatures):
            loss = torch.nn.functional.cross_entropy(logits / temperature, label, reduction="sum")
            self.loss[row] += weight * float(loss)

    @property
    def best(self) -> float | None:
        """The temperature; None without points, or where their logits are not finite."""
        if not np.isfinite(self.loss).all() or not self.loss.any():
            return None
        row = int(self.loss.argmin())
        if row in (0, len(self.loss) - 1):
            return float(self.temperatures[row])
        low, middle, high = self.loss[row - 1 : row + 2]
        bend = low - 2 * middle + high
        shift = 0.5 * (low - high) / bend if bend > 0 else 0.0
        step = math.log(self.temperatures[1] / self.temperatures[0])
        return float(self.temperatures[row] * math.exp(shift * step))


def some_labelled(label: NDArray[np.integer], most: int = 10_000) -> tuple[NDArray[np.int64], float]:
    """At most so many of the labelled points of a scene, at equal steps, and how many points each stands for."""
    rows = np.flatnonzero(np.asarray(label) != UNLABELLED)
    if not len(rows):
        return rows, 0.0
    chosen = rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).astype(np.int64)]
    return chosen, len(rows) / len(chosen)

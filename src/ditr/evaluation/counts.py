"""Counts of the points of a split, and apart of those that views show or do not, and by distance from the sensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.counting import Absent, Counting
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.scene import Scene

__all__ = ["DISTANCES", "Counts"]

DISTANCES = (0.0, 20.0, 40.0, np.inf)
"""Metres from the sensor; each bin begins with the first of two neighbours and ends before the second."""


@dataclass(frozen=True)
class Counts:
    """Confusion over all points so far, and apart.

    Attributes:
        all_points: of all points.
        visible: of those that some view of their scene shows, whatever the model makes of views; None where it was not
            asked.
        by_distance: of those in each bin of :data:`DISTANCES`; empty where the sensor's place is not known.
    """

    all_points: ConfusionMatrix
    visible: ConfusionMatrix | None = None
    by_distance: tuple[ConfusionMatrix, ...] = ()

    @classmethod
    def empty(cls, classes: int, *, visible: bool = False, distance: bool = False) -> Counts:
        """Of no points.

        Args:
            classes: how many there are.
            visible: count visible points apart.
            distance: count by distance from the origin of the scenes' coordinates, where the sensor is.
        """
        bins = tuple(ConfusionMatrix(classes) for _ in range((len(DISTANCES) - 1) * distance))
        return cls(ConfusionMatrix(classes), ConfusionMatrix(classes) if visible else None, bins)

    @property
    def invisible(self) -> ConfusionMatrix | None:
        """Of the points that no view shows."""
        return None if self.visible is None else self.all_points.without(self.visible)

    def like(self) -> Counts:
        """Empty counts that count the same."""
        distance = bool(self.by_distance)
        return Counts.empty(self.all_points.classes, visible=self.visible is not None, distance=distance)

    def update(
        self,
        scene: Scene,
        prediction: NDArray[np.int32],
        visible: NDArray[np.bool_] | None = None,
        *,
        outside: bool = False,
    ) -> None:
        """Add a scene with labels.

        Args:
            scene: with its labels.
            prediction: (N,) classes.
            visible: (N,) bool, where visible points are counted apart.
            outside: take predictions of -1, which are wrong.
        """
        assert scene.label is not None
        self.all_points.update(prediction, scene.label, outside=outside)
        if self.visible is not None:
            assert visible is not None
            self.visible.update(prediction, scene.label, visible, outside=outside)
        if self.by_distance:
            bins = np.digitize(np.linalg.norm(scene.coord, axis=1), DISTANCES) - 1
            for number, matrix in enumerate(self.by_distance):
                matrix.update(prediction, scene.label, bins == number, outside=outside)

    def add(self, other: Counts) -> None:
        """Add what counts the same of other points."""
        for mine, others in zip(self._matrices, other._matrices, strict=True):
            mine.add(others)

    @property
    def _matrices(self) -> list[ConfusionMatrix]:
        return [self.all_points, *([] if self.visible is None else [self.visible]), *self.by_distance]

    # ---- files ------------------------------------------------------------------------------------------------------

    def cells(self) -> list[list[list[int]]]:
        """Of each matrix the cells that are not 0, (true, predicted, points): of 40,000 a scene fills a few hundred."""
        return [_cells(matrix) for matrix in self._matrices]

    def read(self, cells: Any) -> None:
        """Add what :meth:`cells` gave.

        Raises:
            ValueError: something else.
        """
        for matrix, listed in zip(self._matrices, cells, strict=True):
            rows = np.array(listed, dtype=np.int64).reshape(-1, 3)
            if rows.size and (rows.min() < 0 or rows[:, :2].max() >= matrix.classes):
                raise ValueError("outside")
            np.add.at(matrix.counts, (rows[:, 0], rows[:, 1]), rows[:, 2])

    # ---- figures ----------------------------------------------------------------------------------------------------

    def figures(self, class_names: Sequence[str], counting: Counting | None = None) -> dict[str, Any]:
        """Percentages. ``miou`` and ``macc`` are means over all classes, those absent from the truth counted as 0 (as
        published), ``miou_present`` and ``macc_present`` over those that are there; ``accuracy`` is that of all points.

        Args:
            class_names: in the order of the classes.
            counting: how the benchmark takes the mean, where there is one.
        """
        found = _figures(self.all_points, class_names)
        if self.visible is not None and (invisible := self.invisible) is not None:
            found["visible"], found["invisible"] = (_figures(m, class_names) for m in (self.visible, invisible))
        if self.by_distance:
            found["by_distance"] = {
                _bin(*ends): _figures(matrix, class_names)
                for ends, matrix in zip(pairwise(DISTANCES), self.by_distance, strict=True)
            }
        if counting is not None:
            found["benchmark"] = _as_counted(self.all_points, class_names, counting)
        return found


def _cells(matrix: ConfusionMatrix) -> list[list[int]]:
    true, predicted = np.nonzero(matrix.counts)
    cells: list[list[int]] = np.stack([true, predicted, matrix.counts[true, predicted]], axis=1).tolist()
    return cells


def _bin(begin: float, end: float) -> str:
    return f"{begin:.0f} to {end:.0f} m" if np.isfinite(end) else f"{begin:.0f} m and more"


def _figures(matrix: ConfusionMatrix, class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "miou": _percent(matrix.miou),
        "miou_present": _percent(matrix.miou_present),
        "macc": _percent(matrix.macc),
        "macc_present": _percent(matrix.macc_present),
        "accuracy": _percent(matrix.accuracy),
        "points": matrix.points,
        "iou": {name: _percent(iou) for name, iou in zip(class_names, matrix.iou, strict=True)},
        "class_points": dict(zip(class_names, matrix.class_points.tolist(), strict=True)),
        "class_accuracy": {name: _percent(one) for name, one in zip(class_names, matrix.class_accuracy, strict=True)},
    }


def _as_counted(matrix: ConfusionMatrix, class_names: Sequence[str], counting: Counting) -> dict[str, Any]:
    absent = counting.absent is Absent.ZERO
    groups: Mapping[str, float] = {
        name: _percent(matrix.miou_of(classes, absent=absent)) for name, classes in counting.groups.items()
    }
    return {
        "miou": _percent(matrix.miou_of(absent=absent)),
        "absent_class": counting.absent.value,
        "groups": groups,
        "without_validation_points": [class_names[index] for index in counting.unseen],
    }


def _percent(fraction: float) -> float:
    return round(100 * float(fraction), 3)

"""Intersection over union and accuracy of labels, from counts that add up over scenes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.scene import UNLABELLED

__all__ = ["ConfusionMatrix"]

# The published code divides by union + 1e-10, which makes an absent class 0 rather than 0/0.
_EPSILON = 1e-10


class ConfusionMatrix:
    """How often points of each true class got each predicted class, over all scenes so far.

    Every figure is a fraction, 0..1. Unlabelled points (-1) are never counted. Counts of several scenes are added
    before any quotient is taken, as in the published evaluation, so large scenes weigh more than small ones.

    Attributes:
        counts: (C, C) int64, row = true class, column = predicted class.
        outside: (C,) int64, points of each true class that were given none of the classes.

    Raises:
        InputError: fewer than one class.
    """

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise InputError("confusion matrix", f"{classes} classes", "Give at least one class")
        self.counts: NDArray[np.int64] = np.zeros((classes, classes), np.int64)
        self.outside: NDArray[np.int64] = np.zeros(classes, np.int64)

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return len(self.counts)

    def update(
        self,
        prediction: NDArray[np.integer],
        label: NDArray[np.integer],
        mask: NDArray[np.bool_] | None = None,
        *,
        outside: bool = False,
    ) -> None:
        """Add the points of a scene; nothing is added when an error is raised.

        Args:
            prediction: (N,) 0..C-1; values at unlabelled points do not matter.
            label: (N,) 0..C-1, or -1 for unlabelled.
            mask: (N,) bool, the points to count (the visible ones, say); None for all.
            outside: take a prediction of -1, none of the classes, which is wrong whatever the truth is.

        Raises:
            InputError: lengths that differ, a label outside -1..C-1, a prediction outside 0..C-1 at a counted point.
        """
        prediction, label = np.asarray(prediction), np.asarray(label)
        shapes = {prediction.shape, label.shape} | (set() if mask is None else {np.shape(mask)})
        if len(shapes) != 1 or label.ndim != 1:
            raise InputError("confusion matrix", f"arrays of shapes {sorted(shapes)}", "Give one value per point, (N,)")
        for what, values in (("prediction", prediction), ("label", label)):
            if not np.issubdtype(values.dtype, np.integer):
                raise InputError("confusion matrix", f"{what} of type {values.dtype}", "Give integers")
        if mask is not None:
            prediction, label = prediction[mask], label[mask]
        _check_range("label", label, UNLABELLED, self.classes)
        labelled = label != UNLABELLED
        prediction, label = prediction[labelled].astype(np.int64), label[labelled].astype(np.int64)
        _check_range("prediction", prediction, UNLABELLED if outside else 0, self.classes)
        none = prediction == UNLABELLED
        self.outside += np.bincount(label[none], minlength=self.classes)
        prediction, label = prediction[~none], label[~none]
        flat = np.bincount(label * self.classes + prediction, minlength=self.classes**2)
        self.counts += flat.reshape(self.counts.shape)

    def add(self, other: ConfusionMatrix) -> None:
        """Add the counts of other points."""
        self.counts += other.counts
        self.outside += other.outside

    def without(self, part: ConfusionMatrix) -> ConfusionMatrix:
        """The counts of the points that are not among those of ``part``, which are among these."""
        rest = ConfusionMatrix(self.classes)
        rest.counts, rest.outside = self.counts - part.counts, self.outside - part.outside
        return rest

    @property
    def points(self) -> int:
        """How many points were counted."""
        return int(self.class_points.sum())

    @property
    def class_points(self) -> NDArray[np.int64]:
        """(C,) points of each true class."""
        return np.asarray(self.counts.sum(axis=1) + self.outside)

    @property
    def _union(self) -> NDArray[np.int64]:
        """(C,) points that truly are or were given a class."""
        return np.asarray(self.counts.sum(axis=0) + self.class_points - self.counts.diagonal())

    @property
    def present(self) -> NDArray[np.bool_]:
        """(C,) bool: which classes some counted point truly has."""
        return np.asarray(self.class_points > 0)

    @property
    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union; 0 for a class that is neither there nor predicted."""
        return np.asarray(self.counts.diagonal() / (self._union + _EPSILON))

    @property
    def class_accuracy(self) -> NDArray[np.float64]:
        """(C,) the share of the points of each class that got it (recall); 0 for a class that is not there."""
        return np.asarray(self.counts.diagonal() / (self.class_points + _EPSILON))

    @property
    def miou(self) -> float:
        """Mean IoU over ALL classes; one without a point counts as 0, as in the published figures.

        ScanNet200's validation split lacks 11 of its classes, so no method can pass 94.5 % there.
        """
        return float(self.iou.mean())

    @property
    def miou_present(self) -> float:
        """Mean IoU over the classes that some counted point truly has; 0 when there is none. Not a published figure."""
        return float(self.iou[self.present].mean()) if self.present.any() else 0.0

    def miou_of(self, classes: Sequence[int] | None = None, *, absent: bool = True) -> float:
        """Mean IoU over some classes.

        Args:
            classes: None for all.
            absent: whether a class that no counted point has or was given counts, as 0; otherwise it is left out.

        Returns:
            NaN where no class is left.
        """
        chosen = np.arange(self.classes) if classes is None else np.asarray(classes, np.int64)
        iou = self.iou[chosen] if absent else self.iou[chosen][self._union[chosen] > 0]
        return float(iou.mean()) if len(iou) else math.nan

    @property
    def macc(self) -> float:
        """Mean accuracy over all classes; one without a point counts as 0, as in the published figures."""
        return float(self.class_accuracy.mean())

    @property
    def macc_present(self) -> float:
        """Mean accuracy over the classes that some counted point truly has; 0 when there is none."""
        return float(self.class_accuracy[self.present].mean()) if self.present.any() else 0.0

    @property
    def accuracy(self) -> float:
        """The share of all counted points that got their class; 0 when there is none."""
        return float(self.counts.trace() / (self.points + _EPSILON))


def _check_range(what: str, values: NDArray[np.integer], low: int, high: int) -> None:
    bad = np.flatnonzero((values < low) | (values >= high))
    if len(bad):
        raise InputError(
            "confusion matrix",
            f"{len(bad)} values of {what} lie outside {low}..{high - 1}, the first is {values[bad[0]]}",
            "Give indices of the class list",
        )

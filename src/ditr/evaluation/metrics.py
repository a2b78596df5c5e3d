"""Intersection over union and accuracy of labels, from counts that add up over scenes."""

from __future__ import annotations

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

    Raises:
        InputError: fewer than one class.
    """

    def __init__(self, classes: int) -> None:
        if classes < 1:
            raise InputError("confusion matrix", f"{classes} classes", "Give at least one class")
        self.counts: NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    @property
    def classes(self) -> int:
        """The number of classes, C."""
        return len(self.counts)

    def update(
        self, prediction: NDArray[np.integer], label: NDArray[np.integer], mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Add the points of a scene; nothing is added when an error is raised.

        Args:
            prediction: (N,) 0..C-1; values at unlabelled points do not matter.
            label: (N,) 0..C-1, or -1 for unlabelled.
            mask: (N,) bool, the points to count (the visible ones, say); None for all.

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
        _check_range("prediction", prediction, 0, self.classes)
        flat = np.bincount(label * self.classes + prediction, minlength=self.classes**2)
        self.counts += flat.reshape(self.counts.shape)

    @property
    def points(self) -> int:
        """How many points were counted."""
        return int(self.counts.sum())

    @property
    def present(self) -> NDArray[np.bool_]:
        """(C,) bool: which classes some counted point truly has."""
        present: NDArray[np.bool_] = self.counts.sum(axis=1) > 0
        return present

    @property
    def iou(self) -> NDArray[np.float64]:
        """(C,) intersection over union; 0 for a class that is neither there nor predicted."""
        hit = self.counts.diagonal().astype(np.float64)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - hit
        return np.asarray(hit / (union + _EPSILON))

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

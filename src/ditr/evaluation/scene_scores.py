"""What is kept of each scene of an evaluation for its report: a row of figures, and of the worst ones the points."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ditr.evaluation.metrics import ConfusionMatrix
from ditr.inference.prediction import Prediction
from ditr.inference.scene_report import scene_view
from ditr.pictures.points_view import MOST_POINTS, PointsView

__all__ = ["SceneScore", "SceneScores"]

_SHOWN = 3


@dataclass(frozen=True)
class SceneScore:
    """Figures of one scene, fractions 0..1.

    Attributes:
        name: of the scene.
        points: with a true label.
        miou: over the classes that occur in it.
        accuracy: of its points.
        confidence: mean over all its points.
        worst: the class of its points that has the most wrong ones, and how many; None where all are right.
    """

    name: str
    points: int
    miou: float
    accuracy: float
    confidence: float
    worst: tuple[str, int] | None = None


@dataclass
class SceneScores:
    """Scores of all scenes so far, with views of the worst three, each packed when it becomes one of them."""

    scores: list[SceneScore] = field(default_factory=list)
    _views: list[tuple[float, PointsView]] = field(default_factory=list)

    def add(self, prediction: Prediction) -> None:
        """Score a scene with labels, whose classes are those of the prediction."""
        scene, names = prediction.scene, prediction.class_names
        assert scene.label is not None
        matrix = ConfusionMatrix(len(names))
        matrix.update(prediction.label, scene.label, outside=True)
        wrong = matrix.class_points - matrix.counts.diagonal()
        row = int(wrong.argmax())
        score = SceneScore(
            scene.name,
            matrix.points,
            matrix.miou_present,
            matrix.accuracy,
            float(prediction.confidence.mean()),
            (names[row], int(wrong[row])) if wrong[row] else None,
        )
        self.scores.append(score)
        if matrix.points and (len(self._views) < _SHOWN or score.miou < self._views[-1][0]):
            title = f"{scene.name}: mIoU {100 * score.miou:.1f} over its classes"
            view = scene_view(prediction, title, most=MOST_POINTS // _SHOWN)
            self._views = sorted([*self._views, (score.miou, view)], key=lambda pair: pair[0])[:_SHOWN]

    @property
    def views(self) -> list[PointsView]:
        """Of the worst scenes, the worst first."""
        return [view for _, view in self._views]

    @property
    def worst_first(self) -> list[SceneScore]:
        """All scores in order; scenes without a labelled point last."""
        return sorted(self.scores, key=lambda one: (one.points == 0, np.nan_to_num(one.miou)))

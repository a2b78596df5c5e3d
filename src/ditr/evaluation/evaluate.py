"""How well a model labels scenes whose labels are known: over all points, and over those that views show or do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.capture import read_capture
from ditr.captures.classes import with_classes
from ditr.data.preparation import Origin, profile_rule
from ditr.data.scene_views import scene_views
from ditr.errors import InputError
from ditr.evaluation.calibration import Calibration
from ditr.evaluation.counts import Counts
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.geometry.projection import VisibilityRule
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter, Voter
from ditr.runtime import release_memory
from ditr.scene import ReadOptions, Scene

__all__ = ["Evaluation", "evaluate", "visible_points"]


@dataclass(frozen=True)
class Evaluation:
    """Counts over all points of all scenes, and apart over visible and invisible points and by distance.

    A point is visible if at least one view of its scene shows it, whatever the model makes of views; so the split is
    the same for all models. The calibration is that of the confidence over all labelled points.
    """

    class_names: tuple[str, ...]
    counts: Counts
    scenes: int
    calibration: Calibration = field(default_factory=Calibration)

    @property
    def all_points(self) -> ConfusionMatrix:
        """Of all points."""
        return self.counts.all_points

    @property
    def visible(self) -> ConfusionMatrix:
        """Of those that some view shows."""
        assert self.counts.visible is not None
        return self.counts.visible

    @property
    def invisible(self) -> ConfusionMatrix:
        """Of those that no view shows."""
        return self.all_points.without(self.visible)

    def to_json(self) -> dict[str, Any]:
        """Percentages. mIoU is the mean over all classes, those absent from the truth counted as 0 (as published)."""
        return {
            **self.counts.figures(self.class_names),
            "scenes": self.scenes,
            "calibration_error": round(100 * self.calibration.error, 3),
        }


def visible_points(
    scene: Scene, segmenter: Segmenter, rule: VisibilityRule | None = None
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """(N,) whether any view of the scene shows a point, by the model's rule if no other is given."""
    sizes = [(view.camera.height, view.camera.width) for view in scene.views]
    seen = scene_views(scene, scene.views, sizes, 1, rule or segmenter.config.preparation.of(scene).rule)
    return seen.seen_by(len(scene)) > 0


def evaluate(
    segmenter: Segmenter,
    captures: Sequence[Path],
    *,
    seed: int = 0,
    swap_images: bool = False,
    reading: ReadOptions | None = None,
    choose: Callable[[int, Scene], Scene] | None = None,
    votes: Voter | None = None,
    keep: Callable[[int, Prediction], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Label captures and compare with their labels, on every original point.

    Args:
        segmenter: the model.
        captures: folders with labels.
        seed: of the choice among views.
        swap_images: give each scene the photographs of the next one: a control.
        reading: how captures are read, before what their own files say; its profile's rule takes the model's place.
        choose: gives the scene with the views that count, of itself or of the next one, for the number of a capture.
        votes: how points vote, as for the segmenter; by default one point stands for its voxel.
        keep: called with the number of a capture and its prediction.
        progress: called with the number of captures done and their total.

    Raises:
        InputError: a capture without labels or with a class that the model lacks; images to swap with a single capture.
    """
    if swap_images and len(captures) < 2:
        raise InputError(
            captures[0], "there is no other capture to swap photographs with", "Name a folder with several captures"
        )
    classes = segmenter.config.class_names
    choose = choose or (lambda _, scene: scene)
    from_sensor = segmenter.config.preparation.origin is Origin.SENSOR
    counts = Counts.empty(len(classes), visible=True, distance=from_sensor)
    calibration = Calibration()
    for index, folder in enumerate(captures):
        scene = choose(index, read_capture(folder, reading))
        scene = with_classes(scene, classes, str(folder))
        assert scene.label is not None
        rule = None if reading is None or reading.profile is None else profile_rule(scene)[1]
        other = choose(index, read_capture(captures[(index + 1) % len(captures)], reading)) if swap_images else None
        prediction = segmenter(scene, seed=seed, rule=rule, images_of=other, votes=votes)
        counts.update(scene, prediction.label, visible_points(scene, segmenter, rule))
        calibration.update(prediction.confidence, prediction.label, scene.label)
        release_memory()
        if keep is not None:
            keep(index, prediction)
        if progress is not None:
            progress(index + 1, len(captures))
    return Evaluation(classes, counts, len(captures), calibration)

"""Validation during training: on voxels, which is what the loss sees, and on the original points, which is what counts.

Every scene is labelled once, as at inference: no augmentation, the first point of a voxel stands for it, and all points
take their voxel's label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from lightning_fabric import Fabric

from ditr.data.batch import Batch, join_samples
from ditr.data.dataset import TrainingSet
from ditr.data.sample import Sample, prepare
from ditr.data.scene_views import inference_rows, view_features
from ditr.errors import InputError
from ditr.evaluation.calibration import TemperatureSearch, some_labelled
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.geometry.orientation import find_up, rotation_upright
from ditr.models.distillation import Distillation
from ditr.runtime import release_memory
from ditr.scene import Scene
from ditr.stopping import StopSignals
from ditr.training.losses import cosine_loss
from ditr.training.step import targets_of
from ditr.weights.saved_model import Model

__all__ = ["Figures", "Left", "score", "validate"]

Figures = dict[str, dict[str, Any]]
"""What was found, by what was counted: "voxels" and, of segmentation, "points"."""


class Left(Exception):
    """A validation was left since a signal asked to stop; nothing of it is kept."""


@torch.no_grad()
def validate(fabric: Fabric, model: Model, data: TrainingSet, stop: StopSignals | None = None) -> Figures:
    """Figures over all scenes, fractions 0..1; the model is in training mode again afterwards.

    Args:
        fabric: for device and precision.
        model: not the one that fabric wraps: only one process validates.
        data: the scenes, with the preparation of the model. mIoU is over all classes, those without a point count as 0;
            the temperature is that which fits the confidence of points.
        stop: looked at before every scene.

    Raises:
        Left: a signal asked to stop.
        InputError: a damaged scene, or for a student scenes of which no view sees anything.
    """
    model.eval()
    try:
        with fabric.autocast():
            if isinstance(model, Distillation):
                return _distillation(model, _batches(fabric, data, stop), data.source.name)
            return _segmentation(model, _batches(fabric, data, stop), len(data.class_names))
    finally:
        model.train()
        release_memory()


def score(figures: Figures) -> float:
    """The larger the better: mIoU of the points, or minus the loss of a student."""
    if "points" in figures:
        return float(figures["points"]["miou"])
    return -float(figures["voxels"]["cosine_loss"])


_Batches = Iterator[tuple[Scene, Sample, Batch]]


def _segmentation(model: torch.nn.Module, batches: _Batches, classes: int) -> Figures:
    matrices = {counted: ConfusionMatrix(classes) for counted in ("voxels", "points")}
    search = TemperatureSearch()
    for scene, sample, batch in batches:
        logits = model(batch.feature, batch.pyramid, batch.image)
        label = logits.argmax(dim=1).cpu().numpy()
        assert sample.label is not None and scene.label is not None
        matrices["voxels"].update(label, sample.label.numpy())
        matrices["points"].update(label[sample.inverse.numpy()], scene.label)
        rows, weight = some_labelled(scene.label)
        if len(rows):
            search.add(logits[sample.inverse[rows]].cpu(), torch.from_numpy(scene.label[rows]).long(), weight)
    figures: Figures = {
        counted: {
            "miou": matrix.miou,
            "miou_present": matrix.miou_present,
            "accuracy": matrix.accuracy,
            "count": matrix.points,
            "iou": matrix.iou.tolist(),
        }
        for counted, matrix in matrices.items()
    }
    if search.best is not None:
        figures["points"]["temperature"] = search.best
    return figures


def _distillation(model: Distillation, batches: _Batches, name: str) -> Figures:
    total, count = 0.0, 0
    for _, _, batch in batches:
        prediction = model(batch.feature, batch.pyramid).prediction.float()
        target, visible = targets_of(batch, model)
        seen = int(visible.sum())
        total, count = total + float(cosine_loss(prediction, target, visible)) * seen, count + seen
    if not count:
        raise InputError(name, "no view sees any point of the validation scenes", "Give scenes with views")
    return {"voxels": {"cosine_loss": total / count, "count": count}}


def _batches(fabric: Fabric, data: TrainingSet, stop: StopSignals | None) -> _Batches:
    """Every scene as it is seen at inference."""
    preparation, encoding = data.preparation, data.encoding
    for index in range(len(data)):
        if stop is not None and stop.asked is not None:
            raise Left
        scene = data.scene(index)
        views = None
        if encoding is not None:
            views = view_features(scene, inference_rows(scene, preparation, seed=0), preparation, encoding)
        rotation = rotation_upright(find_up(scene))
        sample = prepare(scene, preparation, data.pyramid, views=views, seed=0, rotation=rotation)
        yield scene, sample, join_samples([sample]).to(fabric.device)

"""One optimizer step: batches, their loss, its gradient, and what happens when these are not finite.

With several processes every quotient over points (cross-entropy, cosine) has the points of all of them below the line,
so that it does not matter how a batch is split. What differs by definition between processes and one that has the whole
batch: Lovász-softmax, whose classes and order are those of the process's own points; which scenes are mixed; DropPath
and the drop of image features; and, without ``sync_batch_norm``, BatchNorm's statistics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ditr.data.batch import Batch
from ditr.errors import InputError
from ditr.geometry.pyramid import Pyramid
from ditr.models.distillation import Distillation, Distilled
from ditr.models.injection import TokenTable
from ditr.models.segmentation import Segmentation
from ditr.nn.image_features import ImageFeatures
from ditr.training.losses import cosine_loss, cross_entropy, lovasz_softmax
from ditr.training.recipe import DistillTask, Method, Recipe, SegmentTask, Task
from ditr.training.schedule import OneCycle, ParameterGroup, parameter_groups
from ditr.weights.saved_model import Model

__all__ = ["StepResult", "cls_loss", "make_optimizer", "take_step", "targets_of", "to_train"]


@dataclass(frozen=True)
class StepResult:
    """What a step did.

    Attributes:
        loss: the mean of its batches, over all processes.
        gradient_norm: before it was clipped.
        names: of its samples, in this process.
        dataset: where its last batch came from.
        skipped: whether loss or gradient were not finite, so that nothing was learned.
        unsound: of a step without a finite loss, its samples in this process whose input is not finite either.
        unseen: how many of its batches in this process had no point that a view sees, and so no loss (distillation).
    """

    loss: float
    gradient_norm: float
    names: tuple[str, ...] = ()
    dataset: str | None = None
    skipped: bool = False
    unseen: int = 0
    unsound: tuple[str, ...] = ()


def make_optimizer(recipe: Recipe, model: nn.Module) -> tuple[torch.optim.Optimizer, OneCycle]:
    """AdamW or SGD over the parameters of ``model`` in the groups of the recipe, and the groups' schedule.

    Raises:
        InputError: a pattern that no parameter matches.
    """
    settings = recipe.optimizer
    groups = parameter_groups(model.named_parameters(), settings.patterns, settings.lr)
    parameters = [{"params": group.parameters, "lr": group.lr} for group in groups]
    optimizer: torch.optim.Optimizer
    if settings.method is Method.SGD:
        optimizer = torch.optim.SGD(
            parameters, momentum=settings.momentum[1], nesterov=True, weight_decay=settings.weight_decay
        )
    else:
        optimizer = torch.optim.AdamW(parameters, weight_decay=settings.weight_decay)
    return optimizer, _schedule(recipe, groups)


def _schedule(recipe: Recipe, groups: tuple[ParameterGroup, ...]) -> OneCycle:
    settings = recipe.optimizer
    return OneCycle(
        tuple(group.lr for group in groups),
        recipe.steps,
        pct_start=settings.warmup,
        div_factor=settings.div_factor,
        final_div_factor=settings.final_div_factor,
        beta1_min=settings.momentum[0],
        beta1_max=settings.momentum[1],
    )


class _TrainedStudent(nn.Module):
    """A student whose outputs are plain tensors: fabric hooks them, and cannot where they are frozen."""

    def __init__(self, student: Distillation) -> None:
        super().__init__()
        self.student = student

    def forward(self, features: Tensor, pyramid: Pyramid, dataset: str | None) -> tuple[Tensor, Tensor | None]:
        out: Distilled = self.student(features, pyramid, dataset)
        return out.prediction, out.cls


class _WithAndWithoutImages(nn.Module):
    """A segmentation network whose scenes are decoded twice: with their photographs and without."""

    def __init__(self, model: Segmentation) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, features: Tensor, pyramid: Pyramid, image: ImageFeatures, dataset: str | None
    ) -> tuple[Tensor, Tensor]:
        backbone, condition = self.model.backbone, self.model.conditions(dataset or self.model.dataset)
        hidden = image.hidden()
        skips = backbone.encode(features, pyramid, image, condition)
        seen = self.model.head(backbone.decode(skips, pyramid, image, condition))
        if backbone.encodes_images:
            skips = backbone.encode(features, pyramid, hidden, condition)
        return seen, self.model.head(backbone.decode(skips, pyramid, hidden, condition))


def to_train(model: Model, task: Task) -> nn.Module:
    """What fabric sets up to train ``model``, and :func:`take_step` takes."""
    if isinstance(model, Distillation):
        return _TrainedStudent(model)
    return _WithAndWithoutImages(model) if isinstance(task, SegmentTask) and task.without_images else model


def take_step(recipe: Recipe, fabric: Fabric, model: Any, optimizer: Any, batches: Iterator[Batch]) -> StepResult:
    """One optimizer step with the learning rates that the optimizer has.

    Where loss or gradient are not finite, weights, optimizer and BatchNorm's averages stay as they were; a gradient
    scaler (fp16) learns of it and lowers its scale.

    Args:
        recipe: how many batches it takes, the losses and their weights, and whether gradients are clipped.
        fabric: which has set up ``model`` (as :func:`to_train` gives it) and ``optimizer``.
        model: in training mode.
        optimizer: of its parameters.
        batches: as many as the recipe wants are taken.

    Raises:
        InputError: scenes too small to train on.
    """
    before = [(buffer, buffer.clone()) for buffer in model.buffers()]
    done = _accumulate(recipe, fabric, model, batches)
    norm = _clip(recipe, fabric, model, optimizer)
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    finite = math.isfinite(done.loss) and math.isfinite(norm)
    if finite or (scaler is not None and not math.isfinite(norm)):
        optimizer.step()  # which a scaler leaves out when the gradient is not finite
    elif scaler is not None:
        scaler.update()
    if not finite:
        for buffer, value in before:
            buffer.copy_(value)
    optimizer.zero_grad()
    return StepResult(done.loss, norm, done.names, done.dataset, not finite, done.unseen, done.unsound)


def _accumulate(recipe: Recipe, fabric: Fabric, model: Any, batches: Iterator[Batch]) -> StepResult:
    """Gradients of ``recipe.accumulate`` batches; their mean loss."""
    names: list[str] = []
    unsound: list[str] = []
    total, unseen, batch = 0.0, 0, None
    for part in range(recipe.accumulate):
        batch = next(batches)
        names += batch.names
        with fabric.no_backward_sync(model, enabled=part + 1 < recipe.accumulate):
            loss, seen = _loss(recipe, fabric, model, batch)
            loss = loss / recipe.accumulate
            fabric.backward(loss)
        if not math.isfinite(float(loss.detach())):
            unsound += _unsound(batch)
        unseen += not seen
        total += float(_mean_over_processes(fabric, loss.detach()))
    return StepResult(
        total, 0.0, tuple(names), None if batch is None else batch.dataset, unseen=unseen, unsound=tuple(unsound)
    )


def _unsound(batch: Batch) -> list[str]:
    """The samples of which a point's input is not finite; all of them where an image feature is not."""
    if batch.tokens is not None and not bool(torch.isfinite(batch.tokens).all()):
        return list(batch.names)
    parts = torch.split(batch.feature, np.diff(batch.pyramid.levels[0].offsets).tolist())
    return [name for name, part in zip(batch.names, parts, strict=True) if not bool(torch.isfinite(part).all())]


def _loss(recipe: Recipe, fabric: Fabric, model: Any, batch: Batch) -> tuple[Tensor, bool]:
    """Of a batch, and whether it has anything to learn from (only distillation asks)."""
    if len(batch.pyramid.levels[-1]) < 2:
        raise InputError(
            f"scenes {', '.join(batch.names)}",
            "they fill a single cell of the coarsest level, which is too little for batch statistics",
            "Use smaller voxels, a larger batch, or leave these scenes out",
        )
    if isinstance(recipe.task, DistillTask):
        return _distillation_loss(recipe.task, fabric, model, batch)
    return _segmentation_loss(recipe.task, fabric, model, batch), True


def _segmentation_loss(task: SegmentTask, fabric: Fabric, model: Any, batch: Batch) -> Tensor:
    out = model(batch.feature, batch.pyramid, batch.image, batch.dataset)
    if not task.without_images:
        return _loss_of_logits(task, fabric, out, batch)
    seen, unseen = (_loss_of_logits(task, fabric, logits, batch) for logits in out)
    return (1 - task.without_images) * seen + task.without_images * unseen


def _loss_of_logits(task: SegmentTask, fabric: Fabric, logits: Tensor, batch: Batch) -> Tensor:
    logits = logits.float()
    assert batch.label is not None
    weights = torch.tensor(task.class_weights, device=logits.device) if task.class_weights else None
    denominator = None if fabric.world_size == 1 else _Denominator(fabric)
    loss = task.cross_entropy * cross_entropy(logits, batch.label, weights, denominator)
    return loss + task.lovasz * lovasz_softmax(logits, batch.label) if task.lovasz else loss


def _distillation_loss(task: DistillTask, fabric: Fabric, model: Any, batch: Batch) -> tuple[Tensor, bool]:
    prediction, cls = model(batch.feature, batch.pyramid, batch.dataset)
    target, visible = targets_of(batch, model.student)
    denominator = None if fabric.world_size == 1 else _Denominator(fabric)
    loss = task.cosine * cosine_loss(prediction, target, visible, denominator=denominator)
    if cls is not None:
        loss = loss + task.cls * cls_loss(cls, batch)
    return loss, bool(visible.any())


def targets_of(batch: Batch, student: Distillation | None = None) -> tuple[Tensor, Tensor]:
    """The teacher's feature of each voxel (M, D), and whether a view sees it (M,) bool.

    With a ``student`` the features are as it learns them.
    """
    assert batch.lift is not None and batch.tokens is not None
    token = batch.lift.levels[0].token
    rows = TokenTable.of(batch.tokens, batch.lift, None).rows
    if student is not None:
        rows = student.target(rows)  # of the tokens, which are fewer than the voxels
    return rows.index_select(0, torch.where(token < 0, len(rows) - 1, token)), token >= 0


def cls_loss(prediction: Tensor, batch: Batch) -> Tensor:
    """Mean of 1 - cosine between predicted and the teacher's [cls] tokens, views in their order.

    A sample of fewer views than the head predicts counts with these; of more, with the first ones.

    Args:
        prediction: (B, T, D).
        batch: with its ``cls`` tokens.
    """
    assert batch.cls is not None
    wanted = torch.split(batch.cls, list(batch.views))
    count = [min(len(tokens), prediction.shape[1]) for tokens in wanted]
    ours = torch.cat([prediction[sample, :n] for sample, n in enumerate(count)])
    return cosine_loss(ours, torch.cat([tokens[:n] for tokens, n in zip(wanted, count, strict=True)]))


@dataclass(frozen=True)
class _Denominator:
    """See :data:`ditr.training.losses.Denominator`."""

    fabric: Fabric

    def __call__(self, weight: Tensor) -> Tensor:
        return _mean_over_processes(self.fabric, weight.detach())


def _mean_over_processes(fabric: Fabric, value: Tensor) -> Tensor:
    if fabric.world_size == 1:
        return value
    reduced: Tensor = fabric.all_reduce(value.clone(), reduce_op="mean")
    return reduced


def _clip(recipe: Recipe, fabric: Fabric, model: Any, optimizer: Any) -> float:
    """The gradient's norm, to which nothing is done where the recipe does not clip: the factor is then exactly 1."""
    limit = math.inf if recipe.optimizer.clip is None else recipe.optimizer.clip
    norm = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
    assert norm is not None
    return float(norm)

"""The losses of segmentation and distillation: cross-entropy, Lovász-softmax and cosine.

All of them leave unlabelled or unseen points out of the mean. Where nothing is left they are 0 and still part of the
graph (every gradient is 0), so that a step on such a batch changes nothing; the published code gives NaN there.
Half-precision input is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from ditr.errors import InputError
from ditr.scene import UNLABELLED

__all__ = ["Denominator", "cosine_loss", "cross_entropy", "lovasz_softmax"]


Denominator = Callable[[Tensor], Tensor]
"""From the number of points in one process to what their sum is divided by: the mean number of all processes."""


def cross_entropy(
    logits: Tensor, target: Tensor, class_weights: Tensor | None = None, denominator: Denominator | None = None
) -> Tensor:
    """Mean cross-entropy over the labelled points; with ``class_weights`` the mean weighted by each point's class.

    Args:
        logits: (N, C).
        target: (N,) int64, 0..C-1 or -1 for unlabelled.
        class_weights: (C,) weights of the classes, or None for equal ones.
        denominator: with it, the mean over the processes of what this gives is the mean over the points of all of them.

    Returns:
        () float.

    Raises:
        InputError: logits and target that do not fit each other.
    """
    _check_shapes(logits, target)
    logits = _at_least_float32(logits)
    if class_weights is not None:
        class_weights = class_weights.to(logits)
    total = functional.cross_entropy(logits, target, class_weights, ignore_index=UNLABELLED, reduction="sum")
    labelled = target != UNLABELLED
    if class_weights is None:
        weight = labelled.sum().to(logits.dtype)
    else:
        weight = (class_weights[target.clamp(min=0)] * labelled).sum()
    if denominator is not None:
        weight = denominator(weight)
    # Dividing here rather than by reduction="mean" keeps 0/0 away without asking the device whether it happens.
    return total / torch.where(weight > 0, weight, 1)


def lovasz_softmax(logits: Tensor, target: Tensor) -> Tensor:
    """Lovász-softmax: the convex extension of 1 - IoU, averaged over the classes present in ``target``.

    Berman, Triki, Blaschko, "The Lovász-Softmax loss", CVPR 2018, equations 8-12. A class is present when any labelled
    point of the whole batch has it. The points of every class are sorted by their error, the largest first (ties keep
    the order of the points), and each error weighs as much as the Jaccard loss grows when its point joins the
    wrong ones.

    Args:
        logits: (N, C).
        target: (N,) int64, 0..C-1 or -1 for unlabelled.

    Returns:
        () float.

    Raises:
        InputError: logits and target that do not fit each other.
    """
    _check_shapes(logits, target)
    logits = _at_least_float32(logits)
    labelled = target != UNLABELLED
    probability, target = logits[labelled].softmax(dim=1), target[labelled]
    if len(target) == 0:
        return probability.sum()
    present: Tensor = torch.unique(target)
    foreground = target == present[:, None]
    error = (foreground.to(logits.dtype) - probability.T.index_select(0, present)).abs()
    return (error * _jaccard_growth(error.detach(), foreground)).sum(dim=1).mean()


@torch.no_grad()
def _jaccard_growth(error: Tensor, foreground: Tensor) -> Tensor:
    """By how much each point raises the Jaccard loss of its class when the points turn wrong in order of their error.

    Args:
        error: (K, P), one row per class.
        foreground: (K, P) bool, at least one True in every row.

    Returns:
        (K, P); every row sums to 1.
    """
    order = error.argsort(dim=1, descending=True, stable=True)
    foreground = foreground.gather(1, order)
    missed = foreground.cumsum(dim=1, dtype=torch.int32)
    size = missed[:, -1:]
    rank = torch.arange(1, error.shape[1] + 1, dtype=torch.int32, device=error.device)
    intersection = (size - missed).to(error.dtype)
    union = (size + rank - missed).to(error.dtype)
    # The differences of 1 - I/U between neighbours in closed form: subtracting the quotients themselves would cancel
    # all digits of float32 on large batches. A missed foreground point lowers I by one, a background point raises U.
    growth = torch.where(foreground, 1 / union, intersection / (union * (union - 1)))
    return torch.empty_like(growth).scatter_(1, order, growth)


def cosine_loss(
    prediction: Tensor,
    target: Tensor,
    visible: Tensor | None = None,
    eps: float = 1e-8,
    denominator: Denominator | None = None,
) -> Tensor:
    """Mean of 1 - cosine between predicted and target features: the distillation loss (paper, section 3.2).

    Args:
        prediction: (N, D).
        target: (N, D); no gradient flows into it.
        visible: (N,) bool, the points that some view sees; None for all.
        eps: lower bound of each norm, so that a zero row costs exactly 1.
        denominator: as for :func:`cross_entropy`.

    Returns:
        () float.

    Raises:
        InputError: shapes that do not fit each other.
    """
    if prediction.ndim != 2 or prediction.shape != target.shape:
        raise InputError(
            "cosine loss",
            f"prediction {tuple(prediction.shape)} against target {tuple(target.shape)}",
            "Give both as (N, D)",
        )
    if visible is not None:
        if visible.shape != prediction.shape[:1] or visible.dtype != torch.bool:
            raise InputError(
                "cosine loss",
                f"visible is {visible.dtype} of shape {tuple(visible.shape)} for {len(prediction)} points",
                "Give one bool per point",
            )
        prediction, target = prediction[visible], target[visible]
    prediction, target = _at_least_float32(prediction), _at_least_float32(target.detach())
    if denominator is not None:
        count = denominator(prediction.new_tensor(float(len(prediction))))
        cost = 1 - functional.cosine_similarity(prediction, target, dim=1, eps=eps)
        return cost.sum() / torch.where(count > 0, count, 1)
    if len(prediction) == 0:
        return prediction.sum()
    return 1 - functional.cosine_similarity(prediction, target, dim=1, eps=eps).mean()


def _check_shapes(logits: Tensor, target: Tensor) -> None:
    if logits.ndim != 2 or target.shape != logits.shape[:1] or target.dtype != torch.int64:
        raise InputError(
            "segmentation loss",
            f"logits {tuple(logits.shape)} against {target.dtype} target {tuple(target.shape)}",
            "Give logits (N, C) and an int64 target (N,)",
        )


def _at_least_float32(value: Tensor) -> Tensor:
    return value.to(torch.promote_types(value.dtype, torch.float32))

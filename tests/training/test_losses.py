"""Losses: known values, gradients by finite differences, and batches with nothing to learn from."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from ditr.errors import InputError
from ditr.training.losses import cosine_loss, cross_entropy, lovasz_softmax


def batch(points: int, classes: int, seed: int, ignored: float = 0.2) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(points, classes, generator=generator, dtype=torch.float64) * 2
    target = torch.randint(classes, (points,), generator=generator)
    target[torch.rand(points, generator=generator) < ignored] = -1
    return logits, target


def jaccard_extension(probability: np.ndarray, target: np.ndarray) -> float:
    """The definition, set by set: every prefix of the sorted errors is a set of wrong points with a Jaccard loss."""
    losses = []
    for label in np.unique(target):
        truth = target == label
        error = np.abs(truth - probability[:, label])
        value, before, wrong = 0.0, 0.0, np.zeros(len(target), bool)
        for point in np.argsort(-error, kind="stable"):
            wrong[point] = True
            guess = truth ^ wrong
            jaccard = 1 - (truth & guess).sum() / (truth | guess).sum()
            value += error[point] * (jaccard - before)
            before = jaccard
        losses.append(value)
    return float(np.mean(losses))


@given(
    points=st.integers(1, 40), classes=st.integers(1, 6), seed=st.integers(0, 999), ignored=st.sampled_from([0, 0.5])
)
def test_lovasz_is_the_extension_of_the_jaccard_loss(points: int, classes: int, seed: int, ignored: float) -> None:
    logits, target = batch(points, classes, seed, ignored)
    keep = target >= 0
    if not keep.any():
        return
    expected = jaccard_extension(logits[keep].softmax(1).numpy(), target[keep].numpy())
    assert lovasz_softmax(logits, target).item() == pytest.approx(expected, abs=1e-12)


def test_lovasz_of_certain_predictions_is_one_minus_iou() -> None:
    target = torch.tensor([0, 0, 0, 1, 1, 2])
    guess = torch.tensor([0, 0, 1, 1, 1, 0])
    logits = 1e4 * torch.nn.functional.one_hot(guess, 4).double()
    iou = [2 / 4, 2 / 3, 0.0]
    assert lovasz_softmax(logits, target).item() == pytest.approx(1 - np.mean(iou))


def test_lovasz_keeps_its_digits_on_a_large_batch() -> None:
    logits, target = batch(300_000, 3, 1)
    exact = lovasz_softmax(logits, target).item()
    assert lovasz_softmax(logits.float(), target).item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("loss_of", [cross_entropy, lovasz_softmax])
def test_gradients_agree_with_finite_differences(loss_of) -> None:
    logits, target = batch(25, 4, 3)
    assert torch.autograd.gradcheck(lambda x: loss_of(x, target), logits.requires_grad_())


def test_class_weights_weigh_the_mean() -> None:
    logits, target = batch(60, 4, 5)
    weights = torch.tensor([3.0, 0.5, 1.0, 0.0], dtype=torch.float64)
    keep = target >= 0
    each = -logits[keep].log_softmax(1)[torch.arange(int(keep.sum())), target[keep]]
    expected = (each * weights[target[keep]]).sum() / weights[target[keep]].sum()
    torch.testing.assert_close(cross_entropy(logits, target, weights), expected)
    torch.testing.assert_close(cross_entropy(logits, target), each.mean())


@pytest.mark.parametrize("points", [0, 7])
@pytest.mark.parametrize("weights", [None, torch.tensor([0.0, 1.0, 2.0])])
def test_a_batch_without_labels_costs_nothing_and_moves_nothing(points: int, weights: Tensor | None) -> None:
    logits = torch.randn(points, 3, requires_grad=True)
    target = torch.full((points,), -1)
    loss = cross_entropy(logits, target, weights) + lovasz_softmax(logits, target)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None and not logits.grad.any()


def test_unlabelled_points_do_not_count() -> None:
    logits, target = batch(50, 5, 8)
    keep = target >= 0
    for loss_of in (cross_entropy, lovasz_softmax):
        torch.testing.assert_close(loss_of(logits, target), loss_of(logits[keep], target[keep]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = batch(500, 5, 9)
    half = logits.to(dtype)
    for loss_of in (cross_entropy, lovasz_softmax):
        loss = loss_of(half, target)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, loss_of(half.float(), target))


def test_repeats_bitwise() -> None:
    logits, target = batch(5000, 12, 10)
    logits = (logits * 2).round().float()  # many equal errors
    results = []
    for _ in range(2):
        leaf = logits.clone().requires_grad_()
        loss = cross_entropy(leaf, target) + lovasz_softmax(leaf, target)
        results.append((loss, *torch.autograd.grad(loss, leaf)))
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])


def test_cosine_takes_the_mean_over_visible_points() -> None:
    prediction = torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 4.0], [5.0, 5.0]])
    target = torch.tensor([[2.0, 0.0], [4.0, 0.0], [-3.0, -4.0], [0.0, 0.0]])
    visible = torch.tensor([True, True, True, False])
    assert cosine_loss(prediction, target, visible).item() == pytest.approx((0 + 1 + 2) / 3)
    assert cosine_loss(prediction, target).item() == pytest.approx((0 + 1 + 2 + 1) / 4)


def test_cosine_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 12, 5, generator=generator, dtype=torch.float64)
    visible = torch.rand(12, generator=generator) < 0.5
    assert torch.autograd.gradcheck(lambda x: cosine_loss(x, target, visible), prediction.requires_grad_())


def test_cosine_without_a_visible_point_costs_nothing_and_moves_nothing() -> None:
    prediction = torch.randn(4, 3, requires_grad=True)
    loss = cosine_loss(prediction, torch.full((4, 3), torch.nan), torch.zeros(4, dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None and not prediction.grad.any()


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match=r"\(4, 3\) against torch.int64 target \(5,\)"):
        cross_entropy(torch.zeros(4, 3), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(InputError, match="int32"):
        lovasz_softmax(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int32))
    with pytest.raises(InputError, match=r"\(4, 3\) against target \(4, 2\)"):
        cosine_loss(torch.zeros(4, 3), torch.zeros(4, 2))
    with pytest.raises(InputError, match="visible"):
        cosine_loss(torch.zeros(4, 3), torch.zeros(4, 3), torch.zeros(4))

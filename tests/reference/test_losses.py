"""Losses and their gradients against the published code."""

from __future__ import annotations

import torch
from golden import GoldenCase, error

from ditr.scene import UNLABELLED
from ditr.training.losses import cosine_loss, cross_entropy, lovasz_softmax

OUTPUT_TOLERANCE = 1e-6
# Lovász: the published weights are differences of float32 quotients near 1, which lose digits (2.5e-5 on these cases);
# ours stay within 4e-6 of float64.
GRADIENT_TOLERANCE = 1e-4


def test_segmentation_losses(case_losses: GoldenCase) -> None:
    assert case_losses.spec["ignore_index"] == UNLABELLED
    arrays = case_losses.arrays
    for number in case_losses.spec["sets"]:
        target = torch.from_numpy(arrays[f"in.target{number}"])
        for name, loss_of in (("ce", cross_entropy), ("lovasz", lovasz_softmax)):
            logits = torch.from_numpy(arrays[f"in.logits{number}"]).requires_grad_()
            loss = loss_of(logits, target)
            (gradient,) = torch.autograd.grad(loss, logits)
            assert error(loss.detach(), arrays[f"out.{name}{number}"]) <= OUTPUT_TOLERANCE
            assert error(gradient, arrays[f"out.{name}{number}_grad"]) <= GRADIENT_TOLERANCE


def test_cosine_loss(case_losses: GoldenCase) -> None:
    arrays = case_losses.arrays
    prediction = torch.from_numpy(arrays["in.cos_pred"]).requires_grad_()
    loss = cosine_loss(prediction, torch.from_numpy(arrays["in.cos_target"]))
    (gradient,) = torch.autograd.grad(loss, prediction)
    assert error(loss.detach(), arrays["out.cosine"]) <= OUTPUT_TOLERANCE
    assert error(gradient, arrays["out.cosine_grad"]) <= GRADIENT_TOLERANCE

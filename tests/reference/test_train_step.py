"""One step in training mode against the published implementation: loss, gradients, BatchNorm's statistics."""

from __future__ import annotations

import pytest
import torch
from golden import GoldenCase, error
from published import prepare

from ditr.training.losses import cross_entropy, lovasz_softmax
from ditr.weights.names import to_published

ROUNDING = 1e-6


def test_train_step(case_train_step: GoldenCase) -> None:
    case = case_train_step
    # In float64: a cell's two largest values may differ by a part in a million, and rounding then chooses which of them
    # gets the gradient. The stored gradients are those of exact arithmetic to 1e-5.
    prepared = prepare(case).double()
    model = prepared.model.train()
    target = torch.from_numpy(case.arrays["in.segment"]).long()
    logits = prepared.logits()
    loss = cross_entropy(logits, target) + lovasz_softmax(logits, target)
    loss.backward()
    network = model.backbone.config
    assert loss.item() == pytest.approx(float(case.arrays["out.loss"]), rel=1e-5)

    gradients = to_published({name: p.grad for name, p in model.named_parameters() if p.grad is not None}, network)
    norms = dict(zip(case.arrays["grad_names"].tolist(), case.arrays["grad_norms"].tolist(), strict=True))
    assert gradients.keys() == norms.keys()
    for name, expected in norms.items():
        norm = gradients[name].double().norm().item()
        if expected < ROUNDING:
            assert norm < ROUNDING, name
        else:
            assert norm == pytest.approx(expected, rel=2e-4), name
    buffers = to_published(dict(model.named_buffers()), network)
    for key, expected in case.arrays.items():
        kind, _, name = key.partition(".")
        if kind == "grad" and norms[name] >= ROUNDING:
            assert error(gradients[name], expected) <= 1e-3, name
        elif kind == "buf":
            assert error(buffers[name], expected) <= 5e-5, name


def test_loss_in_single_precision(case_train_step: GoldenCase) -> None:
    case = case_train_step
    prepared = prepare(case)
    prepared.model.train()
    target = torch.from_numpy(case.arrays["in.segment"]).long()
    logits = prepared.logits()
    loss = cross_entropy(logits, target) + lovasz_softmax(logits, target)
    assert loss.item() == pytest.approx(float(case.arrays["out.loss"]), rel=1e-5)

"""Norms per dataset: each dataset trains and uses its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from ditr.nn.norms import Condition, Conditions, DatasetNorm, DatasetNorms, batch_norm, layer_norm, normalize

NORMS = DatasetNorms(("ScanNet", "S3DIS", "Structured3D"))
ADAPTIVE = DatasetNorms(("ScanNet", "S3DIS"), context_width=5, adaptive=True)


def test_a_batch_moves_the_statistics_of_its_own_dataset_only() -> None:
    norm = batch_norm(4, NORMS)
    assert isinstance(norm, DatasetNorm)
    x = 3 + torch.randn(50, 4)
    normalize(norm, x, Condition(2)).sum().backward()
    means = [one.running_mean for one in norm.norm]
    assert means[0].eq(0).all() and means[1].eq(0).all()
    torch.testing.assert_close(means[2], 0.01 * x.mean(0))
    assert [one.weight.grad is None for one in norm.norm] == [True, True, False]


@pytest.mark.parametrize("make", [batch_norm, layer_norm])
def test_a_shared_norm_reads_no_dataset(make: object) -> None:
    norm = make(4)  # type: ignore[operator]
    assert isinstance(norm, nn.BatchNorm1d | nn.LayerNorm)
    x = torch.randn(6, 4)
    torch.testing.assert_close(normalize(norm, x, None), normalize(norm, x, Condition(7)))


def test_only_the_kinds_that_are_asked_for_exist_per_dataset() -> None:
    norms = DatasetNorms(("a", "b"), batch=True, layer=False)
    assert isinstance(batch_norm(3, norms), DatasetNorm)
    assert isinstance(layer_norm(3, norms), nn.LayerNorm)


def test_adaptive_norms_shift_and_scale_by_the_context() -> None:
    torch.manual_seed(0)
    norm, conditions = layer_norm(4, ADAPTIVE), Conditions(ADAPTIVE)
    condition = conditions("S3DIS")
    assert isinstance(norm, DatasetNorm) and norm.modulation is not None and condition is not None
    x = torch.randn(6, 4)
    linear, context = norm.modulation[1], conditions.context.weight[1]
    shift, scale = linear(context * torch.sigmoid(context)).split(4)
    expected = functional.layer_norm(x, (4,)) * (1 + scale) + shift
    torch.testing.assert_close(normalize(norm, x, condition), expected)


def test_an_unknown_dataset_is_refused_with_the_near_miss() -> None:
    with pytest.raises(ValueError, match="did you mean 'ScanNet'"):
        Conditions(NORMS)("Scannet")
    with pytest.raises(ValueError, match="no norms of the dataset None: this network has those of ScanNet, S3DIS"):
        Conditions(NORMS)(None)
    assert Conditions(None)("anything") is None


def test_a_norm_per_dataset_asks_for_the_dataset() -> None:
    with pytest.raises(ValueError, match="name the dataset"):
        normalize(batch_norm(4, NORMS), torch.zeros(2, 4), None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"datasets": ()}, "each once"),
        ({"datasets": ("a", "a")}, "each once"),
        ({"datasets": ("a",), "adaptive": True}, "context_width"),
    ],
)
def test_norms_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetNorms(**arguments)  # type: ignore[arg-type]

"""The student: its heads, its loss's blind spots, and what becomes of it afterwards."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.pyramid import Pyramid, build_pyramid
from ditr.models.distillation import Distillation, Student, load_backbone
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import DatasetNorms
from ditr.training.losses import cosine_loss

NETWORK = PTv3Config(
    encoder_depths=(1, 1, 1),
    encoder_channels=(8, 16, 16),
    encoder_heads=(1, 2, 2),
    decoder_depths=(1, 1),
    decoder_channels=(8, 16),
    decoder_heads=(1, 2),
    patch_size=16,
)
JOINT = replace(NETWORK, norms=DatasetNorms(("ScanNet", "Structured3D")))


def two_samples() -> tuple[torch.Tensor, list[Pyramid]]:
    torch.manual_seed(1)
    parts = [torch.unique(torch.randint(0, 9, (n, 3)), dim=0) for n in (60, 25)]
    return torch.randn(sum(map(len, parts)), 6), [build_pyramid(part, NETWORK.pyramid) for part in parts]


def test_cls_tokens_come_from_each_samples_own_bottleneck() -> None:
    torch.manual_seed(0)
    model = Distillation(NETWORK, Student(5, cls_tokens=3)).eval()
    features, samples = two_samples()
    size = len(samples[0].levels[0])
    with torch.no_grad():
        both = model(features, join_pyramids(samples)).cls
        alone = model(features[:size], samples[0]).cls
    assert both.shape == (2, 3, 5)
    torch.testing.assert_close(both[:1], alone, rtol=1e-5, atol=1e-6)


def test_every_dataset_has_its_head_and_its_norms() -> None:
    torch.manual_seed(0)
    model = Distillation(JOINT, Student(5, head_per_dataset=True)).train()
    features, samples = two_samples()
    out = model(features, join_pyramids(samples), "Structured3D")
    cosine_loss(out.prediction, torch.randn_like(out.prediction)).backward()
    trained = {name for name, p in model.named_parameters() if p.grad is not None}
    assert "projection.1.weight" in trained and "projection.0.weight" not in trained
    assert "backbone.stem.norm.norm.1.weight" in trained and "backbone.stem.norm.norm.0.weight" not in trained
    with pytest.raises(ValueError, match="did you mean 'ScanNet'"):
        model(features, join_pyramids(samples), "ScanNt")


def test_a_batch_that_no_view_sees_costs_nothing_and_trains_nothing() -> None:
    model = Distillation(NETWORK, Student(5))
    features, samples = two_samples()
    out = model(features, join_pyramids(samples))
    loss = cosine_loss(out.prediction, torch.randn_like(out.prediction), torch.zeros(len(features), dtype=torch.bool))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or p.grad.eq(0).all() for p in model.parameters())


@pytest.mark.parametrize(("network", "dataset"), [(NETWORK, None), (JOINT, "ScanNet")])
def test_the_student_becomes_a_segmentation_model(network: PTv3Config, dataset: str | None) -> None:
    student = Distillation(network, Student(5), dataset).eval()
    segmentation = student.to_segmentation(7).eval()
    assert segmentation.head.out_features == 7
    features, samples = two_samples()
    pyramid = join_pyramids(samples)
    with torch.no_grad():
        expected = segmentation.head(student(features, pyramid).features)
        torch.testing.assert_close(segmentation(features, pyramid), expected)


def test_weights_that_do_not_fit_are_all_named() -> None:
    state = Distillation(NETWORK, Student(5)).state_dict()
    bias = state.pop("backbone.encoder.0.blocks.0.attention.qkv.bias")
    state["backbone.extra"] = bias
    state["backbone.stem.conv.weight"] = bias
    model = Segmentation(NETWORK, 7)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"qkv.bias is missing; backbone.extra is left over; .*conv.weight"):
        load_backbone(model, state)
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_student_sees_no_images() -> None:
    with pytest.raises(ValueError, match="sees no images"):
        Distillation(replace(NETWORK, image_width=5), Student(5))
    with pytest.raises(ValueError, match="name the datasets"):
        Distillation(NETWORK, Student(5, head_per_dataset=True))

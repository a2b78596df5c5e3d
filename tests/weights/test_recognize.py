"""Networks recognised from the names and shapes of published checkpoints."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from golden import GoldenCase
from published import config_of

from ditr.models.backbone import NetworkConfig
from ditr.models.distillation import Distillation, Student
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.published_names import NormsUnnamed
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import DatasetNorms
from ditr.weights.names import to_published
from ditr.weights.recognize import recognize

THREE = ("ScanNet", "S3DIS", "Structured3D")
NETWORKS: tuple[NetworkConfig, ...] = (
    PTv3Config(),
    PTv3Config(in_channels=4, image_width=1536),
    PTv3Config(image_width=384, missing_embedding=True),
    PTv3Config(patch_size=128, position_bound=15),
    PTv3Config(layer_scale=1.0),
    PTv3Config(norms=DatasetNorms(THREE)),
    PTv3Config(norms=DatasetNorms(THREE, layer=False)),
    PTv3Config(norms=DatasetNorms(THREE, context_width=256, adaptive=True)),
    MinkUNetConfig(in_channels=9),
    MinkUNetConfig(norms=DatasetNorms(THREE, layer=False)),
)


def shapes_of(model: torch.nn.Module, network: NetworkConfig) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in to_published(model.state_dict(), network).items()}


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network.kind)
def test_every_network_is_recognised(network: NetworkConfig) -> None:
    with torch.device("meta"):
        model = Segmentation(network, 13)
    datasets = () if network.norms is None else network.norms.datasets
    found = recognize(shapes_of(model, network), datasets=datasets)
    expected = replace(network, drop_path=0.3) if isinstance(network, PTv3Config) else network
    assert (found.network, found.classes, found.student) == (expected, 13, None)


@pytest.mark.parametrize("student", [Student(1024), Student(1536, True), Student(48, cls_tokens=3)])
def test_students_are_recognised(student: Student) -> None:
    network = PTv3Config(norms=DatasetNorms(THREE, context_width=32))
    with torch.device("meta"):
        model = Distillation(network, student)
    found = recognize(shapes_of(model, network), datasets=THREE)
    assert (found.network, found.classes, found.student) == (network, None, student)


@pytest.mark.parametrize("subject", ["segment", "distill"])
def test_golden_networks_are_recognised(subject: str, request: pytest.FixtureRequest) -> None:
    from golden import golden_cases

    folder = request.config.getoption("--golden-dir")
    stored = [case for case in golden_cases(folder) if case.file.exists()]
    cases: list[GoldenCase] = [case for case in stored if case.spec["subject"] == subject]
    if not cases:
        pytest.skip("no golden folder here")
    for case in cases:
        spec = case.spec
        found = recognize(
            case.shapes(),
            datasets=tuple(spec.get("datasets", ())),
            patch_size=spec.get("patch_size"),
            pre_norm=spec.get("pre_norm", True),
        )
        expected = config_of(spec)
        if isinstance(expected, PTv3Config):
            scale = None if expected.layer_scale is None else 1.0
            expected = replace(expected, drop_path=0.3, layer_scale=scale)
        assert found.network == expected, case.name
        assert found.classes == spec["num_classes"] if subject == "segment" else found.student is not None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone.embedding.stem.conv.weight": None}, "neither a Point Transformer V3 nor a MinkUNet"),
        ({"seg_head.weight": None}, "either a segmentation head"),
        ({"proj.weight": (1024, 64)}, "either a segmentation head"),
        ({"backbone.enc.enc0.block0.attn.proj.weight": (32,)}, r"attn.proj.weight has the shape \(32,\)"),
        ({"backbone.enc.enc1.block0.attn.proj.weight": None}, "attn.proj.weight is missing"),
        ({"backbone.enc.enc0.block0.attn.rpe.rpe_table": (9, 2)}, "belong to no usual patch size"),
    ],
)
def test_other_architectures_are_refused(change: dict[str, tuple[int, ...] | None], message: str) -> None:
    with torch.device("meta"):
        shapes: dict[str, tuple[int, ...] | None] = dict(shapes_of(Segmentation(PTv3Config(), 20), PTv3Config()))
    shapes |= change
    with pytest.raises(ValueError, match=message):
        recognize({name: shape for name, shape in shapes.items() if shape is not None})


@pytest.mark.parametrize("datasets", [(), ("ScanNet",), ("ScanNet", "S3DIS")])
def test_norms_per_dataset_need_their_names(datasets: tuple[str, ...]) -> None:
    network = PTv3Config(norms=DatasetNorms(THREE))
    with torch.device("meta"):
        shapes = shapes_of(Segmentation(network, 20), network)
    with pytest.raises(NormsUnnamed, match="norms of 3 datasets, whose names and order are not in the file"):
        recognize(shapes, datasets=datasets)
    with torch.device("meta"):
        plain = shapes_of(Segmentation(PTv3Config(), 20), PTv3Config())
    with pytest.raises(ValueError, match="norms of no datasets"):
        recognize(plain, datasets=THREE)

"""A synthetic checkpoint for each row of the list of weights: it converts, loads, goes round byte for byte, and gives
what the published code gives.

The fast tests have few channels and blocks; the slow ones the published sizes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import GoldenCase, error, golden_case
from published import Prepared, config_of, prepare, pyramid_of, x2d_of
from published_checkpoints import (
    FULL,
    ROWS,
    SMALL,
    Layout,
    Sizes,
    adapted_shapes,
    as_numpy_1_writes_it,
    assert_same_bytes,
    plain,
    published_shapes,
    published_values,
    write_checkpoint,
)
from stages import TOLERANCE, check_segmentation
from torch import Tensor

from ditr.geometry.pyramid import build_pyramid
from ditr.models.distillation import Distillation
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.weights.convert import Provenance, convert, published_state
from ditr.weights.names import from_published
from ditr.weights.pretrained import from_pretrained
from ditr.weights.published import PUBLISHED, published_model
from ditr.weights.recognize import Recognized, recognize
from ditr.weights.saved_model import FILES, ModelConfig

NORMS = ("ScanNet", "S3DIS", "Structured3D")
TINY = Sizes((16, 32, 48, 64, 96), (2, 2, 2, 3, 2), (32, 32, 48, 64), (2, 2, 2, 2))

OTHERS = {
    # What the published code can write, and no row of the list has.
    "missing-embedding": (
        Layout("any", 4, 22, 1024, missing=True),
        Provenance(dataset="Waymo", encoder="dinov2-large-reg"),
    ),
    "minkunet-student": (
        Layout("any", 9, None, teacher=1536, network="MinkUNet"),
        Provenance(dataset="ScanNet", encoder="dinov2-giant-reg"),
    ),
    "minkunet-norms": (
        Layout("any", 6, None, teacher=1024, network="MinkUNet", norms=3, prefix=True),
        Provenance(dataset="ScanNet", encoder="dinov2-large-reg", norms=NORMS, norms_of="Structured3D"),
    ),
    "heads-and-contexts": (
        Layout("any", 6, None, teacher=1024, norms=3, heads=3, context=256),
        Provenance(dataset="ScanNet", encoder="dinov2-large-reg", norms=NORMS),
    ),
    "outdoor-norms": (
        Layout("any", 4, 19, norms=2),
        Provenance(dataset="SemanticKITTI", norms=("nuScenes", "Waymo"), norms_of="Waymo"),
    ),
}


def identify(value: object) -> str | None:
    return value.name if isinstance(value, Layout) else None


def test_every_row_of_the_list_is_here() -> None:
    assert [row.name for row in ROWS] == [model.name for model in PUBLISHED]
    assert len(ROWS) == 18


# ---- names and shapes: the two ways to them agree -------------------------------------------------------------------


def golden_of(row: Layout) -> str:
    """The golden case whose list of names and shapes is nearest to a row's."""
    if row.network == "MinkUNet":
        return "spunet_base_scannet200"
    if row.student:
        return "full_distill_scannet200"
    return "full_base_scannet200" if row.images is None else "full_ditr_scannet200"


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_names_and_shapes_are_the_published_ones(row: Layout, golden_dir: Path) -> None:
    assert published_shapes(row) == adapted_shapes(golden_case(golden_dir, golden_of(row)).shapes(), row)


@pytest.mark.parametrize(
    ("name", "layout", "sizes"),
    [
        ("full_ditr_scannet200", Layout("", 6, 200, 1024), FULL["PTv3"]),
        ("full_base_scannet200", Layout("", 6, 200), FULL["PTv3"]),
        ("full_distill_scannet200", Layout("", 6, None, teacher=1024), FULL["PTv3"]),
        ("tiny_distill_pdnorm", Layout("", 6, None, teacher=48, norms=3, heads=3, context=32), TINY),
        ("tiny_ditr_images_missing", Layout("", 6, 20, 384, missing=True), TINY),
        ("spunet_base_scannet200", Layout("", 9, 200, network="MinkUNet"), FULL["MinkUNet"]),
        ("spunet_distill", Layout("", 9, None, teacher=1024, network="MinkUNet"), FULL["MinkUNet"]),
    ],
)
def test_names_and_shapes_of_the_goldens(name: str, layout: Layout, sizes: Sizes, golden_dir: Path) -> None:
    assert published_shapes(layout, sizes) == golden_case(golden_dir, name).shapes()


# ---- sizes ----------------------------------------------------------------------------------------------------------


def recognized(layout: Layout, sizes: Sizes | None = None) -> Recognized:
    return recognize(published_shapes(layout, sizes), datasets=NORMS[: layout.norms])


@pytest.mark.parametrize(
    ("layout", "parameters", "entries"),
    [
        (Layout("ptv3, indoors", 6, 200), 46_166_272, 486),
        (Layout("ptv3, outdoors", 4, 16), 46_158_272, 486),
        (Layout("ptv3, three norms", 6, 20, norms=3), 46_222_720, 880),
        (Layout("ditr, ViT-S", 6, 20, 384), 46_166_272 + 198_144, 514),
        (Layout("ditr, ViT-B", 6, 20, 768), 46_166_272 + 394_752, 514),
        (Layout("ditr, ViT-L", 6, 20, 1024), 46_692_096, 514),
        (Layout("ditr, ViT-g", 6, 20, 1536), 46_166_272 + 787_968, 514),
        (Layout("minkunet, classifier included", 6, 20, network="MinkUNet"), 39_157_844, 356),
        (Layout("minkunet, three norms", 6, None, teacher=1024, network="MinkUNet", norms=3), 39_190_208, None),
    ],
    ids=identify,
)
def test_sizes_are_the_published_ones(layout: Layout, parameters: int, entries: int | None) -> None:
    found = recognized(layout)
    with torch.device("meta"):
        if found.student is not None:
            model: Segmentation | Distillation = Distillation(found.network, found.student)
        else:
            model = Segmentation(found.network, found.classes or 0)
    counted = model if layout.network == "MinkUNet" and not layout.student else model.backbone
    assert sum(parameter.numel() for parameter in counted.parameters()) == parameters
    assert entries is None or len(counted.state_dict()) == entries
    assert len(model.state_dict()) == len(published_shapes(layout))


def test_a_checkpoint_of_ditr_has_516_entries() -> None:
    assert len(published_shapes(Layout("", 6, 200, 1024))) == 516


# ---- there and back -------------------------------------------------------------------------------------------------


def check_config(config: ModelConfig, layout: Layout, origin: Provenance) -> None:
    assert config.dataset == origin.dataset and config.norms_of == origin.norms_of
    assert len(config.class_names) == (layout.classes or 0)
    assert config.network.in_channels == config.preparation.in_channels == layout.in_channels
    assert config.network.image_width == layout.images and config.takes_images == (layout.images is not None)
    assert (config.student.width if config.student else None) == layout.teacher
    assert (config.encoder.width if config.encoder else None) == (layout.images or layout.teacher)
    assert (config.network.norms.datasets if config.network.norms else ()) == origin.norms
    assert isinstance(config.network, MinkUNetConfig if layout.network == "MinkUNet" else PTv3Config)
    if isinstance(config.network, PTv3Config):
        assert config.network.patch_size == 1024 and config.network.pre_norm


def there_and_back(folder: Path, state: dict[str, Tensor], layout: Layout, origin: Provenance, **how: bool) -> None:
    """Through a file, a folder and a loaded model; nothing else is left."""
    checkpoint = write_checkpoint(folder / "model_best.pth", state, layout, trained=how.get("trained", False))
    if how.get("numpy_1"):
        as_numpy_1_writes_it(checkpoint)
    written = convert(checkpoint, folder / "model", origin)
    checkpoint.unlink()
    assert [path.name for path in folder.iterdir()] == ["model"]
    assert sorted(path.name for path in (folder / "model").iterdir()) == sorted(FILES)
    config, model = from_pretrained(folder / "model")
    assert config == written and not model.training
    check_config(config, layout, origin)
    assert_same_bytes(published_state(model, config), state)


@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_a_small_checkpoint_of_every_row_goes_there_and_back(row: Layout, tmp_path: Path) -> None:
    state = published_values(published_shapes(row, SMALL[row.network]))
    # One of each kind of network after a step of training, and one as a machine with NumPy 1 wrote it.
    trained = row.name in ("ditr-nuscenes-dinov2-s", "d-ditr-scannet", "d-ditr-scannet-minkunet")
    numpy_1 = row.name == "ditr-scannet200-dinov2-l"
    there_and_back(tmp_path, state, row, Provenance.of(published_model(row.name)), trained=trained, numpy_1=numpy_1)


@pytest.mark.parametrize("name", OTHERS)
def test_small_checkpoints_beyond_the_list_go_there_and_back(name: str, tmp_path: Path) -> None:
    layout, origin = OTHERS[name]
    there_and_back(tmp_path, published_values(published_shapes(layout, SMALL[layout.network])), layout, origin)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=identify)
def test_a_checkpoint_of_every_row_goes_there_and_back(row: Layout, tmp_path: Path) -> None:
    """At published size; that these are the stored names and shapes is tested above."""
    shapes = published_shapes(row)
    trained = row.name == "ditr-scannet200-dinov2-l"
    there_and_back(tmp_path, published_values(shapes), row, Provenance.of(published_model(row.name)), trained=trained)
    for file in (tmp_path / "model").iterdir():
        file.unlink()  # 190 MB that nobody looks at again


def test_values_that_look_alike_stay_apart(tmp_path: Path) -> None:
    """Negative zeros, numbers below the normal range, and tensors that lie in each other's memory."""
    row = next(row for row in ROWS if row.name == "d-ditr-nuscenes")
    state = published_values(published_shapes(row, SMALL[row.network]))
    state["seg_head.bias"].view(torch.int32)[:4] = torch.tensor([-(2**31), 1, -(2**31) + 1, 2**23 - 1])
    state["backbone.enc.enc0.block0.attn.qkv.weight"] = torch.randn(16, 48).t()
    both = torch.randn(2, 16)
    state["backbone.enc.enc0.block0.norm1.0.weight"], state["backbone.enc.enc0.block0.norm2.0.weight"] = both
    state["backbone.enc.enc0.block0.norm1.0.bias"] = state["backbone.enc.enc0.block0.norm2.0.bias"] = both[0]
    there_and_back(tmp_path, state, row, Provenance.of(published_model(row.name)))


# ---- what the published code gives ----------------------------------------------------------------------------------


def check_outputs(case: GoldenCase, model: Segmentation | Distillation) -> None:
    """The stored logits, stages and predictions."""
    if isinstance(model, Segmentation):
        prepared = prepare(case)
        if case.spec["network"] == "minkunet":
            check_logits(case, replace(prepared, model=model))
        else:
            check_segmentation(case, replace(prepared, model=model), x2d_of(case))
        return
    arrays, outputs = case.arrays, case.spec["outputs"]
    _, pyramid = pyramid_of(arrays["in.grid_coord"], arrays["in.offset"], case.spec)
    with torch.no_grad():
        out = model(torch.from_numpy(arrays["in.feat"]), pyramid)
    rows = arrays[outputs["rows"]]
    assert error(out.features[rows], arrays[outputs["features"]]) <= TOLERANCE
    assert error(out.prediction[rows], arrays[outputs["prediction"]]) <= TOLERANCE


def check_logits(case: GoldenCase, prepared: Prepared) -> None:
    arrays, outputs = case.arrays, case.spec["outputs"]
    with torch.no_grad():
        logits = prepared.logits()
    rows = arrays[outputs["rows"]] if outputs["rows"] in arrays else np.arange(len(logits))
    assert error(logits[rows], arrays[outputs["logits"]]) <= TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("full_ditr_scannet200", Provenance.of(published_model("ditr-scannet200-dinov2-l"))),
        ("full_ditr_scannet200_b2", Provenance.of(published_model("ditr-scannet200-dinov2-l"))),
        ("full_distill_scannet200", Provenance.of(published_model("distilled-scannet-dinov2-l"))),
        ("full_base_scannet200", Provenance(dataset="ScanNet200")),
        ("spunet_base_scannet200", Provenance(dataset="ScanNet200")),
        ("spunet_distill", Provenance(dataset="ScanNet", encoder="dinov2-large-reg")),
    ],
)
def test_a_converted_checkpoint_gives_the_published_outputs(
    name: str, origin: Provenance, tmp_path: Path, golden_dir: Path
) -> None:
    case = golden_case(golden_dir, name)
    checkpoint = write_checkpoint(tmp_path / "model_best.pth", published_values(case.shapes()))
    convert(checkpoint, tmp_path / "model", origin)
    checkpoint.unlink()
    _, model = from_pretrained(tmp_path / "model")
    check_outputs(case, model)
    for file in (tmp_path / "model").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    "name",
    [
        "tiny_base",
        "tiny_base_rpe",
        "tiny_base_layerscale_postnorm",
        "tiny_ditr",
        "tiny_distill_pdnorm",
        "tiny_distill_pdnorm_adaptive",
        "tiny_distill_cls",
    ],
)
def test_a_recognised_network_gives_the_published_outputs(name: str, golden_dir: Path) -> None:
    """Sizes of no dataset, hence without a folder: the network is made from names and shapes alone."""
    case = golden_case(golden_dir, name)
    spec = case.spec
    datasets = tuple(spec.get("datasets", ()))
    found = recognize(case.shapes(), datasets=datasets, patch_size=spec["patch_size"], pre_norm=spec["pre_norm"])
    if found.student is not None:
        model: Segmentation | Distillation = Distillation(found.network, found.student, spec.get("dataset"))
    else:
        assert found.classes is not None
        model = Segmentation(found.network, found.classes)
    published = published_values(case.shapes())
    model.load_state_dict(from_published(published, model.state_dict(), found.network))
    assert found.network.pyramid == config_of(spec).pyramid
    check_outputs(case, model.eval())


def test_a_joint_model_is_that_of_its_dataset(tmp_path: Path) -> None:
    """Of the three sets of norms the loaded model uses the one that its row names, unless asked for another."""
    row = next(row for row in ROWS if row.name == "d-ditr-s3dis")
    state = published_values(published_shapes(row, SMALL["PTv3"]))
    write_checkpoint(tmp_path / "joint.pth", state, row)
    convert(tmp_path / "joint.pth", tmp_path / "joint", Provenance.of(published_model(row.name)))
    grid = torch.cartesian_prod(torch.arange(10), torch.arange(10), torch.arange(3))
    features = torch.randn(len(grid), 6, generator=torch.Generator().manual_seed(0))
    outputs = []
    for number, dataset in enumerate((None, "S3DIS", "Structured3D")):
        alone = {}
        for name in published_shapes(plain(row), SMALL["PTv3"]):
            layer, _, value = name.rpartition(".")
            alone[name] = state[name] if name in state else state[f"{layer}.norm.{number}.{value}"]
        write_checkpoint(tmp_path / "alone.pth", alone)
        convert(tmp_path / "alone.pth", tmp_path / "alone", Provenance(dataset="S3DIS"))
        config, joint = from_pretrained(tmp_path / "joint", dataset=dataset)
        _, single = from_pretrained(tmp_path / "alone")
        pyramid = build_pyramid(grid, config.network.pyramid)
        with torch.no_grad():
            outputs.append(joint(features, pyramid))
            assert torch.equal(outputs[-1], single(features, pyramid))
    assert not torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])

"""``ditr verify``: a converted model on a tiny prepared dataset, stopped and taken up, against a figure."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_layouts import make_sweep, write_nuscenes, write_scannet
from published_checkpoints import ROWS, SMALL, published_shapes, published_values, write_checkpoint
from small_world import NETWORK, ditr, make_scene, tiny_encoding

from ditr.cli.verify import Verify, run
from ditr.datasets import nuscenes
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.evaluation.verify import Verification, published_voting
from ditr.weights.convert import Provenance, convert
from ditr.weights.published import published_model
from ditr.weights.saved_model import EncoderConfig, ModelConfig, save_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sweeps of 60 points, and a checkpoint as it is published, but small, that was converted for them."""
    root = tmp_path_factory.mktemp("verify")
    sweeps = [make_sweep(seed, nuscenes.CAMERAS, nuscenes.CLASSES) for seed in range(3)]
    short = [
        replace(s, coord=s.coord[:60], strength=s.strength[:60], label=s.label[:60])  # type: ignore[index]
        for s in sweeps
    ]
    write_nuscenes(root / "nuscenes", short, "val")
    layout = next(row for row in ROWS if row.name == "d-ditr-nuscenes")
    values = published_values(published_shapes(layout, SMALL["PTv3"]))
    checkpoint = write_checkpoint(root / "model_best.pth", values, layout)
    convert(checkpoint, root / "model", Provenance.of(published_model(layout.name)))
    return root


def command(place: Path, out: Path, **options: object) -> Verify:
    common = {"model": str(place / "model"), "data": place, "out": out, "device": "cpu"}
    return Verify(**{"dataset": "nuscenes", **common, **options})  # type: ignore[arg-type]


def test_a_run_is_taken_up_scene_by_scene(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(command(place, tmp_path / "whole"))
    assert "published none known, on 3 of 3 scenes" in capsys.readouterr().out
    whole = json.loads((tmp_path / "whole" / "verify.json").read_text())
    miou = whole["miou"]
    assert whole["passed"] is None and whole["points"] > 100
    assert set(whole["iou"]) == set(nuscenes.CLASSES) and abs(np.mean(list(whole["iou"].values())) - miou) < 1e-2

    run(command(place, tmp_path / "parts", limit=1, published=miou))
    assert "no verdict" in capsys.readouterr().out
    scenes = tmp_path / "parts" / "scenes.jsonl"
    first = scenes.read_text()
    scenes.write_text(first + '{"scene": "sweep1", "cou')  # what a kill leaves
    run(command(place, tmp_path / "parts", published=miou + 0.4))
    assert capsys.readouterr().out.endswith("pass\n")
    assert scenes.read_text() == (tmp_path / "whole" / "scenes.jsonl").read_text() and scenes.read_text() != first

    before = scenes.stat().st_mtime_ns
    with pytest.raises(SystemExit) as stop:
        run(command(place, tmp_path / "parts", published=miou + 0.6))
    assert stop.value.code == 1 and capsys.readouterr().out.endswith("fail\n")
    assert scenes.stat().st_mtime_ns == before
    with pytest.raises(InputError, match=r"it holds results made with different settings: seed.*--out"):
        run(command(place, tmp_path / "parts", seed=1))
    scenes.write_text('{"scene": "sweep0", "counts": [[16, 0, 1]]}\n')
    with pytest.raises(InputError, match=r"scenes.jsonl: line 1 has no counts"):
        run(command(place, tmp_path / "parts"))


def test_a_model_with_photographs(tmp_path: Path) -> None:
    write_scannet(tmp_path / "scannet", [make_scene(0, depth=True, points=60)], "val")
    encoding = tiny_encoding(tmp_path)
    benchmark = by_name("ScanNet")
    assert benchmark.with_images is not None
    config = ModelConfig(
        replace(NETWORK, image_width=encoding.encoder.width),
        replace(benchmark.with_images, image_size=(42, 56)),
        benchmark.classes,
        encoder=EncoderConfig.of(encoding.computed_in("bf16-mixed").encoder, encoding.spec),
    )
    save_model(tmp_path / "model", config, config.build())
    run(command(tmp_path, tmp_path / "out", dataset="scannet"))
    found = json.loads((tmp_path / "out" / "verify.json").read_text())
    assert found["points"] == int((make_scene(0, depth=True, points=60).label >= 0).sum())  # type: ignore[operator]
    assert found["of"]["dataset"] == "ScanNet" and found["published"] is None
    assert config.encoder is not None and config.encoder.precision == "bf16-mixed"
    assert found["of"]["encoder_precision"] == "32-true", "whatever the model learned with"


def test_of_a_run_the_best_checkpoint_is_taken(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "RUN"
    shutil.copytree(place / "model", folder)
    shutil.copytree(place / "model", folder / "best")
    (folder / "model.safetensors").write_bytes(b"the last one, which is not opened")
    run(command(place, tmp_path / "out", model=str(folder), limit=1))
    assert f"model: {folder / 'best'}, the best checkpoint of the run" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"RUN/model\.safetensors"):
        run(command(place, tmp_path / "last", model=str(folder), limit=1, last=True))


def test_refusals(place: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"dataset": "nuscene"}, "Did you mean 'nuScenes'"),
        ({"dataset": "Structured3D"}, "the paper reports no model for it"),
        ({"model": "ditr-nuscenes-dinov2-x"}, "Did you mean"),
        ({"limit": 0}, "--limit"),
        ({"split": "test"}, "infos_10sweeps_test"),
        ({"data": place / "nowhere"}, "no such folder"),
    ):
        with pytest.raises(InputError, match=message):
            run(replace(command(place, tmp_path / "out"), **options))  # type: ignore[arg-type]
        assert not (tmp_path / "out").exists()


def test_the_procedure_is_the_benchmark_s() -> None:
    counts = {"ScanNet": 13, "ScanNet200": 13, "ScanNet++": 13, "S3DIS": 10, "nuScenes": 10, "Waymo": 4}
    thin = {"nuScenes": 0.025, "Waymo": 0.025, "SemanticKITTI": 0.01, "ScanNet++": 0.01}
    for name, count in {**counts, "SemanticKITTI": 4}.items():
        votes = published_voting(by_name(name))
        assert (len(votes.variants), votes.thin) == (count, thin.get(name))


def test_half_a_point_is_the_margin() -> None:
    matrix = ConfusionMatrix(2)
    matrix.counts[:] = [[3, 1], [0, 4]]
    found = Verification(("a", "b"), matrix, 2, 2, 77.5 + 0.49)
    assert found.miou == pytest.approx(77.5) and found.passed
    assert replace(found, published=77.5 - 0.51).passed is False
    assert replace(found, published=None).passed is None and replace(found, total=3).passed is None


@pytest.mark.slow
def test_the_command_line(place: Path, tmp_path: Path) -> None:
    done = ditr(
        *("verify", "nuScenes", "--model", place / "model", "--data", place / "nuscenes"),
        *("--out", tmp_path / "out", "--device", "cpu", "--published", 99, "--limit", 2),
    )
    assert "mIoU" in done.stdout and "no verdict" in done.stdout and "vegetation" in done.stdout

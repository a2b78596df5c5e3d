"""``ditr evaluate --dataset``: a split of a prepared dataset, as its benchmark counts, stopped and taken up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_layouts import make_sweep, write_nuscenes
from small_world import NETWORK

from ditr.cli.evaluate import Evaluate, run
from ditr.cli.options import OfDataset, Reading, Votes
from ditr.data.scene_views import points_in
from ditr.datasets import nuscenes
from ditr.datasets.table import open_dataset
from ditr.errors import InputError
from ditr.evaluation.verify import published_voting
from ditr.inference.segmenter import Segmenter
from ditr.weights.saved_model import ModelConfig, save_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sweeps of 150 points with two classes that no point has, and a model without photographs."""
    root = tmp_path_factory.mktemp("evaluate")
    sweeps = []
    for seed in range(3):
        s = make_sweep(seed, nuscenes.CAMERAS, nuscenes.CLASSES)
        assert s.strength is not None and s.label is not None
        label = np.where(s.label >= 14, -1, s.label)[:150]
        sweeps.append(replace(s, coord=s.coord[:150] * [1.5, 1.5, 1], strength=s.strength[:150], label=label))
    write_nuscenes(root / "nuscenes", sweeps, "val")
    torch.manual_seed(0)
    preparation = nuscenes.preparation(False)
    config = ModelConfig(replace(NETWORK, in_channels=preparation.in_channels), preparation, nuscenes.CLASSES)
    save_model(root / "model", config, config.build())
    return root


def command(place: Path, out: Path, **options: Any) -> Evaluate:
    of = {"dataset": "nuscenes", **{k: options.pop(k) for k in list(options) if k in OfDataset.__dataclass_fields__}}
    return replace(Evaluate(str(place / "model"), place, OfDataset(**of), out, device="cpu"), **options)


def test_figures_are_those_of_single_points(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(command(place, tmp_path / "found.json", votes=Votes(vote=True)))
    said = capsys.readouterr().out
    found = json.loads((tmp_path / "found.json").read_text())
    segmenter = Segmenter.from_pretrained(place / "model", device="cpu")
    source = open_dataset("nuScenes", place / "nuscenes", "val")
    votes = published_voting(nuscenes.NUSCENES)
    labels, predictions, seen, distance = [], [], [], []
    for index in range(3):
        scene = source.scene(index)
        labels.append(scene.label)
        predictions.append(segmenter(scene, votes=votes, estimate=False, shuffle_curves=True).label)
        seen.append(np.any([points_in(scene, view, nuscenes.RULE)[1] for view in scene.views], axis=0))
        distance.append(np.linalg.norm(scene.coord, axis=1))
    label, given, visible, metres = (np.concatenate(part) for part in (labels, predictions, seen, distance))
    assert len(np.unique(given)) > 1 and 0 < visible.sum() < len(visible)

    def iou(rows: np.ndarray) -> np.ndarray:
        rows = rows & (label >= 0)
        true, got = (np.stack([part[rows] == k for k in range(16)]) for part in (label, given))
        with np.errstate(invalid="ignore"):
            return 100 * (true & got).sum(axis=1) / (true | got).sum(axis=1)  # type: ignore[no-any-return]

    every = np.ones(len(label), bool)
    assert np.isnan(iou(every)).any(), "a class that no point has and none was given"
    assert found["miou"] == pytest.approx(np.nan_to_num(iou(every)).mean(), abs=1e-3)
    assert found["benchmark"]["miou"] == pytest.approx(np.nanmean(iou(every)), abs=1e-3)
    assert found["visible"]["miou"] == pytest.approx(np.nan_to_num(iou(visible)).mean(), abs=1e-3)
    assert found["invisible"]["miou"] == pytest.approx(np.nan_to_num(iou(~visible)).mean(), abs=1e-3)
    far = found["by_distance"]["40 m and more"]
    assert far["miou"] == pytest.approx(np.nan_to_num(iou(metres >= 40)).mean(), abs=1e-3) and far["points"] > 0
    assert found["accuracy"] == pytest.approx(100 * (label == given)[label >= 0].mean(), abs=1e-3)
    assert found["scenes"] == found["scenes_of_split"] == 3 and len(found["of"]["votes"]) == 10
    assert "as nuScenes counts: a class that no point has or is given is left out\n" in said
    assert "mIoU by distance from the sensor: 0 to 20 m" in said and "by the votes of the published test\n" in said


def test_it_goes_on_where_it_was_stopped(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, kept = tmp_path / "found.json", tmp_path / "found"
    asked = command(place, out)
    run(asked)
    assert "already counted" not in capsys.readouterr().out
    whole, scenes = out.read_text(), (kept / "scenes.jsonl").read_text()

    def stop() -> None:
        """As a kill leaves it: two scenes, and a part of the third one's line."""
        of = json.loads((kept / "evaluation.json").read_text())["of"]
        (kept / "evaluation.json").write_text(json.dumps({"of": of}))
        (kept / "scenes.jsonl").write_text(scenes[: scenes.rfind('"apart"')])
        out.unlink(missing_ok=True)

    stop()
    run(asked)
    assert "2 of 3 scenes were already counted, in" in capsys.readouterr().out
    assert out.read_text() == whole and (kept / "scenes.jsonl").read_text() == scenes
    stop()
    with pytest.raises(InputError, match=r"it holds results made with different settings: seed"):
        run(replace(asked, seed=1))
    with pytest.raises(InputError, match=r"it holds results made with different settings: votes"):
        run(replace(asked, votes=Votes(variants="rotations")))
    run(replace(asked, overwrite=True))
    assert "2 of 3 scenes were already counted" in capsys.readouterr().out, "what goes on is not begun again"
    with pytest.raises(InputError, match="it already exists"):
        run(asked)
    run(replace(asked, overwrite=True))
    assert "already counted" not in capsys.readouterr().out, "what has come to its end is"
    run(replace(asked, overwrite=True, seed=1))
    assert json.loads(out.read_text())["of"]["seed"] == 1


def test_without_photographs_visible_points_are_not_told(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nuscenes(tmp_path / "nuscenes", [make_sweep(0, nuscenes.CAMERAS, nuscenes.CLASSES)], "val", cams=False)
    run(command(place, tmp_path / "found.json", data=tmp_path, limit=1))
    said = capsys.readouterr().out
    assert (
        "note: without photographs, visible points are not counted separately: " in said
        and "visible points " not in (said.replace("without photographs, visible points", ""))
    )
    assert "visible" not in json.loads((tmp_path / "found.json").read_text())


def test_refusals(place: Path, tmp_path: Path) -> None:
    for options, message in (
        ({"dataset": "nuscene"}, "Did you mean 'nuScenes'"),
        ({"limit": 0}, "--limit: it is 0"),
        ({"split": "test"}, "infos_10sweeps_test"),
        ({"swap_images": True}, "--swap-images: it is for captures"),
        ({"reading": Reading(max_views=1)}, "a dataset is always read as published"),
        ({"votes": Votes(thin=0.1)}, "it does nothing without votes"),
        ({"dataset": "Structured3D", "votes": Votes(vote=True)}, "the paper reports no model for it"),
        ({"out": tmp_path}, "this is not a file name"),
        ({"dataset": None, "split": "train"}, "--split: it is only for prepared datasets"),
    ):
        with pytest.raises(InputError, match=message):
            run(command(place, options.pop("out", tmp_path / "found.json"), **options))  # type: ignore[attr-defined]
        assert not list(tmp_path.iterdir())

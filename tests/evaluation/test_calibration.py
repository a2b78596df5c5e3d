"""Confidence against the share of right labels: the error, the temperature that corrects it, and who is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import PREPARATION, make_scene, tiny_config, write_model, write_world

from ditr.cli import execute
from ditr.data.augment.variants import ROTATIONS
from ditr.errors import InputError
from ditr.evaluation.calibration import Calibration, TemperatureSearch, some_labelled
from ditr.evaluation.evaluate import evaluate
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import write_json
from ditr.weights.saved_model import load_model, read_config, save_model


def test_the_error_is_what_its_definition_says() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(5000).astype(np.float32)
    label, prediction = rng.integers(-1, 3, 5000), rng.integers(0, 3, 5000)
    found = Calibration()
    for part in np.array_split(np.arange(5000), 3):
        found.update(confidence[part], prediction[part], label[part])
    known = label >= 0
    expected = 0.0
    for low in range(15):
        chosen = known & (confidence > low / 15) & (confidence <= (low + 1) / 15)
        gap = abs(confidence[chosen].mean() - (prediction == label)[chosen].mean())
        expected += gap * chosen.sum() / known.sum()
    assert found.error == pytest.approx(expected, abs=1e-6)
    assert Calibration().error == 0


@pytest.mark.parametrize("true", [0.4, 1.0, 2.7])
def test_the_search_finds_the_temperature_of_labels_that_were_drawn(true: float) -> None:
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(40_000, 5, generator=generator)
    label = torch.multinomial(torch.softmax(logits / true, dim=1), 1, generator=generator)[:, 0]
    search = TemperatureSearch()
    search.add(logits[:30_000], label[:30_000])
    search.add(logits[30_000::2], label[30_000::2], 2.0)
    assert search.best == pytest.approx(true, rel=0.03)
    # The parabola between the temperatures of the series is as good as a search there.
    near = torch.tensor(search.best) * torch.linspace(0.98, 1.02, 41)
    loss = [torch.nn.functional.cross_entropy(logits[:30_000] / t, label[:30_000]) for t in near]
    assert min(loss) > loss[20] - 1e-3


def test_a_search_without_points_or_with_broken_scores_finds_nothing() -> None:
    assert TemperatureSearch().best is None
    search = TemperatureSearch()
    search.add(torch.full((3, 2), torch.nan), torch.zeros(3, dtype=torch.int64))
    assert search.best is None
    rows, weight = some_labelled(np.array([-1, 2, 0, -1, 1]), most=2)
    assert rows.tolist() == [1, 4] and weight == 1.5
    assert len(some_labelled(np.array([-1, -1]))[0]) == 0


def test_a_temperature_changes_confidence_and_no_label() -> None:
    torch.manual_seed(0)
    config = tiny_config()
    model = config.build()
    plain = Segmenter(config, model, device="cpu")
    warm = Segmenter(replace(config, temperature=4.0), model, device="cpu")
    for votes in (None, Voting(ROTATIONS)):
        before, after = (segmenter(make_scene(), votes=votes) for segmenter in (plain, warm))
        np.testing.assert_array_equal(before.label, after.label)
        assert after.confidence.mean() < before.confidence.mean() and (after.confidence >= 1 / 3 - 1e-6).all()
        assert before.summary()["confidence"] == "uncalibrated" and "calibrated on" in after.summary()["confidence"]
    same = Segmenter(replace(config, temperature=1.0), model, device="cpu")
    np.testing.assert_allclose(same(make_scene()).confidence, plain(make_scene()).confidence, atol=1e-6)


def test_a_temperature_is_kept_and_old_configs_have_none(tmp_path: Path) -> None:
    config = write_model(tmp_path / "model")
    save_model(tmp_path / "warm", replace(config, temperature=1.7), load_model(tmp_path / "model")[1])
    assert read_config(tmp_path / "warm").temperature == 1.7
    content = json.loads((tmp_path / "model" / "config.json").read_text())
    old = {name: value for name, value in content.items() if name not in ("temperature", "labels")}
    (tmp_path / "model" / "config.json").write_text(json.dumps(old))
    assert read_config(tmp_path / "model") == config
    with pytest.raises(ValueError, match="not positive"):
        replace(config, temperature=0.0)


def test_evaluation_has_the_calibration_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_world(tmp_path / "data", 1)
    write_model(tmp_path / "model")
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    found = evaluate(segmenter, [tmp_path / "data" / "scene_0"])
    scene = make_scene()
    prediction = segmenter(scene)
    own = Calibration()
    own.update(prediction.confidence, prediction.label, scene.label)  # type: ignore[arg-type]
    assert found.to_json()["calibration_error"] == pytest.approx(100 * own.error, abs=1e-3) and own.error > 0
    data, out = tmp_path / "data", tmp_path / "figures.json"
    execute(["evaluate", str(tmp_path / "model"), "--data", str(data), "--out", str(out), "--device", "cpu"])
    assert f"calibration error of the confidence {100 * own.error:.1f} (uncalibrated)" in capsys.readouterr().out


def test_labels_below_a_confidence_are_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capture = write_world(tmp_path / "data", 1)[0]
    write_model(tmp_path / "model")
    common = ["segment", str(capture), "--model", str(tmp_path / "model"), "--device", "cpu"]
    execute([*common, "--out", str(tmp_path / "all"), "--no-pictures"])
    every, confidence = (np.load(tmp_path / "all" / f"{name}.npy") for name in ("label", "confidence"))
    limit = float(np.median(confidence))
    execute([*common, "--out", str(tmp_path / "sure"), "--min-confidence", str(limit)])
    sure = np.load(tmp_path / "sure" / "label.npy")
    np.testing.assert_array_equal(sure, np.where(confidence < np.float32(limit), -1, every))
    summary = json.loads((tmp_path / "sure" / "summary.json").read_text())
    assert summary["points_below_min_confidence"] == np.count_nonzero(sure < 0) > 0
    assert sum(summary["points_per_class"].values()) == np.count_nonzero(sure >= 0)
    said = capsys.readouterr().out
    assert "no label" in said and "(uncalibrated)" in said
    with pytest.raises(InputError, match="--min-confidence"):
        execute([*common, "--out", str(tmp_path / "none"), "--min-confidence", "1.5"])


@pytest.mark.parametrize("votes", [None, Voting()], ids=["once", "votes"])
def test_scores_that_are_not_finite_are_no_labels(votes: Voting | None) -> None:
    config = tiny_config()
    segmenter = Segmenter(config, config.build(), device="cpu")
    scene = make_scene()
    normal = np.array(scene.normal)
    normal[5] = np.nan
    bad = replace(scene, normal=normal)
    fine = replace(PREPARATION, voxel_size=0.02)
    segmenter = Segmenter(replace(config, preparation=fine), segmenter.model, device="cpu")
    with pytest.raises(InputError, match=r"scene scene_0: the network gives no finite scores .* point \d+"):
        segmenter(bad, votes=votes)


def test_files_are_strict_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": float("nan"), "b": [1.5, float("inf")], "c": {"d": (1, "x", None, True)}})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, None],
        "c": {"d": [1, "x", None, True]},
    }

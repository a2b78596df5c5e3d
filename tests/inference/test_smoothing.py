"""Labels of points by the voxels around them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import ditr, make_scene, tiny_config, tiny_encoding, write_model, write_world

from ditr.captures.capture import read_capture
from ditr.cli.options import Votes
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.inference.smoothing import Smoothing
from ditr.scene import Scene


def segmenter(**preparation: object) -> Segmenter:
    torch.manual_seed(3)
    config = tiny_config(**preparation)
    model = config.build()
    # A head whose logits are far apart: labels of neighbouring voxels differ.
    with torch.no_grad():
        for parameter in model.head.parameters():  # type: ignore[union-attr]
            parameter.mul_(8)
    return Segmenter(config, model, device="cpu")  # type: ignore[arg-type]


def test_a_point_in_the_middle_of_its_voxel_has_the_label_of_the_voxel() -> None:
    model = segmenter()
    scene = make_scene(points=1200)
    # Coordinates are counted from the middle of the floor plan and the lowest point, and these lie between cells.
    corners = np.array([[0.125, 0.125, 0.0], [3.875, 2.875, 1.75]])
    middles = np.floor(scene.coord / 0.25) * 0.25 + (0.125, 0.125, 0.125)
    coord = np.concatenate([corners, middles[(middles <= corners[1]).all(axis=1)]])
    own = {name: getattr(scene, name)[: len(coord)] for name in ("color", "normal", "label")}
    level = replace(scene, coord=coord, **own)
    plain, smooth = model(level), model(level, votes=Smoothing())
    assert plain.voxels == smooth.voxels > 100 and smooth.smoothed and not plain.smoothed
    np.testing.assert_array_equal(plain.label[2:], smooth.label[2:])
    np.testing.assert_allclose(plain.confidence[2:], smooth.confidence[2:], rtol=1e-4)


def test_labels_change_only_beside_other_labels_and_the_network_is_asked_once() -> None:
    model = segmenter()
    scene = make_scene(points=3000)
    asked: list[int] = []
    run = model.run
    model.run = lambda batch: (asked.append(len(batch.feature)), run(batch))[1]  # type: ignore[method-assign]
    plain, smooth = model(scene), model(scene, votes=Smoothing())
    assert asked == [plain.voxels, plain.voxels]
    changed = np.flatnonzero(plain.label != smooth.label)
    assert 0 < len(changed) < 0.5 * len(scene)
    for row in changed:
        near = (np.abs(scene.coord - scene.coord[row]) < 0.5).all(axis=1)
        assert smooth.label[row] in plain.label[near]
    assert (smooth.confidence > 0).all() and (smooth.confidence <= 1).all()
    again = model(scene, votes=Smoothing())
    np.testing.assert_array_equal(again.label, smooth.label)
    np.testing.assert_array_equal(again.confidence, smooth.confidence)


@pytest.mark.parametrize("box", [None, (-1.0, -1.0, 0.0, 1.0, 1.0, 1.0)])
@pytest.mark.parametrize("up", [(0.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
def test_voxels_are_those_of_the_sample(box: tuple[float, ...] | None, up: tuple[float, float, float]) -> None:
    """With a head that is the same everywhere nothing can change, with whatever box and rotation."""
    model = segmenter(clip_box=box)
    with torch.no_grad():
        model.model.head.weight.zero_()  # type: ignore[union-attr, operator]
    scene = make_scene()
    plain, smooth = model(scene, up=up), model(scene, up=up, votes=Smoothing())
    np.testing.assert_array_equal(plain.label, smooth.label)
    np.testing.assert_allclose(plain.confidence, smooth.confidence, rtol=1e-5)


def test_a_temperature_changes_confidences_alone() -> None:
    model = segmenter()
    warm = Segmenter(replace(model.config, temperature=3.0), model.model, device="cpu")
    scene = make_scene()
    plain, tempered = model(scene, votes=Smoothing()), warm(scene, votes=Smoothing())
    np.testing.assert_array_equal(plain.label, tempered.label)
    assert tempered.calibrated and tempered.confidence.mean() < plain.confidence.mean()


def test_scores_that_are_not_finite_are_refused() -> None:
    model = segmenter()
    with torch.no_grad():
        model.model.head.bias.fill_(torch.nan)  # type: ignore[union-attr, operator]
    with pytest.raises(InputError, match="no finite scores"):
        model(make_scene(), votes=Smoothing())


def one_point() -> Scene:
    scene = make_scene()
    own = {name: getattr(scene, name)[:1] for name in ("color", "normal", "label")}
    return replace(scene, coord=scene.coord[:1], **own)


def test_a_single_point() -> None:
    model = segmenter()
    plain, smooth = model(one_point()), model(one_point(), votes=Smoothing())
    assert plain.label == smooth.label and plain.confidence == pytest.approx(smooth.confidence, rel=1e-6)


def test_votes_and_smoothing_exclude_each_other() -> None:
    assert Votes(smooth=True).procedure() == Smoothing()
    with pytest.raises(InputError, match="--smooth: with voting every point already has its own scores"):
        Votes(vote=True, smooth=True).procedure()


def test_on_the_command_line(tmp_path: Path) -> None:
    write_model(tmp_path / "model", tiny_encoding(tmp_path))
    (folder,) = write_world(tmp_path / "data", 1)
    ditr("segment", folder, "--model", tmp_path / "model", "--device", "cpu", "--no-pictures", "--out",
         tmp_path / "out", "--smooth")  # fmt: skip
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["labels"] == "smoothed: logits of the eight voxels around each point"
    found = Segmenter.from_pretrained(tmp_path / "model", device="cpu")(read_capture(folder), votes=Smoothing())
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "label.npy", allow_pickle=False), found.label)


@pytest.mark.slow
def test_in_an_evaluation_and_for_many_scenes(tmp_path: Path) -> None:
    write_model(tmp_path / "model", tiny_encoding(tmp_path))
    folders = write_world(tmp_path / "data", 2)
    out = tmp_path / "figures.json"
    ditr("evaluate", tmp_path / "model", "--data", tmp_path / "data", "--device", "cpu", "--out", out, "--smooth")
    assert json.loads(out.read_text())["smooth"]
    ditr("segment", tmp_path / "data", "--model", tmp_path / "model", "--device", "cpu", "--out", tmp_path / "many",
         "--smooth")  # fmt: skip
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    for folder in folders:
        label = np.load(tmp_path / "many" / folder.name / "label.npy", allow_pickle=False)
        np.testing.assert_array_equal(label, segmenter(read_capture(folder), votes=Smoothing()).label)

"""The study on one LiDAR scan: its blocks, its captures, its baselines and its figures."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import make_scene
from torch import nn

from ditr.captures.capture import read_capture
from ditr.data.augment.point_set import PointSet, augment
from ditr.data.augment.points import outdoor_augmentations
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene
from ditr.training.recipe import Augmentation
from ditr.weights.saved_model import ModelConfig


@pytest.fixture(scope="module")
def study() -> ModuleType:
    path = Path(__file__).parents[1] / "benchmarks" / "rellis_blocks.py"
    if not path.exists():
        pytest.skip("benchmarks are not part of this copy")
    spec = importlib.util.spec_from_file_location("rellis_blocks", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["rellis_blocks"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scan() -> Scene:
    """Points all around the origin; labels 0, 1, 2 lie at 5, 10 and 20 m, and some are missing."""
    rng = np.random.default_rng(5)
    azimuth = rng.uniform(-np.pi, np.pi, 900)
    label = rng.integers(0, 3, 900)
    distance = np.array([5.0, 10.0, 20.0])[label]
    coord = np.stack([distance * np.cos(azimuth), distance * np.sin(azimuth), rng.uniform(-1, 1, 900)], axis=1)
    label[rng.random(900) < 0.1] = -1
    photographed = make_scene(views=1)
    return replace(
        photographed, coord=coord, label=label.astype(np.int32), color=None, normal=None, strength=np.ones(900)
    )


@given(degrees=st.sampled_from([1.0, 2.0, 3.0, 4.0]), height=st.floats(-50, 50), distance=st.floats(0.5, 100))
def test_blocks_alternate(study: ModuleType, degrees: float, height: float, distance: float) -> None:
    count = round(360 / degrees)
    middle = np.radians((np.arange(count) + 0.5) * degrees)
    coord = np.stack([distance * np.cos(middle), distance * np.sin(middle), np.full(count, height)], axis=1)
    in_test = study.test_blocks(coord, degrees)
    assert (in_test[1:] != in_test[:-1]).all() and in_test[0] != in_test[-1]


def test_block_is_no_wider_than_asked(study: ModuleType) -> None:
    angle = np.radians(np.arange(0, 360, 0.01) + 0.005)
    in_test = study.test_blocks(np.stack([np.cos(angle), np.sin(angle), angle * 0], axis=1), 4.0)
    runs = np.diff(np.flatnonzero(np.diff(in_test.astype(int)))) * 0.01
    np.testing.assert_allclose(runs, 4.0, atol=0.011)


def test_sides_share_all_but_labels(study: ModuleType, scan: Scene, tmp_path: Path) -> None:
    in_test = study.test_blocks(scan.coord, 4.0)
    study.write_sides(scan, in_test, tmp_path)
    train, test = read_capture(tmp_path / "train"), read_capture(tmp_path / "test")
    for side in (train, test):
        assert np.array_equal(side.coord, scan.coord) and np.array_equal(side.strength, scan.strength)
        assert side.views[0].image.is_file()
        assert side.class_names == scan.class_names
    assert (train.label[in_test] == -1).all() and (test.label[~in_test] == -1).all()
    assert np.array_equal(np.maximum(train.label, test.label), scan.label)


def test_other_blocks_need_another_folder(study: ModuleType, scan: Scene, tmp_path: Path) -> None:
    study.write_sides(scan, study.test_blocks(scan.coord, 4.0), tmp_path)
    study.write_sides(scan, study.test_blocks(scan.coord, 4.0), tmp_path)
    with pytest.raises(InputError, match="other blocks"):
        study.write_sides(scan, study.test_blocks(scan.coord, 2.0), tmp_path)


def test_nearest_label_is_that_of_the_nearest(study: ModuleType) -> None:
    rng = np.random.default_rng(0)
    # Far from the origin and a centimetre apart: single precision would mix neighbours up.
    train = np.array([500.0, 300.0, 0.0]) + rng.uniform(0, 0.2, (700, 3))
    query = np.array([500.0, 300.0, 0.0]) + rng.uniform(0, 0.2, (1100, 3))
    label = np.arange(700, dtype=np.int32)
    expected = np.square(query[:, None] - train[None]).sum(axis=2).argmin(axis=1)
    assert np.array_equal(study.nearest_label(train, label, query), expected)


def test_baselines_learn_from_the_training_side_alone(study: ModuleType, scan: Scene) -> None:
    in_test = study.test_blocks(scan.coord, 4.0)
    visible = scan.coord[:, 0] > 0
    result = study.baselines(scan, in_test, visible)
    # Classes are rings of their own, so a neighbour is of the same class.
    assert result["nearest_neighbour"]["all"]["accuracy"] == 100
    counted = in_test & (scan.label >= 0)
    assert result["majority"]["all"]["points"] == counted.sum()
    assert result["majority"]["visible"]["points"] == (counted & visible).sum()
    frequent = np.bincount(scan.label[~in_test & (scan.label >= 0)]).argmax()
    share = 100 * (scan.label[counted] == frequent).mean()
    assert result["majority"]["all"]["accuracy"] == pytest.approx(share, abs=0.01)
    moved = replace(scan, label=np.where(in_test, 0, scan.label))
    assert study.baselines(moved, in_test, visible)["majority"]["all"]["iou"].keys() == {scan.class_names[0]}


def test_counts_add_up(study: ModuleType, scan: Scene) -> None:
    in_test, visible = study.test_blocks(scan.coord, 4.0), scan.coord[:, 0] > 0
    table = study.counts(scan, in_test, visible)
    for index, name in enumerate(scan.class_names):
        row = table[name]
        assert row["train"] + row["test"] == (scan.label == index).sum()
        assert row["train_visible"] + row["test_visible"] == ((scan.label == index) & visible).sum()


def test_both_networks_get_the_same_recipe(study: ModuleType) -> None:
    alone, images = (study.make_recipe(network, 7, 100, 4) for network in ("ptv3", "ditr"))
    assert alone.encoder is None and images.encoder is not None
    assert replace(images, encoder=None) == alone
    half = study.make_recipe("ptv3", 7, 100, 4, turn_half=True)
    assert half.augmentation.of_points() == outdoor_augmentations()
    assert replace(half, augmentation=alone.augmentation) == alone


def test_recipe_can_be_trained(study: ModuleType, scan: Scene, tmp_path: Path) -> None:
    """One step of a run as the study makes it, on a world that is small enough."""
    study.write_sides(scan, study.test_blocks(scan.coord, 4.0), tmp_path)
    recipe = study.make_recipe("ptv3", 0, 1, 2)
    row = study.one_run(tmp_path, replace(recipe, preparation=replace(recipe.preparation, voxel_size=1.0)))
    assert (row["network"], row["seed"]) == ("ptv3", 0)
    for kind in study.STATISTICS:
        for side in ("test", "train"):
            parts = row[kind][side]
            assert parts["all"]["points"] == parts["visible"]["points"] + parts["invisible"]["points"] > 300


def test_new_averages_are_the_means_of_the_finished_networks_statistics(
    study: ModuleType, scan: Scene, tmp_path: Path
) -> None:
    """Without chance in the samples every batch has the statistics of the scan, and so has their mean."""
    study.write_sides(scan, study.test_blocks(scan.coord, 4.0), tmp_path)
    recipe = study.make_recipe("ptv3", 0, 1, 2)
    config = ModelConfig(replace(recipe.network, in_channels=4), recipe.preparation, scan.class_names)
    torch.manual_seed(0)
    segmenter = Segmenter(config, config.build())
    for parameter in segmenter.model.parameters():
        parameter.requires_grad_(False)
    with study.own_statistics(segmenter.model):
        own = segmenter(scan).confidence
    before = segmenter(scan).confidence
    # Each point has a voxel of its own, or chance would choose which one stands for it.
    still = replace(recipe, augmentation=Augmentation("none"), preparation=replace(recipe.preparation, voxel_size=0.2))
    study.renew_averages(segmenter, still, tmp_path / "train")
    after = segmenter(scan).confidence
    assert not any(module.training for module in segmenter.model.modules())
    assert np.abs(after - own).max() < 0.2 * np.abs(before - own).max()


def test_every_sample_is_turned(study: ModuleType) -> None:
    points = PointSet(coord=np.eye(3, dtype=np.float32) * 10, index=np.arange(3))
    chain = study.AlwaysTurned("outdoor").of_points()
    angles = []
    for seed in range(40):
        turned = augment(points, chain, np.random.default_rng(seed)).coord
        angles.append(np.degrees(np.arctan2(turned[0, 1], turned[0, 0])) % 90)
    assert np.ptp(np.sort(angles)) > 60 and np.unique(np.round(angles)).size > 20


def test_own_statistics_are_those_of_the_input_and_leave_the_averages(study: ModuleType) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3)
    model = nn.Sequential(nn.Linear(2, 3), nn.Sequential(norm, nn.Dropout())).eval()
    x = torch.randn(50, 2) * 4 + 7
    mean, variance, usual = norm.running_mean.clone(), norm.running_var.clone(), model(x)
    with study.own_statistics(model):
        own = model(x)
        assert norm.training and not model[1][1].training
    torch.testing.assert_close(own.mean(dim=0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(own.std(dim=0, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert torch.equal(model(x), usual) and float((own - usual).detach().abs().max()) > 1
    assert torch.equal(norm.running_mean, mean) and torch.equal(norm.running_var, variance) and norm.momentum == 0.1


def test_summary_pairs_seeds(study: ModuleType) -> None:
    def row(network: str, seed: int, value: float) -> dict[str, object]:
        part = {"miou_present": value, "accuracy": value + 1}
        figures = {"test": dict.fromkeys(study.PARTS, part)}
        return {"network": network, "seed": seed, "running_averages": figures}

    runs = [
        row("ptv3", 0, 10.0),
        row("ditr", 0, 15.0),
        row("ptv3", 1, 20.0),
        row("ditr", 1, 29.0),
        row("ptv3", 2, 90.0),
    ]
    table = study.summary(runs, "running_averages")
    assert table["seeds"] == [0, 1]
    figure = table["visible miou_present"]
    assert figure["ptv3"] == {"mean": 15.0, "sd": 7.07, "each": [10.0, 20.0]}
    assert figure["ditr_less_ptv3"] == {"mean": 7.0, "sd": 2.83, "each": [5.0, 9.0]}
    assert study.summary(runs[:1], "running_averages") == {"seeds": []}

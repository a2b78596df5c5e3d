"""Which way is up has one owner: training, validation, evaluation and labelling turn a scene alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from numpy.typing import NDArray
from prepared_layouts import write_scannet
from safetensors.numpy import load_file
from small_world import CLASSES, NETWORK, PREPARATION, make_scene, tiny_config
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.captures.folders import Captures
from ditr.cli import execute
from ditr.data.dataset import Item, TrainingSet
from ditr.data.preparation import Attribute
from ditr.datasets.table import open_dataset
from ditr.evaluation.evaluate import evaluate
from ditr.evaluation.verify import verify
from ditr.evaluation.voting import Voting
from ditr.geometry.orientation import find_up, rotation_to_z
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene, SceneSource
from ditr.training.validation import validate

# A voxel for each point, in the same order on every road; the input features are the normals.
FINE = replace(PREPARATION, voxel_size=1e-4, attributes=(Attribute.NORMAL,))
CONFIG = replace(tiny_config(), preparation=FINE, network=replace(NETWORK, in_channels=3))
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
TILTED = rotation_to_z(np.array([0.0, np.sin(0.5), np.cos(0.5)])).T


def turned(scene: Scene, matrix: NDArray[np.float64]) -> Scene:
    """The scene in a frame that is turned by ``matrix``."""
    back = np.eye(4)
    back[:3, :3] = matrix.T
    assert scene.normal is not None
    views = tuple(replace(view, world_to_camera=view.world_to_camera @ back) for view in scene.views)
    normal = (scene.normal @ matrix.T).astype(np.float32)
    return replace(scene, coord=scene.coord @ matrix.T, normal=normal, views=views)


class Roads:
    """A network, and the input features that reach it by each road."""

    def __init__(self, class_names: tuple[str, ...] = CLASSES) -> None:
        config = replace(CONFIG, class_names=class_names)
        self.model = config.build().eval()
        self.segmenter = Segmenter(config, self.model)
        self.seen: list[torch.Tensor] = []
        self.model.register_forward_pre_hook(lambda _, inputs: self.seen.append(inputs[0]))

    def last(self, work: Callable[[], object]) -> torch.Tensor:
        self.seen.clear()
        work()
        return self.seen[-1]

    def by_training(self, source: SceneSource) -> torch.Tensor:
        data = TrainingSet(source, FINE, NETWORK.pyramid, seed=0)
        return data[Item(0, 0)].feature

    def by_validation(self, source: SceneSource) -> torch.Tensor:
        data = TrainingSet(source, FINE, NETWORK.pyramid, seed=0)
        return self.last(lambda: validate(Fabric(accelerator="cpu", devices=1), self.model, data))

    def by_labelling(self, source: SceneSource) -> torch.Tensor:
        return self.last(lambda: self.segmenter(source.scene(0)))


@pytest.mark.parametrize("matrix", [np.eye(3), Y_UP, TILTED], ids=["z-up", "y-up", "tilted"])
def test_a_capture_is_turned_alike_on_every_road(tmp_path: Path, matrix: NDArray[np.float64]) -> None:
    scene = turned(replace(make_scene(points=400, views=6), class_names=CLASSES), matrix)
    write_capture(scene, tmp_path / "capture")
    source, roads = Captures([tmp_path / "capture"]), Roads()
    expected = roads.by_labelling(source)
    floor = np.arange(len(scene) - 2 * (len(scene) // 3))
    # The floor's normals, a third of all, point up for the network, and no other normal does.
    assert (expected[:, 2] > 0.95).sum() == len(floor) and len(expected) == len(scene)
    torch.testing.assert_close(roads.by_training(source), expected, rtol=0, atol=0)
    torch.testing.assert_close(roads.by_validation(source), expected, rtol=0, atol=0)
    by_evaluation = roads.last(lambda: evaluate(roads.segmenter, [tmp_path / "capture"]))
    torch.testing.assert_close(by_evaluation, expected, rtol=0, atol=0)


def test_a_scene_of_a_benchmark_lies_as_published_on_every_road(tmp_path: Path) -> None:
    """Its cameras say otherwise, and are not asked."""
    scene = turned(replace(make_scene(points=400, views=6, depth=True), name="scene_0"), TILTED)
    assert np.rad2deg(np.arccos(find_up(scene)[2])) > 20
    source = open_dataset("ScanNet", write_scannet(tmp_path / "scannet", [scene]), "train")
    read = source.scene(0)
    roads = Roads(read.class_names)
    np.testing.assert_array_equal(find_up(read), (0, 0, 1))
    expected = roads.by_labelling(source)
    assert read.normal is not None
    as_stored = sorted(map(tuple, read.normal))
    assert sorted(map(tuple, expected.numpy())) == as_stored
    torch.testing.assert_close(roads.by_training(source), expected, rtol=0, atol=0)
    torch.testing.assert_close(roads.by_validation(source), expected, rtol=0, atol=0)
    by_verify = roads.last(
        lambda: verify(roads.segmenter, source, Voting(), tmp_path / "out", weights=Path(__file__), settings={})
    )
    assert sorted(map(tuple, by_verify.numpy())) == as_stored


def test_a_y_up_capture_trains_validates_evaluates_and_segments_to_the_same_bits(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path / "encoder")
    common = ("--device", "cpu", "--cache", str(tmp_path / "cache"))
    small = ("--encoder", str(tmp_path / "encoder"), "--steps", "2", "--profile", "indoor", "--set", "batch_size=1")
    found = []
    for name, matrix in (("z", np.eye(3)), ("y", Y_UP)):
        data, run, labels = tmp_path / name / "data", tmp_path / name / "run", tmp_path / name / "labels"
        for seed in (0, 1):
            write_capture(turned(make_scene(seed, depth=True), matrix), data / f"scene_{seed}", image_format="png")
        execute(["train", "small", str(run), "--data", str(data), "--validate", str(data), *small, *common])
        execute(["evaluate", str(run), "--data", str(data), *common])
        execute(["segment", str(data / "scene_1"), "--model", str(run), "--out", str(labels), "--no-pictures", *common])
        summary = json.loads((labels / "summary.json").read_text())
        steps = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
        losses = [(step["loss"], step["gradient_norm"]) for step in steps]
        figures = json.loads((run / "evaluation.json").read_text())["miou"]
        arrays = [np.load(labels / f"{what}.npy") for what in ("label", "confidence")]
        found.append(
            (losses, (run / "validation.jsonl").read_text(), figures, arrays, load_file(run / "model.safetensors"))
        )
        assert ("y is up" in json.dumps(summary)) == (name == "y")
    (*level, arrays, weights), (*other, others, other_weights) = found
    assert level == other and level[0]
    np.testing.assert_array_equal(arrays, others)
    assert all(np.array_equal(values, other_weights[name]) for name, values in weights.items())

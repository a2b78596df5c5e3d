"""A dataset is added by one file and one line: then it is opened, trained on by a recipe, tried out and verified."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene, tiny_encoding, tiny_recipe
from toy_dataset import CLASSES, TOY, write_toy

from ditr.cli.verify import Verify
from ditr.cli.verify import run as verify
from ditr.datasets import table
from ditr.errors import InputError
from ditr.io.settings_json import to_json_values
from ditr.recipes.prepared import is_prepared, open_datasets
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import JointDataset, read_recipe


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the dataset's, and the line in the table."""
    monkeypatch.setattr(table, "BENCHMARKS", (*table.BENCHMARKS, TOY))
    root = write_toy(tmp_path / "data" / "toy", [make_scene(seed) for seed in range(2)], "train")
    return write_toy(root, [make_scene(seed) for seed in (2, 3)], "val").parent


def test_it_is_opened_by_its_name(data: Path) -> None:
    source = table.open_dataset("toy", data / "toy", ["train", "val"])
    assert source.name == "Toy" and source.names() == [f"scene_{seed}" for seed in range(4)]
    scene, written = source.scene(3), make_scene(3)
    np.testing.assert_array_equal(scene.coord, written.coord)
    np.testing.assert_array_equal(scene.label, written.label)
    for view, expected in zip(scene.views, written.views, strict=True):
        np.testing.assert_allclose(view.world_to_camera, expected.world_to_camera, atol=1e-12)
    assert table.open_dataset("Toy", data / "toy", "val", images=False).scene(0).views == ()
    with pytest.raises(InputError, match="Did you mean 'Toy'"):
        table.by_name("Toyy")
    with pytest.raises(InputError, match=r"test: there is no such split \(folders here: train, val\)"):
        table.open_dataset("Toy", data / "toy", "test")


@pytest.mark.parametrize("images", [False, True], ids=["points", "images"])
def test_it_is_trained_on_and_verified(data: Path, tmp_path: Path, images: bool) -> None:
    encoding = tiny_encoding(tmp_path) if images else None
    toy = JointDataset("Toy", splits=("train",), held_out=("val",))
    recipe = tiny_recipe(encoding, preparation=TOY.preparation(images), datasets=(toy,), steps=2)
    (tmp_path / "recipe.json").write_text(json.dumps(to_json_values(recipe)))
    recipe = read_recipe(tmp_path / "recipe.json")
    assert is_prepared(recipe)
    scenes, validation = open_datasets(recipe, data)
    assert validation is not None and len(scenes["Toy"]) == len(validation) == 2
    run = TrainingRun(tmp_path / "run", scenes, encoding, device="cpu", quiet=True, validation=validation)
    config = train(recipe, run)
    assert (config.dataset, config.class_names, config.takes_images) == ("Toy", CLASSES, images)
    (tried,) = [json.loads(line) for line in (tmp_path / "run" / "validation.jsonl").read_text().splitlines()]
    labelled = sum(int((make_scene(seed).label >= 0).sum()) for seed in (2, 3))
    assert tried["points"]["count"] == labelled and len(tried["points"]["iou"]) == len(CLASSES)

    command = Verify("toy", str(tmp_path / "run"), data, out=tmp_path / "verified", device="cpu")
    verify(command)
    found = json.loads((tmp_path / "verified" / "verify.json").read_text())
    assert set(found["iou"]) == set(CLASSES) and found["of"]["dataset"] == "Toy"
    assert found["points"] == labelled
    scenes_verified = (tmp_path / "verified" / "scenes.jsonl").read_text().splitlines()
    assert [json.loads(line)["scene"] for line in scenes_verified] == ["scene_2", "scene_3"]
    with pytest.raises(SystemExit):
        verify(replace(command, published=found["miou"] + 5))

"""``ditr train`` beyond one labelled dataset: distil, then learn classes from it; settings from a file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_world import NETWORK, make_scene, tiny_recipe, without, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli.options import Reading
from ditr.cli.train import Train, run
from ditr.errors import InputError
from ditr.io.settings_json import to_plain
from ditr.nn.norms import DatasetNorms
from ditr.training.recipe import Distill, JointDataset
from ditr.weights.saved_model import read_config


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "labelled", 2)
    scene = replace(without(make_scene(7), "label"), class_names=())
    write_capture(scene, folder / "bare" / "scene_7", image_format="png")
    write_tiny_encoder(folder / "encoder")
    return folder


def command(world: Path, out: Path, data: str, **options: object) -> Train:
    common = {"device": "cpu", "cache": world / "cache", "quiet": True, "reading": Reading("indoor"), "steps": 2}
    return Train(out, data=world / data, **{**common, **options})  # type: ignore[arg-type]


def test_distil_then_learn_classes(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = {"voxel_size": 0.15, "batch_size": 1}
    student = command(
        world, tmp_path / "student", "bare", encoder=str(world / "encoder"), distill=True, quiet=False, **small
    )
    run(student)
    assert "--init" in capsys.readouterr().out
    assert read_config(tmp_path / "student").student is not None
    run(
        command(
            world,
            tmp_path / "tuned",
            "labelled",
            init=tmp_path / "student",
            validate=world / "labelled",
            validate_every=1,
            mix3d=1.0,
            **small,
        )
    )
    tuned = read_config(tmp_path / "tuned")
    assert tuned.class_names == ("floor", "wall", "box") and not tuned.takes_images
    rows = (tmp_path / "tuned" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1]


def test_settings_from_a_file(world: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        encoder=str(world / "encoder"),
        network=replace(NETWORK, norms=DatasetNorms(("labelled", "bare"))),
        task=Distill(),
        datasets=(JointDataset("labelled"), JointDataset("bare")),
        steps=2,
    )
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(to_plain(recipe)))
    run(command(world, tmp_path / "run", ".", settings=settings))
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["dataset"] for row in rows] == ["labelled", "bare"]
    again = tmp_path / "run" / "recipe.json"
    run(command(world, tmp_path / "again", ".", settings=again))
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "again")]
    assert weights[0] == weights[1]
    settings.write_text(json.dumps({**to_plain(recipe), "acumulate": 2}))
    with pytest.raises(InputError, match="Did you mean 'accumulate'"):
        run(command(world, tmp_path / "wrong", ".", settings=settings))

"""``ditr train`` with recipes of every kind, on captures; and that each option means the same for all of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_world import NETWORK, make_scene, tiny_recipe, without, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli import execute
from ditr.errors import InputError
from ditr.io.settings_json import to_json_values
from ditr.nn.norms import DatasetNorms
from ditr.training.recipe import DistillTask, JointDataset, Recipe, read_recipe
from ditr.weights.saved_model import read_config


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "labelled", 2)
    scene = replace(without(make_scene(7), "label"), class_names=())
    write_capture(scene, folder / "bare" / "scene_7", image_format="png")
    write_tiny_encoder(folder / "encoder")
    return folder


def train(world: Path, recipe: object, out: Path, *options: object, data: str | None = "labelled") -> Recipe:
    """Run the command; the recipe that it leaves."""
    given = [] if data is None else ["--data", world / data]
    common = ["--device", "cpu", "--cache", world / "cache", "--steps", 2]
    execute([str(part) for part in ("train", recipe, out, *given, *common, *options)])
    return read_recipe(out / "recipe.json")


SMALL = ("--profile", "indoor", "--set", "preparation.voxel_size=0.15", "--set", "batch_size=1")


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


def test_distil_then_learn_classes(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    student = tmp_path / "student"
    train(world, "small", student, *SMALL, "--encoder", world / "encoder", "--distill", data="bare")
    assert "--init" in capsys.readouterr().out
    assert read_config(student).student is not None
    more = ("--init", student, "--validate", world / "labelled", "--set", "validate_every=1")
    recipe = train(world, "small", tmp_path / "tuned", *SMALL, *more, "--set", "augmentation.mix3d=1")
    tuned = read_config(tmp_path / "tuned")
    # What a student starts takes no images, as the student itself.
    assert tuned.class_names == ("floor", "wall", "box") and not tuned.takes_images and recipe.encoder is None
    rows = (tmp_path / "tuned" / "validation.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [0, 1]
    assert "encoder: none" in capsys.readouterr().out
    train(world, tmp_path / "tuned" / "recipe.json", tmp_path / "again", "--init", student, data=None)
    for name in ("model.safetensors", "validation.jsonl", "best/model.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "tuned" / name).read_bytes(), name
    assert f"validated on {world / 'labelled'}, as" in capsys.readouterr().out


def test_a_recipe_from_a_file(world: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        encoder=str(world / "encoder"),
        network=replace(NETWORK, norms=DatasetNorms(("labelled", "bare"))),
        task=DistillTask(),
        datasets=(JointDataset("labelled"), JointDataset("bare")),
        steps=2,
    )
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps(to_json_values(recipe)))
    train(world, settings, tmp_path / "run", data=".")
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["dataset"] for row in rows] == ["labelled", "bare"]
    train(world, tmp_path / "run" / "recipe.json", tmp_path / "again", data=None)
    assert weights(tmp_path / "run") == weights(tmp_path / "again")
    settings.write_text(json.dumps({**to_json_values(recipe), "acumulate": 2}))
    with pytest.raises(InputError, match="Did you mean 'accumulate'"):
        train(world, settings, tmp_path / "wrong", data=".")


def test_options_mean_the_same_for_a_file_and_are_remembered(world: Path, tmp_path: Path) -> None:
    reading = ("--up", "0,1,0", "--substitute", "strength=3", "--max-views", 1)
    first = train(world, "small", tmp_path / "a", *SMALL, "--encoder", "none", "--seed", 5, *reading, "--quiet")
    assert (first.seed, first.steps, first.encoder, first.preparation.max_views) == (5, 2, None, 1)
    written = json.loads((tmp_path / "a" / "recipe.json").read_text())
    assert written["reading"] == {"profile": "indoor", "max_views": 1, "up": [0, 1, 0], "substitute": {"strength": 3}}
    assert written["recipe_name"] == "small" and "batch_size=1" in written["changes"]
    file = tmp_path / "a" / "recipe.json"
    train(world, file, tmp_path / "again", "--deterministic", "--checkpoint-every", 1, data=None)
    assert weights(tmp_path / "again") == weights(tmp_path / "a")
    train(world, file, tmp_path / "upright", "--up", "0,0,1", data=None)
    assert weights(tmp_path / "upright") != weights(tmp_path / "a")
    assert train(world, file, tmp_path / "seed", "--seed", 6, data=None).seed == 6
    with_images = train(world, file, tmp_path / "images", "--encoder", world / "encoder", data=None)
    assert with_images.encoder == str(world / "encoder") and read_config(tmp_path / "images").takes_images
    assert train(world, tmp_path / "images" / "recipe.json", tmp_path / "bare", "--encoder", "none", data=None) == first
    student = train(world, tmp_path / "images" / "recipe.json", tmp_path / "student", "--distill", data=None)
    assert isinstance(student.task, DistillTask) and student.epochs is None
    with pytest.raises(InputError, match="--split: captures have no splits"):
        train(world, file, tmp_path / "split", "--split", "train+val", data=None)


def test_full_has_the_published_sizes_and_the_captures_decide_the_rest(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_capture(without(make_scene(), "color"), world / "colourless" / "scene")
    with pytest.raises(InputError, match=r"outdoor.*--profile indoor.*--set preparation.attributes=coord"):
        train(world, "full", tmp_path / "run", "--encoder", "none", data="colourless")
    names = ("encoder_depths", "encoder_channels", "encoder_heads", "decoder_depths", "decoder_channels")
    names += ("decoder_heads", "patch_size", "stem_kernel", "mlp_ratio")
    tiny = [part for name in names for part in ("--set", f"network.{name}={json.dumps(getattr(NETWORK, name))}")]
    made = train(world, "full", tmp_path / "run", "--encoder", "none", *tiny, "--epochs", 1)
    assert made.preparation.voxel_size == 0.02 and made.optimizer.lr == 6e-3
    assert "profile indoor" in capsys.readouterr().out

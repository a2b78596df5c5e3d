"""Training as a whole: what a run leaves, and that nothing but seed and recipe decides what it learns."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_world import Stopped, make_scene, stop_after, tiny_encoding, tiny_recipe, without, write_world

from ditr.captures.capture import write_capture
from ditr.data.augment.images import HorizontalFlip
from ditr.data.dataset import Shuffle, TrainingSet
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.nn.products import Products, best_products, products, use_products
from ditr.training.loading import RankShare, load_batches
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Augmentation, OptimizerSettings, Recipe
from ditr.training.run_record import RunRecord
from ditr.weights.saved_model import load_model


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data")
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def run(world: Path, folder: Path, recipe: Recipe, encoding: CachedEncoding | None = None, **how: object) -> Path:
    captures = sorted((world / "data").iterdir())
    settings: dict[str, object] = {"device": "cpu", "quiet": True, "captures": captures, **how}
    train(recipe, TrainingRun(folder=folder, encoding=encoding, **settings))  # type: ignore[arg-type]
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def assert_equal(a: Path, b: Path) -> None:
    one, other = weights(a), weights(b)
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert not different, different


# ---- what a run leaves ----------------------------------------------------------------------------------------------


def test_a_run_leaves_model_recipe_and_logs(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    recipe = tiny_recipe(encoding)
    told: list[tuple[int, int]] = []
    folder = run(world, tmp_path / "run", recipe, encoding, checkpoint_every=2, report=lambda *s: told.append(s))
    config, model = load_model(folder)
    assert config.class_names == ("floor", "wall", "box")
    assert (
        config.network.image_width == encoding.width
        and config.encoder is not None
        and config.encoder.name == encoding.spec
    )
    assert config.encoder.weights == encoding.encoder.weights
    assert not model.training
    known = config.training_data
    assert known is not None and known.scenes == 3 and known.seen is not None
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(6))
    assert all(np.isfinite(row["loss"]) and row["lr"] > 0 and row["gradient_norm"] > 0 for row in rows)
    assert "step 6/6" in (folder / "train.log").read_text()
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert json.loads((folder / "recipe.json").read_text())["recipe"]["steps"] == 6
    assert told == [(step, 6) for step in range(1, 7)]
    assert not [path for path in folder.rglob("*") if ".part" in path.name]


def test_a_run_with_a_fixed_image_size_leaves_a_model_that_uses_it(
    world: Path, encoding: CachedEncoding, tmp_path: Path
) -> None:
    recipe = tiny_recipe(encoding, steps=1)
    recipe = replace(recipe, preparation=replace(recipe.preparation, image_size=(28, 70)))
    folder = run(world, tmp_path / "run", recipe, encoding)
    segmenter = Segmenter.from_pretrained(folder, device="cpu")
    assert segmenter.config.preparation.image_size == (28, 70)
    assert segmenter.encoding is not None and segmenter.encoding.size(make_scene().views[0]) == (28, 70)
    broken = replace(recipe, preparation=replace(recipe.preparation, image_size=(28, 71)))
    with pytest.raises(InputError, match="28x71 pixels are not a whole number of patches of 14"):
        run(world, tmp_path / "broken", broken, encoding)


def test_training_learns(world: Path, tmp_path: Path) -> None:
    folder = run(world, tmp_path / "run", tiny_recipe(steps=40, augmentation=Augmentation("none")))
    losses = [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])


# ---- nothing but seed and recipe decides ----------------------------------------------------------------------------


def test_equal_runs_give_equal_weights_and_another_seed_others(world: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=3)
    first = run(world, tmp_path / "a", recipe)
    assert_equal(first, run(world, tmp_path / "b", recipe))
    other = weights(run(world, tmp_path / "c", replace(recipe, seed=1)))
    assert any(not torch.equal(value, other[name]) for name, value in weights(first).items())


@pytest.mark.parametrize("images", [False, True], ids=["cached", "augmented"])
def test_the_number_of_workers_does_not_matter(
    world: Path, encoding: CachedEncoding, tmp_path: Path, images: bool
) -> None:
    recipe = tiny_recipe(encoding, steps=4, augmentation=Augmentation("light", images=images))
    alone = run(world, tmp_path / "alone", recipe, encoding)
    assert_equal(alone, run(world, tmp_path / "two", recipe, encoding, workers=2))


def test_photographs_that_are_cached_and_those_that_are_not_give_alike_weights(
    world: Path, encoding: CachedEncoding, tmp_path: Path
) -> None:
    """The cache rounds to 16 bits and nothing else."""
    recipe = tiny_recipe(encoding, steps=3)
    cached = weights(run(world, tmp_path / "cached", recipe, encoding))
    fresh = weights(run(world, tmp_path / "fresh", recipe, CachedEncoding(encoding.spec)))
    for name, value in cached.items():
        torch.testing.assert_close(value, fresh[name], rtol=0, atol=0.02)


def test_image_augmentation_that_does_nothing_changes_nothing(world: Path, encoding: CachedEncoding) -> None:
    """The path that encodes photographs again gives the tokens and the lift of the cached one."""
    captures = sorted((world / "data").iterdir())
    recipe = tiny_recipe(encoding)

    def batch(**augmentation: object) -> object:
        made = TrainingSet(
            captures, recipe.preparation, recipe.network.pyramid, seed=0, encoding=encoding, **augmentation
        )  # type: ignore[arg-type]
        order = RankShare(Shuffle(3, 2, 1, 0), 0, 1)
        return next(load_batches(made, order, encoding=CachedEncoding(encoding.spec), device="cpu", workers=0))

    plain, still = batch(), batch(image_augmentations=(HorizontalFlip(p=0.0),))
    torch.testing.assert_close(plain.tokens, still.tokens, rtol=0, atol=4e-3)  # the cache's 16 bits
    for one, other in zip(plain.lift.levels, still.lift.levels, strict=True):
        assert torch.equal(one.token, other.token) and torch.equal(one.count, other.count)


def test_accumulation_sees_the_scenes_of_the_larger_batch(world: Path) -> None:
    """Two batches of one scene are the scenes of one batch of two, in the same order; their gradients are averaged.

    The sums differ all the same: BatchNorm takes its statistics over each batch, and losses are means over points.
    """
    large = [item for batch in Shuffle(3, 2, 4, 0) for item in batch]
    small = [item for batch in Shuffle(3, 1, 8, 0) for item in batch]
    assert large == small


def test_accumulated_gradients_are_the_mean_of_those_of_the_batches(world: Path, tmp_path: Path) -> None:
    """One scene, twice, without chance: the mean of two equal gradients is the gradient."""
    captures = sorted((world / "data").iterdir())[:1]
    network = replace(tiny_recipe().network, drop_path=0.0)
    recipe = tiny_recipe(network=network, batch_size=1, steps=1, optimizer=OptimizerSettings(clip=1e9))

    def norm(folder: str, accumulate: int, batch_size: int = 1) -> tuple[float, float]:
        made = replace(recipe, accumulate=accumulate, batch_size=batch_size, augmentation=Augmentation("none"))
        # No augmentation still draws each voxel's point and the curves' order; large voxels of one point have none.
        made = replace(made, preparation=replace(made.preparation, voxel_size=1e-4))
        run(world, tmp_path / folder, made, captures=captures)
        row = json.loads((tmp_path / folder / "log.jsonl").read_text())
        return row["loss"], row["gradient_norm"]

    once, twice = norm("once", 1), norm("twice", 2)
    assert once == pytest.approx(twice, rel=0.05)


# ---- killed and resumed ---------------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(
    world: Path, encoding: CachedEncoding, tmp_path: Path
) -> None:
    recipe = tiny_recipe(encoding)
    whole = run(world, tmp_path / "whole", recipe, encoding, checkpoint_every=2)
    with pytest.raises(Stopped):
        run(world, tmp_path / "broken", recipe, encoding, checkpoint_every=2, report=stop_after(5))
    assert not (tmp_path / "broken" / "model.safetensors").exists()
    resumed: list[int] = []
    run(world, tmp_path / "broken", recipe, encoding, checkpoint_every=2, report=lambda done, _: resumed.append(done))
    assert resumed == [5, 6], "checkpoint 4 is where it goes on"
    assert_equal(whole, tmp_path / "broken")
    rows = [json.loads(line) for line in (tmp_path / "broken" / "log.jsonl").read_text().splitlines()]
    wanted = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(row["step"], row["loss"]) for row in wanted]


def test_a_damaged_checkpoint_is_passed_over(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recipe = tiny_recipe()
    whole = run(world, tmp_path / "run", recipe, checkpoint_every=2)
    kept = weights(whole)
    newest = whole / "checkpoints" / "step-00000006.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    (whole / "finished.json").unlink()
    done: list[int] = []
    with caplog.at_level(logging.WARNING):
        run(world, whole, recipe, checkpoint_every=2, report=lambda step, _: done.append(step))
    assert str(newest) in caplog.text and "the previous one" in caplog.text
    assert done == [5, 6]
    assert all(torch.equal(value, kept[name]) for name, value in weights(whole).items())


def test_a_folder_of_another_run_is_refused(world: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(steps=2)
    folder = run(world, tmp_path / "run", recipe, checkpoint_every=1)
    before = (folder / "recipe.json").read_bytes()
    changed = replace(recipe, seed=5, optimizer=replace(recipe.optimizer, lr=0.1))
    with pytest.raises(
        InputError, match=r"another recipe or other data: optimizer\.lr was 0\.004 and is 0\.1, seed was 0"
    ):
        run(world, folder, changed, checkpoint_every=1)
    with pytest.raises(
        InputError, match=r"training scenes without scene_2\. Use the recipe and data that the run began with"
    ):
        run(world, folder, recipe, captures=sorted((world / "data").iterdir())[:2])
    write_world(tmp_path / "else" / "data")
    run(tmp_path / "else", folder, recipe)  # the same captures in another place are the same run
    other = make_scene(9)
    write_capture(other, tmp_path / "else" / "data" / "scene_0", image_format="png")
    moved = tmp_path / "else" / "data" / "scene_0" / "transforms.json"
    moved.write_text(moved.read_text().replace("1.2", "1.3"))
    with pytest.raises(InputError, match="another recipe or other data: training scenes changed since: scene_0"):
        run(tmp_path / "else", folder, recipe)
    (folder / "run.json").unlink()  # as a run of ditr 0.1 left it
    with pytest.raises(InputError, match=r"model here belongs to another recipe or to other data"):
        run(tmp_path / "else", folder, recipe)
    assert json.loads(before)["recipe"] == json.loads((folder / "recipe.json").read_text())["recipe"]


@pytest.mark.parametrize("gone", ["", "checkpoints"])
def test_a_finished_run_is_not_trained_again(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    recipe = tiny_recipe(steps=3)
    folder = run(world, tmp_path / "run", recipe, checkpoint_every=2)
    if gone:
        shutil.rmtree(folder / gone)
    before = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    told: list[tuple[int, int]] = []
    with caplog.at_level(logging.WARNING):
        run(world, folder, recipe, checkpoint_every=2, quiet=False, report=lambda *step: told.append(step))
    assert f"{folder} is finished already" in caplog.text and told == [(3, 3)]
    assert {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()} == before
    with pytest.raises(InputError, match="another recipe or other data: seed was 0 and is 1"):
        run(world, folder, replace(recipe, seed=1))
    (folder / "model.safetensors").unlink()
    run(world, folder, recipe, checkpoint_every=2)
    assert weights(folder)


def test_a_validation_that_is_still_to_be_done_is_logged_once(world: Path, tmp_path: Path) -> None:
    """As after a kill between a validation that was pending and the next checkpoint."""
    captures = sorted((world / "data").iterdir())
    how = {"validation": captures[:1], "checkpoint_every": 1}
    folder = run(world, tmp_path / "run", tiny_recipe(steps=2, validate_every=1), **how)
    whole = (folder / "validation.jsonl").read_text()
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    with safe_open(newest, framework="pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    progress = {**json.loads(metadata["progress"]), "pending": True}
    save_file(tensors, newest, metadata={**metadata, "progress": json.dumps(progress)})
    (folder / "finished.json").unlink()
    run(world, folder, tiny_recipe(steps=2, validate_every=1), **how)
    assert [json.loads(row)["step"] for row in whole.splitlines()] == [0, 1]
    assert [json.loads(row)["step"] for row in (folder / "validation.jsonl").read_text().splitlines()] == [0, 1]


def test_a_run_is_made_longer(world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = run(world, tmp_path / "run", tiny_recipe(steps=4))
    before = (folder / "log.jsonl").read_text().splitlines()
    done: list[int] = []
    with caplog.at_level(logging.WARNING):
        run(world, folder, tiny_recipe(steps=8), report=lambda step, _: done.append(step))
    assert done == [5, 6, 7, 8]
    assert (
        "was started with 4 steps and now has 8: from step 4 on, it follows the one-cycle schedule of 8" in caplog.text
    )
    assert caplog.records[0].message.removeprefix(f"{folder}: ") in (folder / "train.log").read_text()
    rows = (folder / "log.jsonl").read_text().splitlines()
    assert rows[:4] == before and json.loads((folder / "finished.json").read_text())["steps"] == 8
    whole = run(world, tmp_path / "whole", tiny_recipe(steps=8)) / "log.jsonl"
    assert [json.loads(row)["lr"] for row in rows[4:]] == [
        json.loads(row)["lr"] for row in whole.read_text().splitlines()[4:]
    ]
    with pytest.raises(InputError, match="steps was 8 and is 4"):
        run(world, folder, tiny_recipe(steps=4))


def test_a_run_goes_on_elsewhere_only_where_that_is_allowed(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, threads = tmp_path / "run", torch.get_num_threads()
    with pytest.raises(Stopped):
        run(world, folder, tiny_recipe(), checkpoint_every=1, report=stop_after(3))
    how = {"precision": "bf16-mixed", "checkpoint_every": 1}
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(
            InputError, match=f"precision was 32-true and is bf16-mixed, threads was {threads}"
        ) as refused:
            run(world, folder, tiny_recipe(), **how)
        assert "--allow-other-machine" in str(refused.value)
        with caplog.at_level(logging.WARNING):
            run(world, folder, tiny_recipe(), allow_other_machine=True, **how)
    finally:
        torch.set_num_threads(threads)
    assert "its result differs from that of an uninterrupted run: precision was 32-true" in caplog.text
    machines = json.loads((folder / "run.json").read_text())["machines"]
    assert [(one["from_step"], one["precision"]) for one in machines] == [(0, "32-true"), (2, "bf16-mixed")]
    assert machines[0]["processes"] == 1 and machines[0]["attention"] and machines[0]["linear_algebra"]


def test_products_are_those_that_a_run_began_with(world: Path, tmp_path: Path) -> None:
    folder = run(world, tmp_path / "run", tiny_recipe(steps=1))
    record = json.loads((folder / "run.json").read_text())
    assert record["machines"][0]["products"] == best_products().value
    try:
        for name, chosen in (("torch", Products.TORCH), ("another", best_products())):
            record["machines"][0]["products"] = name
            (folder / "run.json").write_text(json.dumps(record))
            RunRecord.choose_products(folder)
            assert products() is chosen
        (folder / "run.json").unlink()  # as a run of ditr 0.1 left it
        RunRecord.choose_products(folder)
        assert products() is Products.TORCH
        RunRecord.choose_products(tmp_path / "new")
        assert products() is best_products()
    finally:
        use_products(None)


def test_checkpoints_after_minutes_change_no_bit(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    recipe = tiny_recipe(encoding)
    kept: list[list[str]] = []

    def look(_done: int, _total: int) -> None:
        kept.append(sorted(path.name for path in (tmp_path / "often" / "checkpoints").glob("*")))

    often = run(world, tmp_path / "often", recipe, encoding, checkpoint_minutes=1e-9, report=look)
    assert kept[3] == ["step-00000002.safetensors", "step-00000003.safetensors"]
    assert_equal(often, run(world, tmp_path / "seldom", recipe, encoding, checkpoint_minutes=0))


@pytest.mark.parametrize("content", ["", "[]", '{"recipe": {}}', '{"recipe": {}, "data": {}, "machines": []}'])
def test_a_damaged_record_is_named(world: Path, tmp_path: Path, content: str) -> None:
    folder = run(world, tmp_path / "run", tiny_recipe(steps=1))
    (folder / "run.json").write_text(content)
    with pytest.raises(InputError, match=r"run\.json: it (is not JSON|cannot be read) .*Delete it to continue anyway"):
        run(world, folder, tiny_recipe(steps=1))


# ---- bad input ------------------------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_the_scenes(world: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe(optimizer=OptimizerSettings(lr=1e30, block_lr=1e30, div_factor=1.0))
    with pytest.raises(InputError, match=r"scene_\d, scene_\d: the loss is not finite"):
        run(world, tmp_path / "run", recipe)
    assert not (tmp_path / "run" / "model.safetensors").exists()
    assert "stopped" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize("workers", [0, 2])
def test_captures_that_cannot_be_trained_on_are_named(world: Path, tmp_path: Path, workers: int) -> None:
    data = tmp_path / "data"
    shutil.copytree(world / "data", data)
    write_capture(replace(make_scene(1), class_names=("a", "b", "c")), data / "scene_1", image_format="png")
    with pytest.raises(InputError, match="scene_1: its classes are a, b, c"):
        run(tmp_path, tmp_path / "run", tiny_recipe(), workers=workers)
    write_capture(without(make_scene(1), "label"), data / "scene_1", image_format="png")
    with pytest.raises(InputError, match="scene_1: the points have no labels"):
        run(tmp_path, tmp_path / "run", tiny_recipe(), workers=workers)
    write_capture(replace(make_scene(0), class_names=()), data / "scene_0", image_format="png")
    with pytest.raises(InputError, match="scene_0: it has no class list"):
        run(tmp_path, tmp_path / "run", tiny_recipe(), workers=workers)


@pytest.mark.parametrize("images", [False, True], ids=["cached", "augmented"])
def test_a_scene_without_views_can_be_trained_on(
    world: Path, encoding: CachedEncoding, tmp_path: Path, images: bool
) -> None:
    shutil.copytree(world / "data", tmp_path / "data")
    write_capture(make_scene(1, views=0), tmp_path / "data" / "scene_1", image_format="png")
    recipe = tiny_recipe(encoding, steps=3, augmentation=Augmentation("light", images=images))
    run(tmp_path, tmp_path / "run", recipe, encoding)
    assert (tmp_path / "run" / "model.safetensors").exists()


def test_unlabelled_points_alone_give_a_finite_loss(world: Path, tmp_path: Path) -> None:
    scene = make_scene(0)
    write_capture(replace(scene, label=np.full(len(scene), -1)), tmp_path / "data" / "scene_0", image_format="png")
    folder = run(tmp_path, tmp_path / "run", tiny_recipe(steps=2))
    assert all(torch.isfinite(value).all() for value in weights(folder).values())


def test_many_samples_on_their_way_need_few_file_descriptors(world: Path) -> None:
    """Under a limit of 256, twelve samples a batch and two workers; each sample has about fifty tensors."""
    code = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from ditr.captures.folders import find_captures
from ditr.data.dataset import Shuffle, TrainingSet
from ditr.models.ptv3 import PTv3Config
from ditr.training.loading import RankShare, load_batches
from ditr.data.sample import Preparation
data = TrainingSet(find_captures(sys.argv[1]), Preparation(voxel_size=0.25), PTv3Config().pyramid, seed=0)
order = RankShare(Shuffle(3, 12, 4, 0), 0, 1)
print(sum(1 for _ in load_batches(data, order, encoding=None, device="cpu", workers=2)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(world / "data")], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "4", done.stderr


@pytest.mark.parametrize("changes", [{"steps": 0}, {"batch_size": 0}, {"accumulate": 0}, {"seed": -1}])
def test_impossible_recipes_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(changes))):
        tiny_recipe(**changes)


def test_unknown_augmentation_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"augmentation.points: it is 'wild'"):
        run(world, tmp_path / "run", tiny_recipe(augmentation=Augmentation("wild")))

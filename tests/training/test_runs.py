"""Runs of other kinds than one dataset with labels: distillation, joint runs, starts from weights, validation."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from safetensors.torch import load_file
from small_world import (
    NETWORK,
    PREPARATION,
    Stopped,
    make_scene,
    stop_after,
    tiny_encoding,
    tiny_recipe,
    without,
    write_world,
)

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import Captures
from ditr.data.dataset import Item, Shuffle
from ditr.data.preparation import Attribute, Origin, ViewDrop
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate
from ditr.inference.lifting import lift_features
from ditr.inference.segmenter import Segmenter
from ditr.inference.student_features import student_features
from ditr.io.settings_json import to_json_values
from ditr.models.distillation import Distillation, Whitening
from ditr.nn.norms import DatasetNorms
from ditr.scene import Scene
from ditr.training.loading import JointSampler, RankShare
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import (
    Augmentation,
    DistillTask,
    JointDataset,
    OptimizerSettings,
    Recipe,
    SegmentTask,
    read_recipe,
)
from ditr.training.setup import make_data
from ditr.weights.saved_model import load_model

JOINT = replace(NETWORK, norms=DatasetNorms(("a", "b")))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", 4)
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def scenes(world: Path) -> list[Path]:
    return sorted((world / "data").iterdir())


def run(world: Path, folder: Path, recipe: Recipe, encoding: CachedEncoding | None = None, **how: object) -> Path:
    settings: dict[str, object] = {"device": "cpu", "quiet": True, "captures": scenes(world)[:3], **how}
    train(recipe, TrainingRun(folder=folder, encoding=encoding, **settings))  # type: ignore[arg-type]
    return folder


def rows(folder: Path, name: str = "log.jsonl") -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def bits(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


# ---- recipes --------------------------------------------------------------------------------------------------------


def test_recipes_are_read_from_json(tmp_path: Path) -> None:
    recipe = tiny_recipe(
        encoder="dinov2-large",
        task=DistillTask(cls_tokens=2),
        network=JOINT,
        datasets=(JointDataset("a", 2), JointDataset("b", augmentation=Augmentation("none", crop=9))),
        optimizer=OptimizerSettings(rates=(("^backbone", 1e-4),)),
    )
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(to_json_values(recipe)))
    assert read_recipe(path) == recipe
    path.write_text(json.dumps({"recipe": {"task": {"kind": "segmentation", "class_weights": [1, 2.5]}}}))
    assert read_recipe(path).task == SegmentTask(class_weights=(1.0, 2.5))
    for content, message in (
        ({"task": {"kind": "segmentation", "lovas": 1.0}}, "task.lovas'. Did you mean 'lovasz'"),
        ({"datasets": [{"name": "a", "ration": 2}]}, "datasets.0..ration'. Did you mean 'ratio'"),
        ({"optimiser": {}}, "Did you mean 'optimizer'"),
        ({"optimizer": {"method": "adam"}}, "Give one of adamw, sgd"),
        ({"augmentation": {"mix3d": 1.5}}, "mix3d"),
        ({"task": {"kind": "distillation"}}, "needs a teacher"),
        ({"validate_every": 2, "validate_epochs": 1}, "Give one of them"),
        ({"datasets": [{"name": "a"}, {"name": "a"}]}, "twice"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(InputError, match=message) as refused:
            read_recipe(path)
        assert refused.value.where == str(path)


def test_epochs_are_said_in_steps_as_published() -> None:
    scannet = Recipe(epochs=800, validate_epochs=8)
    assert scannet.in_steps([1201]).steps == 80_000 and scannet.in_steps([1201]).validate_every == 800
    assert Recipe(epochs=50).in_steps([28_130]).steps == 117_200
    assert Recipe(epochs=50, batch_size=3).in_steps([28_130], processes=4).steps == 117_200
    joint = Recipe(epochs=800, datasets=(JointDataset("ScanNet"), JointDataset("Structured3D")))
    assert joint.in_steps([1201, 20_000]).steps == 160_000
    assert Recipe(steps=7).in_steps([3]).steps == 7


# ---- joint runs -----------------------------------------------------------------------------------------------------


def test_datasets_take_turns_and_the_main_one_ends_an_epoch() -> None:
    """Five batches of the main dataset at 2 : 1 make two rounds and one batch more."""
    turns = JointSampler([10, 3], (2, 1), 2, 14, seed=0)
    drawn = list(turns)
    assert [which for which, _ in drawn] == [0, 0, 1, 0, 0, 1, 0] * 2
    for dataset, size in ((0, 10), (1, 3)):
        items = [items for which, items in drawn if which == dataset]
        assert items == list(Shuffle(size, 2, len(items), 0)), "each goes on in its own order"
    for start in range(14):
        assert list(JointSampler([10, 3], (2, 1), 2, 14, seed=0, start=start)) == drawn[start:]
    with pytest.raises(InputError, match="has 1 batches in an epoch, but its ratio takes 2"):
        JointSampler([2, 9], (2, 1), 2, 5, seed=0)


def test_joint_distillation_trains_each_datasets_norms_and_needs_no_labels(
    world: Path, encoding: CachedEncoding, tmp_path: Path
) -> None:
    bare = tmp_path / "bare"
    for seed in range(2):
        scene = replace(without(make_scene(seed + 5), "label"), class_names=())
        write_capture(scene, bare / f"scene_{seed}", image_format="png")
    recipe = tiny_recipe(
        encoding,
        network=JOINT,
        task=DistillTask(head_per_dataset=True),
        datasets=(JointDataset("a"), JointDataset("b", 2, augmentation=Augmentation("none"))),
    )
    captures = {"a": scenes(world)[:3], "b": sorted(bare.iterdir())}
    folder = run(world, tmp_path / "run", recipe, encoding, captures=captures, validation=scenes(world)[3:])
    assert [row["dataset"] for row in rows(folder)] == ["a", "b", "b", "a", "b", "b"]
    config, _ = load_model(folder)
    assert config.norms_of == "a" and config.student is not None and config.student.head_per_dataset
    state = load_file(folder / "model.safetensors")
    tracked = [int(state[f"backbone.stem.norm.norm.{i}.num_batches_tracked"]) for i in range(2)]
    assert tracked == [2, 4]
    (validated,) = rows(folder, "validation.jsonl")
    assert 0 < validated["voxels"]["cosine_loss"] < 2  # type: ignore[index]
    with pytest.raises(InputError, match="the run has no scenes of it"):
        run(world, tmp_path / "else", recipe, encoding, captures={"a": scenes(world)})
    wrong = replace(recipe, datasets=(JointDataset("a"), JointDataset("c")))
    with pytest.raises(InputError, match="the network has norms of a, b"):
        run(world, tmp_path / "else", wrong, encoding, captures={"a": scenes(world), "c": scenes(world)})


def test_cls_tokens_are_learned_too(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    plain, tokens = (tiny_recipe(encoding, steps=1, task=DistillTask(cls_tokens=count)) for count in (0, 2))
    losses = [
        rows(run(world, tmp_path / name, recipe, encoding))[0]["loss"]
        for name, recipe in (("plain", plain), ("cls", tokens))
    ]
    assert losses[1] > losses[0]  # type: ignore[operator]


# ---- starting from weights ------------------------------------------------------------------------------------------


def test_a_run_starts_from_a_backbone_and_a_fresh_head(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    student = run(world, tmp_path / "student", tiny_recipe(encoding, steps=2, task=DistillTask()), encoding)
    rates = OptimizerSettings(lr=1e-12, block_lr=1e-12, weight_decay=0.0)
    tuned = tiny_recipe(steps=1, init=str(student), optimizer=rates)
    folder = run(world, tmp_path / "tuned", tuned)
    before, after = load_file(student / "model.safetensors"), load_file(folder / "model.safetensors")
    assert set(after) - set(before) == {"head.weight", "head.bias"}
    for name in set(before) & set(after):
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(after[name], before[name], rtol=0, atol=1e-9)
    moved = (tmp_path / "student").rename(tmp_path / "moved")
    with pytest.raises(InputError, match="Name the folder of a trained model"):
        run(world, folder, tuned)
    run(world, folder, replace(tuned, init=str(moved)))  # the same weights in another place are the same run

    wider = replace(NETWORK, encoder_channels=(16, 32), encoder_heads=(2, 4))
    with pytest.raises(InputError, match=r"backbone\.\S+ is \(\d+, 24\) and not \(\d+, 32\)"):
        run(world, tmp_path / "wider", replace(tuned, init=str(moved), network=wider))
    with pytest.raises(InputError, match=r"is missing.*is left over|is left over.*is missing"):
        run(
            world,
            tmp_path / "joint",
            replace(tuned, init=str(moved), network=JOINT, datasets=(JointDataset("x", norms="a"),)),
            captures={"x": scenes(world)},
        )


# ---- validation -----------------------------------------------------------------------------------------------------


def test_validation_says_what_evaluation_says(
    world: Path, encoding: CachedEncoding, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tiny_recipe(encoding, steps=7, validate_every=3)
    folder = run(world, tmp_path / "run", recipe, encoding, validation=scenes(world)[3:], quiet=False)
    found = rows(folder, "validation.jsonl")
    assert [row["step"] for row in found] == [2, 5, 6]
    figures = evaluate(Segmenter.from_pretrained(folder, device="cpu"), scenes(world)[3:]).all_points
    last = found[-1]
    assert last["points"]["miou"] == pytest.approx(figures.miou, abs=0.02)  # type: ignore[index]
    assert last["points"]["count"] == figures.points > last["voxels"]["count"]  # type: ignore[index]
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["last"] == last and metrics["best"] == max(found, key=lambda row: row["points"]["miou"])  # type: ignore[index]
    best, _ = load_model(folder / "best")
    config = load_model(folder)[0]
    assert replace(best, temperature=None) == replace(config, temperature=None)
    assert [config.temperature, best.temperature] == [
        metrics[which]["points"]["temperature"] for which in ("last", "best")
    ]
    if metrics["best"] == last:
        assert bits(folder / "best") == bits(folder)
    assert "last mIoU of points" in capsys.readouterr().out
    assert "miou of points" in (folder / "train.log").read_text()
    untried = run(world, tmp_path / "untried", replace(recipe, validate_every=None), encoding)
    assert bits(untried) == bits(folder), "to try a model out changes nothing"


# ---- mixing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("images", [False, True], ids=["cached", "augmented"])
def test_mixed_runs_do_not_depend_on_the_workers(
    world: Path, encoding: CachedEncoding, tmp_path: Path, images: bool
) -> None:
    recipe = tiny_recipe(encoding, steps=3, batch_size=3, augmentation=Augmentation("light", images=images, mix3d=0.6))
    alone = run(world, tmp_path / "alone", recipe, encoding)
    assert bits(alone) == bits(run(world, tmp_path / "two", recipe, encoding, workers=2))
    apart = replace(recipe, augmentation=replace(recipe.augmentation, mix3d=0.0))
    assert bits(alone) != bits(run(world, tmp_path / "apart", apart, encoding))


def test_every_dataset_of_a_run_is_mixed_as_often_as_it_says(world: Path, tmp_path: Path) -> None:
    """The main one by its own number, one that gives none by the recipe's; told by the samples' names."""
    own = Augmentation("none", mix3d=0.25)
    names = {"seldom": own, "mostly": None, "always": replace(own, mix3d=1.0), "never": replace(own, mix3d=0.0)}
    recipe = tiny_recipe(
        augmentation=Augmentation("none", mix3d=0.8),
        datasets=tuple(JointDataset(name, augmentation=augmentation) for name, augmentation in names.items()),
        steps=240,
    )
    captures = dict.fromkeys(names, scenes(world)[:2])
    how = TrainingRun(tmp_path / "run", captures, device="cpu", quiet=True)
    mixed = {name: [] for name in names}
    for batch in make_data(recipe, how).batches(recipe, how, 0, Fabric(accelerator="cpu", devices=1)):
        mixed[str(batch.dataset)].append(len(batch.names) == 1)
    assert all(len(draws) == 60 for draws in mixed.values())
    assert all(mixed["always"]) and not any(mixed["never"])
    assert np.mean(mixed["seldom"]) == pytest.approx(0.25, abs=0.12)
    assert np.mean(mixed["mostly"]) == pytest.approx(0.8, abs=0.12)


def test_the_share_of_mixed_batches_is_the_published_one() -> None:
    draws = list(RankShare(JointSampler([4, 4], (2, 1), 2, 6000, seed=1), 0, 1, mix3d=[0.8, 0.3], seed=1))
    for dataset, share in ((0, 0.8), (1, 0.3)):
        mixed = [draw.mix is not None for draw in draws if draw.dataset == dataset]
        assert np.mean(mixed) == pytest.approx(share, abs=0.03)


def test_mixed_precision_trains(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    for task in (SegmentTask(), DistillTask()):
        folder = run(world, tmp_path / task.kind, tiny_recipe(encoding, task=task), encoding, precision="bf16-mixed")
        assert all(row["loss"] > 0 for row in rows(folder))  # type: ignore[operator]
    with pytest.raises(InputError, match="fp16 only works on GPUs"):
        run(world, tmp_path / "half", tiny_recipe(), precision="16-mixed")


# ---- what can go wrong ----------------------------------------------------------------------------------------------


class Poisoned(Captures):
    """A source whose last scene has normals that are not numbers, as no capture has any more that is read."""

    def names(self) -> list[str]:
        return [*super().names()[:-1], "poisoned"]

    def scene(self, index: int) -> Scene:
        scene = super().scene(index)
        if index + 1 < len(self):
            return scene
        normal = np.array(scene.normal)
        normal[7:] = np.nan
        return replace(scene, name="poisoned", normal=normal)


def poisoned(world: Path) -> Poisoned:
    return Poisoned(scenes(world)[:3])


def test_a_scene_whose_loss_is_not_finite_is_named_and_skipped(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny_recipe(batch_size=1, augmentation=Augmentation("none"))
    captures = poisoned(world)
    with caplog.at_level(logging.WARNING):
        folder = run(world, tmp_path / "run", recipe, captures=captures)
    skipped = [row for row in rows(folder) if row.get("skipped")]
    assert len(skipped) == 2 and all(row["loss"] is None for row in skipped)
    cause = "the loss is not finite, since the normal of point 7 of scene poisoned is not finite"
    assert f"scenes poisoned: {cause}; the step is skipped" in caplog.text
    assert all(bool(value.isfinite().all()) for value in load_file(folder / "model.safetensors").values())
    assert json.loads((folder / "metrics.json").read_text())["skipped_steps"] == 2
    rates = [row["lr"] for row in rows(folder)]
    regular = [row["lr"] for row in rows(run(world, tmp_path / "regular", recipe))]
    taken = [rate for rate, row in zip(rates, rows(folder), strict=True) if not row.get("skipped")]
    assert taken == regular[:4], "the schedule waits"
    with pytest.raises(InputError, match=f"scenes poisoned: {cause}.*leave the scene out"):
        run(world, tmp_path / "strict", replace(recipe, bad_steps=1), captures=captures)


def test_momentum_of_batch_norm_changes_its_averages_and_nothing_that_is_learned(world: Path, tmp_path: Path) -> None:
    slow = run(world, tmp_path / "slow", tiny_recipe(steps=4))
    quick = run(world, tmp_path / "quick", tiny_recipe(steps=4, batch_norm_momentum=0.5))
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (slow, quick))
    averages = [name for name in ours if "running_" in name]
    assert averages and all((ours[name] != theirs[name]).any() for name in averages)
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items() if name not in averages)
    # A variance starts at 1 and is far from it after four batches with half of the weight each.
    assert all((ours[name] - 1).abs().max() < 0.2 for name in averages if "var" in name and "stem" in name)
    with pytest.raises(InputError, match="batch_norm_momentum"):
        tiny_recipe(batch_norm_momentum=0.0)


def test_a_crop_around_a_sensor_leaves_coordinates_where_they_are(world: Path, tmp_path: Path) -> None:
    sensor = replace(PREPARATION, origin=Origin.SENSOR, attributes=(Attribute.COORD, Attribute.COLOR))
    for origin, moved in ((Origin.SENSOR, False), (Origin.CENTER, True)):
        samples = []
        for crop in (None, 40):
            recipe = tiny_recipe(
                preparation=replace(sensor, origin=origin), augmentation=Augmentation("none", crop=crop)
            )
            data = make_data(recipe, TrainingRun(tmp_path, scenes(world)[:1], device="cpu"))
            samples.append(data.sources[0].dataset[Item(0, 0)].feature[:, :3])
        whole, part = ({tuple(row) for row in sample.tolist()} for sample in samples)
        assert len(part) == 40 and (part <= whole) is not moved


class Deadly:
    """Scenes in memory, of which one ends the process that asks for it, unless that is the test's own."""

    name = "street"

    def __init__(self, folders: list[Path], deadly: str) -> None:
        self.folders, self.deadly, self.home = folders, deadly, os.getpid()

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        return [folder.name for folder in self.folders]

    def scene(self, index: int) -> Scene:
        if self.folders[index].name == self.deadly and os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return read_capture(self.folders[index])


def test_a_loader_that_dies_is_told_by_the_scene_that_it_was_at(world: Path, tmp_path: Path) -> None:
    deadly = Deadly(scenes(world)[:3], "scene_1")
    recipe = tiny_recipe(steps=6, batch_size=1)
    with pytest.raises(InputError, match=r"street/scene_1: .*was killed while.*--workers") as caught:
        run(world, tmp_path / "run", recipe, captures=deadly, workers=2)
    assert "scene_0" not in str(caught.value) and "scene_2" not in str(caught.value)
    assert "was killed while" in (tmp_path / "run" / "train.log").read_text()
    assert not multiprocessing.active_children(), "the other worker lives on, and the program would wait for it"
    run(world, tmp_path / "run", recipe, captures=deadly, workers=0)
    assert len((tmp_path / "run" / "log.jsonl").read_text().splitlines()) == 6


def test_weights_and_biases_gets_the_tensorboard_log(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run(world, tmp_path / "run", tiny_recipe(steps=3), wandb="rooms")
    (record,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    content = record.read_bytes()
    assert b"rooms" in content and b"tensorboard" in content and b"gradient_norm" in content


def test_weights_and_biases_is_asked_for_where_it_is_missing(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(InputError, match="pip install wandb"):
        run(world, tmp_path / "run", tiny_recipe(steps=3), wandb="rooms")


def test_deterministic_runs_say_so_to_torch(world: Path, tmp_path: Path) -> None:
    """In a process of its own: torch keeps the setting."""
    program = """
import sys
from pathlib import Path
import torch
from ditr.training.loop import TrainingRun, train
from small_world import tiny_recipe
settings = {"device": "cpu", "quiet": True, "deterministic": True}
train(tiny_recipe(steps=2), TrainingRun(Path(sys.argv[1]), sorted(Path(sys.argv[2]).iterdir()), **settings))
print(torch.are_deterministic_algorithms_enabled())
"""
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "error:.*deterministic", "-c", program, str(tmp_path / "one"), str(world / "data")],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True"]
    other = run(world, tmp_path / "other", tiny_recipe(steps=2), captures=scenes(world))
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (tmp_path / "one", other))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_a_folder_that_cannot_be_written_is_named(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"it cannot be written .*choose another folder"):
        run(world, tmp_path / "file" / "run", tiny_recipe())


def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(world: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the checkpoint does not fit, logs do."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    folder = tmp_path / "run"

    def fill(done: int, _total: int) -> None:
        if done == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        with pytest.raises(InputError, match=r"step-00000003\.safetensors: it cannot be written .*continues"):
            run(world, folder, tiny_recipe(), checkpoint_every=1, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path.name for path in sorted((folder / "checkpoints").iterdir())] == [
        "step-00000001.safetensors",
        "step-00000002.safetensors",
    ]
    resumed: list[int] = []
    run(world, folder, tiny_recipe(), checkpoint_every=1, report=lambda done, _: resumed.append(done))
    assert resumed == [3, 4, 5, 6]
    assert bits(folder) == bits(run(world, tmp_path / "whole", tiny_recipe()))


# ---- whitened teachers ----------------------------------------------------------------------------------------------


def test_a_whitened_teacher_has_the_same_variance_along_its_first_directions() -> None:
    generator = torch.Generator().manual_seed(0)
    scale = torch.tensor([30.0, 3.0, 1.0, 0.1, 0.0])
    features = torch.randn(4000, 5, generator=generator) * scale @ torch.linalg.qr(torch.randn(5, 5))[0] + 7
    whitening = Whitening(5, 3)
    wide = features.double()
    whitening.learn(torch.tensor(4000.0).double(), wide.sum(dim=0), wide.T @ wide)
    out = whitening(features).double()
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(5).double(), atol=1e-3, rtol=0)
    variance = torch.linalg.eigvalsh(out.T @ out / 4000)
    torch.testing.assert_close(variance, torch.tensor([0.0, 0, 1, 1, 1]).double(), atol=1e-3, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(whitening(features), out.float())
    all_of_them = Whitening(5, 5)
    all_of_them.learn(torch.tensor(4000.0).double(), wide.sum(dim=0), wide.T @ wide)
    assert bool(all_of_them(features).isfinite().all()), "nothing varies along the last direction"


def test_a_student_of_a_whitened_teacher(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    recipe = tiny_recipe(encoding, task=DistillTask(whiten=3), steps=6)
    config, model = load_model(run(world, tmp_path / "whole", recipe, encoding, validation=scenes(world)[3:]))
    assert isinstance(model, Distillation) and config.student is not None and config.student.whiten == 3
    assert model.whitening is not None and torch.linalg.matrix_rank(model.whitening.matrix) == 3
    assert "teacher whitened: 3 directions" in (tmp_path / "whole" / "train.log").read_text()
    plain = run(world, tmp_path / "plain", replace(recipe, task=DistillTask()), encoding)
    assert rows(tmp_path / "whole")[0]["loss"] != rows(plain)[0]["loss"]
    with pytest.raises(Stopped):
        run(
            world,
            tmp_path / "parts",
            recipe,
            encoding,
            checkpoint_every=3,
            report=stop_after(4),
            validation=scenes(world)[3:],
        )
    run(world, tmp_path / "parts", recipe, encoding, checkpoint_every=3, validation=scenes(world)[3:])
    assert bits(tmp_path / "parts") == bits(tmp_path / "whole")
    # What it predicts is compared with what it learned, not with the features as they are.
    teacher = lift_features(read_capture(scenes(world)[0]), encoding, recipe.preparation.rule)
    compared = student_features(config, model, teacher, up=(0, 0, 1))
    assert torch.equal(compared.teacher.tokens, model.target(teacher.tokens))
    assert -1 <= (compared.mean_cosine() or np.nan) <= 1
    assert compared.summary()["whitened_directions"] == 3
    # A segmentation starts from it as from any other student.
    tuned = run(world, tmp_path / "tuned", replace(tiny_recipe(steps=2), init=str(tmp_path / "whole")))
    assert (tuned / "model.safetensors").exists()


def test_a_teacher_has_no_more_directions_than_channels(world: Path, encoding: CachedEncoding, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at most"):
        run(world, tmp_path / "run", tiny_recipe(encoding, task=DistillTask(whiten=encoding.width + 1)), encoding)
    with pytest.raises(InputError, match="whiten"):
        DistillTask(whiten=-1)


def test_a_recipe_can_ask_for_an_embedding_of_points_without_images(
    world: Path, encoding: CachedEncoding, tmp_path: Path
) -> None:
    network = replace(NETWORK, missing_embedding=True)
    drop = replace(PREPARATION, view_drop=ViewDrop(0.5, 0.2))
    recipe = tiny_recipe(encoding, network=network, preparation=drop)
    _, model = load_model(run(world, tmp_path / "run", recipe, encoding))
    assert model.backbone.missing_embedding is not None
    with pytest.raises(InputError, match=r"missing_embedding.*Give an encoder"):
        run(world, tmp_path / "points", tiny_recipe(network=network))

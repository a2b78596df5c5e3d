"""The paper's runs: their numbers against a table of the published configurations, and two steps of each."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prepared_layouts import (
    make_sweep,
    write_nuscenes,
    write_s3dis,
    write_scannet,
    write_scannetpp,
    write_semantic_kitti,
    write_structured3d,
    write_waymo,
)
from published_checkpoints import ROWS, published_shapes
from small_world import RULE, ditr, make_scene
from tiny_encoder import write_tiny_encoder

from ditr.cli import execute
from ditr.cli.recipes import Recipes
from ditr.cli.recipes import run as list_recipes
from ditr.data.augment.points import ElasticDistortion, PointClip, SphereCrop
from ditr.data.preparation import Attribute
from ditr.datasets import nuscenes, semantic_kitti, waymo
from ditr.errors import InputError
from ditr.io.settings_json import from_plain, to_json_values
from ditr.models.ptv3 import PTv3Config
from ditr.recipes.captures import small
from ditr.recipes.changes import for_test_server, with_encoder, with_settings
from ditr.recipes.table import RECIPES, find_recipe
from ditr.training.recipe import DistillTask, Recipe, SegmentTask, read_recipe
from ditr.weights.published import published_model
from ditr.weights.recognize import recognize
from ditr.weights.saved_model import read_config

NAMES = [entry.name for entry in RECIPES]

# The published configurations, one row each: epochs, validations, rate of the rest and of the blocks, weight decay,
# warm-up, first and last division, images (number, height, width), crop, voxels, classes' weights.
PUBLISHED = {
    "scannet/ditr": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, (10, 420, 560), 102400, 0.02, 0),
    "scannet200/ditr": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, (10, 420, 560), 102400, 0.02, 0),
    "s3dis/ditr": (3000, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, (10, 518, 518), 204800, 0.02, 0),
    "nuscenes/ditr": (50, 50, 2e-3, 2e-4, 0.005, 0.04, 10, 100, (None, 378, 672), None, 0.05, 0),
    "semantic_kitti/ditr": (50, 50, 2e-3, 2e-4, 0.005, 0.04, 10, 100, (None, 378, 1246), None, 0.05, 19),
    "waymo/ditr": (50, 50, 2e-3, 2e-4, 0.005, 0.04, 10, 100, (None, 308, 672), None, 0.05, 0),
    "scannetpp/ptv3": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, None, 204800, 0.02, 0),
    "scannet/distill": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, (10, 420, 560), 102400, 0.02, 0),
    "scannet+structured3d/distill": (800, 0, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, (10, 420, 560), 102400, 0.02, 0),
    "nuscenes/distill": (50, 5, 2e-3, 2e-4, 0.005, 0.04, 10, 100, (None, 378, 672), None, 0.05, 0),
    "nuscenes+semantic_kitti+waymo/distill": (50, 5, 2e-3, 2e-4, 0.005, 0.04, 10, 100, (None, 378, 672), None, 0.05, 0),
    "scannet/d-ditr": (80, 80, 6e-3, 6e-5, 0.05, 0.05, 10, 1000, None, 102400, 0.02, 0),
    "scannet/d-ditr-full": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, None, 102400, 0.02, 0),
    "scannet200/d-ditr": (800, 100, 6e-3, 6e-4, 0.05, 0.05, 10, 1000, None, 102400, 0.02, 0),
    "s3dis/d-ditr": (300, 30, 6e-3, 6e-5, 0.05, 0.05, 10, 1000, None, 204800, 0.02, 0),
    "nuscenes/d-ditr": (50, 50, 2e-3, 2e-4, 0.005, 0.04, 10, 100, None, None, 0.05, 0),
    "semantic_kitti/d-ditr": (5, 5, 2e-3, 2e-5, 0.005, 0.04, 10, 100, None, None, 0.05, 19),
    "waymo/d-ditr": (50, 50, 2e-3, 2e-4, 0.005, 0.04, 10, 100, None, None, 0.05, 0),
    "scannet/minkunet-distill": (600, 100, 0.05, None, 1e-4, 0.05, 10, 1e4, (10, 420, 560), 100000, 0.02, 0),
    "scannet/minkunet-5": (800, 100, 0.05, None, 1e-4, 0.05, 10, 1e4, None, 100000, 0.02, 0),
    "scannet/d-minkunet-20": (800, 100, 0.05, None, 1e-4, 0.05, 10, 1e4, None, 100000, 0.02, 0),
}
# Steps as the published loaders would make them, for the datasets' numbers of scenes.
STEPS = {
    "scannet/ditr": ((1201,), 80_000),
    "scannet+structured3d/distill": ((1201, 21_000), 160_000),
    "s3dis/ditr": ((204,), 51_000),
    "nuscenes/ditr": ((28_130,), 117_200),
    "semantic_kitti/ditr": ((19_130,), 79_700),
    "waymo/ditr": ((23_691,), 98_700),
    "nuscenes+semantic_kitti+waymo/distill": ((28_130, 19_130, 23_691), 351_600),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_are_the_published_ones(name: str) -> None:
    recipe = find_recipe(name).make()
    steps, made = recipe.optimizer, recipe.preparation
    rounds = 0 if recipe.validate_epochs is None else (recipe.epochs or 0) // recipe.validate_epochs
    images = None if recipe.encoder is None else (made.max_views, *(made.image_size or ()))
    weights = len(recipe.task.class_weights) if isinstance(recipe.task, SegmentTask) else 0
    rates = (steps.lr, steps.block_lr, steps.weight_decay, steps.warmup, steps.div_factor, steps.final_div_factor)
    crop = recipe.augmentation.crop
    assert (recipe.epochs, rounds, *rates, images, crop, made.voxel_size, weights) == PUBLISHED[name]
    assert recipe.batch_size == 12 and recipe.augmentation.mix3d == 0.8 and not recipe.sync_batch_norm
    assert recipe.augmentation.images == (recipe.encoder is not None)


@pytest.mark.parametrize("name", STEPS)
def test_epochs_make_the_published_steps(name: str) -> None:
    scenes, steps = STEPS[name]
    assert find_recipe(name).make().in_steps(scenes).steps == steps


def test_what_sets_single_runs_apart() -> None:
    made = {name: find_recipe(name).make() for name in NAMES}
    gentle = {name for name, recipe in made.items() if recipe.optimizer.rates}
    assert gentle == {"scannet/d-ditr", "scannet/d-ditr-single", "s3dis/d-ditr", "semantic_kitti/d-ditr"}
    assert made["s3dis/d-ditr"].optimizer.rates == (("^backbone", 6e-4),)
    assert made["semantic_kitti/d-ditr"].optimizer.rates == (("^backbone", 2e-4),)
    assert {name for name, r in made.items() if r.optimizer.clip} == {"scannet+structured3d/distill"}
    assert made["scannet+structured3d/distill"].optimizer.clip == 3.0
    norms = {name: r.network.norms for name, r in made.items() if r.network.norms is not None}
    for name, of in norms.items():
        indoor = "scannet" in name or "s3dis" in name
        assert of.datasets == (
            ("ScanNet", "S3DIS", "Structured3D") if indoor else ("nuScenes", "SemanticKITTI", "Waymo")
        )
        assert of.batch and of.layer
    assert {made[name].datasets[0].norms for name in ("s3dis/d-ditr", "scannet200/d-ditr")} == {"ScanNet"}
    small = made["s3dis/ptv3-rpe"].network
    assert isinstance(small, PTv3Config) and (small.patch_size, small.position_bound) == (128, 15)
    assert made["scannet/minkunet-distill"].preparation.in_channels == 9
    assert made["scannet/d-minkunet-5"].preparation.in_channels == 9
    assert made["scannet/minkunet-5"].preparation.in_channels == 6
    assert made["scannet/minkunet-5"].task == SegmentTask(1.0, 0.0)
    assert made["scannet/minkunet-5"].datasets[0].scenes == "tasks/scenes/5.txt"
    assert made["scannetpp/ditr"].epochs == 400
    assert made["nuscenes/ditr"].encoder == made["waymo/ditr"].encoder == "dinov2-giant-reg"
    teachers = {recipe.encoder for recipe in made.values() if isinstance(recipe.task, DistillTask)}
    assert teachers == {"dinov2-large-reg"}


# Rows of the published weights, and the recipe that would train such a model.
WEIGHTS = {
    "ditr-scannet200-dinov2-l": "scannet200/ditr",
    "ditr-s3dis-dinov2-l": "s3dis/ditr",
    "ditr-nuscenes-dinov2-g": "nuscenes/ditr",
    "ditr-semantickitti-dinov2-l": "semantic_kitti/ditr",
    "distilled-scannet-dinov2-l": "scannet/distill",
    "distilled-scannet-structured3d-dinov2-l": "scannet+structured3d/distill",
    "distilled-nuscenes-dinov2-l": "nuscenes/distill",
    "d-ditr-scannet": "scannet/d-ditr",
    "d-ditr-scannet200": "scannet200/d-ditr",
    "d-ditr-s3dis": "s3dis/d-ditr",
    "d-ditr-nuscenes": "nuscenes/d-ditr",
    "d-ditr-scannet-minkunet": "scannet/d-minkunet-100",
}


@pytest.mark.parametrize("weights", WEIGHTS)
def test_networks_are_those_of_the_published_weights(weights: str) -> None:
    layout = next(row for row in ROWS if row.name == weights)
    published = published_model(weights)
    found = recognize(published_shapes(layout), datasets=published.norms)
    recipe = find_recipe(WEIGHTS[weights]).make()
    own = replace(recipe.network, in_channels=recipe.preparation.in_channels)
    if isinstance(own, PTv3Config):
        own = replace(own, image_width=layout.images)
    assert own == found.network
    data = recipe.datasets[0]
    assert published.encoder == recipe.encoder or published.encoder is None
    assert (data.norms or data.name) == published.norms_of or not published.norms
    assert data.name == published.dataset and isinstance(recipe.task, DistillTask) == published.student


def test_augmentations_in_full() -> None:
    def parts(name: str) -> list[object]:
        recipe = find_recipe(name).make()
        return [*recipe.augmentation.of_points(recipe.preparation.clip), *recipe.augmentation.of_voxels()]

    assert any(isinstance(part, ElasticDistortion) for part in parts("scannet/ptv3"))
    assert not any(isinstance(part, ElasticDistortion) for part in parts("s3dis/ptv3"))
    assert [part for part in parts("s3dis/ptv3") if isinstance(part, SphereCrop)] == [
        SphereCrop(share=0.6),
        SphereCrop(204_800),
    ]
    boxes = [part for part in parts("waymo/ptv3") if isinstance(part, PointClip)]
    assert boxes == [PointClip((-75.2, -75.2, -4.0), (75.2, 75.2, 2.0))]
    rooms = find_recipe("scannet+structured3d/distill").make().datasets[1]
    assert rooms.augmentation is not None and rooms.preparation is not None
    assert (rooms.augmentation.crop_share, rooms.augmentation.crop) == (0.8, 204_800)
    assert rooms.splits == ("train", "val", "test")
    assert (rooms.preparation.max_views, rooms.preparation.image_size) == (3, (350, 630))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_its_json(name: str) -> None:
    entry = find_recipe(name)
    recipe = entry.make()
    assert from_plain(Recipe, json.loads(json.dumps(to_json_values(recipe))), name) == recipe
    assert entry.start is None or isinstance(find_recipe(entry.start).make().task, DistillTask)


def test_the_list_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    list_recipes(Recipes())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1 : 2 * len(NAMES) : 2]] == NAMES
    list_recipes(Recipes("s3dis/ditr", json=True))
    assert from_plain(Recipe, json.loads(capsys.readouterr().out), "") == find_recipe("s3dis/ditr").make()


@pytest.mark.parametrize("name", ["scannet200/ditr", "nuscenes+semantic_kitti+waymo/distill"])
def test_a_recipe_fits_a_terminal_and_can_be_set_as_it_is_printed(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    list_recipes(Recipes(name))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 25 and max(map(len, lines)) <= 120 and lines[0].startswith(f"{name}: ")
    recipe = find_recipe(name).make()
    joined = re.sub(r"\n  ", " ", "\n".join(lines[1:-1]))
    settings = []
    for line in joined.splitlines():
        group, _, texts = line.rpartition(": ")
        settings += [f"{group}.{text}" if group else text for text in re.split(r", (?=[\w.]+=)", texts)]
    assert len(settings) > 50 and with_settings(recipe, settings) == recipe


# ---- changes --------------------------------------------------------------------------------------------------------


def test_settings_by_name() -> None:
    recipe = find_recipe("scannet+structured3d/distill").make()
    changed = with_settings(recipe, ["optimizer.lr=0.001", "datasets.1.ratio=2", "steps=7", "task.cosine=2"])
    assert changed.optimizer == replace(recipe.optimizer, lr=0.001)
    assert changed.datasets[1].ratio == 2 and (changed.steps, changed.epochs) == (7, None)
    assert changed.task == DistillTask(cosine=2.0)
    for text, message in (
        ("optimizer.weigth_decay=1", "no setting 'optimizer.weigth_decay'. Did you mean 'optimizer.weight_decay'"),
        ("epoch=1", "no setting 'epoch'. Did you mean 'epochs'"),
        ("epochs=soon", "epochs is 'soon'"),
        ("epochs", "is not NAME=VALUE"),
        ("datasets.2.ratio=1", "has 2 entries"),
        ("datasets.0.preparation.voxel_size=1", "datasets.0.preparation is None"),
        ("batch_size=0", "batch_size: it is 0"),
    ):
        with pytest.raises(InputError, match=message):
            with_settings(recipe, [text])
    with pytest.raises(InputError, match="Did you mean 'scannet200/ditr'"):
        find_recipe("scannet200/dtr")


def test_another_encoder_keeps_the_grid_of_patches() -> None:
    recipe = with_encoder(find_recipe("scannet+structured3d/distill").make(), "dinov3-large", 16)
    rooms = recipe.datasets[1].preparation
    assert rooms is not None
    assert (recipe.preparation.image_size, rooms.image_size) == ((480, 640), (400, 720))
    with pytest.raises(InputError, match="takes no photographs"):
        with_encoder(find_recipe("scannet/ptv3").make(), "dinov3-large", 16)


def test_lists_may_be_written_with_commas() -> None:
    recipe = with_settings(small("indoor"), ["preparation.attributes=coord,strength", "preparation.image_size=42,56"])
    assert recipe.preparation.attributes == (Attribute.COORD, Attribute.STRENGTH)
    assert recipe.preparation.image_size == (42, 56)
    assert with_settings(recipe, ["preparation.attributes=coord"]).preparation.attributes == (Attribute.COORD,)
    assert with_settings(recipe, ["preparation.image_size=null"]).preparation.image_size is None
    with pytest.raises(InputError, match=r"preparation.attributes\[0\] is 'smell'"):
        with_settings(recipe, ["preparation.attributes=smell"])


def test_runs_for_a_test_server() -> None:
    recipe = for_test_server(find_recipe("scannet/ditr").make())
    assert recipe.datasets[0].splits == ("train", "val") and not recipe.datasets[0].held_out
    tiles = for_test_server(find_recipe("scannetpp/ptv3").make()).datasets[0].splits
    assert tiles == ("train_grid1mm_chunk6x6_stride3x3", "val_grid1mm_chunk6x6_stride3x3")
    for name in ("s3dis/ditr", "scannet/minkunet-5", "scannet+structured3d/distill"):
        with pytest.raises(InputError, match="no test server"):
            for_test_server(find_recipe(name).make())


# ---- two steps of each ----------------------------------------------------------------------------------------------

TINY = {
    "ptv3": {
        "encoder_depths": [1, 1],
        "encoder_channels": [16, 24],
        "encoder_heads": [2, 3],
        "decoder_depths": [1],
        "decoder_channels": [16],
        "decoder_heads": [2],
        "patch_size": 64,
        "stem_kernel": 3,
        "mlp_ratio": 2,
    },
    "minkunet": {
        "stem_channels": 16,
        "stem_kernel": 3,
        "encoder_depths": [1, 1],
        "encoder_channels": [16, 24],
        "decoder_depths": [1, 1],
        "decoder_channels": [16, 16],
    },
}


def scaled_down(recipe: Recipe) -> tuple[str, ...]:
    """``--set`` for a small network, coarse voxels, photographs of 56 x 42 pixels and two steps of two scenes."""
    sets = [f"network.{key}={json.dumps(value)}" for key, value in TINY[recipe.network.kind].items()]
    sets += ["steps=2", "batch_size=2", "validate_epochs=null"]
    places = ["preparation"]
    places += [f"datasets.{k}.preparation" for k, data in enumerate(recipe.datasets) if data.preparation is not None]
    for place in places:
        sets.append(f"{place}.voxel_size={0.25 if recipe.preparation.voxel_size == 0.02 else 1.0}")
        if recipe.encoder is not None:
            sets.append(f"{place}.image_size=[42, 56]")
        if recipe.preparation.voxel_size == 0.02:
            sets.append(f"{place}.rule={json.dumps(to_json_values(RULE))}")
    return tuple(sets)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every dataset in its prepared layout, two scenes in each split that is used, and an encoder."""
    root = tmp_path_factory.mktemp("data")
    rooms = [make_scene(seed, depth=True) for seed in range(4)]
    for split, scenes in {"train": rooms[:2], "val": rooms[2:], "test": []}.items():
        write_scannet(root / "scannet", scenes, split)
        tiles = split if split == "val" else f"{split}_grid1mm_chunk6x6_stride3x3"
        write_scannetpp(root / "scannetpp", scenes, tiles)
    lists = root / "scannet" / "tasks" / "scenes"
    lists.mkdir(parents=True)
    for percent in (1, 5, 10, 20):
        (lists / f"{percent}.txt").write_text("scene_0\nscene_1\n")
    for split in ("train", "val", "test"):
        write_structured3d(root / "structured3d", rooms[:1], split)
    for area in (1, 2, 3, 4, 6):
        write_s3dis(root / "s3dis", [rooms[0]], area, RULE)
    write_s3dis(root / "s3dis", rooms[1:2], 5, RULE)
    for k, split in enumerate(("train", "val")):
        seeds = (2 * k, 2 * k + 1)
        write_nuscenes(root / "nuscenes", [make_sweep(s, nuscenes.CAMERAS, nuscenes.CLASSES) for s in seeds], split)
        sweeps = [make_sweep(s, waymo.CAMERAS, waymo.CLASSES) for s in seeds]
        tall = [replace(v.camera, height=886, cy=443.0) for v in sweeps[0].views]
        sweeps = [
            replace(
                sweep,
                views=tuple(
                    replace(v, camera=c, image=np.full((886, 96, 3), 90, np.uint8))
                    for v, c in zip(sweep.views, tall, strict=True)
                ),
            )
            for sweep in sweeps
        ]
        write_waymo(root / "waymo", sweeps, {"train": "training", "val": "validation"}[split])
    kitti = [make_sweep(seed, semantic_kitti.CAMERAS, semantic_kitti.CLASSES) for seed in range(3)]
    for sequence in (*semantic_kitti.SEQUENCES["train"], *semantic_kitti.SEQUENCES["val"]):
        write_semantic_kitti(root / "semantic_kitti", kitti[:1], sequence)
    write_tiny_encoder(root / "encoder")
    return root


def train_two_steps(name: str, data: Path, out: Path, **options: object) -> Path:
    recipe = find_recipe(name).make()
    sets = [part for text in scaled_down(recipe) for part in ("--set", text)]
    encoder = [] if recipe.encoder is None else ["--encoder", str(data / "encoder")]
    more = [part for option, value in options.items() for part in (f"--{option}", str(value))]
    execute(["train", name, str(out), "--data", str(data), *sets, *encoder, "--device", "cpu", "--quiet", *more])
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and all(np.isfinite(row["loss"]) for row in rows)
    return out


@pytest.mark.parametrize("name", ["scannet200/ditr", "nuscenes/ptv3"])
def test_two_steps(name: str, data: Path, tmp_path: Path) -> None:
    out = train_two_steps(name, data, tmp_path / "run")
    config = read_config(out)
    assert config.dataset == find_recipe(name).make().datasets[0].name
    assert json.loads((out / "validation.jsonl").read_text().splitlines()[-1])["points"]["count"] > 0
    written = json.loads((out / "recipe.json").read_text())
    assert written["recipe_name"] == name and "steps=2" in written["changes"]


def test_a_run_is_repeated_from_its_recipe(data: Path, tmp_path: Path) -> None:
    first = train_two_steps("scannet/ditr", data, tmp_path / "run", split="train+val")
    assert read_recipe(first / "recipe.json").datasets[0].splits == ("train", "val")
    execute(["train", str(first / "recipe.json"), str(tmp_path / "again"), "--device", "cpu", "--quiet"])
    weights = [(folder / "model.safetensors").read_bytes() for folder in (first, tmp_path / "again")]
    assert weights[0] == weights[1]


@pytest.mark.slow
def test_two_steps_of_all(data: Path, tmp_path: Path) -> None:
    students: dict[str, Path] = {}
    for entry in sorted(RECIPES, key=lambda entry: entry.start is not None):
        init = {} if entry.start is None else {"init": students[entry.start]}
        out = train_two_steps(entry.name, data, tmp_path / entry.name, **init)
        assert (read_config(out).student is not None) == ("distill" in entry.name)
        students[entry.name] = out


def test_refusals(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    root = ("--data", str(data))
    for recipe, options, message in (
        ("scannet/ptv", root, "Did you mean 'scannet/ptv3'"),
        ("smal", root, "Did you mean 'small'"),
        ("waymo/d-ditr", root, r"ditr train nuscenes\+semantic_kitti\+waymo/distill STUDENT"),
        ("scannet/ptv3", (*root, "--profile", "indoor"), "a prepared dataset is read as published"),
        (
            "scannet/ptv3",
            (*root, "--validate", str(data)),
            "--validate: recipes of the paper have their own validation scenes",
        ),
        ("scannet/ptv3", (*root, "--encoder", str(data / "encoder")), "takes no photographs"),
        ("scannet/ditr", (*root, "--encoder", "none"), "this recipe takes photographs"),
        ("scannet/ptv3", (*root, "--distill"), "distillation needs a teacher"),
        ("scannet/ptv3", (*root, "--set", "epoch=1"), "Did you mean 'epochs'"),
        ("scannet/ptv3", (*root, "--steps", "0"), "steps: it is 0"),
        ("scannet/ptv3", ("--data", str(data / "nuscenes")), "train"),
        ("scannet/ptv3", (), "--data: it is missing"),
    ):
        with pytest.raises(InputError, match=message):
            execute(["train", recipe, str(out), *options, "--device", "cpu", "--quiet"])
        assert not out.exists()
    with pytest.raises(InputError, match="a recipe and the run's folder are both needed"):
        execute(["train", "scannet/ptv3", *root])


@pytest.mark.slow
def test_the_command_line(data: Path, tmp_path: Path) -> None:
    sets = [part for text in scaled_down(find_recipe("scannet/ptv3").make()) for part in ("--set", text)]
    ditr("train", "scannet/ptv3", "--data", data, *sets, tmp_path / "run", "--device", "cpu", "--quiet")
    assert (tmp_path / "run" / "model.safetensors").exists()
    done: subprocess.CompletedProcess[str] = ditr("recipes", "scannet/ptv", check=False)
    assert done.returncode == 2 and "Did you mean 'scannet/ptv3'" in done.stderr

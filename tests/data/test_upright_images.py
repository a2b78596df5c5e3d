"""Photographs held in portrait: the encoder sees them upright, and every point gets the feature of the level one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_layouts import write_scannet
from small_world import PREPARATION, Stopped, make_scene, stop_after, tiny_encoding, tiny_recipe, write_model

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.images import read_depth, read_image
from ditr.data.augment.images import HorizontalFlip
from ditr.data.preparation import Lookup
from ditr.data.scene_views import SceneViews, view_features
from ditr.datasets.table import open_dataset
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import InputError
from ditr.geometry.orientation import find_up
from ditr.geometry.projection import OUTDOOR
from ditr.geometry.upright_views import turned
from ditr.inference.lifting import lift_features
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene, View
from ditr.training.loop import TrainingRun, train
from ditr.worlds.rooms import RoomsConfig, make_room

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"


def as_held(view: View, turns: int) -> View:
    """The photograph as it would be stored if the camera had been turned, with nothing left to turn."""
    held = turned(view, turns)
    return replace(held, image=read_image(held), depth=read_depth(held), quarter_turns=0)


def portrait(scene: Scene, turns: int = 1) -> Scene:
    return replace(scene, views=tuple(as_held(view, turns) for view in scene.views))


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def room() -> Scene:
    return make_room(RoomsConfig(train=0, test=1, views=4, width=84, height=56, spacing=0.1), "test", 0)


def assert_same_features(one: SceneViews, other: SceneViews) -> None:
    assert one.tokens is not None and other.tokens is not None and one.sizes == other.sizes
    torch.testing.assert_close(one.tokens, other.tokens, rtol=0, atol=0)
    for mine, its in zip(one.token_rows, other.token_rows, strict=True):
        np.testing.assert_array_equal(mine, its)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("lookup", list(Lookup))
def test_a_portrait_room_has_the_features_of_the_level_one(
    room: Scene, encoding: CachedEncoding, turns: int, lookup: Lookup
) -> None:
    preparation = replace(PREPARATION, lookup=lookup, rule=replace(PREPARATION.rule, depth_margin=0.2))
    level = view_features(room, range(4), preparation, encoding)
    held = portrait(room, turns)
    np.testing.assert_array_equal(find_up(held), (0, 0, 1))
    assert_same_features(view_features(held, range(4), preparation, encoding), level)
    lying = view_features(replace(held, as_published=True), range(4), preparation, encoding)
    assert lying.tokens is not None and level.tokens is not None
    assert lying.tokens.shape != level.tokens.shape or not torch.equal(lying.tokens, level.tokens)


def test_augmented_photographs_are_upright_too(room: Scene, encoding: CachedEncoding) -> None:
    found = [
        view_features(
            scene,
            range(4),
            PREPARATION,
            encoding,
            augmentations=[HorizontalFlip(p=0.5)],
            rng=np.random.default_rng(3),
        )
        for scene in (room, portrait(room))
    ]
    for level, held in zip(found[0].unencoded, found[1].unencoded, strict=True):
        np.testing.assert_array_equal(level, held)
    for mine, its in zip(found[0].token_rows, found[1].token_rows, strict=True):
        np.testing.assert_array_equal(mine, its)


def test_an_option_tells_what_lies_on_its_side(encoding: CachedEncoding) -> None:
    scene = make_scene(views=3)
    assert lift_features(scene, encoding, OUTDOOR).turned == {}
    found = lift_features(replace(scene, up=np.array([1.0, 0.0, 0.0])), encoding, OUTDOOR)
    assert found.turned == {"photo_0": 90, "photo_1": 90, "photo_2": 90}
    assert found.summary()["turned_images"] == found.turned and found.summary()["up"] == [1.0, 0.0, 0.0]


def test_labels_of_a_portrait_capture_are_those_of_the_level_one(tmp_path: Path, room: Scene) -> None:
    encoding = tiny_encoding(tmp_path)
    write_model(tmp_path / "model", encoding)
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    level, held = segmenter(room), segmenter(portrait(room))
    np.testing.assert_array_equal(held.label, level.label)
    np.testing.assert_array_equal(held.confidence, level.confidence)
    assert level.summary()["turned_images"] == {}
    assert held.summary()["turned_images"] == {view.name: 270 for view in room.views}
    told = segmenter(room, up=np.array([0.0, 0.0, -1.0]))
    assert set(told.turned.values()) == {180}


def test_the_cache_keeps_turned_images_apart(tmp_path: Path, encoding: CachedEncoding) -> None:
    write_capture(make_scene(views=2), tmp_path / "capture", image_format="png")
    scene = read_capture(tmp_path / "capture")
    cached = replace(encoding, cache=FeatureCache(tmp_path / "cache"))
    first = cached.tokens(scene.views)
    upright = {path.name for path in (tmp_path / "cache").rglob("*.safetensors")}
    over = [turned(view, 2) for view in scene.views]
    other = cached.tokens(over)
    assert len([*(tmp_path / "cache").rglob("*.safetensors")]) == 4 and len(upright) == 2
    for tokens, again, exact in zip(other, cached.tokens(over), encoding.tokens(over), strict=True):
        assert torch.equal(tokens, again) and not any(torch.equal(tokens, level) for level in first)
        torch.testing.assert_close(tokens, exact, rtol=2e-3, atol=2e-3)


def test_photographs_of_a_benchmark_stay_as_they_lie(tmp_path: Path, encoding: CachedEncoding) -> None:
    scene = portrait(replace(make_scene(depth=True), name="scene_0"))
    source = open_dataset("ScanNet", write_scannet(tmp_path / "scannet", [scene]), "train")
    read = source.scene(0)
    assert read.as_published
    found = view_features(read, range(2), PREPARATION, encoding)
    assert [view.quarter_turns for view in found.views] == [0, 0]


def test_a_run_notes_what_it_decided_and_goes_on_with_nothing_else(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path)
    folders = [tmp_path / "data" / name for name in ("level", "held")]
    write_capture(make_scene(0, views=3), folders[0], image_format="png")
    write_capture(portrait(make_scene(1, views=3)), folders[1], image_format="png")
    recipe = tiny_recipe(encoding, steps=3)
    settings = {"captures": folders, "device": "cpu", "quiet": True, "checkpoint_every": 1, "encoding": encoding}

    def run(**more: object) -> None:
        train(recipe, TrainingRun(tmp_path / "run", **settings, **more))  # type: ignore[arg-type]

    with pytest.raises(Stopped):
        run(report=stop_after(2))
    noted = json.loads((tmp_path / "run" / "captures.json").read_text())
    assert noted["training"]["level"] == {"up": [0.0, 0.0, 1.0]}
    assert noted["training"]["held"]["turned_images"] == {"photo_0": 270, "photo_1": 270, "photo_2": 270}
    noted["training"]["held"]["turned_images"].pop("photo_1")
    (tmp_path / "run" / "captures.json").write_text(json.dumps(noted))
    with pytest.raises(InputError, match=r"captures\.json: .*changed since the run began: training/held"):
        run()


@pytest.mark.skipif(not CASES.exists(), reason="the cases are not here")
def test_cases_of_a_phone_held_level_in_portrait_and_y_up(encoding: CachedEncoding) -> None:
    scenes = {name: read_capture(CASES / f"41_{name}") for name in ("level_z", "portrait_z", "level_y")}
    assert {name: find_up(scene).tolist() for name, scene in scenes.items()} == {
        "level_z": [0, 0, 1],
        "portrait_z": [0, 0, 1],
        "level_y": [0, 1, 0],
    }
    lifted = {name: lift_features(scene, encoding, OUTDOOR) for name, scene in scenes.items()}
    assert {name: len(found.turned) for name, found in lifted.items()} == {
        "level_z": 0,
        "portrait_z": 2,
        "level_y": 0,
    }
    torch.testing.assert_close(lifted["level_y"].features(), lifted["level_z"].features())

"""The training set: the same item gives the same sample, in any worker and any run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import NETWORK, PREPARATION, make_scene, tiny_encoding, write_world

from ditr.captures.capture import write_capture
from ditr.captures.folders import find_captures
from ditr.data.augment.images import ColorJitter, HorizontalFlip
from ditr.data.augment.points import indoor_augmentations
from ditr.data.dataset import Item, Shuffle, TrainingSet
from ditr.data.sample import Sample
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.scene import Scene


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", 2, views=3)
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def training_set(world: Path, encoding: CachedEncoding | None = None, seed: int = 0, **how: object) -> TrainingSet:
    preparation = replace(PREPARATION, max_views=how.pop("max_views", None))  # type: ignore[arg-type]
    captures = find_captures(world / "data")
    return TrainingSet(captures, preparation, NETWORK.pyramid, seed=seed, encoding=encoding, **how)  # type: ignore[arg-type]


def assert_same(a: Sample, b: Sample) -> None:
    assert torch.equal(a.feature, b.feature) and torch.equal(a.inverse, b.inverse)
    for one, other in zip(a.pyramid.levels, b.pyramid.levels, strict=True):
        assert torch.equal(one.grid, other.grid)
        assert torch.equal(one.patches.gather, other.patches.gather)
    assert (a.lift is None) == (b.lift is None)
    if a.lift is not None and b.lift is not None:
        for left, right in zip(a.lift.levels, b.lift.levels, strict=True):
            assert torch.equal(left.token, right.token) and torch.equal(left.count, right.count)
    assert (a.tokens is None) == (b.tokens is None)
    if a.tokens is not None and b.tokens is not None:
        assert torch.equal(a.tokens, b.tokens)
    assert len(a.unencoded) == len(b.unencoded)
    for photo, same in zip(a.unencoded, b.unencoded, strict=True):
        np.testing.assert_array_equal(photo, same)


# ---- samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"augmentations": indoor_augmentations(elastic=False)},
        {"max_views": 2},
        {"image_augmentations": (ColorJitter(), HorizontalFlip()), "max_views": 2},
    ],
    ids=["points", "views", "photographs"],
)
def test_an_item_gives_the_same_sample_whatever_came_before(
    world: Path, encoding: CachedEncoding, how: dict[str, object]
) -> None:
    busy = training_set(world, encoding, **how)
    for epoch in range(2):
        _ = busy[Item(epoch, 1)], busy[Item(epoch, 0)]
    fresh = training_set(world, encoding, **how)[Item(1, 0)]
    assert_same(busy[Item(1, 0)], fresh)
    assert_same(training_set(world, encoding, keep=False, **how)[Item(1, 0)], fresh)
    for other in (training_set(world, encoding, seed=1, **how)[Item(1, 0)], busy[Item(2, 0)]):
        with pytest.raises((AssertionError, RuntimeError)):
            assert_same(other, fresh)


def test_images_do_not_change_what_happens_to_the_points(world: Path, encoding: CachedEncoding) -> None:
    how: dict[str, object] = {"augmentations": indoor_augmentations(elastic=False)}
    bare, seeing = training_set(world, **how)[Item(3, 1)], training_set(world, encoding, **how)[Item(3, 1)]
    assert torch.equal(bare.feature, seeing.feature) and torch.equal(bare.inverse, seeing.inverse)
    assert bare.lift is None and bare.tokens is None and seeing.lift is not None


def test_tokens_are_those_of_the_views_that_were_drawn(world: Path, encoding: CachedEncoding) -> None:
    data = training_set(world, encoding, max_views=2)
    scene = data.scene(0)
    each = encoding.tokens(scene.views)
    drawn = set()
    for epoch in range(8):
        sample = data[Item(epoch, 0)]
        assert sample.tokens is not None and sample.lift is not None
        assert len(sample.tokens) == sample.lift.tokens == 24
        pair = tuple(
            next(row for row, tokens in enumerate(each) if torch.equal(tokens, part))
            for part in sample.tokens.split(12)
        )
        drawn.add(pair)
    assert len(drawn) > 2 and all(len(set(pair)) == 2 for pair in drawn)


# ---- captures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [True, False])
def test_few_labels_are_the_same_in_every_epoch_and_none_gets_lost(world: Path, keep: bool) -> None:
    few = training_set(world, augmentations=indoor_augmentations(elastic=False), labelled_points=7, keep=keep)
    full = training_set(world).scene(1)
    scene = few.scene(1)
    assert scene.label is not None and full.label is not None
    rows = (scene.label >= 0).nonzero()[0]
    assert len(rows) == 7 and (scene.label[rows] == full.label[rows]).all()
    cells = set()
    for epoch in range(12):
        sample = few[Item(epoch, 1)]
        assert sample.label is not None
        held = sample.inverse[torch.from_numpy(rows)]
        assert (held >= 0).all(), "dropping points leaves those with a label"
        assert (sample.label >= 0).sum() == len(held.unique()), "and they stand for their voxel"
        assert set(sample.label[held].tolist()) <= set(full.label[rows].tolist())
        cells.add(len(sample))
    assert len(cells) > 1, "others are dropped at times"
    assert (training_set(world, seed=1, labelled_points=7).scene(1).label != scene.label).any()
    everything = training_set(world, labelled_points=10**6).scene(1)
    np.testing.assert_array_equal(everything.label, full.label)


def test_captures_are_found_in_order(world: Path) -> None:
    assert [path.name for path in find_captures(world / "data")] == ["scene_0", "scene_1"]
    assert find_captures(world / "data" / "scene_1") == [world / "data" / "scene_1"]
    for nothing in (world / "nowhere", world):
        with pytest.raises(InputError, match="no capture here"):
            find_captures(nothing)


@pytest.mark.parametrize("keep", [True, False])
def test_all_captures_must_have_the_classes_of_the_first(tmp_path: Path, keep: bool) -> None:
    write_world(tmp_path / "data", 2)
    write_capture(replace(make_scene(2), class_names=("floor", "wall", "crate")), tmp_path / "data" / "scene_2")
    data = training_set(tmp_path, keep=keep)
    assert data.class_names == ("floor", "wall", "box") and data.scene(1).label is not None
    with pytest.raises(InputError, match="scene_2: its classes are floor, wall, crate"):
        _ = data[Item(0, 2)]


# ---- order ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 20), st.integers(0, 3))
def test_every_epoch_draws_every_scene_once(scenes: int, batch_size: int, steps: int, seed: int) -> None:
    batches = list(Shuffle(scenes, batch_size, steps, seed))
    assert len(batches) == steps == len(Shuffle(scenes, batch_size, steps, seed))
    assert all(len(batch) == batch_size for batch in batches)
    items = [item for batch in batches for item in batch]
    for epoch in range(len(items) // scenes):
        part = items[epoch * scenes : (epoch + 1) * scenes]
        assert sorted(item.index for item in part) == list(range(scenes))
        assert {item.epoch for item in part} == {epoch}
    for start in range(steps):
        assert list(Shuffle(scenes, batch_size, steps, seed, start=start)) == batches[start:]


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def order(seed: int) -> list[list[int]]:
        return [[item.index for item in batch] for batch in Shuffle(20, 20, 3, seed)]

    assert len({tuple(epoch) for seed in (0, 1) for epoch in order(seed)}) == 6


# ---- scenes with another up -----------------------------------------------------------------------------------------


class OneScene:
    """A source of one scene."""

    name = "one"

    def __init__(self, scene: Scene) -> None:
        self.only = scene

    def __len__(self) -> int:
        return 1

    def names(self) -> list[str]:
        return [self.only.name]

    def scene(self, index: int) -> Scene:
        return self.only


def test_a_scene_with_another_up_is_learned_upright_as_it_is_labelled_later() -> None:
    """Stored with y as up, it gives the height and the normals that it has with z as up."""
    scene = make_scene(views=3)
    pose = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    level = replace(scene.views[0], world_to_camera=pose)
    scene = replace(scene, views=(level,))
    matrix = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    turn = np.eye(4)
    turn[:3, :3] = matrix
    assert scene.normal is not None
    lying = replace(
        scene,
        coord=scene.coord @ matrix.T,
        normal=(scene.normal @ matrix.T).astype(np.float32),
        views=(replace(level, world_to_camera=level.world_to_camera @ np.linalg.inv(turn)),),
    )
    found = []
    for stored in (scene, lying):
        sample = TrainingSet(OneScene(stored), PREPARATION, NETWORK.pyramid, seed=0)[Item(0, 0)]
        found.append((sample.pyramid.levels[0].grid.max(dim=0).values.tolist(), sample.feature[:, -1].sort().values))
    assert found[0][0][2] == found[1][0][2]
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-5, rtol=0)

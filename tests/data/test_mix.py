"""Mix3D: one scene for the geometry, two for the photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import NETWORK, PREPARATION, make_scene, tiny_encoding, write_world

from ditr.captures.capture import write_capture
from ditr.data.augment.images import HorizontalFlip
from ditr.data.batch import join_samples
from ditr.data.dataset import Item, Shuffle, TrainingSet
from ditr.data.mix import cells_only, mix_pairs
from ditr.data.sample import Sample
from ditr.encoders.encoding import CachedEncoding
from ditr.geometry.lift_pyramid import LiftPyramid
from ditr.training.loading import RankShare, load_batches

SPEC = NETWORK.pyramid


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", 3, views=2)
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def samples(world: Path, encoding: CachedEncoding | None) -> list[Sample]:
    data = TrainingSet(sorted((world / "data").iterdir()), PREPARATION, cells_only(SPEC), seed=0, encoding=encoding)
    return [data[Item(0, index)] for index in range(3)]


def mixed(parts: list[Sample]) -> list[Sample]:
    return mix_pairs(parts, SPEC, np.random.default_rng(0))


def test_a_pair_is_one_sample_of_the_pyramid_and_an_odd_one_stays_alone(world: Path, encoding: CachedEncoding) -> None:
    parts = samples(world, encoding)
    both, alone = mixed(parts)
    assert both.name == "scene_0 + scene_1" and alone.name == "scene_2"
    size = [len(part) for part in parts]
    assert both.pyramid.samples == 1 and len(both) == size[0] + size[1] and len(alone) == size[2]
    assert both.pyramid.levels[0].first_row is not None, "the floors of both begin in the corner"
    grid = both.pyramid.levels[0].grid
    assert torch.equal(grid[: size[0]], parts[0].pyramid.levels[0].grid)
    assert torch.equal(grid[size[0] :], parts[1].pyramid.levels[0].grid)
    assert torch.equal(both.feature, torch.cat([parts[0].feature, parts[1].feature]))
    assert both.label is not None and torch.equal(both.label[size[0] :], parts[1].label)
    assert torch.equal(both.inverse[len(parts[0].inverse) :], parts[1].inverse + size[0])
    assert [len(level) for level in both.pyramid.levels][1] < size[0] + size[1]
    batch = join_samples([both, alone])
    assert batch.pyramid.samples == 2 and batch.names == (both.name, alone.name)


def test_every_point_sees_the_photographs_of_its_own_scene(world: Path, encoding: CachedEncoding) -> None:
    parts = samples(world, encoding)
    both, _ = mixed(parts)
    assert both.lift is not None and both.tokens is not None
    token = both.lift.levels[0].token
    start = 0
    for part in parts[:2]:
        assert part.lift is not None and part.tokens is not None
        own = part.lift.levels[0].token
        ours = token[start : start + len(part)]
        assert torch.equal(ours < 0, own < 0) and bool((own >= 0).any())
        assert torch.equal(both.tokens[ours[ours >= 0]], part.tokens[own[own >= 0]])
        start += len(part)
    coarse = both.lift.levels[1]
    parent = both.pyramid.levels[0].parent
    assert parent is not None
    expected = {(int(p), int(t)) for p, t in zip(parent, token, strict=True)}
    cell = torch.repeat_interleave(torch.arange(len(coarse.count)), coarse.count)
    assert {(int(c), int(t)) for c, t in zip(cell, coarse.token, strict=True)} == expected


def seen_by_voxels(tokens: torch.Tensor | None, lift: LiftPyramid | None) -> torch.Tensor:
    """The token of every voxel, zeros for none."""
    assert tokens is not None and lift is not None
    return torch.cat([torch.zeros(1, tokens.shape[1]), tokens])[lift.levels[0].token + 1]


@pytest.mark.parametrize("augmented", [False, True], ids=["encoded before", "encoded afterwards"])
def test_scenes_of_different_numbers_of_views_keep_to_their_own(
    world: Path, encoding: CachedEncoding, tmp_path: Path, augmented: bool
) -> None:
    """A pair and a scene beside it, with one, three and two views: other lists of tokens, one after the other."""
    folders = [tmp_path / str(views) for views in (1, 3, 2)]
    for seed, (views, folder) in enumerate(zip((1, 3, 2), folders, strict=True)):
        write_capture(make_scene(seed, views=views), folder, image_format="png")
    images = (HorizontalFlip(p=0.0),) if augmented else ()
    data = TrainingSet(folders, PREPARATION, SPEC, seed=0, encoding=encoding, image_augmentations=images)
    alone = TrainingSet(folders, PREPARATION, cells_only(SPEC), seed=0, encoding=encoding)
    order = RankShare(Shuffle(3, 3, 1, 0), 0, 1, mix3d=[1.0])
    (draw,) = order
    (batch,) = load_batches(data, order, encoding=encoding, device="cpu", workers=0, cls=True)
    parts = [alone[item] for item in draw.items]
    views = [len(part.sizes) for part in parts]
    assert sorted(views) == [1, 2, 3] and batch.views == (views[0] + views[1], views[2])
    assert batch.lift is not None and batch.tokens is not None and batch.cls is not None
    assert batch.lift.tokens == len(batch.tokens)
    seen = torch.cat([seen_by_voxels(part.tokens, part.lift) for part in parts])
    # Features are kept with half the digits.
    torch.testing.assert_close(seen_by_voxels(batch.tokens, batch.lift), seen, rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(batch.cls, torch.cat([part.cls for part in parts]), rtol=2e-3, atol=2e-3)  # type: ignore[misc]


def test_without_images_or_labels_there_are_none(world: Path) -> None:
    parts = samples(world, None)
    both, _ = mixed([replace(parts[0], label=None), *parts[1:]])
    assert both.lift is None and both.tokens is None and both.label is None


def test_the_network_takes_mixed_batches(world: Path, encoding: CachedEncoding) -> None:
    from ditr.models.segmentation import Segmentation
    from ditr.nn.image_features import ImageFeatures

    batch = join_samples(mixed(samples(world, encoding)))
    network = Segmentation(replace(NETWORK, image_width=encoding.width), 3).train()
    assert batch.lift is not None and batch.tokens is not None
    out = network(batch.feature, batch.pyramid, ImageFeatures(batch.tokens, batch.lift))
    assert out.shape == (len(batch.feature), 3) and bool(out.isfinite().all())

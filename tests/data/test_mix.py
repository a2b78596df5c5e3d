"""Mix3D: one scene for the geometry, two for the photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import NETWORK, PREPARATION, tiny_encoding, write_world

from ditr.data.batch import join_samples
from ditr.data.dataset import Item, TrainingSet
from ditr.data.mix import cells_only, mix_pairs
from ditr.data.sample import Sample
from ditr.encoders.encoding import CachedEncoding

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
    assert both.pyramid.levels[0].repeated_cells, "the floors of both begin in the corner"
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

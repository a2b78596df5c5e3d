"""The whole network: a sample's result is its own, follows its voxels, and is the same bits every time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden import error
from hypothesis import given, settings
from hypothesis import strategies as st
from random_statistics import with_statistics
from torch import Tensor, nn

from ditr.errors import InputError
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import build_lift_pyramid, join_lift_pyramids
from ditr.geometry.pyramid import PyramidSpec, build_pyramid, draw_permutations
from ditr.models.ptv3 import PTv3, PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.blocks import Block
from ditr.nn.image_features import ImageFeatures

WIDTH, CLASSES = 12, 5
PTV3 = PTv3Config(
    encoder_depths=(1, 1, 5, 1),
    encoder_channels=(16, 16, 32, 32),
    encoder_heads=(1, 2, 2, 4),
    decoder_depths=(1, 2, 1),
    decoder_channels=(16, 32, 32),
    decoder_heads=(1, 2, 2),
    patch_size=16,
)
DITR = replace(PTV3, image_width=WIDTH)
LEARNED = replace(DITR, missing_embedding=True)
CONFIGS = {"ptv3": PTV3, "ditr": DITR, "ditr with a learned embedding": LEARNED}


def make_model(config: PTv3Config) -> Segmentation:
    """Random weights and random statistics, as after some training."""
    torch.manual_seed(0)
    return with_statistics(Segmentation(config, CLASSES))


@pytest.fixture(scope="module")
def models() -> dict[str, Segmentation]:
    return {name: make_model(config) for name, config in CONFIGS.items()}


class Scene:
    """Random features, tokens and a random lift on given cells."""

    def __init__(self, grid: Tensor, seed: int = 0, views: int = 2) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.grid = grid
        self.features = torch.randn(len(grid), 6, generator=generator)
        self.tokens = torch.randn(9 * views, WIDTH, generator=generator)
        self.patch = torch.randint(-1, 9 * views, (len(grid),), generator=generator)

    def moved(self, order: Tensor) -> Scene:
        """The same scene with its voxels in another order."""
        other = Scene.__new__(Scene)
        other.grid, other.features, other.patch = self.grid[order], self.features[order], self.patch[order]
        other.tokens = self.tokens
        return other


def segment(model: Segmentation, scenes: list[Scene], permutations: Any = None) -> Tensor:
    spec = model.backbone.config.pyramid
    pyramids = [build_pyramid(scene.grid, spec, permutations=permutations) for scene in scenes]
    lifts = [build_lift_pyramid(s.patch, len(s.tokens), p) for s, p in zip(scenes, pyramids, strict=True)]
    image = ImageFeatures(torch.cat([scene.tokens for scene in scenes]), join_lift_pyramids(lifts))
    features = torch.cat([scene.features for scene in scenes])
    logits: Tensor = model(features, join_pyramids(pyramids), image)
    return logits


def blob(n: int, high: int, seed: int) -> Tensor:
    """About ``n`` different cells of a cube, in random order."""
    rng = np.random.default_rng(seed)
    cells = np.unique(rng.integers(0, high, (n, 3)), axis=0)
    return torch.from_numpy(rng.permutation(cells))


def line(n: int) -> Tensor:
    return torch.arange(n)[:, None] * torch.tensor([[0, 0, 1]])


grids = st.one_of(
    st.sampled_from([line(1), line(2), line(16), line(17), torch.tensor([[65535, 0, 65535], [0, 65535, 0]])]),
    st.builds(blob, st.integers(1, 300), st.sampled_from([3, 10, 1000]), st.integers(0, 1000)),
)


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=20)
@given(parts=st.lists(grids, min_size=2, max_size=4), seed=st.integers(0, 100))
def test_a_sample_does_not_feel_its_batch_mates(
    name: str, parts: list[Tensor], seed: int, models: dict[str, Segmentation]
) -> None:
    scenes = [Scene(grid, seed + i, views=1 + i % 3) for i, grid in enumerate(parts)]
    with torch.no_grad():
        together = segment(models[name], scenes).split([len(grid) for grid in parts])
        for scene, logits in zip(scenes, together, strict=True):
            assert error(logits, segment(models[name], [scene])) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("sizes", [[1, 200], [200, 1], [1, 1, 1], [16, 17, 15], [2, 150, 1, 33]])
def test_small_samples_keep_their_place_in_a_batch(
    name: str, sizes: list[int], models: dict[str, Segmentation]
) -> None:
    scenes = [Scene(line(n), seed=n + i) for i, n in enumerate(sizes)]
    with torch.no_grad():
        together = segment(models[name], scenes).split(sizes)
        for scene, logits in zip(scenes, together, strict=True):
            assert torch.isfinite(logits).all()
            assert error(logits, segment(models[name], [scene])) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
@settings(max_examples=20)
@given(grid=grids, seed=st.integers(0, 100))
def test_logits_follow_the_order_of_the_voxels(
    name: str, grid: Tensor, seed: int, models: dict[str, Segmentation]
) -> None:
    scene = Scene(grid, seed)
    order = torch.randperm(len(grid), generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logits = segment(models[name], [scene])
        assert error(segment(models[name], [scene.moved(order)]), logits[order]) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_one_scene_gives_the_same_bits_again(name: str, models: dict[str, Segmentation]) -> None:
    with torch.no_grad():
        first, second = (segment(models[name], [Scene(blob(2000, 20, 0))]) for _ in range(2))
        torch.randn(1000)
        third = segment(models[name], [Scene(blob(2000, 20, 0))])
    assert torch.equal(first, second)
    assert torch.equal(first, third)


def print_digest(threads: int) -> None:
    """What the processes of the next test run: a hash over the bits of all networks' logits."""
    torch.set_num_threads(threads)
    digest = hashlib.sha256()
    with torch.no_grad():
        for config in CONFIGS.values():
            digest.update(segment(make_model(config), [Scene(blob(1500, 16, 0))]).numpy().tobytes())
    print(digest.hexdigest())


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_one_scene_gives_the_same_bits_in_two_processes(threads: int) -> None:
    """With another hash seed, on which the order of sets depends. (Another number of threads does change bits.)"""
    code = f"import runpy; runpy.run_path({__file__!r})['print_digest']({threads})"
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")])
    digests = []
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": paths}
        process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr
        digests.append(process.stdout.strip())
    assert len(digests[0]) == 64
    assert digests[0] == digests[1]


def test_images_matter_to_ditr_alone(models: dict[str, Segmentation]) -> None:
    scene, other = Scene(blob(200, 8, 0)), Scene(blob(200, 8, 0))
    other.tokens = other.tokens.flip(0)
    with torch.no_grad():
        for name, model in models.items():
            same = torch.equal(segment(model, [scene]), segment(model, [other]))
            assert same == (name == "ptv3")


def test_ptv3_reads_no_image(models: dict[str, Segmentation]) -> None:
    scene = Scene(blob(200, 8, 0))
    pyramid = build_pyramid(scene.grid, PTV3.pyramid)
    with torch.no_grad():
        assert torch.equal(models["ptv3"](scene.features, pyramid), segment(models["ptv3"], [scene]))


@pytest.mark.parametrize("name", ["ditr", "ditr with a learned embedding"])
def test_a_scene_without_views_equals_one_that_no_view_sees(name: str, models: dict[str, Segmentation]) -> None:
    unseen, without = Scene(blob(200, 8, 0)), Scene(blob(200, 8, 0), views=0)
    unseen.patch = torch.full_like(unseen.patch, -1)
    without.features = unseen.features
    assert len(without.tokens) == 0 and int(without.patch.max()) == -1
    with torch.no_grad():
        # Some machines multiply another number of rows in another order.
        torch.testing.assert_close(
            segment(models[name], [unseen]), segment(models[name], [without]), atol=1e-5, rtol=1e-5
        )


def test_a_learned_embedding_of_zeros_is_none_at_all(models: dict[str, Segmentation]) -> None:
    learned = make_model(LEARNED)
    assert learned.backbone.missing_embedding is not None
    with torch.no_grad():
        state = models["ditr"].state_dict()
        learned.load_state_dict(state | {"backbone.missing_embedding": torch.zeros(WIDTH)})
        scene = Scene(blob(200, 8, 0))
        assert torch.equal(segment(learned, [scene]), segment(models["ditr"], [scene]))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_training_reaches_every_parameter(config: PTv3Config) -> None:
    """With shuffled curves and a mixed pair of scenes, some of whose cells coincide."""
    model = make_model(config).train()
    pair = torch.cat([blob(150, 8, 0), blob(150, 8, 1)])
    permutations = draw_permutations(np.random.default_rng(0), config.pyramid)
    logits = segment(model, [Scene(pair), Scene(blob(100, 8, 2))], permutations)
    (logits**2).mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_shuffled_curves_change_the_result(models: dict[str, Segmentation]) -> None:
    """So they are for training only; the same draw gives the same result."""
    scene = Scene(blob(300, 9, 0))
    shuffled = draw_permutations(np.random.default_rng(1), PTV3.pyramid)
    with torch.no_grad():
        plain = segment(models["ptv3"], [scene])
        assert error(segment(models["ptv3"], [scene], shuffled), plain) > 1e-3
        assert torch.equal(segment(models["ptv3"], [scene], [[0, 1, 2, 3]] * 4), plain)


def drop_path_of(stages: nn.ModuleList) -> list[list[float]]:
    return [
        [round(block.drop_path.probability, 4) for block in stage.modules() if isinstance(block, Block)]
        for stage in stages
    ]


def test_drop_path_grows_as_published() -> None:
    with torch.device("meta"):
        network = PTv3(PTv3Config())
    assert drop_path_of(network.encoder) == [
        [0, 0.0231],
        [0.0462, 0.0692],
        [0.0923, 0.1154],
        [0.1385, 0.1615, 0.1846, 0.2077, 0.2308, 0.2538],
        [0.2769, 0.3],
    ]
    assert drop_path_of(network.decoder) == [[0.0429, 0], [0.1286, 0.0857], [0.2143, 0.1714], [0.3, 0.2571]]


def test_blocks_take_the_curves_in_turn() -> None:
    with torch.device("meta"):
        network = PTv3(PTv3Config())
    curves = [[block.curve for block in stage.blocks] for stage in network.encoder]
    assert curves == [[0, 1], [0, 1], [0, 1], [0, 1, 2, 3, 0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("config", "parameters", "entries"),
    [
        (PTv3Config(), 46_166_272, 486),
        (PTv3Config(in_channels=4), 46_158_272, 486),
        (PTv3Config(image_width=1024), 46_692_096, 514),
    ],
)
def test_default_sizes(config: PTv3Config, parameters: int, entries: int) -> None:
    with torch.device("meta"):
        network = PTv3(config)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert len(network.state_dict()) == entries
    assert network.out_channels == 64
    assert config.pyramid == PyramidSpec(levels=5, stem_kernel=5, kernel=3, patch_size=1024)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"encoder_depths": (1, 1)}, "one length"),
        ({"decoder_heads": (1, 2)}, "one stage fewer"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(fault: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PTV3, **fault)


def test_one_level_is_no_network() -> None:
    with pytest.raises(ValueError, match="two levels"):
        PTv3Config((6), (1,), (16,), (1,), (), (), ())


def test_inputs_that_do_not_belong_together_are_refused(models: dict[str, Segmentation]) -> None:
    scene = Scene(blob(50, 6, 0))
    pyramid = build_pyramid(scene.grid, PTV3.pyramid)
    lift = build_lift_pyramid(scene.patch, len(scene.tokens), pyramid)
    image = ImageFeatures(scene.tokens, lift)
    ditr = models["ditr"]
    for features in (scene.features[1:], torch.cat([scene.features, scene.features]), scene.features[:, :4]):
        with pytest.raises(ValueError, match="features of shape"):
            ditr(features, pyramid, image)
    with pytest.raises(ValueError, match="takes image features"):
        ditr(scene.features, pyramid)
    for tokens in (scene.tokens[1:], torch.cat([scene.tokens, scene.tokens]), scene.tokens[:, 1:]):
        with pytest.raises(ValueError, match="image tokens of shape"):
            ditr(scene.features, pyramid, ImageFeatures(tokens, lift))
    flat = build_pyramid(scene.grid, PyramidSpec(levels=3))
    with pytest.raises(ValueError, match="3 levels for a network of 4"):
        ditr(scene.features, flat, image)


def test_an_empty_scene_is_refused() -> None:
    with pytest.raises(InputError, match="at least one voxel"):
        build_pyramid(torch.zeros(0, 3, dtype=torch.int64), PTV3.pyramid)

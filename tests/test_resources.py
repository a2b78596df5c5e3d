"""What the networks cost, in figures that no other process can disturb: memory, operators, encoder runs, geometry.

The limits in ``resources.json`` are what was measured when they were written. Whoever lowers a figure renews them:

    DITR_RENEW_RESOURCES=1 python -m pytest tests/test_resources.py
"""

from __future__ import annotations

import cProfile
import inspect
import json
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from small_world import RULE, tiny_config, tiny_encoding, write_world
from torch import Tensor

from ditr.captures.capture import read_capture
from ditr.captures.images import read_depth, read_image
from ditr.data.augment.images import image_augmentations
from ditr.data.augment.variants import ROTATIONS
from ditr.data.dataset import Item, TrainingSet
from ditr.data.fragments import Fragments
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.image_encoder import EncodedImages, ImageEncoder
from ditr.encoders.weights import load_weights
from ditr.evaluation.voting import Voting
from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.projection import shown_points
from ditr.geometry.pyramid import build_pyramid
from ditr.geometry.voxels import voxelize
from ditr.inference.segmenter import Segmenter
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.image_features import ImageFeatures
from ditr.studies.bench.memory import count_work, tensor_bytes

LIMITS = Path(__file__).with_name("resources.json")
RENEW = os.environ.get("DITR_RENEW_RESOURCES") == "1"
HOW = "DITR_RENEW_RESOURCES=1 python -m pytest tests/test_resources.py writes the figures of now as limits"
SPARE = 1.02
"""Over the limits: releases of torch differ by a few operators."""
TOKENS, WIDTH, CLASSES = 2_400, 1024, 20
DEPTH_RULE = replace(RULE, depth_margin=0.1)

# The finest levels of the published networks, where memory and time go.
PTV3 = PTv3Config(
    encoder_depths=(2, 2, 2),
    encoder_channels=(32, 64, 128),
    encoder_heads=(2, 4, 8),
    decoder_depths=(2, 2),
    decoder_channels=(64, 64),
    decoder_heads=(4, 4),
)
NETWORKS = {
    "ptv3": PTV3,
    "ditr": replace(PTV3, image_width=WIDTH),
    "minkunet": MinkUNetConfig(
        encoder_depths=(2, 3), encoder_channels=(32, 64), decoder_depths=(2, 2), decoder_channels=(96, 96)
    ),
}


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=lambda threads: f"{threads} threads")
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """On one thread convolutions take another way than on several, which wait for each other where others compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@cache
def room() -> Tensor:
    """(M, 3) cells of an uneven floor, a wall and a table."""
    x, y = (axis.reshape(-1) for axis in torch.meshgrid(torch.arange(90), torch.arange(80), indexing="ij"))
    floor = torch.stack([x, y, (x // 16 + y // 16) % 2], dim=1)
    table = torch.stack([x, y, torch.full_like(x, 20)], dim=1)[(x - 50).abs() + (y - 40).abs() < 24]
    u, v = (axis.reshape(-1) for axis in torch.meshgrid(torch.arange(90), torch.arange(2, 40), indexing="ij"))
    wall = torch.stack([u, torch.zeros_like(u), v], dim=1)
    return torch.unique(torch.cat([floor, table, wall]), dim=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_forward_pass_stays_within_its_memory_and_operators(name: str, threads: int) -> None:
    torch.manual_seed(0)
    config = NETWORKS[name]
    model = Segmentation(config, CLASSES).eval()
    pyramid = build_pyramid(room(), config.pyramid)
    patch = torch.arange(len(room())) % (2 * TOKENS)
    lift = build_lift_pyramid(torch.where(patch < TOKENS, patch, -1), TOKENS, pyramid)
    image = ImageFeatures(torch.randn(TOKENS, WIDTH), lift) if name == "ditr" else None
    features = torch.randn(len(room()), 6)

    @torch.no_grad()
    def run() -> None:
        model(features, pyramid, image)

    run()  # what is made once, as the neighbours' pairs, is made before
    counts = count_work(run)
    within(
        {
            f"{name}, {threads} threads: bytes at peak": counts.peak_bytes,
            f"{name}, {threads} threads: operator calls": counts.calls,
            f"{name}: bytes of the pyramid": tensor_bytes((pyramid, lift if name == "ditr" else None)),
        }
    )


class CountingEncoder(ImageEncoder):
    """An image encoder that knows how many images it has seen."""

    images = 0

    def __call__(self, images: Tensor) -> EncodedImages:
        self.images += len(images)
        return super().__call__(images)


def calls_of(run: Callable[[], object], *functions: Callable[..., object]) -> list[int]:
    """How often ``run`` calls some functions."""
    profile = cProfile.Profile()
    profile.runcall(run)
    found: dict[tuple[str, int, str], int] = {}
    for entry in profile.getstats():
        if not isinstance(entry.code, str):
            code = entry.code
            found[code.co_filename, code.co_firstlineno, code.co_name] = entry.callcount
    codes = [inspect.unwrap(function).__code__ for function in functions]
    return [found.get((code.co_filename, code.co_firstlineno, code.co_name), 0) for code in codes]


def test_voting_does_once_what_fragments_or_variants_share(tmp_path: Path) -> None:
    """Photographs are decoded, projected and encoded once a scene, and geometry is made once a variant."""
    encoder = CountingEncoder(load_weights(tiny_encoding(tmp_path / "encoder", cache=False).spec))
    encoding = CachedEncoding(encoder.name, None, "cpu", _encoder=encoder)
    config = tiny_config(encoding, rule=DEPTH_RULE)
    scene = read_capture(write_world(tmp_path / "world", count=1, depth=True)[0])
    segmenter = Segmenter(config, config.build(), encoding=encoding, device="cpu")
    passes, fragments, *per_view, voxels, pyramids = calls_of(
        lambda: segmenter(scene, votes=Voting(ROTATIONS, batch_voxels=0)),
        *(Segmenter.run, Fragments.sample, read_image, read_depth, shown_points, voxelize, build_pyramid),
    )
    assert passes == fragments > 2 * len(ROTATIONS), "one pass for each fragment"
    assert encoder.images == len(scene.views) > 1
    assert per_view == [len(scene.views)] * 3
    assert voxels == pyramids == len(ROTATIONS)


def test_a_training_sample_reads_every_file_once(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path / "encoder", cache=False)
    folders = write_world(tmp_path / "world", count=1, depth=True, views=4)
    config = tiny_config(encoding, rule=DEPTH_RULE, max_views=3)
    samples = TrainingSet(
        folders,
        config.preparation,
        config.network.pyramid,
        seed=0,
        image_augmentations=image_augmentations(),
        encoding=encoding,
    )
    samples.scene(0)
    found = calls_of(lambda: samples[Item(0, 0)], read_image, read_depth, shown_points, voxelize, build_pyramid)
    assert found == [3, 3, 3, 1, 1], "only the drawn views, and each of them once"


def test_counts_are_of_the_work_alone() -> None:
    kept = torch.ones(1 << 20)

    def run() -> Tensor:
        return (kept + 1).sum() + (kept * 2).sum()

    counts = count_work(run)
    assert counts == count_work(run)
    assert counts.calls == 5
    assert kept.nbytes <= counts.peak_bytes < 1.1 * kept.nbytes, "one copy at a time"
    assert tensor_bytes({"a": kept, "b": [kept, kept[:5]]}) == kept.nbytes


def within(found: dict[str, int]) -> None:
    """Every figure is at most its limit; one that fell is worth a lower limit."""
    limits: dict[str, int] = json.loads(LIMITS.read_text()) if LIMITS.exists() else {}
    if RENEW:
        LIMITS.write_text(json.dumps(dict(sorted({**limits, **found}.items())), indent=2) + "\n")
        return
    above = {what: f"{value} > {limits[what]}" for what, value in found.items() if value > SPARE * limits[what]}
    assert not above, f"more than before. If that has to be: {HOW}"
    fallen = {what: f"{value} < {limits[what]}" for what, value in found.items() if SPARE * value < limits[what]}
    if fallen:
        warnings.warn(f"less than before: {fallen}. So that it stays: {HOW}", stacklevel=2)

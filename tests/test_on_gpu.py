"""What has to hold on a GPU too; without one, all of this is skipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import Stopped, make_scene, stop_after, tiny_config, tiny_encoding, tiny_recipe, write_world
from torch import Tensor

from ditr.data.batch import Batch, join_samples
from ditr.data.sample import prepare
from ditr.data.scene_views import scene_views
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.image_encoder import load_image_encoder
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.models.minkunet import MinkUNetConfig
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Augmentation, DistillTask, Recipe
from ditr.weights.contract import TOLERANCE
from ditr.weights.saved_model import ModelConfig

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

MINKUNET = MinkUNetConfig(
    stem_channels=16,
    encoder_depths=(1, 1),
    encoder_channels=(16, 24),
    decoder_depths=(1, 1),
    decoder_channels=(24, 16),
)


def difference(a: Tensor, b: Tensor) -> float:
    """Largest difference over the root mean square."""
    a, b = a.double().cpu(), b.double().cpu()
    return float((a - b).abs().max() / b.square().mean().sqrt())


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


def network(kind: str, encoding: CachedEncoding) -> tuple[ModelConfig, bool]:
    config = tiny_config(encoding if kind == "ditr" else None)
    if kind == "minkunet":
        config = replace(config, network=replace(MINKUNET, in_channels=config.network.in_channels))
    return config, kind == "ditr"


def batch_of(seeds: list[int], config: ModelConfig, encoding: CachedEncoding, images: bool) -> Batch:
    samples = []
    for seed in seeds:
        scene, views, tokens = make_scene(seed, points=3000), None, None
        if images:
            sizes = [encoding.size(view) for view in scene.views]
            views = scene_views(scene, list(scene.views), sizes, encoding.patch_size, config.preparation.rule)
            tokens = torch.cat(encoding.tokens(scene.views))
        samples.append(
            prepare(scene, config.preparation, config.network.pyramid, views=replace(views, tokens=tokens), seed=seed)
        )
    return join_samples(samples)


@pytest.mark.parametrize("kind", ["ptv3", "ditr", "minkunet"])
def test_networks_give_what_they_give_on_a_cpu_and_the_same_each_time(kind: str, encoding: CachedEncoding) -> None:
    config, images = network(kind, encoding)
    torch.manual_seed(0)
    on_cpu = Segmenter(config, config.build(), encoding=encoding, device="cpu")
    on_gpu = Segmenter(config, config.build(), encoding=encoding, device="cuda")
    on_gpu.model.load_state_dict(on_cpu.model.state_dict())
    batch = batch_of([0, 1], config, encoding, images)
    first = on_gpu.run(batch.to("cuda"))
    assert difference(first, on_cpu.run(batch)) < TOLERANCE["cuda"]
    for _ in range(3):
        assert torch.equal(on_gpu.run(batch.to("cuda")), first)


@pytest.mark.parametrize("kind", ["ptv3", "ditr", "minkunet"])
def test_a_scene_in_a_batch_gives_what_it_gives_alone(kind: str, encoding: CachedEncoding) -> None:
    config, images = network(kind, encoding)
    torch.manual_seed(0)
    segmenter = Segmenter(config, config.build(), encoding=encoding, device="cuda")
    together = segmenter.run(batch_of([0, 1, 2], config, encoding, images).to("cuda"))
    alone = [segmenter.run(batch_of([seed], config, encoding, images).to("cuda")) for seed in (0, 1, 2)]
    assert difference(together, torch.cat(alone)) < 1e-5


def test_labels_of_a_scene_are_the_same_each_time(encoding: CachedEncoding) -> None:
    config = tiny_config(encoding)
    torch.manual_seed(0)
    segmenter = Segmenter(config, config.build(), device="cuda")
    scene = make_scene(0, points=3000, views=3)
    for votes in (None, Voting()):
        first, again = (segmenter(scene, up=(0, 0, 1), votes=votes) for _ in range(2))
        assert np.array_equal(first.label, again.label)
        assert np.array_equal(first.confidence, again.confidence)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_do_not_depend_on_the_other_images(dtype: torch.dtype) -> None:
    encoder = load_image_encoder("random:dinov2-small", device="cuda", dtype=dtype)
    images = torch.randn(7, 3, 140, 196, generator=torch.Generator().manual_seed(0)).cuda()
    together = encoder(images)
    alone = [encoder(image[None]) for image in images]
    assert torch.equal(together.patch, torch.cat([one.patch for one in alone]))
    assert torch.equal(together.cls, torch.cat([one.cls for one in alone]))


def run(world: Path, folder: Path, recipe: Recipe, encoding: CachedEncoding | None, **how: object) -> list[float]:
    captures = sorted(world.iterdir())
    settings: dict[str, object] = {"device": "cuda", "quiet": True, "captures": captures, **how}
    train(recipe, TrainingRun(folder=folder, encoding=encoding, **settings))  # type: ignore[arg-type]
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", [None, "32-true", "16-mixed"])
def test_training_learns_in_every_precision(tmp_path: Path, precision: str | None) -> None:
    write_world(tmp_path / "data")
    encoding = replace(tiny_encoding(tmp_path, cache=False), device="cuda")
    recipe = replace(tiny_recipe(encoding), steps=60, augmentation=Augmentation("none", images=True))
    losses = run(tmp_path / "data", tmp_path / "run", recipe, encoding, precision=precision)
    assert all(np.isfinite(losses))
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_distillation_learns(tmp_path: Path) -> None:
    write_world(tmp_path / "data")
    encoding = replace(tiny_encoding(tmp_path, cache=False), device="cuda")
    recipe = replace(tiny_recipe(encoding), steps=60, task=DistillTask(), augmentation=Augmentation("none", mix3d=0.5))
    losses = run(tmp_path / "data", tmp_path / "run", recipe, encoding)
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_the_first_losses_are_those_of_a_cpu(tmp_path: Path) -> None:
    write_world(tmp_path / "data")
    encoding = tiny_encoding(tmp_path)
    recipe = replace(tiny_recipe(encoding), network=replace(tiny_recipe(encoding).network, drop_path=0.0), steps=3)
    there = run(tmp_path / "data", tmp_path / "gpu", recipe, encoding, precision="32-true")
    here = run(tmp_path / "data", tmp_path / "cpu", recipe, encoding, precision="32-true", device="cpu")
    np.testing.assert_allclose(there, here, rtol=2e-3)


def test_a_deterministic_run_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    write_world(tmp_path / "data")
    encoding = tiny_encoding(tmp_path)
    recipe = tiny_recipe(encoding)
    try:
        run(tmp_path / "data", tmp_path / "whole", recipe, encoding, deterministic=True)
        with pytest.raises(Stopped):
            run(
                tmp_path / "data",
                tmp_path / "parts",
                recipe,
                encoding,
                deterministic=True,
                checkpoint_every=3,
                report=stop_after(4),
            )
        run(tmp_path / "data", tmp_path / "parts", recipe, encoding, deterministic=True, checkpoint_every=3)
    finally:
        torch.use_deterministic_algorithms(False)
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

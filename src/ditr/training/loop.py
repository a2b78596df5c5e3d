"""The training loop: read it from top to bottom.

Every step draws its randomness from (seed, step), so a resumed run goes on exactly where it was interrupted.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ditr.data.batch import Batch
from ditr.data.dataset import Shuffle, TrainingSet
from ditr.device import choose_device
from ditr.encoding import CachedEncoding
from ditr.files import InputError, atomic_path
from ditr.memory import release_memory
from ditr.models.injection import ImageFeatures
from ditr.plain import to_plain
from ditr.saved_model import EncoderConfig, ModelConfig, read_config, save_model
from ditr.training.checkpoint import is_finished, load_newest, mark_finished, save_checkpoint
from ditr.training.loading import Share, load_batches
from ditr.training.losses import cross_entropy, lovasz_softmax
from ditr.training.recipe import Recipe
from ditr.training.run_log import RunLog
from ditr.training.schedule import OneCycle, parameter_groups

__all__ = ["StepResult", "TrainingRun", "make_optimizer", "take_step", "train"]

_log = logging.getLogger(__name__)

_RELEASE_EVERY = 16
"""Steps between calls of :func:`release_memory`, which take a few milliseconds."""


@dataclass(frozen=True)
class TrainingRun:
    """Where a run reads, writes and computes.

    Attributes:
        folder: of the run; holds the model, checkpoints, the recipe and the logs.
        captures: the training scenes.
        encoding: of the photographs, for recipes with an encoder.
        device: "auto", "cpu" or "cuda".
        precision: as lightning-fabric names it; None for bf16 on a GPU and fp32 on a CPU.
        workers: loader processes; 0 prepares samples in this process.
        checkpoint_every: optimizer steps between checkpoints.
        quiet: no progress bar.
        report: called with the number of steps done and their total.
    """

    folder: Path
    captures: Sequence[Path]
    encoding: CachedEncoding | None = None
    device: str = "auto"
    precision: str | None = None
    workers: int = 0
    checkpoint_every: int = 500
    quiet: bool = False
    report: Callable[[int, int], None] | None = None


def train(recipe: Recipe, run: TrainingRun) -> ModelConfig:
    """Train a segmentation network; takes up the run's newest checkpoint if there is one.

    A run that is finished is left as it is, also where its checkpoints are gone.

    Returns:
        the config that was saved beside the weights.

    Raises:
        InputError: captures that cannot be trained on, or a folder that belongs to another run.
    """
    fabric = _fabric(run)
    if run.encoding is not None:
        run = replace(run, encoding=run.encoding.at(recipe.preparation.image_size))
    dataset = _dataset(recipe, run)
    class_names = dataset.class_names
    config = _config(recipe, run, class_names)
    identity = _identity(recipe, run, class_names)
    if is_finished(run.folder, identity):
        return _as_finished(recipe, run)
    torch.manual_seed(recipe.seed)
    bare = config.build()
    optimizer, schedule = make_optimizer(recipe, bare)
    start = load_newest(run.folder / "checkpoints", bare, optimizer, identity)
    model, optimizer = fabric.setup(bare, optimizer)
    if fabric.is_global_zero:
        _write_recipe(recipe, run)
    with RunLog(run.folder, recipe.steps, start, quiet=run.quiet, writes=fabric.is_global_zero) as log:
        batches = _batches(recipe, run, dataset, start, fabric)
        model.train()
        for step in range(start, recipe.steps):
            torch.manual_seed(_step_seed(recipe.seed, step))
            schedule.apply(optimizer, step)
            done = take_step(recipe, fabric, model, optimizer, batches)
            log.step(step, done.loss, lr=schedule.lr_and_beta1(step)[0][0], gradient_norm=done.gradient_norm)
            if (step + 1) % _RELEASE_EVERY == 0:
                release_memory()
            if run.report is not None:
                run.report(step + 1, recipe.steps)
            if fabric.is_global_zero and (step + 1) % run.checkpoint_every == 0:
                save_checkpoint(run.folder / "checkpoints", step + 1, bare, optimizer, identity)
        if fabric.is_global_zero:
            save_model(run.folder, config, bare)
            mark_finished(run.folder, recipe.steps, identity)
    return config


def _as_finished(recipe: Recipe, run: TrainingRun) -> ModelConfig:
    if not run.quiet:
        _log.warning("%s is finished already; to train again, choose another folder or delete this one", run.folder)
    if run.report is not None:
        run.report(recipe.steps, recipe.steps)
    return read_config(run.folder)


def make_optimizer(recipe: Recipe, model: nn.Module) -> tuple[torch.optim.AdamW, OneCycle]:
    """AdamW over the parameters of ``model``, those of its blocks in a group of their own, and the groups' schedule."""
    settings = recipe.optimizer
    groups = parameter_groups(model.named_parameters(), ((r"blocks\.", settings.block_lr),), settings.lr)
    optimizer = torch.optim.AdamW(
        [{"params": group.parameters, "lr": group.lr} for group in groups], weight_decay=settings.weight_decay
    )
    return optimizer, _schedule(recipe, [group.lr for group in groups])


@dataclass(frozen=True)
class StepResult:
    """The mean loss of a step's batches, and the norm of their gradient before it was clipped."""

    loss: float
    gradient_norm: float


def take_step(recipe: Recipe, fabric: Fabric, model: Any, optimizer: Any, batches: Iterator[Batch]) -> StepResult:
    """One optimizer step with the learning rates that the optimizer has.

    Args:
        recipe: how many batches it takes, the weights of the losses, and whether gradients are clipped.
        fabric: which has set up ``model`` and ``optimizer``.
        model: in training mode.
        optimizer: of its parameters.
        batches: as many as the recipe wants are taken.

    Raises:
        InputError: a loss that is not finite, or scenes too small to train on.
    """
    loss = _accumulate(recipe, fabric, model, batches)
    norm = _clip(recipe, fabric, model, optimizer)
    optimizer.step()
    optimizer.zero_grad()
    return StepResult(loss, norm)


def _accumulate(recipe: Recipe, fabric: Fabric, model: Any, batches: Iterator[Batch]) -> float:
    """Gradients of ``recipe.accumulate`` batches; returns their mean loss."""
    total = 0.0
    for part in range(recipe.accumulate):
        batch = next(batches)
        with fabric.no_backward_sync(model, enabled=part + 1 < recipe.accumulate):
            loss = _loss(recipe, model, batch) / recipe.accumulate
            if not torch.isfinite(loss):
                raise InputError(
                    f"scenes {', '.join(batch.names)}", "the loss is not finite", "Lower the learning rate, or clip"
                )
            fabric.backward(loss)
        total += loss.item()
    return total


def _loss(recipe: Recipe, model: Any, batch: Batch) -> Tensor:
    if len(batch.pyramid.levels[-1]) < 2:
        raise InputError(
            f"scenes {', '.join(batch.names)}",
            "they fill a single cell of the coarsest level, over which no statistics can be taken",
            "Use smaller voxels, a larger batch, or leave these scenes out",
        )
    image = None
    if batch.lift is not None and batch.tokens is not None:
        image = ImageFeatures(batch.tokens, batch.lift)
    logits = model(batch.feature, batch.pyramid, image).float()
    assert batch.label is not None
    return cross_entropy(logits, batch.label) + recipe.lovasz * lovasz_softmax(logits, batch.label)


def _clip(recipe: Recipe, fabric: Fabric, model: Any, optimizer: Any) -> float:
    """The gradient's norm, to which nothing is done where the recipe does not clip: the factor is then exactly 1."""
    limit = math.inf if recipe.optimizer.clip is None else recipe.optimizer.clip
    norm = fabric.clip_gradients(model, optimizer, max_norm=limit, error_if_nonfinite=False)
    assert norm is not None
    return float(norm)


def _batches(recipe: Recipe, run: TrainingRun, dataset: TrainingSet, start: int, fabric: Fabric) -> Iterator[Batch]:
    """Batches from the first one after ``start`` optimizer steps; each process takes its share."""
    order = Shuffle(
        len(dataset),
        recipe.batch_size * fabric.world_size,
        recipe.steps * recipe.accumulate,
        recipe.seed,
        start=start * recipe.accumulate,
    )
    share = Share(order, fabric.global_rank, fabric.world_size)
    return load_batches(dataset, share, encoding=run.encoding, device=fabric.device, workers=run.workers)


def _dataset(recipe: Recipe, run: TrainingRun) -> TrainingSet:
    if (recipe.encoder is None) != (run.encoding is None):
        raise ValueError("a recipe with an encoder needs the run's encoding, one without must not have it")
    return TrainingSet(
        run.captures,
        recipe.preparation,
        recipe.network.pyramid,
        seed=recipe.seed,
        augmentations=recipe.augmentation.of_points(recipe.preparation.clip),
        crop=recipe.augmentation.of_voxels(),
        image_augmentations=recipe.augmentation.of_images() if run.encoding is not None else (),
        encoding=run.encoding,
    )


def _config(recipe: Recipe, run: TrainingRun, class_names: tuple[str, ...]) -> ModelConfig:
    width = None if run.encoding is None else run.encoding.encoder.width
    network = replace(recipe.network, in_channels=recipe.preparation.in_channels, image_width=width)
    return ModelConfig(
        network=network,
        preparation=recipe.preparation,
        class_names=class_names,
        encoder=None if run.encoding is None else EncoderConfig.of(run.encoding.encoder, run.encoding.spec),
        seed=recipe.seed,
    )


def _schedule(recipe: Recipe, max_lr: list[float]) -> OneCycle:
    settings = recipe.optimizer
    return OneCycle(
        tuple(max_lr),
        recipe.steps,
        pct_start=settings.warmup,
        div_factor=settings.div_factor,
        final_div_factor=settings.final_div_factor,
    )


def _fabric(run: TrainingRun) -> Fabric:
    on_gpu = choose_device(run.device).startswith("cuda")
    precision = run.precision or ("bf16-mixed" if on_gpu else "32-true")
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        devices=devices,
        num_nodes=max(1, int(os.environ.get("WORLD_SIZE", "1")) // devices),
        precision=precision,
    )
    fabric.launch()
    return fabric


def _identity(recipe: Recipe, run: TrainingRun, class_names: tuple[str, ...]) -> str:
    """Of the recipe and the captures, wherever the folder of these has gone meanwhile."""
    captures = [[c.name, hashlib.sha256((c / "transforms.json").read_bytes()).hexdigest()] for c in run.captures]
    content = [to_plain(recipe), captures, list(class_names)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _step_seed(seed: int, step: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {step}".encode()).digest()[:7], "little")


def _write_recipe(recipe: Recipe, run: TrainingRun) -> None:
    content = {
        "recipe": to_plain(recipe),
        "captures": [str(c) for c in run.captures],
        "started": time.strftime("%F %T"),
    }
    with atomic_path(run.folder / "recipe.json") as path:
        path.write_text(json.dumps(content, indent=2) + "\n")

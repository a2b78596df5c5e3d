"""The training loop: read it from top to bottom.

Every step draws its randomness from (seed, step), so a resumed run goes on exactly where it was interrupted.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric

from ditr.data.training_data import measured
from ditr.errors import InputError
from ditr.io.files import write_json
from ditr.io.settings_json import to_json_values
from ditr.models.distillation import Distillation
from ditr.nn.norms import set_momentum
from ditr.nn.shared_norm import share_batch_norms
from ditr.runtime import phase, release_memory
from ditr.training.checkpoint import (
    Progress,
    is_finished,
    load_newest,
    mark_finished,
    remove_rests,
    require_room_for_run,
    save_checkpoint,
    writing,
)
from ditr.training.decisions import note_decisions
from ditr.training.fabric import make_fabric
from ditr.training.recipe import Recipe
from ditr.training.run_log import RunLog, read_rows
from ditr.training.setup import Data, TrainingRun, load_start, make_data, model_config, run_identity
from ditr.training.step import StepResult, make_optimizer, take_step, to_train
from ditr.training.validation import score, validate
from ditr.training.whitening import learn_whitening
from ditr.weights.saved_model import Model, ModelConfig, read_config, save_model

__all__ = ["StepResult", "TrainingRun", "make_optimizer", "take_step", "train"]

_log = logging.getLogger(__name__)

_RELEASE_EVERY = 16
"""Steps between calls of :func:`release_memory`, which take a few milliseconds."""


def train(recipe: Recipe, run: TrainingRun) -> ModelConfig:
    """Train a network; takes up the run's newest checkpoint if there is one.

    A run that is finished is left as it is, also where its checkpoints are gone.

    Returns:
        the config that was saved beside the weights.

    Raises:
        InputError: captures that cannot be trained on, a folder that belongs to another run or cannot be written, or
            too many losses in a row that are not finite.
    """
    fabric = make_fabric(run)
    if run.encoding is not None:
        encoding = run.encoding.at(recipe.preparation.image_size).computed_in(run.precision)
        run = replace(run, encoding=encoding)
    data = make_data(recipe, run)
    recipe = recipe.in_steps([len(source.dataset) for source in data.sources], fabric.world_size)
    config = model_config(recipe, run, data.class_names)
    with phase("look at what the run is made of", quiet=run.quiet or not fabric.is_global_zero):
        identity = run_identity(recipe, run, config.class_names)
    if is_finished(run.folder, identity):
        return _as_finished(recipe, run)
    main = data.sources[0].dataset
    config = replace(config, training_data=measured(main.source, main.preparation, takes_images=config.takes_images))
    torch.manual_seed(recipe.seed)
    # On its device at once: an optimizer's state goes where its parameters are when it is read.
    bare = fabric.to_device(config.build())
    load_start(recipe, bare)
    set_momentum(bare, recipe.batch_norm_momentum)
    if recipe.sync_batch_norm:
        share_batch_norms(bare)
    optimizer, schedule = make_optimizer(recipe, bare)
    progress = load_newest(run.folder / "checkpoints", bare, optimizer, identity)
    require_room_for_run(run.folder, bare, recipe.steps // run.checkpoint_every)
    model, optimizer = fabric.setup(to_train(bare, recipe.task), optimizer)
    _restore_scaler(fabric, progress)
    work = _Work(recipe, run, fabric, data, config, identity, bare, optimizer)
    work.begin(progress)
    log = RunLog(
        run.folder, recipe.steps, progress.step, quiet=run.quiet, wandb=run.wandb, writes=fabric.is_global_zero
    )
    with log, data.making.deaths_named():
        if isinstance(bare, Distillation) and bare.whitening is not None and progress.step == 0:
            count = learn_whitening(fabric, bare.whitening, data.batches(recipe, run, 0, fabric))
            log.say(f"teacher whitened: {bare.whitening.directions} directions of {count} voxels")
        batches = data.batches(recipe, run, progress.step, fabric)
        model.train()
        for step in range(progress.step, recipe.steps):
            torch.manual_seed(_step_seed(recipe.seed, step, fabric.global_rank))
            schedule.apply(optimizer, step - progress.skipped)
            lr = optimizer.param_groups[0]["lr"]
            done = take_step(recipe, fabric, model, optimizer, batches)
            log.step(step, done.loss, lr=lr, gradient_norm=done.gradient_norm, more=_more(done))
            progress = work.judge(progress, done, log)
            if work.validates_after(step):
                progress = work.validate(progress, log)
            if run.report is not None:
                run.report(step + 1, recipe.steps)
            if fabric.is_global_zero and (step + 1) % run.checkpoint_every == 0:
                save_checkpoint(run.folder / "checkpoints", progress, bare, optimizer, identity)
            if (step + 1) % _RELEASE_EVERY == 0:
                release_memory()
        return work.finish(progress)


@dataclass(frozen=True)
class _Work:
    """What a run does beside its steps."""

    recipe: Recipe
    run: TrainingRun
    fabric: Fabric
    data: Data
    config: ModelConfig
    identity: str
    model: Model
    optimizer: Any

    def begin(self, progress: Progress) -> None:
        """Write the recipe and what is decided about captures; tidy up after a run that was killed while it wrote."""
        if not self.fabric.is_global_zero:
            return
        folder = self.run.folder
        for place in (folder, folder / "best", folder / "checkpoints"):
            remove_rests(place)
        content = {
            "recipe": to_json_values(self.recipe),
            "scenes": {source.dataset.source.name: source.dataset.source.names() for source in self.data.sources},
            "validation": None if self.data.validation is None else self.data.validation.source.names(),
            "started": time.strftime("%F %T"),
            **self.run.origin,
        }
        with writing(folder):
            write_json(folder / "recipe.json", content)
            note_decisions(folder, self.data.by_name, resumes=progress.step > 0)

    def judge(self, progress: Progress, done: StepResult, log: RunLog) -> Progress:
        """Count the step.

        Raises:
            InputError: too many in a row that taught nothing.
        """
        scaler = getattr(self.fabric.strategy.precision, "scaler", None)
        state = {} if scaler is None else scaler.state_dict()
        progress = replace(
            progress,
            step=progress.step + 1,
            skipped=progress.skipped + done.skipped,
            scale=state.get("scale"),
            growth=state.get("_growth_tracker", 0),
        )
        if not done.skipped:
            return replace(progress, bad=0)
        if math.isfinite(done.loss) and state.get("scale", 0.0) >= 1:
            return progress  # fp16 looks for its scale: the gradient of a sound loss was beyond its largest number
        what = "gradient" if math.isfinite(done.loss) else "loss"
        fault = f"the {what} is not finite"
        remedy = "Lower the learning rate, or clip"
        if done.unsound:
            fault += f", since {self.data.first_bad_point(done.unsound)}"
            remedy = "Mend what is not finite, or leave the scene out"
        progress = replace(progress, bad=progress.bad + 1)
        if progress.bad >= self.recipe.bad_steps:
            raise InputError(
                f"scenes {', '.join(done.names)}",
                f"{fault}, for the {progress.bad}. time in a row",
                remedy,
            )
        line = f"step {progress.step}, scenes {', '.join(done.names)}: {fault}; the step is skipped"
        _log.warning(line)
        log.say(line)
        return progress

    def validates_after(self, step: int) -> bool:
        """Whether step number ``step`` is followed by a validation."""
        every = self.recipe.validate_every or self.recipe.steps
        return self.data.validation is not None and ((step + 1) % every == 0 or step + 1 == self.recipe.steps)

    def validate(self, progress: Progress, log: RunLog) -> Progress:
        """Try the model out in the first process; its weights are kept where they are the best so far."""
        assert self.data.validation is not None
        if self.fabric.is_global_zero:
            figures = validate(self.fabric, self.model, self.data.validation)
            value = score(figures)
            better = progress.best is None or value > progress.best
            if better:
                with writing(self.run.folder / "best"):
                    save_model(self.run.folder / "best", _calibrated(self.config, figures), self.model)
                progress = replace(progress, best=value, best_step=progress.step)
            log.validation(progress.step - 1, figures, best=better)
        self.fabric.barrier()
        return progress

    def finish(self, progress: Progress) -> ModelConfig:
        """Write the last weights and ``metrics.json``, the run's row in a table, and print it; the model's config."""
        folder = self.run.folder
        rows = read_rows(folder / "validation.jsonl")
        config = _calibrated(self.config, rows[-1]) if rows and rows[-1]["step"] + 1 == progress.step else self.config
        if not self.fabric.is_global_zero:
            return config
        with writing(folder):
            save_model(folder, config, self.model)
            metrics = _metrics(self.run, progress)
            write_json(folder / "metrics.json", metrics)
        mark_finished(folder, self.recipe.steps, self.identity)
        if not self.run.quiet:
            print(_row(metrics))
        return config


def _calibrated(config: ModelConfig, figures: Mapping[str, Any]) -> ModelConfig:
    """The config with the temperature that a validation found."""
    return replace(config, temperature=figures.get("points", {}).get("temperature"))


def _metrics(run: TrainingRun, progress: Progress) -> dict[str, Any]:
    """What a run came to, from its logs; the loss is the mean of the last 20 steps that have one."""
    rows = read_rows(run.folder / "log.jsonl")
    validations = read_rows(run.folder / "validation.jsonl")
    losses = [row["loss"] for row in rows if row["loss"] is not None][-20:]
    return {
        "run": run.folder.name,
        "steps": progress.step,
        "skipped_steps": progress.skipped,
        "unseen_batches": sum(row.get("unseen", 0) for row in rows),
        "loss": sum(losses) / len(losses) if losses else None,
        "last": validations[-1] if validations else None,
        "best": next((row for row in validations if row["step"] + 1 == progress.best_step), None),
    }


def _row(metrics: dict[str, Any]) -> str:
    cells = [str(metrics["run"]), f"{metrics['steps']} steps"]
    if metrics["loss"] is not None:
        cells.append(f"loss {metrics['loss']:.4f}")
    for which in ("last", "best"):
        for counted in ("points", "voxels"):
            figures = (metrics[which] or {}).get(counted, {})
            if "miou" in figures:
                cells.append(f"{which} mIoU of {counted} {100 * figures['miou']:.1f}")
            elif figures:
                cells.append(f"{which} cosine loss of {counted} {figures['cosine_loss']:.4f}")
    return "  ".join(cells)


def _more(done: StepResult) -> dict[str, float | int | str | bool]:
    """What a step's row has beyond the usual."""
    more: dict[str, float | int | str | bool] = {}
    if done.dataset is not None:
        more["dataset"] = done.dataset
    if done.unseen:
        more["unseen"] = done.unseen
    if done.skipped:
        more["skipped"] = True
    return more


def _restore_scaler(fabric: Fabric, progress: Progress) -> None:
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    if scaler is not None and progress.scale is not None:
        scaler.load_state_dict({**scaler.state_dict(), "scale": progress.scale, "_growth_tracker": progress.growth})


def _as_finished(recipe: Recipe, run: TrainingRun) -> ModelConfig:
    if not run.quiet:
        _log.warning("%s is finished already; to train again, choose another folder or delete this one", run.folder)
    if run.report is not None:
        run.report(recipe.steps, recipe.steps)
    return read_config(run.folder)


def _step_seed(seed: int, step: int, rank: int = 0) -> int:
    """Of what is drawn within the network; other in every process, so that their DropPath is not the same."""
    text = f"{seed} {step} {rank}" if rank else f"{seed} {step}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "little")

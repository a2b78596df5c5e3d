"""The training loop: read it from top to bottom.

Every step draws its randomness from (seed, step), so a resumed run goes on exactly where it was interrupted.
"""

from __future__ import annotations

import hashlib
import logging
import math
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import torch
from lightning_fabric import Fabric

from ditr.data.training_data import measured
from ditr.errors import InputError
from ditr.io.files import write_json
from ditr.io.locks import FolderLock
from ditr.io.settings_json import to_json_values
from ditr.models.distillation import Distillation
from ditr.nn.norms import set_momentum
from ditr.nn.shared_norm import share_batch_norms
from ditr.runtime import phase, release_memory
from ditr.stopping import STATUS, Stopped, StopSignals
from ditr.training.checkpoint import (
    Pace,
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
from ditr.training.fabric import agreed, locked, make_fabric, set_up
from ditr.training.recipe import Recipe
from ditr.training.run_log import RunLog, as_line, metrics_of, read_rows
from ditr.training.run_record import RunRecord
from ditr.training.setup import Data, TrainingRun, load_start, make_data, model_config
from ditr.training.step import StepResult, make_optimizer, take_step, to_train
from ditr.training.validation import Left, score, validate
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
            too many losses in a row that are not finite; a folder in which another process works; a run that was begun
            with other settings, or on another machine where that is not allowed.
        Stopped: SIGTERM, SIGINT or SIGUSR1 came. The step in hand is finished then and a checkpoint written, and the
            same call goes on. It is a ``SystemExit`` with the status of :data:`ditr.stopping.STATUS`.
    """
    RunRecord.choose_products(run.folder)
    fabric = make_fabric(run, leaves_out=recipe.network.norms is not None)
    if run.encoding is not None:
        encoding = run.encoding.at(recipe.preparation.image_size).computed_in(run.precision)
        run = replace(run, encoding=encoding)
    data = make_data(recipe, run)
    recipe = recipe.in_steps([len(source.dataset) for source in data.sources], fabric.world_size)
    config = model_config(recipe, run, data.class_names)
    with phase("check the data of the run", quiet=run.quiet or not fabric.is_global_zero):
        record = RunRecord.of(recipe, run, config.class_names, fabric)
    record.require_same_run(run.folder)
    if is_finished(run.folder, record.names, recipe.steps):
        return _as_finished(recipe, run)
    main = data.sources[0].dataset
    config = replace(config, training_data=measured(main.source, main.preparation, takes_images=config.takes_images))
    with locked(run.folder, fabric) as lock, StopSignals() as stop:
        return _train(_Place(recipe, run, fabric, data, record, lock, stop), config)


@dataclass(frozen=True)
class _Place:
    """A run that has its folder: what it does, and where."""

    recipe: Recipe
    run: TrainingRun
    fabric: Fabric
    data: Data
    record: RunRecord
    lock: FolderLock
    stop: StopSignals


def _train(place: _Place, config: ModelConfig) -> ModelConfig:
    recipe, run, fabric, data = place.recipe, place.run, place.fabric, place.data
    torch.manual_seed(recipe.seed)
    # On its device at once: an optimizer's state goes where its parameters are when it is read.
    bare = fabric.to_device(config.build())
    load_start(recipe, bare)
    set_momentum(bare, recipe.batch_norm_momentum)
    if recipe.sync_batch_norm:
        share_batch_norms(bare)
    optimizer, schedule = make_optimizer(recipe, bare)
    notes = place.record.other_machine(run.folder, allowed=run.allow_other_machine)
    progress = load_newest(run.folder / "checkpoints", bare, optimizer, place.record.names)
    notes += place.record.longer(run.folder, schedule, progress)
    require_room_for_run(run.folder, bare, max(1, recipe.steps // run.checkpoint_every))
    model, optimizer = set_up(fabric, to_train(bare, recipe.task), optimizer)
    _restore_scaler(fabric, progress)
    work = _Work(place, config, bare, optimizer, Pace(run.checkpoint_every, run.checkpoint_minutes))
    work.begin(progress)
    log = RunLog(run.folder, recipe.steps, progress, quiet=run.quiet, wandb=run.wandb, writes=fabric.is_global_zero)
    with log, data.making.deaths_named():
        work.say(notes, log)
        if isinstance(bare, Distillation) and bare.whitening is not None and progress.step == 0:
            with closing(data.batches(recipe, run, 0, fabric)) as first:
                count = learn_whitening(fabric, bare.whitening, first)
            log.say(f"teacher whitened: {bare.whitening.directions} directions of {count} voxels")
        if progress.pending:
            progress = work.pause(work.validate(progress, log))
        model.train()
        with closing(data.batches(recipe, run, progress.step, fabric)) as batches:
            for step in range(progress.step, recipe.steps):
                torch.manual_seed(_step_seed(recipe.seed, step, fabric.global_rank))
                schedule.apply(optimizer, step - progress.skipped)
                lr = optimizer.param_groups[0]["lr"]
                done = take_step(recipe, fabric, model, optimizer, batches)
                log.step(step, done.loss, lr=lr, gradient_norm=done.gradient_norm, more=_more(done))
                progress = work.judge(progress, done, log)
                if work.validates_after(step):
                    progress = work.validate(replace(progress, pending=True), log)
                if run.report is not None:
                    run.report(step + 1, recipe.steps)
                progress = work.pause(progress)
                if (step + 1) % _RELEASE_EVERY == 0:
                    release_memory()
        return work.finish(progress)


@dataclass(frozen=True)
class _Work:
    """What a run does beside its steps."""

    place: _Place
    config: ModelConfig
    model: Model
    optimizer: Any
    pace: Pace

    @property
    def _leads(self) -> bool:
        """Whether this process writes; the first one does."""
        return bool(self.place.fabric.is_global_zero)

    def begin(self, progress: Progress) -> None:
        """Write the recipe and what is decided about captures; tidy up after a run that was killed while it wrote."""
        if not self._leads:
            return
        folder, data, run = self.place.run.folder, self.place.data, self.place.run
        for part in (folder, folder / "best", folder / "checkpoints"):
            remove_rests(part)
        content = {
            "recipe": to_json_values(self.place.recipe),
            "scenes": {source.dataset.source.name: source.dataset.source.names() for source in data.sources},
            "validation": None if data.validation is None else data.validation.source.names(),
            "started": time.strftime("%F %T"),
            **run.origin,
        }
        with writing(folder):
            write_json(folder / "recipe.json", content)
            self.place.record.write(folder, progress.step)
            note_decisions(folder, data.by_name, resumes=progress.step > 0)

    def say(self, notes: Sequence[str], log: RunLog) -> None:
        """What is other than when the run began."""
        for note in notes:
            log.say(note)
            if self._leads:
                _log.warning("%s: %s", self.place.run.folder, note)

    def judge(self, progress: Progress, done: StepResult, log: RunLog) -> Progress:
        """Count the step.

        Raises:
            InputError: too many in a row that taught nothing.
        """
        scaler = getattr(self.place.fabric.strategy.precision, "scaler", None)
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
        remedy = "Lower the learning rate, or clip gradients"
        if done.unsound:
            fault += f", since {self.place.data.first_bad_point(done.unsound)}"
            remedy = "Correct what is not finite, or leave the scene out"
        progress = replace(progress, bad=progress.bad + 1)
        if progress.bad >= self.place.recipe.bad_steps:
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
        data, steps = self.place.data, self.place.recipe.steps
        every = self.place.recipe.validate_every or steps
        return data.validation is not None and ((step + 1) % every == 0 or step + 1 == steps)

    def validate(self, progress: Progress, log: RunLog) -> Progress:
        """Try the model out in the first process; its weights are kept where they are the best so far.

        Where a signal asks to stop, the validation stays pending: the run does it when it is taken up.
        """
        fabric, folder, data = self.place.fabric, self.place.run.folder, self.place.data.validation
        assert data is not None
        done = replace(progress, pending=False)
        if self._leads:
            try:
                figures = validate(fabric, self.model, data, self.place.stop)
            except Left:
                done = progress
            else:
                value = score(figures)
                better = progress.best is None or value > progress.best
                if better:
                    with writing(folder / "best"):
                        save_model(folder / "best", _calibrated(self.config, figures), self.model)
                    done = replace(done, best=value, best_step=progress.step)
                log.validation(progress.step - 1, figures, best=better)
        fabric.barrier()
        return done

    def pause(self, progress: Progress) -> Progress:
        """Between two steps: write a checkpoint where one is due, and stop where any process was asked to.

        Raises:
            Stopped: a signal asked for it; the checkpoint is written.
        """
        place, names = self.place, list(STATUS)
        asked = 0 if place.stop.asked is None else 1 + names.index(place.stop.asked)
        asked = agreed(place.fabric, asked)
        if self._leads and (asked or self.pace.due(progress.step, place.recipe.steps)):
            place.lock.require()
            names_of_run = place.record.names
            save_checkpoint(place.run.folder / "checkpoints", progress, self.model, self.optimizer, names_of_run[0])
            self.pace.written = time.monotonic()
        if not asked:
            return progress
        place.fabric.barrier()
        text = f"{place.run.folder}: stopped by {names[asked - 1]} after step {progress.step} of {place.recipe.steps}; "
        text += "a checkpoint is written, and the same command resumes from it, with identical results"
        if self._leads and not place.run.quiet:
            print(f"ditr: {text}", file=sys.stderr, flush=True)
        raise Stopped(names[asked - 1], text)

    def finish(self, progress: Progress) -> ModelConfig:
        """Write the last weights and ``metrics.json``, the run's row in a table, and print it; the model's config."""
        place, folder = self.place, self.place.run.folder
        rows = read_rows(folder / "validation.jsonl")
        config = _calibrated(self.config, rows[-1]) if rows and rows[-1]["step"] + 1 == progress.step else self.config
        if not self._leads:
            return config
        place.lock.require()
        with writing(folder):
            save_model(folder, config, self.model)
            metrics = metrics_of(folder, progress)
            write_json(folder / "metrics.json", metrics)
        mark_finished(folder, place.recipe.steps, place.record.names[0])
        if not place.run.quiet:
            print(as_line(metrics))
        return config


def _calibrated(config: ModelConfig, figures: Mapping[str, Any]) -> ModelConfig:
    """The config with the temperature that a validation found."""
    return replace(config, temperature=figures.get("points", {}).get("temperature"))


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

"""What one job does, in a process of its own: make a world, encode photographs, train, try a network out.

Everything lies under one folder and is named after the settings that it comes from, so nothing is done twice, neither
by two tables nor after a run that was killed.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.data.preparation import ViewOrder
from ditr.data.scene_views import choose_rows
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import InputError
from ditr.evaluation.evaluate import Evaluation, evaluate
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter
from ditr.io.caches import ALL_TABLES_BYTES
from ditr.io.files import atomic_path, faults_of, write_array
from ditr.io.settings_json import to_json_values
from ditr.runtime import OnProgress
from ditr.scene import ReadOptions, Scene
from ditr.studies.reproduce.experiment import COARSE, RoomsWorld, Stage, Trial, Views, World, digest
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Recipe
from ditr.worlds.rooms import write_rooms
from ditr.worlds.streets import write_streets

__all__ = ["Workplace", "encode", "make_world", "read_rows", "run_stage", "run_trial", "write_row"]


PRECISION = "32-true"
"""Networks this small gain nothing from half precision."""


@dataclass(frozen=True)
class Workplace:
    """Where everything lies.

    Attributes:
        folder: of all tables.
        commit: of the code, written into rows.
        machine: one line, the same.
        device: where networks compute, "cpu" or "cuda".
    """

    folder: Path
    commit: str = ""
    machine: str = ""
    device: str = "cpu"

    @property
    def rows(self) -> Path:
        return self.folder / "rows.jsonl"

    @property
    def cache(self) -> FeatureCache:
        return FeatureCache(self.folder / "features", ALL_TABLES_BYTES)

    def world(self, world: World, seed: int) -> Path:
        """Folder of a world; holds ``train`` and ``test``."""
        return self.folder / "worlds" / f"{world.kind}-{digest(world)}-seed{seed}"

    def captures(self, world: World, seed: int, split: str) -> list[Path]:
        return find_captures(self.world(world, seed) / split)

    def run(self, stage: Stage, seed: int) -> Path:
        """Folder of a training."""
        return self.folder / "runs" / f"{digest(stage)}-seed{seed}"

    def labels(self, trial: Trial, seed: int) -> Path:
        """The predicted labels of a trial's first test scene."""
        return self.folder / "labels" / f"{digest(trial)}-seed{seed}.npy"

    def encoded(self, world: World, seed: int, encoder: str, split: str) -> Path:
        """Exists once all photographs are in the cache."""
        return self.world(world.base, seed) / f"encoded-{digest(encoder)}-{split}"


# ---- jobs -----------------------------------------------------------------------------------------------------------


def make_world(place: Workplace, world: World, seed: int, report: OnProgress) -> None:
    """Scenes that are there already are kept."""
    folder = place.world(world, seed)
    if not isinstance(world, RoomsWorld):
        for split in ("train", "test"):
            write_streets(folder / split, world.config(seed, "train" if split == "train" else "test"), workers=1)
    elif not world.coarse:
        write_rooms(folder, world.config(seed), workers=1)
    else:
        _write_coarse(place.world(world.base, seed), folder, report)
    (folder / "complete").touch()


def _write_coarse(source: Path, folder: Path, report: OnProgress) -> None:
    fine_names = [name for _, names in COARSE for name in names]
    coarse = np.repeat(np.arange(len(COARSE)), [len(names) for _, names in COARSE])
    captures = [(split, path) for split in ("train", "test") for path in find_captures(source / split)]
    for index, (split, path) in enumerate(captures):
        target = folder / split / path.name
        if not target.exists():
            scene = read_capture(path)
            assert scene.label is not None
            table = np.array([coarse[fine_names.index(name)] for name in scene.class_names] + [-1], dtype=np.int32)
            target.parent.mkdir(parents=True, exist_ok=True)
            names = tuple(name for name, _ in COARSE)
            write_capture(replace(scene, label=table[scene.label], class_names=names, properties={}), target)
        report(index + 1, len(captures))


def encode(place: Workplace, world: World, seed: int, encoder: str, split: str, report: OnProgress) -> str:
    """Fill the cache; returns which weights the encoder held."""
    encoding = CachedEncoding(encoder, place.cache, place.device, precision=PRECISION)
    captures = place.captures(world, seed, split)
    for index, capture in enumerate(captures):
        encoding.encode(read_capture(capture).views)
        report(index + 1, len(captures))
    with atomic_path(place.encoded(world, seed, encoder, split)) as path:
        path.write_text(encoding.encoder.weights + "\n", encoding="utf-8")
    return encoding.encoder.weights


def run_stage(place: Workplace, stage: Stage, seed: int, report: OnProgress) -> None:
    """Train; a training that was killed goes on."""
    folder = place.run(stage, seed)
    folder.mkdir(parents=True, exist_ok=True)
    start = None if stage.start is None else str(place.run(stage.start, seed))
    recipe = replace(stage.recipe, seed=seed, init=start)
    encoding = None
    if recipe.encoder is not None:
        encoding = CachedEncoding(recipe.encoder, place.cache, place.device, precision=PRECISION)
    began = time.perf_counter()
    train(
        recipe,
        TrainingRun(
            folder=folder,
            captures=_training_scenes(place, stage, recipe, seed),
            encoding=encoding,
            device=place.device,
            precision=PRECISION,
            checkpoint_every=max(40, recipe.steps // 20),
            quiet=True,
            report=report,
        ),
    )
    content = {
        "name": stage.name,
        "commit": place.commit,
        "seconds": round(time.perf_counter() - began, 1),
        "head_std": recipe.network.head_std,
    }
    with atomic_path(folder / "complete") as path:
        path.write_text(json.dumps(content) + "\n", encoding="utf-8")


def _training_scenes(place: Workplace, stage: Stage, recipe: Recipe, seed: int) -> Any:
    captures = []
    for world in stage.worlds:
        found = place.captures(world, seed, "train")
        order = np.random.default_rng([seed, len(found)]).permutation(len(found))
        kept = sorted(order[: max(1, round(stage.share * len(found)))].tolist())
        captures.append([found[index] for index in kept])
    if not recipe.datasets:
        return captures[0]
    return {dataset.name: scenes for dataset, scenes in zip(recipe.datasets, captures, strict=True)}


def run_trial(place: Workplace, trial: Trial, seed: int, report: OnProgress) -> dict[str, Any]:
    """Label the test scenes, compare, and append the row."""
    began = time.perf_counter()
    segmenter = _all_views(
        Segmenter.from_pretrained(place.run(trial.stage, seed), device=place.device, cache=place.cache)
    )

    def keep(index: int, prediction: Prediction) -> None:
        if index == 0:
            _keep_labels(place.labels(trial, seed), prediction.label)

    found = evaluate(
        segmenter,
        place.captures(trial.world, seed, "test"),
        seed=seed,
        swap_images=trial.swap,
        reading=ReadOptions(up=(0.0, 0.0, 1.0)),
        choose=lambda index, scene: _with_views(scene, trial.views, [seed, index]),
        keep=keep,
        progress=report,
    )
    row = _row(place, trial, seed, found, time.perf_counter() - began)
    write_row(place.rows, row)
    return row


def _all_views(segmenter: Segmenter) -> Segmenter:
    """The same without a limit of its own: the trial has chosen the views."""
    preparation = replace(segmenter.config.preparation, max_views=None)
    config = replace(segmenter.config, preparation=preparation)
    return Segmenter(config, segmenter.model, encoding=segmenter.encoding, device=segmenter.device)


def _with_views(scene: Scene, views: Views, seed: Sequence[int]) -> Scene:
    """The scene with the views of the trial alone."""
    shown = list(scene.views)
    if views.cameras is not None:
        shown = [view for view in shown if Path(view.name).stem in views.cameras]
        if len(shown) != len(views.cameras):
            raise InputError(f"scene {scene.name}", f"it lacks one of the cameras {views.cameras}", "Generate it again")
    rng = np.random.default_rng(list(seed)) if views.order is ViewOrder.RANDOM else None
    return replace(scene, views=tuple(shown[row] for row in choose_rows(len(shown), views.count, rng)))


def _keep_labels(file: Path, label: Any) -> None:
    write_array(file, label)


# ---- rows -----------------------------------------------------------------------------------------------------------


def _row(place: Workplace, trial: Trial, seed: int, found: Evaluation, seconds: float) -> dict[str, Any]:
    everything, visible, invisible = found.all_points, found.visible, found.invisible
    trained = json.loads((place.run(trial.stage, seed) / "complete").read_text(encoding="utf-8"))
    return {
        "trial": digest(trial),
        "seed": seed,
        "stage": trial.stage.name,
        "figures": {
            "mIoU": round(100 * everything.miou, 3),
            "mIoU of visible points": round(100 * visible.miou, 3),
            "mIoU of invisible points": round(100 * invisible.miou, 3),
            "share of visible points": round(100 * float(visible.points) / max(1, int(everything.points)), 3),
            "accuracy": round(100 * everything.accuracy, 3),
        },
        "training_seconds": trained["seconds"],
        "training_commit": trained["commit"],
        "head_std": trained.get("head_std"),
        "seconds": round(seconds, 1),
        "views": to_json_values(trial.views),
        "swapped": trial.swap,
        "commit": place.commit,
        "when": time.strftime("%F %T"),
        "machine": place.machine,
    }


def write_row(file: Path, row: dict[str, Any]) -> None:
    """Append a line in one write, so that processes that append at once do not mix their lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        # The empty line ends what a killed process may have left unfinished.
        line = ("\n" + json.dumps(row) + "\n").encode()
        with faults_of(file):
            if os.write(handle, line) < len(line):  # the disk became full on the way
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(handle)


def read_rows(file: Path) -> dict[tuple[str, int], dict[str, Any]]:
    """All rows by trial and seed, the newest of each; lines that a killed process left unfinished do not count."""
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            row = json.loads(line)
            rows[str(row["trial"]), int(row["seed"])] = row
        except (ValueError, KeyError, TypeError):
            continue
    return rows

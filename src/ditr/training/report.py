"""The report of a training run, from the files of its folder: its curves, its last figures, and what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import Finding, counted
from ditr.inference.provenance import Provenance, findings_section, flat, in_words
from ditr.io.json_file import read_json_object
from ditr.pictures.charts import Curve, Plot, moving_mean
from ditr.pictures.palette import chosen_colors
from ditr.pictures.report import (
    STANDS_ALONE,
    Bar,
    Block,
    Facts,
    Report,
    Row,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    Verbatim,
)
from ditr.training.run_log import read_rows

__all__ = ["run_report"]

_SMOOTHED = 40
"""A smoothed curve is the mean over this part of the steps."""
_LISTED = 300

Rows = Sequence[Mapping[str, Any]]


def run_report(folder: Path, provenance: Provenance, findings: Sequence[Finding] = ()) -> Report:
    """What a run did so far.

    Args:
        folder: of the run.
        provenance: of the command.
        findings: what was found about the scenes.

    Raises:
        InputError: the folder of no run.
    """
    recipe, record = _read(folder / "recipe.json"), _read(folder / "run.json")
    steps, validations = read_rows(folder / "log.jsonl"), read_rows(folder / "validation.jsonl")
    settings = recipe.get("recipe", {})
    total = settings.get("steps", len(steps))
    names = [str(name) for name in record.get("data", {}).get("classes", [])]
    return Report(
        Verbatim(folder.resolve().name),
        f"{len(steps):,} of {counted(total, 'step')} of {recipe.get('recipe_name', 'a recipe')}.",
        [
            Section("In short", [_tiles(steps, validations)]),
            *_curves(steps, validations),
            *_classes(names, validations),
            Section("Training data", _data(recipe)),
            findings_section((*findings, *provenance.findings)),
            Section("Recipe", [Facts([(Verbatim(name), Verbatim(value)) for name, value in flat(settings)])]),
            provenance.section(_machines(record)),
        ],
        footer=STANDS_ALONE,
    )


def _read(path: Path) -> dict[str, Any]:
    return read_json_object(path, "Name the folder of a run of `ditr train`")


def _column(rows: Rows, name: str) -> NDArray[np.float64]:
    values = (row.get(name) for row in rows)
    return np.array([value if isinstance(value, int | float) else np.nan for value in values], np.float64)


def _tiles(steps: Rows, validations: Rows) -> Tiles:
    loss = _column(steps, "loss")
    last = loss[-20:][np.isfinite(loss[-20:])]
    tiles = [Tile("Loss", f"{last.mean():.3f}" if len(last) else "–", "mean of the last 20 steps")]
    scored = [(row["points"]["miou"], row["step"]) for row in validations if "miou" in row.get("points", {})]
    if scored:
        value, step = max(scored)
        tiles.insert(0, Tile("Best mIoU", f"{100 * value:.1f}", f"of points, after step {step + 1:,}", strong=True))
        tiles.insert(1, Tile("Last mIoU", f"{100 * scored[-1][0]:.1f}", f"after step {scored[-1][1] + 1:,}"))
    skipped = sum(bool(row.get("skipped")) for row in steps)
    seconds = _column(steps, "seconds")
    per_step = np.median(np.diff(seconds)) if len(seconds) > 1 else np.nan
    tiles.append(Tile("Time per step", f"{per_step:.2f} s" if np.isfinite(per_step) else "–", "median"))
    tiles.append(Tile("Skipped steps", f"{skipped}", "whose loss or gradient was not finite"))
    return Tiles(tiles)


def _curves(steps: Rows, validations: Rows) -> list[Section]:
    at = _column(steps, "step") + 1
    plots: list[Block] = []
    for name, title in (("loss", "Loss"), ("gradient_norm", "Norm of the gradient")):
        values = _column(steps, name)
        if np.isfinite(values).any():
            window = max(1, len(values) // _SMOOTHED)
            smooth = Curve(f"mean of {window} steps", at, moving_mean(values, window))
            plots.append(
                Plot(title, "step", title.lower(), [Curve("each step", at, values, "faint"), smooth], floor=0.0)
            )
    plots[1:1] = _validation_curves(validations)
    rate = _column(steps, "lr")
    if np.isfinite(rate).any():
        plots.append(Plot("Learning rate", "step", "learning rate", [Curve("", at, rate)], floor=0.0))
    return [Section("Curves", plots)] if plots else []


def _validation_curves(validations: Rows) -> list[Plot]:
    at = _column(validations, "step") + 1
    curves = []
    for name, style in (("points", "main"), ("voxels", "second")):
        values = 100 * _column([row.get(name, {}) for row in validations], "miou")
        if np.isfinite(values).any():
            curves.append(Curve(f"of {name}", at, values, style, dots=len(values) < 60))
    if curves:
        return [Plot("Validation", "step", "mIoU, %", curves, floor=0.0)]
    distance = _column([row.get("voxels", {}) for row in validations], "cosine_loss")
    if np.isfinite(distance).any():
        return [Plot("Validation", "step", "cosine loss", [Curve("", at, distance, dots=True)], floor=0.0)]
    return []


def _classes(names: Sequence[str], validations: Rows) -> list[Section]:
    """IoU by class of the best validation and of the last one."""
    scored = [row for row in validations if len(row.get("points", {}).get("iou", ())) == len(names) > 0]
    if not scored:
        return []
    best = max(scored, key=lambda row: row["points"]["miou"])["points"]["iou"]
    last = scored[-1]["points"]["iou"]
    colors = chosen_colors(len(names), None).tolist()
    rows = []
    for name, (r, g, b), one, other in zip(names, colors, best, last, strict=True):
        rows.append(Row(Verbatim(name), [Bar(100 * one), 100 * other], color=(r, g, b)))
    caption = "Measured on the points of the validation scenes; 0 also if no point has the class."
    head = ["Class", "IoU of the best, %", "IoU of the last, %"]
    return [Section("By class", [Table(head, rows, caption=caption, sortable=True)])]


def _data(recipe: Mapping[str, Any]) -> list[Block]:
    told = ("recipe", "scenes", "validation")
    pairs = in_words(flat({name: value for name, value in recipe.items() if name not in told}))
    scenes = {str(name): list(listed) for name, listed in recipe.get("scenes", {}).items()}
    scenes |= {"for validation": list(recipe.get("validation") or [])}
    rows = [Row(Verbatim(name), [len(listed), Verbatim(_few(listed))]) for name, listed in scenes.items()]
    blocks: list[Block] = [Table(["Scenes", "Number", "Names"], rows)]
    if not recipe.get("validation"):
        blocks.append(Text("Without validation scenes, nothing shows how good the model is on other scenes."))
    return [*blocks, Facts([(Verbatim(name), Verbatim(value)) for name, value in pairs])]


def _few(names: Sequence[str]) -> str:
    text = ", ".join(map(str, names))
    return text if len(text) <= _LISTED else f"{text[:_LISTED]} …"


def _machines(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Where the run computed, and where that changed."""
    machines = record.get("machines", [])
    several = len(machines) > 1
    return [
        pair
        for machine in machines
        for pair in flat(machine, f"from step {machine.get('from_step')}: " if several else "")
        if not pair[0].endswith("from_step")
    ]

"""The report of many scenes: one page for all, with the points of those whose labels are least sure."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ditr.errors import Finding, InputError, counted
from ditr.inference.prediction import Prediction
from ditr.inference.provenance import Provenance, findings_section
from ditr.inference.read_results import read_labels
from ditr.inference.scene_report import scene_view
from ditr.pictures.points_view import MOST_POINTS, PointsView
from ditr.pictures.report import STANDS_ALONE, Bar, Block, Report, Row, Section, Table, Tile, Tiles, Verbatim

__all__ = ["SceneRow", "many_report"]

_SHOWN = 3
_LISTED = 1000
_LARGEST = 20_000_000
"""Points of a scene that is read again for its view."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneRow:
    """What became of one scene.

    Attributes:
        name: of the scene.
        folder: of its results; None where it failed.
        summary: what stands in its ``summary.json``.
        seconds: that it took; None for one that was done before.
        findings: about it.
        error: why it has no labels; empty where it has.
    """

    name: str
    folder: Path | None
    summary: Mapping[str, Any]
    seconds: float | None = None
    findings: tuple[Finding, ...] = ()
    error: str = ""


def many_report(title: str, rows: Sequence[SceneRow], provenance: Provenance) -> Report:
    """What became of many scenes, the least sure first.

    Args:
        title: what was labelled.
        rows: of all scenes.
        provenance: of the results.
    """
    good = sorted((row for row in rows if not row.error), key=lambda row: float(row.summary["mean_confidence"]))
    failed = [row for row in rows if row.error]
    return Report(
        Verbatim(title),
        f"{counted(len(rows), 'scene')}, {len(failed):,} of them failed. The least certain come first.",
        [
            Section("In short", [_tiles(good, failed)]),
            *([_failed(failed)] if failed else []),
            *([Section("Scenes", [_table(good)]), Section("By class", [_classes(good)])] if good else []),
            *_least_sure(good),
            findings_section([*(finding for row in rows for finding in row.findings), *provenance.findings]),
            provenance.section(),
        ],
        footer=STANDS_ALONE,
    )


def _tiles(good: Sequence[SceneRow], failed: Sequence[SceneRow]) -> Tiles:
    points = sum(row.summary["points"] for row in good)
    sure = sum(row.summary["points"] * row.summary["mean_confidence"] for row in good) / max(points, 1)
    took = [row.seconds for row in good if row.seconds is not None]
    return Tiles(
        [
            Tile("Scenes", f"{len(good):,}", "labelled"),
            Tile("Failed", f"{len(failed):,}"),
            Tile("Points", f"{points:,}"),
            Tile("Mean confidence", f"{sure:.2f}" if points else "–", "of all points", strong=True),
            Tile("Time per scene", f"{np.median(took):.2f} s" if took else "–", "median of those of this run"),
        ]
    )


def _failed(failed: Sequence[SceneRow]) -> Section:
    rows = [Row(Verbatim(row.name), [Verbatim(row.error)]) for row in failed[:_LISTED]]
    return Section("Failed", [Table(["Scene", "Why"], rows, caption=_more(failed))])


def _more(rows: Sequence[SceneRow]) -> str:
    return f"The first {_LISTED:,} of {len(rows):,}." if len(rows) > _LISTED else ""


def _table(good: Sequence[SceneRow]) -> Table:
    rows = []
    for row in good[:_LISTED]:
        summary, count = row.summary, Counter(row.summary["points_per_class"])
        total, seen = max(summary["points"], 1), summary.get("share_of_points_seen")
        most = ", ".join(f"{name} {number / total:.0%}" for name, number in count.most_common(3) if number)
        sure, in_view = 100 * summary["mean_confidence"], None if seen is None else 100 * seen
        cells = [Bar(sure), summary["points"], in_view, row.seconds, len(row.findings), Verbatim(most)]
        rows.append(Row(Verbatim(row.name), cells))
    head = ["Scene", "Confidence, %", "Points", "Seen, %", "Seconds", "Findings", "Most points"]
    return Table(head, rows, caption=_more(good), sortable=True)


def _classes(good: Sequence[SceneRow]) -> Table:
    count, scenes = Counter[str](), Counter[str]()
    for row in good:
        found = {name: number for name, number in row.summary["points_per_class"].items() if number}
        count.update(found)
        scenes.update(found.keys())
    total = max(sum(row.summary["points"] for row in good), 1)
    rows = [
        Row(Verbatim(name), [number, Bar(100 * number / total), scenes[name]]) for name, number in count.most_common()
    ]
    return Table(["Class", "Points", "Share of all, %", "Scenes"], rows, sortable=True)


def _least_sure(good: Sequence[SceneRow]) -> list[Section]:
    views: list[Block] = []
    for row in good:
        if len(views) == _SHOWN:
            break
        if row.folder is not None and row.summary["points"] <= _LARGEST:
            views += _view(row.folder, row)
    return [Section("The least certain scenes", views)] if views else []


def _view(folder: Path, row: SceneRow) -> list[PointsView]:
    """The points as they were written; nothing where somebody has taken them away meanwhile."""
    try:
        prediction = _read(folder, row)
        title = f"{row.name}: mean confidence {row.summary['mean_confidence']:.2f}"
        return [scene_view(prediction, title, most=MOST_POINTS // _SHOWN)]
    except (InputError, OSError, ValueError, LookupError, TypeError) as error:
        _log.debug("%s is not in the report: %s", folder, error)
        return []


def _read(folder: Path, row: SceneRow) -> Prediction:
    """The labels of a scene from its folder."""
    written = read_labels(folder)
    if written.confidence is None:
        raise InputError(folder, "its labels have no confidence", "Label the scene again")
    x, y, z = row.summary["up"]
    return Prediction(
        replace(written.scene, name=row.name),
        written.label,
        written.confidence,
        None,
        written.class_names,
        voxels=int(row.summary["voxels"]),
        up=(float(x), float(y), float(z)),
        seed=0,
        class_colors=written.class_colors,
    )

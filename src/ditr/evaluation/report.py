"""The report of an evaluation: how well, where it goes wrong, and whether its confidence means something."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ditr.errors import Finding, counted
from ditr.evaluation.calibration import Calibration
from ditr.evaluation.counts import Counts
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.evaluation.scene_scores import SceneScore, SceneScores
from ditr.inference.provenance import Provenance, findings_section, flat
from ditr.pictures.charts import Curve, Matrix, Plot
from ditr.pictures.palette import chosen_colors
from ditr.pictures.report import (
    STANDS_ALONE,
    Bar,
    Block,
    Report,
    Row,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    Verbatim,
)

__all__ = ["evaluation_report"]

_CONFUSIONS = 20
_SCENES = 500
_LEFT_OUT = (
    *("iou", "class_points", "class_accuracy", "visible", "invisible", "by_distance", "benchmark", "findings"),
    *("miou", "miou_present", "macc", "macc_present", "accuracy", "points", "scenes", "calibration_error"),
)
"""What the report says elsewhere."""


def evaluation_report(
    title: str,
    class_names: Sequence[str],
    counts: Counts,
    figures: Mapping[str, Any],
    provenance: Provenance,
    *,
    calibration: Calibration | None = None,
    scenes: SceneScores | None = None,
    findings: Sequence[Finding] = (),
) -> Report:
    """All that an evaluation found.

    Args:
        title: what was evaluated on what.
        class_names: in the order of the classes.
        counts: of all points, and apart.
        figures: what stands in the file of figures; its settings are told.
        provenance: of the figures.
        calibration: of the confidence, where it is known.
        scenes: figures of each scene, where they are known.
        findings: what was found about the scenes.
    """
    matrix = counts.all_points
    settings = flat({name: value for name, value in figures.items() if name not in _LEFT_OUT})
    return Report(
        Verbatim(title),
        f"{matrix.points:,} labelled points of {counted(figures.get('scenes', 0), 'scene')}, each compared with its "
        "true label.",
        [
            Section("In short", [_tiles(matrix, counts, calibration), *_apart(counts)]),
            Section("By class", [_class_table(class_names, matrix)]),
            Section("Confusion matrix", _confusion(class_names, matrix)),
            *([] if scenes is None else [_scenes(scenes)]),
            *([] if calibration is None or not calibration.points.any() else [_calibration(calibration)]),
            findings_section((*findings, *provenance.findings)),
            provenance.section(settings),
        ],
        footer=STANDS_ALONE,
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _tiles(matrix: ConfusionMatrix, counts: Counts, calibration: Calibration | None) -> Tiles:
    occurring = int(matrix.present.sum())
    tiles = [
        Tile("mIoU", _percent(matrix.miou), f"over all {matrix.classes} classes", strong=True),
        Tile(
            "mIoU, classes that occur", _percent(matrix.miou_present), f"over {occurring} of {matrix.classes} classes"
        ),
        Tile("Accuracy", _percent(matrix.accuracy), "of all points"),
        Tile("Mean accuracy", _percent(matrix.macc_present), "by class, of those that occur"),
    ]
    if calibration is not None:
        tiles.append(Tile("Calibration error", _percent(calibration.error), "of the confidence, in percent"))
    return Tiles(tiles)


def _apart(counts: Counts) -> list[Block]:
    """Visible and invisible points, and distances."""
    parts = []
    if counts.visible is not None and counts.invisible is not None:
        parts = [("seen by some photograph", counts.visible), ("seen by none", counts.invisible)]
    parts += [(f"{name} from the sensor", matrix) for name, matrix in zip(_bins(), counts.by_distance, strict=False)]
    rows = [
        Row(name, [one.points, Bar(100 * one.miou), Bar(100 * one.miou_present), Bar(100 * one.accuracy)])
        for name, one in parts
        if one.points
    ]
    head = ["Points", "Number", "mIoU, all classes, %", "mIoU, those that occur, %", "Accuracy, %"]
    caption = "In the mean over all classes, one that no point has counts as 0."
    return [Table(head, rows, caption=caption)] if rows else []


def _bins() -> Iterable[str]:
    return ("0 to 20 m", "20 to 40 m", "40 m and more")


def _class_table(names: Sequence[str], matrix: ConfusionMatrix) -> Table:
    colors = chosen_colors(len(names), None).tolist()
    given = matrix.counts.sum(axis=0)
    rows = []
    for i, name in enumerate(names):
        there, right = int(matrix.class_points[i]), int(matrix.counts[i, i])
        iou, recall = 100 * float(matrix.iou[i]), 100 * float(matrix.class_accuracy[i])
        precision = 100 * right / int(given[i]) if given[i] else None
        r, g, b = colors[i]
        cells = [Bar(iou if there else None), recall if there else None, precision, there, int(given[i])]
        rows.append(Row(Verbatim(name), cells, color=(r, g, b)))
    head = ["Class", "IoU, %", "Recall, %", "Precision, %", "True points", "Given points"]
    caption = (
        "Recall is the accuracy of a class: the share of its points that got it. A dash means that no point has the "
        "class, or got it."
    )
    return Table(head, rows, caption=caption, sortable=True)


def _confusion(names: Sequence[str], matrix: ConfusionMatrix) -> list[Block]:
    if not matrix.points:
        return [Text("No point has a true label.")]
    wrong = matrix.counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_CONFUSIONS]
    rows = []
    for true, given in zip(*np.unravel_index(order, wrong.shape), strict=True):
        number = int(wrong[true, given])
        if number:
            share = 100 * number / int(matrix.class_points[true])
            rows.append(Row(Verbatim(names[true]), [Verbatim(names[given]), number, Bar(share)]))
    caption = (
        "Each row is a true class, each column a predicted one; numbers are percent of the points of the true class."
    )
    blocks: list[Block] = [Matrix(names, matrix.counts, caption=caption)]
    if rows:
        head = ["True class", "Taken for", "Points", "Share of the class, %"]
        blocks.append(Table(head, rows, caption="The most frequent errors.", sortable=True))
    return blocks


def _scenes(scenes: SceneScores) -> Section:
    scores = scenes.worst_first
    rows = [_scene_row(one) for one in scores[:_SCENES]]
    caption = "The worst first; mIoU over the classes that occur in a scene."
    if len(scores) > _SCENES:
        caption += f" Better than these: {counted(len(scores) - _SCENES, 'scene')}."
    head = ["Scene", "mIoU, %", "Accuracy, %", "Confidence, %", "Points", "Most wrong", "Most frequent wrong label"]
    return Section("Worst scenes", [Table(head, rows, caption=caption, sortable=True), *scenes.views])


def _scene_row(one: SceneScore) -> Row:
    worst, wrong = ("", 0) if one.worst is None else one.worst
    return Row(
        Verbatim(one.name),
        [
            Bar(100 * one.miou if one.points else None),
            100 * one.accuracy if one.points else None,
            100 * one.confidence,
            one.points,
            Verbatim(worst),
            wrong,
        ],
    )


def _calibration(calibration: Calibration) -> Section:
    """Confidence against the share of right labels, and how many points there are of each confidence."""
    held = calibration.points > 0
    count = np.maximum(calibration.points, 1)
    said, right = 100 * calibration.confidence / count, 100 * calibration.right / count
    ends = np.array([0.0, 100.0])
    plot = Plot(
        "Confidence and right labels",
        "confidence, %",
        "right labels, %",
        [
            Curve("as it should be", ends, ends, "guide"),
            Curve("found", said[held], right[held], dots=True),
        ],
        floor=0.0,
        ceiling=100.0,
        caption="Below the dashed line, labels are right less often than the confidence says.",
    )
    total, bins = int(calibration.points.sum()), len(calibration.points)
    rows = [
        Row(
            f"{100 * i / bins:.0f} to {100 * (i + 1) / bins:.0f} %",
            [
                float(said[i]),
                float(right[i]),
                Bar(100 * int(calibration.points[i]) / total),
                int(calibration.points[i]),
            ],
        )
        for i in np.flatnonzero(held)
    ]
    head = ["Confidence", "Mean, %", "Right labels, %", "Share of the points, %", "Points"]
    return Section("Calibration", [plot, Table(head, rows)])

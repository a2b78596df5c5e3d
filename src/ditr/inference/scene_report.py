"""The report of the labels of one scene, and what reports of several say of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.inference.assumptions import of_labels
from ditr.inference.measure import ClassMeasure, Measures
from ditr.inference.object_files import OBJECT_TABLES
from ditr.inference.object_notes import object_notes
from ditr.inference.objects import Objects
from ditr.inference.prediction import Prediction
from ditr.inference.provenance import Provenance, findings_section, flat
from ditr.pictures.palette import BOTH_WRONG, GREY, LIGHT_GREY, ONLY_FIRST, ONLY_SECOND, chosen_colors
from ditr.pictures.panels import LegendEntry, Panel
from ditr.pictures.pictures import input_colors
from ditr.pictures.points_view import MOST_POINTS, ClassLayer, ColorLayer, Layer, PointsView, ValueLayer, points_view
from ditr.pictures.report import (
    STANDS_ALONE,
    Bar,
    Block,
    Cell,
    Compare,
    Files,
    Pictures,
    Report,
    Row,
    Section,
    Table,
    Text,
    Tile,
    Tiles,
    Verbatim,
    write_report,
)

__all__ = ["scene_report", "scene_view", "write_scene_report"]

_UNSURE = 0.5
_TOLD = (
    *("points_per_class", "findings", "scene", "points", "voxels", "views", "mean_confidence", "confidence"),
    *("up", "crs", "share_of_points_seen"),
)
"""What a report says elsewhere."""


def write_scene_report(
    path: Path,
    prediction: Prediction,
    panels: Sequence[Sequence[Panel]],
    measures: Measures | None,
    provenance: Provenance,
    objects: Objects | None = None,
) -> None:
    """Write :func:`scene_report`.

    Raises:
        OSError: it cannot be written.
    """
    write_report(path, scene_report(prediction, panels, measures, provenance, objects))


def scene_report(
    prediction: Prediction,
    panels: Sequence[Sequence[Panel]],
    measures: Measures | None,
    provenance: Provenance,
    objects: Objects | None = None,
) -> Report:
    """What the labels of a scene are, how sure they are, and how they were made.

    Args:
        prediction: the labels.
        panels: rows of pictures as of :func:`ditr.pictures.pictures.labels_panels`, the last of them in 3D; none where
            none were drawn.
        measures: areas and volumes by class, where they were measured.
        provenance: of the results.
        objects: where they were counted.
    """
    summary = prediction.summary()
    clicks = summary.get("made", {}).get("clicks")
    lead = f"{summary['points']:,} points" + (f", labelled from {clicks} clicks" if clicks is not None else "")
    if prediction.seen_by is not None:
        lead += f", {summary['share_of_points_seen']:.0%} of them seen in some photograph"
    still = panels[-1][0] if panels else None
    shown = [Text("The legend is below the view; click in it to hide a class, or to show it alone.")]
    view = scene_view(prediction, "The labels in 3D", still=still)
    settings = flat({name: value for name, value in summary.items() if name not in _TOLD})
    return Report(
        Verbatim(prediction.scene.name),
        lead + ".",
        [
            Section("In short", [_tiles(prediction)]),
            Section("In 3D", [*shown, view]),
            *_photographs(panels),
            Section("By class", [_class_table(prediction, measures)]),
            *_objects(prediction, objects),
            findings_section((*prediction.scene.findings, *provenance.findings, *of_labels(prediction))),
            provenance.section(settings),
        ],
        footer=STANDS_ALONE,
    )


def scene_view(
    prediction: Prediction, title: str, *, still: Panel | None = None, most: int = MOST_POINTS
) -> PointsView:
    """The points by label, colour, confidence and, where they have any, true label and difference."""
    scene = prediction.scene
    entries = _entries(prediction.class_names, prediction.class_colors)
    layers: list[Layer] = [
        ClassLayer("Label", prediction.label, entries),
        ColorLayer("Colour" if scene.color is not None else "Height", input_colors(scene)),
        ValueLayer("Confidence", prediction.confidence),
        *_true_layers(prediction),
    ]
    return points_view(
        scene, layers, title=Verbatim(title), up=np.asarray(prediction.up, np.float64), still=still, most=most
    )


def _entries(names: Sequence[str], colors: Sequence[tuple[int, int, int]] | None) -> list[LegendEntry]:
    table = chosen_colors(len(names), colors).tolist()
    return [*(LegendEntry(name, (r, g, b)) for name, (r, g, b) in zip(names, table, strict=True)), _NO_LABEL]


_NO_LABEL = LegendEntry("no label", GREY)
_DIFFERENCE = (
    LegendEntry("right", ONLY_SECOND),
    LegendEntry("wrong", ONLY_FIRST),
    LegendEntry("no label given", BOTH_WRONG),
    LegendEntry("no true label", LIGHT_GREY),
)


def _true_layers(prediction: Prediction) -> list[ClassLayer]:
    """True labels in the colours of the classes of the same names, and where the two differ."""
    true, names = prediction.scene.label, prediction.scene.class_names
    if true is None or not len(names) or not (true >= 0).any():
        return []
    table = {entry["name"]: tuple(entry["color"]) for entry in prediction.class_table()["true_classes"]}
    entries = [*(LegendEntry(name, table[name]) for name in names), _NO_LABEL]
    number = {name: row for row, name in enumerate(prediction.class_names)}
    same = np.array([*(number.get(name, -2) for name in names), -2])[true]
    kind = np.select([true < 0, prediction.label < 0, prediction.label == same], [3, 2, 0], default=1)
    return [ClassLayer("True label", true, entries), ClassLayer("Difference", kind, _DIFFERENCE)]


def _tiles(prediction: Prediction) -> Tiles:
    sure: NDArray[np.float32] = prediction.confidence
    kind = "calibrated" if prediction.calibrated else "uncalibrated"
    found = len(np.unique(prediction.label[prediction.label >= 0]))
    tiles = [
        Tile("Points", f"{len(prediction.label):,}", f"{prediction.voxels:,} voxels"),
        Tile("Classes found", f"{found}", f"of {len(prediction.class_names)}"),
        Tile("Mean confidence", f"{sure.mean():.2f}", kind, strong=True),
        Tile("Confidence below one half", f"{np.mean(sure < _UNSURE):.1%}", "of the points"),
    ]
    if prediction.unsure:
        tiles.append(Tile("No label", f"{prediction.unsure / len(prediction.label):.1%}", "of the points"))
    return Tiles(tiles)


def _photographs(panels: Sequence[Sequence[Panel]]) -> list[Section]:
    """The first photograph under a slider, the others beside their labels."""
    if not panels:
        return []
    flat_rows = panels[:-1]
    blocks: list[Block] = []
    if flat_rows:
        first, *others = flat_rows
        blocks.append(Compare(_plain(first[0]), _plain(first[1])))
        if others:
            blocks.append(Pictures([_plain(panel) for row in others for panel in row]))
    blocks.append(Pictures([_plain(panel) for panel in panels[-1]]))
    return [Section("Pictures", blocks)]


def _plain(panel: Panel) -> Panel:
    return Panel(panel.image, Verbatim(panel.caption))


def _objects(prediction: Prediction, objects: Objects | None) -> list[Section]:
    """Counts, areas and what was left out, the largest count first, and where the tables are."""
    if objects is None:
        return []
    entries = _entries(prediction.class_names, prediction.class_colors)
    rows = [
        Row(
            Verbatim(one.name),
            [
                one.objects if one.counted else None,
                one.area,
                one.points,
                one.left_out if one.counted else None,
                None if one.confidence is None else 100 * one.confidence,
            ],
            color=entries[one.label].color,
        )
        for one in sorted(objects.classes, key=lambda one: (not one.counted, -one.objects, -one.area))
    ]
    head = ["Class", "Objects", "Area, m²", "Points", "Points left out", "Mean confidence, %"]
    notes = [Text(Verbatim(f"{note[0].upper()}{note[1:]}.")) for note in object_notes(objects)]
    table = Table(head, rows, sortable=True)
    return [Section("Objects", [table, *notes, Text(_COUNTED), Files(OBJECT_TABLES)])]


_COUNTED = (
    "Connected points of a class are one object; fragments are left out. Counts are as sure as the labels. "
    "A dash stands for classes that are measured by area. These tables lie beside this page:"
)


def _class_table(prediction: Prediction, measures: Measures | None) -> Table:
    label, total = prediction.label, len(prediction.label)
    entries = _entries(prediction.class_names, prediction.class_colors)
    index = np.where(label < 0, len(entries) - 1, label)
    count = np.bincount(index, minlength=len(entries))
    sure = np.bincount(index, prediction.confidence, minlength=len(entries)) / np.maximum(count, 1)
    measured: dict[int, ClassMeasure] = {} if measures is None else {one.id: one for one in measures.classes}
    rows = []
    for row in np.argsort(-count, kind="stable"):
        if not count[row]:
            continue
        entry = entries[row]
        cells: list[Cell] = [int(count[row]), Bar(100 * count[row] / total), float(100 * sure[row])]
        if measures is not None:
            one = measured.get(-1 if row == len(entries) - 1 else int(row))
            cells += [None, None, None] if one is None else [one.area, one.volume, one.footprint]
        rows.append(Row(Verbatim(entry.name), cells, color=entry.color))
    head = ["Class", "Points", "Share, %", "Mean confidence, %"]
    if measures is not None:
        head += ["Area, m²", "Volume, m³", "Footprint, m²"]
    absent = [name for name, n in zip(prediction.class_names, count, strict=False) if not n]
    caption = f"{len(absent)} of {len(prediction.class_names)} classes got no point." if absent else ""
    return Table(head, rows, caption=caption, sortable=True)

"""Folders of results, read again: labels as :meth:`ditr.inference.prediction.Prediction.save` writes them, and
features as :meth:`ditr.inference.lifting.LiftedFeatures.save` draws them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.as_read import read_as
from ditr.captures.class_table import read_class_table
from ditr.captures.colors import COLOR
from ditr.captures.notes import Notes
from ditr.captures.points import Columns, checked_labels, points_of
from ditr.captures.recognised import Recognised
from ditr.errors import InputError, few
from ditr.inference.lifting import FEATURES_PLY
from ditr.inference.prediction import LABELS_PLY, SUMMARY
from ditr.io.json_file import read_json_object
from ditr.io.ply import read_ply
from ditr.scene import CloudAxes, ReadOptions, Scene, checked_direction

__all__ = [
    "WrittenFeatures",
    "WrittenLabels",
    "has_features",
    "has_labels",
    "read_features",
    "read_labels",
    "refuse_many",
]

_OF_RESULTS = frozenset({"label", "confidence", "object", "true_label"})
"""Columns of results that say nothing of the points as they were captured."""
_AGAIN = "Write the results again, or move this file away and give --up"


@dataclass(frozen=True, eq=False)
class WrittenLabels:
    """The labels in a folder of results.

    Attributes:
        scene: the points, without photographs: with the colours that they had before those of classes, and with the
            labels that they had before these.
        label: (N,) int32 indices into ``class_names``, -1 for none.
        class_names: what the labels mean.
        class_colors: of the classes; None where the list of classes has none.
        confidence: (N,) float32, 0 to 1; None where nothing says it.
    """

    scene: Scene
    label: NDArray[np.int32]
    class_names: tuple[str, ...]
    class_colors: tuple[tuple[int, int, int], ...] | None
    confidence: NDArray[np.float32] | None


@dataclass(frozen=True, eq=False)
class WrittenFeatures:
    """The features in a folder of results.

    Attributes:
        scene: the points, without photographs and colours.
        color: (N, 3) uint8, what the features were drawn as.
    """

    scene: Scene
    color: NDArray[np.uint8] | None


def has_labels(path: Path) -> bool:
    """Whether this is a folder with labels of one scene."""
    return (path / LABELS_PLY).is_file()


def has_features(path: Path) -> bool:
    """Whether this is a folder with features of one scene."""
    return (path / FEATURES_PLY).is_file()


def refuse_many(path: Path) -> None:
    """Refuse a folder with results of several scenes, one of which has to be named.

    Raises:
        InputError: this is one.
    """
    inside = sorted(found.parent.name for name in (LABELS_PLY, FEATURES_PLY) for found in path.glob(f"*/{name}"))
    if inside and not (path / "transforms.json").exists():
        fault = f"it holds results of {len(inside)} scenes: {few(inside, 3)}"
        raise InputError(path, fault, "Name one of these folders")


def read_labels(folder: Path, reading: ReadOptions | None = None) -> WrittenLabels:
    """Read the labels of one scene.

    Args:
        folder: that `ditr segment` or `ditr label` wrote.
        reading: which direction is up, say; by default the one that the results were made with, as their
            ``summary.json`` says. Points are in metres and in the axes of their capture already.

    Raises:
        InputError: a missing or damaged file (results without a ``summary.json`` have no up), labels that are not in
            the list of classes, or a reading that would move the points.
    """
    path = folder / LABELS_PLY
    columns = _columns(path)
    table = read_class_table(folder)
    if "label" not in columns:
        raise InputError(path, "it has no labels", "Name a folder that `ditr segment` or `ditr label` wrote")
    label = checked_labels(path, columns["label"], len(table.names))
    confidence = columns.get("confidence")
    scene = _own_scene(path, columns, reading or ReadOptions())
    if (true := columns.get("true_label")) is not None:
        names = table.true_names
        scene = replace(scene, label=checked_labels(path, true, len(names) or None), class_names=names)
    return WrittenLabels(
        scene=scene,
        label=label,
        class_names=table.names,
        class_colors=table.colors,
        confidence=None if confidence is None else confidence.astype(np.float32),
    )


def read_features(folder: Path, reading: ReadOptions | None = None) -> WrittenFeatures:
    """Read the colours of the features of one scene.

    Args:
        folder: that `ditr features` wrote.
        reading: as for :func:`read_labels`.

    Raises:
        InputError: a missing or damaged file, or a reading that would move the points.
    """
    path = folder / FEATURES_PLY
    columns = _columns(path)
    color = np.column_stack([columns.pop(name) for name in COLOR]).astype(np.uint8) if _has(columns, "") else None
    return WrittenFeatures(_own_scene(path, columns, reading or ReadOptions()), color)


def _columns(path: Path) -> Columns:
    """Without the names that CloudCompare wants."""
    return {name.removeprefix("scalar_"): values for name, values in read_ply(path).items()}


def _told(path: Path) -> tuple[NDArray[np.float64] | None, dict[str, Any]]:
    """What a ``summary.json`` says of the place of the scene: which direction is up, and the coordinate system.

    None and nothing where there is no such file, as for points of which it was taken away.
    """
    if not path.exists():
        return None, {}
    content = read_json_object(path, _AGAIN)
    up = content.get("up")
    try:
        direction = None if up is None else checked_direction(up, str(path))
    except (TypeError, ValueError):
        raise InputError(path, "its up is not a direction", _AGAIN) from None
    crs = content.get("crs")
    if crs is None:
        return direction, {}
    unit = crs.get("unit", 1.0) if isinstance(crs, dict) else None
    if not isinstance(unit, int | float) or not 0 < unit < np.inf:
        raise InputError(path, "its crs is not a coordinate system with a unit", _AGAIN)
    return direction, {"crs": crs}


def _has(columns: Columns, before: str) -> bool:
    return all(f"{before}{name}" in columns for name in COLOR)


def _own_scene(path: Path, columns: Columns, reading: ReadOptions) -> Scene:
    """The points as they were captured, with the colours that they had before those of classes."""
    own = {name: values for name, values in columns.items() if name not in _OF_RESULTS}
    if _has(own, "original_"):
        own |= {name: own.pop(f"original_{name}") for name in COLOR}
    notes = Notes()
    points = points_of(path, own, None, notes)
    up, properties = _told(path.parent / SUMMARY)
    if reading.tells_unit or reading.cloud_axes not in (None, CloudAxes.AS_STORED):
        fault = "its points are in metres and in the axes of their capture already"
        raise InputError(path, fault, "Leave out the options for units and axes, which are for captures")
    with Recognised(path, "results", "their names", reading).faults():
        scene = Scene(
            name=path.resolve().parent.name,
            coord=points.coord,
            color=points.color,
            normal=points.normal,
            strength=points.strength,
            extra=points.extra,
            up=up,
            properties=properties,
            findings=notes.findings(),
        )
    return read_as(scene, replace(reading, class_map=(), background=None))

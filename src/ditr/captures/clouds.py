"""What all files of points alone have in common: their columns become a scene by the rules for those of PLY."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ditr.captures.notes import Notes
from ditr.captures.points import Columns, points_of
from ditr.captures.transforms import LABELS, Labels, load_json
from ditr.scene import ReadOptions, Scene

__all__ = ["Cloud", "cloud_scene", "first_bytes"]


@dataclass(frozen=True)
class Cloud:
    """What a reader finds in a file of points.

    Attributes:
        columns: (N,) by name; see :func:`~ditr.captures.points.points_of`.
        labels: the class list, where the file has one.
        properties: facts that are not per point.
        reading: what the file says of how it is read: its unit and up.
    """

    columns: Columns
    labels: Labels | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    reading: ReadOptions = field(default_factory=ReadOptions)


def cloud_scene(path: Path, cloud: Cloud, notes: Notes) -> Scene:
    """The scene of one file; a ``labels.json`` beside it is its class list where it has none itself.

    Raises:
        InputError: as for :func:`~ditr.captures.points.points_of`, or a damaged ``labels.json``.
    """
    labels, beside = cloud.labels, path.parent / LABELS
    if labels is None and beside.is_file():
        labels = load_json(beside, Labels)
        notes.say("classes", f"the class list is that of {LABELS}, which lies beside it")
    points = points_of(path, cloud.columns, labels, notes)
    return Scene(
        name=path.stem,
        coord=points.coord,
        color=points.color,
        normal=points.normal,
        strength=points.strength,
        label=points.label,
        class_names=() if labels is None or points.label is None else tuple(labels.classes),
        extra=points.extra,
        properties=cloud.properties,
        findings=notes.findings(),
        reading=cloud.reading,
    )


def first_bytes(path: Path, count: int) -> bytes:
    """Of a file; fewer where it is shorter, none where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""

"""What all files of points alone have in common: their columns become a scene by the rules for those of PLY."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.class_table import CLASSES, names_in
from ditr.captures.notes import Notes
from ditr.captures.points import Columns, points_of
from ditr.captures.transforms import LABELS, Labels, load_json
from ditr.errors import Grade, InputError
from ditr.scene import UNLABELLED, ReadOptions, Scene

__all__ = ["Cloud", "cloud_scene", "first_bytes", "require_library", "without_missing"]


@dataclass
class Cloud:
    """What a reader finds in a file of points.

    Attributes:
        columns: (N,) by name; see :func:`~ditr.captures.points.points_of`.
        class_column: the column whose numbers are classes, where the file or its format says their names.
        class_names: of these numbers; points with others are unlabelled.
        properties: facts that are not per point.
        reading: what the file says of how it is read: its unit and up.
        said: what was noticed: grade, subject, and the text.
    """

    columns: Columns
    class_column: str = ""
    class_names: Mapping[int, str] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    reading: ReadOptions = field(default_factory=ReadOptions)
    said: list[tuple[Grade, str, str]] = field(default_factory=list)

    def say(self, about: str, text: str) -> None:
        """Note something."""
        self.said.append((Grade.NOTED, about, text))

    def warn(self, about: str, text: str) -> None:
        """Note something that nobody may miss."""
        self.said.append((Grade.WARNED, about, text))


def cloud_scene(path: Path, cloud: Cloud) -> Scene:
    """The scene of one file; a ``labels.json`` or ``classes.json`` beside it is its class list, before what its format
    says.

    The cloud's columns are taken out of it, so that those which become something else need no memory then.

    Raises:
        InputError: as for :func:`~ditr.captures.points.points_of`, or a damaged ``labels.json``.
    """
    notes = Notes()
    for grade, about, text in cloud.said:
        notes.say(about, text, grade=grade)
    columns = {_plain_name(name): cloud.columns.pop(name) for name in list(cloud.columns)}
    labels = None
    if (found := _labels_beside(path)) is not None:
        labels, beside = found
        notes.say("classes", f"the class list is read from {beside}, beside the file")
    elif cloud.class_column and (label := _classified(columns[cloud.class_column], cloud.class_names)) is not None:
        labels = Labels(classes=list(dict.fromkeys(cloud.class_names.values())))
        columns["label"] = label
    points = points_of(path, columns, labels, notes)
    return Scene(
        name=path.stem,
        coord=points.coord,
        color=points.color,
        normal=points.normal,
        strength=points.strength,
        label=points.label,
        class_names=() if labels is None or points.label is None else tuple(labels.classes),
        extra={name: stored for name, values in points.extra.items() if (stored := _storable(values)) is not None},
        properties=cloud.properties,
        findings=notes.findings(),
        reading=cloud.reading,
    )


def _labels_beside(path: Path) -> tuple[Labels, str] | None:
    """The class list that lies beside a file, and the name of its own; ``labels.json`` comes first."""
    if (path.parent / LABELS).is_file():
        return load_json(path.parent / LABELS, Labels), LABELS
    names = names_in(path.parent)
    try:
        return None if names is None else (Labels(classes=names), CLASSES)
    except ValueError:  # two of one name, or one that is none
        return None


def _classified(values: NDArray[Any], names: Mapping[int, str]) -> NDArray[np.int32] | None:
    """(N,) indices into the list of different names, for numbers of 8 or 16 bits; None where no point has one of those
    that have a name."""
    classes = {name: index for index, name in enumerate(dict.fromkeys(names.values()))}
    numbers = np.arange(int(values.max()) + 1 if len(values) else 0)
    table = np.array([classes.get(names.get(int(number), ""), UNLABELLED) for number in numbers], dtype=np.int32)
    label = table[values]
    return label if (label >= 0).any() else None


def _plain_name(name: str) -> str:
    """A name as a PLY header can hold it."""
    return re.sub(r"\s+", "_", name.strip()).encode("unicode_escape").decode("ascii") or "unnamed"


def _storable(values: NDArray[Any]) -> NDArray[Any] | None:
    """The values in a type that PLY has; None where they are not numbers."""
    if values.dtype.kind == "b":
        return values.astype(np.uint8)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        return values.astype(np.int32 if len(values) and np.abs(values).max() < 1 << 31 else np.float64)
    if values.dtype.kind == "f":
        return values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64, copy=False)
    return values if values.dtype.kind in "iu" else None


def without_missing(cloud: Cloud) -> Cloud:
    """Without the points whose coordinates are not finite, for formats in which this stands for "nothing measured"."""
    missing = np.zeros(len(next(iter(cloud.columns.values()))), dtype=bool)
    for axis in "xyz":
        missing |= ~np.isfinite(cloud.columns.get(axis, np.zeros(1)))
    if missing.any() and not missing.all():
        cloud.columns = {name: values[~missing] for name, values in cloud.columns.items()}
        cloud.say("points", f"{np.count_nonzero(missing)} of {len(missing)} are not measured (NaN) and were left out")
    return cloud


def require_library(path: Path, name: str, extra: str) -> None:
    """Refuse a file whose reader is not installed.

    Raises:
        InputError: naming the command that installs it.
    """
    if find_spec(name) is None:
        remedy = f"Install it with `pip install 'ditr[{extra}]'`"
        raise InputError(path, f"{name}, which is needed to read it, is not installed", remedy)


def first_bytes(path: Path, count: int) -> bytes:
    """Of a file; fewer where it is shorter, none where there is none or it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(count)
    except OSError:
        return b""

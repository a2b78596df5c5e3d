"""``classes.json``: ids, names and colours of classes, as they lie beside labels; for programs, and for whoever reads
these labels again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ditr.errors import InputError
from ditr.io.json_file import read_json

__all__ = ["CLASSES", "ClassEntry", "ClassTable", "class_table", "names_in", "read_class_table"]

CLASSES = "classes.json"


@dataclass(frozen=True)
class ClassEntry:
    """A class: the number that stands for it, its name, its colour (red, green, blue of 0..255), the classification
    that it has in LAS files, and its index in label images where that is another than ``id``."""

    id: int
    name: str
    color: tuple[int, int, int]
    las: int | None = None
    image_id: int | None = None


def class_table(
    classes: Sequence[ClassEntry], unlabelled: ClassEntry, true_classes: Sequence[ClassEntry] = ()
) -> dict[str, Any]:
    """What stands in the file.

    Args:
        classes: in the order of their ids.
        unlabelled: what stands for none of them.
        true_classes: of labels that were there before, which may be others.
    """
    table = {"classes": [_plain(entry) for entry in classes], "unlabelled": _plain(unlabelled)}
    return table | ({"true_classes": [_plain(entry) for entry in true_classes]} if true_classes else {})


def _plain(entry: ClassEntry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value is not None}


@dataclass(frozen=True)
class ClassTable:
    """A ``classes.json`` that was read.

    Attributes:
        names: of the classes 0, 1, 2, ...
        colors: of these, red, green and blue of 0..255; None where one has none.
        true_names: of the labels that were there before; empty where there were none, or none with names.
    """

    names: tuple[str, ...]
    colors: tuple[tuple[int, int, int], ...] | None
    true_names: tuple[str, ...]


def read_class_table(folder: Path) -> ClassTable:
    """Read the ``classes.json`` of a folder.

    Raises:
        InputError: there is none, or it is not as :func:`class_table` makes them.
    """
    path = folder / CLASSES
    remedy = f"Name a folder with {CLASSES} as `ditr segment` or `ditr label` wrote it"
    table = read_json(path, remedy)
    try:
        entries, before = table["classes"], table.get("true_classes", ())
        names, true_names = (tuple(str(entry["name"]) for entry in listed) for listed in (entries, before))
        counted = [entry["id"] for entry in entries] == list(range(len(entries)))
        colors = [_color(entry.get("color")) for entry in entries]
    except (LookupError, TypeError, AttributeError) as error:
        raise InputError(path, "it is not a list of classes", remedy) from error
    if not counted or not names:
        raise InputError(path, "its classes do not have the ids 0, 1, 2, ...", remedy)
    known = tuple(color for color in colors if color is not None)
    return ClassTable(names, known if len(known) == len(names) else None, true_names)


def _color(value: Any) -> tuple[int, int, int] | None:
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(isinstance(part, int) and 0 <= part <= 255 for part in value):
        return None
    red, green, blue = value
    return red, green, blue


def names_in(folder: Path) -> list[str] | None:
    """The names of the classes 0, 1, 2, ... in a folder's ``classes.json``; None where there is none, or none of
    ours."""
    try:
        return list(read_class_table(folder).names)
    except InputError:
        return None

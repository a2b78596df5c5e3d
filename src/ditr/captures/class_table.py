"""``classes.json``: ids, names and colours of classes, as they lie beside labels; for programs, and for whoever reads
these labels again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["CLASSES", "ClassEntry", "class_table", "names_in"]

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


def names_in(folder: Path) -> list[str] | None:
    """The names of the classes 0, 1, 2, ... in a folder's ``classes.json``; None where there is none, or none of
    ours."""
    try:
        entries = json.loads((folder / CLASSES).read_bytes())["classes"]
        names = [str(entry["name"]) for entry in entries]
        counted = [entry["id"] for entry in entries] == list(range(len(entries)))
    except (OSError, ValueError, RecursionError, LookupError, TypeError):
        return None
    return names if counted and names else None

"""What the numbers and colours of label images mean: ``classes.json``, CVAT's ``labelmap.txt``, or a list of names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.captures.class_table import CLASSES
from ditr.captures.transforms import LABELS
from ditr.errors import InputError
from ditr.labelling.annotations.files import decoded, read_json, read_whole
from ditr.labelling.annotations.label_image import NOTHING, numbered, require_once

__all__ = ["LABELMAP", "PALETTES", "Palette", "palette_of_names", "parse_palette", "read_palette"]

LABELMAP = "labelmap.txt"
PALETTES = (CLASSES, LABELMAP, LABELS)
"""Files that say what label images mean, as they lie beside them; the first that is there counts."""
_MOST_BYTES = 16 << 20
_REMEDY = f"Give {CLASSES} as `ditr segment` writes it, CVAT's {LABELMAP}, or a list of names, one per line"


@dataclass(frozen=True, eq=False)
class Palette:
    """Classes, and how pixels say them.

    Attributes:
        classes: names.
        by_number: index of a class, or what stands for none, by the number of a pixel.
        by_color: likewise by red, green and blue; without colours that several classes have.
        las: classification of each class in LAS files; empty where that is not said.
        where: what errors call it.
    """

    classes: tuple[str, ...]
    by_number: Mapping[int, int]
    by_color: Mapping[tuple[int, int, int], int]
    las: tuple[int, ...]
    where: str


def read_palette(text: str) -> Palette:
    """Of an option: a file, or names with commas between them.

    Raises:
        InputError: neither.
    """
    path = Path(text)
    if path.is_file():
        return parse_palette(path.name, read_whole(path, _MOST_BYTES), str(path))
    if "," not in text and path.suffix:
        raise InputError(path, "there is no such file", _REMEDY)
    return palette_of_names([name.strip() for name in text.split(",")], "--classes")


def palette_of_names(names: Sequence[str], where: str) -> Palette:
    """Classes that are counted from 0.

    Raises:
        InputError: names that are none, or one twice.
    """
    classes, index = numbered(names, where)
    return Palette(classes, dict(enumerate(index)), {}, (), where)


def parse_palette(name: str, content: bytes, where: str) -> Palette:
    """Of a file of that name.

    Raises:
        InputError: none of these files.
    """
    if not name.lower().endswith(".json"):
        lines = [line for line in decoded(content, where).splitlines() if line.strip() and line[0] != "#"]
        return _labelmap(lines, where) if any(":" in line for line in lines) else palette_of_names(lines, where)
    values = read_json(content, where)
    entries = values.get("classes") if isinstance(values, dict) else values
    if not isinstance(entries, list) or not entries:
        raise InputError(where, "it has no list of classes", _REMEDY)
    if all(isinstance(entry, str) for entry in entries):
        return palette_of_names(entries, where)
    return _own(entries, values.get("unlabelled") if isinstance(values, dict) else None, where)


def _own(entries: Sequence[Any], unlabelled: Any, where: str) -> Palette:
    """Of ``classes.json``, in which every name is a class."""
    names, numbers, las = [], [], []
    colors: list[tuple[int, int, int] | None] = []
    for entry in entries:
        number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if not isinstance(number, int) or not 0 <= number < 1 << 16 or not isinstance(name, str) or not name:
            raise InputError(where, f"this is not a class: {str(entry)[:60]}", "Give each an id from 0 and a name")
        names.append(name)
        numbers.append(number)
        colors.append(_color(entry.get("color")))
        if isinstance(entry.get("las"), int):
            las.append(entry["las"])
    require_once(names, where, "classes")
    require_once(list(map(str, numbers)), where, "ids")
    by_number = {number: index for index, number in enumerate(numbers)}
    if isinstance(unlabelled, dict) and isinstance(unlabelled.get("image_id"), int):
        by_number.setdefault(unlabelled["image_id"], NOTHING)
        names_and_none, indices = [*colors, _color(unlabelled.get("color"))], [*range(len(names)), NOTHING]
    else:
        names_and_none, indices = colors, list(range(len(names)))
    stored = tuple(las) if len(las) == len(names) else ()
    return Palette(tuple(names), by_number, _by_color(names_and_none, indices), stored, where)


def _labelmap(lines: Sequence[str], where: str) -> Palette:
    """Of lines ``name:red,green,blue:parts:actions``."""
    names, colors = [], []
    for number, line in enumerate(lines):
        name, _, rest = line.partition(":")
        text = rest.partition(":")[0].split(",")
        color = _color([int(part) for part in text]) if all(part.strip().isdigit() for part in text) else None
        if color is None:
            raise InputError(where, f"line {number + 1} has no colour: {line[:60]!r}", "Write name:255,0,0::")
        names.append(name.strip())
        colors.append(color)
    classes, index = numbered(names, where)
    return Palette(classes, dict(enumerate(index)), _by_color(colors, index), (), where)


def _color(value: Any) -> tuple[int, int, int] | None:
    good = isinstance(value, list) and len(value) == 3
    if not good or not all(isinstance(part, int) and 0 <= part < 256 for part in value):
        return None
    red, green, blue = value
    return red, green, blue


def _by_color(colors: Sequence[tuple[int, int, int] | None], indices: Sequence[int]) -> dict[tuple[int, int, int], int]:
    often = Counter(colors)
    return {color: index for color, index in zip(colors, indices, strict=True) if color and often[color] == 1}

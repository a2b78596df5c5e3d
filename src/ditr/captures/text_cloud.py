"""Points as text: XYZ, TXT, CSV, ASC, PTS; a line for each, with or without names of the columns before them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.unnamed import unnamed_columns
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "read_cloud", "recognise"]

_ENDINGS = (".xyz", ".txt", ".csv", ".asc", ".pts", ".xyzrgb", ".xyzn", ".xyzi")
_START = 1 << 14
_NUMBER = r"[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|nan|inf)"
_MOST_COLUMNS = 256


@dataclass(frozen=True)
class _Layout:
    """How the lines are written: what stands between numbers (None for blanks), the names of the columns where there
    are any, how many these are, and how many points the first line promises."""

    delimiter: str | None
    names: tuple[str, ...]
    columns: int
    promised: int | None
    skip: int


def recognise(path: Path) -> str | None:
    """By its ending and first lines: three numbers or more in each."""
    if path.suffix.lower() not in _ENDINGS or (layout := _layout(path)) is None:
        return None
    return f"its lines have {layout.columns} numbers each"


def read(path: Path, options: ReadOptions) -> Scene:
    """The lines of a text file as points.

    Raises:
        InputError: as for :func:`read_cloud`, or for :func:`~ditr.captures.points.points_of`.
    """
    return cloud_scene(path, read_cloud(path))


def read_cloud(path: Path) -> Cloud:
    """What the lines of a text file hold.

    Raises:
        InputError: lines that are not numbers or not equally long, or columns of no known meaning.
    """
    layout = _layout(path)
    if layout is None:
        raise InputError(path, "its lines do not consist of numbers", "Write x, y and z of one point in each line")
    values = _numbers(path, layout)
    if layout.promised not in (None, len(values)):
        fault = f"its first line declares {layout.promised} points, but {len(values)} follow"
        raise InputError(path, fault, "The file is cut off, or its first line is wrong; copy or write it again")
    if not layout.names:
        columns, said = unnamed_columns(path, values)
        cloud = Cloud(columns)
        cloud.say("columns", said)
        return cloud
    return Cloud({name: _typed(values[:, i]) for i, name in enumerate(layout.names)})


def _typed(values: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers as such: a text does not tell 0..255 from 0..1 otherwise."""
    with np.errstate(invalid="ignore"):
        whole = len(values) > 0 and bool((values == np.floor(values)).all()) and np.abs(values).max() < 1 << 31
    return np.ascontiguousarray(values.astype(np.int32) if whole and values.max() > 1 else values)


def _layout(path: Path) -> _Layout | None:
    """None where this is not a table of numbers."""
    start = first_bytes(path, _START)
    if not start or b"\0" in start:
        return None
    text = start.decode("latin-1").removeprefix("\xef\xbb\xbf")
    lines = re.split(r"\r\n|\r|\n", text)
    if len(start) == _START:
        lines = lines[:-1]  # cut off
    promised, names = None, ""
    for skip, line in enumerate(lines):
        told = line.strip()
        delimiter = next((mark for mark in (";", ",", "\t") if mark in told), None)
        words = _words(told, delimiter)
        if len(words) >= 3 and all(re.fullmatch(_NUMBER, word, re.IGNORECASE) for word in words):
            named = tuple(_words(names.lstrip("/# "), next((m for m in (";", ",", "\t") if m in names), None)))
            is_comment = names.startswith(("#", "/"))
            if named and len(named) != len(words):
                if not is_comment:
                    return None
                named = ()
            if len(words) > _MOST_COLUMNS or len(set(named)) < len(named):
                return None
            return _Layout(delimiter, named, len(words), promised, skip)
        if re.fullmatch(r"\d{1,15}", told) and promised is None:
            promised = int(told)
        elif told and (told.startswith(("#", "/")) or not names):
            names = told
        elif told:
            return None
    return None


def _words(line: str, delimiter: str | None) -> list[str]:
    told = line.rstrip(", ;\t")
    return [word.strip().strip('"') for word in told.split(delimiter)] if told else []


def _numbers(path: Path, layout: _Layout) -> NDArray[np.float64]:
    def lines() -> Iterator[str]:
        with path.open("r", encoding="latin-1") as file:
            for number, line in enumerate(file):
                told = line.strip().rstrip(",;") if layout.delimiter else line.strip()
                if number >= layout.skip and told and not told.startswith(("#", "//")):
                    yield told

    try:
        return np.loadtxt(lines(), dtype=np.float64, comments=None, delimiter=layout.delimiter, ndmin=2)
    except (ValueError, OSError) as error:
        fault = f"its lines cannot be read ({error})"
        raise InputError(path, fault, "Correct the line, or write the file again") from None

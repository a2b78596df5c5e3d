"""Small files of numbers, one record a line or as JSON, and pictures that are numbered or stamped with a time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.json_file import read_json_object

__all__ = ["by_stem", "json_object", "nearest_in_time", "numbers_of", "rows_of"]


def rows_of(path: Path) -> list[list[str]]:
    """The words of each line that says something; ``#`` begins a comment.

    Raises:
        InputError: a file that cannot be read.
    """
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            rows = [line.partition("#")[0].replace(",", " ").split() for line in file]
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error
    return [row for row in rows if row]


def numbers_of(path: Path, count: int) -> NDArray[np.float64]:
    """(n, count) numbers, a row for each line.

    Raises:
        InputError: a file that cannot be read, or a line of anything else.
    """
    result = []
    for row in rows_of(path):
        try:
            numbers = [float(word) for word in row]
        except ValueError:
            numbers = []
        if len(numbers) != count:
            fault = f"a line does not have {count} numbers: {' '.join(row)[:60]!r}"
            raise InputError(path, fault, "Copy or export the file again")
        result.append(numbers)
    return np.array(result, dtype=np.float64).reshape(-1, count)


def json_object(path: Path) -> dict[str, Any]:
    """The entries of a JSON file.

    Raises:
        InputError: a file that cannot be read, or holds something else.
    """
    return read_json_object(path, "Copy or export it again")


def by_stem(folder: Path, *endings: str) -> dict[str, Path]:
    """Files of some endings by their names without these, numbers in their order; none where there is no folder."""
    files = [path for path in folder.iterdir() if path.suffix.lower() in endings] if folder.is_dir() else []
    return {path.stem: path for path in sorted(files, key=lambda path: _natural(path.name))}


def _natural(name: str) -> list[tuple[int, int | str]]:
    """A key by which 2 comes before 10."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"([0-9]{1,18})", name)]


def nearest_in_time(wanted: NDArray[np.float64], known: NDArray[np.float64], most: float) -> NDArray[np.int64]:
    """(n,) for each time the number of the nearest known one; -1 where none is within ``most``."""
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known, kind="stable")
    times = known[order]
    after = np.searchsorted(times, wanted).clip(1, max(1, len(times) - 1))
    before = after - 1
    after = after.clip(max=len(times) - 1)
    nearer = np.where(np.abs(times[after] - wanted) < np.abs(wanted - times[before]), after, before)
    return np.where(np.abs(times[nearer] - wanted) <= most, order[nearer], -1)

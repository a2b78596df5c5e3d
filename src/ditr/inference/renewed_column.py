"""The number of each point's object in results that are there already: brought up to date when objects are found
again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.las_labels import LAS_FILES, renew_las_objects
from ditr.errors import InputError
from ditr.inference.prediction import LABELS_PLY, SUMMARY
from ditr.inference.read_results import WrittenLabels
from ditr.inference.results import BY_CLASS
from ditr.io.files import write_json
from ditr.io.json_file import read_json_object
from ditr.io.ply import read_comments, read_ply, write_ply

__all__ = ["renew_objects"]

_COLUMN = ("object", "scalar_object")
_REMEDY = "Label the capture again, with --objects"


def renew_objects(folder: Path, new: Path, given: WrittenLabels, of_point: NDArray[np.int32]) -> list[str]:
    """Write the results that hold the numbers of objects again, with other numbers.

    These are the column ``object`` of ``labels.ply``, of a LAS copy and of the files by class, and the count in
    ``summary.json``. Results that were written without objects have none of them, and nothing is written then.

    Args:
        folder: of the results.
        new: folder into which they are written (:func:`ditr.io.files.results_folder`).
        given: the labels of these results.
        of_point: (N,) the new number of each point's object, -1 for none.

    Returns:
        The names of the files, with folders.

    Raises:
        InputError: a file that is damaged, or whose points are not those of the labels.
        OSError: they cannot be written.
    """
    path = folder / SUMMARY
    summary = read_json_object(path, _REMEDY) if path.exists() else {}
    if "objects" not in summary:
        return []
    done = [LABELS_PLY]
    _renew_ply(folder / LABELS_PLY, new / LABELS_PLY, of_point)
    for name in LAS_FILES:
        if (folder / name).exists():
            renew_las_objects(folder / name, new / name, of_point)
            done.append(name)
    for part in sorted((folder / BY_CLASS).glob("*")):
        number = _number(part)
        if number is None or not part.is_file():
            continue
        (new / BY_CLASS).mkdir(exist_ok=True)
        rows = of_point[given.label == number]
        renew = _renew_ply if part.suffix == ".ply" else renew_las_objects
        renew(part, new / BY_CLASS / part.name, rows)
        done.append(f"{BY_CLASS}{part.name}")
    write_json(new / SUMMARY, {**summary, "objects": int(of_point.max(initial=-1)) + 1})
    return [*done, SUMMARY]


def _renew_ply(path: Path, to: Path, of_point: NDArray[np.int32]) -> None:
    columns: dict[str, NDArray[Any]] = read_ply(path)
    name = next((name for name in _COLUMN if name in columns), _COLUMN[0])
    _require_as_many(path, len(next(iter(columns.values()))), of_point)
    write_ply(to, {**columns, name: of_point}, comments=read_comments(path))


def _require_as_many(path: Path, points: int, of_point: NDArray[np.int32]) -> None:
    if points != len(of_point):
        fault = f"it has {points} points, but there are {len(of_point)} with its labels"
        raise InputError(path, fault, _REMEDY)


def _number(part: Path) -> int | None:
    """The class of a file by class, -1 for no label; None for a file of another name."""
    if part.suffix not in (".ply", ".las", ".laz"):
        return None
    if part.stem == "unlabelled":
        return -1
    found = re.match(r"(\d+)(_|$)", part.stem)
    return None if found is None else int(found[1])

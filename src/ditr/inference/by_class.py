"""A file for each class, for tools that show and measure one thing at a time."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.las_labels import las_name, split_las
from ditr.inference.prediction import Prediction
from ditr.io.ply import write_ply

__all__ = ["write_by_class"]


def write_by_class(
    prediction: Prediction,
    folder: Path,
    source: Path | None = None,
    *,
    colored: bool = False,
    cloudcompare: bool = False,
) -> list[Path]:
    """Write the points of each class that occurs to ``ID_NAME.ply``, and those without a label to ``unlabelled.ply``.

    Args:
        prediction: the labels.
        folder: made where there is none.
        source: of the scene; of a LAS or LAZ file the points are written as such, with all that the file has.
        colored: as for :meth:`Prediction.save`.
        cloudcompare: as for :meth:`Prediction.save`.

    Returns:
        The files, in the order of the classes.

    Raises:
        InputError: a source that is not the scene's.
        OSError: they cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ids = np.unique(prediction.label).tolist()
    ids = [number for number in ids if number >= 0] + [number for number in ids if number < 0]
    names = [_file_name(number, prediction.class_names) for number in ids]
    if source is not None and (las := las_name(source)) is not None:
        paths = [folder / f"{name}{Path(las).suffix}" for name in names]
        label, confidence = prediction.label, prediction.confidence
        split_las(
            source, dict(zip(ids, paths, strict=True)), label, confidence, prediction.class_names, prediction.object_of
        )
        return paths
    columns = prediction.columns(colored=colored, cloudcompare=cloudcompare)
    comments = prediction.comments()
    paths = [folder / f"{name}.ply" for name in names]
    for number, path in zip(ids, paths, strict=True):
        rows: NDArray[np.int64] = np.flatnonzero(prediction.label == number)
        write_ply(path, {name: values[rows] for name, values in columns.items()}, comments=comments)
    return paths


def _file_name(number: int, class_names: tuple[str, ...]) -> str:
    """What every file system takes, and what sorts as the classes do."""
    if number < 0:
        return "unlabelled"
    digits = len(str(len(class_names) - 1))
    plain = re.sub(r"[^\w-]+", "_", class_names[number]).strip("_")
    return f"{number:0{digits}d}_{plain[:60]}"

"""Labels in a copy of the LAS file that they are for, as classifications that other tools show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import guarded
from ditr.captures.clouds import Cloud, first_bytes
from ditr.captures.las import is_compressed
from ditr.captures.las_classes import OWN, UNCLASSIFIED, standard_numbers
from ditr.errors import InputError
from ditr.io.files import atomic_path

__all__ = ["LAS_FILES", "las_name", "renew_las_objects", "split_las", "write_las_labels"]

LAS_FILES = ("labels.las", "labels.laz")
"""What results may be called, as their source is compressed or not."""
_WIDER = {0: 6, 1: 6, 2: 7, 3: 7, 4: 9, 5: 10}
"""Formats of points whose classifications end at 31, and those with the same columns that go to 255."""
_SCAN_ANGLE = 0.006
"""Degrees of a unit of ``scan_angle`` in the formats from 6 on; the older ``scan_angle_rank`` is in degrees."""
_TABLE = ("LASF_Spec", 0)


def las_name(source: Path) -> str | None:
    """What the labels of a LAS or LAZ file are called; None for another file."""
    start = first_bytes(source, 105)
    if start[:4] != b"LASF" or len(start) < 105:
        return None
    return LAS_FILES[is_compressed(start)]


def write_las_labels(
    source: Path,
    path: Path,
    label: NDArray[np.int32],
    confidence: NDArray[np.float32],
    class_names: Sequence[str],
    object_of: NDArray[np.int32] | None = None,
) -> None:
    """Copy a LAS or LAZ file with the labels as its classifications, and label, confidence and object as extra columns.

    Classifications that the source has are kept in the extra column ``original_classification``.

    Args:
        source: whose points these are, in its order.
        path: the file to make or replace.
        label: (N,) indices into ``class_names``, -1 for none.
        confidence: (N,) 0 to 1.
        class_names: what labels mean; those that the specification does not know are listed in the file.
        object_of: (N,) number of each point's thing, -1 for none; None to write no such column.

    Raises:
        InputError: another number of points than labels, or a file that is damaged.
    """

    def copied(source: Path) -> Cloud:
        las = _labelled(source, label, confidence, class_names, object_of)
        with atomic_path(path) as temporary:
            las.write(str(temporary), do_compress=path.suffix == ".laz")
        return Cloud({})

    guarded(source, copied)


def split_las(
    source: Path,
    paths: Mapping[int, Path],
    label: NDArray[np.int32],
    confidence: NDArray[np.float32],
    class_names: Sequence[str],
    object_of: NDArray[np.int32] | None = None,
) -> None:
    """As :func:`write_las_labels`, with a file for each of some labels, by label.

    Raises:
        InputError: another number of points than labels, or a file that is damaged.
    """

    def parted(source: Path) -> Cloud:
        las = _labelled(source, label, confidence, class_names, object_of)
        for number, path in paths.items():
            with atomic_path(path) as temporary:
                las[label == number].write(str(temporary), do_compress=path.suffix == ".laz")
        return Cloud({})

    guarded(source, parted)


def renew_las_objects(path: Path, to: Path, object_of: NDArray[np.int32]) -> None:
    """Copy a file of :func:`write_las_labels` or :func:`split_las` with other numbers of things.

    Args:
        path: the file.
        to: the file to make or replace.
        object_of: (N,) number of each point's thing, -1 for none.

    Raises:
        InputError: another number of points, no column of things, or a file that is damaged.
    """

    def renewed(path: Path) -> Cloud:
        las: Any = import_module("laspy").read(str(path))
        there = set(las.point_format.dimension_names)
        # The first name that was free is the last one that is there.
        own = [name for name in _column_names("object") if name in there]
        if len(las.points) != len(object_of) or not own:
            fault = f"it has {len(las.points)} points, {len(object_of)} of them with objects"
            raise InputError(path, fault if own else "it has no column of objects", "Label the capture again")
        las[own[-1]] = object_of
        with atomic_path(to) as temporary:
            las.write(str(temporary), do_compress=to.suffix == ".laz")
        return Cloud({})

    guarded(path, renewed)


def _column_names(name: str) -> tuple[str, str, str]:
    """What a column may be called, the first free one is taken: a source may have some of these names."""
    return name, f"ditr_{name}", f"ditr_{name}_2"


def _labelled(
    source: Path,
    label: NDArray[np.int32],
    confidence: NDArray[np.float32],
    class_names: Sequence[str],
    object_of: NDArray[np.int32] | None,
) -> Any:
    """The source as laspy reads it, with the labels in it."""
    laspy = import_module("laspy")
    las: Any = laspy.read(str(source))
    if len(las.points) != len(label):
        raise InputError(
            source, f"it has {len(las.points)} points, but there are {len(label)} labels", "Label the file again"
        )
    before = np.array(las.classification, dtype=np.uint8)
    if (wider := _WIDER.get(int(las.header.point_format.id))) is not None:
        degrees = np.array(las.scan_angle_rank, dtype=np.float64)
        las = laspy.convert(las, point_format_id=wider)
        # The same angle under another name and in another unit, which laspy leaves at 0.
        las["scan_angle"] = np.rint(degrees / _SCAN_ANGLE).astype(np.int16)
    numbers = np.array([*standard_numbers(class_names), UNCLASSIFIED], dtype=np.uint8)
    las["classification"] = numbers[label]
    columns: dict[str, NDArray[Any]] = {"label": label, "confidence": confidence}
    if object_of is not None:
        columns["object"] = object_of
    if before.any():
        columns["original_classification"] = before
    for name, values in columns.items():
        there = set(las.point_format.dimension_names)
        free = next(one for one in _column_names(name) if one not in there)
        las.add_extra_dim(laspy.ExtraBytesParams(free, values.dtype))
        las[free] = values
    rows = b"".join(
        bytes([number]) + name.encode("ascii", "replace")[:15].ljust(15, b"\0")
        for number, name in sorted(zip(numbers[:-1].tolist(), class_names, strict=True))
        if number >= OWN
    )
    kept = [record for record in las.header.vlrs if (record.user_id, record.record_id) != _TABLE]
    table = [laspy.VLR(*_TABLE, "classes by ditr", rows)] if rows else []
    las.header.vlrs[:] = [*kept, *table]
    return las

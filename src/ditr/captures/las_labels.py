"""Labels in a copy of the LAS file that they are for, as classifications that other tools show."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import guarded
from ditr.captures.clouds import Cloud, first_bytes
from ditr.captures.las import STANDARD_CLASSES, is_compressed
from ditr.errors import InputError
from ditr.io.files import atomic_path

__all__ = ["LAS_FILES", "las_name", "standard_numbers", "write_las_labels"]

LAS_FILES = ("labels.las", "labels.laz")
"""What results may be called, as their source is compressed or not."""
_UNCLASSIFIED, _OWN, _LAST = 1, 64, 255
_SAME_AS = {
    2: ("floor", "terrain"),
    5: ("vegetation", "tree", "trees", "trunk", "plant"),
    6: ("wall", "roof"),
    9: ("river", "lake"),
    10: ("rail track", "railway"),
    11: ("road", "driveable surface", "drivable surface", "street"),
    17: ("bridge",),
}
"""Names that classes of the specification have elsewhere."""
_WIDER = {0: 6, 1: 6, 2: 7, 3: 7, 4: 9, 5: 10}
"""Formats of points whose classifications end at 31, and those with the same columns that go to 255."""
_TABLE = ("LASF_Spec", 0)


def las_name(source: Path) -> str | None:
    """What the labels of a LAS or LAZ file are called; None for another file."""
    start = first_bytes(source, 105)
    if start[:4] != b"LASF" or len(start) < 105:
        return None
    return LAS_FILES[is_compressed(start)]


def standard_numbers(class_names: Sequence[str]) -> list[int]:
    """The classification of each class: that of the specification where there is one, else one of 64 to 255 in order;
    1 (unclassified) where these are not enough."""
    known = {name: number for number, name in STANDARD_CLASSES.items()}
    known |= {name: number for number, names in _SAME_AS.items() for name in names}
    plain = [name.lower().replace("_", " ").replace("-", " ").strip() for name in class_names]
    own = [name for name in plain if name not in known]
    free = {name: _OWN + index if _OWN + index <= _LAST else _UNCLASSIFIED for index, name in enumerate(own)}
    return [known[name] if name in known else free[name] for name in plain]


def write_las_labels(
    source: Path, path: Path, label: NDArray[np.int32], confidence: NDArray[np.float32], class_names: Sequence[str]
) -> None:
    """Copy a LAS or LAZ file with the labels as its classifications, and label and confidence as extra columns.

    Args:
        source: whose points these are, in its order.
        path: the file to make or replace.
        label: (N,) indices into ``class_names``, -1 for none.
        confidence: (N,) 0 to 1.
        class_names: what labels mean; those that the specification does not know are listed in the file.

    Raises:
        InputError: another number of points than labels, or a file that is damaged.
    """

    def copied(source: Path) -> Cloud:
        with atomic_path(path) as temporary:
            _copy(source, temporary, label, confidence, class_names)
        return Cloud({})

    guarded(source, copied)


def _copy(
    source: Path, path: Path, label: NDArray[np.int32], confidence: NDArray[np.float32], class_names: Sequence[str]
) -> None:
    laspy = import_module("laspy")
    las: Any = laspy.read(str(source))
    if len(las.points) != len(label):
        raise InputError(source, f"it has {len(las.points)} points, and there are {len(label)} labels", "Label it anew")
    if (wider := _WIDER.get(int(las.header.point_format.id))) is not None:
        las = laspy.convert(las, point_format_id=wider)
    numbers = np.array([*standard_numbers(class_names), _UNCLASSIFIED], dtype=np.uint8)
    las["classification"] = numbers[label]
    for name, values in (("label", label), ("confidence", confidence)):
        there = set(las.point_format.dimension_names)
        free = next(one for one in (name, f"ditr_{name}", f"ditr_{name}_2") if one not in there)
        las.add_extra_dim(laspy.ExtraBytesParams(free, values.dtype))
        las[free] = values
    rows = b"".join(
        bytes([number]) + name.encode("ascii", "replace")[:15].ljust(15, b"\0")
        for number, name in sorted(zip(numbers[:-1].tolist(), class_names, strict=True))
        if number >= _OWN
    )
    kept = [record for record in las.header.vlrs if (record.user_id, record.record_id) != _TABLE]
    table = [laspy.VLR(*_TABLE, "classes by ditr", rows)] if rows else []
    las.header.vlrs[:] = [*kept, *table]
    las.write(str(path), do_compress=path.suffix == ".laz")

"""LAS and LAZ, the files of surveys: by laspy, with their classes, colours and coordinate system."""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.apart import guarded, read_apart
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes, require_library
from ditr.captures.colors import COLOR
from ditr.captures.crs import coordinate_system
from ditr.captures.las_classes import STANDARD_CLASSES
from ditr.captures.laz_chunks import LASZIP, check_chunks
from ditr.captures.points import Columns
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["cloud_of", "is_compressed", "read", "read_cloud", "recognise"]

LIBRARIES = ("laspy", "lazrs")
_CHUNK = 1 << 17
_CUT = "The file is cut off or its header is wrong; copy or write it again"


def recognise(path: Path) -> str | None:
    """By its first bytes."""
    return "it begins with LASF" if first_bytes(path, 4) == b"LASF" else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The points of a LAS or LAZ file.

    Raises:
        InputError: as for :func:`read_cloud`, or for :func:`~ditr.captures.points.points_of`.
    """
    return cloud_scene(path, read_cloud(path))


def read_cloud(path: Path) -> Cloud:
    """What a LAS or LAZ file holds; what is compressed is read in a process of its own.

    Raises:
        InputError: laspy is not installed, or a damaged file.
    """
    require_library(path, "laspy", "las")
    if is_compressed(first_bytes(path, 105)):
        require_library(path, "lazrs", "las")
        return read_apart(path, "laz")
    return guarded(path, cloud_of)


def is_compressed(start: bytes) -> bool:
    """Whether a header, or its beginning, is that of a LAZ file."""
    return len(start) >= 105 and bool(start[104] & 0xC0)


def _point_count(start: bytes) -> tuple[int, int]:
    """Bytes of a point, and how many points a header promises."""
    point_size, points = struct.unpack_from("<HI", start, 105)
    if start[25] >= 4 and len(start) >= 255:
        points = max(points, struct.unpack_from("<Q", start, 247)[0])
    return point_size, points


def memory_of(path: Path) -> int:
    """Bytes of the points once they are not compressed, and of their coordinates, after the header's promises were
    compared with the table of chunks: how small LAZ makes them has no limit.

    Raises:
        InputError: a header that promises more than the file holds.
    """
    _checked_records(path)
    point_size, points = _point_count(first_bytes(path, 375))
    return points * (point_size + 24) * 5 // 4


def cloud_of(path: Path) -> Cloud:
    """Read the file here.

    Raises:
        InputError: a header that promises more than the file holds.
        Exception: whatever laspy raises on a damaged file.
    """
    laspy = import_module("laspy")
    records = _checked_records(path)
    with laspy.open(path, laz_backend=[laspy.LazBackend.Lazrs], read_evlrs=False) as reader:
        cloud = Cloud(_columns(path, reader))
        header = reader.header
        cloud.properties["las"] = {
            "version": f"{header.version.major}.{header.version.minor}",
            "point_format": int(header.point_format.id),
            "scales": header.scales.tolist(),
            "offsets": header.offsets.tolist(),
        }
    coordinate_system(cloud, records)
    if "classification" in cloud.columns:
        cloud.class_column = "classification"
        cloud.class_names = STANDARD_CLASSES | _own_classes(records)
    withheld = cloud.columns.get("withheld")
    if withheld is not None:
        cloud.warn("points", f"{np.count_nonzero(withheld)} are marked as withheld, and are read like the others")
    return cloud


def _columns(path: Path, reader: Any) -> Columns:
    """All dimensions that say something, filled piece by piece; what is 0 everywhere is left out.

    x, y and z are columns of one array.
    """
    total = int(reader.header.point_count)
    if total == 0:
        raise InputError(path, "the cloud has no points", "Give a cloud with at least one point")
    coord = np.empty((total, 3))
    columns: Columns = dict(zip("xyz", coord.T, strict=True))
    names = [name for name in reader.header.point_format.dimension_names if name not in "XYZ"]
    done = 0
    while done < total:
        points = reader.read_points(_CHUNK)
        if len(points) == 0:
            raise InputError(path, f"the header declares {total} points, but the file holds {done}", _CUT)
        rows = slice(done, done + len(points))
        coord[rows, 0], coord[rows, 1], coord[rows, 2] = points.x, points.y, points.z
        for name in names:
            values = np.asarray(points[name])
            inner = {name: values} if values.ndim == 1 else {f"{name}_{i}": v for i, v in enumerate(values.T)}
            for part, stored in inner.items():
                if part not in columns and stored.any():
                    columns[part] = np.zeros(total, np.uint8 if stored.dtype == bool else stored.dtype)
                if part in columns:
                    columns[part][rows] = stored
        done += len(points)
    for name in COLOR:
        if any(other in columns for other in COLOR):
            columns.setdefault(name, np.zeros(total, np.uint16))
    return columns


# ---- header and records, looked at before anything is allocated ---------------------------------------------------


def _checked_records(path: Path) -> dict[tuple[str, int], bytes]:
    """The variable length records by owner and number.

    Raises:
        InputError: counts or places that do not go with the size of the file.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(375)
        if len(start) < 227:
            raise InputError(path, f"its header is cut off after {len(start)} bytes", _CUT)
        minor = start[25]
        header_size, data_at, count = struct.unpack_from("<HII", start, 94)
        point_size, points = _point_count(start)
        compressed = is_compressed(start)
        if not 227 <= header_size <= data_at <= size or count * 54 > data_at - header_size or point_size == 0:
            raise InputError(path, "its header points beyond the end of the file", _CUT)
        if not compressed and points * point_size > size - data_at:
            fault = f"the header declares {points} points of {point_size} bytes, but {size - data_at} bytes follow"
            raise InputError(path, fault, _CUT)
        records: dict[tuple[str, int], bytes] = {}
        file.seek(header_size)
        for _ in range(count):
            _record(path, file, records, "<2x16sHH32x", data_at)
        if minor >= 4 and len(start) >= 247:
            place, extended = struct.unpack_from("<QI", start, 235)
            if extended and (place > size or extended * 60 > size - place):
                raise InputError(path, "its header declares records that the file does not have", _CUT)
            file.seek(place if extended else 0)
            for _ in range(extended):
                _record(path, file, records, "<2x16sHQ32x", size)
        if compressed and points:
            check_chunks(path, file, data_at, point_size, points, records.get(LASZIP, b""))
    return records


def _record(path: Path, file: Any, records: dict[tuple[str, int], bytes], layout: str, end: int) -> None:
    head = file.read(struct.calcsize(layout))
    if len(head) < struct.calcsize(layout):
        raise InputError(path, "a record of its header is cut off", _CUT)
    owner, number, length = struct.unpack(layout, head)
    if length > end - file.tell():
        raise InputError(path, f"a record of {length} bytes does not fit into the file", _CUT)
    key = (owner.split(b"\0")[0].decode("latin-1").strip(), number)
    records.setdefault(key, file.read(length))


def _own_classes(records: dict[tuple[str, int], bytes]) -> dict[int, str]:
    """The names that the file gives to classifications of its own."""
    table = records.get(("LASF_Spec", 0), b"")
    rows = [table[at : at + 16] for at in range(0, len(table) - 15, 16)]
    named = {row[0]: row[1:].split(b"\0")[0].decode("latin-1").strip() for row in rows}
    return {number: name for number, name in named.items() if name and number > 1}

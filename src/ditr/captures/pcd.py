"""PCD, the point clouds of PCL: ascii, binary and binary_compressed."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ditr.captures.clouds import Cloud, cloud_scene, first_bytes, require_library, without_missing
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "read_cloud", "recognise"]

_MEND = "Write the file again, or convert it with a tool that reads it"
_MAX_HEADER = 1 << 16
_LINES = ("VERSION", "FIELDS", "COLUMNS", "SIZE", "TYPE", "COUNT", "WIDTH", "HEIGHT", "VIEWPOINT", "POINTS", "DATA")
_TYPES = {f"{letter}{size}" for letter in "IU" for size in (1, 2, 4, 8)} | {"F4", "F8"}
_LZF_RATIO = 90
"""At most so many bytes come of one that is compressed by LZF."""
_NO_VIEWPOINT = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class _Header:
    """What the lines before the data say; ``fields`` are name, type code and how many numbers of it a point has."""

    fields: tuple[tuple[str, str, int], ...]
    points: int
    encoding: str
    viewpoint: tuple[float, ...]
    organised: tuple[int, int]

    @property
    def row(self) -> np.dtype[Any]:
        return np.dtype([(str(index), f"<{code}", (count,)) for index, (_, code, count) in enumerate(self.fields)])

    def columns(self, arrays: list[NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """(N,) each, of (N, count) per field; padding is left out."""
        columns: dict[str, NDArray[Any]] = {}
        for (name, _, count), values in zip(self.fields, arrays, strict=True):
            if name != "_":
                names = [name] if count == 1 else [f"{name}_{i}" for i in range(count)]
                columns |= {inner: np.ascontiguousarray(values[:, i]) for i, inner in enumerate(names)}
        return columns


def recognise(path: Path) -> str | None:
    """By its header."""
    known = re.match(rb"(\s*#[^\n]*\n)*\s*(# \.PCD|VERSION [.\d]+\s+(FIELDS|COLUMNS) )", first_bytes(path, 2048))
    return None if known is None else "it has a PCD header"


def read(path: Path, options: ReadOptions) -> Scene:
    """The points of a PCD file; those without coordinates, as organised clouds have them, are left out.

    Raises:
        InputError: as for :func:`read_cloud`, or for :func:`~ditr.captures.points.points_of`.
    """
    return cloud_scene(path, read_cloud(path))


def read_cloud(path: Path) -> Cloud:
    """What a PCD file holds of points that have coordinates.

    Raises:
        InputError: a header that is not a PCD's, or data that are shorter than it promises.
    """
    try:
        with path.open("rb") as file:
            header = _header(path, file)
            if header.points == 0:
                raise InputError(path, "the cloud has no points", "Give a cloud with at least one point")
            columns = header.columns(_data(path, file, header))
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error
    cloud = Cloud(columns)
    if header.viewpoint != _NO_VIEWPOINT:
        cloud.properties["viewpoint"] = list(header.viewpoint)
        cloud.say("points", "the file has a VIEWPOINT; like PCL, the reader does not move the points by it")
    if header.organised[1] > 1:
        cloud.properties["organised"] = list(header.organised)
    return without_missing(cloud)


def _header(path: Path, file: BinaryIO) -> _Header:
    start = file.read(_MAX_HEADER)
    end = re.search(rb"(?m)^DATA[ \t]+(ascii|binary|binary_compressed)[ \t]*\r?\n", start)
    if end is None:
        raise InputError(path, "the header does not end with a line DATA of a known encoding", _MEND)
    file.seek(end.end())
    said: dict[str, list[str]] = {}
    for line in start[: end.end()].decode("latin-1").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            if words[0] not in _LINES or words[0] in said:
                raise InputError(path, f"this line of the header is not understood: {line[:80]!r}", _MEND)
            said[words[0]] = words[1:]
    return _understood(path, said, end[1].decode())


def _understood(path: Path, said: dict[str, list[str]], encoding: str) -> _Header:
    names = said.get("FIELDS", said.get("COLUMNS", []))
    counts = said.get("COUNT", ["1"] * len(names))
    codes = [kind + size for kind, size in zip(said.get("TYPE", []), said.get("SIZE", []), strict=False)]
    given = [name for name in names if name != "_"]
    if not names or not len(names) == len(codes) == len(counts) or len(set(given)) < len(given):
        raise InputError(path, "FIELDS, SIZE, TYPE and COUNT in the header contradict each other", _MEND)
    numbers = [*counts, *said.get("WIDTH", []), *said.get("HEIGHT", ["1"]), *said.get("POINTS", [])]
    if not set(codes) <= _TYPES or not all(re.fullmatch(r"\d{1,12}", number) for number in numbers):
        raise InputError(path, "a value of TYPE, SIZE, COUNT, WIDTH, HEIGHT or POINTS in the header is invalid", _MEND)
    width, height = (int((said.get(line) or ["1"])[0]) for line in ("WIDTH", "HEIGHT"))
    points = int((said.get("POINTS") or [str(width * height)])[0])
    if ("WIDTH" in said and points != width * height) or not all(0 < int(count) < 1 << 16 for count in counts):
        raise InputError(path, f"the header declares {points} points but {width} x {height}, or counts of 0", _MEND)
    try:
        viewpoint = tuple(map(float, said.get("VIEWPOINT", _NO_VIEWPOINT)))
    except ValueError:
        raise InputError(path, "VIEWPOINT in the header is not a list of numbers", _MEND) from None
    fields = tuple((name, code.lower(), int(count)) for name, code, count in zip(names, codes, counts, strict=True))
    return _Header(fields, points, encoding, viewpoint, (width, height))


def _data(path: Path, file: BinaryIO, header: _Header) -> list[NDArray[Any]]:
    """(N, count) of each field."""
    held = path.stat().st_size - file.tell()
    row, points = header.row, header.points
    names = list(row.names or ())
    if header.encoding == "ascii":
        width = sum(count for _, _, count in header.fields)
        _require(path, header, held, 2 * width * points - 1)
        try:
            text = io.TextIOWrapper(file, encoding="latin-1")
            flat = np.dtype([(f"{name}_{i}", row[name].base) for name in names for i in range(row[name].shape[0])])
            rows = np.loadtxt(filter(str.strip, text), dtype=flat, comments=None, max_rows=points, ndmin=1)
        except (ValueError, OverflowError) as error:
            raise InputError(path, f"the points cannot be read ({str(error).rstrip('.')})", _MEND) from None
        if len(rows) < points:
            raise InputError(path, f"the header declares {points} points, but the file holds {len(rows)}", _MEND)
        inner = [[rows[f"{name}_{i}"] for i in range(row[name].shape[0])] for name in names]
        return [np.stack(columns, axis=1) for columns in inner]
    if header.encoding == "binary":
        _require(path, header, held, points * row.itemsize)
        records = np.fromfile(file, dtype=row, count=points)
        return [records[name] for name in names]
    return _decompressed(path, file, header, held)


def _decompressed(path: Path, file: BinaryIO, header: _Header, held: int) -> list[NDArray[Any]]:
    """Of data that are compressed with LZF, field by field."""
    require_library(path, "lzf", "pcd")
    size, full = (int.from_bytes(file.read(4), "little") for _ in range(2))
    row, points = header.row, header.points
    if full != points * row.itemsize or size > held - 8 or full > size * _LZF_RATIO:
        fault = f"{size} bytes that unpack to {full} do not match {points} points and {held} bytes of data"
        raise InputError(path, fault, _MEND)
    try:
        data = import_module("lzf").decompress(file.read(size), full)
    except ValueError:
        data = None
    if data is None or len(data) != full:
        raise InputError(path, "its compressed data are damaged", _MEND)
    arrays, start = [], 0
    for _, code, count in header.fields:
        arrays.append(np.frombuffer(data, f"<{code}", points * count, start).reshape(points, count))
        start += arrays[-1].nbytes
    return arrays


def _require(path: Path, header: _Header, held: int, needed: int) -> None:
    if held < needed:
        fault = f"the header declares {header.points} points (at least {needed} bytes), but {held} bytes follow"
        raise InputError(path, fault, "The file is cut off or its header is wrong; copy or write it again")

"""The chunks of compressed points in a LAZ file, whose sizes are compared with the file before they are decoded: a
decoder allocates what they promise."""

from __future__ import annotations

import struct
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from ditr.errors import InputError

__all__ = ["LASZIP", "check_chunks"]

LASZIP = ("laszip encoded", 22204)
"""Owner and number of the record that says how points are compressed."""
_RECORD, _ITEM = "<HHBBHIIqqH", "<HHH"
_WHOLE, _CHUNKED, _LAYERED = 1, 2, 3
"""Kinds of compression: without chunks, with, and with a layer for each part of a point in each chunk."""
_LAYERS = {10: 9, 11: 1, 12: 2, 13: 1}
"""Of the parts of a point by their type: coordinates and flags, colours, colours with infrared, wave packets. Further
bytes (14) have one each."""
_BYTES = 14
_DENSEST = 5000
"""Points for each byte of a file, which no file reaches: a coder's cheapest symbol costs a thousandth of a bit."""
_CUT = "The file is cut off or its header is wrong; copy or write it again"


def check_chunks(path: Path, file: BinaryIO, data_at: int, point_size: int, points: int, record: bytes) -> None:
    """Refuse compressed points that do not go with the size of their file.

    Args:
        path: for errors.
        file: opened; where it stands afterwards is not said.
        data_at: where the points begin.
        point_size: bytes of one that is not compressed.
        points: how many the header promises.
        record: that says how they are compressed.

    Raises:
        InputError: a promise of more than the file can hold.
        Exception: whatever lazrs raises on a damaged table.
    """
    kind, layers = _compression(path, record, point_size)
    size = path.stat().st_size
    if points > _DENSEST * size:
        raise InputError(path, f"its header declares {points} points, more than {size} bytes can hold", _CUT)
    if kind == _WHOLE:
        return
    chunks, end = _table(path, file, data_at, point_size, record)
    if sum(count for count, _ in chunks) < points or sum(length for _, length in chunks) > end - data_at - 8:
        raise InputError(path, "its table of compressed chunks contradicts its header", _CUT)
    place = data_at + 8
    for _, length in chunks if kind == _LAYERED else ():
        head = point_size + 4 + 4 * layers
        file.seek(place + point_size + 4)
        sizes = file.read(4 * layers)
        if length < head or len(sizes) < 4 * layers or sum(struct.unpack(f"<{layers}I", sizes)) > length - head:
            raise InputError(path, "a chunk of compressed points declares more points than it holds", _CUT)
        place += length


def _compression(path: Path, record: bytes, point_size: int) -> tuple[int, int]:
    """The kind, and the layers of a chunk."""
    fixed = struct.calcsize(_RECORD)
    if len(record) >= fixed:
        kind, *_, count = struct.unpack_from(_RECORD, record)
        if kind in (_WHOLE, _CHUNKED, _LAYERED) and len(record) >= fixed + count * struct.calcsize(_ITEM):
            items = list(struct.iter_unpack(_ITEM, record[fixed : fixed + count * struct.calcsize(_ITEM)]))
            if sum(size for _, size, _ in items) == point_size:
                return kind, sum(size if item == _BYTES else _LAYERS.get(item, 0) for item, size, _ in items)
    raise InputError(path, "its record of how points are compressed contradicts its header", _CUT)


def _table(path: Path, file: BinaryIO, data_at: int, point_size: int, record: bytes) -> tuple[list[Any], int]:
    """Points and bytes of each chunk, and where the chunks end.

    Each begins with a point that is not compressed, so that more chunks than fit are refused before they are listed.
    """
    size = path.stat().st_size
    file.seek(data_at)
    place = int.from_bytes(file.read(8), "little", signed=True)
    if place == -1:  # written to something that could not go back
        file.seek(max(0, size - 8))
        place = int.from_bytes(file.read(8), "little", signed=True)
    if data_at + 8 <= place <= size - 8:
        file.seek(place + 4)
        if int.from_bytes(file.read(4), "little") * point_size <= place - data_at:
            lazrs = import_module("lazrs")
            file.seek(data_at)
            return lazrs.read_chunk_table(file, lazrs.LazVlr(record)), place
    raise InputError(path, "its table of compressed chunks does not match the file size", _CUT)

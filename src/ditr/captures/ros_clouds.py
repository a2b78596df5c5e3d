"""Clouds of ROS (PointCloud2): rows of bytes, of which the fields are said beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ditr.captures.clouds import Cloud, without_missing
from ditr.errors import InputError

__all__ = ["cloud_of"]

_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_AGAIN = "The message is damaged; leave it out, or record it again"
_MOST_FIELDS, _MOST_PER_FIELD = 256, 4096


def cloud_of(where: str, message: Any) -> Cloud:
    """The points of a message, with all their fields; those that were not measured (NaN) are left out.

    Raises:
        InputError: sizes that do not fit together, or no x, y and z; ``where`` names the message.
    """
    rows, columns = int(message.height), int(message.width)
    step, row_step, size = int(message.point_step), int(message.row_step), len(message.data)
    if rows * columns == 0:
        raise InputError(where, "its cloud has no points", "Leave this sweep out")
    if columns * step > row_step or rows * row_step > size:
        fault = (
            f"{rows} rows of {columns} points of {step} bytes ({row_step} bytes per row) are more than its {size} bytes"
        )
        raise InputError(where, fault, _AGAIN)
    dtype = _layout(where, message, step)
    lines = np.frombuffer(message.data, np.uint8, rows * row_step).reshape(rows, row_step)[:, : columns * step]
    points = np.ascontiguousarray(lines).reshape(-1, step).view(dtype)[:, 0]
    cloud = Cloud({name: _native(points[name]) for name in dtype.names or ()})
    if missing := [axis for axis in "xyz" if axis not in cloud.columns]:
        raise InputError(where, f"its points have no field {missing[0]}", "Choose another topic with --topics")
    return without_missing(cloud)


def _layout(where: str, message: Any, step: int) -> np.dtype[Any]:
    """The fields that have a name and a known type, those of several numbers as columns of their own."""
    order = ">" if message.is_bigendian else "<"
    names, formats, offsets = [], [], []
    if not 0 < len(message.fields) <= _MOST_FIELDS:
        raise InputError(where, f"its points have {len(message.fields)} fields", _AGAIN)
    for field in message.fields:
        name, count, offset = str(field.name), max(1, int(field.count)), int(field.offset)
        kind = _TYPES.get(int(field.datatype))
        if not name or kind is None:
            continue
        width = int(kind[1])
        if count > _MOST_PER_FIELD or offset + count * width > step:
            fault = f"its field {name} of {count} x {width} bytes at {offset} is beyond the {step} bytes of a point"
            raise InputError(where, fault, _AGAIN)
        for number in range(count):
            called = name if count == 1 else f"{name}_{number}"
            if called not in names:
                names.append(called)
                formats.append(order + kind)
                offsets.append(offset + number * width)
    return np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": step})


def _native(values: Any) -> Any:
    """A column of its own, in the machine's order of bytes; the bits of packed colours stay as they are."""
    column = np.ascontiguousarray(values)
    return column if column.dtype.isnative else column.byteswap().view(column.dtype.newbyteorder())

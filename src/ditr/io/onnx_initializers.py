"""Read the weights stored in an ONNX file, without the onnx package and without running anything.

An ONNX file is one protobuf message. This reader walks its fields and keeps two things of the graph: the initializers
(the constant tensors, views into the given bytes) and the nodes' names and wiring, since exporters drop the names of
weights that they transpose and only the node that uses such a weight still tells which one it was. Attributes, types
and shapes of activations, and external data are not read. Field numbers are those of the ONNX specification
(``onnx.proto3``); wire types those of the protobuf encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["OnnxGraph", "OnnxNode", "read_onnx"]

_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8"}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class OnnxNode:
    """One operation: its name, its type (``MatMul``, ``Add``, …) and the names of the values it reads and writes."""

    name: str
    operation: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class OnnxGraph:
    """The constant tensors of a graph by name, and its operations in the order in which they run."""

    initializers: dict[str, NDArray[Any]]
    nodes: tuple[OnnxNode, ...]


def read_onnx(data: bytes | memoryview, where: str) -> OnnxGraph:
    """Read initializers and nodes of the ONNX file whose content is ``data``.

    The arrays are read-only views of ``data``; nothing is allocated for them.

    Raises:
        InputError: ``data`` is cut off or no ONNX file, or holds a tensor of a kind this reader does not know; the
            message names the file ``where``.
    """
    try:
        graphs = [value for number, value in _fields(memoryview(data)) if number == 7 and isinstance(value, memoryview)]
        if len(graphs) != 1:
            raise _Malformed(f"it holds {len(graphs)} graphs instead of one")
        initializers: dict[str, NDArray[Any]] = {}
        nodes: list[OnnxNode] = []
        for number, value in _fields(graphs[0]):
            if number == 1:
                nodes.append(_node(_message(value)))
            elif number == 5:
                name, tensor = _tensor(_message(value))
                initializers[name] = tensor
    except (_Malformed, UnicodeDecodeError) as fault:
        raise InputError(where, f"it is not a complete ONNX file: {fault}", "Get the file again") from fault
    return OnnxGraph(initializers, tuple(nodes))


class _Malformed(Exception):
    pass


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    """The integer at ``position`` (7 bits per byte, lowest first) and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise _Malformed("it ends within a number")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise _Malformed("a number is longer than 64 bits")


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: (number, integer) for varints, (number, bytes) for everything else."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == _BYTES:
            size, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
        else:
            raise _Malformed(f"a field has the unknown wire type {wire}")
        if position + size > len(data):
            raise _Malformed(f"a field of {size} bytes has only {len(data) - position} left")
        yield number, data[position : position + size]
        position += size


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Malformed("there is a number where bytes are expected")
    return value


def _text(value: int | memoryview) -> str:
    return str(_message(value), "utf-8")


def _node(data: memoryview) -> OnnxNode:
    """NodeProto: input 1, output 2, name 3, op_type 4."""
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: []}
    for number, value in _fields(data):
        if number in texts:
            texts[number].append(_text(value))
    return OnnxNode("".join(texts[3]), "".join(texts[4]), tuple(texts[1]), tuple(texts[2]))


def _tensor(data: memoryview) -> tuple[str, NDArray[Any]]:
    """TensorProto: dims 1, data_type 2, float_data 4, name 8, raw_data 9, data_location 14."""
    name, kind, shape, content = "", 0, [], memoryview(b"")
    for number, value in _fields(data):
        if number == 1:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number in (4, 9):  # packed little-endian floats look the same in both fields
            content = _message(value)
        elif number == 14 and value != 0:
            raise _Malformed(f"the values of {name or 'a tensor'} are in another file")
    if kind not in _DTYPES:
        raise _Malformed(f"{name or 'a tensor'} has the unsupported data type {kind}")
    dtype = np.dtype(_DTYPES[kind])
    if math.prod(shape) * dtype.itemsize != len(content):
        raise _Malformed(f"{name or 'a tensor'} of shape {tuple(shape)} has {len(content)} bytes")
    return name, np.frombuffer(content, dtype).reshape(shape)


def _packed(data: memoryview) -> list[int]:
    values, position = [], 0
    while position < len(data):
        value, position = _varint(data, position)
        values.append(value)
    return values

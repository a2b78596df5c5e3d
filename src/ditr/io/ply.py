"""PLY point clouds: reading and writing the properties of the vertices, ascii and binary.

Only the element ``vertex`` is of interest here, and for meshes of triangles the element ``face`` that follows it. Other
elements may stand beside it and are skipped.
"""

from __future__ import annotations

import io
import os
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.io.files import atomic_path

__all__ = ["read_comments", "read_ply", "read_ply_mesh", "write_ply"]

# The specification's names (1994), and the sized ones that most writers use today.
_DTYPE_OF = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
_NAME_OF = {
    "i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
    "f4": "float", "f8": "double",
}  # fmt: skip
_BYTE_ORDER = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}

_MAX_HEADER = 1 << 20
_WRITE_ROWS = 1 << 16
_MEND = "Write the file again, or convert it with a tool that reads it"


@dataclass
class _Element:
    """One ``element`` of the header; ``properties`` maps names to dtype codes, None for a list, whose two are in
    ``lists``."""

    name: str
    count: int
    properties: dict[str, str | None]
    lists: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def has_lists(self) -> bool:
        return None in self.properties.values()

    def row_dtype(self, byte_order: str) -> np.dtype[Any]:
        return np.dtype([(name, byte_order + str(code)) for name, code in self.properties.items()])


def read_ply(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read the vertex properties of a PLY file.

    Returns:
        The properties by name in the order of the file, each (N,) in the type that the file declares (native byte
        order). N may be 0.

    Raises:
        InputError: no such file, not a PLY file, a malformed header, vertices with list properties, or fewer bytes or
            rows than the header promises. Sizes are compared before memory is allocated for them.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            byte_order, elements = _read_header(file, path)
            before, vertex = _split_at_vertex(elements, path)
            if byte_order:
                return _read_binary(file, path, before, vertex, byte_order)
            return _read_ascii(file, path, before, vertex)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error


def read_comments(path: Path) -> tuple[str, ...]:
    """The comments of a PLY file's header, as ``write_ply`` takes them.

    Raises:
        InputError: no such file, or not a PLY file.
    """
    try:
        with path.open("rb") as file:
            lines = _header_lines(file, path)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error
    return tuple(line.strip()[8:] for line in lines if line.split()[:1] == ["comment"])


_CORNERS = ("vertex_indices", "vertex_index")


def read_ply_mesh(path: str | os.PathLike[str]) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Read the vertex properties of a binary PLY file, and its triangles.

    Returns:
        The properties as :func:`read_ply` gives them, and (M, 3) numbers of vertices.

    Raises:
        InputError: as for :func:`read_ply`; and an ascii file, no faces behind the vertices, a face of more or fewer
            than three corners, or a corner that is not a vertex.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            byte_order, elements = _read_header(file, path)
            before, vertex = _split_at_vertex(elements, path)
            after = elements[len(before) + 1 :]
            if not byte_order or not after or after[0].name != "face":
                raise InputError(path, "it is not a binary mesh with its faces after the vertices", _MEND)
            properties = _read_binary(file, path, before, vertex, byte_order)
            return properties, _read_faces(file, path, after[0], byte_order, vertex.count)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror or error})", "Check the path") from error


def _read_faces(file: BinaryIO, path: Path, face: _Element, byte_order: str, vertices: int) -> NDArray[np.int64]:
    """Triangles; the file stands at the first. All have one size then, so they are read as rows."""
    names = [name for name in face.lists if name in _CORNERS]
    if len(names) != 1 or len(face.lists) != 1 or "f" in face.lists[names[0]][1]:
        raise InputError(
            path, f"its faces have the lists {list(face.lists)}", "Save the faces with one list, 'vertex_indices'"
        )
    columns: list[Any] = []
    for name, code in face.properties.items():
        if code is not None:
            columns.append((name, byte_order + code))
        else:
            count, item = face.lists[name]
            columns += [("count of " + name, byte_order + count), (name, byte_order + item, (3,))]
    dtype = np.dtype(columns)
    start = file.tell()
    _check_promise(path, face, held=path.stat().st_size - start, needed=face.count * dtype.itemsize)
    rows = np.fromfile(file, dtype=dtype, count=face.count)
    other = np.flatnonzero(rows["count of " + names[0]] != 3)
    if len(other):
        fault = f"face {other[0]} has {rows['count of ' + names[0]][other[0]]} corners, not 3"
        raise InputError(path, fault, "Triangulate the mesh")
    corners = rows[names[0]].astype(np.int64)
    outside = np.flatnonzero(((corners < 0) | (corners >= vertices)).any(axis=1))
    if len(outside):
        fault = f"face {outside[0]} refers to the vertices {corners[outside[0]].tolist()}, but there are {vertices}"
        raise InputError(path, fault, _MEND)
    return corners


def _read_header(file: BinaryIO, path: Path) -> tuple[str, list[_Element]]:
    """Parse up to and including ``end_header``; the file then stands at the first byte of the data."""
    byte_order: str | None = None
    elements: list[_Element] = []
    for number, line in enumerate(_header_lines(file, path), start=2):
        words = line.split()
        if not words or words[0] in ("comment", "obj_info"):
            continue
        if words[0] == "format" and len(words) == 3 and words[1] in _BYTE_ORDER and byte_order is None:
            byte_order = _BYTE_ORDER[words[1]]
        elif words[0] == "element" and len(words) == 3 and re.fullmatch(r"[0-9]{1,18}", words[2]):
            elements.append(_Element(words[1], int(words[2]), {}))
        elif words[0] == "property" and elements and (parsed := _parse_property(words)) is not None:
            name, code = parsed
            if name in elements[-1].properties:
                raise InputError(path, f"property '{name}' of '{elements[-1].name}' is declared twice", _MEND)
            elements[-1].properties[name] = code
            if code is None:
                elements[-1].lists[name] = (_DTYPE_OF[words[2]], _DTYPE_OF[words[3]])
        else:
            raise InputError(path, f"line {number} of the header is not understood: {line[:80]!r}", _MEND)
    if byte_order is None:
        raise InputError(path, "the header does not state the format", "Add a line such as 'format ascii 1.0'")
    return byte_order, elements


def _header_lines(file: BinaryIO, path: Path) -> list[str]:
    """The header's lines between the first one and ``end_header``; each ends with LF, CR LF or CR, as it likes."""
    start = file.read(_MAX_HEADER)
    if not re.match(rb"ply[ \t]*[\r\n]", start):
        raise InputError(path, "this is not a PLY file: its first line is not 'ply'", _MEND)
    end = re.search(rb"[\r\n][ \t]*end_header[ \t]*(\r\n?|\n)", start)
    if end is None:
        raise InputError(
            path, "the header does not end ('end_header' is missing)", "The file is cut off; copy it again"
        )
    # Where all lines end with CR alone, an LF behind the last of them is the first byte of the data.
    only_cr = b"\n" not in start[: end.start(1)]
    file.seek(end.start(1) + 1 if only_cr and end[1] == b"\r\n" else end.end())
    return [line.strip() for line in re.split("\r\n|\r|\n", start[: end.start()].decode("latin-1"))[1:]]


def _parse_property(words: list[str]) -> tuple[str, str | None] | None:
    if len(words) == 3 and words[1] in _DTYPE_OF:
        return words[2], _DTYPE_OF[words[1]]
    if len(words) == 5 and words[1] == "list" and words[2] in _DTYPE_OF and words[3] in _DTYPE_OF:
        return words[4], None
    return None


def _split_at_vertex(elements: list[_Element], path: Path) -> tuple[list[_Element], _Element]:
    """The elements stored before the vertices, and the vertices."""
    places = [i for i, element in enumerate(elements) if element.name == "vertex"]
    if len(places) != 1:
        raise InputError(
            path, f"the header declares {len(places)} elements 'vertex'", "One is needed: " + _MEND.lower()
        )
    vertex = elements[places[0]]
    if not vertex.properties:
        raise InputError(path, "the element 'vertex' has no properties", _MEND)
    if vertex.has_lists:
        lists = [name for name, code in vertex.properties.items() if code is None]
        raise InputError(path, f"the vertex property '{lists[0]}' is a list", "Store plain numbers per vertex")
    return elements[: places[0]], vertex


def _read_binary(
    file: BinaryIO, path: Path, before: list[_Element], vertex: _Element, byte_order: str
) -> dict[str, NDArray[Any]]:
    start = file.tell()
    for element in before:
        if element.has_lists and element.count:
            raise InputError(
                path,
                f"the element '{element.name}' with list properties is stored before the vertices",
                "Write the vertices first, as most tools do, or save as ascii",
            )
        if not element.has_lists:
            start += element.count * element.row_dtype(byte_order).itemsize
    dtype = vertex.row_dtype(byte_order)
    _check_promise(path, vertex, held=max(path.stat().st_size - start, 0), needed=vertex.count * dtype.itemsize)
    file.seek(start)
    rows = np.fromfile(file, dtype=dtype, count=vertex.count)
    return {name: rows[name].astype(str(code)) for name, code in vertex.properties.items()}


def _read_ascii(file: BinaryIO, path: Path, before: list[_Element], vertex: _Element) -> dict[str, NDArray[Any]]:
    dtype = vertex.row_dtype("")
    # A row takes at least one digit and one separator per property; the last newline may be missing.
    rows_of = [(max(len(element.properties), 1), element.count) for element in (*before, vertex)]
    needed = max(sum(2 * width * count for width, count in rows_of) - 1, 0)
    _check_promise(path, vertex, held=path.stat().st_size - file.tell(), needed=needed)
    if vertex.count == 0:
        return {name: np.empty(0, dtype=dtype[name]) for name in vertex.properties}
    text = io.TextIOWrapper(file, encoding="latin-1")
    try:
        lines = filter(str.strip, text)
        deque(islice(lines, sum(element.count for element in before)), maxlen=0)
        rows = np.loadtxt(lines, dtype=dtype, comments=None, max_rows=vertex.count, ndmin=1)
    except (ValueError, OverflowError) as error:
        raise InputError(path, f"the vertices cannot be read ({error})", _MEND) from error
    finally:
        text.detach()
    if len(rows) < vertex.count:
        raise InputError(
            path,
            f"the header declares {vertex.count} vertices, but the file holds {len(rows)}",
            "The file is cut off; copy or write it again",
        )
    return {name: np.ascontiguousarray(rows[name]) for name in vertex.properties}


def _check_promise(path: Path, element: _Element, held: int, needed: int) -> None:
    if held < needed:
        what = "vertices" if element.name == "vertex" else "faces"
        raise InputError(
            path,
            f"the header declares {element.count} {what} (at least {needed} bytes), but {held} bytes follow",
            "The file is cut off or its header is wrong; copy or write it again",
        )


def write_ply(
    path: str | os.PathLike[str],
    properties: Mapping[str, NDArray[Any]],
    *,
    binary: bool = True,
    comments: Iterable[str] = (),
    faces: NDArray[np.int32] | None = None,
) -> None:
    """Write vertex properties as a PLY file, whole or not at all; ``read_ply`` gives back the same values and types.

    Args:
        path: the file to make or replace.
        properties: (N,) arrays by name, in the order in which they are written; 8-, 16- and 32-bit integers, float32
            and float64.
        binary: little-endian binary, else ascii with as many digits as each value needs.
        comments: lines for the header.
        faces: (F, 3) vertices of triangles, which :func:`read_ply_mesh` gives back; in a binary file alone.

    Raises:
        InputError: no properties, arrays of different lengths, a name or comment that a header cannot hold, or a type
            that PLY does not have.
    """
    path = Path(path)
    comments = tuple(comments)
    count = _check_properties(path, properties, comments)
    header = ["ply", f"format {'binary_little_endian' if binary else 'ascii'} 1.0"]
    header += [f"comment {text}" for text in comments]
    header.append(f"element vertex {count}")
    header += [f"property {_NAME_OF[_code(array)]} {name}" for name, array in properties.items()]
    if faces is not None:
        header += [f"element face {len(faces)}", "property list uchar int vertex_indices"]
    header.append("end_header")
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write("".join(line + "\n" for line in header).encode("ascii"))
        for start in range(0, count, _WRITE_ROWS):
            part = {name: array[start : start + _WRITE_ROWS] for name, array in properties.items()}
            _write_rows(file, part, binary)
        if faces is not None:
            rows = np.empty(len(faces), dtype=[("count", "u1"), ("vertex", "<i4", 3)])
            rows["count"], rows["vertex"] = 3, faces
            file.write(rows.tobytes())


def _check_properties(path: Path, properties: Mapping[str, NDArray[Any]], comments: tuple[str, ...]) -> int:
    """The common length of all properties."""
    if not properties:
        raise InputError(path, "there are no properties to write", "Give at least one property")
    for name, array in properties.items():
        if not re.fullmatch(r"[!-~]+", name):
            raise InputError(
                path, f"the property name {name!r} cannot be written to a header", "Use ASCII without spaces"
            )
        if array.ndim != 1:
            raise InputError(path, f"property '{name}' has shape {array.shape}", "Give one number per vertex")
        if _code(array) not in _NAME_OF:
            raise InputError(
                path,
                f"property '{name}' has the type {array.dtype}, which PLY does not have",
                "Use an integer of at most 32 bits, float32 or float64",
            )
    lengths = {name: len(array) for name, array in properties.items()}
    if len(set(lengths.values())) > 1:
        raise InputError(path, f"the properties have different lengths: {lengths}", "Give one number per vertex")
    for text in comments:
        if not re.fullmatch(r"[ -~]*", text):
            raise InputError(path, f"the comment {text[:80]!r} cannot be written to a header", "Use one line of ASCII")
    return next(iter(lengths.values()))


def _code(array: NDArray[Any]) -> str:
    return array.dtype.str[1:]


def _write_rows(file: IO[bytes], columns: Mapping[str, NDArray[Any]], binary: bool) -> None:
    if binary:
        dtype = np.dtype([(name, "<" + _code(array)) for name, array in columns.items()])
        rows = np.empty(len(next(iter(columns.values()))), dtype=dtype)
        for name, array in columns.items():
            rows[name] = array
        file.write(rows.tobytes())
        return
    # numpy prints the shortest decimals that read back as the same float32 or float64.
    texts = [array.astype(str).tolist() for array in columns.values()]
    file.write("".join(" ".join(row) + "\n" for row in zip(*texts, strict=True)).encode("ascii"))

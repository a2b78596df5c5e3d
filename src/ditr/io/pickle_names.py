"""The names that a pickle may use, each with our own code that builds the value; nothing named in a file is called."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAMAGED",
    "HOSTILE",
    "NAMES",
    "RESAVE",
    "RUNS_CODE",
    "Fault",
    "Name",
    "Placeholder",
    "Slot",
    "Vocabulary",
    "is_exactly",
    "sizes",
]

DAMAGED = "Download or copy the file again"
HOSTILE = (
    "No usual program writes such a file; do not open it with pickle or torch.load either, and get it from another "
    "source"
)
RESAVE = "Load it where it was written, and save it again with torch.save of a current torch"
RUNS_CODE = "Do not open it with pickle or torch.load unless you trust its author; ask for a file of plain data"

MAX_DIMENSIONS = 32
# More than any memory, and small enough that products of two such numbers fit into 64 bits.
MAX_ELEMENTS = 1 << 48


class Fault(Exception):
    """Why a pickle is refused; :func:`ditr.io.pickle_reader.read_pickle` adds the file and the place."""

    def __init__(self, fault: str, remedy: str = DAMAGED) -> None:
        super().__init__(fault)
        self.fault, self.remedy = fault, remedy


@dataclass(frozen=True, eq=False)
class Name:
    """A name of the table. ``make`` builds its value from the arguments; None: the name can only be passed on.

    One with ``is_stranger`` may also stay as a value, where nobody reads it.
    """

    text: str
    make: Callable[[tuple[Any, ...]], Any] | None = None
    is_stranger: bool = False


class Slot:
    """An object between its creation and the instruction that fills it; it never leaves the machine."""

    def __init__(self, fill: Callable[[Any], Any]) -> None:
        self.fill = fill
        self.memo_places: list[int] = []


@dataclass(frozen=True, eq=False)
class Placeholder:
    """What stands for an object of a known class that nobody needs: its name, and the values that it was written with.

    Nothing is imported, called or set for it.
    """

    name: str
    parts: list[Any]

    @property
    def has_items(self) -> bool:
        """Whether it may be filled like a dictionary."""
        return self.name == "collections.defaultdict"


def _no_stranger(module: str, name: str) -> Name | None:
    return None


@dataclass(frozen=True)
class Vocabulary:
    """What a kind of pickle may hold beyond plain values and NumPy arrays.

    Attributes:
        names: by (module, name).
        leaf: a type of finished values, which has ``nbytes``; None for no such type.
        most_bytes: how much all leaves of that type together may occupy, shared ones counted every time.
        persistent: what a persistent id stands for.
        stranger: the name of a class whose objects become placeholders, by (module, name); None for no such class.
    """

    names: Mapping[tuple[str, str], Name] = field(default_factory=dict)
    leaf: type | None = None
    most_bytes: int = 0
    persistent: Callable[[Any], Any] | None = None
    stranger: Callable[[str, str], Name | None] = _no_stranger


def sizes(value: Any, what: str) -> tuple[int, ...]:
    """A shape or strides: a tuple of few integers that are not negative and not absurd together.

    Raises:
        Fault: anything else.
    """
    if type(value) is not tuple or len(value) > MAX_DIMENSIONS:
        raise Fault(f"{what} is not a tuple of at most {MAX_DIMENSIONS} integers", HOSTILE)
    if any(type(size) is not int or size < 0 for size in value):
        raise Fault(f"{what} has entries that are not integers from 0", HOSTILE)
    if math.prod(max(size, 1) for size in value) > MAX_ELEMENTS:
        raise Fault(f"{what} {value} is larger than any memory", HOSTILE)
    return value


def is_exactly(value: Any, expected: str | bytes | int) -> bool:
    """Equality that never asks a NumPy array, whose answer would be an array."""
    return type(value) is type(expected) and bool(value == expected)


def _ordered_dict(arguments: tuple[Any, ...]) -> OrderedDict[Any, Any]:
    if arguments:
        raise Fault("an OrderedDict is made from values", HOSTILE)
    return OrderedDict()


def _encode(arguments: tuple[Any, ...]) -> bytes:
    # How protocols 0 to 2 write bytes.
    if len(arguments) != 2 or type(arguments[0]) is not str or not is_exactly(arguments[1], "latin1"):
        raise Fault("bytes are stored in an unknown way", HOSTILE)
    try:
        return arguments[0].encode("latin1")
    except UnicodeEncodeError:
        raise Fault("bytes are stored with invalid characters") from None


def _no_bytes(arguments: tuple[Any, ...]) -> bytes:
    # How protocols 0 to 2 write b"". bytes(n) would be n bytes long.
    if arguments:
        raise Fault("bytes are made from a value", HOSTILE)
    return b""


# NumPy.

_NUMBERS = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})


def _dtype(arguments: tuple[Any, ...]) -> Slot:
    code = arguments[0] if arguments else None
    if len(arguments) != 3 or type(code) is not str or any(type(flag) not in (bool, int) for flag in arguments[1:]):
        raise Fault("a NumPy dtype is stored in an unknown way", HOSTILE)
    if code not in _NUMBERS and re.fullmatch(r"[US][1-9]\d{0,6}", code) is None:
        kinds = {"O": "Python objects", "V": "structures", "M": "dates", "m": "spans of time", "c": "complex numbers"}
        kind = kinds.get(code[:1], f"dtype {code[:20]!r}")
        raise Fault(f"it holds a NumPy array of {kind}", "Save arrays of numbers or texts")

    def fill(state: Any) -> np.dtype[Any]:
        # (version, byte order, subdtype, names, fields, item size, alignment, flags); the size is part of the code.
        if type(state) is not tuple or len(state) != 8 or type(state[0]) is not int or state[0] not in (3, 4):
            raise Fault("a NumPy dtype is stored in an unknown way", HOSTILE)
        if any(part is not None for part in state[2:5]):
            raise Fault("it holds a NumPy array of structures", "Save arrays of numbers or texts")
        if type(state[1]) is not str or state[1] not in ("<", ">", "=", "|"):
            raise Fault("a NumPy dtype has an unknown byte order", HOSTILE)
        kind = np.dtype(code)
        if state[1] in "<>":
            kind = kind.newbyteorder("<" if state[1] == "<" else ">")
        if any(type(part) is not int for part in state[5:7]) or state[5] not in (-1, kind.itemsize):
            raise Fault("a NumPy dtype has an item size that does not match its name", HOSTILE)
        return kind

    return Slot(fill)


def _array(raw: Any, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    """A flat array without a copy, so that many arrays of the same bytes take no further memory."""
    if not isinstance(dtype, np.dtype) or type(raw) is not bytes:
        raise Fault("a NumPy array has no dtype or no bytes", HOSTILE)
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise Fault(f"a NumPy array of shape {shape} and dtype {dtype} has {len(raw)} bytes")
    flat = np.frombuffer(raw, dtype=dtype)
    if dtype.kind == "b" and len(flat) and flat.view(np.uint8).max() > 1:
        raise Fault("a NumPy array of bool holds bytes other than 0 and 1")
    if (
        dtype.kind == "U"
        and len(flat)
        and flat.view(np.dtype(np.uint32).newbyteorder(dtype.byteorder)).max() > 0x10FFFF
    ):
        raise Fault("a NumPy array of texts holds invalid characters")
    return flat


def _scalar(arguments: tuple[Any, ...]) -> Any:
    if len(arguments) != 2:
        raise Fault("a NumPy scalar is stored in an unknown way", HOSTILE)
    return _array(arguments[1], arguments[0], (1,))[0]


def _reconstruct(arguments: tuple[Any, ...]) -> Slot:
    if len(arguments) != 3 or arguments[0] is not _NDARRAY or not is_exactly(arguments[2], b"b"):
        raise Fault("a NumPy array is stored in an unknown way", HOSTILE)
    if sizes(arguments[1], "a NumPy array's first shape") != (0,):
        raise Fault("a NumPy array is stored in an unknown way", HOSTILE)

    def fill(state: Any) -> NDArray[Any]:
        if type(state) is not tuple or len(state) != 5 or not is_exactly(state[0], 1) or type(state[3]) is not bool:
            raise Fault("a NumPy array is stored in an unknown way", HOSTILE)
        shape = sizes(state[1], "a NumPy array's shape")
        return _array(state[4], state[2], shape).reshape(shape, order="F" if state[3] else "C")

    return Slot(fill)


def _from_buffer(arguments: tuple[Any, ...]) -> NDArray[Any]:
    if len(arguments) != 4 or type(arguments[3]) is not str or arguments[3] not in ("C", "F"):
        raise Fault("a NumPy array is stored in an unknown way", HOSTILE)
    shape = sizes(arguments[2], "a NumPy array's shape")
    return _array(arguments[0], arguments[1], shape).reshape(shape, order="F" if arguments[3] == "F" else "C")


_NDARRAY = Name("numpy.ndarray")

NAMES = {
    ("collections", "OrderedDict"): Name("collections.OrderedDict", _ordered_dict),
    ("_codecs", "encode"): Name("_codecs.encode", _encode),
    ("builtins", "bytes"): Name("builtins.bytes", _no_bytes),
    ("__builtin__", "bytes"): Name("builtins.bytes", _no_bytes),
    ("numpy", "dtype"): Name("numpy.dtype", _dtype),
    ("numpy", "ndarray"): _NDARRAY,
    # NumPy 1 and NumPy 2.
    **{
        (f"numpy.{core}.{module}", name): Name(f"numpy.{name}", make)
        for core in ("core", "_core")
        for module, name, make in (
            ("multiarray", "scalar", _scalar),
            ("multiarray", "_reconstruct", _reconstruct),
            ("multiarray", "_frombuffer", _from_buffer),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}

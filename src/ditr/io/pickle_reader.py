"""The only parser of pickle files here: it reads them as data and runs nothing that they name.

A pickle is a program for a stack machine, and one of its instructions calls any function of any installed package.
This machine knows the instructions that build plain values. A name is looked up in a short table of ours, and what
stands there is our own code that builds the value from its parts; any other name is refused before anything happens.

Every resource is bounded by the size of the file: a declared length has to be there before it is read, containers are
charged as they are made, and the finished value is measured as a tree, so that sharing cannot make a small file large.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from ditr.errors import InputError
from ditr.io.files import read_bytes
from ditr.io.pickle_machine import PickleMachine
from ditr.io.pickle_names import HOSTILE, Fault, Name, Placeholder, Vocabulary
from ditr.io.stored_tensor import StoredTensor

__all__ = ["PlainValue", "Vocabulary", "read_pickle", "read_pickle_file"]

PlainValue: TypeAlias = (
    "bool | int | float | str | bytes | tuple[PlainValue, ...] | list[PlainValue]"
    " | dict[bool | int | str | bytes | None, PlainValue] | np.generic | np.ndarray[Any, Any] | StoredTensor"
    " | Placeholder | Name | None"
)

MAX_DEPTH = 100
# What a loaded tensor occupies beyond its numbers, so that a million references to a small one count too.
LEAF_OVERHEAD = 256
NODES_PER_BYTE, FREE_NODES = 16, 1_000_000
CONTAINERS = frozenset({list, tuple, dict, OrderedDict, Placeholder})
SCALARS = frozenset({type(None), bool, int, float, str, bytes})


def read_pickle(data: bytes, where: str | Path, vocabulary: Vocabulary | None = None) -> PlainValue:
    """The value of a pickle of protocol 0 to 5, as long as it is made of plain data.

    NumPy arrays come out read-only, bytearrays as bytes. The attributes of an OrderedDict (torch keeps version numbers
    there) are left out. Keys of dictionaries are None, bool, int of 64 bits, str or bytes.

    Args:
        data: the whole pickle.
        where: its file, for errors.
        vocabulary: further names; see :mod:`ditr.io.torch_file`.

    Raises:
        InputError: the pickle wants anything but the names of the table, is damaged, or would need more memory than a
            file of its size accounts for.
    """
    machine = PickleMachine(data, vocabulary or Vocabulary())
    try:
        value = machine.run()
        _measure(value, len(data), machine.vocabulary)
    except Fault as fault:
        raise InputError(where, f"{fault.fault} (byte {machine.position} of the pickle)", fault.remedy) from None
    result: PlainValue = value
    return result


def read_pickle_file(path: str | Path) -> PlainValue:
    """The value of a plain pickle file; see :func:`read_pickle`."""
    data = read_bytes(Path(path))
    if data.startswith(b"PK\x03\x04"):
        raise InputError(path, "this is an archive of torch.save, not a plain pickle", "Name the .pkl file")
    return read_pickle(data, path)


def _measure(root: Any, size: int, vocabulary: Vocabulary) -> None:
    """Refuse a value that is circular, too deep, or far larger as a tree than its file of ``size`` bytes.

    Whoever walks through the value or loads its tensors meets a shared part as often as it occurs. Every part is
    measured once: (values in it, depth, bytes of tensors).
    """
    measured: dict[int, tuple[int, int, int]] = {}
    most_nodes = FREE_NODES + NODES_PER_BYTE * size
    too_deep = Fault(f"its values are nested more than {MAX_DEPTH} deep", HOSTILE)
    open_parts: set[int] = set()
    work: list[tuple[Any, bool]] = [(root, False)]
    while work:
        value, children_done = work.pop()
        key = id(value)
        if key in measured:
            continue
        if type(value) not in CONTAINERS:
            measured[key] = (1, 0, _leaf_bytes(value, vocabulary))
            continue
        children = _children(value)
        if not children_done:
            if key in open_parts:
                raise Fault("a list or dictionary contains itself", HOSTILE)
            open_parts.add(key)
            if len(open_parts) > MAX_DEPTH:
                raise too_deep
            work.append((value, True))
            work.extend((child, False) for child in children if type(child) not in SCALARS)
            continue
        nodes, depth, nbytes = 1, 0, 0
        for child in children:
            if type(child) in SCALARS:
                nodes += 1
                continue
            more, below, further = measured[id(child)]
            nodes, depth, nbytes = nodes + more, max(depth, below + 1), nbytes + further
        if depth > MAX_DEPTH:
            raise too_deep
        if nodes > most_nodes or nbytes > vocabulary.most_bytes:
            raise Fault("its values repeat each other to far more than the size of the file", HOSTILE)
        open_parts.discard(key)
        measured[key] = (nodes, depth, nbytes)


def _children(value: Any) -> Collection[Any]:
    if type(value) is Placeholder:
        return value.parts
    return value.values() if isinstance(value, dict) else value


def _leaf_bytes(value: Any, vocabulary: Vocabulary) -> int:
    kind = type(value)  # compared by identity: subclasses are nothing that this reader makes
    if kind is vocabulary.leaf:
        nbytes: int = value.nbytes + LEAF_OVERHEAD
        if nbytes > vocabulary.most_bytes:
            raise Fault("a tensor repeats its values to far more than the size of the file", HOSTILE)
        return nbytes
    if kind in SCALARS or kind is np.ndarray or isinstance(value, np.generic):
        return 0
    if kind is Name and value.is_stranger:
        return 0
    shown = f"the name {value.text}" if kind is Name else "an unfinished object"
    raise Fault(f"its value holds {shown}, which is not data", HOSTILE)

"""Files of torch.save: a zip archive with one pickle, and one entry for each storage of tensors.

The pickle is read as data (see :mod:`ditr.io.pickle_reader`). Tensors come out as places in the file, and only those
that are loaded are read: an optimizer's state, twice as large as the weights, stays on disk.
"""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any, Final

import torch

from ditr.errors import InputError
from ditr.io.files import read_bytes
from ditr.io.pickle_names import DAMAGED, HOSTILE, RESAVE, Fault, Name, Vocabulary, is_exactly, sizes
from ditr.io.pickle_reader import PlainValue, read_pickle
from ditr.io.pickle_strangers import ATTRIBUTES, stranger
from ditr.io.stored_tensor import Storage, StoredTensor, span
from ditr.io.stored_zip import Entry, content, read_directory

__all__ = ["read_torch_file"]

DTYPES: Final = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
STORAGES: Final = {Name(f"torch.{name}"): dtype for name, dtype in DTYPES.items()}

# The first bytes of a file of torch.save before version 1.6: a pickle of its magic number.
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
# A tied weight is saved as two tensors of one storage; all tensors together may be this many times the file.
TENSORS_PER_BYTE, FREE_TENSOR_BYTES = 8, 1 << 20


def read_torch_file(path: str | Path) -> PlainValue:
    """What torch.save wrote, with a :class:`StoredTensor` for every tensor. Nothing that the file names is run.

    Objects that training code leaves beside the weights become :class:`~ditr.io.pickle_names.Placeholder`, and their
    classes :class:`~ditr.io.pickle_names.Name`; see :mod:`ditr.io.pickle_strangers`.

    Raises:
        InputError: no such file, none of torch.save (or of one older than 1.6, or TorchScript), a damaged archive, or
            a pickle of anything but plain data, NumPy arrays and tensors.
    """
    where = Path(path)
    _recognize(where, read_bytes(where, most=max(len(LEGACY), 4)))
    try:
        size = where.stat().st_size
        with where.open("rb") as file:
            entries = read_directory(file, size)
            root = _root(entries)
            order = content(file, entries[f"{root}/byteorder"]) if f"{root}/byteorder" in entries else b"little"
            if order.decode("latin1") != sys.byteorder:
                raise Fault("its byte order differs from this machine's", RESAVE)
            data = content(file, entries[f"{root}/data.pkl"])
    except Fault as fault:
        raise InputError(where, fault.fault, fault.remedy) from None
    except OSError as error:
        raise InputError(where, f"the file cannot be read ({error.strerror})", "Restore the file") from None
    return read_pickle(data, where, _vocabulary(where, size, root, entries))


def _recognize(path: Path, head: bytes) -> None:
    if head.startswith(b"PK\x03\x04"):
        return
    if not head:
        raise InputError(path, "the file is empty", DAMAGED)
    if head.startswith(LEGACY):
        raise InputError(path, "this is a file of torch.save before version 1.6", RESAVE)
    if head[0] == 0x80:
        raise InputError(path, "this is a plain pickle, not a file of torch.save", "Name a checkpoint (.pth, .pt)")
    raise InputError(path, "this is not a file of torch.save", "Name a checkpoint (.pth, .pt)")


def _root(entries: dict[str, Entry]) -> str:
    """The archive's one folder.

    Raises:
        Fault: no archive of torch.save.
    """
    root = next(iter(entries)).split("/")[0]
    if any(not name.startswith(f"{root}/") for name in entries):
        raise Fault("the archive's entries are not in one folder", "Name a checkpoint of torch.save")
    if f"{root}/constants.pkl" in entries or any(name.startswith(f"{root}/code/") for name in entries):
        raise Fault(
            "this is a TorchScript program, which contains code",
            "If you trust it, load it with torch.jit.load and save its state_dict() with torch.save",
        )
    if f"{root}/data.pkl" not in entries:
        raise Fault("the archive has no data.pkl", "Name a checkpoint of torch.save")
    return root


def _vocabulary(path: Path, size: int, root: str, entries: dict[str, Entry]) -> Vocabulary:
    """The names of tensors, and what refers to their storages."""
    intact: set[str] = set()

    def storage(reference: Any) -> Storage:
        if type(reference) is not tuple or len(reference) != 5 or not is_exactly(reference[0], "storage"):
            raise Fault("it refers to something that is not a storage", HOSTILE)
        _, kind, key, location, count = reference
        if type(kind) is not Name or kind not in STORAGES:
            raise Fault("a storage has an unknown type", HOSTILE)
        if type(key) is not str or re.fullmatch(r"[0-9]{1,9}", key) is None:
            raise Fault("a storage's key is not a number", HOSTILE)
        if type(location) is not str or type(count) is not int:
            raise Fault("a storage is stored in an unknown way", HOSTILE)
        entry = entries.get(f"{root}/data/{key}")
        if entry is None:
            raise Fault(f"the storage {key} is missing in the archive")
        dtype = STORAGES[kind]
        if count * dtype.itemsize != entry.size:
            raise Fault(f"the storage {key} has {entry.size} bytes, not {count} numbers of {dtype}")
        return Storage(path, entry, dtype, intact)

    names = dict(ATTRIBUTES) | {("torch", kind.text.removeprefix("torch.")): kind for kind in STORAGES}
    names["torch._utils", "_rebuild_tensor_v2"] = Name("torch._utils._rebuild_tensor_v2", _tensor)
    names["torch._utils", "_rebuild_parameter"] = Name("torch._utils._rebuild_parameter", _parameter)
    return Vocabulary(names, StoredTensor, FREE_TENSOR_BYTES + TENSORS_PER_BYTE * size, storage, stranger)


def _tensor(arguments: tuple[Any, ...]) -> StoredTensor:
    # (storage, offset, shape, stride, requires_grad, hooks); flags follow for negated views of complex numbers only.
    if len(arguments) != 6 or type(arguments[0]) is not Storage:
        raise Fault("a tensor has no storage", HOSTILE)
    storage, offset, shape, stride, gradient, hooks = arguments
    if type(gradient) is not bool or type(hooks) is not OrderedDict or hooks:
        raise Fault("a tensor is stored in an unknown way", HOSTILE)
    shape, stride = sizes(shape, "a tensor's shape"), _steps(stride, "a tensor's stride")
    if type(offset) is not int or offset < 0 or len(shape) != len(stride):
        raise Fault("a tensor's offset or stride is impossible", HOSTILE)
    end = offset if 0 in shape else offset + span(shape, stride)
    if end > storage.count:
        raise Fault(f"a tensor of shape {shape} reaches beyond its storage {storage.entry.name}", HOSTILE)
    return StoredTensor(shape, stride, storage.dtype, offset, storage)


def _steps(value: Any, what: str) -> tuple[int, ...]:
    # Their product means nothing: a stride of a large tensor is as large as a part of it.
    if type(value) is not tuple or any(sizes((step,), what) is None for step in value):
        raise Fault(f"{what} is not a tuple of integers", HOSTILE)
    return value


def _parameter(arguments: tuple[Any, ...]) -> StoredTensor:
    if len(arguments) != 3 or type(arguments[0]) is not StoredTensor or type(arguments[1]) is not bool:
        raise Fault("a parameter has no tensor", HOSTILE)
    if type(arguments[2]) is not OrderedDict or arguments[2]:
        raise Fault("a parameter has hooks, which are code", HOSTILE)
    tensor: StoredTensor = arguments[0]
    return tensor

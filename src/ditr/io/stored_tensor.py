"""Tensors of a torch file that are still in the file: where their numbers lie, read when they are asked for."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ditr.errors import InputError
from ditr.io.pickle_names import DAMAGED
from ditr.io.stored_zip import Entry, checksum

__all__ = ["StoredTensor"]


@dataclass(frozen=True, eq=False)
class Storage:
    """An entry that holds numbers; ``intact`` collects the names of entries whose checksum has been seen to hold."""

    path: Path
    entry: Entry
    dtype: torch.dtype
    intact: set[str]

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return self.entry.size // self.dtype.itemsize

    def read(self, first: int, count: int) -> Tensor:
        """(count,): numbers from ``first`` on.

        Raises:
            InputError: the file has changed or is damaged.
        """
        begin, size = first * self.dtype.itemsize, count * self.dtype.itemsize
        whole = size == self.entry.size
        try:
            with self.path.open("rb") as file:
                if not whole and self.entry.name not in self.intact:
                    self._compare(checksum(file, self.entry))
                raw = torch.empty(size, dtype=torch.uint8)
                file.seek(self.entry.start + begin)
                if file.readinto(raw.numpy().data) != size:
                    raise InputError(self.path, "the file was shortened while it was read", DAMAGED)
        except OSError as error:
            raise InputError(self.path, f"the file cannot be read ({error.strerror})", "Restore the file") from None
        if whole and self.entry.name not in self.intact:
            self._compare(zlib.crc32(raw.numpy().data))
        if self.dtype == torch.bool and int(raw.max()) > 1:
            raise InputError(self.path, f"{self.entry.name}: it is bool, but holds bytes other than 0 and 1", DAMAGED)
        return raw.view(self.dtype)

    def _compare(self, crc: int) -> None:
        if crc != self.entry.crc:
            raise InputError(self.path, f"{self.entry.name}: the checksum does not match", DAMAGED)
        self.intact.add(self.entry.name)


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor that is still in the file.

    Attributes:
        shape, stride: in elements, as torch has them.
        dtype: of the numbers.
        offset: of the first element in the storage, in elements.
        storage: where the numbers are; tensors may share one.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    offset: int
    storage: Storage

    @property
    def nbytes(self) -> int:
        """Of the loaded tensor."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load(self) -> Tensor:
        """A contiguous copy with memory of its own; reads only the bytes between its first and its last element.

        Raises:
            InputError: the file has changed, or the storage's checksum does not hold.
        """
        if 0 in self.shape:
            return torch.empty(self.shape, dtype=self.dtype)
        raw = self.storage.read(self.offset, span(self.shape, self.stride))
        values = raw.as_strided(self.shape, self.stride)
        # view() gives the usual strides where those of the file are odd but mean the same.
        return raw.view(self.shape) if values.is_contiguous() else values.contiguous()


def span(shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    """How many elements lie between the first and the last of a tensor that is not empty, both included."""
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))

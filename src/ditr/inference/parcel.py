"""Tensors on their way from one process to another: all of them in one block of memory that both share.

Every tensor that torch sends by itself takes a file descriptor, and a sample has dozens of them.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

__all__ = ["Parcel"]

T = TypeVar("T")
_ALIGNED = 64
_SHARED = "/dev/shm"
"""Where Linux keeps shared memory. Containers often have little of it, and whoever writes beyond is killed."""
_SPARE = 16 << 20


@dataclass(frozen=True)
class _Place:
    """Where a tensor lies in the block, or with ``is_array`` an array."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    is_array: bool

    @property
    def end(self) -> int:
        return self.start + math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class _ReadOnly:
    """What a mapping that may not be changed holds; such mappings themselves cannot be sent."""

    content: dict[Any, Any]


@dataclass(frozen=True, eq=False)
class Parcel(Generic[T]):
    """Plain values with tensors and arrays in them, ready to be sent; :meth:`unpack` gives them back.

    Attributes:
        content: the values, with a place in the stead of each tensor.
        block: what they hold, in shared memory; or bytes that are copied, where there is too little of that.
    """

    content: Any
    block: Tensor | bytes

    @classmethod
    def of(cls, value: T) -> Parcel[T]:
        """Pack dataclasses, tuples, lists and dicts; tensors have to be on the CPU."""
        packed: list[tuple[_Place, Tensor]] = []
        known: dict[int, tuple[_Place, Any]] = {}  # levels of a pyramid share tensors

        def put(part: Any) -> Any:
            if id(part) in known:
                return known[id(part)][0]
            if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
                tensor = torch.from_numpy(np.require(part, requirements=["C", "W"]))
            elif isinstance(part, Tensor):
                tensor = part.contiguous()
            elif isinstance(part, MappingProxyType):
                return _ReadOnly({key: put(inner) for key, inner in part.items()})
            else:
                return _inside(part, put)
            start = -(-packed[-1][0].end // _ALIGNED) * _ALIGNED if packed else 0
            place = _Place(tensor.dtype, tuple(tensor.shape), start, isinstance(part, np.ndarray))
            packed.append((place, tensor))
            known[id(part)] = place, part
            return place

        content = put(value)
        size = packed[-1][0].end if packed else 1
        block, shared = torch.empty(size, dtype=torch.uint8), _room() > size + _SPARE
        if shared:
            block.share_memory_()  # type: ignore[no-untyped-call]
        for place, tensor in packed:
            if tensor.numel():  # an empty one may have strides that nothing else has
                block[place.start : place.end] = tensor.view(-1).view(torch.uint8)
        return cls(content, block if shared else block.numpy().tobytes())

    def unpack(self) -> T:
        """The values; their tensors are parts of the block, which lives as long as one of them."""
        block = (
            torch.frombuffer(bytearray(self.block), dtype=torch.uint8) if isinstance(self.block, bytes) else self.block
        )

        def get(part: Any) -> Any:
            if isinstance(part, _ReadOnly):
                return MappingProxyType(get(part.content))
            if not isinstance(part, _Place):
                return _inside(part, get)
            tensor = block[part.start : part.end].view(part.dtype).view(part.shape)
            return tensor.numpy() if part.is_array else tensor

        return cast(T, get(self.content))


def _room() -> int:
    """Bytes of shared memory that are free."""
    if sys.platform != "linux":
        return sys.maxsize
    try:
        return shutil.disk_usage(_SHARED).free
    except OSError:
        return 0


def _inside(value: Any, change: Callable[[Any], Any]) -> Any:
    """The value with its parts changed, where it has any."""
    if is_dataclass(value) and not isinstance(value, type):
        new = object.__new__(type(value))  # with places in them, values would not pass their own checks
        for field in fields(value):
            object.__setattr__(new, field.name, change(getattr(value, field.name)))
        return new
    if isinstance(value, tuple | list):
        return type(value)(change(part) for part in value)
    return {key: change(part) for key, part in value.items()} if isinstance(value, dict) else value

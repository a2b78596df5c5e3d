"""The points that augmentations work on, and how a chain of augmentations runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["PointAugmentation", "PointSet", "augment"]


@dataclass(frozen=True, eq=False)
class PointSet:
    """Points on their way into a sample. Augmentations never write into the arrays; they make new ones.

    Attributes:
        coord: (N, 3) float32 metres, in a frame whose origin is near the points.
        index: (N,) int64, the row of each point in the scene. What is not listed here, as the pixels of the points,
            is picked by it afterwards.
        color: (N, 3) float32, 0..255, or None.
        normal: (N, 3) float32, or None.
        strength: (N, 1) float32, or None.
        label: (N,) int64, -1 for unlabelled, or None.
        pinned: (N,) bool, points that are not dropped and that stand for their voxel; None for none.

    Raises:
        InputError: no points, or an array of another type or length.
    """

    coord: NDArray[np.float32]
    index: NDArray[np.int64]
    color: NDArray[np.float32] | None = None
    normal: NDArray[np.float32] | None = None
    strength: NDArray[np.float32] | None = None
    label: NDArray[np.int64] | None = None
    pinned: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        expected: dict[str, tuple[type[Any], tuple[int, ...]]] = {
            "coord": (np.float32, (3,)),
            "index": (np.int64, ()),
            "color": (np.float32, (3,)),
            "normal": (np.float32, (3,)),
            "strength": (np.float32, (1,)),
            "label": (np.int64, ()),
            "pinned": (np.bool_, ()),
        }
        if len(self.coord) == 0:
            raise InputError("points", "there are none", "Give at least one point")
        for name, (dtype, shape) in expected.items():
            array = getattr(self, name)
            if array is not None and (array.dtype != dtype or array.shape != (len(self.coord), *shape)):
                raise InputError(
                    "points",
                    f"{name} is {array.dtype} {array.shape} for {len(self.coord)} points",
                    f"Give {dtype.__name__} {('N', *shape)}",
                )

    def __len__(self) -> int:
        return len(self.coord)

    def take(self, rows: NDArray[np.integer]) -> PointSet:
        """The points at ``rows``, with everything that belongs to them."""
        arrays: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        taken: dict[str, Any] = {
            name: None if array is None else array.take(rows, axis=0) for name, array in arrays.items()
        }
        return PointSet(**taken)


class PointAugmentation(Protocol):
    """Anything that turns points into other points of the same scene; all that it draws comes from ``rng``."""

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet: ...


def augment(points: PointSet, augmentations: Iterable[PointAugmentation], rng: np.random.Generator) -> PointSet:
    """Apply ``augmentations`` one after the other; the same points and state of ``rng`` give the same result."""
    for augmentation in augmentations:
        points = augmentation(points, rng)
    return points

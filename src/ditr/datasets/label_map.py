"""Raw label ids of a dataset to classes of its benchmark, and classes to the ids that a submission writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.scene import UNLABELLED

__all__ = ["LabelMap"]


@dataclass(frozen=True)
class LabelMap:
    """The labels of a benchmark.

    Attributes:
        to_class: raw id -> class in the order of the logits; all other ids are unlabelled.
        to_raw: for each class the id that a submission to the benchmark writes.
    """

    to_class: Mapping[int, int]
    to_raw: tuple[int, ...]

    def train(self, raw: NDArray[np.integer[Any]]) -> NDArray[np.int32]:
        """(...) int32 classes of raw ids; -1 for ids that belong to no class."""
        ids = np.array(sorted(self.to_class), dtype=np.int64)
        classes = np.array([self.to_class[int(i)] for i in ids], dtype=np.int32)
        wide = np.asarray(raw).astype(np.int64)
        at = np.minimum(np.searchsorted(ids, wide), len(ids) - 1)
        return np.where(ids[at] == wide, classes[at], np.int32(UNLABELLED))

    def raw(self, label: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """(...) int64 ids for a submission.

        Raises:
            InputError: a label that is not a class.
        """
        array = np.asarray(label)
        if array.size and (array.min() < 0 or array.max() >= len(self.to_raw)):
            raise InputError(
                "labels",
                f"they range from {array.min()} to {array.max()}, but the classes go from 0 to {len(self.to_raw) - 1}",
                "Give a class for every point",
            )
        return np.array(self.to_raw, dtype=np.int64)[array]

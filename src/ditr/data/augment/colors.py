"""Changes of the points' colours, for clouds from photographs. Points without colour pass through."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ditr.data.augment.point_set import PointSet
from ditr.geometry.bounds import bounding_box

__all__ = ["ChromaticAutoContrast", "ChromaticJitter", "ChromaticTranslation"]

_WHITE = np.float32(255)


@dataclass(frozen=True)
class ChromaticAutoContrast:
    """Stretch each channel to 0..255 and blend that with the original.

    A channel with one value only stays as it is (the published code divides by zero there).

    Attributes:
        p: the probability that anything happens.
        blend: the share of the stretched colours, or None for U(0, 1).
    """

    p: float = 0.2
    blend: float | None = None

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if points.color is None or rng.random() >= self.p:
            return points
        low, high = bounding_box(points.color)
        flat = high == low
        stretched = (points.color - low) * (_WHITE / np.where(flat, 1, high - low))
        blend = np.float32(rng.random() if self.blend is None else self.blend)
        color = np.where(flat, points.color, (1 - blend) * points.color + blend * stretched)
        return replace(points, color=_in_range(color))


@dataclass(frozen=True)
class ChromaticTranslation:
    """Shift each channel of all points by U(-ratio, ratio) of 255, clipped to 0..255, with probability ``p``."""

    p: float = 0.95
    ratio: float = 0.05

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if points.color is None or rng.random() >= self.p:
            return points
        shift = rng.uniform(-self.ratio, self.ratio, 3).astype(np.float32) * _WHITE
        return replace(points, color=_in_range(points.color + shift))


@dataclass(frozen=True)
class ChromaticJitter:
    """Add N(0, ``std`` of 255) to each channel of each point, clipped to 0..255, with probability ``p``."""

    p: float = 0.95
    std: float = 0.05

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if points.color is None or rng.random() >= self.p:
            return points
        noise = rng.standard_normal(points.color.shape, np.float32) * (np.float32(self.std) * _WHITE)
        return replace(points, color=_in_range(points.color + noise))


def _in_range(color: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(color, np.float32(0), _WHITE)

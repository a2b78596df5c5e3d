"""How cameras stand in a scene: floor, heights above it, what is overhead; in the scene's own unit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.scene import View

__all__ = ["Stance"]

Array = NDArray[np.float64]

_LAYERS = 25
"""A layer is this part of the height: a floor is flatter, and a wall fills all of them alike."""
_MOST_CELLS, _POINTS_PER_CELL = 32, 20
"""Cells of the floor plan along each side."""
_STRAY = 0.05
"""Share of points that may lie below a floor or above a ceiling."""
_STEEP = 1.5
"""Height over width of a cell that is a wall, and no slope."""


@dataclass(frozen=True, eq=False)
class Stance:
    """Heights in a scene, in its own unit.

    Attributes:
        extent: (2,) of the floor plan, from percentile 1 to 99.
        height: the same along up.
        floor: share of the floor plan that the lowest flat layer covers; None where there is none under the cameras.
        cameras: (V,) heights of the cameras above the floor, or above the lowest points near each where there is none.
        ceiling: height above the floor of the highest flat layer over the cameras; None where there is none.
        walled: share of the occupied cells of the floor plan in which points span half of the height, steeply.
        looking: mean sine of the angle by which cameras look upwards; 0 without cameras.
        overhead: share of the points above the median camera; 0 without cameras.
        distance: median distance from a camera to the points.
    """

    extent: Array
    height: float
    floor: float | None
    cameras: Array
    ceiling: float | None
    walled: float
    looking: float
    overhead: float
    distance: float

    @classmethod
    def of(cls, coord: Array, views: Sequence[View], up: Array) -> Stance:
        """Measure it.

        Args:
            coord: (N, 3) some points of the scene, 50 or more, not all on a line.
            views: some views with a pose.
            up: (3,) of unit length.
        """
        across = np.linalg.svd(up[None])[2][1:]
        plan, height = coord @ across.T, coord @ up
        low, high = np.percentile(height, (0.5, 99.5))
        corner, opposite = np.percentile(plan, (1, 99), axis=0)
        count = int(np.clip(np.sqrt(len(coord) / _POINTS_PER_CELL), 4, _MOST_CELLS))
        side = np.maximum(opposite - corner, 1e-12) / count
        cells = np.clip((plan - corner) / side, 0, count - 1).astype(np.int64)
        layers = _Layers(height, cells @ np.array([count, 1]), float(low), float(high))
        centers = np.array([view.center for view in views]).reshape(-1, 3)
        stands = centers @ up
        floor = layers.floor(stands.min() if len(stands) else np.inf)
        ground = low if floor is None else floor[0]
        ceiling = layers.ceiling(max(*stands, (low + high) / 2, (low + high) / 2))
        span = layers.spans()
        radius = 0.15 * float((opposite - corner).max())
        off = np.linalg.norm(coord[:: max(1, len(coord) // 2000)] - centers[:, None], axis=2)
        return cls(
            extent=opposite - corner,
            height=float(high - low),
            floor=None if floor is None else floor[1],
            cameras=stands - (ground if floor is not None else _ground(plan, height, centers @ across.T, radius)),
            ceiling=None if ceiling is None else ceiling[0] - float(ground),
            walled=float(((span > (high - low) / 2) & (span > _STEEP * side.max())).mean()),
            looking=float(np.mean([view.world_to_camera[2, :3] @ up for view in views])) if len(views) else 0.0,
            overhead=float((height > np.median(stands)).mean()) if len(views) else 0.0,
            distance=float(np.median(off)) if len(views) else float("nan"),
        )


def _ground(plan: Array, height: Array, places: Array, radius: float) -> Array:
    """(V,) height of the ground at ``places`` (V, 2): low among the points within ``radius``, or the 20 nearest."""
    lows = []
    for place in places:
        off = np.linalg.norm(plan - place, axis=1)
        near = off <= max(radius, float(np.partition(off, min(20, len(off) - 1))[min(20, len(off) - 1)]))
        lows.append(np.percentile(height[near], 2))
    return np.asarray(lows)


class _Layers:
    """Points by height, and by cell of the floor plan."""

    def __init__(self, height: Array, cell: NDArray[np.int64], low: float, high: float) -> None:
        self.height, self.cell, self.low, self.high = height, cell, low, high
        self.occupied = np.unique(cell)
        self.thick = max(high - low, 1e-12) / _LAYERS
        self.starts = np.arange(low - self.thick, high + self.thick, self.thick / 4)
        ordered = np.sort(height)
        self.held = np.searchsorted(ordered, self.starts + self.thick) - np.searchsorted(ordered, self.starts)

    def floor(self, below: float) -> tuple[float, float] | None:
        """Height of the lowest flat layer under ``below``, and the share of the floor plan that it covers."""
        rows = np.flatnonzero(self.starts + self.thick / 2 < below)
        return self._first(rows, covered=0.25, beyond=lambda row: float((self.height < self.starts[row]).mean()))

    def ceiling(self, above: float) -> tuple[float, float] | None:
        """The same of the highest flat layer over ``above``; the upper edge of walls covers less."""
        rows = np.flatnonzero(self.starts + self.thick / 2 > above)
        end = self.starts + self.thick
        return self._first(rows[::-1], covered=0.45, beyond=lambda row: float((self.height >= end[row]).mean()))

    def _first(
        self, rows: NDArray[np.int64], covered: float, beyond: Callable[[int], float]
    ) -> tuple[float, float] | None:
        """Of layers that hold more than their neighbours, and twice what is usual, the first that covers enough.

        A share ``beyond`` it of more than a twentieth of the points shows that it is a table or a shelf.
        """
        needed = max(2 * float(np.median(self.held)), 0.03 * len(self.height))
        for row in rows:
            if self.held[row] < needed or self.held[row] < self.held[max(0, row - 3) : row + 4].max():
                continue
            inside = (self.height >= self.starts[row]) & (self.height < self.starts[row] + self.thick)
            share = len(np.unique(self.cell[inside])) / len(self.occupied)
            if share >= covered and beyond(row) < _STRAY:
                return float(np.median(self.height[inside])), share
        return None

    def spans(self) -> Array:
        """(C,) from the lowest to the highest point of each occupied cell, within the percentiles."""
        height = np.clip(self.height, self.low, self.high)
        cells = int(self.occupied[-1]) + 1
        top, bottom = np.full(cells, -np.inf), np.full(cells, np.inf)
        np.maximum.at(top, self.cell, height)
        np.minimum.at(bottom, self.cell, height)
        return np.asarray(top[self.occupied] - bottom[self.occupied])

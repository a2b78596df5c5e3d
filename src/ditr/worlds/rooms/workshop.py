"""What every piece of furniture is built with: the workshop, and the plan of free places."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.worlds.common.mesh import Frame
from ditr.worlds.common.workshop import Painters, Workshop

__all__ = ["Painters", "RoomPlan", "Workshop"]

_TRIES = 40


class RoomPlan:
    """Which parts of the room are taken, as boxes along the axes."""

    def __init__(self, rng: Generator, size: tuple[float, float, float]) -> None:
        self.size = size
        self._rng = rng
        self._low: list[NDArray[np.float64]] = []
        self._high: list[NDArray[np.float64]] = []

    def wall(self, index: int, along: float) -> Frame:
        """The frame at ``along`` metres of wall 0..3: x runs along the wall, y into the room."""
        length, width, _ = self.size
        corner = ((0.0, 0.0), (length, 0.0), (length, width), (0.0, width))[index]
        return Frame(*corner, yaw=index * math.pi / 2).moved(x=along)

    def wall_length(self, index: int) -> float:
        """Length of wall 0..3 in metres."""
        return self.size[index % 2]

    def take(self, frame: Frame, low: tuple[float, float, float], high: tuple[float, float, float]) -> bool:
        """Reserve the local box if it is free and inside the room; says whether it was."""
        corners = np.array([(x, y, z) for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
        world = frame.to_world(corners)
        lower, upper = world.min(axis=0), world.max(axis=0)
        if (lower < -0.02).any() or (upper > np.asarray(self.size) + 0.02).any():
            return False
        if ((lower < self._highs()) & (upper > self._lows())).all(axis=1).any():
            return False
        self._low.append(lower)
        self._high.append(upper)
        return True

    def _lows(self) -> NDArray[np.float64]:
        return np.array(self._low).reshape(-1, 3)

    def _highs(self) -> NDArray[np.float64]:
        return np.array(self._high).reshape(-1, 3)

    def is_free(self, points: NDArray[np.float64], reach: float) -> NDArray[np.bool_]:
        """Which points (n, 3) have no reserved box within ``reach`` metres along the axes."""
        low, high = self._lows() - reach, self._highs() + reach
        inside = np.all((points[:, None] > low) & (points[:, None] < high), axis=2)
        taken: NDArray[np.bool_] = np.any(inside, axis=1)
        return ~taken

    def on_wall(self, width: float, depth: float, low: float, high: float, gap: float = 0.06) -> Frame | None:
        """A free stretch of wall for a thing of this width and depth between two heights; None if there is none.

        The frame's origin is the middle of the stretch, on the wall and on the floor.
        """
        for _ in range(_TRIES):
            index = int(self._rng.integers(4))
            room = self.wall_length(index) - width - 2 * gap
            along = gap + width / 2 + self._rng.random() * max(0.0, room)
            frame = self.wall(index, along)
            half = width / 2 + gap
            if room > 0 and self.take(frame, (-half, 0.0, low), (half, depth, high)):
                return frame
        return None

    def on_floor(self, width: float, depth: float, height: float, turned: bool = False) -> Frame | None:
        """A free place away from the walls; None if there is none. The frame is at the footprint's middle."""
        for _ in range(_TRIES):
            x, y = self._rng.random(2) * self.size[:2]
            yaw = float(self._rng.uniform(0, 2 * math.pi) if turned else self._rng.integers(4) * math.pi / 2)
            frame = Frame(float(x), float(y), 0.0, yaw)
            if self.take(frame, (-width / 2, -depth / 2, 0.0), (width / 2, depth / 2, height)):
                return frame
        return None

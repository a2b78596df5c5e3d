"""What every street is built with: the workshop, materials that a street has once, and round bodies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike, NDArray

from ditr.worlds.common.mesh import Frame, Material, Model
from ditr.worlds.common.paint import Color, Painter, color
from ditr.worlds.common.workshop import Workshop
from ditr.worlds.streets.config import Kind

__all__ = ["HEADING_BACK", "HEADING_ON", "Site", "Thing", "section"]

Thing = Callable[["Site", Frame], None]
"""Builds something at a place."""

HEADING_ON, HEADING_BACK = -math.pi / 2, math.pi / 2
"""Yaws of frames whose front (local y) looks along the street's x, and against it."""


def section(y: float, low: float, high: float, half: float, upper: float | None = None) -> NDArray[np.float64]:
    """A cross-section (6, 3) of a vehicle at ``y``: ``half`` wide up to its shoulders and ``upper`` at the top."""
    top = half if upper is None else upper
    shoulder = low + 0.7 * (high - low)
    right = [(half, y, low), (half, y, shoulder), (top, y, high)]
    return np.array([*right, *((-x, b, z) for x, b, z in reversed(right))])


class Site(Workshop):
    """A street under construction; kinds of things instead of labels."""

    def __init__(self, rng: Generator, look: Generator) -> None:
        super().__init__(rng, look, 0.0)
        self._models: dict[Thing, list[Model]] = {}
        self._shared: dict[tuple[Painter, tuple[float, float]], Material] = {}

    def start(self, kind: Kind, frame: Frame) -> None:
        """A new object of this kind stands here."""
        self.begin(int(kind), frame)

    def part(self, kind: Kind) -> None:
        """The next faces are of another kind, of a new object at the same place."""
        self.begin(int(kind), self.mesh.frame)

    def place(self, thing: Thing, frame: Frame, kinds: int = 4) -> None:
        """Put a thing up; a street has up to ``kinds`` different ones of it."""
        models = self._models.setdefault(thing, [])
        if len(models) < kinds:
            models.append(self.mesh.record(lambda: thing(self, Frame(0.0, 0.0))))
            self.mesh.stamp(models[-1], frame)
        else:
            self.mesh.stamp(models[int(self.rng.integers(kinds))], frame)

    def shared(self, painter: Painter, tile: tuple[float, float] = (0.5, 0.5), reflectance: float = 0.3) -> Material:
        """A repeating texture of which this street has one."""
        key = (painter, tile)
        if key not in self._shared:
            self._shared[key] = self.surface(((painter,), ()), tile, reflectance=reflectance)
        return self._shared[key]

    def plain(self, fill: Color, reflectance: float = 0.3, glow: float = 0.0) -> Material:
        """One colour."""
        return Material(self.atlas.add(np.array([[fill]], dtype=np.uint8)), None, glow, reflectance=reflectance)

    def tint(
        self,
        hue: tuple[float, float],
        saturation: tuple[float, float],
        value: tuple[float, float],
        reflectance: float = 0.3,
    ) -> Material:
        """One colour from ranges."""
        return self.plain(color(self.look, hue, saturation, value), reflectance)

    def image(self, painter: Painter, width: float, height: float, reflectance: float = 0.3) -> Material:
        """A picture for one face."""
        return self.picture(((painter,), ()), width, height, reflectance=reflectance)

    # --- bodies ------------------------------------------------------------------------------------------------------

    def hull(self, rings: ArrayLike, material: Material, caps: bool = True) -> None:
        """The skin between consecutive rings (k, m, 3) of corners; the first and the last closed by ``caps``."""
        ring = np.asarray(rings, dtype=np.float64)
        if caps:
            first, last = (np.broadcast_to(ring[i].mean(axis=0), ring[i].shape)[None] for i in (0, -1))
            ring = np.concatenate([first, ring, last])
        count, sides = ring.shape[:2]
        closed = np.concatenate([ring, ring[:, :1]], axis=1)
        uv = np.zeros((count, sides + 1, 2))
        if material.tile is not None:  # the texture runs around and along, as wide as the middle ring is
            step = math.dist(ring[count // 2, 0], ring[count // 2, 1])
            uv[..., 0] = np.arange(sides + 1) * (step / material.tile[0])
            lengths = np.sqrt(((ring[1:, 0] - ring[:-1, 0]) ** 2).sum(axis=1))
            uv[1:, :, 1] = -np.cumsum(lengths)[:, None] / material.tile[1]
        low, high = (slice(None, -1),) * 2, (slice(1, None),) * 2
        left, right = (slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))
        for half in ((left, high, low), (right, low, high)):
            corner = np.stack([closed[part] for part in half], axis=2).reshape(-1, 3, 3)
            self.mesh.triangles(corner, np.stack([uv[part] for part in half], axis=2).reshape(-1, 3, 2), material)

    def tube(
        self,
        points: Sequence[tuple[float, float, float]],
        radii: Sequence[float] | float,
        material: Material,
        sides: int = 6,
    ) -> None:
        """A round bar along a polyline, with one radius or one for each point."""
        path = np.array(points, dtype=np.float64)
        radius = np.broadcast_to(np.asarray(radii, dtype=np.float64), (len(path),))
        x, y, z = (points[-1][k] - points[0][k] for k in range(3))
        # Across the bar; plain numbers, since numpy takes twenty times as long for one vector.
        ax, ay, az = (y, -x, 0.0) if z * z < 0.81 * (x * x + y * y + z * z) else (0.0, z, -y)
        bx, by, bz = y * az - z * ay, z * ax - x * az, x * ay - y * ax
        first, second = math.hypot(ax, ay, az), math.hypot(bx, by, bz)
        side = np.array([ax / first, ay / first, az / first])
        other = np.array([bx / second, by / second, bz / second])
        angle = np.arange(sides)[:, None] * (2 * math.pi / sides)
        circle = np.cos(angle) * side + np.sin(angle) * other
        self.hull(path[:, None] + radius[:, None, None] * circle, material)

    def ellipsoid(
        self, center: ArrayLike, radii: ArrayLike, material: Material, sides: int = 8, rings: int = 5, rough: float = 0
    ) -> None:
        """A round body, its surface off by up to ``rough`` of its radius."""
        up = np.linspace(-0.5, 0.5, rings + 2)[1:-1, None] * math.pi
        around = np.arange(sides)[None] * (2 * math.pi / sides)
        unit = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up) + 0 * around], axis=2)
        if rough:
            unit = unit * self.rng.uniform(1 - rough, 1 + rough, (*unit.shape[:2], 1))
        self.hull(np.asarray(center) + unit * np.asarray(radii), material)

    def cards(self, centers: NDArray[np.float64], side: float, material: Material) -> None:
        """Small squares (n) that lie in all directions, as leaves do."""
        count = len(centers)
        u = self.rng.normal(size=(count, 3))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        v = np.cross(u, self.rng.normal(size=(count, 3)))
        v /= np.linalg.norm(v, axis=1, keepdims=True)
        reach = side * self.rng.uniform(0.35, 0.65, (count, 1))
        u, v = u * reach, v * reach
        corners = np.stack([-u - v, u - v, u + v, v - u], axis=1) + centers[:, None]
        uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
        for half in ([0, 1, 3], [2, 3, 1]):
            self.mesh.triangles(corners[:, half], np.broadcast_to(uv[half], (count, 3, 2)).copy(), material)

    def plate(
        self,
        center: tuple[float, float, float],
        radius: float,
        sides: int,
        front: Material,
        back: Material,
        turn: float = 0.0,
    ) -> None:
        """A thin regular polygon that looks along local y, a flat side down before the ``turn`` (radians)."""
        angle = turn - math.pi / 2 + math.pi / sides + np.arange(sides + 1) * (2 * math.pi / sides)
        rim = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)
        triangle = np.stack([np.zeros_like(rim[1:]), rim[:-1], rim[1:]], axis=1)
        uv = 0.5 - 0.5 * triangle[..., [0, 2]]
        at = np.asarray(center)
        self.mesh.triangles(at + radius * triangle, uv, front)
        self.mesh.triangles(at + radius * triangle - [0, 0.02, 0], uv, back)

    def wheel(self, center: ArrayLike, radius: float, width: float, tyre: Material, hub: Material) -> None:
        """A wheel that rolls along local y."""
        angle = np.arange(12) * (math.pi / 6)
        circle = np.stack([0 * angle, np.cos(angle), np.sin(angle)], axis=1)
        middle, half = np.asarray(center, dtype=np.float64), np.array([width / 2, 0.0, 0.0])
        self.hull([middle - half + radius * circle, middle + half + radius * circle], tyre)
        inner = 0.62 * radius * circle
        self.hull([middle - 1.1 * half + inner, middle + 1.1 * half + inner], hub)

    def tyre(self, center: ArrayLike, radius: float, thick: float, rubber: Material) -> None:
        """A wheel that one can see through, rolling along local y."""
        angle = np.arange(12) * (math.pi / 6)
        circle = np.stack([0 * angle, np.cos(angle), np.sin(angle)], axis=1)
        middle, half = np.asarray(center, dtype=np.float64), np.array([thick / 2, 0.0, 0.0])
        inner, outer = (radius - thick) * circle, radius * circle
        self.hull([middle + shift for shift in (inner - half, outer - half, outer + half, inner + half)], rubber, False)

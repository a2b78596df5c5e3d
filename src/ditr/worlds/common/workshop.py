"""What everything is built with: random choices, materials and the mesh."""

from __future__ import annotations

from typing import TypeVar

from numpy.random import Generator

from ditr.worlds.common.atlas import Atlas
from ditr.worlds.common.mesh import Frame, Material, MeshBuilder
from ditr.worlds.common.paint import Painter

__all__ = ["Painters", "Workshop"]

T = TypeVar("T")
Painters = tuple[tuple[Painter, ...], tuple[Painter, ...]]
"""Texture families that all worlds may show, and those that only test worlds show."""


class Workshop:
    """A world under construction.

    Shapes are drawn from ``rng`` and textures from ``look``, so that a change to a painter moves no furniture.
    """

    def __init__(self, rng: Generator, look: Generator, new_share: float) -> None:
        self.rng = rng
        self.look = look
        self.mesh = MeshBuilder()
        self.atlas = Atlas()
        self._new_share = new_share

    def begin(self, label: int | None, frame: Frame) -> None:
        """What is added from now on is one object of this class and stands here; None is clutter without a label."""
        self.mesh.label = -1 if label is None else int(label)
        self.mesh.item += 1
        self.mesh.frame = frame

    def uniform(self, low: float, high: float) -> float:
        """A size from ``low`` to ``high``."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self.rng.random() < probability)

    def pick(self, known: tuple[T, ...], new: tuple[T, ...] = ()) -> T:
        """One of the families; a new one only in test rooms, with the configured probability."""
        return self._pick(self.rng, known, new)

    def _pick(self, rng: Generator, known: tuple[T, ...], new: tuple[T, ...]) -> T:
        families = new if new and rng.random() < self._new_share else known
        return families[int(rng.integers(len(families)))]

    def picture(
        self,
        painters: Painters,
        width: float,
        height: float,
        glow: float = 0.0,
        glossy: bool = False,
        reflectance: float = 0.3,
    ) -> Material:
        """A texture made for one face of this size in metres."""
        image = self._pick(self.look, *painters)(self.look, width, height)
        return Material(self.atlas.add(image), None, glow, glossy, reflectance)

    def surface(
        self, painters: Painters, tile: tuple[float, float] = (0.6, 0.6), glow: float = 0.0, reflectance: float = 0.3
    ) -> Material:
        """A texture that repeats after ``tile`` metres."""
        image = self._pick(self.look, *painters)(self.look, *tile)
        return Material(self.atlas.add(image), tile, glow, reflectance=reflectance)

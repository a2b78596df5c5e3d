"""Textured, labelled triangles, and the builder that puts boxes, prisms and sheets together in local frames."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Frame", "Material", "Mesh", "MeshBuilder", "Model"]


@dataclass(frozen=True)
class Material:
    """How a surface looks.

    ``texture`` is an index into the world's atlas. ``tile`` is the (width, height) in metres after which the texture
    repeats, or None where the texture is stretched once over each face. ``glow`` is the share of light that the
    surface gives by itself, whatever falls on it (screens, lamps, the view out of a window). ``glossy`` surfaces give
    the depth sensor holes. ``reflectance`` (0..1) is how much of a LiDAR's light comes back when it falls in square;
    above 1 are retroreflectors.
    """

    texture: int
    tile: tuple[float, float] | None = None
    glow: float = 0.0
    glossy: bool = False
    reflectance: float = 0.3


@dataclass(frozen=True)
class Frame:
    """Where an object stands: local x is its width, local y its front, z is up; turned by ``yaw`` radians about z."""

    x: float
    y: float
    z: float = 0.0
    yaw: float = 0.0

    @property
    def rotation(self) -> NDArray[np.float64]:
        """(3, 3) local -> world."""
        cos, sin = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])

    def to_world(self, local: NDArray[np.float64]) -> NDArray[np.float64]:
        """Local points (..., 3) in the world."""
        if self.x == self.y == self.z == self.yaw == 0.0:
            return local
        world: NDArray[np.float64] = local @ self.rotation.T + np.array([self.x, self.y, self.z])
        return world

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, turn: float = 0.0) -> Frame:
        """The frame whose origin is at local (x, y, z), turned by ``turn`` more."""
        at = self.to_world(np.array([x, y, z]))
        return Frame(float(at[0]), float(at[1]), float(at[2]), self.yaw + turn)


@dataclass(frozen=True, eq=False)
class Mesh:
    """All triangles of a world.

    Attributes:
        corner: (T, 3, 3) float64 metres, world; the numbers are those of float32, which the ray caster works with.
        uv: (T, 3, 2) float64, texture coordinates of the corners; one unit is one repeat, v grows downward.
        texture, label: (T,) int32.
        item: (T,) int32, the number of the object that a triangle is of.
        glow, reflectance: (T,) float32.
        glossy: (T,) bool.
        normal: (T, 3) float64, unit length, pointing to the side from which the surface is meant to be seen.
        area: (T,) float64 square metres.
    """

    corner: NDArray[np.float64]
    uv: NDArray[np.float64]
    texture: NDArray[np.int32]
    label: NDArray[np.int32]
    item: NDArray[np.int32]
    glow: NDArray[np.float32]
    reflectance: NDArray[np.float32]
    glossy: NDArray[np.bool_]
    normal: NDArray[np.float64]
    area: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.corner)


@dataclass(frozen=True, eq=False)
class Model:
    """Faces that can be put up many times: parts as the builder keeps them, in the frame of the whole.

    ``ends`` says how many triangles the parts have up to each, ``items`` counts from the model's first object.
    """

    corner: NDArray[np.float64]
    uvs: list[NDArray[np.float64]]
    ends: NDArray[np.int64]
    labels: list[int]
    items: list[int]
    materials: list[Material]


# Corners of a unit box's faces, clockwise from the upper left as seen from outside.
_BOX_FACES = np.array(
    [
        [[1, 1, 1], [0, 1, 1], [0, 1, 0], [1, 1, 0]],  # front, +y
        [[0, 0, 1], [1, 0, 1], [1, 0, 0], [0, 0, 0]],  # back
        [[1, 0, 1], [1, 1, 1], [1, 1, 0], [1, 0, 0]],  # right, +x
        [[0, 1, 1], [0, 0, 1], [0, 0, 0], [0, 1, 0]],  # left
        [[0, 1, 1], [1, 1, 1], [1, 0, 1], [0, 0, 1]],  # top
        [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]],  # bottom
    ],
    dtype=np.float64,
)


class MeshBuilder:
    """Collects faces. ``frame``, ``label`` and ``item`` apply to everything that is added after they are set."""

    def __init__(self) -> None:
        self.frame = Frame(0.0, 0.0)
        self.label = -1
        self.item = 0
        self._corners: list[NDArray[np.float64]] = []
        self._uvs: list[NDArray[np.float64]] = []
        self._labels: list[int] = []
        self._items: list[int] = []
        self._materials: list[Material] = []

    def patches(self, corners: NDArray[np.float64], material: Material, chained: bool = False) -> None:
        """Add four-cornered faces (n, 4, 3) in the local frame, clockwise from the upper left as seen from outside.

        Where they are ``chained``, a repeating texture runs on from each face to the next.
        """
        quad = self.frame.to_world(np.asarray(corners, dtype=np.float64).reshape(-1, 4, 3))
        repeat = np.ones((len(quad), 1, 2))
        if material.tile is not None:
            across = np.linalg.norm(quad[:, 1] - quad[:, 0], axis=1) + np.linalg.norm(quad[:, 2] - quad[:, 3], axis=1)
            down = np.linalg.norm(quad[:, 3] - quad[:, 0], axis=1) + np.linalg.norm(quad[:, 2] - quad[:, 1], axis=1)
            repeat = (np.stack([across, down], axis=1) / (2 * np.asarray(material.tile)))[:, None]
        uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) * repeat
        if chained:
            uv[..., 0] += (np.cumsum(repeat[..., 0]) - repeat[:, 0, 0])[:, None]
        for half in ([0, 1, 3], [2, 3, 1]):
            self._add(quad[:, half], uv[:, half], material)

    def triangles(self, corners: NDArray[np.float64], uv: NDArray[np.float64], material: Material) -> None:
        """Add triangles (n, 3, 3) in the local frame with the texture coordinates (n, 3, 2) of their corners."""
        self._add(self.frame.to_world(corners), uv, material)

    def _add(self, corners: NDArray[np.float64], uv: NDArray[np.float64], material: Material) -> None:
        self._corners.append(corners)
        self._uvs.append(uv)
        self._labels.append(self.label)
        self._items.append(self.item)
        self._materials.append(material)

    def record(self, build: Callable[[], None]) -> Model:
        """What ``build`` adds, taken off again; it should build about the world's origin."""
        start, item = len(self._corners), self.item
        build()
        corners, uvs = self._corners[start:], self._uvs[start:]
        labels, items, materials = self._labels[start:], self._items[start:], self._materials[start:]
        del self._corners[start:], self._uvs[start:], self._labels[start:], self._items[start:], self._materials[start:]
        self.item = item
        ends = np.cumsum([len(part) for part in corners])
        return Model(np.concatenate(corners), uvs, ends, labels, [number - item for number in items], materials)

    def stamp(self, model: Model, frame: Frame) -> None:
        """Put a model up at a place, as new objects."""
        self._corners.extend(np.split(frame.to_world(model.corner), model.ends[:-1]))
        self._uvs.extend(model.uvs)
        self._labels.extend(model.labels)
        self._items.extend(self.item + number for number in model.items)
        self._materials.extend(model.materials)
        self.item += max(model.items)

    def sheet(self, origin: ArrayLike, along: ArrayLike, down: ArrayLike, material: Material) -> None:
        """Add one parallelogram from its upper left corner and its two edges; it is seen from ``down x along``."""
        start, u, v = (np.asarray(a, dtype=np.float64) for a in (origin, along, down))
        self.patches(np.stack([start, start + u, start + u + v, start + v]), material)

    def box(self, low: ArrayLike, high: ArrayLike, material: Material, front: Material | None = None) -> None:
        """Add a box between two local corners, all six faces; ``front`` dresses the +y face."""
        origin = np.asarray(low, dtype=np.float64)
        faces = origin + _BOX_FACES * (np.asarray(high, dtype=np.float64) - origin)
        self.patches(faces[:1], front or material)
        self.patches(faces[1:], material)

    def prism(
        self, center: ArrayLike, radii: Sequence[float], heights: Sequence[float], material: Material, sides: int = 10
    ) -> None:
        """Add a round body about a vertical axis: ``radii`` at rising ``heights``, closed at both ends."""
        angle = np.arange(sides + 1) * (2 * math.pi / sides)
        ring = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=1)
        middle = np.asarray(center, dtype=np.float64)
        profile = [(0.0, heights[0]), *zip(radii, heights, strict=True), (0.0, heights[-1])]
        levels = np.stack([middle + ring * r + np.array([0.0, 0.0, z]) for r, z in profile])
        low, high = levels[:-1], levels[1:]
        faces = np.stack([high[:, :-1], high[:, 1:], low[:, 1:], low[:, :-1]], axis=2)
        self.patches(faces.reshape(-1, 4, 3), material, chained=True)

    def build(self) -> Mesh:
        """The triangles of everything that was added, without those that have no area."""
        counts = [len(part) for part in self._corners]
        corner = np.concatenate(self._corners).astype(np.float32).astype(np.float64)
        cross = np.cross(corner[:, 2] - corner[:, 0], corner[:, 1] - corner[:, 0])
        double = np.linalg.norm(cross, axis=1)
        keep = double > 1e-9

        def spread(values: Sequence[float], dtype: type[Any]) -> NDArray[Any]:
            kept: NDArray[Any] = np.repeat(np.array(values, dtype=dtype), counts)[keep]
            return kept

        return Mesh(
            corner=corner[keep],
            uv=np.concatenate(self._uvs)[keep],
            texture=spread([m.texture for m in self._materials], np.int32),
            label=spread(self._labels, np.int32),
            item=spread(self._items, np.int32),
            glow=spread([m.glow for m in self._materials], np.float32),
            reflectance=spread([m.reflectance for m in self._materials], np.float32),
            glossy=spread([m.glossy for m in self._materials], np.bool_),
            normal=cross[keep] / double[keep, None],
            area=double[keep] / 2,
        )

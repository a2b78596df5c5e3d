"""The RGB-D camera: light, textures, and the noise and holes of a structured-light depth sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.scene import Camera
from ditr.worlds.common.paint import noise
from ditr.worlds.common.photography import Skin, blurred, photographed, pixel_rays
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms.layout import Room

__all__ = ["Rendering", "Sensor"]

_MIN_RANGE, _MAX_RANGE = 0.35, 5.5  # metres, those of common structured-light cameras


@dataclass(frozen=True, eq=False)
class Rendering:
    """One view.

    Attributes:
        color: (h, w, 3) uint8.
        depth: (h, w) float32 metres along the optical axis, 0 where the sensor has no value.
        label: (h, w) int32, the class of the surface in each pixel, -1 for clutter and for nothing.
    """

    color: NDArray[np.uint8]
    depth: NDArray[np.float32]
    label: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class _Surface:
    """What n rays have hit: mesh triangles, corner weights, world positions, and normals toward the camera."""

    triangle: NDArray[np.int32]
    u: NDArray[np.float32]
    v: NDArray[np.float32]
    point: NDArray[np.float32]
    normal: NDArray[np.float32]


class Sensor:
    """A room ready to be photographed."""

    def __init__(self, room: Room, caster: RayCaster) -> None:
        mesh = room.mesh
        self._mesh, self._caster = mesh, caster
        self._normal = mesh.normal.astype(np.float32)
        self._skin = Skin(mesh, room.atlas)
        length, width, height = room.plan.size
        self._lamp = np.array([0.55 * length, 0.45 * width, height - 0.06], dtype=np.float32)

    def albedo(self, triangle: NDArray[np.int32], u: NDArray[np.float32], v: NDArray[np.float32],
               footprint: NDArray[np.float32]) -> NDArray[np.float32]:  # fmt: skip
        """Texture colours (n, 3) in 0..255 at points of triangles, averaged over ``footprint`` metres."""
        return self._skin.albedo(triangle, u, v, footprint)

    def in_lamplight(self, point: NDArray[np.float32], normal: NDArray[np.float32]) -> NDArray[np.float32]:
        """1 where the lamp shines on surface points (n, 3), 0 in its shadow; (n,)."""
        start = point + np.float32(0.006) * normal
        return (~self._caster.blocked(start, self._lamp - start)).astype(np.float32)

    def brightness(self, triangle: NDArray[np.int32], point: NDArray[np.float32], normal: NDArray[np.float32],
                   lamplight: NDArray[np.float32]) -> NDArray[np.float32]:  # fmt: skip
        """Factors (n,) for texture colours: a lamp at the ceiling, light from everywhere, and the surfaces' own."""
        away = self._lamp - point
        square = np.einsum("ij,ij->i", away, away)
        cosine = np.maximum(np.einsum("ij,ij->i", away, normal), 0) / np.sqrt(square)
        ambient = 0.48 + 0.08 * normal[:, 2] + 0.05 * normal[:, 0]
        light = ambient + np.float32(0.8) * lamplight * cosine / (0.6 + 0.25 * square)
        glow = self._mesh.glow[triangle]
        # The root stands for the camera's gamma curve.
        factor: NDArray[np.float32] = np.sqrt(light * (1 - glow) + np.float32(1.1) * glow)
        return factor

    def render(self, camera: Camera, world_to_camera: NDArray[np.float64], rng: Generator | None = None) -> Rendering:
        """Photograph the room; without ``rng`` the picture and the depth are free of noise and holes."""
        shape = camera.height, camera.width
        rays, position = pixel_rays(camera, world_to_camera)
        hits = self._caster.cast(position, rays)
        miss = hits.triangle < 0
        triangle = np.where(miss, 0, hits.triangle)
        depth = np.where(miss, np.float32(0), hits.distance)
        direction = rays.astype(np.float32)
        normal = self._normal[triangle]
        facing = np.einsum("ij,ij->i", normal, direction)
        cosine = np.abs(facing) / np.sqrt(np.einsum("ij,ij->i", direction, direction))
        point = position.astype(np.float32) + direction * depth[:, None]
        surface = _Surface(triangle, hits.u, hits.v, point, -np.sign(facing)[:, None] * normal)
        footprint = depth * np.float32(1 / camera.fx) / np.sqrt(np.maximum(cosine, np.float32(0.05)))
        image, measured = self._shade(surface, footprint, shape), depth.reshape(shape)
        label = np.where(miss, np.int32(-1), self._mesh.label[triangle]).reshape(shape)
        if rng is not None:
            image = photographed(image, rng)
            measured = _measure(measured, cosine.reshape(shape), self._mesh.glossy[triangle].reshape(shape), rng)
        return Rendering(np.clip(image, 0, 255).astype(np.uint8), measured, label)

    def _shade(self, surface: _Surface, footprint: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
        """The picture (h, w, 3) in 0..255 before the camera's noise."""
        rows, columns = shape
        # Shadows at half the resolution, then blurred: a lamp is not a point.
        half = np.arange(rows * columns).reshape(shape)[::2, ::2]
        sampled = self.in_lamplight(surface.point[half.reshape(-1)], surface.normal[half.reshape(-1)])
        soft = blurred(blurred(sampled.reshape(half.shape), 1 / 3), 1 / 3)
        lamplight = soft.repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns].reshape(-1)
        color = self.albedo(surface.triangle, surface.u, surface.v, footprint)
        color *= self.brightness(surface.triangle, surface.point, surface.normal, lamplight)[:, None]
        return color.reshape(rows, columns, 3)


def _measure(depth: NDArray[np.float32], cosine: NDArray[np.float32], glossy: NDArray[np.bool_],
             rng: Generator) -> NDArray[np.float32]:  # fmt: skip
    """Depth noise that grows with the square of the distance; holes at edges, on grazing and on glossy surfaces."""
    rows, columns = depth.shape
    spread = 0.0012 + 0.0019 * np.square(np.maximum(depth - 0.4, 0))
    measured = depth + spread * rng.standard_normal(depth.shape, dtype=np.float32)
    jump = np.zeros(depth.shape, dtype=np.bool_)
    jump[:, 1:] |= np.abs(np.diff(depth, axis=1)) > 0.08
    jump[1:] |= np.abs(np.diff(depth, axis=0)) > 0.08
    blotch = noise(rng, columns, rows, (14, 14))
    lost = (depth < _MIN_RANGE) | (depth > _MAX_RANGE) | (cosine < 0.1) | (blotch > 2.2)
    lost |= jump & (rng.random(depth.shape, dtype=np.float32) < 0.6)
    lost |= glossy & (blotch > 0.2)
    return np.where(lost, np.float32(0), measured)

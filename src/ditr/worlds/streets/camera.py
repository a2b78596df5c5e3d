"""The cameras: poses, daylight and sky, and what each pixel shows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.scene import Camera
from ditr.worlds.common.paint import noise
from ditr.worlds.common.photography import Skin, blurred, photographed, pixel_rays
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.streets.layout import Street
from ditr.worlds.streets.styles import CameraSpec

__all__ = ["Daylight", "Photograph", "Photographer", "camera_of", "sensor_to_camera"]


def camera_of(spec: CameraSpec, scale: float) -> Camera:
    """The intrinsics at a scale."""
    width, height = max(16, round(spec.width * scale)), max(16, round(spec.height * scale))
    focal = spec.focal * width / spec.width
    return Camera(width, height, focal, focal, width / 2, height / 2)


def sensor_to_camera(spec: CameraSpec) -> NDArray[np.float64]:
    """(4, 4): from the LiDAR's frame (x forward, y left, z up) to the camera's axes."""
    cos, sin = math.cos(math.radians(spec.yaw)), math.sin(math.radians(spec.yaw))
    pose = np.eye(4)
    pose[:3, :3] = [[sin, -cos, 0.0], [0.0, 0.0, -1.0], [cos, sin, 0.0]]
    pose[:3, 3] = -pose[:3, :3] @ np.asarray(spec.place)
    return pose


@dataclass(frozen=True, eq=False)
class Photograph:
    """One view.

    Attributes:
        color: (h, w, 3) uint8.
        depth: (h, w) float32 metres along the optical axis, 0 for the sky; without noise.
        item: (h, w) int32, the number of the object in each pixel, -1 for the sky.
    """

    color: NDArray[np.uint8]
    depth: NDArray[np.float32]
    item: NDArray[np.int32]


class Daylight:
    """Sun, sky and haze of one street: from clear with hard shadows to overcast."""

    def __init__(self, rng: Generator) -> None:
        self.clear = float(rng.uniform(0, 1)) if rng.random() < 0.75 else 0.0
        height, turn = rng.uniform(0.45, 1.2), rng.uniform(0, 2 * math.pi)
        across = math.cos(height)
        self.sun = np.array([across * math.cos(turn), across * math.sin(turn), math.sin(height)], dtype=np.float32)
        warm = 0.1 * (1.2 - height) * self.clear
        self.sunlight = np.array([1 + warm, 1.0, 1 - warm], dtype=np.float32)
        gray, blue = np.array([196, 203, 210]), np.array([96, 148, 214])
        self.zenith = (gray * (1 - self.clear) + blue * self.clear).astype(np.float32)
        self.horizon = (np.array([208, 213, 218]) * (1 - self.clear) + np.array([206, 222, 238]) * self.clear).astype(
            np.float32
        )
        self._clouds = noise(rng, 256, 64, (30, 9)) + 0.5 * noise(rng, 256, 64, (9, 4))
        self._skyline = np.abs(noise(rng, 1024, 8, (36, 8))[4]) * 0.05 + 0.015
        self._far = (self.horizon * rng.uniform(0.72, 0.86)).astype(np.float32)

    def sky(self, direction: NDArray[np.float32]) -> NDArray[np.float32]:
        """Colours (n, 3) in directions (n, 3) of any length: a gradient with clouds, and a hazy skyline."""
        unit = direction / np.sqrt(np.einsum("ij,ij->i", direction, direction))[:, None]
        up = np.clip(unit[:, 2], 0, 1)
        color: NDArray[np.float32] = self.horizon + (self.zenith - self.horizon) * np.sqrt(up)[:, None]
        fine = (np.arctan2(unit[:, 1], unit[:, 0]) * np.float32(512 / math.pi)).astype(np.int32) & 1023
        column = fine >> 2
        row = np.minimum((up * 80).astype(np.int32), 63)
        cover = np.clip(0.35 * self._clouds[row, column] + 0.15 - 0.2 * self.clear, 0, 0.9)[:, None]
        color += (np.float32(246) - color) * cover
        near = unit[:, 2] < self._skyline[fine]
        color[near] = self._far
        return color


class Photographer:
    """A street ready to be photographed."""

    def __init__(self, street: Street, caster: RayCaster, light: Daylight) -> None:
        self._mesh, self._caster, self._light = street.mesh, caster, light
        self._skin = Skin(street.mesh, street.atlas)
        self._normal = street.mesh.normal.astype(np.float32)

    def shoot(self, camera: Camera, street_to_camera: NDArray[np.float64], rng: Generator | None = None) -> Photograph:
        """Photograph the street; without ``rng`` the picture is free of exposure, blur and noise."""
        shape = (camera.height, camera.width)
        rays, position = pixel_rays(camera, street_to_camera)
        hits = self._caster.cast(position, rays)
        direction = rays.astype(np.float32)
        hit = hits.triangle >= 0
        index = np.flatnonzero(hit)
        triangle, depth = hits.triangle[index], hits.distance[index]
        toward, length = direction[index], np.sqrt(np.einsum("ij,ij->i", direction[index], direction[index]))
        normal = self._normal[triangle]
        facing = np.einsum("ij,ij->i", normal, toward)
        normal = normal * -np.sign(facing)[:, None]
        cosine = np.abs(facing) / length
        point = position.astype(np.float32) + toward * depth[:, None]
        footprint = depth * np.float32(1 / camera.fx) / np.sqrt(np.maximum(cosine, np.float32(0.05)))
        color = self._skin.albedo(triangle, hits.u[index], hits.v[index], footprint)
        color *= self._brightness(triangle, normal, self._sunshine(index, point, normal, shape))
        haze = (1 - np.exp(depth * length / np.float32(-260)))[:, None]
        color += (self._light.horizon - color) * haze
        image = np.empty((len(rays), 3), dtype=np.float32)
        image[index] = color
        if len(index) < len(rays):
            image[~hit] = self._light.sky(direction[~hit])
        picture = image.reshape(*shape, 3)
        if rng is not None:
            picture = photographed(picture, rng)
        item = np.full(len(rays), -1, dtype=np.int32)
        item[index] = self._mesh.item[triangle]
        return Photograph(
            np.clip(picture, 0, 255).astype(np.uint8),
            np.where(hit, hits.distance, np.float32(0)).reshape(shape),
            item.reshape(shape),
        )

    def _sunshine(self, index: NDArray[np.int64], point: NDArray[np.float32], normal: NDArray[np.float32],
                  shape: tuple[int, int]) -> NDArray[np.float32]:  # fmt: skip
        """How much sun falls on the surfaces (n,) that pixels ``index`` show: cosine, and shadows with soft borders."""
        cosine = np.maximum(normal @ self._light.sun, 0)
        rows, columns = shape
        # Shadows at half the resolution, then blurred.
        chosen = np.flatnonzero((index // columns % 2 == 0) & (index % columns % 2 == 0) & (cosine > 0.02))
        start = point[chosen] + np.float32(0.02) * normal[chosen]
        far = np.broadcast_to(np.float32(120) * self._light.sun, start.shape)
        half = np.ones(((rows + 1) // 2, (columns + 1) // 2), dtype=np.float32)
        lit = ~self._caster.blocked(start, far)
        half[index[chosen] // columns // 2, index[chosen] % columns // 2] = lit
        soft = blurred(half, 0.2).repeat(2, axis=0).repeat(2, axis=1)[:rows, :columns].reshape(-1)
        shone: NDArray[np.float32] = cosine * soft[index]
        return shone

    def _brightness(self, triangle: NDArray[np.int32], normal: NDArray[np.float32],
                    sunshine: NDArray[np.float32]) -> NDArray[np.float32]:  # fmt: skip
        """Factors (n, 3) for texture colours: light of the sky, of the sun, and the surfaces' own."""
        clear = np.float32(self._light.clear)
        ambient = (np.float32(0.62) - np.float32(0.22) * clear) * (
            1 + np.float32(0.28) * normal[:, 2] + np.float32(0.08) * normal[:, 0]
        )
        light = (
            ambient[:, None]
            + ((np.float32(0.28) + np.float32(0.75) * clear) * sunshine)[:, None] * self._light.sunlight
        )
        glow = self._mesh.glow[triangle][:, None]
        # The root stands for the camera's gamma curve.
        factor: NDArray[np.float32] = np.sqrt(light * (1 - glow) + np.float32(1.2) * glow)
        return factor

"""What cameras of all worlds have in common: rays through pixels, textures of what they hit, lens and sensor."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.scene import Camera
from ditr.worlds.common.atlas import Atlas
from ditr.worlds.common.mesh import Mesh

__all__ = ["Skin", "blurred", "photographed", "pixel_rays"]


class Skin:
    """The textures of a mesh, ready to be looked up."""

    def __init__(self, mesh: Mesh, atlas: Atlas) -> None:
        self._mesh, self._atlas = mesh, atlas
        self._uv = mesh.uv[:, 0].astype(np.float32)
        edges = np.stack([mesh.uv[:, 1] - mesh.uv[:, 0], mesh.uv[:, 2] - mesh.uv[:, 0]], axis=1)
        self._edges = edges.astype(np.float32)
        # Texels per metre, from the number of texels that a triangle covers.
        texels = np.abs(np.linalg.det(edges)) / 2 * atlas.sizes()[mesh.texture].prod(axis=1)
        self._density = np.sqrt(texels / mesh.area).astype(np.float32)

    def albedo(self, triangle: NDArray[np.int32], u: NDArray[np.float32], v: NDArray[np.float32],
               footprint: NDArray[np.float32]) -> NDArray[np.float32]:  # fmt: skip
        """Texture colours (n, 3) in 0..255 at points of triangles, averaged over ``footprint`` metres."""
        edges = self._edges[triangle]
        uv = self._uv[triangle] + edges[:, 0] * u[:, None] + edges[:, 1] * v[:, None]
        level = np.log2(np.maximum(footprint * self._density[triangle], np.float32(1e-3)))
        return self._atlas.sample(self._mesh.texture[triangle], uv, level)


def blurred(image: NDArray[np.float32], side: float) -> NDArray[np.float32]:
    """The image (h, w, ...) averaged over 3x3 pixels; ``side`` is the weight of each neighbour in a row or column."""
    middle, around = np.float32(1 - 2 * side), np.float32(side)
    tall = image.copy()
    tall[1:-1] = middle * image[1:-1] + around * (image[:-2] + image[2:])
    wide = tall.copy()
    wide[:, 1:-1] = middle * tall[:, 1:-1] + around * (tall[:, :-2] + tall[:, 2:])
    return wide


def pixel_rays(camera: Camera, world_to_camera: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions (n, 3) through the pixels' centres, of length 1 along the optical axis, and the camera's position."""
    x = (np.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    y = (np.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    local = np.stack([*np.meshgrid(x, y), np.ones((camera.height, camera.width))], axis=-1).reshape(-1, 3)
    rotation = world_to_camera[:3, :3]
    return local @ rotation, -rotation.T @ world_to_camera[:3, 3]


def photographed(image: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Exposure, white balance, a lens that is not quite sharp, and the noise of a small sensor."""
    balance = (rng.uniform(0.88, 1.12) * rng.uniform(0.96, 1.04, 3)).astype(np.float32)
    grain = rng.standard_normal((*image.shape[:2], 1), dtype=np.float32) * np.float32(rng.uniform(1.5, 4.0))
    return blurred(image, 0.15) * balance + grain

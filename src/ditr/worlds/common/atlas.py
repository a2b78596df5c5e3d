"""All textures of a room in one array with smaller copies of each, looked up for many surface points at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["LEVELS", "Atlas"]

LEVELS = 6
"""Copies per texture, each half as large as the one before."""


class Atlas:
    """Textures that are added one by one and sampled together."""

    def __init__(self) -> None:
        self._images: list[NDArray[np.uint8]] = []
        self._texels: NDArray[np.uint32] | None = None
        self._offset = self._rows = self._columns = np.zeros((0, LEVELS), dtype=np.int32)

    def add(self, image: NDArray[np.uint8]) -> int:
        """Take a texture (h, w, 3) and return its index."""
        self._images.append(image)
        self._texels = None
        return len(self._images) - 1

    def sizes(self) -> NDArray[np.float64]:
        """(textures, 2): width and height of each texture in texels."""
        return np.array([(image.shape[1], image.shape[0]) for image in self._images], dtype=np.float64)

    def _pack(self) -> NDArray[np.uint32]:
        parts: list[NDArray[np.uint32]] = []
        shapes: list[tuple[int, int]] = []
        for image in self._images:
            if image.shape[:2] == (1, 1):  # one colour: all copies are alike
                texel = np.append(image[0, 0], np.uint8(255)).view(np.uint32)
                parts.extend([texel] * LEVELS)
                shapes.extend([(1, 1)] * LEVELS)
                continue
            level = Image.fromarray(image).convert("RGBA")
            for _ in range(LEVELS):
                parts.append(np.asarray(level).view(np.uint32).reshape(-1))
                shapes.append((level.height, level.width))
                level = level.reduce((min(2, level.width), min(2, level.height)))
        shape = np.array(shapes, dtype=np.int32).reshape(-1, LEVELS, 2)
        sizes = shape.prod(axis=2).reshape(-1)
        self._offset = (np.cumsum(sizes) - sizes).astype(np.int32).reshape(-1, LEVELS)
        self._rows, self._columns = shape[..., 0], shape[..., 1]
        return np.concatenate(parts)

    def sample(
        self, texture: NDArray[np.int32], uv: NDArray[np.float32], level: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Colours (n, 3) in 0..255, bilinear within the nearest of the halved copies.

        Args:
            texture: (n,) indices.
            uv: (n, 2), one unit is one repeat.
            level: (n,) log2 of the number of texels that fall on one sample.
        """
        if self._texels is None:
            self._texels = self._pack()
        step = np.clip(np.rint(level), 0, LEVELS - 1).astype(np.int32)
        flat = texture * LEVELS + step
        rows, columns = self._rows.reshape(-1)[flat], self._columns.reshape(-1)[flat]
        # float32 throughout: mixed with int32 numpy would compute in float64.
        turn = uv - np.floor(uv)
        x = turn[:, 0] * columns.astype(np.float32) - np.float32(0.5)
        y = turn[:, 1] * rows.astype(np.float32) - np.float32(0.5)
        x_floor, y_floor = np.floor(x), np.floor(y)
        fx, fy = (x - x_floor)[:, None], (y - y_floor)[:, None]
        x0, y0 = x_floor.astype(np.int32), y_floor.astype(np.int32)
        # Clamped at the borders of a repeat, so that a face that shows its texture once does not wrap around.
        left, right = np.maximum(x0, 0), np.minimum(x0 + 1, columns - 1)
        offset = self._offset.reshape(-1)[flat]
        top = offset + np.maximum(y0, 0) * columns
        bottom = offset + np.minimum(y0 + 1, rows - 1) * columns
        upper = self._fetch(top + left)
        upper += (self._fetch(top + right) - upper) * fx
        lower = self._fetch(bottom + left)
        lower += (self._fetch(bottom + right) - lower) * fx
        upper += (lower - upper) * fy
        return upper

    def _fetch(self, index: NDArray[np.int32]) -> NDArray[np.float32]:
        assert self._texels is not None
        return self._texels[index].view(np.uint8).reshape(-1, 4)[:, :3].astype(np.float32)

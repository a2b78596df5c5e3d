"""Points to pixels: which point does each pixel of a picture show, and how is it shaded?

The work is done once per camera (:func:`rasterise`) and the result is painted as often as wished, since ground truth,
predictions and features of one cloud differ in colour only (:meth:`Raster.paint`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["Raster", "rasterise"]

_EMPTY = np.iinfo(np.uint64).max
_DEPTH_BITS = np.uint64(32)
_DARKEST = 0.4
_AT_ONCE = 1 << 19  # subpixels


@dataclass(frozen=True, eq=False)
class Raster:
    """The point shown by each subpixel.

    Attributes:
        index: (height * supersampling, width * supersampling) int32, the number of the point, -1 for none.
        shade: same shape, float32 in (0, 1]: brightness that makes edges and folds readable.
        supersampling: subpixels per pixel along each axis.
    """

    index: NDArray[np.int32]
    shade: NDArray[np.float32]
    supersampling: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the painted picture in pixels."""
        return self.index.shape[0] // self.supersampling, self.index.shape[1] // self.supersampling

    @cached_property
    def coverage(self) -> NDArray[np.float32]:
        """(height, width) float32: the share of each pixel that shows a point."""
        shown = [(self.index[part] >= 0).astype(np.float32) for part in self._parts()]
        return np.asarray(sum(shown) / np.float32(len(shown)))

    def paint(
        self,
        color: NDArray[np.uint8],
        background: NDArray[np.uint8] | tuple[int, int, int] = (255, 255, 255),
        *,
        opacity: float = 1.0,
        shading: float = 1.0,
    ) -> NDArray[np.uint8]:
        """Colour the picture.

        Args:
            color: (N, 3) uint8, one per point that was rasterised.
            background: one colour, or an image (height, width, 3) uint8 of the picture's size.
            opacity: 1 hides the background where there are points, 0 shows it alone.
            shading: 1 applies :attr:`shade` in full, 0 paints plain colours.

        Returns:
            (height, width, 3) uint8.

        Raises:
            InputError: colours of another shape, or a background image of another size.
        """
        color = np.asarray(color)
        last = int(self.index.max(initial=-1))
        if color.ndim != 2 or color.shape[1] != 3 or len(color) <= last:
            raise InputError("colours", f"shape {color.shape} for point number {last}", "Give (N, 3), one per point")
        back = np.asarray(background, dtype=np.float32)
        if back.ndim == 3 and back.shape != (*self.size, 3):
            raise InputError("background", f"shape {back.shape} for a picture of {self.size}", "Resize the image first")
        lit = np.zeros((*self.size, 3), dtype=np.float32)
        for part in self._parts():
            number = self.index[part]
            light = np.where(number >= 0, 1 - np.float32(shading) * (1 - self.shade[part]), np.float32(0))
            lit += color[np.maximum(number, 0)] * light[..., None]
        share = np.float32(opacity)
        mixed = lit * (share / self.supersampling**2) + (1 - share * self.coverage[..., None]) * back
        return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)

    def _parts(self) -> list[tuple[slice, slice]]:
        """Slices that take one subpixel of each pixel."""
        s = self.supersampling
        return [(slice(i, None, s), slice(j, None, s)) for i in range(s) for j in range(s)]


def rasterise(
    pixel: NDArray[np.float64],
    depth: NDArray[np.float64],
    radius: NDArray[np.float64],
    reach: NDArray[np.float64],
    *,
    size: tuple[int, int],
    number: NDArray[np.int64],
    supersampling: int = 2,
    shaded: bool = True,
) -> Raster:
    """Draw each point as a disc, the nearest in front.

    A disc is a shallow bowl whose rim lies ``reach`` behind its centre. Discs of neighbouring points on one surface
    therefore meet half way between them, instead of the nearer one covering the other.

    Args:
        pixel: (M, 2) centres, in pixels of the picture.
        depth: (M,) positive distances along the optical axis.
        radius: (M,) of the discs, in pixels of the picture.
        reach: (M,) how far the rim lies behind the centre, in the unit of ``depth``.
        size: height and width of the picture.
        number: (M,) what :attr:`Raster.index` shall say for each point.
        supersampling: subpixels per pixel along each axis.
        shaded: whether there is a shade; else it is 1.
    """
    height, width = size[0] * supersampling, size[1] * supersampling
    buffer = np.full(height * width, _EMPTY, dtype=np.uint64)
    center = np.floor(pixel * supersampling).astype(np.int64)
    steps = np.rint(np.maximum(radius * supersampling - 0.5, 0.0)).astype(np.int64)
    for step in np.unique(steps):
        chosen = np.flatnonzero(steps == step)
        _splat(buffer, center[chosen], depth[chosen], reach[chosen], number[chosen], int(step), (height, width))
    index = buffer.astype(np.uint32).view(np.int32).reshape(height, width)  # the lower half; of an empty key it is -1
    if not shaded:
        return Raster(index, np.broadcast_to(np.float32(1), index.shape), supersampling)
    buffer >>= _DEPTH_BITS
    z = buffer.astype(np.uint32).view(np.float32).reshape(height, width)
    del buffer
    return Raster(index, _fold_shading(z, index < 0, supersampling), supersampling)


def _splat(
    buffer: NDArray[np.uint64],
    center: NDArray[np.int64],
    depth: NDArray[np.float64],
    reach: NDArray[np.float64],
    number: NDArray[np.int64],
    step: int,
    size: tuple[int, int],
) -> None:
    """Draw discs of one size (``step`` subpixels from centre to rim) into the buffer of (depth, number) keys.

    The bits of a positive float32 sort as the number does, so the smallest 64-bit key is the nearest point, and of
    points at equal depth the one with the smallest number: the picture does not depend on the order of drawing.
    """
    height, width = size
    dy, dx = (side.ravel() for side in np.mgrid[-step : step + 1, -step : step + 1])
    share = (dx * dx + dy * dy) / (step + 0.5) ** 2
    dy, dx, share = dy[share <= 1], dx[share <= 1], share[share <= 1]
    several = max(1, _AT_ONCE // len(share))
    for start in range(0, len(center), several):
        part = slice(start, start + several)
        x, y = center[part, :1] + dx, center[part, 1:] + dy
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        z = depth[part, None] + share * reach[part, None]
        key = z[inside].astype(np.float32).view(np.uint32).astype(np.uint64) << _DEPTH_BITS
        key |= np.broadcast_to(number[part, None].astype(np.uint64), inside.shape)[inside]
        np.minimum.at(buffer, (y * width + x)[inside], key)


def _fold_shading(
    depth: NDArray[np.float32], empty: NDArray[np.bool_], supersampling: int, strength: float = 10.0
) -> NDArray[np.float32]:
    """Eye-dome lighting: darken what lies behind its surroundings.

    Inverse depth is linear over the picture of a plane, so the test is made on its second difference: planes stay
    bright however obliquely they are seen, and only folds and the far side of an edge are darkened.
    """
    height, width = depth.shape
    margin, rows = 3 * supersampling, max(1, _AT_ONCE // width)
    shade = np.empty_like(depth)
    for start in range(0, height, rows):
        stop = min(start + rows, height)
        low, high = max(start - margin, 0), min(stop + margin, height)
        inverse = np.where(empty[low:high], np.float32(0), 1 / np.maximum(depth[low:high], np.float32(1e-6)))
        # Zero beyond the border, as where there is no point.
        padded = np.pad(inverse, ((margin - start + low, margin - high + stop), (margin, margin)))
        relative = _dents(padded, margin, supersampling)
        shade[start:stop] = _DARKEST + (1 - _DARKEST) * np.exp(-strength * relative)
    return shade


def _dents(padded: NDArray[np.float32], margin: int, supersampling: int) -> NDArray[np.float32]:
    """How far each subpixel lies behind its surroundings, for inverse depths with a margin; relative to its own."""
    height, width = padded.shape[0] - 2 * margin, padded.shape[1] - 2 * margin
    inverse = padded[margin : margin + height, margin : margin + width]
    most = np.float32(0.05) * inverse
    dent = np.zeros_like(inverse)
    for distance in (supersampling, margin):
        for dy, dx in ((0, distance), (distance, 0), (distance, distance), (distance, -distance)):
            one = padded[margin + dy : margin + dy + height, margin + dx : margin + dx + width]
            other = padded[margin - dy : margin - dy + height, margin - dx : margin - dx + width]
            behind = np.float32(0.5) * (one + other) - inverse
            np.minimum(behind, most, out=behind)
            np.maximum(behind, 0, out=behind)
            behind *= (one > 0) & (other > 0)
            dent += behind
    return np.divide(dent, inverse, out=dent, where=inverse > 0)

"""Painters of what one walks, drives and grows on, of leaves, bark and metal; all of them repeat."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ditr.worlds.common.paint import Canvas, Color, Painter, Pixels, Range, color, grained, noise, size, tinted

__all__ = [
    "asphalt",
    "bark",
    "bond",
    "clipboard",
    "concrete",
    "conifer",
    "dry_grass",
    "flagstones",
    "grass",
    "gravel",
    "hedge",
    "leaves",
    "palm_leaf",
    "pavers",
    "red_pavers",
    "rust",
    "setts",
    "slabs",
    "steel",
    "stone_wall",
    "white_line",
    "wooden_boards",
]

_FINE, _COARSE = 40.0, 20.0  # texels per metre


def asphalt(rng: Generator, width: float, height: float) -> Pixels:
    """Tar and grit with patches and cracks."""
    columns, rows = size(width, height, _COARSE)
    base = color(rng, (0.55, 0.7), (0.0, 0.06), (0.26, 0.42))
    grit = 6 * noise(rng, columns, rows, (1.2, 1.2)) + 5 * noise(rng, columns, rows, (25, 25))
    canvas = Canvas(width, height, tinted(base, grit), _COARSE)
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        steps = np.cumsum(rng.normal(0, 0.25, (8, 2)), axis=0) + np.array([x, y])
        canvas.line(steps, (base[0] - 26, base[1] - 26, base[2] - 25), 1)
    if rng.random() < 0.5:
        shade = int(rng.integers(-16, 12))
        fill = (base[0] + shade, base[1] + shade, base[2] + shade)
        canvas.box(rng.uniform(0, 0.6 * width), rng.uniform(0, 0.6 * height), 0.3 * width, 0.2 * height, fill)
    return canvas.pixels()


def white_line(rng: Generator, width: float, height: float) -> Pixels:
    """Road paint, worn."""
    columns, rows = size(width, height, _FINE)
    worn = np.minimum(14 * noise(rng, columns, rows, (3, 3)), 10)
    return tinted(color(rng, (0.1, 0.16), (0.0, 0.06), (0.84, 0.95)), worn)


def bond(
    rng: Generator,
    shape: tuple[int, int],
    stone: Color,
    step: tuple[float, float],
    shift: float,
    spread: int,
    joint: int,
) -> Pixels:
    """Stones in rows, each of its own shade; the texture is ``shape`` (rows, columns), ``step`` (x, y) in texels.

    Every other row is moved by ``shift`` stones; joints are darker by ``joint``, or lighter where it is negative.
    """
    y, x = np.arange(shape[0])[:, None], np.arange(shape[1])[None]
    row = (y / step[1]).astype(np.int64)
    along = x / step[0] + shift * (row % 2)
    column = along.astype(np.int64)
    shade = rng.integers(-spread, spread + 1, (int(row.max()) + 1, int(column.max()) + 1))[row, column].astype(
        np.float32
    )
    thin = max(1.0, 0.03 * _FINE)
    shade[((along - column) * step[0] < thin) | (y - row * step[1] < thin)] = -joint
    return tinted(stone, shade, 4 * noise(rng, shape[1], shape[0], (1.5, 1.5)))


def _paved(hue: Range, saturation: Range, value: Range, step: Range, shift: float, spread: int, joint: int) -> Painter:
    """:func:`bond` with ``step`` in metres."""

    def paint(rng: Generator, width: float, height: float) -> Pixels:
        columns, rows = size(width, height, _FINE)
        stone = color(rng, hue, saturation, value)
        return bond(rng, (rows, columns), stone, (step[0] * _FINE, step[1] * _FINE), shift, spread, joint)

    return paint


slabs = _paved((0.08, 0.14), (0.02, 0.12), (0.55, 0.72), (0.8, 0.8), 0.0, 7, 40)
"""Concrete slabs."""
flagstones = _paved((0.07, 0.12), (0.05, 0.18), (0.66, 0.8), (1.0, 0.5), 0.5, 9, 45)
"""Large pale slabs in bond."""
pavers = _paved((0.05, 0.12), (0.03, 0.1), (0.48, 0.64), (0.25, 0.25), 0.5, 14, 45)
"""Small grey concrete blocks."""
red_pavers = _paved((0.01, 0.05), (0.35, 0.55), (0.45, 0.62), (0.25, 0.125), 0.5, 16, 30)
"""Clay blocks."""
setts = _paved((0.55, 0.7), (0.02, 0.1), (0.3, 0.42), (0.17, 0.17), 0.5, 20, 40)
"""Dark granite cubes."""
concrete = grained((0.08, 0.14), (0.0, 0.08), (0.58, 0.74), (8, (14, 14)), (5, (1.5, 1.5)), density=_COARSE)
"""Cast concrete with stains."""


def _lawn(rng: Generator, width: float, height: float, base: Color, bare: Color) -> Pixels:
    columns, rows = size(width, height, _FINE)
    blades = 20 * noise(rng, columns, rows, (1.3, 2.2)) + 10 * noise(rng, columns, rows, (7, 7))
    patch = np.clip(noise(rng, columns, rows, (40, 40)) - 0.6, 0, 1)[..., None]
    mixed = (
        tinted(base, blades) * (1 - patch)
        + (np.asarray(bare) + 8 * noise(rng, columns, rows, (2, 2))[..., None]) * patch
    )
    pixels: Pixels = np.clip(mixed, 0, 255).astype(np.uint8)
    return pixels


def grass(rng: Generator, width: float, height: float) -> Pixels:
    """A green lawn with bare spots."""
    return _lawn(rng, width, height, color(rng, (0.22, 0.3), (0.45, 0.65), (0.34, 0.5)), (112, 92, 66))


def dry_grass(rng: Generator, width: float, height: float) -> Pixels:
    """A lawn that wants water."""
    return _lawn(rng, width, height, color(rng, (0.13, 0.2), (0.35, 0.5), (0.5, 0.64)), (150, 125, 90))


gravel = grained((0.06, 0.12), (0.08, 0.22), (0.5, 0.66), (24, (2, 2)), (8, (1, 1)), density=_FINE)
"""Loose stones."""


def _foliage(rng: Generator, width: float, height: float, base: Color, spread: int, leaf: float) -> Pixels:
    canvas = Canvas(width, height, (base[0] // 2, base[1] // 2, base[2] // 2), _FINE)
    for x, y in rng.uniform(0, 1, (round(1.1 * width * height / leaf**2), 2)) * [width, height]:
        d = int(rng.integers(-spread, spread + 1))
        fill = (max(0, base[0] + d), max(0, base[1] + d), max(0, base[2] + d // 2))
        canvas.disc(x, y, leaf * rng.uniform(0.4, 0.9), leaf * rng.uniform(0.3, 0.7), fill)
    return canvas.pixels()


def leaves(rng: Generator, width: float, height: float) -> Pixels:
    """Broad leaves over their own shade."""
    base = color(rng, (0.2, 0.33), (0.4, 0.7), (0.3, 0.52))
    return _foliage(rng, width, height, base, 34, 0.08)


conifer = grained((0.3, 0.42), (0.35, 0.55), (0.22, 0.36), (26, (1.5, 5)), density=_FINE)
"""Needles."""
palm_leaf = grained((0.2, 0.28), (0.4, 0.6), (0.35, 0.52), (26, (2, 40)), density=_FINE)
"""Stripes of a frond."""


def hedge(rng: Generator, width: float, height: float) -> Pixels:
    """Small clipped leaves."""
    return _foliage(rng, width, height, color(rng, (0.24, 0.36), (0.4, 0.65), (0.26, 0.42)), 26, 0.05)


bark = grained((0.05, 0.11), (0.15, 0.4), (0.28, 0.46), (24, (2.5, 12)), density=_FINE)
"""Furrows along the trunk."""
steel = grained((0.4, 0.62), (0.0, 0.12), (0.35, 0.68), (4, (3, 12)), density=_COARSE)
"""Galvanised or painted grey."""
rust = grained((0.3, 0.6), (0.05, 0.3), (0.12, 0.25), (6, (3, 3)), density=_COARSE)
"""Dark painted iron."""


def stone_wall(rng: Generator, width: float, height: float) -> Pixels:
    """Rough stones in mortar."""
    canvas = Canvas(width, height, (150, 143, 130), _FINE)
    stone = color(rng, (0.06, 0.13), (0.08, 0.25), (0.45, 0.62))
    for row in range(round(height / 0.25)):
        x = -rng.uniform(0, 0.3)
        while x < width:
            long = rng.uniform(0.25, 0.5)
            d = int(rng.integers(-22, 23))
            canvas.box(x, row * 0.25, long - 0.04, 0.21, (stone[0] + d, stone[1] + d, stone[2] + d))
            x += long
    return canvas.pixels()


def wooden_boards(rng: Generator, width: float, height: float) -> Pixels:
    """Upright boards."""
    columns, rows = size(width, height, _FINE)
    base = color(rng, (0.05, 0.1), (0.25, 0.5), (0.4, 0.65))
    pixels = tinted(base, 9 * noise(rng, columns, rows, (2, 30))).astype(np.int16)
    for x in range(0, columns, 6):
        pixels[:, x : x + 6] += int(rng.integers(-14, 15))
        pixels[:, x] -= 40
    return np.clip(pixels, 0, 255).astype(np.uint8)


def clipboard(rng: Generator, width: float, height: float) -> Pixels:
    """Overlapping boards that lie, as on wooden houses."""
    columns, rows = size(width, height, _FINE)
    base = color(rng, (0.05, 0.65), (0.03, 0.3), (0.66, 0.92))
    pixels = tinted(base, 3 * noise(rng, columns, rows, (20, 2))).astype(np.int16)
    pixels[::7] -= 45
    pixels[1::7] -= 15
    return np.clip(pixels, 0, 255).astype(np.uint8)

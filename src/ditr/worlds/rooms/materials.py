"""Painters of surfaces without a picture on them: paint, wood, cloth, leaves; most of them repeat."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ditr.worlds.common.paint import Canvas, Pixels, color, grained, noise, size, tinted

# --- walls and ceilings ------------------------------------------------------------------------------------------

_WALL = ((0.05, 0.65), (0.0, 0.18), (0.78, 0.95))
wall_paint = grained(*_WALL, (3, (60, 60)), (2, (2, 3)))
"""Plain paint with stains and roller marks."""
wall_plaster = grained(*_WALL, (7, (5, 5)), (4, (2, 2)))
"""Rough plaster."""


def wall_stripes(rng: Generator, width: float, height: float) -> Pixels:
    """Wallpaper with upright stripes."""
    columns, rows = size(width, height)
    count = int(rng.integers(4, 10))
    wave = np.sin(np.arange(columns) * (2 * np.pi * count / columns), dtype=np.float32)
    return tinted(color(rng, *_WALL), np.tile(9 * np.sign(wave), (rows, 1)), 3 * noise(rng, columns, rows, (3, 30)))


def wall_brick(rng: Generator, width: float, height: float) -> Pixels:
    """Painted or bare brick (test rooms only)."""
    mortar = color(rng, (0.05, 0.12), (0.02, 0.1), (0.7, 0.85))
    brick = color(rng, (0.0, 0.08), (0.05, 0.45), (0.6, 0.85))
    canvas = Canvas(width, height, mortar)
    rows = round(height / 0.08)
    for row in range(rows):
        for column in range(-1, round(width / 0.24) + 1):
            shift = int(rng.integers(-14, 15))
            fill = (brick[0] + shift, brick[1] + shift, brick[2] + shift)
            canvas.box((column + 0.5 * (row % 2)) * 0.24, row * 0.08, 0.228, 0.068, fill)
    return canvas.pixels()


def wall_floral(rng: Generator, width: float, height: float) -> Pixels:
    """Wallpaper with scattered flowers (test rooms only)."""
    ground = color(rng, *_WALL)
    canvas = Canvas(width, height, ground)
    petal = color(rng, (0.0, 1.0), (0.15, 0.4), (0.6, 0.85))
    for x, y in rng.uniform(0, 1, (40, 2)) * [width, height]:
        for angle in np.arange(5) * 1.257:
            canvas.disc(x + 0.018 * np.cos(angle), y + 0.018 * np.sin(angle), 0.012, 0.012, petal)
    return canvas.pixels()


ceiling_paint = grained((0.08, 0.2), (0.0, 0.06), (0.88, 0.97), (3, (40, 40)))
"""White paint."""


def ceiling_panels(rng: Generator, width: float, height: float) -> Pixels:
    """Square acoustic panels with holes."""
    columns, rows = size(width, height)
    canvas = Canvas(
        width, height, tinted(color(rng, (0.1, 0.2), (0, 0.05), (0.84, 0.94)), 6 * noise(rng, columns, rows, (2, 2)))
    )
    canvas.box(0, 0, width, height, None, (150, 150, 148), 2)
    return canvas.pixels()


# --- floors ------------------------------------------------------------------------------------------------------

_WOOD = ((0.055, 0.1), (0.3, 0.62), (0.38, 0.8))


def floor_planks(rng: Generator, width: float, height: float) -> Pixels:
    """Boards with grain and joints."""
    columns, rows = size(width, height)
    image = tinted(color(rng, *_WOOD), 9 * noise(rng, columns, rows, (50, 2))).astype(np.int16)
    board = max(8, rows // int(rng.integers(5, 10)))
    for top in range(0, rows, board):
        joint = int(rng.integers(0, columns))
        for start, end in ((0, joint), (joint, columns)):
            image[top : top + board, start:end] += int(rng.integers(-16, 17))
        image[top, :] -= 45
        image[top : top + board, joint - 1 : joint + 1] -= 40
    return np.clip(image, 0, 255).astype(np.uint8)


floor_carpet = grained((0.5, 1.1), (0.03, 0.3), (0.3, 0.6), (14, (1.5, 1.5)), (5, (25, 25)))
"""Short pile, speckled."""


def floor_tiles(rng: Generator, width: float, height: float) -> Pixels:
    """Square tiles with grout."""
    columns, rows = size(width, height)
    base = color(rng, (0.05, 0.15), (0.03, 0.22), (0.55, 0.85))
    canvas = Canvas(
        width, height, tinted(base, 7 * noise(rng, columns, rows, (9, 9)), 3 * noise(rng, columns, rows, (2, 2)))
    )
    count = int(rng.integers(2, 5))
    for k in range(count + 1):
        canvas.line([(0, k * height / count), (width, k * height / count)], (120, 115, 110), 2)
        canvas.line([(k * width / count, 0), (k * width / count, height)], (120, 115, 110), 2)
    return canvas.pixels()


def floor_chevron(rng: Generator, width: float, height: float) -> Pixels:
    """Parquet in a zigzag (test rooms only)."""
    base = np.asarray(color(rng, *_WOOD))
    canvas = Canvas(width, height, (90, 65, 40))
    columns = 6
    step, rise = width / columns, height / 12
    for column in range(columns):
        slope = step * 0.8 * (1 if column % 2 else -1)
        for row in range(-4, 16):
            x, y = column * step, row * rise + (0 if column % 2 else step * 0.8)
            shade = base + rng.integers(-18, 19)
            corners = [(x, y), (x + step, y + slope), (x + step, y + slope + rise * 0.93), (x, y + rise * 0.93)]
            canvas.polygon(corners, (int(shade[0]), int(shade[1]), int(shade[2])))
    return canvas.pixels()


def floor_terrazzo(rng: Generator, width: float, height: float) -> Pixels:
    """Polished stone chips (test rooms only)."""
    canvas = Canvas(width, height, color(rng, (0.05, 0.2), (0.02, 0.1), (0.65, 0.85)))
    for x, y in rng.uniform(0, 1, (350, 2)) * [width, height]:
        canvas.disc(
            x, y, rng.uniform(0.003, 0.014), rng.uniform(0.003, 0.014), color(rng, (0, 1), (0, 0.3), (0.35, 0.8))
        )
    return canvas.pixels()


# --- furniture ---------------------------------------------------------------------------------------------------

wood = grained(*_WOOD, (10, (60, 3)), (5, (30, 1.5)))
"""Varnished wood with grain along x."""
lacquer = grained((0.05, 0.65), (0.0, 0.1), (0.6, 0.95), (2, (30, 30)))
"""White or grey lacquer."""
colored_lacquer = grained((0, 1), (0.35, 0.65), (0.45, 0.75), (2, (30, 30)))
"""Lacquer in a strong colour (test rooms only)."""
metal = grained((0.5, 0.65), (0.0, 0.08), (0.3, 0.75), (7, (40, 1.5)))
"""Brushed or painted metal."""
black_plastic = grained((0.5, 0.7), (0.0, 0.1), (0.1, 0.25), (2, (20, 20)))
"""Dark plastic."""
enamel = grained((0.08, 0.16), (0.0, 0.08), (0.85, 0.96), (2, (20, 20)))
"""The white enamel of radiators."""
weave = grained((0, 1), (0.08, 0.5), (0.25, 0.7), (9, (1.5, 3)), (9, (3, 1.5)))
"""Upholstery with a visible weave."""


def leather(rng: Generator, width: float, height: float) -> Pixels:
    """Brown or black leather with creases (test rooms only)."""
    columns, rows = size(width, height)
    base = color(rng, (0.02, 0.07), (0.3, 0.6), (0.18, 0.45))
    return tinted(base, -12 * np.abs(noise(rng, columns, rows, (9, 9))), 4 * noise(rng, columns, rows, (2, 2)))


def plaid(rng: Generator, width: float, height: float) -> Pixels:
    """Checked cloth (test rooms only)."""
    columns, rows = size(width, height)
    across, down = np.zeros((1, columns), np.float32), np.zeros((rows, 1), np.float32)
    for _ in range(4):
        period, thick = rng.uniform(12, 40), rng.uniform(0.15, 0.4)
        shade = rng.uniform(-35, 35)
        across += shade * ((np.arange(columns) / period) % 1 < thick)
        down += shade * ((np.arange(rows)[:, None] / period) % 1 < thick)
    return tinted(color(rng, (0, 1), (0.2, 0.55), (0.35, 0.65)), across + down)


def bedspread(rng: Generator, width: float, height: float) -> Pixels:
    """A blanket: soft folds, sometimes broad stripes."""
    columns, rows = size(width, height)
    folds = 9 * noise(rng, columns, rows, (25, 40)) + 4 * noise(rng, columns, rows, (3, 3))
    stripe = np.zeros((rows, 1), np.float32)
    if rng.random() < 0.5:
        stripe = (22 * np.sign(np.sin(np.arange(rows) / rng.uniform(4, 12))))[:, None].astype(np.float32)
    return tinted(color(rng, (0, 1), (0.1, 0.5), (0.45, 0.85)), folds + stripe)


def quilt(rng: Generator, width: float, height: float) -> Pixels:
    """Patchwork (test rooms only)."""
    canvas = Canvas(width, height, (200, 200, 200))
    for row in range(round(height / 0.2) + 1):
        for column in range(round(width / 0.2) + 1):
            canvas.box(column * 0.2, row * 0.2, 0.2, 0.2, color(rng, (0, 1), (0.1, 0.5), (0.4, 0.9)), (230, 230, 225))
    return canvas.pixels()


pillow = grained((0, 1), (0.0, 0.15), (0.85, 0.95), (7, (8, 8)))
"""White or pale cotton with creases."""


def leaf(rng: Generator, width: float, height: float) -> Pixels:
    """A green leaf with veins."""
    columns, rows = size(width, height)
    green = color(rng, (0.22, 0.38), (0.45, 0.8), (0.3, 0.6))
    canvas = Canvas(width, height, tinted(green, 10 * noise(rng, columns, rows, (5, 5))))
    vein = (min(255, green[0] + 50), min(255, green[1] + 50), min(255, green[2] + 30))
    canvas.line([(width / 2, 0), (width / 2, height)], vein, 2)
    for k in range(1, 6):
        for side in (0, width):
            canvas.line([(width / 2, k * height / 6), (side, k * height / 6 + 0.3 * height)], vein)
    return canvas.pixels()


def terracotta(rng: Generator, width: float, height: float) -> Pixels:
    """Flower pots: clay or glazed."""
    columns, rows = size(width, height)
    base = (
        color(rng, (0.02, 0.08), (0.45, 0.7), (0.5, 0.75))
        if rng.random() < 0.6
        else color(rng, (0, 1), (0, 0.3), (0.6, 0.9))
    )
    return tinted(base, 6 * noise(rng, columns, rows, (10, 4)))


lamp_shade = grained((0.08, 0.14), (0.12, 0.4), (0.9, 1.0), (8, (2, 20)))
"""Cloth or paper that glows."""


def cardboard(rng: Generator, width: float, height: float) -> Pixels:
    """A parcel with tape and a label."""
    columns, rows = size(width, height)
    canvas = Canvas(
        width,
        height,
        tinted(color(rng, (0.07, 0.1), (0.35, 0.5), (0.55, 0.75)), 4 * noise(rng, columns, rows, (30, 2))),
    )
    canvas.box(0.44 * width, 0, 0.12 * width, height, (190, 165, 120))
    canvas.box(0.1 * width, 0.2 * height, 0.28 * width, 0.3 * height, (235, 235, 230))
    canvas.writing(rng, 0.12 * width, 0.24 * height, 0.22 * width, 3, 0.07 * height, (40, 40, 40))
    return canvas.pixels()

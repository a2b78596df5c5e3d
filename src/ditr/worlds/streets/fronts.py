"""Painters of façades: tiles of two windows by two floors that repeat, ground floors, doors and roofs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ditr.worlds.common.paint import Canvas, Color, Pixels, color, noise, tinted
from ditr.worlds.streets.grounds import bond, clipboard

__all__ = [
    "brick_house",
    "concrete_block",
    "entrance",
    "garage_door",
    "glass_tower",
    "office_bands",
    "plaster_house",
    "roof_shingles",
    "roof_tiles",
    "shop_front",
    "wooden_house",
]

_DENSITY = 26.0


def _shifted(base: Color, by: int) -> Color:
    return (
        min(255, max(0, base[0] + by)),
        min(255, max(0, base[1] + by)),
        min(255, max(0, base[2] + by)),
    )


def _pane(rng: Generator, canvas: Canvas, x: float, y: float, width: float, height: float, frame: Color) -> None:
    """A window: frame, glass that mirrors the sky, curtains or a cross."""
    glass = color(rng, (0.52, 0.62), (0.1, 0.4), (0.22, 0.48))
    canvas.box(x - 0.08, y - 0.08, width + 0.16, height + 0.16, frame)
    canvas.box(x, y, width, height, glass)
    bright = _shifted(glass, int(rng.integers(18, 55)))
    canvas.polygon([(x, y), (x + 0.7 * width, y), (x, y + 0.6 * height)], bright)
    if rng.random() < 0.4:
        curtain = color(rng, (0, 1), (0.0, 0.2), (0.65, 0.9))
        canvas.box(x, y, width, height * rng.uniform(0.2, 0.6), curtain)
    if width > 0.8:
        canvas.box(x + width / 2 - 0.04, y, 0.08, height, frame)
    canvas.box(x - 0.1, y + height + 0.04, width + 0.2, 0.08, _shifted(frame, -30))


def _windows(rng: Generator, canvas: Canvas, wide: float, tall: float, frame: Color) -> None:
    """Four windows on a tile of two bays by two floors."""
    bay, floor = canvas.width / 2, canvas.height / 2
    for row in range(2):
        for column in range(2):
            x, y = column * bay + (bay - wide) / 2, row * floor + 0.3 * (floor - tall) + 0.1
            _pane(rng, canvas, x, y, wide, tall, frame)


def _rough(rng: Generator, base: Color, width: float, height: float, much: float) -> Canvas:
    columns, rows = max(8, round(width * _DENSITY)), max(8, round(height * _DENSITY))
    fields = (much * noise(rng, columns, rows, (2, 2)), much * noise(rng, columns, rows, (30, 30)))
    return Canvas(width, height, tinted(base, *fields), _DENSITY)


def plaster_house(rng: Generator, width: float, height: float) -> Pixels:
    """Painted plaster with shutters."""
    canvas = _rough(rng, color(rng, (0.03, 0.17), (0.05, 0.4), (0.72, 0.95)), width, height, 4)
    wide, tall = rng.uniform(0.85, 1.2), rng.uniform(1.3, 1.6)
    if rng.random() < 0.5:
        shutter = color(rng, (0.25, 0.65), (0.2, 0.6), (0.25, 0.5))
        for row in range(2):
            for column in range(2):
                x, y = column * width / 2 + (width / 2 - wide) / 2, row * height / 2 + 0.3 * (height / 2 - tall) + 0.1
                canvas.box(x - 0.5, y, 0.4, tall, shutter)
                canvas.box(x + wide + 0.1, y, 0.4, tall, shutter)
    _windows(rng, canvas, wide, tall, (238, 236, 230))
    return canvas.pixels()


def brick_house(rng: Generator, width: float, height: float) -> Pixels:
    """Red or brown brick with stone lintels."""
    brick = color(rng, (0.0, 0.06), (0.35, 0.6), (0.4, 0.6))
    shape = round(height * _DENSITY), round(width * _DENSITY)
    step = (0.36 * _DENSITY, shape[0] / round(height / 0.12))
    canvas = Canvas(width, height, bond(rng, shape, brick, step, 0.5, 16, -40), _DENSITY)
    wide, tall = rng.uniform(0.9, 1.2), rng.uniform(1.5, 1.8)
    _windows(rng, canvas, wide, tall, (225, 220, 208))
    return canvas.pixels()


def wooden_house(rng: Generator, width: float, height: float) -> Pixels:
    """Boards and white frames."""
    boards = clipboard(rng, width, height)
    canvas = Canvas(width, height, boards, 40.0)
    _windows(rng, canvas, rng.uniform(0.9, 1.5), rng.uniform(1.1, 1.4), (245, 245, 242))
    return canvas.pixels()


def concrete_block(rng: Generator, width: float, height: float) -> Pixels:
    """Grey panels with wide windows."""
    canvas = _rough(rng, color(rng, (0.05, 0.14), (0.0, 0.1), (0.55, 0.76)), width, height, 6)
    for k in range(2):
        canvas.line([(0, k * height / 2), (width, k * height / 2)], (110, 108, 104), 2)
        canvas.line([(k * width / 2, 0), (k * width / 2, height)], (110, 108, 104), 1)
    _windows(rng, canvas, 0.36 * width, rng.uniform(1.3, 1.6), (90, 92, 95))
    return canvas.pixels()


def office_bands(rng: Generator, width: float, height: float) -> Pixels:
    """Bands of glass between bands of stone."""
    canvas = _rough(rng, color(rng, (0.04, 0.14), (0.02, 0.25), (0.6, 0.85)), width, height, 4)
    for row in range(2):
        y = row * height / 2 + 0.6
        tall = 0.55 * height / 2
        canvas.box(0, y, width, tall, color(rng, (0.53, 0.6), (0.2, 0.4), (0.28, 0.42)))
        for column in range(6):
            glass = color(rng, (0.53, 0.6), (0.15, 0.4), (0.25, 0.55))
            canvas.box(column * width / 6 + 0.04, y, width / 6 - 0.08, tall, glass)
    return canvas.pixels()


def glass_tower(rng: Generator, width: float, height: float) -> Pixels:
    """A curtain wall that mirrors the sky."""
    hue = rng.uniform(0.48, 0.62)
    canvas = Canvas(width, height, color(rng, (hue, hue), (0.1, 0.3), (0.2, 0.35)), _DENSITY)
    columns, rows = 4, 4
    for row in range(rows):
        for column in range(columns):
            pane = color(rng, (hue - 0.02, hue + 0.02), (0.2, 0.45), (0.4, 0.78))
            canvas.box(column * width / columns + 0.04, row * height / rows + 0.05, width / columns - 0.08,
                       height / rows - 0.1, pane)  # fmt: skip
    return canvas.pixels()


def shop_front(rng: Generator, width: float, height: float) -> Pixels:
    """Show windows, a door, and a name over them."""
    wall = color(rng, (0, 1), (0.05, 0.5), (0.3, 0.8))
    canvas = Canvas(width, height, wall, _DENSITY)
    count = max(1, round(width / 3.2))
    for k in range(count):
        x, wide = (k + 0.1) * width / count, 0.8 * width / count
        canvas.box(x, 0.28 * height, wide, 0.66 * height, color(rng, (0.5, 0.65), (0.1, 0.35), (0.15, 0.35)))
        for _ in range(5):
            at = x + rng.uniform(0, 0.85) * wide
            goods = color(rng, (0, 1), (0.3, 0.8), (0.4, 0.95))
            canvas.box(at, rng.uniform(0.5, 0.75) * height, 0.12 * wide, 0.18 * height, goods)
        canvas.box(x + 0.7 * wide, 0.3 * height, 0.06, 0.64 * height, (60, 60, 62))
    band = color(rng, (0, 1), (0.4, 0.9), (0.3, 0.9))
    canvas.box(0, 0.04 * height, width, 0.18 * height, band)
    for k in range(count):
        ink = (245, 245, 240) if sum(band) < 420 else (30, 30, 35)
        canvas.writing(rng, (k + 0.2) * width / count, 0.09 * height, 0.6 * width / count, 1, 0.55, ink)
    return canvas.pixels()


def entrance(rng: Generator, width: float, height: float) -> Pixels:
    """A house door."""
    leaf = color(rng, (0, 1), (0.2, 0.7), (0.2, 0.55))
    canvas = Canvas(width, height, (232, 230, 224), 60.0)
    canvas.box(0.1 * width, 0.05 * height, 0.8 * width, 0.95 * height, leaf)
    canvas.box(0.25 * width, 0.12 * height, 0.5 * width, 0.25 * height, (70, 85, 100))
    canvas.box(0.25 * width, 0.48 * height, 0.5 * width, 0.4 * height, _shifted(leaf, -18))
    canvas.box(0.78 * width, 0.5 * height, 0.08 * width, 0.06 * height, (200, 190, 150))
    return canvas.pixels()


def garage_door(rng: Generator, width: float, height: float) -> Pixels:
    """Panels that roll up."""
    canvas = Canvas(width, height, color(rng, (0.05, 0.6), (0.0, 0.1), (0.75, 0.95)), 40.0)
    for row in range(1, 5):
        canvas.line([(0, row * height / 5), (width, row * height / 5)], (150, 150, 150), 1)
    return canvas.pixels()


def _courses(rng: Generator, width: float, height: float, base: Color, step: float) -> Pixels:
    columns, rows = max(8, round(width * _DENSITY)), max(8, round(height * _DENSITY))
    pixels = tinted(base, 12 * noise(rng, columns, rows, (3, 2))).astype(np.int16)
    pixels[:: max(2, round(step * _DENSITY))] -= 35
    return np.clip(pixels, 0, 255).astype(np.uint8)


def roof_tiles(rng: Generator, width: float, height: float) -> Pixels:
    """Clay tiles."""
    return _courses(rng, width, height, color(rng, (0.0, 0.05), (0.45, 0.65), (0.4, 0.62)), 0.3)


def roof_shingles(rng: Generator, width: float, height: float) -> Pixels:
    """Grey or brown shingles."""
    return _courses(rng, width, height, color(rng, (0.05, 0.65), (0.02, 0.2), (0.3, 0.5)), 0.2)

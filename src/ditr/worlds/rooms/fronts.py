"""Painters of the fronts of built things: doors, cabinets, bookshelves, curtains."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from ditr.worlds.common.paint import Canvas, Pixels, color, noise, size, tinted
from ditr.worlds.rooms.materials import colored_lacquer, lacquer, wood


def _board(rng: Generator, width: float, height: float) -> Pixels:
    """White lacquer or upright wood grain."""
    if rng.random() < 0.5:
        return lacquer(rng, width, height)
    return np.rot90(wood(rng, height, width)).copy()


def _panel(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """A recessed field: a dark line above and left, a light one below and right."""
    canvas.line([(x, y + height), (x, y), (x + width, y)], (95, 88, 80), 2)
    canvas.line([(x, y + height), (x + width, y + height), (x + width, y)], (250, 248, 244), 2)


def _handle(canvas: Canvas, x: float, y: float, reach: float) -> None:
    canvas.box(x - 0.02, y - 0.09, 0.04, 0.2, (150, 150, 155), (90, 90, 95))
    canvas.line([(x, y), (x + reach, y)], (60, 60, 65), 3)
    canvas.disc(x, y + 0.06, 0.008, 0.012, (20, 20, 20))


def door_panels(rng: Generator, width: float, height: float) -> Pixels:
    """A door with two to six recessed panels, a handle and hinges."""
    canvas = Canvas(width, height, _board(rng, width, height))
    rows, columns = int(rng.integers(1, 4)), int(rng.integers(1, 3))
    for row in range(rows):
        for column in range(columns):
            x, y = 0.12 + column * (width - 0.24) / columns, 0.14 + row * (height - 0.28) / rows
            _panel(canvas, x + 0.02, y + 0.02, (width - 0.24) / columns - 0.04, (height - 0.28) / rows - 0.04)
    _handle(canvas, 0.07, 0.49 * height, 0.1)
    for y in (0.2, 0.8):
        canvas.box(width - 0.02, y * height, 0.02, 0.1, (120, 120, 120))
    return canvas.pixels()


def door_plain(rng: Generator, width: float, height: float) -> Pixels:
    """A smooth door with a handle, a kick plate and perhaps a sign."""
    canvas = Canvas(width, height, _board(rng, width, height))
    canvas.box(0, 0, width, height, None, (70, 66, 60), 2)
    if rng.random() < 0.6:
        canvas.box(0.02, height - 0.24, width - 0.04, 0.22, (165, 165, 168), (120, 120, 120))
    if rng.random() < 0.6:
        canvas.box(0.3 * width, 0.24 * height, 0.4 * width, 0.1, color(rng, (0, 1), (0.3, 0.9), (0.3, 0.8)))
        canvas.writing(rng, 0.34 * width, 0.25 * height, 0.3 * width, 2, 0.04, (245, 245, 245))
    _handle(canvas, 0.07, 0.49 * height, 0.12)
    return canvas.pixels()


def door_glazed(rng: Generator, width: float, height: float) -> Pixels:
    """A door with a narrow pane (test rooms only)."""
    canvas = Canvas(width, height, _board(rng, width, height))
    canvas.box(0.6 * width, 0.12 * height, 0.2 * width, 0.5 * height, (120, 140, 145), (60, 60, 60), 3)
    _handle(canvas, 0.07, 0.49 * height, 0.12)
    return canvas.pixels()


def door_planks(rng: Generator, width: float, height: float) -> Pixels:
    """Upright boards with cross bars (test rooms only)."""
    canvas = Canvas(width, height, np.rot90(wood(rng, height, width)).copy())
    for x in np.arange(0.1, width, 0.12):
        canvas.line([(x, 0), (x, height)], (50, 35, 25), 2)
    for y in (0.15, 0.82):
        canvas.box(0.03, y * height, width - 0.06, 0.1, (95, 65, 40), (45, 30, 20))
    _handle(canvas, 0.07, 0.49 * height, 0.1)
    return canvas.pixels()


def cabinet_doors(rng: Generator, width: float, height: float) -> Pixels:
    """Doors side by side with seams and bar handles, perhaps drawers above."""
    canvas = Canvas(width, height, _board(rng, width, height))
    count, drawers = max(1, round(width / rng.uniform(0.38, 0.55))), int(rng.integers(0, 3))
    top = 0.16 * drawers if height > 1.0 or drawers < 2 else 0.0
    step = width / count
    for k in range(count):
        x = k * step
        for row in range(round(top / 0.16)):
            canvas.box(x, 0.16 * row, step, 0.16, None, (75, 70, 64), 2)
            canvas.line([(x + 0.35 * step, 0.16 * row + 0.08), (x + 0.65 * step, 0.16 * row + 0.08)], (60, 60, 64), 3)
        canvas.box(x, top, step, height - top, None, (75, 70, 64), 2)
        bar = x + (0.05 if k % 2 else step - 0.05)
        middle = top + (height - top) * 0.45
        canvas.line([(bar, middle - 0.09), (bar, middle + 0.09)], (60, 60, 64), 3)
    return canvas.pixels()


def cabinet_frames(rng: Generator, width: float, height: float) -> Pixels:
    """Framed fronts with knobs."""
    canvas = Canvas(width, height, _board(rng, width, height))
    count = max(1, round(width / 0.45))
    step = width / count
    for k in range(count):
        canvas.box(k * step, 0, step, height, None, (75, 70, 64), 2)
        _panel(canvas, k * step + 0.07, 0.08, step - 0.14, height - 0.16)
        canvas.disc(k * step + (0.035 if k % 2 else step - 0.035), 0.5 * height, 0.014, 0.014, (70, 60, 45))
    return canvas.pixels()


def cabinet_lockers(rng: Generator, width: float, height: float) -> Pixels:
    """Coloured metal lockers with slots (test rooms only)."""
    canvas = Canvas(width, height, colored_lacquer(rng, width, height))
    count = max(1, round(width / 0.35))
    step = width / count
    for k in range(count):
        canvas.box(k * step, 0, step, height, None, (40, 40, 45), 2)
        for slot in range(4):
            y = 0.1 + 0.04 * slot
            canvas.line([(k * step + 0.3 * step, y), (k * step + 0.7 * step, y)], (30, 30, 32), 2)
        canvas.box((k + 0.8) * step, 0.5 * height, 0.03, 0.06, (190, 190, 190), (40, 40, 40))
    return canvas.pixels()


def _spines(rng: Generator, canvas: Canvas, x: float, bottom: float, width: float, tall: float) -> None:
    end = x + width
    while x < end - 0.01:
        wide, high = min(rng.uniform(0.015, 0.05), end - x), tall * rng.uniform(0.65, 0.98)
        if rng.random() < 0.06:
            x += 0.08
            continue
        canvas.box(x, bottom - high, wide, high, color(rng, (0, 1), (0.15, 0.85), (0.2, 0.9)), (40, 36, 32))
        title = color(rng, (0.1, 0.15), (0.1, 0.5), (0.8, 1.0))
        canvas.box(x + 0.3 * wide, bottom - 0.8 * high, 0.4 * wide, rng.uniform(0.2, 0.5) * high, title)
        x += wide


def shelf_books(rng: Generator, width: float, height: float) -> Pixels:
    """The spines of one row of books."""
    canvas = Canvas(width, height, (50, 42, 34))
    _spines(rng, canvas, 0.0, height, width, height)
    return canvas.pixels()


def shelf_binders(rng: Generator, width: float, height: float) -> Pixels:
    """Office binders with labels and finger holes (test rooms only)."""
    canvas = Canvas(width, height, (52, 48, 44))
    for x in np.arange(0, width, 0.075):
        canvas.box(x, 0.08 * height, 0.07, 0.92 * height, color(rng, (0, 1), (0.2, 0.8), (0.2, 0.8)), (30, 30, 30))
        canvas.box(x + 0.012, 0.25 * height, 0.046, 0.3 * height, (240, 240, 235))
        canvas.disc(x + 0.035, 0.85 * height, 0.012, 0.012, (20, 20, 20))
    return canvas.pixels()


def curtain_plain(rng: Generator, width: float, height: float) -> Pixels:
    """Cloth of one colour with the shading of folds."""
    columns, rows = size(width, height)
    folds = 14 * np.sin(np.arange(columns) * rng.uniform(0.1, 0.22) + 1.5 * noise(rng, columns, rows, (50, 200)))
    base = color(rng, (0, 1), (0.05, 0.55), (0.45, 0.9))
    return tinted(base, folds.astype(np.float32), 3 * noise(rng, columns, rows, (2, 4)))


def curtain_striped(rng: Generator, width: float, height: float) -> Pixels:
    """Upright stripes."""
    columns, rows = size(width, height)
    stripes = 28 * np.sign(np.sin(np.arange(columns) * rng.uniform(0.15, 0.4)))[None].astype(np.float32)
    return tinted(color(rng, (0, 1), (0.1, 0.5), (0.45, 0.8)), stripes + 5 * noise(rng, columns, rows, (8, 100)))


def curtain_leaves(rng: Generator, width: float, height: float) -> Pixels:
    """Printed leaves (test rooms only)."""
    canvas = Canvas(width, height, color(rng, (0.08, 0.2), (0.02, 0.15), (0.8, 0.95)))
    for x, y in rng.uniform(0, 1, (round(120 * width * height), 2)) * [width, height]:
        reach = rng.normal(0, 0.05, 2)
        side = np.array([-reach[1], reach[0]]) * 0.3
        at = np.array([x, y])
        canvas.polygon(
            [at, at + reach / 2 + side, at + reach, at + reach / 2 - side],
            color(rng, (0.2, 0.5), (0.3, 0.6), (0.3, 0.7)),
        )
    return canvas.pixels()

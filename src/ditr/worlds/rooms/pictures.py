"""Painters of things that are known by their picture: views out of windows, paintings, boards, screens, rugs."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from ditr.worlds.common.paint import Canvas, Color, Pixels, color, noise, size, tinted

# --- outdoors: also the motif of many paintings -------------------------------------------------------------------


def _sky(rng: Generator, width: float, height: float, blue: Color) -> Pixels:
    columns, rows = size(width, height)
    fall = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None] ** 1.5
    clouds = np.clip(noise(rng, columns, rows, (columns / 4, rows / 7)), 0, 1)[..., None]
    sky = np.asarray(blue) * fall + np.array([225, 235, 242]) * (1 - fall)
    pixels: Pixels = np.clip(sky * (1 - clouds) + 248 * clouds, 0, 255).astype(np.uint8)
    return pixels


def _ridge(rng: Generator, width: float, base: float, rise: float) -> NDArray[np.float64]:
    x = np.linspace(0, width, 24)
    waves = sum(np.sin(x / width * rng.uniform(2, 9) * k + rng.uniform(0, 6)) / k for k in (1, 2, 3))
    return np.stack([x, base - rise * np.asarray(waves) / 2], axis=1)


def _below(canvas: Canvas, ridge: NDArray[np.float64], fill: Color) -> None:
    canvas.polygon([*ridge, (canvas.width, canvas.height), (0, canvas.height)], fill)


def _tree(rng: Generator, canvas: Canvas, x: float, foot: float, tall: float) -> None:
    canvas.box(x - 0.03 * tall, foot - 0.5 * tall, 0.06 * tall, 0.5 * tall, (75, 55, 40))
    for _ in range(14):
        dx, dy = rng.normal(0, 0.14, 2) * tall
        radius = rng.uniform(0.07, 0.17) * tall
        canvas.disc(x + dx, foot - 0.7 * tall + dy, radius, radius, color(rng, (0.2, 0.36), (0.35, 0.7), (0.25, 0.6)))


def view_trees(rng: Generator, width: float, height: float) -> Pixels:
    """A garden under a bright sky."""
    canvas = Canvas(width, height, _sky(rng, width, height, color(rng, (0.55, 0.6), (0.35, 0.6), (0.85, 1.0))))
    _below(canvas, _ridge(rng, width, 0.7 * height, 0.05 * height), color(rng, (0.25, 0.36), (0.3, 0.5), (0.4, 0.65)))
    for x in rng.uniform(0, width, int(rng.integers(2, 6))):
        _tree(rng, canvas, float(x), 0.85 * height, rng.uniform(0.45, 0.9) * height)
    return canvas.pixels()


def view_hills(rng: Generator, width: float, height: float) -> Pixels:
    """Hills that fade into the distance."""
    canvas = Canvas(width, height, _sky(rng, width, height, color(rng, (0.54, 0.62), (0.3, 0.6), (0.8, 1.0))))
    for k in range(3):
        hue = color(
            rng, (0.58 - 0.13 * k, 0.6 - 0.13 * k), (0.2 + 0.12 * k, 0.3 + 0.12 * k), (0.7 - 0.13 * k, 0.75 - 0.1 * k)
        )
        _below(canvas, _ridge(rng, width, (0.5 + 0.14 * k) * height, 0.1 * height), hue)
    return canvas.pixels()


def view_houses(rng: Generator, width: float, height: float) -> Pixels:
    """A row of houses with roofs and windows."""
    canvas = Canvas(width, height, _sky(rng, width, height, color(rng, (0.54, 0.62), (0.25, 0.5), (0.85, 1.0))))
    x = -0.1 * width
    while x < width:
        wide, top = rng.uniform(0.25, 0.4) * width, rng.uniform(0.35, 0.55) * height
        canvas.box(x, top, wide, height, color(rng, (0.0, 0.15), (0.1, 0.45), (0.5, 0.9)))
        roof = [(x - 0.02, top), (x + wide / 2, top - 0.16 * height), (x + wide + 0.02, top)]
        canvas.polygon(roof, color(rng, (0.0, 0.05), (0.3, 0.6), (0.3, 0.5)))
        for row in np.arange(top + 0.06 * height, 0.95 * height, 0.17 * height):
            for column in (0.15, 0.6):
                canvas.box(x + column * wide, row, 0.22 * wide, 0.1 * height, (70, 85, 105), (235, 235, 230))
        x += wide + rng.uniform(0, 0.1) * width
    canvas.box(0, 0.9 * height, width, 0.1 * height, (110, 110, 110))
    return canvas.pixels()


def view_city(rng: Generator, width: float, height: float) -> Pixels:
    """Tall blocks at dusk (test rooms only)."""
    canvas = Canvas(width, height, _sky(rng, width, height, color(rng, (0.9, 1.05), (0.3, 0.5), (0.7, 0.9))))
    for x in np.arange(0, width, 0.12 * width):
        top, wide = rng.uniform(0.15, 0.7) * height, rng.uniform(0.1, 0.16) * width
        canvas.box(x, top, wide, height, color(rng, (0.55, 0.7), (0.1, 0.3), (0.2, 0.45)))
        for row in np.arange(top + 0.02, height, 0.05):
            for column in np.arange(0.015, wide - 0.015, 0.035):
                if rng.random() < 0.5:
                    canvas.box(x + column, row, 0.015, 0.02, (250, 225, 150))
    return canvas.pixels()


def view_sea(rng: Generator, width: float, height: float) -> Pixels:
    """A beach (test rooms only)."""
    canvas = Canvas(width, height, _sky(rng, width, height, color(rng, (0.53, 0.58), (0.4, 0.6), (0.9, 1.0))))
    canvas.box(0, 0.5 * height, width, 0.5 * height, color(rng, (0.5, 0.58), (0.5, 0.8), (0.4, 0.65)))
    _below(canvas, _ridge(rng, width, 0.8 * height, 0.06 * height), color(rng, (0.1, 0.13), (0.25, 0.4), (0.8, 0.95)))
    return canvas.pixels()


# --- paintings ----------------------------------------------------------------------------------------------------


def painting_landscape(rng: Generator, width: float, height: float) -> Pixels:
    """A landscape behind a paper mount."""
    mount = 0.1 * min(width, height)
    canvas = Canvas(width, height, (240, 236, 226))
    inner = (width - 2 * mount, height - 2 * mount)
    scene = (view_trees, view_hills)[int(rng.integers(2))](rng, *inner)
    tint = np.asarray(color(rng, (0, 1), (0, 0.25), (0.75, 1.0))) / 255
    canvas.paste((scene * tint).astype(np.uint8), mount, mount)
    return canvas.pixels()


def painting_abstract(rng: Generator, width: float, height: float) -> Pixels:
    """Patches and strokes of strong colours."""
    canvas = Canvas(width, height, color(rng, (0, 1), (0.1, 0.5), (0.5, 0.95)))
    for _ in range(9):
        points = rng.uniform(0, 1, 2) + rng.normal(0, 0.25, (int(rng.integers(3, 6)), 2))
        canvas.polygon(points * [width, height], color(rng, (0, 1), (0.3, 0.9), (0.2, 0.95)))
    for _ in range(4):
        canvas.line(rng.uniform(0, 1, (4, 2)) * [width, height], color(rng, (0, 1), (0.3, 0.9), (0.1, 0.9)), 3)
    return canvas.pixels()


def painting_still(rng: Generator, width: float, height: float) -> Pixels:
    """A vase with flowers on a table."""
    columns, rows = size(width, height)
    canvas = Canvas(
        width, height, tinted(color(rng, (0, 1), (0.15, 0.4), (0.3, 0.6)), 10 * noise(rng, columns, rows, (12, 12)))
    )
    canvas.box(0, 0.75 * height, width, 0.25 * height, color(rng, (0.05, 0.1), (0.4, 0.7), (0.3, 0.5)))
    for _ in range(10):
        x, y = rng.normal(0.5, 0.14) * width, rng.normal(0.35, 0.1) * height
        canvas.line([(width / 2, 0.7 * height), (x, y)], (60, 90, 50))
        canvas.disc(x, y, 0.07 * width, 0.07 * width, color(rng, (0.8, 1.15), (0.4, 0.9), (0.7, 1.0)))
    canvas.disc(width / 2, 0.72 * height, 0.14 * width, 0.15 * height, color(rng, (0.5, 0.7), (0.2, 0.6), (0.5, 0.9)))
    return canvas.pixels()


def painting_portrait(rng: Generator, width: float, height: float) -> Pixels:
    """Head and shoulders (test rooms only)."""
    columns, rows = size(width, height)
    canvas = Canvas(
        width, height, tinted(color(rng, (0, 1), (0.2, 0.5), (0.2, 0.5)), 10 * noise(rng, columns, rows, (12, 12)))
    )
    skin = color(rng, (0.04, 0.08), (0.3, 0.55), (0.5, 0.95))
    canvas.disc(width / 2, 1.02 * height, 0.38 * width, 0.36 * height, color(rng, (0, 1), (0.2, 0.6), (0.2, 0.6)))
    canvas.disc(width / 2, 0.36 * height, 0.22 * width, 0.25 * height, color(rng, (0.04, 0.1), (0.3, 0.6), (0.1, 0.5)))
    canvas.box(0.43 * width, 0.55 * height, 0.14 * width, 0.16 * height, skin)
    canvas.disc(width / 2, 0.42 * height, 0.17 * width, 0.2 * height, skin)
    for side in (-1, 1):
        canvas.disc(width / 2 + side * 0.07 * width, 0.39 * height, 0.02 * width, 0.015 * height, (30, 25, 25))
    canvas.line([(0.45 * width, 0.52 * height), (0.55 * width, 0.52 * height)], (140, 60, 60), 2)
    return canvas.pixels()


def painting_geometric(rng: Generator, width: float, height: float) -> Pixels:
    """A grid of black lines and primary colours (test rooms only)."""
    canvas = Canvas(width, height, (238, 236, 228))
    xs, ys = np.sort(rng.uniform(0, width, 3)), np.sort(rng.uniform(0, height, 3))
    for x, y in zip(xs, rng.permutation(ys), strict=True):
        canvas.box(
            x, y, 0.3 * width, 0.3 * height, ((200, 30, 30), (30, 60, 170), (240, 205, 40))[int(rng.integers(3))]
        )
    for x, y in zip(xs, ys, strict=True):
        canvas.line([(x, 0), (x, height)], (15, 15, 15), 4)
        canvas.line([(0, y), (width, y)], (15, 15, 15), 4)
    return canvas.pixels()


# --- boards -------------------------------------------------------------------------------------------------------

_INKS = ((25, 25, 30), (25, 60, 170), (190, 35, 35), (25, 120, 60))


def _scribble(rng: Generator, canvas: Canvas, x: float, y: float, span: float) -> None:
    ink = _INKS[int(rng.integers(4))]
    kind = rng.random()
    if kind < 0.4:
        for row in range(int(rng.integers(2, 6))):
            t = np.linspace(0, span * rng.uniform(0.5, 1), 50)
            canvas.line(np.stack([x + t, y + 0.05 * row + rng.normal(0, 0.009, 50)], axis=1), ink)
    elif kind < 0.7:
        corners = x + rng.uniform(0, span, 3), y + rng.uniform(0, 0.3, 3)
        canvas.line(np.stack(corners, axis=1), ink, 2)
        for cx, cy in zip(*corners, strict=True):
            canvas.box(cx, cy, 0.1, 0.06, (246, 247, 247), ink, 2)
    else:
        canvas.line([(x, y), (x, y + 0.3), (x + span, y + 0.3)], ink, 2)
        t = np.linspace(0, span, 30)
        canvas.line(np.stack([x + t, y + 0.15 + 0.12 * np.sin(t * rng.uniform(4, 20) / span)], axis=1), ink, 2)


def whiteboard_notes(rng: Generator, width: float, height: float) -> Pixels:
    """Marker writing, boxes with arrows, curves."""
    columns, rows = size(width, height)
    canvas = Canvas(width, height, tinted((244, 246, 247), 3 * noise(rng, columns, rows, (50, 30))))
    for _ in range(int(rng.integers(6, 12))):
        _scribble(rng, canvas, rng.uniform(0.03, 0.72) * width, rng.uniform(0.04, 0.62) * height, 0.25 * width)
    return canvas.pixels()


def whiteboard_plan(rng: Generator, width: float, height: float) -> Pixels:
    """A table ruled by hand."""
    canvas = Canvas(width, height, (243, 245, 246))
    ink = _INKS[int(rng.integers(4))]
    columns, rows = int(rng.integers(3, 7)), int(rng.integers(4, 8))
    for k in range(columns + 1):
        x = (0.06 + 0.88 * k / columns) * width
        canvas.line([(x, 0.1 * height), (x + rng.normal(0, 0.006), 0.9 * height)], ink, 2)
    for k in range(rows + 1):
        y = (0.1 + 0.8 * k / rows) * height
        canvas.line([(0.06 * width, y), (0.94 * width, y + rng.normal(0, 0.006))], ink, 2)
    for cell in np.flatnonzero(rng.random(columns * rows) < 0.6):
        x, y = (0.08 + 0.88 * (cell % columns) / columns) * width, (0.13 + 0.8 * (cell // columns) / rows) * height
        canvas.writing(rng, x, y, 0.6 * width / columns, 1, 0.06 * height, _INKS[int(rng.integers(4))])
    return canvas.pixels()


def whiteboard_stickers(rng: Generator, width: float, height: float) -> Pixels:
    """Columns of sticky notes (test rooms only)."""
    canvas = Canvas(width, height, (242, 244, 245))
    for column in range(4):
        x = (0.04 + 0.24 * column) * width
        canvas.writing(rng, x, 0.05 * height, 0.15 * width, 1, 0.05, _INKS[0])
        for row in range(int(rng.integers(1, 5))):
            paper = color(rng, (0.1, 1.0), (0.3, 0.6), (0.9, 1.0))
            top = 0.16 * height + row * 0.19 * height
            canvas.box(x + rng.uniform(0, 0.02), top, 0.11, 0.11, paper)
            canvas.writing(rng, x + 0.02, top + 0.02, 0.07, 3, 0.03, (40, 40, 40))
    return canvas.pixels()


def _papers(rng: Generator, canvas: Canvas, photos: float) -> Pixels:
    for _ in range(int(rng.integers(6, 14))):
        wide, tall = rng.uniform(0.1, 0.24), rng.uniform(0.1, 0.3)
        x, y = rng.uniform(0, canvas.width - wide), rng.uniform(0, max(0.01, canvas.height - tall))
        if rng.random() < photos:
            canvas.paste(view_trees(rng, wide, tall), x, y)
        else:
            canvas.box(x, y, wide, tall, color(rng, (0.1, 1.0), (0.0, 0.35), (0.85, 1.0)))
            canvas.writing(rng, x + 0.015, y + 0.02, wide - 0.03, int(tall / 0.035) - 1, 0.033, (60, 60, 65))
        canvas.disc(x + wide / 2, y + 0.012, 0.009, 0.009, color(rng, (0, 1), (0.8, 1), (0.6, 0.9)))
    return canvas.pixels()


def pinboard_cork(rng: Generator, width: float, height: float) -> Pixels:
    """Cork with sheets of paper."""
    columns, rows = size(width, height)
    cork = color(rng, (0.07, 0.1), (0.4, 0.6), (0.6, 0.78))
    return _papers(rng, Canvas(width, height, tinted(cork, 13 * noise(rng, columns, rows, (1.6, 1.6)))), 0.15)


def pinboard_felt(rng: Generator, width: float, height: float) -> Pixels:
    """Coloured felt with photographs (test rooms only)."""
    columns, rows = size(width, height)
    felt = color(rng, (0.3, 0.7), (0.3, 0.6), (0.3, 0.5))
    return _papers(rng, Canvas(width, height, tinted(felt, 6 * noise(rng, columns, rows, (2, 2)))), 0.6)


# --- screens ------------------------------------------------------------------------------------------------------


def screen_desktop(rng: Generator, width: float, height: float) -> Pixels:
    """Windows over a wallpaper."""
    wallpaper = (
        view_hills(rng, width, height) if rng.random() < 0.5 else color(rng, (0.5, 0.75), (0.3, 0.8), (0.2, 0.6))
    )
    canvas = Canvas(width, height, wallpaper)
    for _ in range(int(rng.integers(1, 4))):
        x, y, wide, tall = rng.uniform([0, 0, 0.4, 0.4], [0.4, 0.35, 0.6, 0.6]) * [width, height, width, height]
        canvas.box(x, y, wide, tall, (246, 246, 248), (90, 90, 95))
        canvas.box(x, y, wide, 0.025, color(rng, (0.5, 0.7), (0.2, 0.7), (0.3, 0.7)))
        canvas.writing(rng, x + 0.015, y + 0.04, wide - 0.04, max(0, int(tall / 0.022) - 2), 0.02, (70, 70, 75))
    canvas.box(0, height - 0.02, width, 0.02, (30, 32, 40))
    return canvas.pixels()


def screen_code(rng: Generator, width: float, height: float) -> Pixels:
    """Coloured lines on a dark ground."""
    canvas = Canvas(width, height, (28, 30, 38))
    canvas.box(0, 0, 0.15 * width, height, (40, 43, 52))
    for top in np.arange(0.02, height - 0.02, 0.018):
        indent = 0.18 * width + 0.025 * float(rng.integers(0, 4))
        ink = color(rng, (0, 1), (0.3, 0.6), (0.7, 0.95))
        canvas.writing(rng, indent, top, rng.uniform(0.1, 0.6) * width, 1, 0.016, ink)
    return canvas.pixels()


def screen_sheet(rng: Generator, width: float, height: float) -> Pixels:
    """A spreadsheet with a chart (test rooms only)."""
    canvas = Canvas(width, height, (250, 250, 250))
    canvas.box(0, 0, width, 0.035, (30, 120, 70))
    for y in np.arange(0.05, height, 0.02):
        canvas.line([(0, y), (width, y)], (205, 205, 205))
        canvas.writing(rng, 0.02, y + 0.006, 0.35 * width, 1, 0.018, (80, 80, 80))
    for k, bar in enumerate(rng.uniform(0.1, 0.5, 7)):
        canvas.box((0.5 + 0.065 * k) * width, (0.9 - bar) * height, 0.05 * width, bar * height, (60, 110, 200))
    return canvas.pixels()


# --- rugs ---------------------------------------------------------------------------------------------------------


def rug_bordered(rng: Generator, width: float, height: float) -> Pixels:
    """Nested borders about a medallion."""
    base = color(rng, (0.95, 1.05), (0.5, 0.8), (0.3, 0.6))
    canvas = Canvas(width, height, base)
    for k, inset in enumerate((0.05, 0.12, 0.2, 0.26)):
        fill = base if k % 2 else color(rng, (0, 1), (0.2, 0.7), (0.3, 0.85))
        canvas.box(inset, inset, width - 2 * inset, height - 2 * inset, fill)
    for x, y in rng.uniform(0.25, 0.75, (18, 2)):
        for mx, my in ((x, y), (1 - x, y), (x, 1 - y), (1 - x, 1 - y)):
            canvas.disc(mx * width, my * height, 0.025, 0.025, color(rng, (0, 1), (0.2, 0.6), (0.5, 0.9)))
    return canvas.pixels()


def rug_stripes(rng: Generator, width: float, height: float) -> Pixels:
    """Woven stripes."""
    canvas = Canvas(width, height, color(rng, (0, 1), (0.1, 0.5), (0.6, 0.9)))
    x = 0.0
    while x < width:
        wide = rng.uniform(0.02, 0.12)
        canvas.box(x, 0, wide, height, color(rng, (0, 1), (0.15, 0.7), (0.25, 0.9)))
        x += wide + rng.uniform(0.0, 0.08)
    return canvas.pixels()


def rug_dots(rng: Generator, width: float, height: float) -> Pixels:
    """Large rings (test rooms only)."""
    canvas = Canvas(width, height, color(rng, (0, 1), (0.05, 0.3), (0.7, 0.95)))
    for y in np.arange(0.15, height, 0.3):
        for x in np.arange(0.15, width, 0.3):
            for radius in (0.13, 0.09, 0.05):
                canvas.disc(x, y, radius, radius, color(rng, (0, 1), (0.2, 0.6), (0.3, 0.95)))
    return canvas.pixels()

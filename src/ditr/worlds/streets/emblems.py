"""Painters of things that are known by their picture: signs, boards, lights, the sides of vehicles."""

from __future__ import annotations

from numpy.random import Generator

from ditr.worlds.common.paint import Canvas, Color, Pixels, color

__all__ = [
    "advert",
    "bus_side",
    "direction_sign",
    "disc_sign",
    "lamps",
    "lorry_side",
    "plate_number",
    "stop_sign",
    "striped",
    "triangle_sign",
    "warning_diamond",
]

_RED: Color = (196, 24, 32)
_BLUE: Color = (22, 74, 170)
_WHITE: Color = (244, 244, 242)
_BLACK: Color = (22, 22, 24)
_DENSITY = 80.0


def disc_sign(rng: Generator, width: float, height: float) -> Pixels:
    """A ban or a command."""
    kind = int(rng.integers(3))
    canvas = Canvas(width, height, _RED if kind < 2 else _BLUE, _DENSITY)
    x, y = width / 2, height / 2
    if kind == 0:  # a speed limit
        canvas.disc(x, y, 0.38 * width, 0.38 * height, _WHITE)
        canvas.box(0.3 * width, 0.36 * height, 0.14 * width, 0.28 * height, _WHITE, _BLACK, 3)
        canvas.box(0.54 * width, 0.36 * height, 0.16 * width, 0.28 * height, _WHITE, _BLACK, 3)
    elif kind == 1:  # no entry
        canvas.box(0.18 * width, 0.42 * height, 0.64 * width, 0.16 * height, _WHITE)
    else:  # an arrow
        canvas.box(0.45 * width, 0.4 * height, 0.1 * width, 0.4 * height, _WHITE)
        canvas.polygon([(x, 0.15 * height), (0.7 * width, 0.45 * height), (0.3 * width, 0.45 * height)], _WHITE)
    return canvas.pixels()


def stop_sign(rng: Generator, width: float, height: float) -> Pixels:
    """White letters on red."""
    canvas = Canvas(width, height, _RED, _DENSITY)
    for k in range(4):
        canvas.box((0.2 + 0.16 * k) * width, 0.38 * height, 0.11 * width, 0.24 * height, _WHITE)
    return canvas.pixels()


def triangle_sign(rng: Generator, width: float, height: float) -> Pixels:
    """A red border about a black mark."""
    canvas = Canvas(width, height, _RED, _DENSITY)
    canvas.polygon([(0.5 * width, 0.24 * height), (0.76 * width, 0.68 * height), (0.24 * width, 0.68 * height)], _WHITE)
    canvas.box(0.46 * width, 0.4 * height, 0.08 * width, 0.22 * height, _BLACK)
    return canvas.pixels()


def warning_diamond(rng: Generator, width: float, height: float) -> Pixels:
    """Black on yellow or orange."""
    ground: Color = (250, 196, 18) if rng.random() < 0.6 else (250, 120, 20)
    canvas = Canvas(width, height, ground, _DENSITY)
    canvas.line([(0.5 * width, 0.7 * height), (0.5 * width, 0.35 * height), (0.62 * width, 0.5 * height)], _BLACK, 4)
    return canvas.pixels()


def direction_sign(rng: Generator, width: float, height: float) -> Pixels:
    """Place names on blue, green or yellow."""
    ground = (_BLUE, (10, 110, 60), (246, 200, 30))[int(rng.integers(3))]
    ink = _BLACK if ground[0] > 200 else _WHITE
    canvas = Canvas(width, height, ground, _DENSITY)
    canvas.box(0.02 * width, 0.03 * height, 0.96 * width, 0.94 * height, None, ink, 2)
    canvas.writing(rng, 0.1 * width, 0.2 * height, 0.6 * width, 2, 0.35 * height, ink)
    canvas.polygon([(0.9 * width, 0.5 * height), (0.78 * width, 0.3 * height), (0.78 * width, 0.7 * height)], ink)
    return canvas.pixels()


def advert(rng: Generator, width: float, height: float) -> Pixels:
    """A poster: colours, a thing, a line of text."""
    canvas = Canvas(width, height, color(rng, (0, 1), (0.1, 0.8), (0.4, 0.95)), 40.0)
    for _ in range(3):
        fill = color(rng, (0, 1), (0.2, 0.9), (0.3, 1.0))
        canvas.disc(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0.1, 0.4) * width,
                    rng.uniform(0.1, 0.4) * height, fill)  # fmt: skip
    canvas.writing(rng, 0.1 * width, 0.7 * height, 0.8 * width, 2, 0.13 * height, _WHITE)
    return canvas.pixels()


def lamps(rng: Generator, width: float, height: float) -> Pixels:
    """A traffic light: one of three lamps is on."""
    canvas = Canvas(width, height, (26, 28, 30), _DENSITY)
    lit = int(rng.choice([0, 0, 1, 2, 2]))
    colors: tuple[Color, Color, Color] = ((255, 60, 40), (255, 190, 40), (60, 255, 140))
    for k, fill in enumerate(colors):
        shown = fill if k == lit else (fill[0] // 4, fill[1] // 4, fill[2] // 4)
        canvas.disc(0.5 * width, (0.2 + 0.3 * k) * height, 0.34 * width, 0.125 * height, shown)
    return canvas.pixels()


def striped(rng: Generator, width: float, height: float) -> Pixels:
    """Red or orange and white stripes, as on barriers."""
    dark: Color = _RED if rng.random() < 0.5 else (245, 110, 20)
    canvas = Canvas(width, height, _WHITE, 40.0)
    count = max(2, round(width / 0.3))
    step = width / count
    for k in range(-1, count + 1):
        x = k * step
        canvas.polygon([(x, height), (x + step / 2, height), (x + step, 0), (x + step / 2, 0)], dark)
    return canvas.pixels()


def lorry_side(rng: Generator, width: float, height: float) -> Pixels:
    """The body of a lorry: plain, or with a firm's name."""
    ground = color(rng, (0, 1), (0.0, 0.6) if rng.random() < 0.5 else (0.0, 0.05), (0.6, 0.95))
    canvas = Canvas(width, height, ground, 30.0)
    canvas.box(0, 0, width, height, None, (110, 110, 112), 2)
    if rng.random() < 0.7:
        ink = color(rng, (0, 1), (0.5, 0.9), (0.2, 0.7))
        canvas.writing(rng, 0.12 * width, 0.3 * height, 0.7 * width, 1, 0.5 * height, ink)
        canvas.box(0, 0.78 * height, width, 0.08 * height, ink)
    for k in range(1, round(width / 1.2)):
        canvas.line([(k * 1.2, 0), (k * 1.2, height)], (max(0, ground[0] - 18),) * 3, 1)
    return canvas.pixels()


def bus_side(rng: Generator, width: float, height: float) -> Pixels:
    """A band of windows, doors, and a stripe."""
    ground = color(rng, (0, 1), (0.2, 0.9), (0.5, 0.95))
    canvas = Canvas(width, height, ground, 30.0)
    count = max(1, round(width / 1.6))
    canvas.box(0.01 * width, 0.14 * height, 0.98 * width, 0.4 * height, (32, 36, 42))
    for k in range(count):
        glass = color(rng, (0.53, 0.62), (0.1, 0.35), (0.25, 0.5))
        canvas.box((k + 0.06) * width / count, 0.17 * height, 0.88 * width / count, 0.34 * height, glass)
    for at in (0.12, 0.55):
        if width > 5:
            canvas.box(at * width, 0.17 * height, 1.2, 0.76 * height, (50, 56, 64), (20, 20, 20), 2)
    canvas.box(0, 0.64 * height, width, 0.07 * height, color(rng, (0, 1), (0.2, 0.9), (0.3, 0.9)))
    return canvas.pixels()


def plate_number(rng: Generator, width: float, height: float) -> Pixels:
    """A number plate."""
    canvas = Canvas(width, height, _WHITE if rng.random() < 0.7 else (250, 220, 60), 100.0)
    canvas.writing(rng, 0.1 * width, 0.25 * height, 0.8 * width, 1, 0.9 * height, _BLACK)
    return canvas.pixels()

"""Tools of the texture painters: colours, smooth noise, a canvas measured in metres."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw

__all__ = ["Canvas", "Color", "Painter", "Pixels", "Range", "color", "grained", "noise", "size", "tinted"]

Color = tuple[int, int, int]
Range = tuple[float, float]
Pixels = NDArray[np.uint8]
Painter = Callable[[Generator, float, float], Pixels]
"""Paints a surface of (width, height) metres; returns (h, w, 3)."""

TEXELS_PER_METRE = 200


def size(width: float, height: float, density: float = TEXELS_PER_METRE) -> tuple[int, int]:
    """Columns and rows of a texture for a surface in metres, ``density`` texels per metre."""
    return max(8, round(width * density)), max(8, round(height * density))


def color(rng: Generator, hue: Range, saturation: Range, value: Range) -> Color:
    """A random colour from ranges of hue, saturation and value, each 0..1; the hue wraps."""
    red, green, blue = colorsys.hsv_to_rgb(rng.uniform(*hue) % 1.0, rng.uniform(*saturation), rng.uniform(*value))
    return round(red * 255), round(green * 255), round(blue * 255)


def noise(rng: Generator, columns: int, rows: int, cell: tuple[float, float]) -> NDArray[np.float32]:
    """Smooth noise (rows, columns) of about unit size that tiles, with features of ``cell`` (width, height) texels."""
    shape = max(2, round(rows / cell[1])), max(2, round(columns / cell[0]))
    coarse = np.pad(rng.normal(size=shape).astype(np.float32), 2, mode="wrap")
    inner = (2, 2, 2 + shape[1], 2 + shape[0])
    return np.asarray(Image.fromarray(coarse).resize((columns, rows), Image.Resampling.BICUBIC, box=inner))


def tinted(base: Color, *fields: NDArray[np.float32]) -> Pixels:
    """The colour ``base``, brightened by the sum of the fields (rows, columns), in 0..255 units."""
    total = np.sum(fields, axis=0)[..., None]
    pixels: Pixels = np.clip(np.asarray(base, dtype=np.float32) + total, 0, 255).astype(np.uint8)
    return pixels


def grained(
    hue: Range,
    saturation: Range,
    value: Range,
    *grains: tuple[float, tuple[float, float]],
    density: float = TEXELS_PER_METRE,
) -> Painter:
    """A painter of one colour from these ranges under noise; each grain is a strength and a cell of :func:`noise`."""

    def paint(rng: Generator, width: float, height: float) -> Pixels:
        columns, rows = size(width, height, density)
        base = color(rng, hue, saturation, value)
        return tinted(base, *(strength * noise(rng, columns, rows, cell) for strength, cell in grains))

    return paint


class Canvas:
    """A picture to draw on in metres, with x to the right and y down."""

    def __init__(self, width: float, height: float, ground: Color | Pixels, density: float = TEXELS_PER_METRE) -> None:
        columns, rows = size(width, height, density)
        self.width, self.height = width, height
        self.scale = np.array([columns / width, rows / height])
        if isinstance(ground, tuple):
            self.image = Image.new("RGB", (columns, rows), ground)
        else:
            self.image = Image.fromarray(ground)
        self.draw = ImageDraw.Draw(self.image)

    def _pixels(self, points: object) -> list[tuple[float, float]]:
        scaled = np.asarray(points, dtype=np.float64).reshape(-1, 2) * self.scale
        return [(float(x), float(y)) for x, y in scaled]

    def box(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: Color | None,
        edge: Color | None = None,
        line: int = 1,
    ) -> None:
        """A rectangle with its upper left corner at (x, y)."""
        (x0, y0), (x1, y1) = self._pixels([(x, y), (x + width, y + height)])
        self.draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=fill, outline=edge, width=line)

    def disc(self, x: float, y: float, radius_x: float, radius_y: float, fill: Color) -> None:
        """An ellipse about (x, y)."""
        (x0, y0), (x1, y1) = self._pixels([(x - radius_x, y - radius_y), (x + radius_x, y + radius_y)])
        self.draw.ellipse((x0, y0, x1, y1), fill=fill)

    def polygon(self, points: object, fill: Color) -> None:
        """A filled polygon, points (n, 2)."""
        self.draw.polygon(self._pixels(points), fill=fill)

    def line(self, points: object, fill: Color, width: int = 1) -> None:
        """A polyline, points (n, 2), ``width`` in texels."""
        self.draw.line(self._pixels(points), fill=fill, width=width, joint="curve")

    def paste(self, pixels: Pixels, x: float, y: float) -> None:
        """Put another picture with its upper left corner at (x, y)."""
        (at,) = self._pixels([(x, y)])
        self.image.paste(Image.fromarray(pixels), (round(at[0]), round(at[1])))

    def writing(
        self, rng: Generator, x: float, y: float, width: float, rows: int, pitch: float, ink: Color
    ) -> None:  # a page of text is a texture to any camera that stands a metre away
        """Lines that look like writing: dashes of the lengths of words."""
        for row in range(rows):
            at, top = x, y + row * pitch
            end = x + width * (rng.uniform(0.5, 1.0) if rng.random() < 0.4 else 1.0)
            while at < end:
                word = min(rng.uniform(0.3, 1.4) * pitch * 1.8, end - at)
                self.box(at, top, word, pitch * 0.5, ink)
                at += word + pitch * 0.5

    def pixels(self) -> Pixels:
        """The finished picture (h, w, 3)."""
        return np.asarray(self.image)

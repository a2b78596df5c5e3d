"""Shapes as annotation tools draw them, painted into images of labels.

A pixel belongs to a polygon where its centre lies inside, by the even-odd rule; pixel i covers [i, i + 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.labelling.annotations.label_image import NOTHING

__all__ = ["Area", "Bitmap", "Polygons", "Shape", "box", "ellipse", "painted", "ring"]

_MOST_CROSSINGS = 1 << 27
"""Of a polygon's edges with the rows of its image."""
_CHUNK = 1 << 20
_ROUND = 256
"""Corners of the polygon that stands for an ellipse."""


@dataclass(frozen=True, eq=False)
class Area:
    """Pixels of an image: those of ``mask`` (rows, columns), whose upper left is at ``left`` and ``top``."""

    left: int
    top: int
    mask: NDArray[np.bool_]


class Shape(Protocol):
    """Something that covers pixels and has a label."""

    @property
    def label(self) -> int:
        """Index of a class."""
        ...

    def area(self, size: tuple[int, int]) -> Area:
        """The pixels in an image of a size (width, height)."""
        ...


@dataclass(frozen=True, eq=False)
class Polygons:
    """What lies in one of several closed lines, (n, 2) points (x, y) in pixels each."""

    rings: Sequence[NDArray[np.float64]]
    label: int

    def area(self, size: tuple[int, int]) -> Area:
        """The pixels whose centre lies inside."""
        areas = [_filled(points, size) for points in self.rings]
        left, top = min(area.left for area in areas), min(area.top for area in areas)
        right = max(area.left + area.mask.shape[1] for area in areas)
        bottom = max(area.top + area.mask.shape[0] for area in areas)
        mask = np.zeros((bottom - top, right - left), bool)
        for one in areas:
            rows, columns = one.mask.shape
            mask[one.top - top :, one.left - left :][:rows, :columns] |= one.mask
        return Area(left, top, mask)


@dataclass(frozen=True, eq=False)
class Bitmap:
    """Pixels that were stored one by one.

    Attributes:
        decode: makes the mask (rows, columns).
        label: index of a class.
        left: column of its upper left pixel in the image.
        top: row of it.
    """

    decode: Callable[[], NDArray[np.bool_]]
    label: int
    left: int = 0
    top: int = 0

    def area(self, size: tuple[int, int]) -> Area:
        """The pixels that are stored."""
        return Area(self.left, self.top, self.decode())


def painted(shapes: Sequence[Shape], size: tuple[int, int]) -> NDArray[np.int16]:
    """(height, width) labels of shapes, later ones over earlier ones; :data:`NOTHING` beside them."""
    image = np.full((size[1], size[0]), NOTHING, np.int16)
    for shape in shapes:
        area = shape.area(size)
        rows, columns = area.mask.shape
        image[area.top :, area.left :][:rows, :columns][area.mask] = shape.label
    return image


def ring(numbers: Sequence[float], size: tuple[int, int], where: str) -> NDArray[np.float64]:
    """(n, 2) points of a polygon from x, y, x, y, ...

    Raises:
        InputError: fewer than three points, numbers that are not finite, or more corners than can be drawn.
    """
    values = np.asarray(numbers, np.float64)
    if values.ndim != 1 or len(values) < 6 or len(values) % 2:
        raise InputError(where, f"its polygon has {len(values)} numbers", "Give x and y of at least three points")
    points = values.reshape(-1, 2)
    if not np.isfinite(points).all() or np.abs(points).max() > 1e7:
        raise InputError(where, "its polygon has points that are not pixels (not finite, or huge)", "Draw it again")
    if int(_crossings(points, size)[1].sum()) > _MOST_CROSSINGS:
        raise InputError(where, f"its polygon has {len(points)} corners, too many to fill", "Save it as a mask")
    return points


def box(
    left: float,
    top: float,
    right: float,
    bottom: float,
    degrees: float = 0.0,
    about: tuple[float, float] | None = None,
) -> list[float]:
    """The corners of a rectangle that was turned clockwise, about its middle or another point."""
    x, y = about or ((left + right) / 2, (top + bottom) / 2)
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = [(x + (u - x) * cosine - (v - y) * sine, y + (u - x) * sine + (v - y) * cosine) for u, v in corners]
    return [value for corner in turned for value in corner]


def ellipse(x: float, y: float, across: float, down: float, degrees: float = 0.0) -> list[float]:
    """An ellipse by its middle and radii, turned clockwise, as a polygon."""
    angle = np.arange(_ROUND) * (2 * np.pi / _ROUND)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    u, v = across * np.cos(angle), down * np.sin(angle)
    numbers: list[float] = np.stack([x + u * cosine - v * sine, y + u * sine + v * cosine], axis=1).ravel().tolist()
    return numbers


def _crossings(points: NDArray[np.float64], size: tuple[int, int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each edge the first row of pixels whose middle it crosses inside the image, and how many."""
    y, after = points[:, 1], np.roll(points[:, 1], -1)
    first, last = (np.clip(np.ceil(end(y, after) - 0.5), 0, size[1]) for end in (np.minimum, np.maximum))
    return first.astype(np.int64), (last - first).astype(np.int64)


def _filled(points: NDArray[np.float64], size: tuple[int, int]) -> Area:
    width = size[0]
    left, right = (int(np.clip(end, 0, width)) for end in (np.floor(points[:, 0].min()), np.ceil(points[:, 0].max())))
    first, count = _crossings(points, size)
    crossing = np.flatnonzero(count)
    if not len(crossing) or right <= left:
        return Area(min(left, width - 1), 0, np.zeros((0, 0), bool))
    top, bottom = int(first[crossing].min()), int((first + count)[crossing].max())
    toggled = np.zeros((bottom - top, right - left + 1), bool)
    ends = np.cumsum(count[crossing])
    for part in np.split(crossing, np.flatnonzero(np.diff(ends // _CHUNK)) + 1):
        edge = part.repeat(count[part])
        row = np.arange(len(edge)) - (np.cumsum(count[part]) - count[part]).repeat(count[part]) + first[edge]
        (x, y), (x_after, y_after) = points[edge].T, points[(edge + 1) % len(points)].T
        at = x + (row + 0.5 - y) * ((x_after - x) / (y_after - y))
        column = np.clip(np.ceil(at - 0.5), left, right).astype(np.int64)
        np.logical_xor.at(toggled, (row - top, column - left), True)
    return Area(left, top, np.logical_xor.accumulate(toggled, axis=1)[:, :-1])

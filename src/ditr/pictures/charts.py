"""Curves and confusion tables of a report, as shapes whose places are reckoned here and drawn by the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError

__all__ = ["Curve", "Matrix", "Plot", "moving_mean"]

_WIDTH, _HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 14, 12, 42
_MOST = 400


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a plot: (n,) places along x, (n,) values, those that are not finite left out.

    Attributes:
        name: for the legend; empty for a line that needs none.
        x, y: the places.
        style: "main", "second" or "faint" (a line behind others), or "guide" (dashed).
        dots: whether each place has a dot.
    """

    name: str
    x: NDArray[np.floating]
    y: NDArray[np.floating]
    style: str = "main"
    dots: bool = False


@dataclass(frozen=True, eq=False)
class Plot:
    """Lines over a common axis; of a long one each of 400 stretches is shown by its mean.

    Attributes:
        title: a heading.
        x_title, y_title: of the axes.
        curves: at least one with a finite value.
        floor: smallest value that the axis shows at most.
        ceiling: largest value that it shows at least.
        caption: what the reader needs to know.
    """

    title: str
    x_title: str
    y_title: str
    curves: Sequence[Curve]
    floor: float | None = None
    ceiling: float | None = None
    caption: str = ""

    @property
    def drawn(self) -> dict[str, object]:
        """What the page draws: ticks as (place, text), lines as (style, name, points, dots)."""
        lines = [(curve, *_thinned(curve)) for curve in self.curves]
        lines = [line for line in lines if len(line[1])]
        if not lines:
            raise InputError(f"plot {self.title}", "no curve has a value", "Leave it out")
        xs, ys = (np.concatenate([line[i] for line in lines]) for i in (1, 2))
        x_ticks, x_low, x_high = _axis(float(xs.min()), float(xs.max()), widen=False)
        low = float(ys.min()) if self.floor is None else min(self.floor, float(ys.min()))
        high = float(ys.max()) if self.ceiling is None else max(self.ceiling, float(ys.max()))
        y_ticks, y_low, y_high = _axis(low, high, widen=True)

        def across(x: NDArray[np.float64]) -> NDArray[np.float64]:
            return _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)

        def down(y: NDArray[np.float64]) -> NDArray[np.float64]:
            return _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)

        return {
            "size": (_WIDTH, _HEIGHT),
            "frame": (_LEFT, _TOP, _WIDTH - _RIGHT, _HEIGHT - _BOTTOM),
            "x_ticks": list(zip(across(np.array(x_ticks)).round(1).tolist(), map(_text, x_ticks), strict=True)),
            "y_ticks": list(zip(down(np.array(y_ticks)).round(1).tolist(), map(_text, y_ticks), strict=True)),
            "lines": [(curve, np.column_stack([across(x), down(y)]).round(1).tolist()) for curve, x, y in lines],
        }


@dataclass(frozen=True, eq=False)
class Matrix:
    """A table of counts, each row a share of its sum: true classes by predicted ones.

    Attributes:
        names: of the classes.
        counts: (C, C) rows true, columns predicted.
        most: classes that are shown at most, those with the most points first.
        caption: what the reader needs to know.
    """

    names: Sequence[str]
    counts: NDArray[np.int64]
    most: int = 24
    caption: str = ""

    @property
    def shown(self) -> list[int]:
        """The classes that are shown: those that some point has or got."""
        weight = self.counts.sum(axis=1) + self.counts.sum(axis=0)
        rows = np.argsort(-weight, kind="stable")[: self.most]
        return sorted(int(row) for row in rows if weight[row])

    @property
    def left_out(self) -> int:
        """How many classes occur and are not shown."""
        return int(np.count_nonzero(self.counts.sum(axis=1) + self.counts.sum(axis=0))) - len(self.shown)

    def cells(self, row: int) -> list[tuple[float | None, int, bool]]:
        """Of a true class: share of its points (None without any), points, and whether it is the right class."""
        total = int(self.counts[row].sum())
        return [
            (int(self.counts[row, column]) / total if total else None, int(self.counts[row, column]), row == column)
            for column in self.shown
        ]


def moving_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """The mean of each value and those before it, ``window`` in all, (n,); of what is not finite nothing is known."""
    known = np.isfinite(values)
    total = np.concatenate([[0.0], np.cumsum(np.where(known, values, 0.0))])
    count = np.concatenate([[0], np.cumsum(known)])
    end = np.arange(1, len(values) + 1)
    begin = np.maximum(end - window, 0)
    held = count[end] - count[begin]
    return np.where(held > 0, (total[end] - total[begin]) / np.maximum(held, 1), np.nan)


def _thinned(curve: Curve) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(curve.x, np.float64), np.asarray(curve.y, np.float64)
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) <= _MOST:
        return x, y
    parts = np.arange(len(x)) * _MOST // len(x)
    count = np.bincount(parts)
    return np.bincount(parts, x) / count, np.bincount(parts, y) / count


def _axis(low: float, high: float, *, widen: bool) -> tuple[list[float], float, float]:
    """Round numbers between the ends, and the ends; with ``widen`` these are round, too."""
    if not high > low:
        low, high = (low - 0.5, high + 0.5) if low == 0 else (low - abs(low) / 2, high + abs(low) / 2)
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * by for by in (1, 2, 5, 10) if power * by >= rough * 0.999)
    if widen:
        low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [step * n for n in range(first, last + 1)], low, high


def _text(value: float) -> str:
    if value == 0 or abs(value) < 1e-12:
        return "0"
    if abs(value) >= 10_000 or abs(value) < 1e-3:
        return f"{value:.3g}" if abs(value) < 1e-3 else f"{value:,.0f}"
    return f"{value:.4g}"

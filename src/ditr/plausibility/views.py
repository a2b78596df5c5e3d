"""View by view, depth maps and colours against the points: single views that do not fit, and poses a little off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_depth, read_image
from ditr.errors import Finding, Grade, few
from ditr.geometry.projection import VisibilityRule, map_index
from ditr.plausibility.shown import (
    VIEWS,
    Shown,
    correlation,
    depth_agreement,
    opened,
    sampled,
    shown_in_all,
    spread,
    with_few_points,
)
from ditr.scene import Scene, View

__all__ = ["check_views"]

ENOUGH = 200
"""Points that a view has to show, so that they tell anything."""
MOST_VIEWS, MOST_PIXELS = 64, 40_000_000
"""How many views are looked at one by one; fewer where their photographs are large."""
ODD, SPREADS = 0.25, 5.0
"""How far below the median a view's fit has to be: so much, and so many median deviations of all views."""
GRAY = 8.0
"""Spread of colours, of 0 to 255, below which a white wall fits anything or nothing."""
STEP, REACH = 2.5, 10.0
"""Degrees by which an image is moved to and fro, and how far."""
MOST = 1500
"""Points of a view that are looked at where images are moved."""
GAIN, GOOD = 0.08, 0.6
"""How much better the points have to fit beside their pixels, and how well. Sound captures gain nothing."""
DEPTHS, COLORS = "depth maps", "colours"


def check_views(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What depth maps and colours tell of poses: of all of them, a little off, or of single ones.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    if len(scene.posed_views) < 3:
        return []
    return _moved(scene, rule) or _odd_views(scene, rule)


# ---- single views ---------------------------------------------------------------------------------------------------


def _odd_views(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    posed, sample = scene.posed_views, with_few_points(scene)
    pixels = max(view.camera.width * view.camera.height for view in posed)
    rows = spread(len(posed), max(VIEWS, min(MOST_VIEWS, MOST_PIXELS // pixels))).tolist()
    known = dict(zip(spread(len(posed), VIEWS).tolist(), sampled(scene).views, strict=True))  # whose files are open
    table = np.array([_fits(sample, known.get(row) or opened(posed[row]), rule) for row in rows])
    odd = np.zeros(len(rows), dtype=bool)
    told = {}
    for kind, fits in zip((DEPTHS, COLORS), table.T, strict=True):
        outliers = _outliers(fits)
        odd |= outliers
        if outliers.any():
            told[kind] = float(np.nanmin(fits)), float(np.nanmedian(fits))
    if not told:
        return []
    names = few([posed[row].name for row, is_odd in zip(rows, odd, strict=True) if is_odd], 5)
    how = " and ".join(
        f"{kind} agree to {low:.2f} (median of all views: {median:.2f})" for kind, (low, median) in told.items()
    )
    text = f"{odd.sum()} of the {len(rows)} checked views do not match the points: {names}; in these, {how}"
    evidence = {kind: {"lowest": round(low, 3), "median": round(median, 3)} for kind, (low, median) in told.items()}
    return [Finding(Grade.WARNED, "cameras", text, "Check the poses of these views, or leave them out", evidence)]


def _fits(sample: Scene, view: View, rule: VisibilityRule) -> tuple[float, float]:
    """How well the points fit a view's depth map and its colours, -1 to 1; NaN where there is too little to tell.

    Hidden points tell nothing: a room is seen through a door. Those that float before the surfaces do.
    """
    shown = Shown.of(sample, view, rule)
    agreement = shown.depth_agreement()
    told = agreement[agreement != 0]
    if len(told) >= ENOUGH:
        depth = float(told.mean())
    else:
        depth = 0.0 if len(agreement) >= 5 * ENOUGH and len(told) < 0.02 * len(agreement) else np.nan
    if sample.color is None:
        return depth, np.nan
    pair = shown.colors(sample.color, view)
    varied = len(pair[0]) >= ENOUGH and max(side.std(axis=0).max() for side in pair) >= GRAY
    return depth, correlation([pair]) if varied else np.nan


def _outliers(fits: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(n,) whether a view fits much worse than the others; none where most fit badly, which other checks tell."""
    known = fits[np.isfinite(fits)]
    if len(known) < 3 or np.median(known) < 0.5:
        return np.zeros(len(fits), dtype=bool)
    median = np.median(known)
    margin = max(ODD, SPREADS * float(np.median(np.abs(known - median))))
    return np.asarray(np.nan_to_num(fits, nan=median) < max(0.4 * median, median - margin))


# ---- all a little off -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Beside:
    """Medians over views: how well points fit where they fall, how well where they fit best, and how far that is."""

    own: float
    best: float
    degrees: float

    @property
    def is_better(self) -> bool:
        return self.best - self.own >= GAIN and self.degrees >= 2 * STEP and self.best >= GOOD

    def __str__(self) -> str:
        return f"{self.degrees:.0f} degrees beside their pixels ({self.own:.2f} there, {self.best:.2f} beside)"


def _moved(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Whether points clearly fit depth maps and colours better beside the pixels into which they fall."""
    sample = sampled(scene)
    shown = list(zip(sample.views, shown_in_all(sample, rule), strict=True))
    fits = {
        DEPTHS: [_depths_beside(view, one) for view, one in shown if one.stored is not None],
        COLORS: [_colors_beside(view, one, sample.color) for view, one in shown if sample.color is not None],
    }
    found = {kind: _beside([fit for fit in of_views if fit is not None]) for kind, of_views in fits.items()}
    better = {kind: beside for kind, beside in found.items() if beside is not None and beside.is_better}
    if not better:
        return []
    told = " and ".join(f"{kind} better {beside}" for kind, beside in better.items())
    photographs_fit = found[COLORS] is not None and COLORS not in better
    what = (
        "the depth maps do not line up with the photographs"
        if photographs_fit
        else "the poses or the intrinsics are off"
    )
    degrees = max(beside.degrees for beside in better.values())
    return [
        Finding(Grade.WARNED, "cameras", f"points fit {told}: {what}", "Check the calibration", {"degrees": degrees})
    ]


_TURNS = np.array(
    sorted(
        (
            (across, down)
            for across in np.arange(-REACH, REACH + STEP, STEP)
            for down in np.arange(-REACH, REACH + STEP, STEP)
        ),
        key=lambda turn: np.hypot(*turn),
    )
)
"""(turns, 2) degrees across and down; the smallest turn, none at all, first."""

_Fit = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""How well a view's points fit, at most 1, where it is turned by each of (turns, 2) degrees."""


def _beside(fits: Sequence[_Fit]) -> _Beside | None:
    """Of the fits of some views."""
    if len(fits) < 3:
        return None
    own = float(np.median([fit(_TURNS[:1])[0] for fit in fits]))
    if own + GAIN > 1:  # nothing can be so much better
        return _Beside(own, own, 0.0)
    tables = [fit(_TURNS) for fit in fits]
    best = [int(table.argmax()) for table in tables]
    return _Beside(
        own=own,
        best=float(np.median([table.max() for table in tables])),
        degrees=float(np.median([np.hypot(*_TURNS[number]) for number in best])),
    )


def _turned(
    view: View, pixel: NDArray[np.float64], turns: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """(turns, n) whether points are still in the image where it is turned, and their rows and columns in a map of this
    shape over it; 0 where they are not."""
    size, side = (view.camera.width, view.camera.height), (shape[1], shape[0])
    inside, index = [], []
    for axis in range(2):
        # There are as many turns as pairs of a turn across and one down.
        degrees, which = np.unique(turns[:, axis], return_inverse=True)
        moved = pixel[:, axis] + np.tan(np.deg2rad(degrees))[:, None] * view.camera.fx
        held = (moved >= 0) & (moved < size[axis])
        inside.append(held[which])
        index.append(map_index(moved * held, size[axis], side[axis])[which])
    return inside[0] & inside[1], index[1], index[0]


def _depths_beside(view: View, shown: Shown) -> _Fit | None:
    some = slice(None, None, 1 + len(shown.rows) // MOST)
    depth, pixel, depth_map = shown.depth[some], shown.pixel[some], read_depth(view)
    assert shown.stored is not None and depth_map is not None
    if (shown.stored[some] > 0).sum() < ENOUGH:
        return None

    def fit(turns: NDArray[np.float64]) -> NDArray[np.float64]:
        inside, row, column = _turned(view, pixel, turns, depth_map.shape)
        stored = depth_map[row, column]
        known = inside & (stored > 0)
        count, total = known.sum(axis=1), (depth_agreement(depth, stored) * known).sum(axis=1)
        return np.where(2 * count >= ENOUGH, total / np.maximum(count, 1), -1.0)

    return fit


def _colors_beside(view: View, shown: Shown, color: NDArray[np.uint8]) -> _Fit | None:
    rows, pixel = shown.in_front(view)
    if len(rows) < ENOUGH:
        return None
    some, image = slice(None, None, 1 + len(rows) // MOST), read_image(view)
    ours, place = color[rows[some]].astype(np.float64), pixel[some].astype(np.float64)

    def fit(turns: NDArray[np.float64]) -> NDArray[np.float64]:
        inside, row, column = _turned(view, place, turns, image.shape)
        theirs = image[row, column] * inside[..., None]
        return np.where(2 * inside.sum(axis=1) >= ENOUGH, _correlations(ours, theirs, inside), -1.0)

    return fit


def _correlations(ours: NDArray[np.float64], theirs: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(turns,) as :func:`correlation` of the rows that are inside: ``ours`` (n, 3), ``theirs`` (turns, n, 3) with 0
    outside."""
    theirs, weight = theirs.astype(np.float64), inside.astype(np.float64)
    count = np.maximum(weight.sum(axis=1), 1)[:, None]
    a, b = weight @ ours, theirs.sum(axis=1)
    own = (weight @ (ours * ours) - a * a / count).sum(axis=1)
    other = (np.einsum("tnc,tnc->tc", theirs, theirs) - b * b / count).sum(axis=1)
    both = (np.einsum("nc,tnc->tc", ours, theirs) - a * b / count).sum(axis=1)
    norm = np.sqrt(np.maximum(own * other, 0))
    result: NDArray[np.float64] = np.divide(both, norm, out=np.zeros_like(norm), where=norm > 1e-6)
    return result

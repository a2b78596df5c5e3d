"""Colours of points against those of their pixels: views that do not fit, poses a little off, red for blue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_image
from ditr.errors import Finding, Grade, few
from ditr.geometry.projection import VisibilityRule
from ditr.plausibility.cameras import Shown, correlation, sampled
from ditr.scene import Scene, View

__all__ = ["check_colors"]

ENOUGH = 200
"""Points that a view has to show, so that their colours tell anything."""
STEP, REACH = 2.5, 10.0
"""Degrees by which an image is moved to and fro, and how far."""
MOST = 1500
"""Points of a view that are looked at."""


def check_colors(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """What colours tell of the poses of single views, and of the cloud's channels; nothing for a cloud without colours.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    if scene.color is None or len(scene.posed_views) < 3:
        return []
    sample = sampled(scene)
    assert sample.color is not None
    views, pairs, hidden = [], [], []
    for view in sample.posed_views:
        shown = Shown.of(sample, view, rule)
        rows, pixel = shown.in_front(view)
        if len(rows) >= ENOUGH:
            some = slice(None, None, max(1, len(rows) // MOST))
            views.append(view)
            pairs.append((sample.color[rows[some]].astype(np.float64), pixel[some]))
        elif len(shown.rows) >= 5 * ENOUGH:
            hidden.append(view)
    if len(views) < 3:
        return []
    fits = np.array([_fit(view, *pair, (0, 0)) for view, pair in zip(views, pairs, strict=True)])
    if np.median(fits) < 0.5:
        return []  # The colours say nothing, or all is wrong, which the check of cameras tells.
    return _odd_views(views, fits, hidden) or _moved(views, pairs, fits) or _exchanged(views, pairs)


def _fit(view: View, color: NDArray[np.float64], pixel: NDArray[np.int64], shift: tuple[int, int]) -> float:
    """Correlation of points' colours with the pixels that lie ``shift`` (columns, rows) beside theirs."""
    image = read_image(view)
    column, row = pixel[:, 0] + shift[0], pixel[:, 1] + shift[1]
    inside = (column >= 0) & (column < image.shape[1]) & (row >= 0) & (row < image.shape[0])
    return correlation([(color[inside], image[row[inside], column[inside]].astype(np.float64))])


def _odd_views(views: list[View], fits: NDArray[np.float64], hidden: list[View]) -> list[Finding]:
    odd = [view.name for view, fit in zip(views, fits, strict=True) if fit < 0.4 * np.median(fits)]
    odd += [view.name for view in hidden]
    if not odd:
        return []
    text = f"{len(odd)} of the {len(views) + len(hidden)} views looked at do not fit the points: {few(odd, 5)}"
    evidence = {"lowest": round(float(fits.min()), 3), "median": round(float(np.median(fits)), 3)}
    return [Finding(Grade.WARNED, "cameras", text, "Check the poses of these views, or leave them out", evidence)]


def _moved(
    views: list[View], pairs: list[tuple[NDArray[np.float64], NDArray[np.int64]]], fits: NDArray[np.float64]
) -> list[Finding]:
    """Whether the colours fit clearly better beside the pixels into which the points fall."""
    steps = np.arange(-REACH, REACH + STEP / 2, STEP)
    gains, angles = [], []
    for view, pair, fit in zip(views, pairs, fits, strict=True):
        pixels = [round(float(np.tan(np.deg2rad(angle)) * view.camera.fx)) for angle in steps]
        found = [
            (_fit(view, *pair, (u, v)), np.hypot(a, b))
            for a, u in zip(steps, pixels, strict=True)
            for b, v in zip(steps, pixels, strict=True)
        ]
        best, angle = max(found)
        gains.append(best - fit)
        angles.append(angle)
    if np.median(gains) < 0.08 or np.median(angles) < 2 * STEP:
        return []
    text = (
        f"points' colours fit better {np.median(angles):.0f} degrees beside their pixels ({np.median(fits):.2f} there, "
        f"{np.median(fits) + np.median(gains):.2f} beside): the poses or the intrinsics are off"
    )
    return [Finding(Grade.WARNED, "cameras", text, "Check the calibration", {"degrees": float(np.median(angles))})]


def _exchanged(views: list[View], pairs: list[tuple[NDArray[np.float64], NDArray[np.int64]]]) -> list[Finding]:
    """Whether the cloud's red is the images' blue: by what is left of colours without their brightness."""
    ours = np.concatenate([color for color, _ in pairs])
    theirs = np.concatenate(
        [read_image(view)[pixel[:, 1], pixel[:, 0]] for view, (_, pixel) in zip(views, pairs, strict=True)]
    ).astype(np.float64)
    ours, theirs = ours - ours.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=1, keepdims=True)
    as_is, exchanged = correlation([(ours, theirs)]), correlation([(ours[:, ::-1], theirs)])
    if exchanged < as_is + 0.3 or exchanged < 0.5:
        return []
    text = (
        f"red and blue seem exchanged: hues of points and pixels agree to {as_is:.2f}, and to {exchanged:.2f} otherwise"
    )
    evidence = {"hue_fit": round(as_is, 3), "hue_fit_exchanged": round(exchanged, 3)}
    return [Finding(Grade.WARNED, "colours", text, "Write the channels as red, green, blue", evidence)]

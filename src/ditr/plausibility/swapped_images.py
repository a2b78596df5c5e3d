"""Do images stand at the poses of other views? By colours of points, or by edges of depth maps or of the points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from ditr.captures.images import read_depth, read_image, read_mask
from ditr.errors import Finding, Grade
from ditr.geometry.projection import VisibilityRule, see
from ditr.plausibility.shown import VIEWS, Shown, correlation, sampled, spread
from ditr.scene import Scene, View

__all__ = ["check_images"]

COLORS_FIT = 0.6
"""Agreement of colours above which the images are their poses' own; sound captures came no lower than 0.8."""
COLORS_CLEARLY = 0.35
"""By how much the colours have to agree better with the images of other views."""
EDGES_FIT = 0.2
"""Agreement of edges that belongs to one and the same view: sound captures have 0.12 to 0.5, other views below 0.06."""
EDGES_CLEARLY = 0.12
"""By how much edges have to agree better with those of other views; the best of 24 unrelated ones do by 0.1."""
JUMPS_CLEARLY = 0.15
"""The same of jumps among the points, whose edges are loose: sound sweeps gained up to 0.09 from other images."""
JUMP_POINTS = 200_000
"""Points of a sweep whose jumps are looked for."""
GRID = 160
"""Pixels of the longer side on which edges are looked at."""

Fit = Callable[[int, View], float]
"""How well a looked-at view, by its number, fits the photograph of another one."""


def check_images(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Whether images belong to other views: some are tried under the poses of others, of their neighbours above all.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    posed = scene.posed_views
    if len(posed) < 3 or len({(view.camera.width, view.camera.height) for view in posed}) > 1:
        return []
    sample = sampled(scene)
    looked_at = spread(len(posed), VIEWS)
    near = {row + step for row in looked_at.tolist() for step in (-1, 0, 1)} & set(range(len(posed)))
    others = [int(row) for row in looked_at] + sorted(near - set(looked_at.tolist()))
    candidates = [*sample.views, *(posed[row] for row in others[len(looked_at) :])]
    if scene.color is not None:
        fit = _color_fit(sample, rule)
        own = _own(fit, sample.views)
        if own >= COLORS_FIT:
            return []
        found = _better(fit, sample.views, candidates, own + COLORS_CLEARLY, "colours of points and pixels agree")
        if found:
            return found
    if all(view.depth is not None for view in sample.views):
        fit, clearly = _edge_fit(sample.views), EDGES_CLEARLY
        grade, what = Grade.REFUSED, "edges of images and depth maps agree"
    else:
        fit, clearly = _jump_fit(scene, sample.views, rule), JUMPS_CLEARLY
        grade, what = Grade.WARNED, "edges of images and jumps of the points' depths agree"
    own = _own(fit, sample.views)
    if own >= EDGES_FIT:
        return []
    found = _better(fit, sample.views, candidates, max(EDGES_FIT, own + clearly), what)
    return [replace(finding, grade=grade) for finding in found]


def _own(fit: Fit, views: tuple[View, ...]) -> float:
    return float(np.mean([fit(number, view) for number, view in enumerate(views)]))


def _better(fit: Fit, views: tuple[View, ...], candidates: list[View], bound: float, what: str) -> list[Finding]:
    """A finding where other images fit to ``bound`` or better; the first candidates are the views themselves."""
    candidates = [replace(view, image=read_image(view), quarter_turns=0) for view in candidates]
    table = np.array([[fit(number, view) for view in candidates] for number in range(len(views))])
    rows, columns = linear_sum_assignment(-table)
    own, best = float(np.diag(table).mean()), float(table[rows, columns].mean())
    moved = [(row, column) for row, column in zip(rows, columns, strict=True) if row != column]
    if best < bound or not moved:
        return []
    row, column = moved[0]
    return [
        Finding(
            Grade.REFUSED,
            "cameras",
            f"images have the poses of other views: {what} to {own:.2f} as they are, but to {best:.2f} otherwise; "
            f"for example, the pose of {views[row].name} fits the image of {candidates[column].name}",
            "Check which image belongs to which pose",
            {"fit": round(own, 3), "fit_otherwise": round(best, 3)},
        )
    ]


def _color_fit(sample: Scene, rule: VisibilityRule) -> Fit:
    assert sample.color is not None
    color, shown = sample.color, [Shown.of(sample, view, rule) for view in sample.views]

    def fit(number: int, other: View) -> float:
        view = sample.views[number]
        return correlation([shown[number].colors(color, replace(view, image=other.image))])

    return fit


def _edge_fit(views: tuple[View, ...]) -> Fit:
    edges = [_depth_edges(view) for view in views]
    known: dict[str, NDArray[np.float64]] = {}

    def fit(number: int, other: View) -> float:
        if other.name not in known:
            known[other.name] = _image_edges(other)
        told = np.isfinite(edges[number])
        if told.sum() < 1000:
            return 0.0
        return correlation([(edges[number][told][:, None], known[other.name][told][:, None])])

    return fit


def _jump_fit(scene: Scene, views: tuple[View, ...], rule: VisibilityRule) -> Fit:
    """By points that stand before others right beside them in the image, as on the border of a car or a pole."""
    coord = scene.coord[spread(len(scene), JUMP_POINTS)]
    jumps = [_jumps(coord, view, rule) for view in views]
    known: dict[str, NDArray[np.float64]] = {}

    def fit(number: int, other: View) -> float:
        if other.name not in known:
            known[other.name] = _image_edges(other, 2 * GRID)
        cell, jump = jumps[number]
        if len(jump) < 200:
            return 0.0
        return correlation([(jump[:, None], known[other.name][cell[:, 1], cell[:, 0]][:, None])])

    return fit


def _jumps(
    coord: NDArray[np.float64], view: View, rule: VisibilityRule
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells (n, 2) of the image's grid with a point, and by how much (the logarithm of depth) others lie behind it."""
    found = see(coord, view, replace(rule, depth_margin=None), mask=read_mask(view))
    rows, columns = _grid(view, 2 * GRID)
    seen = np.flatnonzero(found.visible)
    if len(seen) < 200:
        return np.empty((0, 2), dtype=np.int64), np.empty(0)
    pixel = found.pixel[seen] * np.array((columns / view.camera.width, rows / view.camera.height))
    distance, beside = cKDTree(pixel).query(pixel, k=9)
    depth = np.log(found.depth[seen])
    # Left out: points with none beside them, and those behind others, which the photograph may not show.
    told = (distance[:, -1] < 8) & (depth - depth[beside].min(axis=1) < 0.3)
    cell = np.minimum(pixel[told].astype(np.int64), np.array((columns, rows)) - 1)
    return cell, np.minimum(depth[beside].max(axis=1) - depth, 0.7)[told]


def _grid(view: View, longer: int = GRID) -> tuple[int, int]:
    """Rows and columns on which edges are looked at."""
    scale = longer / max(view.camera.width, view.camera.height)
    return max(8, round(view.camera.height * scale)), max(8, round(view.camera.width * scale))


def _image_edges(view: View, longer: int = GRID) -> NDArray[np.float64]:
    rows, columns = _grid(view, longer)
    grey = Image.fromarray(read_image(view)).convert("L").resize((columns, rows), Image.Resampling.BILINEAR)
    down, across = np.gradient(np.asarray(grey, dtype=np.float64))
    return _soft(np.hypot(down, across))


def _depth_edges(view: View) -> NDArray[np.float64]:
    """Jumps and creases: inverse depth is linear in the image on a plane, so what bends is an edge. NaN: unknown."""
    depth = read_depth(view)
    assert depth is not None
    rows, columns = _grid(view)
    depth = depth[np.arange(rows) * depth.shape[0] // rows][:, np.arange(columns) * depth.shape[1] // columns]
    inverse = np.where(depth > 0, 1 / np.maximum(depth, 0.1), np.nan)
    down, across = np.gradient(inverse)
    bent = np.hypot(np.gradient(down, axis=0), np.gradient(across, axis=1))
    known = np.isfinite(bent)
    soft = _soft(np.where(known, bent, 0.0))
    return np.where(known, soft, np.nan)


def _soft(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges that a few strong ones do not outweigh, a pixel wider."""
    return np.asarray(gaussian_filter(np.minimum(edges, np.percentile(edges, 95)), 1.0))

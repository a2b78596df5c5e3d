"""What a view shows of the points, against its depth map and its pixels; and a scene with few points and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_depth, read_image, read_mask
from ditr.geometry.projection import VisibilityRule, see, values_at
from ditr.scene import Scene, View

__all__ = ["Shown", "correlation", "opened", "sampled", "shown_in_all", "spread", "with_few_points"]

POINTS, VIEWS = 20_000, 8
"""How many points and views are looked at: enough for shares of a per cent, and a second of work."""


@dataclass(frozen=True, eq=False)
class Shown:
    """The points in a view's frustum and range, except for masked pixels.

    Attributes:
        rows: (n,) of the scene's points.
        pixel: (n, 2) image coordinates.
        depth: (n,) metres along the optical axis.
        stored: (n,) metres that the depth map has there, 0 for no value; None without a depth map.
    """

    rows: NDArray[np.int64]
    pixel: NDArray[np.float64]
    depth: NDArray[np.float64]
    stored: NDArray[np.float32] | None

    @classmethod
    def of(cls, scene: Scene, view: View, rule: VisibilityRule) -> Shown:
        """Of a view's points.

        Args:
            scene: the points.
            view: any view with a pose.
            rule: whose ranges count; its depth test does not.

        Raises:
            InputError: a depth map or mask that cannot be read.
        """
        found = see(scene.coord, view, replace(rule, depth_margin=None), mask=read_mask(view))
        rows = np.flatnonzero(found.visible)
        pixel, stored = found.pixel[rows], None
        depth_map = read_depth(view) if len(rows) else None
        if depth_map is not None and depth_map.size:
            stored = values_at(depth_map, pixel, view.camera)
        return cls(rows, pixel, found.depth[rows], stored)

    def depth_agreement(self) -> NDArray[np.float64]:
        """For each point with a depth value: 1 at that depth, -1 before it, 0 behind."""
        if self.stored is None:
            return np.empty(0)
        known = self.stored > 0
        return depth_agreement(self.depth[known], self.stored[known])

    def colors(self, color: NDArray[np.uint8], view: View) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(m, 3) colours of the points that are not hidden, and of their pixels."""
        rows, pixel = self.in_front(view)
        of_points = color[rows].astype(np.float64)
        of_pixels = read_image(view)[pixel[:, 1], pixel[:, 0]].astype(np.float64) if len(rows) else of_points
        return of_points, of_pixels

    def in_front(self, view: View) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and whole pixels of the points at the depth map's depth or, without one, nearest in their part of it."""
        if self.stored is not None:
            front = (self.stored > 0) & (np.abs(self.depth - self.stored) <= 0.2)
        else:
            cells = 32 * (self.pixel[:, 1] / view.camera.height * 24).astype(np.int64)
            cells += (self.pixel[:, 0] / view.camera.width * 32).astype(np.int64)
            nearest = np.full(32 * 24, np.inf)
            np.minimum.at(nearest, cells, self.depth)
            front = self.depth <= 1.1 * nearest[cells]
        return self.rows[front], self.pixel[front].astype(np.int64)


def depth_agreement(depth: NDArray[np.float64], stored: NDArray[np.float32]) -> NDArray[np.float64]:
    """Of depths (n,) and values (..., n) of the depth map at their places: 1 at that value, -1 before it, 0 behind."""
    distance = depth - stored
    margin = np.maximum(0.2, 0.05 * depth)
    return np.where(distance < -margin, -1.0, (distance <= margin).astype(np.float64))


def correlation(pairs: Sequence[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> float:
    """Over all channels, each image's own brightness taken off; 0 where there is too little to tell."""
    kept = [(a - a.mean(axis=0), b - b.mean(axis=0)) for a, b in pairs if len(a) >= 50]
    if not kept:
        return 0.0
    ours, theirs = (np.concatenate(side) for side in zip(*kept, strict=True))
    norm = np.sqrt((ours * ours).sum() * (theirs * theirs).sum())
    return float((ours * theirs).sum() / norm) if norm > 0 else 0.0


@lru_cache(maxsize=1)  # Several checks look at one scene.
def sampled(scene: Scene) -> Scene:
    """The scene with few points and views, both spread evenly; the same ones each time. Their files are opened."""
    posed = scene.posed_views
    return replace(with_few_points(scene), views=tuple(opened(posed[row]) for row in spread(len(posed), VIEWS)))


@lru_cache(maxsize=1)  # likewise
def shown_in_all(scene: Scene, rule: VisibilityRule) -> tuple[Shown, ...]:
    """:class:`Shown` of each posed view of a sampled scene."""
    return tuple(Shown.of(scene, view, rule) for view in scene.posed_views)


def with_few_points(scene: Scene) -> Scene:
    """The scene with few points, spread evenly, and their colours and normals."""
    rows = spread(len(scene), POINTS)
    return replace(
        scene,
        coord=scene.coord[rows],
        color=None if scene.color is None else scene.color[rows],
        normal=None if scene.normal is None else scene.normal[rows],
        strength=None,
        label=None,
        extra={},
    )


def spread(count: int, most: int) -> NDArray[np.int64]:
    """Up to ``most`` numbers below ``count``, spread evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def opened(view: View) -> View:
    """The view with its photograph, depth map and mask in memory.

    Raises:
        InputError: one of these that cannot be read.
    """
    return replace(view, image=read_image(view), depth=read_depth(view), mask=read_mask(view), quarter_turns=0)

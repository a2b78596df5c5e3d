"""Depth maps against the distances of the points: are both in one unit?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ditr.captures.images import read_depth
from ditr.geometry.projection import project
from ditr.scene import Scene

__all__ = ["DepthRatio"]

_POINTS, _VIEWS = 20_000, 4
_FEWEST = 50
_NEAR = 0.06
"""Half the width, in powers of ten, within which ratios count as one: 15 %."""


@dataclass(frozen=True)
class DepthRatio:
    """Depth values over the distances, along the optical axis, of the points that lie there.

    Attributes:
        ratio: the commonest one.
        share: share of the points in view that have it, to 15 %.
        share_at_one: share of the points whose depth is their distance, to 15 %.
        distance: median distance of the points in view.
        unit: metres of one unit of the depth maps, as read.
    """

    ratio: float
    share: float
    share_at_one: float
    distance: float
    unit: float

    @classmethod
    def of(cls, scene: Scene) -> DepthRatio | None:
        """By 20,000 points and four views at most; None where fewer than 50 points have a depth value.

        Raises:
            InputError: a depth map that cannot be read.
        """
        views = [view for view in scene.posed_views if view.depth is not None]
        if not views:
            return None
        views = [views[row] for row in np.unique(np.linspace(0, len(views) - 1, _VIEWS).astype(np.int64))]
        coord = scene.coord[np.linspace(0, len(scene) - 1, min(len(scene), _POINTS)).astype(np.int64)]
        ratios, distances = [], []
        for view in views:
            depth = read_depth(view)
            seen = project(coord, view.camera, view.world_to_camera)
            if depth is None or not depth.size or not seen.visible.any():
                continue
            size = (view.camera.width, view.camera.height)
            column, row = (seen.pixel[seen.visible] / size * depth.shape[::-1]).astype(np.int64).T
            stored, distance = depth[row, column].astype(np.float64), seen.depth[seen.visible]
            known = stored > 0
            ratios.append(np.log10(stored[known] / distance[known]))
            distances.append(distance[known])
        found = np.sort(np.concatenate(ratios)) if ratios else np.empty(0)
        if len(found) < _FEWEST:
            return None
        near = np.searchsorted(found, found + _NEAR) - np.searchsorted(found, found - _NEAR)
        commonest = found[near >= 0.9 * near.max()]
        ratio = float(np.median(commonest))
        return cls(
            ratio=10**ratio,
            share=float((np.abs(found - ratio) < _NEAR).mean()),
            share_at_one=float((np.abs(found) < _NEAR).mean()),
            distance=float(np.median(np.concatenate(distances))),
            unit=views[0].depth_unit,
        )

    @property
    def fits(self) -> bool:
        """Whether depth maps and points are in one unit, as far as can be told."""
        off = abs(np.log10(self.ratio))
        needed = max(0.15 if off > 0.7 else 0.4, 2 * self.share_at_one)
        return bool(off < np.log10(1.5) or self.share < needed)

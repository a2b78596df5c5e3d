"""Normals for points that have none, on the side from which they were seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import see_with_maps
from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.sample import lacking_attributes
from ditr.data.scene_views import inference_rows
from ditr.geometry.bounds import bounding_box
from ditr.geometry.normals import estimate_normals
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene, View

__all__ = ["NEIGHBOURS", "missing_normals", "seen_from", "with_all_normals", "with_lacking_normals", "with_normals"]


NEIGHBOURS = 16
"""How many points make a normal."""


def missing_normals(scene: Scene) -> NDArray[np.int64]:
    """(n,) the points without a normal: all where the scene has none, else those with a zero in the place of one."""
    return np.arange(len(scene)) if scene.normal is None else np.flatnonzero(~scene.normal.any(axis=1))


def with_lacking_normals(scene: Scene, preparation: Preparation, seed: int) -> Scene:
    """The scene itself, or with normals where they are all that it, or some of its points, lack of a network's inputs.

    Args:
        scene: to be labelled.
        preparation: says which attributes are needed, and which views count.
        seed: of the choice of views.

    Raises:
        InputError: damaged depth maps.
    """
    if lacking_attributes(scene, preparation) != [Attribute.NORMAL]:
        return with_all_normals(scene, preparation, seed)
    views = [scene.views[row] for row in inference_rows(scene, preparation, seed)]
    return with_normals(scene, views, preparation.rule, preparation.origin)


def with_all_normals(scene: Scene, preparation: Preparation, seed: int = 0) -> Scene:
    """The scene itself, or where it has normals and some are missing, with these estimated and all others kept.

    Raises:
        InputError: damaged depth maps.
    """
    if Attribute.NORMAL not in preparation.attributes or scene.normal is None:
        return scene
    views = [scene.views[row] for row in inference_rows(scene, preparation, seed)]
    return with_normals(scene, views, preparation.rule, preparation.origin)


def with_normals(scene: Scene, views: Sequence[View], rule: VisibilityRule, origin: Origin) -> Scene:
    """The scene with missing normals estimated from each point's :data:`NEIGHBOURS` nearest points.

    They point to where the point was seen from: the sensor where coordinates are counted from it; else the nearest
    camera that shows the point, or the nearest camera where none does; without cameras the middle of the bounding box,
    because a scan of rooms is made from within them.

    Args:
        scene: normals that it has are kept.
        views: whose cameras count.
        rule: which points a view shows.
        origin: whether coordinates are counted from the sensor.

    Raises:
        InputError: damaged depth maps.
    """
    rows = missing_normals(scene)
    if not len(rows):
        return scene
    coord = scene.coord[rows]
    if origin is Origin.SENSOR:
        viewpoints = np.zeros_like(coord)
    elif posed := [view for view in views if view.is_posed]:
        viewpoints = seen_from(coord, posed, rule, scene.coord)
    else:
        low, high = bounding_box(scene.coord)
        viewpoints = np.broadcast_to((low + high) / 2, coord.shape)
    estimated = estimate_normals(scene.coord, neighbours=NEIGHBOURS, viewpoints=viewpoints, rows=rows)
    normal = np.zeros(scene.coord.shape, dtype=np.float32) if scene.normal is None else scene.normal.copy()
    normal[rows] = estimated
    return replace(scene, normal=normal)


def seen_from(
    coord: NDArray[np.float64], views: Sequence[View], rule: VisibilityRule, cloud: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(N, 3) the centre of the nearest camera that shows each point, or of the nearest one where none does.

    Args:
        coord: (N, 3) metres.
        views: with poses.
        rule: which points a view shows.
        cloud: (M, 3) metres, all points that may hide others; None for the same ones.
    """
    nearest = np.full(len(coord), np.inf)
    shows = np.zeros(len(coord), dtype=bool)
    result = np.empty_like(coord)
    # One view at a time: a distance for every pair of point and view would not fit into memory.
    for view in views:
        center = view.center
        visible = see_with_maps(coord, view, rule, cloud).visible
        distance = np.linalg.norm(coord - center, axis=1)
        better = (visible & ~shows) | ((visible == shows) & (distance < nearest))
        result[better], nearest[better] = center, distance[better]
        shows |= visible
    return result

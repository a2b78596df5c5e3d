"""Normals for a scene that has none, on the side from which it was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_depth
from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.sample import lacking_attributes
from ditr.data.scene_views import inference_rows
from ditr.geometry.bounds import bounding_box
from ditr.geometry.normals import estimate_normals
from ditr.geometry.projection import VisibilityRule, see
from ditr.scene import Scene, View

__all__ = ["NEIGHBOURS", "seen_from", "with_lacking_normals", "with_normals"]


NEIGHBOURS = 16
"""How many points make a normal."""


def with_lacking_normals(scene: Scene, preparation: Preparation, seed: int) -> Scene:
    """The scene itself, or with normals where they are all that it lacks of a network's inputs.

    Args:
        scene: to be labelled.
        preparation: says which attributes are needed, and which views count.
        seed: of the choice of views.

    Raises:
        InputError: damaged depth maps.
    """
    if lacking_attributes(scene, preparation) != [Attribute.NORMAL]:
        return scene
    views = [scene.views[row] for row in inference_rows(scene, preparation, seed)]
    return with_normals(scene, views, preparation.rule, preparation.origin)


def with_normals(scene: Scene, views: Sequence[View], rule: VisibilityRule, origin: Origin) -> Scene:
    """The scene with normals estimated from each point's :data:`NEIGHBOURS` nearest points.

    They point to where the point was seen from: the sensor where coordinates are counted from it; else the nearest
    camera that shows the point, or the nearest camera where none does; without cameras the middle of the bounding box,
    because a scan of rooms is made from within them.

    Args:
        scene: without normals, or with ones to replace.
        views: whose cameras count.
        rule: which points a view shows.
        origin: whether coordinates are counted from the sensor.

    Raises:
        InputError: damaged depth maps.
    """
    if origin is Origin.SENSOR:
        viewpoints = np.zeros_like(scene.coord)
    elif posed := [view for view in views if view.is_posed]:
        viewpoints = seen_from(scene, posed, rule)
    else:
        low, high = bounding_box(scene.coord)
        middle = (low + high) / 2
        viewpoints = np.broadcast_to(middle, scene.coord.shape)
    return replace(scene, normal=estimate_normals(scene.coord, neighbours=NEIGHBOURS, viewpoints=viewpoints))


def seen_from(scene: Scene, views: Sequence[View], rule: VisibilityRule) -> NDArray[np.float64]:
    """(N, 3) the centre of the nearest camera that shows each point, or of the nearest one where none does."""
    nearest = np.full(len(scene), np.inf)
    shows = np.zeros(len(scene), dtype=bool)
    result = np.empty_like(scene.coord)
    # One view at a time: a distance for every pair of point and view would not fit into memory.
    for view in views:
        center = view.center
        visible = see(scene.coord, view, rule, read_depth(view) if rule.depth_margin is not None else None).visible
        distance = np.linalg.norm(scene.coord - center, axis=1)
        better = (visible & ~shows) | ((visible == shows) & (distance < nearest))
        result[better], nearest[better] = center, distance[better]
        shows |= visible
    return result

"""Points that are not measurements, and masks that leave nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import read_mask
from ditr.errors import Finding, Grade, few
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene

__all__ = ["check_attributes", "far_away"]

_FAR = 50.0
"""Times the distance of nine tenths of the points from the middle, within which a scan ends."""
_FEWEST = 50
_PILE = 0.01
"""Share of points at the origin that no surface there has."""
_VIEWS = 8
_DEGREES = 1e-3
"""Of their height, below which places are not as wide."""


def check_attributes(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Points far from all others, at the origin, or in degrees; masks that take out whole images.

    Raises:
        InputError: a mask that cannot be read.
    """
    return [*_points(scene), *_masks(scene)] if not scene.as_published else []


def far_away(coord: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) which points lie so far from the others that they do not belong to the place."""
    if len(coord) < _FEWEST:
        return np.zeros(len(coord), dtype=bool)
    away = np.abs(coord - np.median(coord, axis=0)).max(axis=1)
    return np.asarray(away > _FAR * max(float(np.quantile(away, 0.9)), 1e-9))


def _points(scene: Scene) -> list[Finding]:
    found = []
    far = far_away(scene.coord)
    if far.any():
        reach = np.abs(scene.coord[far] - np.median(scene.coord, axis=0)).max()
        text = f"{np.count_nonzero(far)} of {len(far)} are up to {reach:.3g} m away from all others"
        text += f", the first is number {np.flatnonzero(far)[0]}"
        found.append(Finding(Grade.WARNED, "points", text, "Remove them", {"far_points": int(far.sum())}))
    zero = int((scene.coord == 0).all(axis=1).sum())
    if zero >= _FEWEST // 2 and zero > _PILE * len(scene):
        text = f"{zero} of {len(scene)} are at (0, 0, 0), which sensors report when they measured nothing"
        found.append(Finding(Grade.WARNED, "points", text, "Remove them", {"zero_points": zero}))
    x, y, z = np.ptp(scene.coord, axis=0)
    is_global = (np.abs(scene.coord[:, :2]) <= (180, 90)).all()
    if len(scene) >= _FEWEST and is_global and 0 < max(x, y) < min(_DEGREES * z, 1.0):
        text = f"x and y span {x:.2g} and {y:.2g}, and heights {z:.3g}: x and y look like degrees"
        remedy = "Project longitude and latitude to metres, as to UTM"
        found.append(Finding(Grade.REFUSED, "scale", text, remedy, {"degrees": True}))
    return found


def _masks(scene: Scene) -> list[Finding]:
    masked = [view for view in scene.views if view.mask is not None][:_VIEWS]
    empty = [view.name for view in masked if not np.any(read_mask(view))]
    if not empty:
        return []
    text = f"the masks of {few(empty, 3)} exclude the whole image"
    return [
        Finding(Grade.NOTED, "masks", text, "0 in a mask excludes a pixel: invert the masks if they mean the opposite")
    ]

"""The shape of one thing: its upright box, its hull and the plane that it lies in; any number of points will do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Plane", "UprightBox", "flat_plane", "hull_of", "upright_box"]

Array = NDArray[np.float64]

_FLAT = 0.1
"""Thickness over width up to which a thing is flat."""
_NOTHING = 1e-12


@dataclass(frozen=True)
class UprightBox:
    """A box that stands upright and is turned about z.

    Attributes:
        center: metres.
        size: length, width (which is no longer) and height, metres.
        yaw: degrees counterclockwise from the x axis to its length, -90 to 90.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float

    def corners(self) -> Array:
        """(8, 3): the four of the bottom counterclockwise, then those above them."""
        turn = np.deg2rad(self.yaw)
        along = np.array([np.cos(turn), np.sin(turn), 0]) * self.size[0] / 2
        across = np.array([-np.sin(turn), np.cos(turn), 0]) * self.size[1] / 2
        rise = np.array([0, 0, self.size[2] / 2])
        ring = np.array([-along - across, along - across, along + across, across - along])
        corners: Array = np.array(self.center) + np.concatenate([ring - rise, ring + rise])
        return corners


@dataclass(frozen=True)
class Plane:
    """What a flat thing lies in.

    Attributes:
        normal: of unit length, upwards; of an upright one to either side.
        size: length and width of the smallest rectangle in the plane that holds the points, metres.
        thickness: of a slab that spreads as the points do across the plane, metres.
    """

    normal: tuple[float, float, float]
    size: tuple[float, float]
    thickness: float

    @property
    def tilt(self) -> float:
        """Degrees between the normal and z: 0 of a table top, 90 of a door."""
        return round(float(np.rad2deg(np.arccos(min(1.0, abs(self.normal[2]))))), 2)


def hull_of(points: Array) -> tuple[Array, float]:
    """The corners of the convex hull (n, 3), and its volume; of points in a plane all of them, and 0."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = ConvexHull(points)
    except (QhullError, ValueError):
        return points, 0.0
    return points[hull.vertices], float(hull.volume)


def upright_box(points: Array) -> UprightBox:
    """The box over the smallest rectangle that holds the points (n, 3), seen from above; best given a hull's corners.

    One side of this rectangle lies along a side of the hull (Freeman and Shapira, 1975).
    """
    low, high = float(points[:, 2].min()), float(points[:, 2].max())
    (x, y), (length, width), yaw = _rectangle(points[:, :2])
    return UprightBox((x, y, (low + high) / 2), (length, width, high - low), yaw)


def _rectangle(place: Array) -> tuple[tuple[float, float], tuple[float, float], float]:
    """Middle, length and width, and degrees from the first axis to the length, of points (n, 2)."""
    from scipy.spatial import ConvexHull, QhullError

    origin = place.mean(axis=0)
    place = place - origin
    try:
        place = place[ConvexHull(place).vertices]
        side = np.diff(place, axis=0, append=place[:1])
    except (QhullError, ValueError):  # on a line, or in a point
        side = np.linalg.svd(place, full_matrices=False)[2][:1] if len(place) > 1 else np.zeros((1, 2))
    far = np.linalg.norm(side, axis=1)
    side = side[far > _NOTHING] / far[far > _NOTHING, None] if (far > _NOTHING).any() else np.array([[1.0, 0.0]])
    along, across = place @ side.T, place @ np.stack([-side[:, 1], side[:, 0]])
    length, width = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int(np.argmin(length * width))
    axis, normal = side[best], np.array([-side[best, 1], side[best, 0]])
    middle = axis * (along[:, best].max() + along[:, best].min()) / 2
    middle = origin + middle + normal * (across[:, best].max() + across[:, best].min()) / 2
    one, two = float(length[best]), float(width[best])
    direction = axis if one >= two else normal
    yaw = float(np.rad2deg(np.arctan2(direction[1], direction[0])))
    yaw = (yaw + 90) % 180 - 90
    return (float(middle[0]), float(middle[1])), (max(one, two), min(one, two)), yaw


def flat_plane(points: Array) -> Plane | None:
    """The plane of a flat thing (n, 3); None for what is a tenth as thick as it is wide, or more, or a line."""
    extent, axes = _spread(points)
    if len(points) < 3 or extent[0] > _FLAT * extent[1] or extent[1] <= 1e-3 * extent[2]:
        return None
    normal = axes[:, 0] * (-1 if axes[2, 0] < 0 else 1)
    _, size, _ = _rectangle((points - points.mean(axis=0)) @ axes[:, 1:])
    x, y, z = (float(value) for value in normal)
    return Plane((x, y, z), size, float(extent[0]))


def _spread(points: Array) -> tuple[Array, Array]:
    """(3,) sides of a solid box that spreads as the points do, the shortest first, and its axes as columns (3, 3)."""
    off = points - points.mean(axis=0)
    extent, axes = np.linalg.eigh(off.T @ off / len(off))
    return np.sqrt(12 * np.maximum(extent, 0)), axes

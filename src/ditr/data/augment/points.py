"""Augmentations of point clouds, and the chains that the published recipes use.

Each augmentation is a small frozen dataclass whose fields are its strengths, with the published values as defaults.
Normals turn and flip with the cloud and are left alone by everything else. Where the published code draws subsets in
random order, the order of the cloud is kept here: the network does not depend on it, and files stay comparable.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ditr.data.augment.colors import ChromaticAutoContrast, ChromaticJitter, ChromaticTranslation
from ditr.data.augment.elastic import ElasticDistortion
from ditr.data.augment.point_set import PointAugmentation, PointSet, augment
from ditr.errors import InputError
from ditr.geometry.bounds import bounding_box

__all__ = [
    "CenterShift",
    "ChromaticAutoContrast",
    "ChromaticJitter",
    "ChromaticTranslation",
    "ElasticDistortion",
    "PointAugmentation",
    "PointClip",
    "PointSet",
    "RandomDropout",
    "RandomFlip",
    "RandomJitter",
    "RandomRotate",
    "RandomScale",
    "SphereCrop",
    "augment",
    "indoor_augmentations",
    "outdoor_augmentations",
]

Axis = Literal["x", "y", "z"]


def indoor_augmentations(*, elastic: bool = True) -> tuple[PointAugmentation, ...]:
    """What happens to an indoor scene before it is voxelised; the recipes of S3DIS go without ``elastic``."""
    return (
        CenterShift(),
        RandomDropout(),
        RandomRotate("z", (-1.0, 1.0), center=(0.0, 0.0, 0.0)),
        RandomRotate("x", (-1 / 64, 1 / 64)),
        RandomRotate("y", (-1 / 64, 1 / 64)),
        RandomScale(),
        RandomFlip(),
        RandomJitter(),
        *((ElasticDistortion(),) if elastic else ()),
        ChromaticAutoContrast(),
        ChromaticTranslation(),
        ChromaticJitter(),
    )


def outdoor_augmentations(clip: PointClip | None = None) -> tuple[PointAugmentation, ...]:
    """What happens to a LiDAR sweep before it is voxelised; its origin must be the sensor's (rotation, box, features).

    ``clip`` is ``PointClip()`` for SemanticKITTI, +-75.2 m and -4..2 m for Waymo, None for nuScenes.
    """
    return (
        RandomRotate("z", (-1.0, 1.0), center=(0.0, 0.0, 0.0)),
        *(() if clip is None else (clip,)),
        RandomScale(),
        RandomFlip(),
        RandomJitter(),
    )


@dataclass(frozen=True)
class CenterShift:
    """Move the middle of the bounding box to x = y = 0 and, with ``z``, the lowest point to z = 0."""

    z: bool = True

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class; nothing is drawn."""
        low, high = bounding_box(points.coord)
        shift = (low + high) / 2
        shift[2] = low[2] if self.z else 0
        return replace(points, coord=points.coord - shift)


@dataclass(frozen=True)
class RandomDropout:
    """With probability ``p`` remove the share ``ratio`` of the points, each equally likely; one point always stays.

    Pinned points stay too.
    """

    ratio: float = 0.2
    p: float = 0.2

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if rng.random() >= self.p:
            return points
        keep = max(1, int(len(points) * (1 - self.ratio)))
        rows = rng.choice(len(points), keep, replace=False)
        if points.pinned is not None:
            rows = np.union1d(rows, points.pinned.nonzero()[0])
        return points.take(np.sort(rows))


@dataclass(frozen=True)
class RandomRotate:
    """With probability ``p`` rotate about an axis by a uniform angle.

    Attributes:
        axis: the axis of rotation; positive angles are counterclockwise when looking against it.
        angle: lowest and highest angle in units of pi.
        center: a point of the axis of rotation, or None for the middle of the bounding box.
        p: the probability that anything happens.
    """

    axis: Axis = "z"
    angle: tuple[float, float] = (-1.0, 1.0)
    center: tuple[float, float, float] | None = None
    p: float = 0.5

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        if rng.random() >= self.p:
            return points
        turn = _rotation(self.axis, rng.uniform(*self.angle) * math.pi)
        if self.center is None:
            low, high = bounding_box(points.coord)
            center = (low + high) / 2
        else:
            center = np.array(self.center, np.float32)
        return replace(
            points,
            coord=(points.coord - center) @ turn.T + center,
            normal=None if points.normal is None else points.normal @ turn.T,
        )


def _rotation(axis: Axis, angle: float) -> NDArray[np.float32]:
    """The matrix that turns column vectors by ``angle`` radians, right-handed."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3, dtype=np.float32)
    matrix[first, first] = matrix[second, second] = math.cos(angle)
    matrix[second, first] = math.sin(angle)
    matrix[first, second] = -math.sin(angle)
    return matrix


@dataclass(frozen=True)
class RandomScale:
    """Multiply the coordinates by a factor U(low, high), the same for all axes."""

    low: float = 0.9
    high: float = 1.1

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        return replace(points, coord=points.coord * np.float32(rng.uniform(self.low, self.high)))


@dataclass(frozen=True)
class RandomFlip:
    """Negate x with probability ``p`` and, independently, y with probability ``p``."""

    p: float = 0.5

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        sign = np.where(rng.random(2) < self.p, -1, 1)
        if sign.min() > 0:
            return points
        mirror = np.array([*sign, 1], np.float32)
        return replace(
            points,
            coord=points.coord * mirror,
            normal=None if points.normal is None else points.normal * mirror,
        )


@dataclass(frozen=True)
class RandomJitter:
    """Add N(0, ``sigma``) to each coordinate, clipped to +-``clip``, both in metres."""

    sigma: float = 0.005
    clip: float = 0.02

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        noise = rng.standard_normal(points.coord.shape, np.float32) * np.float32(self.sigma)
        limit = np.float32(self.clip)
        return replace(points, coord=points.coord + np.clip(noise, -limit, limit))


@dataclass(frozen=True)
class PointClip:
    """Move points outside a box onto its surface (they are not removed); the default box is SemanticKITTI's."""

    low: tuple[float, float, float] = (-35.2, -35.2, -4.0)
    high: tuple[float, float, float] = (35.2, 35.2, 2.0)

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class; nothing is drawn."""
        return replace(
            points, coord=np.clip(points.coord, np.array(self.low, np.float32), np.array(self.high, np.float32))
        )


@dataclass(frozen=True)
class SphereCrop:
    """Keep the points nearest to a random one of them: at most ``point_max``, at most ``share`` of all, at least one.

    Raises:
        InputError: neither limit is given, or one lets no point through.
    """

    point_max: int | None = None
    share: float | None = None

    def __post_init__(self) -> None:
        limits = [limit for limit in (self.point_max, self.share) if limit is not None]
        if not limits or min(limits) <= 0:
            raise InputError(
                "sphere crop",
                f"point_max is {self.point_max} and share is {self.share}",
                "Give one of them, or both, larger than 0",
            )

    def __call__(self, points: PointSet, rng: np.random.Generator) -> PointSet:
        """See the class."""
        keep = len(points) if self.point_max is None else self.point_max
        if self.share is not None:
            keep = min(keep, int(len(points) * self.share))
        keep = max(1, keep)
        if keep >= len(points):
            return points
        center = points.coord[rng.integers(len(points))]
        distance = np.square(points.coord - center).sum(axis=1)
        return points.take(np.sort(np.argpartition(distance, keep - 1)[:keep]))

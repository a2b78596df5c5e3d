"""Variants of a scene over which the published tester sums its probabilities (test-time augmentation)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ditr.data.augment.point_set import PointSet
from ditr.errors import InputError

__all__ = ["INDOOR", "NONE", "NUSCENES", "ROTATIONS", "S3DIS", "VARIANTS", "Variant"]


@dataclass(frozen=True)
class Variant:
    """One way to look at a scene again.

    Attributes:
        rotate_degrees: about z, around the origin; turns points and normals.
        scale: of the coordinates alone.
        flip: negate x and y, of points and normals.

    Raises:
        InputError: an angle or a scale that is not finite, or a scale that is not positive.
    """

    rotate_degrees: float = 0.0
    scale: float = 1.0
    flip: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rotate_degrees) and math.isfinite(self.scale) and self.scale > 0):
            raise InputError("variant", f"{self}", "Give a finite angle in degrees and a positive scale")

    def __call__(self, points: PointSet) -> PointSet:
        """The points as this variant has them; computed in float64, since voxels are sensitive to rounding."""
        angle = math.radians(self.rotate_degrees)
        sign = -1.0 if self.flip else 1.0
        cosine, sine = sign * math.cos(angle), sign * math.sin(angle)
        turn = np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])
        coord = (points.coord.astype(np.float64) @ turn.T * self.scale).astype(np.float32)
        normal = None if points.normal is None else (points.normal.astype(np.float64) @ turn.T).astype(np.float32)
        return replace(points, coord=coord, normal=normal)


NONE = (Variant(),)
"""The scene as it is: every point votes, nothing is augmented."""

ROTATIONS = tuple(Variant(angle) for angle in (0.0, 90.0, 180.0, 270.0))
"""SemanticKITTI and Waymo."""

INDOOR = (
    *(Variant(turned.rotate_degrees, scale) for scale in (1.0, 0.95, 1.05) for turned in ROTATIONS),
    Variant(flip=True),
)
"""ScanNet, ScanNet200 and ScanNet++."""

S3DIS = tuple(Variant(scale=scale, flip=flip) for flip in (False, True) for scale in (0.9, 0.95, 1.0, 1.05, 1.1))

NUSCENES = S3DIS

VARIANTS = {"indoor": INDOOR, "s3dis": S3DIS, "nuscenes": NUSCENES, "rotations": ROTATIONS, "none": NONE}
"""The published sets by the names that commands give them."""

"""Which way is up, and turning a scene so that it is z."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ditr.geometry.up_evidence import Cameras, Surface
from ditr.scene import Scene, checked_direction

__all__ = ["Uprightness", "estimate_up", "find_up", "rotation_to_z", "rotation_upright", "weigh_up"]

Vector = NDArray[np.float64]

_AXES: dict[str, tuple[tuple[float, float, float], float]] = {
    "z": ((0.0, 0.0, 1.0), 0.0),
    "y": ((0.0, 1.0, 0.0), -2.0),
    "-y": ((0.0, -1.0, 0.0), -2.5),
    "-z": ((0.0, 0.0, -1.0), -3.0),
    "x": ((1.0, 0.0, 0.0), -5.0),
    "-x": ((-1.0, 0.0, 0.0), -5.0),
}
"""Directions of the points' frame that are up in somebody's files, and how rare that is as a score."""
_VAGUE = 1.0
"""Without cameras and without normals that have a side, every direction but z loses this much."""


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """A direction that might be up: an axis' name or "cameras", unit vector (3,), the same before normals refined it,
    and what speaks for it."""

    name: str
    direction: Vector
    coarse: Vector
    prior: float
    points: float
    cameras: float

    @property
    def evidence(self) -> float:
        return self.points + self.cameras

    @property
    def score(self) -> float:
        return self.prior + self.evidence


@dataclass(frozen=True, eq=False)
class Uprightness:
    """What was found about a scene's up.

    Attributes:
        direction: (3,) of unit length; exactly an axis where it is one.
        name: of that axis; "cameras" where it is none.
        margin: by how much it was preferred to the best direction that is farther than 20 degrees from it.
        evidence: by how much points and cameras alone speak for it and against the best of these; negative where it
            was kept because most captures are so.
        rival: (3,) the direction that they favour most beside it.
        roll: degrees by which the cameras are turned together about their axes; None without cameras, and where
            they stand level or each in its own way.
    """

    direction: Vector
    name: str
    margin: float
    evidence: float
    rival: Vector
    roll: float | None


def estimate_up(scene: Scene) -> Vector:
    """The direction against gravity, (3,) of unit length, as points and cameras show; see :func:`weigh_up`."""
    return weigh_up(scene).direction


_KNOWN: WeakKeyDictionary[Scene, Uprightness] = WeakKeyDictionary()
"""A scene never changes, and training asks for each sample."""


def weigh_up(scene: Scene) -> Uprightness:
    """Weigh the directions that might be up: the axes, and what cameras say that stand level or on a side.

    A capture is taken to be z-up unless points and cameras together clearly say something else. Within 12 degrees of
    +z it is exactly +z, since such a capture is z-up and its cameras look a little down. It depends on nothing but the
    scene.
    """
    known = _KNOWN.get(scene)
    if known is None:
        # What was replaced may be no more than the findings.
        known = next((found for other, found in list(_KNOWN.items()) if _is_same_place(scene, other)), None)
        known = _KNOWN[scene] = known or _weigh(scene)
    return known


def _is_same_place(scene: Scene, other: Scene) -> bool:
    """Whether two scenes share the memory of all that up is found by."""

    def shared(one: NDArray[np.generic] | None, two: NDArray[np.generic] | None) -> bool:
        if one is None or two is None:
            return one is two
        return one.__array_interface__ == two.__array_interface__

    return scene.views is other.views and shared(scene.coord, other.coord) and shared(scene.normal, other.normal)


def _weigh(scene: Scene) -> Uprightness:
    surface, cameras = Surface.of(scene), Cameras.of(scene.posed_views)
    candidates = [*_candidates(cameras)]
    ups = np.array([_refined(up, surface.normal) if name == "cameras" else up for name, up, _ in candidates])
    vague = _VAGUE if not len(cameras) and not surface.is_oriented else 0.0
    found = []
    for (name, coarse, prior), up, flat in zip(candidates, ups, surface.flatness(ups), strict=True):
        held = cameras.roll_score(up) + cameras.stance_score(up, surface.coord) if len(cameras) else 0.0
        prior = prior if name == "z" else prior - vague
        found.append(Hypothesis(name, up, coarse, prior, surface.score(up, float(flat), cameras.forward), held))
    best = max(found, key=lambda hypothesis: hypothesis.score)
    if best.name == "cameras":
        if scene.normal is not None:
            best = replace(best, direction=_refined(best.coarse, scene.normal))
        best = next((axis for axis in found if axis.name != "cameras" and _means(best, axis)), best)
    others = [other for other in found if other.direction @ best.direction < np.cos(np.deg2rad(20))]
    margin = float(best.score - max(other.score for other in others))
    rival = max(others, key=lambda other: other.evidence)
    roll = _roll(cameras, best.direction)
    return Uprightness(best.direction, best.name, margin, float(best.evidence - rival.evidence), rival.direction, roll)


def _means(cameras: Hypothesis, axis: Hypothesis) -> bool:
    """Whether what cameras say is this axis: it is near, or not far and better for the points."""
    cosine = cameras.direction @ axis.direction
    near = cosine > np.cos(np.deg2rad(12 if axis.name == "z" else 3))
    return bool(near or (cosine > np.cos(np.deg2rad(25)) and axis.points > cameras.points + 1))


def _candidates(cameras: Cameras) -> Iterator[tuple[str, Vector, float]]:
    """Name, direction (3,) and prior of everything that might be up."""
    for name, (axis, prior) in _AXES.items():
        yield name, np.array(axis), prior
    if not len(cameras):
        return
    for roll in sorted({0.0, 90.0, 180.0, 270.0, cameras.best_roll()}):
        up, fixed = cameras.level(roll)
        yield "cameras", up, -7 + 4 * fixed


def _refined(up: Vector, normal: NDArray[np.floating] | None) -> Vector:
    """``up`` as the normals near it say, where there are any: much of what points up points straight up."""
    if normal is not None:
        for cone in (25, 12, 6):
            near = normal[normal @ up > np.cos(np.deg2rad(cone))]
            mean = near.mean(axis=0, dtype=np.float64) if len(near) else up
            up = _unit(mean) if np.isfinite(mean).all() and mean.any() else up
    return np.asarray(up)


def _roll(cameras: Cameras, up: Vector) -> float | None:
    """The common roll of the cameras; None where there is none."""
    if not len(cameras):
        return None
    roll = cameras.common_roll(up)
    is_common = cameras.roll_misfit(up, roll) < 1.0 < cameras.roll_misfit(up, 0.0)
    return roll if is_common else None


def rotation_to_z(up: Vector) -> Vector:
    """The smallest rotation, (3, 3), that turns the direction ``up`` (3,) onto +z."""
    x, y, z = _unit(np.asarray(up, dtype=np.float64))
    if z < -1 + 1e-12:
        return np.diag([1.0, -1.0, -1.0])
    # Rodrigues' formula for the rotation about up x z.
    cross = np.array([[0.0, 0.0, -x], [0.0, 0.0, -y], [x, y, 0.0]])
    rotation: Vector = np.eye(3) + cross + cross @ cross / (1 + z)
    return rotation


def find_up(scene: Scene, told: ArrayLike | None = None) -> Vector:
    """The direction against gravity, (3,): as told, else as the scene's data say, else found (:func:`weigh_up`).

    Everything that asks which way is up asks here: training, validation, labelling, evaluation and pictures.

    Raises:
        InputError: what is told is not a direction.
    """
    if told is not None:
        return checked_direction(told, "up")
    return estimate_up(scene) if scene.up is None else scene.up


def rotation_upright(up: Vector) -> Vector | None:
    """The rotation, (3, 3), that a scene needs before a network sees it; None where its up is z already."""
    return None if np.allclose(up, (0, 0, 1)) else rotation_to_z(up)


def _unit(vector: Vector) -> Vector:
    return vector / np.linalg.norm(vector)

"""What a scene's points and cameras say about a direction that might be up.

Every function gives a score: a difference of 1 makes one direction e times as likely as another. Points: floors, tables
and ground face up, and more of them are seen than ceilings and undersides; the lower edge of the heights is sharp, and
what stands on it thins out upwards; ground is flat. Cameras: they are held alike, level or at a quarter turn, look
about horizontally, stay at one height, and are not under the ground.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.normals import estimate_normals
from ditr.scene import Scene, View

__all__ = ["Cameras", "Surface"]

Array = NDArray[np.float64]

_POINTS, _ESTIMATED = 12_000, 4_000
"""Points that are looked at, and those of which normals are estimated."""
_FEWEST = 50
_CONE = float(np.cos(np.deg2rad(15)))
_SPREAD = np.deg2rad(10)
_ROLLS = ((0.0, 0.0), (90.0, -2.0), (270.0, -2.0), (180.0, -2.5))
"""Degrees by which all cameras may be turned about their axes, and how rare that is."""
_ANY_ROLL = -3.0
_QUARTERS = -3.5
"""The same for cameras at one other angle, and for quarter turns that differ by view."""
_WORST_ROLL = -8.0


@dataclass(frozen=True, eq=False)
class Surface:
    """Some points of a scene.

    Attributes:
        coord: (M, 3).
        normal: (M, 3) of unit length, or None where there are too few points.
        is_oriented: whether normals point to the side from which the surface was seen.
    """

    coord: Array
    normal: Array | None
    is_oriented: bool

    @classmethod
    def of(cls, scene: Scene) -> Surface:
        """At most 12,000 points with the scene's normals, or 4,000 with estimated ones; the same ones every time."""
        coord, normal = _some(scene.coord, _POINTS), scene.normal
        if len(coord) < _FEWEST or not np.ptp(coord, axis=0).any():
            return cls(coord, None, is_oriented=False)
        if normal is not None:
            some = _some(normal, _POINTS).astype(np.float64)
            good = np.abs(np.linalg.norm(some, axis=1) - 1) < 0.1
            if good.mean() > 0.5:
                coord, some = coord[good], some[good]
                # Tools that know no viewpoint turn all normals to +z.
                return cls(coord, some, is_oriented=bool((some[:, 2] < -1e-3).mean() > 0.002))
        few = _some(scene.coord, _ESTIMATED)
        centers = np.array([view.center for view in scene.posed_views]).reshape(-1, 3)
        found = estimate_normals(few, viewpoints=centers if len(centers) else None)
        return cls(few, found.astype(np.float64), is_oriented=bool(len(centers)))

    def score(self, up: Array, flat: float, forward: Array) -> float:
        """How well ``up`` (3,) explains the surfaces and the heights.

        Args:
            up: (3,) of unit length.
            flat: :meth:`flatness` along it; where nothing tells one side from the other it counts for ground, which
                thins out upwards, and not for a front.
            forward: (3,) the mean of the cameras' viewing directions, zero without any: they see what faces them, so
                that along it the side that surfaces face says nothing.
        """
        if self.normal is None:
            return 0.0
        height = self.coord @ up
        low, near_low, above_low, middle, below_high, near_high, high = np.percentile(
            height, (0.5, 1, 5, 50, 95, 99, 99.5)
        )
        extent = max(high - low, 1e-9)
        edge = np.log((near_high - below_high + 0.01 * extent) / (above_low - near_low + 0.01 * extent))
        skew = np.log((high - middle + 0.01 * extent) / (middle - low + 0.01 * extent))
        flat *= 1.0 if self.is_oriented or forward.any() else np.clip(skew, 0, 1)
        result = flat + 1.5 * np.clip(skew, -2, 2) + 0.5 * np.clip(edge, -2, 2)
        towards = self.normal @ up
        if not self.is_oriented:
            return float(result + np.log((np.abs(towards) > _CONE).mean() / 2 + 0.03))
        faces_up, faces_down = towards > _CONE, towards < -_CONE
        inside = (height > low + 0.06 * extent) & (height < high - 0.06 * extent)
        inner_up, inner_down = (faces_up & inside).mean(), (faces_down & inside).mean()
        sided = np.log((faces_up.mean() + 0.02) / (faces_down.mean() + 0.02))
        sided += np.log((inner_up + 0.01) / (inner_down + 0.01))
        return float(result + np.log(faces_up.mean() + 0.03) + 2 * (1 - abs(forward @ up)) * sided)

    def flatness(self, ups: Array) -> Array:
        """(H,) how flat the points are along each of ``ups`` (H, 3): a hall a little, ground a lot."""
        if self.normal is None:
            return np.zeros(len(ups))
        low, high = np.percentile(self.coord @ np.concatenate([np.eye(3), ups]).T, (0.5, 99.5), axis=0)
        extent = np.maximum(high - low, 1e-9)
        flat = np.log(np.sort(extent[:3])[1] / extent[3:])
        return np.asarray(2 * np.clip(flat, -0.5, 0.3) + 2 * np.clip(flat - 0.7, 0, 1.5))


def _some(rows: NDArray[np.floating], count: int) -> Array:
    """At most ``count`` of the rows, spread over all of them."""
    if len(rows) <= count:
        return np.asarray(rows, dtype=np.float64)
    return np.asarray(rows[np.random.default_rng(0).choice(len(rows), count, replace=False)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Cameras:
    """How a scene's cameras stand: world-to-camera rotations (V, 3, 3) and centres (V, 3)."""

    rotation: Array
    center: Array

    @classmethod
    def of(cls, views: Sequence[View]) -> Cameras:
        """Of views with a pose."""
        rotation = np.array([view.world_to_camera[:3, :3] for view in views]).reshape(-1, 3, 3)
        return cls(rotation, np.array([view.center for view in views]).reshape(-1, 3))

    def __len__(self) -> int:
        return len(self.center)

    @property
    def forward(self) -> Array:
        """(3,) the mean of the viewing directions; zero without cameras."""
        return np.asarray(self.rotation[:, 2].sum(axis=0) / max(len(self), 1))

    def level(self, roll: float) -> tuple[Array, float]:
        """The direction (3,) that is up if cameras are level after a common turn by ``roll`` degrees, and how well
        they fix it, 0..1: cameras that look one way leave it open.

        It is most orthogonal to the cameras' x axes, on the side of the images' upper border.
        """
        cos, sin = np.cos(np.deg2rad(roll)), np.sin(np.deg2rad(roll))
        right = cos * self.rotation[:, 0] + sin * self.rotation[:, 1]
        mean_up = (sin * self.rotation[:, 0] - cos * self.rotation[:, 1]).mean(axis=0)
        scatter = right.T @ right / len(self)
        # The second term decides where all x axes are alike, as with a single view.
        up = np.linalg.eigh(scatter - 0.05 * np.outer(mean_up, mean_up))[1][:, 0]
        fixed = min(1.0, float(np.linalg.eigvalsh(scatter)[1]) / 0.1)
        return np.asarray(up if up @ mean_up > 0 else -up), fixed

    def best_roll(self) -> float:
        """The common turn in degrees, a multiple of 15, after which cameras come closest to being level."""
        rolls = np.arange(0, 360, 15.0)
        worst = [self.roll_misfit(self.level(roll)[0], roll) for roll in rolls]
        return float(rolls[int(np.argmin(worst))])

    def roll_misfit(self, up: Array, roll: float | None) -> float:
        """Mean half squared deviation from standing at ``roll`` degrees to ``up`` (3,), in spreads of 10 degrees and at
        most 4 for each view, 1 for views along ``up``; None for the nearest quarter turn of each."""
        image = self.rotation[:, :2] @ up
        length = np.linalg.norm(image, axis=1)
        angle = np.arctan2(image[:, 0], -image[:, 1])
        if roll is None:
            off = (angle + np.pi / 4) % (np.pi / 2) - np.pi / 4
        else:
            off = (angle - np.deg2rad(roll) + np.pi) % (2 * np.pi) - np.pi
        along = 1 - length**2
        return float((length**2 * np.minimum(0.5 * (off / _SPREAD) ** 2, 4.0) + along).mean())

    def common_roll(self, up: Array) -> float:
        """Degrees, in (-180, 180], by which images have to be turned counterclockwise for ``up`` to be above."""
        image = (self.rotation[:, :2] @ up).mean(axis=0)
        return float(np.rad2deg(np.arctan2(image[0], -image[1])))

    def roll_score(self, up: Array) -> float:
        """How well a common roll of the cameras fits ``up``, 0 for level cameras."""
        views = min(len(self), 4)
        options = [cost - views * self.roll_misfit(up, roll) for roll, cost in _ROLLS]
        options.append(_ANY_ROLL - views * self.roll_misfit(up, self.common_roll(up)))
        options.append(_QUARTERS - views * self.roll_misfit(up, None))
        return max(*options, _WORST_ROLL)

    def stance_score(self, up: Array, coord: Array) -> float:
        """How usual the cameras' pitch, path and height above the points ``coord`` (M, 3) are if ``up`` is up."""
        pitch = self.rotation[:, 2] @ up
        result = -float((((pitch + 0.15) / 0.5) ** 2).mean())
        spread = self.center.std(axis=0)
        extent = float(np.linalg.norm(np.ptp(coord, axis=0)))
        along = float((self.center @ up).std())
        across = np.sqrt(max(float(spread @ spread) - along**2, 0.0) / 2)
        if len(self) > 2 and along + across > 1e-3 * extent:
            result -= 1.5 * min(along / max(across, 1e-9), 2.0)
        if len(coord) >= _FEWEST:
            below = float((coord @ up < (self.center @ up)[:, None]).mean())
            result += 3 * min(0.0, below - 0.5) - (3.0 if below < 0.02 else 0.0)
        return result

"""Frames of ROS: the tree that tf spans, and how frames lie to each other at given times.

Times are nanoseconds. Between two transforms positions go straight and rotations the short way; nothing is
extrapolated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.errors import few
from ditr.geometry.rotations import between, inverse, poses_of, rotations_of

__all__ = ["Frames", "Transform", "TransformUnknown"]

_GAP = 500_000_000
"""Nanoseconds between two transforms at most, for what is between them to be known."""
_SAME = 1e-9
_DEEPEST = 1000
_FARTHEST = 1e9
"""Metres between a frame and its parent at most."""
_OFF = 0.1
"""By which the length of a quaternion may differ from 1."""


@dataclass(frozen=True)
class Transform:
    """Of points in the frame ``child`` to ``parent``, at one time; None where it always holds.

    Attributes:
        parent: name of a frame.
        child: name of a frame.
        stamp: nanoseconds.
        position: (3,) metres.
        quaternion: (4,) w x y z.
    """

    parent: str
    child: str
    stamp: int | None
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float]


class TransformUnknown(Exception):
    """A transform that the tree has not; the text says why, as an addition to a sentence."""


@dataclass(frozen=True)
class _Edge:
    """All transforms (n) between a frame and its parent, in the order of time; a single one where it never changes."""

    parent: str
    stamp: NDArray[np.int64]
    position: NDArray[np.float64]
    quaternion: NDArray[np.float64]

    @property
    def moves(self) -> bool:
        return len(self.stamp) > 1

    def at(self, child: str, time: int) -> NDArray[np.float64]:
        """(4, 4) child to parent.

        Raises:
            TransformUnknown: the time is before the first, behind the last, or in a gap.
        """
        if not self.moves:
            return poses_of(rotations_of(self.quaternion[0]), self.position[0])
        after = int(np.searchsorted(self.stamp, time))
        if after < len(self.stamp) and self.stamp[after] == time:
            return poses_of(rotations_of(self.quaternion[after]), self.position[after])
        named = f"{self.parent} -> {child}"
        if after == 0:
            late = (int(self.stamp[0]) - time) / 1e9
            raise TransformUnknown(f"{named} is known only {late:.3g} s later")
        if after == len(self.stamp):
            raise TransformUnknown(f"{named} is known only {(time - int(self.stamp[-1])) / 1e9:.3g} s before")
        before = after - 1
        span = int(self.stamp[after] - self.stamp[before])
        if span > _GAP:
            raise TransformUnknown(f"{named} has a gap of {span / 1e9:.3g} s")
        share = (time - int(self.stamp[before])) / span
        position = self.position[before] + share * (self.position[after] - self.position[before])
        turn = between(self.quaternion[before], self.quaternion[after], share)
        return poses_of(rotations_of(turn), position)


class Frames:
    """The tree of frames.

    Args:
        transforms: all that are known, in any order; of those that always hold the last one counts.

    Attributes:
        said: what was odd about them, sentences.
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        self.said: list[str] = []
        self._edges: dict[str, _Edge] = {}
        by_child: dict[str, dict[str, list[Transform]]] = {}
        damaged = 0
        for transform in transforms:
            far, length = math.hypot(*transform.position), math.hypot(*transform.quaternion)
            if not (far < _FARTHEST and abs(length - 1) < _OFF):  # which nothing that is not finite is
                damaged += 1
                continue
            by_child.setdefault(transform.child, {}).setdefault(transform.parent, []).append(transform)
        if damaged:
            self.said.append(f"{damaged} transforms are no rotation and position, and are left out")
        for child, by_parent in by_child.items():
            parent = max(by_parent, key=lambda name: len(by_parent[name]))
            self._edges[child] = _edge(parent, by_parent[parent])
            if len(by_parent) > 1:
                others = few([name for name in by_parent if name != parent], 3)
                self.said.append(f"{child} has several parents; {parent} counts, and {others} does not")

    @property
    def names(self) -> set[str]:
        """All frames."""
        return set(self._edges) | {edge.parent for edge in self._edges.values()}

    def above(self, frame: str) -> list[str]:
        """The frame and those above it, up to the root."""
        found = [frame]
        while (edge := self._edges.get(found[-1])) is not None and len(found) < _DEEPEST:
            if edge.parent in found:
                break
            found.append(edge.parent)
        return found

    def common(self, one: str, other: str) -> str | None:
        """The nearest frame above both; None where they are in different trees."""
        mine = self.above(one)
        return next((name for name in self.above(other) if name in mine), None)

    def moves(self, frame: str, above: str) -> bool:
        """Whether a frame moves in another one that is above it."""
        chain = self.above(frame)
        return any(self._edges[name].moves for name in chain[: chain.index(above)])

    def pose(self, frame: str, above: str, time: int) -> NDArray[np.float64]:
        """(4, 4) of points in a frame to one that is above it, at a time.

        Raises:
            TransformUnknown: it is not above, or a transform on the way is not known then.
        """
        chain = self.above(frame)
        if above not in chain:
            raise TransformUnknown(f"{above} is not above {frame}")
        pose = np.eye(4)
        for name in chain[: chain.index(above)]:
            pose = self._edges[name].at(name, time) @ pose
        return pose

    def between(self, source: str, source_time: int, target: str, target_time: int, fixed: str) -> NDArray[np.float64]:
        """(4, 4) of points in a frame at one time to another frame at another time, by one that stands still.

        Raises:
            TransformUnknown: as for :meth:`pose`.
        """
        there = self.pose(target, fixed, target_time)
        return np.asarray(inverse(there) @ self.pose(source, fixed, source_time))


def _edge(parent: str, transforms: Sequence[Transform]) -> _Edge:
    timed = [transform for transform in transforms if transform.stamp is not None]
    if not timed:
        timed = list(transforms[-1:])
    by_stamp: Mapping[int, Transform] = {transform.stamp or 0: transform for transform in timed}
    stamps = sorted(by_stamp)
    position = np.array([by_stamp[stamp].position for stamp in stamps], np.float64)
    quaternion = np.array([by_stamp[stamp].quaternion for stamp in stamps], np.float64)
    quaternion /= np.linalg.norm(quaternion, axis=1, keepdims=True)
    # Publishers of a robot's fixed joints repeat what never changes.
    same = np.abs(position - position[0]).max() < _SAME and np.abs(np.abs(quaternion @ quaternion[0]) - 1).max() < _SAME
    count = 1 if same else len(stamps)
    return _Edge(parent, np.array(stamps[:count], np.int64), position[:count], quaternion[:count])

"""Frames of ROS: the tree that tf spans, and how frames lie to each other at given times.

Times are nanoseconds. Between two transforms positions go straight and rotations the short way; nothing is
extrapolated.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import few
from ditr.geometry.rotations import between, inverse, poses_of, rotations_of

__all__ = ["Frames", "TransformUnknown", "Transforms", "plain_name"]

_GAP = 500_000_000
"""Nanoseconds between two transforms at most, for what is between them to be known."""
_SAME = 1e-9
_DEEPEST = 1000
_FARTHEST = 1e9
"""Metres between a frame and its parent at most."""
_OFF = 0.1
"""By which the length of a quaternion may differ from 1."""


class Transforms:
    """Transforms of points in a frame to its parent, kept in columns: an hour of driving has millions of them.

    Args:
        newest: how many of each frame are kept, for those that come for ever; None for all.

    Attributes:
        damaged: how many were no rotation and position, and were left out.
    """

    def __init__(self, newest: int | None = None) -> None:
        self.damaged = 0
        self._newest = newest
        self._rows: dict[str, dict[str, _Rows]] = {}

    def add(
        self,
        parent: str,
        child: str,
        stamp: int | None,
        numbers: tuple[float, float, float, float, float, float, float],
        written: int = 0,
    ) -> None:
        """Add one, unless it is not a rotation and position, which is counted.

        Args:
            parent: name of a frame.
            child: name of a frame.
            stamp: nanoseconds; None where it always holds, of which the last counts.
            numbers: position x y z in metres, and quaternion w x y z.
            written: nanoseconds at which it was written into its bag.
        """
        far, length = math.hypot(*numbers[:3]), math.hypot(*numbers[3:])
        if not (far < _FARTHEST and abs(length - 1) < _OFF):  # which nothing that is not finite is
            self.damaged += 1
            return
        rows = self._rows.setdefault(child, {}).setdefault(parent, _Rows())
        if stamp is None:
            rows.static = numbers
            return
        rows.stamp.append(stamp)
        rows.written.append(written)
        rows.numbers.extend(numbers)
        if self._newest is not None and len(rows.stamp) > 2 * self._newest:
            rows.keep(self._newest)

    def add_stamped(self, stamped: Any, *, static: bool = False, written: int = 0) -> None:
        """Add a ``geometry_msgs/TransformStamped`` of ROS 1 or 2; a static one always holds."""
        place, turn = stamped.transform.translation, stamped.transform.rotation
        self.add_parts(stamped.header, stamped.child_frame_id, place, turn, static=static, written=written)

    def add_parts(
        self, header: Any, child: str, place: Any, turn: Any, *, static: bool = False, written: int = 0
    ) -> None:
        """Add what a message of ROS has in parts: header, position and quaternion."""
        stamp = None if static else int(header.stamp.sec) * 10**9 + int(header.stamp.nanosec)
        numbers = (place.x, place.y, place.z, turn.w, turn.x, turn.y, turn.z)
        self.add(plain_name(header.frame_id), plain_name(child), stamp, numbers, written)

    def drop(self, child: str) -> None:
        """Forget what is known of a frame."""
        self._rows.pop(child, None)

    def late(self) -> NDArray[np.int64]:
        """(n,) nanoseconds from the time of each to when it was written."""
        every = [rows for by_parent in self._rows.values() for rows in by_parent.values()]
        parts = [np.array(rows.written, np.int64) - np.array(rows.stamp, np.int64) for rows in every]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def by_writing(self) -> None:
        """Let the time at which each was written be its time."""
        for by_parent in self._rows.values():
            for rows in by_parent.values():
                rows.stamp = rows.written

    def by_child(self) -> Mapping[str, Mapping[str, _Rows]]:
        """By child, and by parent."""
        return self._rows


class _Rows:
    """Of one frame in another: the time of each, when it was written, its numbers, and what always holds."""

    def __init__(self) -> None:
        self.stamp = array("q")
        self.written = array("q")
        self.numbers = array("d")
        self.static: tuple[float, ...] | None = None

    def keep(self, newest: int) -> None:
        """Forget all but the last ones."""
        del self.stamp[:-newest], self.written[:-newest], self.numbers[: -7 * newest]

    def edge(self, parent: str) -> _Edge:
        """All of them in the order of time; the last of those with the same time."""
        stamp = np.array(self.stamp, np.int64)
        numbers = np.array(self.numbers, np.float64).reshape(-1, 7)
        if not len(stamp) and self.static is not None:
            stamp, numbers = np.zeros(1, np.int64), np.array([self.static])
        stamp, last = np.unique(stamp[::-1], return_index=True)
        position, quaternion = np.hsplit(numbers[::-1][last], [3])
        quaternion = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
        # Publishers of a robot's fixed joints repeat what never changes.
        turned = np.abs(np.abs(quaternion @ quaternion[0]) - 1).max()
        count = 1 if max(np.abs(position - position[0]).max(), turned) < _SAME else len(stamp)
        return _Edge(parent, stamp[:count], position[:count], quaternion[:count])


def plain_name(frame: str) -> str:
    """A frame's name without the slash that it began with in early days."""
    return str(frame).lstrip("/")


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
            raise TransformUnknown(f"{named} is only known from {late:.3g} s later on")
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
        transforms: all that are known, in any order.

    Attributes:
        said: what was odd about them, sentences.
    """

    def __init__(self, transforms: Transforms) -> None:
        self.said: list[str] = []
        self._edges: dict[str, _Edge] = {}
        if transforms.damaged:
            self.said.append(f"{transforms.damaged} transforms are not a rotation and position, and are left out")
        for child, by_parent in transforms.by_child().items():
            counts = {parent: len(rows.stamp) for parent, rows in by_parent.items()}
            parent = max(counts, key=counts.__getitem__)
            self._edges[child] = by_parent[parent].edge(parent)
            if len(by_parent) > 1:
                others = few([name for name in by_parent if name != parent], 3)
                self.said.append(f"{child} has several parents; {parent} is used, and {others} is not")

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

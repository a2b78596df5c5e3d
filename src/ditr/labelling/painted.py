"""Labels that were painted on a cloud in another tool come back to the points of the scene: in their order where the
file has one, or else by coordinates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.cloud_files import read_cloud_file
from ditr.captures.clouds import Cloud
from ditr.captures.semantic_kitti_ids import SEMANTIC_KITTI_IDS
from ditr.errors import Finding, Grade, InputError
from ditr.io.array_file import map_array
from ditr.labelling.annotations.palette import Palette
from ditr.labelling.given import GivenLabels
from ditr.labelling.painted_columns import PaintedLabels, labels_of, palette_beside
from ditr.scene import UNLABELLED, ReadOptions, Scene

__all__ = ["read_painted"]

_OF_SPACING = 0.3
"""Share of the distance between neighbouring points within which one is found again."""
_LEAST = 0.5
"""Share of the scene's points, or of the file's, that have to be found."""
_SAMPLE, _TRIED = 20_000, 256
_STEPS = (100.0, 10.0)
"""Metres to which tools round the shift by which they bring large coordinates near to 0."""
_MOST_SHIFTS = 4096
_SAME, _NEARLY = 1e-9, 0.01
"""Metres, and a share of the tolerance, by which distances differ that are the same."""


def read_painted(
    scene: Scene,
    path: Path,
    palette: Palette | None = None,
    *,
    column: str | None = None,
    reading: ReadOptions | None = None,
) -> GivenLabels:
    """The labels that a file gives the points of a scene.

    Args:
        scene: the scene.
        path: a file of points with a column of labels, in any order, some of them or more; or one of labels alone,
            ``.label`` (SemanticKITTI's) or ``.npy``, in the order of the points.
        palette: what numbers mean; None for the list beside the file, or what its format says.
        column: that has the labels; None to look for it.
        reading: with what the scene was read: the file may have the unit and axes of the scene's source.

    Raises:
        InputError: no labels, numbers that mean nothing, or points that are not those of the scene.
    """
    palette = palette_beside(path) if palette is None else palette
    if (inside := _in_order(scene, path, palette)) is not None:
        return _given(inside, inside.label, {"file": path.name, "by": "order"}, ())
    cloud = read_cloud_file(path)
    names = {name.lower(): name for name in reversed(list(cloud.columns))}
    if not all(axis in names for axis in "xyz"):
        raise InputError(path, "its points have no x, y and z", "Save the cloud with its coordinates")
    coord = np.stack([np.asarray(cloud.columns[names[axis]], np.float64) for axis in "xyz"], axis=1)
    labels = labels_of(path, cloud, palette, scene, column)
    good = np.isfinite(coord).all(axis=1)
    if not good.any():
        raise InputError(path, "none of its points has coordinates", "Save the cloud again")
    match = _matched(scene, path, coord[good], _frames(cloud, reading or ReadOptions()))
    found, conflicts = match.labels(labels.label[good])
    figures = {"file": path.name, "by": "coordinates", **match.figures(), "conflicts": conflicts}
    return _given(labels, found, figures, match.said(len(coord), conflicts))


def _given(
    labels: PaintedLabels, label: NDArray[np.int32], figures: dict[str, Any], findings: tuple[Finding, ...]
) -> GivenLabels:
    confidence = (label >= 0).astype(np.float32)
    figures = {"labelled": int((label >= 0).sum()), "matched": figures}
    all_findings = (*labels.findings, *findings)
    return GivenLabels(label, confidence, labels.class_names, "a painted cloud", all_findings, figures)


def _in_order(scene: Scene, path: Path, palette: Palette | None) -> PaintedLabels | None:
    """Of a file of labels alone; None where it is another."""
    if path.suffix == ".label":
        size = path.stat().st_size if path.is_file() else 0
        values = np.fromfile(path, "<u4") & 0xFFFF if size == 4 * len(scene) else np.empty(size // 4, np.uint32)
        names = {number: name for name, numbers in SEMANTIC_KITTI_IDS.items() for number in numbers}
        names |= dict.fromkeys(set(values.tolist()) - set(names), "unlabelled")
        cloud = Cloud({"label": values}, "label", names)
    elif path.suffix == ".npy" and path.is_file():
        try:
            values = map_array(path, "the labels", "Save them again")
        except InputError:
            return None
        if values.ndim != 1 or values.dtype.kind not in "iuf":
            return None
        cloud = Cloud({"label": np.asarray(values)})
    else:
        return None
    if len(values) != len(scene):
        fault = f"it has {len(values)} labels, but the capture has {len(scene)} points"
        raise InputError(path, fault, "Name the labels of this capture")
    return labels_of(path, cloud, palette, scene)


def _frames(cloud: Cloud, reading: ReadOptions) -> list[NDArray[np.float64]]:
    """(3, 3) ways in which coordinates of the file may become those of the scene, which is the first as it is."""
    options = reading.over(cloud.reading)
    axes = np.eye(3) if options.cloud_axes is None else options.cloud_axes.matrix
    other = (options.unit or 1.0) * axes
    return [np.eye(3)] if np.array_equal(other, np.eye(3)) else [np.eye(3), other]


@dataclass(frozen=True, eq=False)
class _Match:
    """Which point of a file each point of the scene is.

    Attributes:
        row: (N, 2) int64, the nearest and the second nearest of the file's M points; M for none within reach.
        distance: (N, 2) metres.
        ours: share of the file's points that are in the scene.
        shift: (3,) metres that were added to the file's.
        count: M.
        tolerance: metres.
    """

    row: NDArray[np.int64]
    distance: NDArray[np.float64]
    ours: float
    shift: NDArray[np.float64]
    count: int
    tolerance: float

    @property
    def share(self) -> float:
        """Of the scene's points that are in the file."""
        return float((self.row[:, 0] < self.count).mean())

    def labels(self, label: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
        """(N,) labels of the scene's points, of (M,) those of the file's; and how many points have several."""
        padded = np.append(label, np.int32(UNLABELLED))
        first, second = padded[self.row[:, 0]], padded[self.row[:, 1]]
        same = self.distance[:, 1] <= self.distance[:, 0] + _SAME
        found = np.where(same & (first < 0), second, first)
        conflict = same & (first >= 0) & (second >= 0) & (first != second)
        return found.astype(np.int32), int(conflict.sum())

    def figures(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "share_of_points": round(self.share, 4),
            "share_of_file": round(self.ours, 4),
            "shift": self.shift.tolist(),
            "tolerance": self.tolerance,
        }

    def said(self, read: int, conflicts: int) -> tuple[Finding, ...]:
        """What people should know."""
        found = []
        if self.shift.any():
            moved = ", ".join(f"{value:.10g}" for value in self.shift)
            text = f"the file's coordinates are shifted; they are moved back by {moved}"
            found.append(Finding(Grade.WARNED, "shift", text, "Save clouds with their global shift restored"))
        if self.share < 1:
            text = f"{1 - self.share:.1%} of the capture's points are not in the file, and get no label from it"
            found.append(Finding(Grade.NOTED, "points", text))
        if (others := round((1 - self.ours) * self.count)) or read > self.count:
            text = f"{others + read - self.count} of the file's {read} points are not in the capture, and are ignored"
            found.append(Finding(Grade.NOTED, "points", text))
        if conflicts:
            text = f"{conflicts} points occur more than once in the file with different labels, of which one is used"
            found.append(Finding(Grade.WARNED, "points", text, "Remove duplicates before painting"))
        return tuple(found)


def _matched(scene: Scene, path: Path, coord: NDArray[np.float64], frames: list[NDArray[np.float64]]) -> _Match:
    """The points of a file that are those of a scene.

    Raises:
        InputError: too few are.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(scene.coord)
    tolerance = _OF_SPACING * _spacing(scene.coord, tree)
    best: _Match | None = None
    for frame in frames:
        moved = coord @ frame.T
        for shift in _likely_shifts(scene.coord, moved, tree, tolerance):
            match = _match(scene.coord, moved + shift, tree, shift, tolerance)
            if max(match.share, match.ours) >= _LEAST:
                return match
            best = match if best is None or match.ours > best.ours else best
    assert best is not None
    fault = f"{best.ours:.0%} of its points match points of the capture, within {tolerance:.2g} m"
    remedy = "Name the cloud of this capture; save it with its global shift restored, and coordinates as double"
    raise InputError(path, fault, remedy)


def _spacing(coord: NDArray[np.float64], tree: Any) -> float:
    """Metres between neighbouring points that are not one."""
    some = coord[:: max(1, len(coord) // _SAMPLE)]
    away = np.asarray(tree.query(some, min(4, len(coord)))[0]).reshape(len(some), -1)
    apart = np.where(away > _SAME, away, np.inf).min(axis=1)
    known = apart[np.isfinite(apart)]
    return float(np.median(known)) if len(known) else 1.0


def _match(
    coord: NDArray[np.float64], moved: NDArray[np.float64], tree: Any, shift: NDArray[np.float64], tolerance: float
) -> _Match:
    from scipy.spatial import cKDTree

    count = len(moved)
    own = np.asarray(tree.query(moved, distance_upper_bound=tolerance)[0])
    ours = float(np.isfinite(own).mean())
    if count == len(coord) and (away := np.linalg.norm(coord - moved, axis=1)).max() <= tolerance:
        # As they were: points of one place keep their own labels.
        row = np.stack([np.arange(count), np.full(count, count)], axis=1)
        return _Match(row, np.stack([away, np.full(count, np.inf)], axis=1), ours, shift, count, tolerance)
    found = cKDTree(moved).query(coord, 2, distance_upper_bound=tolerance)
    distance, row = np.asarray(found[0]), np.asarray(found[1], np.int64)
    # What was cut out of the file is not found in its neighbour, which is another point.
    strange = distance > np.append(own, np.inf)[row] + _NEARLY * tolerance
    return _Match(np.where(strange, count, row), np.where(strange, np.inf, distance), ours, shift, count, tolerance)


def _likely_shifts(
    coord: NDArray[np.float64], moved: NDArray[np.float64], tree: Any, tolerance: float
) -> Iterator[NDArray[np.float64]]:
    """None first; then the shift that brings most of some points to those of the scene, where one brings any."""
    yield np.zeros(3)
    rng = np.random.default_rng(0)
    some = moved[rng.choice(len(moved), min(_TRIED, len(moved)), replace=False)]
    best, most = np.zeros(3), 0
    for shift in _shifts(coord, moved):
        found = int(np.isfinite(tree.query(some + shift, distance_upper_bound=tolerance)[0]).sum())
        if found > most:
            best, most = shift, found
    if most:
        yield best


def _shifts(coord: NDArray[np.float64], moved: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Shifts by which points may have been moved: of equally many in their order, of the corners of their boxes, and
    rounded ones by which the one box meets the other."""
    if len(coord) == len(moved):
        yield np.median(coord - moved, axis=0)
    low, high = coord.min(axis=0), coord.max(axis=0)
    lowest, highest = moved.min(axis=0), moved.max(axis=0)
    yield low - lowest
    yield high - highest
    for step in _STEPS:
        axes = []
        for first, last in zip((low - highest) / step, (high - lowest) / step, strict=True):
            begin, end = np.ceil(min(first, 1e9)), np.floor(max(last, -1e9))
            rounded = step * np.arange(begin, min(end, begin + _MOST_SHIFTS) + 1)
            axes.append(rounded if first > 0 or last < 0 else np.append(rounded, 0.0))
        if np.prod([len(axis) for axis in axes], dtype=np.float64) <= _MOST_SHIFTS:
            yield from map(np.array, itertools.product(*axes))

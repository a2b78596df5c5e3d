"""Things in a labelled scene: each class's points in connected parts, with place, size and shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ditr.errors import InputError
from ditr.geometry.area import VoxelAreas, voxel_areas
from ditr.geometry.boxes import Plane, UprightBox, flat_plane, hull_of, upright_box
from ditr.geometry.components import connected_points
from ditr.geometry.orientation import find_up
from ditr.inference.maps import GroundFrame, usual_voxel
from ditr.inference.object_rules import ClassRule, ObjectRules, plural
from ditr.pictures.render import point_spacing
from ditr.scene import Scene

__all__ = ["ClassObjects", "FoundObject", "Objects", "find_objects"]

Array = NDArray[np.float64]

_GAP = 5.0
"""Distances between neighbouring points that are a gap: chance leaves holes of three to four."""
_GAP_SHARE = 0.1
"""Of the length of a class's usual thing: what hides a part of a thing is larger where things are large."""
_UPWARDS = 3.0
"""How much wider a gap may be along the vertical: what lies between two parts above each other is mostly hidden by the
thing itself (the legs of a chair by its seat), and the beams of a LiDAR are farther apart than its shots."""
_MIN_POINTS = 10
_SIZE_SHARE, _SURFACE_SHARE = 0.2, 0.2
"""Of the length and of the surface of a class's usual thing: less is a fragment."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """One thing.

    Attributes:
        id: its number.
        label: of its class.
        name: of its class.
        points: how many.
        centroid: mean of its points, metres in the scene's frame.
        box: upright, in the map's frame (which is the scene's where up is z).
        plane: what a flat thing lies in, in the map's frame; None for others.
        footprint: square metres of the ground over which its points lie.
        area: square metres of the surfaces that they lie on (:mod:`ditr.geometry.area`).
        hull_volume: cubic metres of the convex hull, 0 for points in a plane.
        confidence: mean of the points', 0 to 1; None where nothing says it.
        cells: (n, 2) columns and rows of the footprint, in the grid of :class:`Objects`.
    """

    id: int
    label: int
    name: str
    points: int
    centroid: tuple[float, float, float]
    box: UprightBox
    plane: Plane | None
    footprint: float
    area: float
    hull_volume: float
    confidence: float | None
    cells: NDArray[np.int64]


@dataclass(frozen=True)
class ClassObjects:
    """What there is of a class that has points.

    Attributes:
        label: its number.
        name: its name.
        counted: whether its things are counted; of others the area counts alone.
        objects: how many things were found.
        points: of the class.
        area: square metres of their surfaces.
        left_out: points of fragments that are too small to be a thing.
        confidence: mean over the points of its things, or over all of its points where nothing was counted; None where
            nothing says it, or nothing was found.
        rule: the thresholds that were used; all None where nothing was counted.
    """

    label: int
    name: str
    counted: bool
    objects: int
    points: int
    area: float
    left_out: int
    confidence: float | None
    rule: ClassRule


@dataclass(frozen=True, eq=False)
class Objects:
    """All things of a scene.

    Attributes:
        scene: its name.
        objects: by class, and the ones with most points first; the number of each is its place.
        of_point: (N,) int32 the thing that each point is of, -1 for none.
        classes: those that have points, in the order of their numbers.
        frame: how the scene lies on its map.
        voxel: edge of the voxels by which areas are measured, metres.
        corner: (2,) where their grid begins on the map, metres.
        extent: the longest side of the scene along the axes of the map, metres.
    """

    scene: str
    objects: tuple[FoundObject, ...]
    of_point: NDArray[np.int32]
    classes: tuple[ClassObjects, ...]
    frame: GroundFrame
    voxel: float
    corner: Array
    extent: float

    def corners(self, found: FoundObject) -> Array:
        """(8, 3) of its box in the scene's frame: the four of the bottom counterclockwise, then those above them."""
        return self.frame.in_scene(found.box.corners())

    def told(self) -> list[str]:
        """Counts, and areas of what is not counted, the largest first: "37 chairs, 4 tables", "212 m² of floor"; and
        the mean confidence of each class, where it is known: "37 chairs (confidence 0.61)"."""
        things = sorted((each for each in self.classes if each.objects), key=lambda each: -each.objects)
        rest = sorted((each for each in self.classes if not each.counted), key=lambda each: -each.area)
        lines = [", ".join(plural(each.name, each.objects) + _sure(each) for each in things) or "no objects"]
        areas = ", ".join(f"{_metres(each.area)} m² of {each.name}{_sure(each)}" for each in rest)
        return [*lines, areas] if rest else lines


def find_objects(
    scene: Scene,
    label: NDArray[np.integer],
    class_names: Sequence[str],
    *,
    confidence: NDArray[np.floating] | None = None,
    up: ArrayLike | None = None,
    rules: ObjectRules | None = None,
    voxel: float | None = None,
) -> Objects:
    """Divide each class into things, and measure them.

    Points of a class are of one thing where chains of its points join them, with steps no longer than the class's gap
    (:func:`~ditr.geometry.components.connected_points`); upwards three times as long. By default the gap is five
    distances between neighbouring points, or a tenth of the class's usual length where that is more. Parts that have
    fewer than 10 points, or less than 0.2 of the usual length or surface, are not things. Usual is the median over the
    class's points: half of them lie in parts that are larger.

    Two things of a class that are closer to each other than its gap are one. One thing of which a wider stripe was not
    seen is two.

    Args:
        scene: the points.
        label: (N,) indices into ``class_names``, -1 for none.
        class_names: what they mean.
        confidence: (N,) 0 to 1; None where it is not known.
        up: (3,) by default what the scene says, or what is found.
        rules: what differs from the defaults.
        voxel: edge of the voxels by which areas are measured, metres; by default that of
            :func:`~ditr.inference.maps.usual_voxel`.

    Raises:
        InputError: labels of another number or outside the names, a class that there is not, or voxels of which too
            many would lie along an axis.
    """
    rules = rules or ObjectRules()
    label = _checked(scene, label, class_names)
    rules.require_known(class_names)
    spacing = point_spacing(scene.coord)
    frame = GroundFrame.of(find_up(scene, up), scene.properties)
    found = voxel_areas(frame.from_above(scene.coord), voxel or usual_voxel(scene.coord, spacing))
    low = scene.coord.min(axis=0)
    place = frame.from_above(scene.coord - low)  # small numbers keep what follows exact
    parts = np.full(len(label), -1, dtype=np.int64)
    count, used = 0, {}
    for number in np.unique(label[label >= 0]).tolist():
        if not rules.is_counted(class_names[number]):
            continue
        rows = np.flatnonzero(label == number)
        part, used[number] = _divided(place[rows], spacing[rows], rules.of(class_names[number]))
        parts[rows] = np.where(part < 0, -1, part + count)
        count += int(part.max(initial=-1)) + 1
    order = _order(parts, label, place)
    of_point = np.append(np.argsort(order), -1)[parts].astype(np.int32)
    sure = None if confidence is None else np.asarray(confidence, dtype=np.float64)
    things = tuple(_measured(of_point, label, class_names, place, low, frame, found, sure))
    classes = tuple(_of_classes(of_point, label, class_names, found, used, sure))
    extent = float(np.ptp(place, axis=0).max())
    return Objects(scene.name, things, of_point, classes, frame, found.size, found.corner[:2], extent)


def _checked(scene: Scene, label: NDArray[np.integer], class_names: Sequence[str]) -> NDArray[np.int64]:
    if label.shape != (len(scene),):
        raise InputError("labels", f"shape {label.shape} for {len(scene)} points", "Give one for each point")
    if len(label) and (int(label.max()) >= len(class_names) or int(label.min()) < -1):
        fault = f"they go from {label.min()} to {label.max()}, but there are {len(class_names)} classes"
        raise InputError("labels", fault, "Name all classes, and use -1 for no label")
    return label.astype(np.int64)


def _divided(place: Array, spacing: Array, rule: ClassRule) -> tuple[NDArray[np.int64], ClassRule]:
    """The thing that each point of a class is of, -1 for none, and the thresholds that were used."""
    gap = rule.gap or _GAP * float(np.median(spacing))
    flattened = place / (1, 1, _UPWARDS)
    part = connected_points(flattened, gap).astype(np.int64)
    length, surface, count = _extents(place, spacing, part)
    if rule.gap is None and (wider := _GAP_SHARE * _usual(length, count)) > gap:
        gap = wider
        part = connected_points(flattened, gap).astype(np.int64)
        length, surface, count = _extents(place, spacing, part)
    points = _MIN_POINTS if rule.min_points is None else rule.min_points
    size = _SIZE_SHARE * _usual(length, count) if rule.min_size is None else rule.min_size
    kept = (count >= points) & (length >= size)
    if rule.min_points is None and rule.min_size is None:
        kept &= surface >= _SURFACE_SHARE * _usual(surface, count)
    number = np.where(kept, np.cumsum(kept) - 1, -1)
    return number[part], ClassRule(gap, points, size)


def _extents(place: Array, spacing: Array, part: NDArray[np.int64]) -> tuple[Array, Array, NDArray[np.int64]]:
    """Of each part: the length of a bar that spreads as it does, of which strays make less than of a box's; square
    metres that its points stand for; and how many they are."""
    count = np.bincount(part)
    off = place - _means(place, part, count)[part]
    spread = np.empty((len(count), 3, 3))
    for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)):
        spread[:, i, j] = spread[:, j, i] = np.bincount(part, weights=off[:, i] * off[:, j]) / count
    length = np.sqrt(12 * np.maximum(np.linalg.eigvalsh(spread)[:, 2], 0))
    surface: Array = np.bincount(part, weights=np.square(spacing)).astype(np.float64)
    return length, surface, count.astype(np.int64)


def _means(place: Array, part: NDArray[np.int64], count: NDArray[np.int64]) -> Array:
    return np.stack([np.bincount(part, weights=place[:, axis]) / count for axis in range(3)], axis=1)


def _members(part: NDArray[np.integer], count: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """The rows of each part; -1 is none."""
    rows = np.argsort(part, kind="stable")
    rows = rows[np.count_nonzero(part < 0) :]
    end = np.cumsum(count)
    for number, stop in enumerate(end):
        yield rows[stop - count[number] : stop]


def _usual(value: Array, count: NDArray[np.int64]) -> float:
    """The median of what points, not parts, have: a crowd of fragments does not make it small."""
    order = np.argsort(value, kind="stable")
    held = np.cumsum(count[order])
    return float(value[order][np.searchsorted(held, held[-1] / 2)])


def _order(parts: NDArray[np.int64], label: NDArray[np.int64], place: Array) -> NDArray[np.int64]:
    """Parts by class, points and place: numbers do not depend on the order of the points."""
    rows = np.flatnonzero(parts >= 0)
    count = np.bincount(parts[rows])
    of_class = np.zeros(len(count), dtype=np.int64)
    of_class[parts[rows]] = label[rows]
    middle = np.round(_means(place[rows], parts[rows], count), 6)
    return np.lexsort((*middle.T[::-1], -count, of_class))


def _measured(
    of_point: NDArray[np.int32],
    label: NDArray[np.int64],
    class_names: Sequence[str],
    place: Array,
    low: Array,
    frame: GroundFrame,
    found: VoxelAreas,
    sure: Array | None,
) -> Iterator[FoundObject]:
    """Each thing with its measures; ``place`` (N, 3) is seen from above, and begins at ``low`` of the scene's frame."""
    count = np.bincount(of_point[of_point >= 0])
    area = _area_of(of_point, found)
    footprints = _footprints(of_point, found)
    start = frame.from_above(low)
    for number, rows in enumerate(_members(of_point, count)):
        own = place[rows]
        hull, volume = hull_of(own)
        box = upright_box(hull)
        x, y, z = (float(value) for value in frame.in_scene(own.mean(axis=0)) + low)
        cx, cy, cz = (float(value) for value in start + box.center)
        yield FoundObject(
            id=number,
            label=int(label[rows[0]]),
            name=class_names[label[rows[0]]],
            points=len(rows),
            centroid=(x, y, z),
            box=UprightBox((cx, cy, cz), box.size, box.yaw),
            plane=flat_plane(own),
            footprint=len(footprints[number]) * found.size**2,
            area=float(area[number]),
            hull_volume=volume,
            confidence=None if sure is None else float(sure[rows].mean()),
            cells=footprints[number],
        )


def _area_of(number: NDArray[np.integer], found: VoxelAreas) -> Array:
    """Square metres of each number; a voxel's area is divided by its points."""
    rows = np.flatnonzero(number >= 0)
    share = (found.area / found.voxels.count.numpy())[found.voxels.inverse.numpy()[rows]]
    area: Array = np.bincount(number[rows], weights=share).astype(np.float64)
    return area


def _footprints(of_point: NDArray[np.int32], found: VoxelAreas) -> list[NDArray[np.int64]]:
    """Of each thing (n, 2) the columns of voxels in one of which half of the points, or more, are its; of one that has
    no such voxel all that it is in."""
    rows = np.flatnonzero(of_point >= 0)
    if not len(rows):
        return []
    voxels = len(found.voxels)
    pair, held = np.unique(
        of_point[rows].astype(np.int64) * voxels + found.voxels.inverse.numpy()[rows], return_counts=True
    )
    thing, voxel = np.divmod(pair, voxels)
    mostly = 2 * held >= found.voxels.count.numpy()[voxel]
    mostly |= np.bincount(thing, weights=mostly)[thing] == 0
    column = found.voxels.grid.numpy()[voxel, :2]
    ends = np.searchsorted(thing, np.arange(thing[-1] + 2))
    return [np.unique(column[start:end][mostly[start:end]], axis=0) for start, end in pairwise(ends)]


def _of_classes(
    of_point: NDArray[np.int32],
    label: NDArray[np.int64],
    class_names: Sequence[str],
    found: VoxelAreas,
    used: dict[int, ClassRule],
    sure: Array | None,
) -> Iterator[ClassObjects]:
    points = np.bincount(label[label >= 0], minlength=len(class_names))
    left = np.bincount(label[(label >= 0) & (of_point < 0)], minlength=len(class_names))
    area = _area_of(label, found)
    for number in np.flatnonzero(points).tolist():
        counted = number in used
        own = (label == number) & (of_point >= 0) if counted else label == number
        things = len(np.unique(of_point[own])) if counted else 0
        confidence = None if sure is None or not own.any() else float(sure[own].mean())
        yield ClassObjects(
            number, class_names[number], counted, things, int(points[number]), float(area[number]),
            int(left[number]) if counted else 0, confidence, used.get(number, ClassRule()),
        )  # fmt: skip


def _sure(found: ClassObjects) -> str:
    return "" if found.confidence is None else f" (confidence {found.confidence:.2f})"


def _metres(area: float) -> str:
    """Two digits or more."""
    return f"{area:.0f}" if area >= 10 else f"{area:.1f}" if area >= 1 else f"{area:.2f}"

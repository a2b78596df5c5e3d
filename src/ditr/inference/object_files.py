"""What is written of things: tables, a map, their boxes, and the number of each point's thing."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.inference.maps import write_geojson
from ditr.inference.objects import FoundObject, Objects
from ditr.io.files import atomic_path, write_array
from ditr.io.ply import write_ply
from ditr.pictures.palette import Color, chosen_colors

__all__ = ["OBJECT_FILES", "OBJECT_TABLES", "write_objects"]

_TABLE, _CLASSES, _MAP, _BOXES, _POINTS = (
    "objects.csv",
    "objects_by_class.csv",
    "objects.geojson",
    "boxes.ply",
    "object.npy",
)
OBJECT_FILES = (_TABLE, _CLASSES, _MAP, _BOXES, _POINTS)
"""Names of the files of :func:`write_objects`."""
OBJECT_TABLES = (_TABLE, _CLASSES)
"""Those of them that are tables."""

_COLUMNS = [
    *("id", "class_id", "class", "points", "mean_confidence", "x", "y", "z", "box_x", "box_y", "box_z"),
    *("length_m", "width_m", "height_m", "yaw_deg", "footprint_m2", "area_m2", "hull_volume_m3"),
    *("flat", "plane_length_m", "plane_width_m", "plane_tilt_deg"),
]
_CLASS_COLUMNS = [
    *("class_id", "class", "counted", "objects", "points", "area_m2"),
    *("points_left_out", "gap_m", "min_points", "min_size_m", "mean_confidence"),
]
_BEAM = 0.004, 0.05
"""Thickness of a box's edges: of its longest side, and metres at most."""
_EDGES = np.array([(0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (5, 6), (6, 7), (7, 4), (0, 4), (1, 5), (2, 6), (3, 7)])
_SIDES = np.array([(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7), (3, 2, 1, 0), (4, 5, 6, 7)])
"""Corners of a beam's sides, counterclockwise from outside; 0 to 3 are one end and 4 to 7 the other."""


def write_objects(
    objects: Objects, folder: Path, class_count: int, class_colors: Sequence[Color] | None = None
) -> None:
    """Write :data:`OBJECT_FILES` into a folder.

    Args:
        objects: of a scene.
        folder: where they go; one of :func:`ditr.io.files.results_folder` makes them appear together.
        class_count: how many classes there are.
        class_colors: of these, where their dataset has its own.

    Raises:
        OSError: they cannot be written.
    """
    rows = [_row(objects, each) for each in objects.objects]
    _write_table(folder / _TABLE, _COLUMNS, rows)
    _write_table(folder / _CLASSES, _CLASS_COLUMNS, _class_rows(objects))
    polygons = [objects.frame.polygons(each.cells, objects.voxel, objects.corner) for each in objects.objects]
    write_geojson(folder / _MAP, objects.scene, objects.frame, objects.voxel, rows, polygons)
    _write_boxes(folder / _BOXES, objects, chosen_colors(class_count, class_colors))
    write_array(folder / _POINTS, objects.of_point)


def _row(objects: Objects, found: FoundObject) -> dict[str, Any]:
    """Plain values by the names of columns, with units; None where there is nothing to say."""
    corners = objects.corners(found)
    x, y, z = found.centroid
    box_x, box_y, box_z = (float(value) for value in (corners.min(axis=0) + corners.max(axis=0)) / 2)
    length, width, height = found.box.size
    plane = found.plane
    values = (
        *(found.id, found.label, found.name, found.points, _rounded(found.confidence)),
        *(round(value, 4) for value in (x, y, z, box_x, box_y, box_z, length, width, height)),
        round(found.box.yaw, 2),
        *(round(value, 4) for value in (found.footprint, found.area)),
        round(found.hull_volume, 6),
        plane is not None,
        *((None, None, None) if plane is None else (round(plane.size[0], 4), round(plane.size[1], 4), plane.tilt)),
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _class_rows(objects: Objects) -> list[dict[str, Any]]:
    rows = []
    for each in objects.classes:
        rule = each.rule
        used = (rule.gap, rule.min_points, rule.min_size)
        gap, points, size = (None if value is None else round(value, 4) for value in used)
        number = each.objects if each.counted else None
        left = each.left_out if each.counted else None
        values = (
            each.label,
            each.name,
            each.counted,
            number,
            each.points,
            round(each.area, 4),
            left,
            gap,
            points,
            size,
            _rounded(each.confidence),
        )
        rows.append(dict(zip(_CLASS_COLUMNS, values, strict=True)))
    return rows


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        table.writerows(rows)


def _write_boxes(path: Path, objects: Objects, colors: NDArray[np.uint8]) -> None:
    """The edges of the boxes as thin beams in the colours of their classes: lines are in few programs' PLY."""
    count = len(objects.objects)
    corner = np.array([objects.corners(each) for each in objects.objects]).reshape(count, 8, 3)
    longest = np.array([max(each.box.size) for each in objects.objects]).reshape(count)
    half = np.clip(_BEAM[0] * longest, 0.001, _BEAM[1]) / 2
    vertex = _beams(corner[:, _EDGES], half).reshape(-1, 3)
    label = np.array([each.label for each in objects.objects], dtype=np.int64)
    color = np.repeat(colors[label], 8 * len(_EDGES), axis=0)
    faces = np.concatenate([_SIDES[:, [0, 1, 2]], _SIDES[:, [0, 2, 3]]])
    face = (faces[None] + 8 * np.arange(count * len(_EDGES))[:, None, None]).reshape(-1, 3)
    columns: dict[str, NDArray[Any]] = {name: vertex[:, axis] for axis, name in enumerate("xyz")}
    columns |= {name: color[:, channel] for channel, name in enumerate(("red", "green", "blue"))}
    columns["object"] = np.repeat(np.arange(count, dtype=np.int32), 8 * len(_EDGES))
    write_ply(path, columns, faces=face.astype(np.int32), comments=(f"boxes of {count} objects",))


def _beams(edge: NDArray[np.float64], half: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 12, 8, 3) corners of a square beam about each edge (n, 12, 2, 3) of a box, ``half`` (n,) as thick."""
    along = edge[:, :, 1] - edge[:, :, 0]
    long = np.linalg.norm(along, axis=2, keepdims=True)
    along = np.where(long > 0, along / np.where(long > 0, long, 1), (1.0, 0.0, 0.0))
    least = np.eye(3)[np.abs(along).argmin(axis=2)]
    one = np.cross(along, least)
    one /= np.linalg.norm(one, axis=2, keepdims=True)
    two = np.cross(along, one)
    thick = half[:, None, None]
    ring = np.stack([-one - two, one - two, one + two, two - one], axis=2) * thick[..., None]
    # A beam goes on to the outer sides of those that it meets.
    ends = (edge[:, :, 0] - along * thick)[:, :, None], (edge[:, :, 1] + along * thick)[:, :, None]
    return np.concatenate([ends[0] + ring, ends[1] + ring], axis=2)

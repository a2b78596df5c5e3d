"""How much there is of each class: counts, areas, volumes and footprints, as a table and as a map."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.area import VoxelAreas, voxel_areas
from ditr.inference.maps import GroundFrame, usual_voxel, write_geojson
from ditr.inference.prediction import Prediction
from ditr.io.files import atomic_path
from ditr.pictures.render import point_spacing

__all__ = ["ClassMeasure", "Measures", "measure", "require_length"]


@dataclass(frozen=True)
class ClassMeasure:
    """How much there is of a class.

    Attributes:
        id: its number, -1 for points without a label.
        name: "unlabelled" for these.
        color: red, green, blue.
        points: how many.
        confidence: their mean, 0 to 1.
        area: square metres of the surfaces that they lie on (:mod:`ditr.geometry.area`).
        volume: cubic metres of the voxels in which they lie; where several classes share one, by their points.
        footprint: square metres of the ground over which they lie, in cells of a voxel's edge.
    """

    id: int
    name: str
    color: tuple[int, int, int]
    points: int
    confidence: float
    area: float
    volume: float
    footprint: float


@dataclass(frozen=True, eq=False)
class Measures:
    """What there is in a scene.

    Attributes:
        scene: its name.
        voxel: edge of the voxels, metres.
        classes: of which there are points, in the order of their numbers; those without a label come last.
        polygons: of each of ``classes``: of each polygon its rings, (n, 2) closed, the first one outside and
            counterclockwise, the others holes; coordinates are those of the map.
        frame: how the scene lies on the map.
    """

    scene: str
    voxel: float
    classes: tuple[ClassMeasure, ...]
    polygons: tuple[list[list[NDArray[np.float64]]], ...]
    frame: GroundFrame

    def rows(self) -> list[dict[str, Any]]:
        """Plain values by the names of columns, with units."""
        total = sum(each.points for each in self.classes)
        return [
            {
                "id": each.id,
                "name": each.name,
                "color": "#{:02x}{:02x}{:02x}".format(*each.color),
                "points": each.points,
                "share": round(each.points / total, 6),
                "mean_confidence": round(each.confidence, 4),
                "area_m2": round(each.area, 4),
                "volume_m3": round(each.volume, 6),
                "footprint_m2": round(each.footprint, 4),
                "voxel_m": round(self.voxel, 6),
            }
            for each in self.classes
        ]

    def write_csv(self, path: Path) -> None:
        """Write a line for each class under the names of the columns, as UTF-8.

        Raises:
            OSError: it cannot be written.
        """
        rows = self.rows()
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)

    def write_geojson(self, path: Path) -> None:
        """Write a feature for each class: its footprint, and its row (:func:`ditr.inference.maps.write_geojson`).

        Raises:
            OSError: it cannot be written.
        """
        write_geojson(path, self.scene, self.frame, self.voxel, self.rows(), self.polygons)


def measure(prediction: Prediction, voxel: float | None = None) -> Measures:
    """Measure how much there is of each class.

    Areas, volumes and footprints are of what the points show: what no scan saw is not there.

    Args:
        prediction: the labels.
        voxel: edge of the voxels in metres; by default that of :func:`~ditr.inference.maps.usual_voxel`.

    Raises:
        InputError: an edge that is not a length, or of which too many would lie along an axis.
    """
    scene = prediction.scene
    if voxel is None:
        voxel = usual_voxel(scene.coord, point_spacing(scene.coord))
    require_length(voxel)
    frame = GroundFrame.of(prediction.up, scene.properties)
    found = voxel_areas(frame.from_above(scene.coord), voxel)
    corner = found.corner[:2]
    classes, polygons = [], []
    for row, name, color in _listed(prediction):
        chosen = prediction.label == row
        if not chosen.any():
            continue
        cells = _footprint(found, prediction.label, row)
        area, volume = _of_class(found, chosen)
        classes.append(
            ClassMeasure(
                row, name, color, int(np.count_nonzero(chosen)), float(prediction.confidence[chosen].mean()), area,
                volume, len(cells) * voxel**2,
            )
        )  # fmt: skip
        polygons.append(frame.polygons(cells, voxel, corner))
    return Measures(scene.name, voxel, tuple(classes), tuple(polygons), frame)


def require_length(voxel: float) -> None:
    """Refuse an edge of voxels that is not a length.

    Raises:
        InputError: it is none.
    """
    if not (np.isfinite(voxel) and voxel > 0):
        raise InputError("--measure", f"{voxel} is not a length", "Give metres, or auto")


def _listed(prediction: Prediction) -> list[tuple[int, str, tuple[int, int, int]]]:
    """Numbers, names and colours, with those of no label."""
    table = prediction.class_table()
    entries = [*table["classes"], table["unlabelled"]]
    return [(entry["id"], entry["name"], tuple(entry["color"])) for entry in entries]


def _of_class(found: VoxelAreas, chosen: NDArray[np.bool_]) -> tuple[float, float]:
    """Square and cubic metres: a voxel counts by the share of its points that are ``chosen`` (N,)."""
    inverse, count = found.voxels.inverse.numpy(), found.voxels.count.numpy()
    share = np.bincount(inverse[chosen], minlength=len(count)) / count
    return float(share @ found.area), float(share.sum()) * found.size**3


def _footprint(found: VoxelAreas, label: NDArray[np.int32], row: int) -> NDArray[np.int64]:
    """(n, 2) the columns of voxels in one of which half of the points, or more, have this label."""
    inverse, count = found.voxels.inverse.numpy(), found.voxels.count.numpy()
    held = np.bincount(inverse[label == row], minlength=len(count))
    return np.unique(found.voxels.grid.numpy()[2 * held >= count, :2], axis=0)

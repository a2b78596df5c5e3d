"""How much there is of each class: counts, areas, volumes and footprints, as a table and as a map."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.geometry.area import VoxelAreas, voxel_areas
from ditr.geometry.orientation import rotation_upright
from ditr.geometry.outline import outline
from ditr.inference.prediction import Prediction
from ditr.io.files import atomic_path
from ditr.pictures.render import point_spacing

__all__ = ["ClassMeasure", "Measures", "measure", "require_length"]

_SPACINGS = 2.5
"""Edge of a voxel in distances between points: six points lie in one that a surface crosses in the middle."""
_LARGEST = 60_000
"""Voxels along an axis at most; fewer than there may be, so that it does not matter where they begin."""
_LOCAL = 'LOCAL_CS["coordinates of the capture",UNIT["metre",1]]'
"""How a map says that its coordinates are none on the earth; without this they would be taken for degrees."""


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
            counterclockwise, the others holes; coordinates are those of ``crs``.
        crs: name of the coordinate system, as GIS programs read it.
    """

    scene: str
    voxel: float
    classes: tuple[ClassMeasure, ...]
    polygons: tuple[list[list[NDArray[np.float64]]], ...]
    crs: str

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
        """Write a feature for each class: its footprint, as polygons that are valid by OGC's rules, and its row.

        Where the scene has a coordinate system of the earth, coordinates are of it, and the member ``crs`` of the
        format's first edition (2008) names it, which GDAL, and so QGIS, heeds. RFC 7946 knows longitudes and latitudes
        alone, for which coordinates would have to be transformed.

        Raises:
            OSError: it cannot be written.
        """
        digits = max(2, 3 - int(np.floor(np.log10(self.voxel))))
        features = [
            {
                "type": "Feature",
                "id": row["id"],
                "properties": row,
                "geometry": {
                    "type": "MultiPolygon",
                    "coordinates": [[np.round(ring, digits).tolist() for ring in rings] for rings in polygons],
                },
            }
            for row, polygons in zip(self.rows(), self.polygons, strict=True)
        ]
        content = {
            "type": "FeatureCollection",
            "name": self.scene,
            "crs": {"type": "name", "properties": {"name": self.crs}},
            "features": features,
        }
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def measure(prediction: Prediction, voxel: float | None = None, *, least: float = 0.0) -> Measures:
    """Measure how much there is of each class.

    Areas, volumes and footprints are of what the points show: what no scan saw is not there.

    Args:
        prediction: the labels.
        voxel: edge of the voxels in metres; by default 2.5 times the usual distance between points.
        least: the smallest edge that is chosen by default, as noise doubles surfaces in smaller ones.

    Raises:
        InputError: an edge that is no length, or of which too many would lie along an axis.
    """
    scene = prediction.scene
    if voxel is None:
        extent = float(np.ptp(scene.coord, axis=0).max())
        spacing = float(np.median(point_spacing(scene.coord)))
        voxel = max(_SPACINGS * spacing, least, extent / _LARGEST)
    require_length(voxel)
    up = np.array(prediction.up) / np.linalg.norm(prediction.up)
    crs, unit = _coordinate_system(scene.properties)
    turn = None if up[2] > 0.9 or crs is not None else rotation_upright(up)
    coord = scene.coord if turn is None else scene.coord @ turn.T
    found = voxel_areas(coord, voxel)
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
        rings = [[each.exterior, *each.holes] for each in outline(cells)]
        polygons.append([[_closed(ring * voxel + corner) / unit for ring in part] for part in rings])
    return Measures(scene.name, voxel, tuple(classes), tuple(polygons), crs or _LOCAL)


def require_length(voxel: float) -> None:
    """Refuse an edge of voxels that is no length.

    Raises:
        InputError: it is none.
    """
    if not (np.isfinite(voxel) and voxel > 0):
        raise InputError("--measure", f"{voxel} is no length", "Give metres, or auto")


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


def _closed(ring: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.vstack([ring, ring[:1]])


def _coordinate_system(properties: Mapping[str, Any]) -> tuple[str | None, float]:
    """The name of a scene's coordinate system on the earth, None for none, and metres of one of its units."""
    crs = properties.get("crs")
    if not isinstance(crs, Mapping):
        return None, 1.0
    name = crs.get("wkt") or (f"urn:ogc:def:crs:EPSG::{crs['epsg']}" if "epsg" in crs else None)
    unit = crs.get("unit", 1.0)
    return name, float(unit)

"""What is measured seen from above: the frame of maps, their voxels, and GeoJSON that GIS programs read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ditr.geometry.area import surface_scatter
from ditr.geometry.orientation import rotation_upright
from ditr.geometry.outline import outline
from ditr.io.files import atomic_path

__all__ = ["GroundFrame", "usual_voxel", "write_geojson"]

Array = NDArray[np.float64]

_SPACINGS = 2.5
"""Edge of a voxel in distances between points: six points lie in one that a surface crosses in the middle."""
_SCATTERS, _WIDEST = 5.0, 2.5
"""Edge of a voxel in scatters of the points about their surface, and how much larger this may make it."""
_LARGEST = 60_000
"""Voxels along an axis at most; fewer than there may be, so that it does not matter where they begin."""
_LOCAL = 'LOCAL_CS["coordinates of the capture",UNIT["metre",1]]'
"""How a map says that its coordinates are none on the earth; without this they would be taken for degrees."""


@dataclass(frozen=True, eq=False)
class GroundFrame:
    """How a scene lies on its map.

    Attributes:
        turn: (3, 3) what makes its up z; None where it is.
        crs: name of the coordinate system, as GIS programs read it.
        unit: metres of one of its units.
    """

    turn: Array | None
    crs: str
    unit: float

    @classmethod
    def of(cls, up: ArrayLike, properties: Mapping[str, Any]) -> GroundFrame:
        """The frame of a scene with this up (3,) and these properties; one on the earth is never turned."""
        direction = np.asarray(up, dtype=np.float64)
        direction = direction / np.linalg.norm(direction)
        crs, unit = _coordinate_system(properties)
        turn = None if direction[2] > 0.9 or crs is not None else rotation_upright(direction)
        return cls(turn, crs or _LOCAL, unit)

    def from_above(self, coord: Array) -> Array:
        """Points (N, 3) of the scene with z up."""
        return coord if self.turn is None else coord @ self.turn.T

    def in_scene(self, coord: Array) -> Array:
        """The contrary of :meth:`from_above`."""
        return coord if self.turn is None else coord @ self.turn

    def polygons(self, cell: NDArray[np.integer], size: float, corner: Array) -> list[list[Array]]:
        """The area of cells (n, 2) of a grid, in the unit of the map.

        Args:
            cell: columns and rows.
            size: their edge, metres.
            corner: (2,) metres, where the cell (0, 0) begins.

        Returns:
            of each polygon its rings, (n, 2) closed, the first one outside and counterclockwise, the others holes.
        """
        rings = [[each.exterior, *each.holes] for each in outline(cell)]
        return [[_closed(ring * size + corner) / self.unit for ring in part] for part in rings]


def usual_voxel(coord: Array, spacing: Array) -> float:
    """The edge of voxels that points (N, 3) are measured by, metres; it depends on nothing but the points.

    It is 2.5 times the usual distance between points. Where the points scatter about their surfaces by more than a
    fifth of that, as those of depth cameras do, it is five times the scatter, up to 2.5 times the first edge: in
    smaller voxels, noise is measured as surface.

    Args:
        coord: the points.
        spacing: (N,) metres to their neighbours, :func:`~ditr.pictures.render.point_spacing`.
    """
    extent = float(np.ptp(coord, axis=0).max())
    edge = max(_SPACINGS * float(np.median(spacing)), extent / _LARGEST)
    if not edge > 0:
        return edge
    widest = _WIDEST * edge
    return float(np.clip(_SCATTERS * surface_scatter(coord, widest), edge, widest))


def write_geojson(
    path: Path,
    name: str,
    frame: GroundFrame,
    voxel: float,
    rows: Sequence[Mapping[str, Any]],
    polygons: Sequence[list[list[Array]]],
) -> None:
    """Write a feature for each row: its area, as polygons that are valid by OGC's rules, and the row; its id is the
    feature's.

    Where the scene has a coordinate system of the earth, coordinates are of it, and the member ``crs`` of the format's
    first edition (2008) names it, which GDAL, and so QGIS, heeds. RFC 7946 knows longitudes and latitudes alone, for
    which coordinates would have to be transformed.

    Raises:
        OSError: it cannot be written.
    """
    digits = max(2, 3 - int(np.floor(np.log10(voxel))))
    features = [
        {
            "type": "Feature",
            "id": row["id"],
            "properties": row,
            "geometry": {
                "type": "MultiPolygon",
                "coordinates": [[np.round(ring, digits).tolist() for ring in rings] for rings in parts],
            },
        }
        for row, parts in zip(rows, polygons, strict=True)
    ]
    content = {
        "type": "FeatureCollection",
        "name": name,
        "crs": {"type": "name", "properties": {"name": frame.crs}},
        "features": features,
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, separators=(",", ":"), allow_nan=False), encoding="utf-8")


def _closed(ring: Array) -> Array:
    return np.vstack([ring, ring[:1]])


def _coordinate_system(properties: Mapping[str, Any]) -> tuple[str | None, float]:
    """The name of a scene's coordinate system on the earth, None for none, and metres of one of its units."""
    crs = properties.get("crs")
    if not isinstance(crs, Mapping):
        return None, 1.0
    name = crs.get("wkt") or (f"urn:ogc:def:crs:EPSG::{crs['epsg']}" if "epsg" in crs else None)
    unit = crs.get("unit", 1.0)
    return name, float(unit)

"""E57: the scans of a terrestrial laser scanner, joined with their poses; by pye57, in a process of its own."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import read_apart
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes, require_library
from ditr.captures.points import Columns
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["cloud_of", "read", "read_cloud", "recognise"]

LIBRARIES = ("pye57",)
_CARTESIAN = ("cartesianX", "cartesianY", "cartesianZ")
_SPHERICAL = ("sphericalRange", "sphericalAzimuth", "sphericalElevation")
_COLOR = {"colorRed": "red", "colorGreen": "green", "colorBlue": "blue"}
_NORMAL = {"nor:normalX": "nx", "nor:normalY": "ny", "nor:normalZ": "nz"}
_KEPT = {"rowIndex": "row", "columnIndex": "column", "timeStamp": "time"}
_INVALID = ("cartesianInvalidState", "sphericalInvalidState")
_CHUNK = 1 << 16


def recognise(path: Path) -> str | None:
    """By its first bytes."""
    return "it begins with ASTM-E57" if first_bytes(path, 8) == b"ASTM-E57" else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The points of all scans of an E57 file in the frame of the file; those that are marked as invalid are left out.

    Raises:
        InputError: as for :func:`read_cloud`, or for :func:`~ditr.captures.points.points_of`.
    """
    return cloud_scene(path, read_cloud(path))


def read_cloud(path: Path) -> Cloud:
    """What an E57 file holds.

    Raises:
        InputError: pye57 is not installed, or a damaged file.
    """
    require_library(path, "pye57", "e57")
    return read_apart(path, "e57")


def memory_of(path: Path) -> int:
    """Bytes of the numbers of all points, twice over, and of what becomes of them: a point takes a bit at least, and
    its fields become 64 each.

    Raises:
        Exception: whatever pye57 raises on a damaged file.
    """
    file, most = import_module("pye57").E57(str(path)), 8 * path.stat().st_size
    headers = [file.get_header(index) for index in range(file.scan_count)]
    return sum(min(header.point_count, most) * (16 * len(header.point_fields) + 64) for header in headers)


def cloud_of(path: Path) -> Cloud:
    """Read the file here.

    Raises:
        InputError: no scan, or one without coordinates.
        Exception: whatever pye57 raises on a damaged file.
    """
    file = import_module("pye57").E57(str(path))
    if file.scan_count == 0:
        raise InputError(path, "it has no scan", "Export the scans with their points")
    cloud = Cloud({})
    parts = [_scan(path, file, index, cloud) for index in range(file.scan_count)]
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    lost = sorted({name for part in parts for name in part} - set(shared))
    if lost:
        cloud.say("columns", f"not all scans have {', '.join(lost)}; it is left out")
    cloud.columns = {name: np.concatenate([part[name] for part in parts]) for name in shared}
    if len(parts) > 1:
        cloud.columns["scan"] = np.repeat(np.arange(len(parts), dtype=np.int32), [len(part["x"]) for part in parts])
        cloud.say("points", f"{len(parts)} scans are joined, by their poses")
    return cloud


def _scan(path: Path, file: Any, index: int, cloud: Cloud) -> Columns:
    header = file.get_header(index)
    fields = [str(name) for name in header.point_fields]
    places = next((names for names in (_CARTESIAN, _SPHERICAL) if set(names) <= set(fields)), None)
    if places is None:
        raise InputError(path, f"scan {index} has no coordinates ({', '.join(fields)})", "Export it with its points")
    names = {**_COLOR, **_NORMAL, **_KEPT, "intensity": "intensity"}
    raw = _values(file, header, [*places, *(name for name in (*names, *_INVALID) if name in fields)])
    invalid = np.zeros(len(raw[places[0]]), dtype=bool)
    for name in _INVALID:
        if name in raw:
            invalid |= raw.pop(name) != 0
    if invalid.any():
        cloud.say("points", f"scan {index}: {np.count_nonzero(invalid)} are marked as invalid and were left out")
        raw = {name: values[~invalid] for name, values in raw.items()}
    coord = np.stack([raw.pop(name) for name in places], axis=1)
    if places == _SPHERICAL:
        coord = _from_spherical(coord)
    normal = np.stack([raw.pop(name) for name in _NORMAL], axis=1) if set(_NORMAL) <= raw.keys() else None
    if header.has_pose():
        rotation = np.asarray(header.rotation_matrix, dtype=np.float64)
        coord = coord @ rotation.T + np.asarray(header.translation, dtype=np.float64)
        normal = None if normal is None else normal @ rotation.T
    columns: Columns = dict(zip("xyz", np.ascontiguousarray(coord.T), strict=True))
    if normal is not None:
        columns |= dict(zip(("nx", "ny", "nz"), np.ascontiguousarray(normal.T.astype(np.float32)), strict=True))
    columns |= {names[name]: _typed(name, values) for name, values in raw.items()}
    return columns


def _typed(name: str, values: NDArray[np.float64]) -> NDArray[Any]:
    if name in _COLOR and (values == np.floor(values)).all() and values.min(initial=0) >= 0:
        return values.astype(np.uint8 if values.max(initial=0) <= 255 else np.uint16)
    if name in ("rowIndex", "columnIndex"):
        return values.astype(np.int32)
    return values.astype(np.float32) if name == "intensity" else values


def _values(file: Any, header: Any, names: list[str]) -> dict[str, NDArray[np.float64]]:
    """The numbers of some fields, read piece by piece: what the file promises is not allocated."""
    libe57 = import_module("pye57").libe57
    held = {name: np.zeros(_CHUNK) for name in names}
    buffers = libe57.VectorSourceDestBuffer()
    for name in names:
        buffers.append(libe57.SourceDestBuffer(file.image_file, name, held[name], _CHUNK, True, True))
    reader = header.points.reader(buffers)
    pieces: dict[str, list[NDArray[np.float64]]] = {name: [np.empty(0)] for name in names}
    while count := reader.read():
        for name in names:
            pieces[name].append(held[name][:count].copy())
    reader.close()
    return {name: np.concatenate(pieces.pop(name)) for name in names}


def _from_spherical(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) range, azimuth and elevation to x, y, z."""
    far, azimuth, elevation = values.T
    flat = far * np.cos(elevation)
    return np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), far * np.sin(elevation)], axis=1)

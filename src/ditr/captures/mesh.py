"""Meshes: their vertices, or points of their surface where the vertices lie too far apart; by trimesh, in a process of
its own."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.apart import read_apart
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes, require_library
from ditr.captures.mesh_files import check_glb, texture_pixels
from ditr.captures.points import Columns
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["cloud_of", "is_sparse_ply", "read", "recognise"]

LIBRARIES = ("trimesh", "PIL.Image", "scipy.spatial")
_KINDS = {".obj": "an OBJ file", ".glb": "a GLB file", ".gltf": "a glTF file", ".stl": "an STL file"}
_DENSE = 100_000
"""Vertices from which on a mesh is its own cloud."""
_SPARSE = 1 / 150
"""Of a mesh's diagonal: where vertices are farther apart on its surface, this is sampled."""
_SAMPLES = 200_000
_TIMES, _PER_PIXEL, _PER_SAMPLE = 28, 20, 400
"""Bytes of memory for each byte of a file (measured: 26 of GLB, 20 of STL, 10 of OBJ), for each pixel of its textures
(19), and for each point of a surface (330)."""


def recognise(path: Path) -> str | None:
    """By its ending and first bytes."""
    ending, start = path.suffix.lower(), first_bytes(path, 4096)
    sound = {
        ".glb": start.startswith(b"glTF"),
        ".gltf": start.lstrip().startswith(b"{") and b'"asset"' in start,
        ".obj": re.search(rb"(?m)^\s*v\s+[-+.\d]", start) is not None,
        ".stl": start.startswith(b"solid") or (len(start) >= 84 and _is_binary_stl(path, start)),
    }
    return f"it is {_KINDS[ending]} by its extension and first lines" if sound.get(ending) else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The vertices of a mesh with their colours and normals, or points that are sampled on it.

    Raises:
        InputError: trimesh is not installed; a damaged file; or as for :func:`~ditr.captures.points.points_of`.
    """
    require_library(path, "trimesh", "mesh")
    return cloud_scene(path, read_apart(path, "mesh"))


def is_sparse_ply(path: Path) -> bool:
    """Whether a PLY has faces and so few vertices that they may have to be sampled, and trimesh can do it."""
    counts = re.findall(rb"(?m)^element[ \t]+(vertex|face)[ \t]+(\d{1,18})\s", first_bytes(path, 1 << 14))
    found = {kind: int(number) for kind, number in counts}
    few = 0 < found.get(b"vertex", 0) < _DENSE and found.get(b"face", 0) > 0
    return few and find_spec("trimesh") is not None


def memory_of(path: Path) -> int:
    """Bytes that a sound file of this size and these textures may take: trimesh holds coordinates and faces in 64 bits,
    with normals of both, and textures in several forms. A small mesh becomes many points, too."""
    return _PER_SAMPLE * _SAMPLES + _TIMES * path.stat().st_size + _PER_PIXEL * texture_pixels(path)


def cloud_of(path: Path) -> Cloud:
    """Read the file here.

    Raises:
        InputError: neither faces nor vertices, or a file that promises more than it has.
        Exception: whatever trimesh raises on a damaged file.
    """
    if path.suffix.lower() == ".glb":
        check_glb(path)
    trimesh = import_module("trimesh")
    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.dump() if hasattr(part, "vertices") and len(part.vertices)]
    if not parts:
        raise InputError(path, "it has no vertices", "Export the mesh itself, not only its materials or cameras")
    clouds = [_part(part) for part in parts]
    shared = [name for name in clouds[0][0] if all(name in columns for columns, _ in clouds)]
    vertices = {name: np.concatenate([columns[name] for columns, _ in clouds]) for name in shared}
    offsets = np.cumsum([0, *(len(columns["x"]) for columns, _ in clouds)])
    faces = np.concatenate([inner + offset for (_, inner), offset in zip(clouds, offsets, strict=False)])
    cloud = Cloud(vertices)
    if path.suffix.lower() in (".glb", ".gltf"):
        cloud.reading = ReadOptions(up=(0.0, 1.0, 0.0))
    spacing = _spacing(vertices, faces)
    if spacing > _SPARSE and len(vertices["x"]) < _DENSE:
        cloud.columns = _sampled(vertices, faces)
        text = f"its {len(vertices['x'])} vertices are far apart, so {_SAMPLES} points are sampled on its surface"
        cloud.say("points", f"{text}, uniformly at random")
    elif len(faces):
        cloud.say("points", "they are the vertices of the mesh")
    return cloud


def _part(part: Any) -> tuple[Columns, NDArray[np.int64]]:
    """Vertices and (F, 3) faces of one mesh of a file."""
    vertices = np.asarray(part.vertices, dtype=np.float64)
    columns: Columns = dict(zip("xyz", np.ascontiguousarray(vertices.T), strict=True))
    visual = getattr(part, "visual", None)
    colors = None
    if visual is not None and visual.defined:
        colors = getattr(visual.to_color() if hasattr(visual, "to_color") else visual, "vertex_colors", None)
    colors = getattr(part, "colors", None) if visual is None else colors
    if colors is not None and np.shape(colors) in ((len(vertices), 3), (len(vertices), 4)):
        columns |= dict(zip(("red", "green", "blue"), np.asarray(colors)[:, :3].T.astype(np.uint8), strict=True))
    faces = np.asarray(getattr(part, "faces", np.empty((0, 3))), dtype=np.int64).reshape(-1, 3)
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise ValueError("a face refers to a vertex that does not exist")
    if len(faces):
        normals = np.asarray(part.vertex_normals, dtype=np.float32)
        columns |= dict(zip(("nx", "ny", "nz"), np.ascontiguousarray(normals.T), strict=True))
    return columns, faces


def _areas(coord: NDArray[np.float64], faces: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(F, 3) normals of the faces, not of unit length, and their areas (F,)."""
    corner = coord[faces]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    return normal, np.linalg.norm(normal, axis=1) / 2


def _spacing(vertices: Columns, faces: NDArray[np.int64]) -> float:
    """Of the vertices on the surface, in diagonals; 0 without faces."""
    coord = np.stack([vertices[axis] for axis in "xyz"], axis=1)
    diagonal = float(np.linalg.norm(np.ptp(coord, axis=0)))
    if not len(faces) or not np.isfinite(diagonal) or diagonal == 0:
        return 0.0
    area = float(_areas(coord, faces)[1].sum())
    return float(np.sqrt(area / len(coord))) / diagonal


def _sampled(vertices: Columns, faces: NDArray[np.int64]) -> Columns:
    """Points of the surface, with the colours between those of the corners and the normals of the faces."""
    rng = np.random.default_rng(0)
    coord = np.stack([vertices[axis] for axis in "xyz"], axis=1)
    normal, area = _areas(coord, faces)
    chosen = np.searchsorted(np.cumsum(area), rng.random(_SAMPLES) * area.sum(), side="right").clip(0, len(faces) - 1)
    first, second = np.sqrt(rng.random(_SAMPLES)), rng.random(_SAMPLES)
    weight = np.stack([1 - first, first * (1 - second), first * second], axis=1)
    corners = faces[chosen]
    columns: Columns = {axis: (vertices[axis][corners] * weight).sum(axis=1) for axis in "xyz"}
    for name in ("red", "green", "blue"):
        if name in vertices:
            columns[name] = np.rint((vertices[name][corners] * weight).sum(axis=1)).astype(np.uint8)
    unit = normal[chosen] / np.maximum(2 * area[chosen, None], np.finfo(np.float64).tiny)
    return columns | dict(zip(("nx", "ny", "nz"), np.ascontiguousarray(unit.T.astype(np.float32)), strict=True))


def _is_binary_stl(path: Path, start: bytes) -> bool:
    return path.stat().st_size == 84 + 50 * int.from_bytes(start[80:84], "little")

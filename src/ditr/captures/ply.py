"""PLY files by themselves, without photographs: points, or the vertices or surface of a mesh."""

from __future__ import annotations

from pathlib import Path

from ditr.captures.apart import read_apart
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.colors import COLOR
from ditr.captures.mesh import is_sparse_ply
from ditr.captures.points import NORMAL, ply_columns
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "recognise"]

_OF_MESHES = {"x", "y", "z", *NORMAL, *COLOR, "alpha", "s", "t", "u", "v", "texture_u", "texture_v"}
"""Columns that points between the vertices have, too, or need not have; labels are none of them."""


def recognise(path: Path) -> str | None:
    """By its first line."""
    return "its first line is 'ply'" if first_bytes(path, 4) in (b"ply\n", b"ply\r", b"ply ", b"ply\t") else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The vertices of a PLY file, with the columns that they have in a capture; of a mesh of few vertices points of its
    surface.

    Raises:
        InputError: as for :func:`~ditr.captures.points.points_of`, or a file that is damaged.
    """
    cloud = Cloud(ply_columns(path))
    if is_sparse_ply(path) and not {name for name in cloud.columns if name.lower() not in _OF_MESHES}:
        try:
            surface = read_apart(path, "mesh")
        except InputError as error:
            cloud.say("points", f"they are the vertices; the faces cannot be read ({error.fault})")
        else:
            cloud = surface if len(surface.columns["x"]) != len(cloud.columns["x"]) else cloud
    return cloud_scene(path, cloud)

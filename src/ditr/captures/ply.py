"""PLY files by themselves, without photographs: points, or the vertices or surface of a mesh."""

from __future__ import annotations

from pathlib import Path

from ditr.captures.apart import read_apart
from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.mesh import is_sparse_ply
from ditr.captures.points import ply_columns
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "recognise"]


def recognise(path: Path) -> str | None:
    """By its first line."""
    return "its first line is ply" if first_bytes(path, 4) in (b"ply\n", b"ply\r", b"ply ", b"ply\t") else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The vertices of a PLY file, with the columns that they have in a capture; of a mesh of few vertices points of its
    surface.

    Raises:
        InputError: as for :func:`~ditr.captures.points.points_of`, or a file that is damaged.
    """
    if is_sparse_ply(path):
        cloud = read_apart(path, "mesh")
        if any("of its surface" in text for _, _, text in cloud.said):
            return cloud_scene(path, cloud)
    return cloud_scene(path, Cloud(ply_columns(path)))

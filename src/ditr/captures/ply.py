"""PLY files by themselves, without photographs."""

from __future__ import annotations

from pathlib import Path

from ditr.captures.clouds import Cloud, cloud_scene, first_bytes
from ditr.captures.notes import Notes
from ditr.captures.points import ply_columns
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "recognise"]


def recognise(path: Path) -> str | None:
    """By its first line."""
    return "its first line is ply" if first_bytes(path, 4) in (b"ply\n", b"ply\r", b"ply ", b"ply\t") else None


def read(path: Path, options: ReadOptions) -> Scene:
    """The vertices of a PLY file, with the columns that they have in a capture.

    Raises:
        InputError: as for :func:`~ditr.captures.points.points_of`, or a file that is damaged.
    """
    return cloud_scene(path, Cloud(ply_columns(path)), Notes())

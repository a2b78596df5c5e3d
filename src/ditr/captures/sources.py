"""The files and folders that can be read as a scene, recognised by what is in them.

A new format is a file beside this one with two functions, and a line in :data:`FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ditr.captures import (
    arkitscenes,
    array_cloud,
    colmap,
    e57,
    kitti_scan,
    las,
    mesh,
    open3d,
    pcd,
    ply,
    polycam,
    record3d,
    text_cloud,
    tum,
)
from ditr.captures.archive import is_archive
from ditr.captures.drives import DRIVES, is_drive
from ditr.captures.formats import is_capture, refuse_photographs, refuse_stranger
from ditr.captures.read_options import read_options
from ditr.captures.recognised import Recognised
from ditr.errors import InputError, few
from ditr.scene import ReadOptions, Scene

__all__ = ["FORMATS", "SourceFormat", "is_source", "read_source", "readable"]


@dataclass(frozen=True)
class SourceFormat:
    """A kind of file or folder.

    Attributes:
        title: what it is, with its article: "a PLY point cloud".
        recognise: by what a path holds, in words; None where it is of another kind. Cheap, and raises nothing.
        read: the scene as it is stored; the options are those of its user and of a ``capture.json`` in its folder.
            ``Scene.reading`` then has what the source itself says: its unit, say. Options are applied by
            :func:`read_source`.
    """

    title: str
    recognise: Callable[[Path], str | None]
    read: Callable[[Path, ReadOptions], Scene]


FORMATS: tuple[SourceFormat, ...] = (
    SourceFormat("a PLY point cloud", ply.recognise, ply.read),
    SourceFormat("a reconstruction of COLMAP", colmap.recognise, colmap.read),
    SourceFormat("a raw export of Polycam", polycam.recognise, polycam.read),
    SourceFormat("a recording of Record3D", record3d.recognise, record3d.read),
    SourceFormat("a scan of ARKitScenes", arkitscenes.recognise, arkitscenes.read),
    SourceFormat("an RGB-D sequence of TUM's kind", tum.recognise, tum.read),
    SourceFormat("an RGB-D folder of Open3D's kind", open3d.recognise, open3d.read),
    SourceFormat("a LAS or LAZ point cloud", las.recognise, las.read),
    SourceFormat("a PCD point cloud", pcd.recognise, pcd.read),
    SourceFormat("an E57 point cloud", e57.recognise, e57.read),
    SourceFormat("points in a NumPy array", array_cloud.recognise, array_cloud.read),
    SourceFormat("a LiDAR's sweep (.bin)", kitti_scan.recognise, kitti_scan.read),
    SourceFormat("a mesh (OBJ, glTF, STL)", mesh.recognise, mesh.read),
    SourceFormat("points as text (XYZ, TXT, CSV)", text_cloud.recognise, text_cloud.read),
)
"""What can be read beside a folder with ``transforms.json``; the first that recognises a path reads it."""


def is_source(path: Path) -> bool:
    """Whether a path can be read as a scene, or as a drive of many, by what it seems to be."""
    return is_capture(path) or _format_of(path) is not None or is_archive(path) or is_drive(path)


def readable() -> str:
    """What can be read, as a remedy."""
    kinds = ["a folder with transforms.json", *(kind.title for kind in FORMATS), *(kind.title for kind in DRIVES)]
    return f"Supported are {', '.join(kinds[:-1])} and {kinds[-1]}"


def read_source(path: Path, options: ReadOptions) -> Scene:
    """Read a file or folder of one of :data:`FORMATS`; ``Scene.findings`` begins with what it was taken for, and why.

    Raises:
        InputError: none of them recognises it, or what its reader raises.
    """
    if (found := _format_of(path)) is None:
        refuse_stranger(path, readable())
        if inner := [entry.name for entry in sorted(path.iterdir()) if is_source(entry)]:
            raise InputError(
                path, f"this folder holds {few(inner, 3)} and is not a supported source itself", "Name one of them"
            )
        refuse_photographs(path, belongs=is_source(path.parent))
        raise InputError(path / "transforms.json", "there is no such file", readable())
    kind, reason = found
    recognised = Recognised(path, kind.title, reason, options.over(read_options(path)))
    return recognised.read(lambda: kind.read(path, recognised.reading))


def _format_of(path: Path) -> tuple[SourceFormat, str] | None:
    if path.is_file() and is_capture(path.parent):
        return None  # it belongs to that
    for kind in FORMATS:
        try:
            if (reason := kind.recognise(path)) is not None:
                return kind, reason
        except OSError:  # a folder that may not be looked into, a name that is too long
            continue
    return None

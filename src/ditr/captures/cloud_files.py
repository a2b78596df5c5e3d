"""Files of points as their columns, whatever these mean: for labels that were painted on points elsewhere."""

from __future__ import annotations

from pathlib import Path

from ditr.captures import array_cloud, e57, las, pcd, ply, text_cloud
from ditr.captures.clouds import Cloud
from ditr.captures.points import ply_columns
from ditr.errors import InputError

__all__ = ["read_cloud_file"]

_READERS = (
    (ply.recognise, lambda path: Cloud(ply_columns(path))),
    (las.recognise, las.read_cloud),
    (pcd.recognise, pcd.read_cloud),
    (e57.recognise, e57.read_cloud),
    (array_cloud.recognise, array_cloud.read_cloud),
    (text_cloud.recognise, text_cloud.read_cloud),
)


def read_cloud_file(path: Path) -> Cloud:
    """What a file of points holds.

    Raises:
        InputError: no such file, none of points, or a damaged one.
    """
    if not path.is_file():
        raise InputError(path, "there is no such file", "Name a file with a point cloud")
    for recognise, read in _READERS:
        if recognise(path) is not None:
            return read(path)
    raise InputError(path, "its format is not a supported point cloud", "Save it as PLY, LAS, PCD, CSV or TXT")

"""Drives: sources of many scenes, one for each sweep, which are read one at a time.

A scene of a drive has an address, as if the drive were a folder of captures: the drive's path and the scene's name
below it (``sequences/00/000012``). :func:`~ditr.captures.capture.read_capture` reads it, and so does whatever takes
captures. A new kind of drive is a file beside this one with two functions, and a line in :data:`DRIVES`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ditr.captures import kitti_object, kitti_odometry, kitti_raw, rosbag
from ditr.captures.read_options import read_options
from ditr.captures.recognised import Recognised
from ditr.errors import InputError, few, nearest
from ditr.scene import ReadOptions, Scene, SceneSource

__all__ = ["DRIVES", "Drive", "DriveFormat", "drive_of_scene", "is_drive", "open_drive"]


@dataclass(frozen=True)
class DriveFormat:
    """A kind of file or folder that holds many scenes.

    Attributes:
        title: what it is, with its article: "a sequence of KITTI odometry".
        recognise: by what a path holds, in words; None where it is of another kind. Cheap, and raises nothing.
        open: the scenes as they are stored; the options are those of its user and of a ``capture.json`` in its folder.
    """

    title: str
    recognise: Callable[[Path], str | None]
    open: Callable[[Path, ReadOptions], SceneSource]


DRIVES: tuple[DriveFormat, ...] = (
    DriveFormat("a sequence of KITTI odometry", kitti_odometry.recognise, kitti_odometry.open_drive),
    DriveFormat("a drive of KITTI raw", kitti_raw.recognise, kitti_raw.open_drive),
    DriveFormat("frames of KITTI object", kitti_object.recognise, kitti_object.open_drive),
    DriveFormat("a bag of ROS", rosbag.recognise, rosbag.open_drive),
)
"""Kinds of drives; the first that recognises a path opens it."""


class Drive:
    """The scenes of a drive, in the order of time; see :class:`~ditr.scene.SceneSource`.

    Iterating over it reads one scene after the other.

    Attributes:
        path: of the drive.
        name: of the drive; its scenes are called ``NAME_SCENE``.
        title: what kind of drive it is.
    """

    def __init__(self, path: Path, source: SceneSource, recognised: Recognised) -> None:
        self.path = path
        self.name = source.name
        self.title = recognised.title
        self._source = source
        self._recognised = recognised
        self._names = source.names()
        reading = recognised.reading
        self._chosen = range(len(self._names))[:: reading.every or 1][: reading.first]

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Scene]:
        return map(self.scene, range(len(self)))

    def __repr__(self) -> str:
        return f"<Drive {self.name!r}: {len(self)} scenes>"

    def names(self) -> list[str]:
        """What the scenes are called below the drive."""
        return [self._names[row] for row in self._chosen]

    def paths(self) -> list[Path]:
        """The addresses of the scenes."""
        return [self.path / name for name in self.names()]

    def scene(self, index: int) -> Scene:
        """Read a scene, again each time.

        Raises:
            InputError: a damaged file.
        """
        row = self._chosen[index]
        return self._recognised.read(lambda: self._source.scene(row))

    def scene_called(self, name: str) -> Scene:
        """Read the scene of a name, also where it is not among those that were chosen.

        Raises:
            InputError: there is none, or a damaged file.
        """
        if name not in self._names:
            likely = nearest(name, self._names)
            remedy = f"Did you mean {likely}?" if likely else f"It has {few(self._names, 3)}"
            raise InputError(self.path / name, f"{self.path} has no such scene", remedy)
        row = self._names.index(name)
        return self._recognised.read(lambda: self._source.scene(row))


def open_drive(path: Path, options: ReadOptions) -> Drive | None:
    """The drive that a path is; None where it is none.

    Args:
        path: of a file or folder.
        options: how its scenes are read, before what the ``capture.json`` in its folder says.

    Raises:
        InputError: a drive that cannot be opened.
    """
    if (found := _format_of(path)) is None:
        return None
    kind, reason = found
    folder = path if path.is_dir() else path.parent
    recognised = Recognised(path, kind.title, reason, options.over(read_options(folder)))
    with recognised.faults():
        return Drive(path, kind.open(path, recognised.reading), recognised)


def is_drive(path: Path) -> bool:
    """Whether a path is a drive, by what it seems to be."""
    return _format_of(path) is not None


def drive_of_scene(path: Path, options: ReadOptions) -> Drive | None:
    """The drive that a path is the address of a scene of, by where it would lie; None where it is none.

    Raises:
        InputError: a drive that cannot be opened.
    """
    return None if os.path.lexists(path) else open_drive(path.parent, options)


def _format_of(path: Path) -> tuple[DriveFormat, str] | None:
    for kind in DRIVES:
        try:
            if (reason := kind.recognise(path)) is not None:
                return kind, reason
        except OSError:  # a folder that may not be looked into, a name that is too long
            continue
    return None

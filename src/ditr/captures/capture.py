"""Captures: a folder with nerfstudio's ``transforms.json``, the images it names, a PLY, and optionally ``labels.json``
and ``capture.json`` (:mod:`ditr.captures.read_options`).

What a capture holds beyond the fields of :class:`~ditr.scene.Scene` is kept, and written back:

* ``View.extra``: the frame's other entries, the names of its files as these lie there, and ``transform_matrix`` as the
  file has it. The latter is written back where it still means the view's pose, because inverting a matrix
  twice would cost its last bits;
* ``Scene.properties``: the other entries at the top of ``transforms.json``, and those of ``labels.json`` under the key
  ``"labels.json"``;
* ``Scene.extra``: the PLY's other vertex properties.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.archive import is_archive, unpacked
from ditr.captures.as_read import read_as
from ditr.captures.capture_writer import write_capture
from ditr.captures.drives import Drive, drive_of_scene, open_drive
from ditr.captures.formats import is_capture
from ditr.captures.frames import read_views
from ditr.captures.fusion import fused_points
from ditr.captures.notes import Notes
from ditr.captures.places import located
from ditr.captures.points import read_points
from ditr.captures.read_options import read_options
from ditr.captures.sources import read_source
from ditr.captures.transforms import (
    LABELS,
    TRANSFORMS,
    Labels,
    Transforms,
    heed_keys,
    load_json,
    load_transforms,
    other_entries,
)
from ditr.captures.unit import unscaled_by
from ditr.errors import Finding, Grade, InputError, few
from ditr.scene import ReadOptions, Scene

__all__ = ["read", "read_capture", "write_capture"]


def read_capture(folder: str | os.PathLike[str], options: ReadOptions | None = None) -> Scene:
    """Read a capture, or a file or folder of another format (:data:`ditr.captures.sources.FORMATS`), or a scene of a
    drive by its address (``DRIVE/000012``). Images and depth maps stay files; their headers are checked.

    How it is to be read is in ``options`` and, where these say nothing, in its ``capture.json``; what neither says is
    left open.

    PLY properties: ``x y z``; ``red green blue`` (0..255, floats 0..1, or 16 bit, rounded to 8 bits) -> color; ``nx ny
    nz`` -> normal; ``intensity`` -> strength; ``label`` -> label. What is spelt nearly so is taken for it, like a name
    that is nearly that of a file which is there; ``Scene.findings`` says so. Normals that are NaN or zero are missing:
    zero in the scene, which has none where all are missing. Poses and points are taken to be in the same frame;
    ``applied_transform``, which leads from the original frame to it, is kept and not applied.

    Raises:
        InputError: a missing or broken file, something that is not a capture, frames (all are named) whose image is
            missing or contradicts its intrinsics, whose pose is not a finite rigid transform or whose camera model is
            not known, no points, points or intensities that are not finite, a label outside the class list, or two
            classes of one name.
    """
    folder = Path(folder)
    if is_archive(folder):
        return _read_archive(folder, options)
    if not is_capture(folder):
        return _read_other(folder, options or ReadOptions())
    path = folder / TRANSFORMS
    notes = Notes()
    transforms = load_transforms(path, notes)
    reading = heed_keys(transforms, (options or ReadOptions()).over(read_options(folder)), notes)
    cloud = _cloud(folder, transforms, notes)
    transforms = transforms.model_copy(update={"ply_file_path": cloud})
    views = read_views(path, transforms, notes, skip_bad=reading.skip_bad_views)
    labels = load_json(folder / LABELS, Labels) if (folder / LABELS).exists() else None
    classes = [] if labels is None else labels.classes
    properties = other_entries(transforms)
    if labels is not None:
        properties[LABELS] = dict(labels.model_extra or {})
    points = fused_points(views, reading, notes) if cloud is None else read_points(folder / cloud, labels, notes)
    applied_transform = _applied_transform(path, transforms.applied_transform)
    try:
        scene = Scene(
            name=folder.resolve().name,
            coord=points.coord,
            views=views,
            color=points.color,
            normal=points.normal,
            strength=points.strength,
            label=points.label,
            class_names=tuple(classes),
            extra=points.extra,
            applied_transform=applied_transform,
            properties=properties,
            findings=notes.findings(),
            unscaled=unscaled_by(transforms),
        )
        return read_as(scene, reading)
    except InputError as error:
        if error.where.startswith("scene "):
            raise InputError(path if cloud is None else folder / cloud, error.fault, error.remedy) from None
        raise


def read(source: str | os.PathLike[str], options: ReadOptions | None = None) -> Scene | Drive:
    """Read whatever can be read: a capture of our own format, or a file or folder of another tool's, recognised by its
    content. What it was taken for, and why, is the first of ``Scene.findings``.

    Args:
        source: a folder with ``transforms.json``, or a path that one of :data:`ditr.captures.sources.FORMATS` or
            :data:`ditr.captures.drives.DRIVES` knows.
        options: how it is to be read, before what the source says itself.

    Returns:
        A scene: points (N, 3) in metres with their attributes, and the views, none for a cloud alone. Of a drive an
        iterable of such scenes, each of which is read when its turn comes; ``names()`` says what they are called.

    Raises:
        InputError: something that cannot be read, or as for :func:`read_capture`.
    """
    path = Path(source)
    drive = None if is_capture(path) else open_drive(path, options or ReadOptions())
    return read_capture(source, options) if drive is None else drive


def _read_other(path: Path, options: ReadOptions) -> Scene:
    """A source of another format; of a drive the scene that the path names, or its only one.

    Raises:
        InputError: a drive of several scenes, or as for :func:`~ditr.captures.sources.read_source`.
    """
    if (drive := open_drive(path, options)) is not None:
        if len(drive) != 1:
            fault = f"this is {drive.title} with {len(drive)} scenes, but one scene is expected"
            raise InputError(path, fault, f"Name one of them, as {path / drive.names()[0]}")
        return drive.scene(0)
    if (drive := drive_of_scene(path, options)) is not None:
        return drive.scene_called(path.name)
    return read_source(path, options)


def _read_archive(path: Path, options: ReadOptions | None) -> Scene:
    """What an archive holds; errors name its files as parts of it."""
    folder = unpacked(path)
    try:
        scene = read_capture(folder, options)
    except InputError as error:
        raise InputError(error.where.replace(str(folder), str(path)), error.fault, error.remedy) from None
    note = Finding(Grade.NOTED, "format", f"{path.name} is an archive, and was unpacked for this command")
    return replace(scene, name=path.stem, findings=(note, *scene.findings))


def _cloud(folder: Path, transforms: Transforms, notes: Notes) -> str | None:
    """The name of the capture's PLY; where none is given, the only one that lies there.

    None where there is none, and depth maps of which it can be made.
    """
    found = sorted(path.name for path in folder.iterdir() if path.suffix.lower() == ".ply")
    lying = f", and {few(found, 4)} {'is' if len(found) == 1 else 'are'} in the folder" if found else ""
    named = transforms.ply_file_path
    if named is not None and named.strip():
        name = located(folder, named, (".ply",), notes)
        if not (folder / name).is_file():
            raise InputError(folder / name, f"there is no such point cloud{lying}", 'Correct "ply_file_path"')
        return name
    if len(found) == 1:
        notes.say("files", f"no point cloud is named; {found[0]} is used, the only one in the folder")
        return found[0]
    if not found and any((frame.depth_file_path or "").strip() for frame in transforms.frames):
        return None
    remedy = 'Add "ply_file_path" with the name of a PLY file'
    if not found and "aabb_scale" in (transforms.model_extra or {}):
        remedy = (
            "instant-ngp writes none, and moves and scales the poses: name the folder of the COLMAP model that it was "
            "made from (with cameras, images and points3D) instead"
        )
    raise InputError(folder / TRANSFORMS, f"it names no point cloud{lying}", remedy)


def _applied_transform(path: Path, rows: list[list[float]] | None) -> NDArray[np.float64] | None:
    if rows is None:
        return None
    if len(rows) != 3 or any(len(row) != 4 for row in rows):
        raise InputError(path, "applied_transform is not a 3x4 matrix", "Give 3 rows of 4 numbers, or leave it out")
    matrix = np.array(rows, dtype=np.float64)
    if not np.isfinite(matrix).all() or np.linalg.matrix_rank(matrix[:, :3]) < 3:
        raise InputError(path, "applied_transform is singular or not finite", "Correct it, or leave it out")
    return matrix

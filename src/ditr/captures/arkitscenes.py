"""Scans of ARKitScenes, as downloaded: the low-resolution photographs with their depth maps and trajectory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.notes import Notes
from ditr.captures.shots import Shot, scene_of
from ditr.captures.tables import by_stem, nearest_in_time, numbers_of
from ditr.errors import InputError
from ditr.geometry.rotations import poses_of, turns_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_TRAJECTORY, _IMAGES, _LENSES = "lowres_wide.traj", "lowres_wide", "lowres_wide_intrinsics"
_LATE = 0.005
"""Seconds by which a pose may be off its photograph."""
_OFF = 0.0015
"""Seconds by which the name of a photograph's intrinsics may be off."""


def _frames(path: Path) -> Path | None:
    """The folder of the trajectory: the scan's own, or VIDEO_frames in it."""
    return next(
        (p.parent for p in (path / _TRAJECTORY, *sorted(path.glob(f"*_frames/{_TRAJECTORY}"))) if p.is_file()), None
    )


def recognise(path: Path) -> str | None:
    """By its trajectory."""
    found = _frames(path)
    return None if found is None else f"{_TRAJECTORY} is {'in it' if found == path else f'in {found.name}'}"


def read(path: Path, options: ReadOptions) -> Scene:
    """Photographs, poses and depth maps. The cloud is the vertices of the mesh, or else fused from the depth maps.

    Photographs without a pose within 5 milliseconds are left out. The world has z up.

    Raises:
        InputError: damaged files, photographs that cannot be used (all are named), or neither mesh nor depth maps.
    """
    notes, frames = Notes(), _frames(path)
    assert frames is not None
    rows = numbers_of(frames / _TRAJECTORY, 7)
    poses = poses_of(turns_of(rows[:, 1:4]), rows[:, 4:])
    images, lenses = by_stem(frames / _IMAGES, ".png", ".jpg"), by_stem(frames / _LENSES, ".pincam")
    depths, sureness = by_stem(frames / "lowres_depth", ".png"), by_stem(frames / "confidence", ".png")
    stems = list(images)
    posed = nearest_in_time(_times(stems), rows[:, 0], _LATE)
    lens = nearest_in_time(_times(stems), _times(list(lenses)), _OFF)
    shots = [
        Shot(
            name=images[stem].name,
            image=images[stem],
            camera=partial(_camera, list(lenses.values())[lens[row]]),
            world_to_camera=poses[posed[row]],
            depth=depths.get(stem),
            sureness=sureness.get(stem),
        )
        for row, stem in enumerate(stems)
        if posed[row] >= 0 and lens[row] >= 0
    ]
    if len(shots) < len(stems):
        text = f"{len(stems) - len(shots)} of {len(stems)} photographs have no pose or no intrinsics, and are left out"
        notes.say("views", text)
    mesh = next((p for place in (path, frames.parent) for p in sorted(place.glob("*_3dod_mesh.ply"))), None)
    if mesh is not None:
        notes.say("cloud", f"it is the vertices of {mesh.name}")
    return scene_of(path, shots, mesh, notes, options, reading=ReadOptions(up=(0.0, 0.0, 1.0)))


def _times(stems: list[str]) -> NDArray[np.float64]:
    """Seconds, which end a file's name; infinite where they do not."""
    times = []
    for stem in stems:
        try:
            times.append(float(stem.rpartition("_")[2]))
        except ValueError:
            times.append(np.inf)
    return np.array(times, dtype=np.float64)


def _camera(path: Path) -> Camera:
    """Of one line: width, height, focal lengths, principal point."""
    rows = numbers_of(path, 6)
    again = "Download the scan again"
    if len(rows) != 1 or not np.isfinite(rows).all():
        raise InputError(path, f"it should be one line of 6 finite numbers (it has {len(rows)} lines)", again)
    width, height, fx, fy, cx, cy = rows[0].tolist()
    try:
        return Camera(int(width), int(height), fx, fy, cx, cy)
    except InputError as error:
        raise InputError(path, error.fault, again) from None

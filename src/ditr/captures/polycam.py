"""Raw exports of Polycam: ``keyframes/`` with photographs, cameras and depth maps, one of each per time stamp."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.notes import Notes
from ditr.captures.shots import Shot, scene_of
from ditr.captures.tables import by_stem, json_object
from ditr.errors import InputError
from ditr.geometry.rotations import inverse, poses_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["read", "recognise"]

_AGAIN = "Export it from Polycam again, as raw data"
_OPENGL = np.array([1.0, -1.0, -1.0])


def recognise(path: Path) -> str | None:
    """By the cameras of its keyframes."""
    places = [name for name in ("keyframes/corrected_cameras", "keyframes/cameras") if (path / name).is_dir()]
    return f"it has {places[0]}" if places else None


def read(path: Path, options: ReadOptions) -> Scene:
    """Photographs, poses and depth maps; the cloud is fused from the depth maps.

    Photographs and poses as Polycam corrected them are taken where there are any. ARKit's world has y up.

    Raises:
        InputError: damaged files, photographs that cannot be used (all are named), or no depth maps.
    """
    notes, frames = Notes(), path / "keyframes"
    prefix = "corrected_" if by_stem(frames / "corrected_cameras", ".json") else ""
    if not prefix:
        notes.say("poses", "there are no corrected poses; those of the recording are used")
    cameras = by_stem(frames / f"{prefix}cameras", ".json")
    images = by_stem(frames / f"{prefix}images", ".jpg", ".jpeg", ".png")
    depths, sureness = by_stem(frames / "depth", ".png"), by_stem(frames / "confidence", ".png")
    stems = [stem for stem in cameras if stem in images]
    if len(stems) < len(cameras):
        notes.warn("views", f"{len(cameras) - len(stems)} of {len(cameras)} cameras have no photograph")
    shots = []
    for stem in stems:
        content = json_object(cameras[stem])
        shots.append(
            Shot(
                name=images[stem].name,
                image=images[stem],
                camera=partial(_camera, cameras[stem], content),
                world_to_camera=_pose(cameras[stem], content),
                depth=depths.get(stem),
                sureness=sureness.get(stem),
            )
        )
    return scene_of(path, shots, None, notes, options, reading=ReadOptions(up=(0.0, 1.0, 0.0)))


def _numbers(path: Path, content: dict[str, Any], keys: list[str]) -> list[float]:
    values = [content.get(key) for key in keys]
    bad = [key for key, value in zip(keys, values, strict=True) if type(value) not in (int, float)]
    if bad:
        raise InputError(path, f"{bad[0]} is not a number", _AGAIN)
    try:
        return [float(value) for value in values if value is not None]
    except OverflowError:
        raise InputError(path, "a number is too large", _AGAIN) from None


def _camera(path: Path, content: dict[str, Any]) -> Camera:
    width, height, fx, fy, cx, cy = _numbers(path, content, ["width", "height", "fx", "fy", "cx", "cy"])
    if not np.isfinite((width, height)).all():
        raise InputError(path, "its size is not finite", _AGAIN)
    try:
        return Camera(int(width), int(height), fx, fy, cx, cy)
    except InputError as error:
        raise InputError(path, error.fault, _AGAIN) from None


def _pose(path: Path, content: dict[str, Any]) -> NDArray[np.float64]:
    """World to camera; the file has camera to world, with OpenGL axes."""
    rows = np.array(_numbers(path, content, [f"t_{i}{j}" for i in range(3) for j in range(4)])).reshape(3, 4)
    return inverse(poses_of(rows[:, :3] * _OPENGL, rows[:, 3]))

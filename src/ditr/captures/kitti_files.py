"""What the layouts of KITTI have in common: calibrations, sweeps, and the photographs that belong to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.kitti_scan import read_sweep
from ditr.captures.notes import Notes
from ditr.captures.rgbd import camera_from
from ditr.captures.shots import Shot, views_of
from ditr.errors import InputError
from ditr.geometry.rotations import poses_of
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["Photograph", "calibration", "inner_camera", "matrix_of", "photographs_of", "rigid"]
__all__ += ["sweep_with_photographs"]

_LARGEST = 1 << 16
"""Bytes that no file of a calibration has."""
_AGAIN = "Copy the calibration again"
_ALMOST = 1e-9


def calibration(path: Path) -> dict[str, NDArray[np.float64]]:
    """The numbers of each line behind its name, which ends with a colon or, in some files, with a blank.

    Lines of anything else (dates, empty ones) are left out.

    Raises:
        InputError: a file that cannot be read.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise InputError(path, "it is too large for a calibration", _AGAIN)
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise InputError(path, f"the calibration cannot be read ({error.strerror or error})", "Put it there") from None
    found = {}
    for line in lines:
        name, _, numbers = line.strip().partition(" ")
        try:
            found[name.rstrip(":")] = np.array([float(word) for word in numbers.split()])
        except ValueError:
            continue
    return found


def matrix_of(
    path: Path, lines: dict[str, NDArray[np.float64]], names: Sequence[str], shape: tuple[int, int], remedy: str = ""
) -> NDArray[np.float64]:
    """The matrix of the first of some names, row by row in the file.

    Raises:
        InputError: there is none, or it has other numbers; ``remedy`` is what to do where there is none.
    """
    name = next((name for name in names if name in lines), None)
    if name is None:
        raise InputError(path, f"it has no {names[0]}", remedy or _AGAIN)
    values = lines[name]
    if values.size != shape[0] * shape[1] or not np.isfinite(values).all():
        raise InputError(path, f"{name} is not {shape[0]} x {shape[1]} finite numbers", _AGAIN)
    return values.reshape(shape)


def rigid(path: Path, matrix: NDArray[np.float64], what: str) -> NDArray[np.float64]:
    """(4, 4) of a rotation (3, 3), or one with a translation (3, 4).

    Raises:
        InputError: its first three columns are no rotation; ``what`` names it.
    """
    rotation = matrix[:, :3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        raise InputError(path, f"{what} is no rotation", _AGAIN)
    return poses_of(rotation, matrix[:, 3] if matrix.shape[1] == 4 else np.zeros(3))


class Photograph:
    """A photograph of a sweep: its file, what it is called, and its camera.

    Attributes:
        name: of the camera; the view is called so.
        path: of the file.
        lens: focal lengths and principal point, which counts pixels from the middle of the first one.
        world_to_camera: (4, 4) from the sweep's frame.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        lens: tuple[float, float, float, float],
        world_to_camera: NDArray[np.float64],
    ) -> None:
        self.name = name
        self.path = path
        self.lens = lens
        self.world_to_camera = world_to_camera

    def shot(self, calibrated: Path) -> Shot:
        """The same as others see it; ``calibrated`` names the calibration in errors."""
        return Shot(
            name=f"{self.name}{self.path.suffix}",
            image=self.path,
            camera=partial(_camera, calibrated, self.path, self.lens),
            world_to_camera=self.world_to_camera,
        )


def _camera(calibrated: Path, image: Path, lens: tuple[float, float, float, float]) -> Camera:
    return camera_from(calibrated, image_size(image), lens, ())


def inner_camera(
    path: Path, projection: NDArray[np.float64], what: str
) -> tuple[tuple[float, float, float, float], NDArray[np.float64]]:
    """Focal lengths and principal point of a projection (3, 4) of rectified images, and the pose (4, 4) that leads from
    the frame that it projects from to the camera's.

    Its last column is K times the camera's offset, of which all three parts count.

    Raises:
        InputError: it is no projection of a rectified camera; ``what`` names it.
    """
    inner = projection[:, :3]
    wanted = np.array([[inner[0, 0], 0, inner[0, 2]], [0, inner[1, 1], inner[1, 2]], [0, 0, 1]])
    if np.abs(inner - wanted).max() > _ALMOST or inner[0, 0] <= 0 or inner[1, 1] <= 0:
        raise InputError(path, f"{what} is no projection of a rectified camera", _AGAIN)
    offset = np.eye(4)
    offset[:3, 3] = np.linalg.solve(inner, projection[:, 3])
    return (inner[0, 0], inner[1, 1], inner[0, 2], inner[1, 2]), offset


def photographs_of(
    stem: str,
    images: Mapping[str, Mapping[str, Path]],
    cameras: Mapping[str, tuple[tuple[float, float, float, float], NDArray[np.float64]]],
    notes: Notes,
) -> list[Photograph]:
    """Those of one sweep; cameras without one are said.

    Args:
        stem: of the names of its files.
        images: by camera, files by their stems.
        cameras: lens, and the pose from the LiDAR, of each camera.
        notes: is told.
    """
    if lost := [name for name, files in images.items() if stem not in files]:
        notes.say("views", f"there is no photograph of {' and '.join(lost)} for this sweep")
    return [Photograph(name, files[stem], *cameras[name]) for name, files in images.items() if stem in files]


def sweep_with_photographs(
    sweep: Path, name: str, photographs: Sequence[Photograph], calibrated: Path, notes: Notes, options: ReadOptions
) -> Scene:
    """The scene of a sweep in its own frame, with its photographs.

    Args:
        sweep: file of its points.
        name: of the scene.
        photographs: those that belong to it; none are fine.
        calibrated: the file with their calibration, for errors.
        notes: is told what was noticed, and goes with the scene.
        options: how it is read.

    Raises:
        InputError: a damaged sweep, or photographs that cannot be used (all are named).
    """
    scene = read_sweep(sweep)
    shots = [photograph.shot(calibrated) for photograph in photographs]
    views = views_of(sweep, shots, notes, options) if shots else ()
    return replace(scene, name=name, views=views, findings=(*scene.findings, *notes.findings()))

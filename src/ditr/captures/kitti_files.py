"""What the layouts of KITTI have in common: sweeps, and the photographs that belong to them."""

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
from ditr.scene import Camera, ReadOptions, Scene

__all__ = ["Photograph", "photographs_of", "sweep_with_photographs"]


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
        notes.say("views", f"{' and '.join(lost)} has no photograph for this sweep")
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

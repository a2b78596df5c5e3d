"""Frames of KITTI's object benchmark: each a sweep of its own, with its own calibration and no pose."""

from __future__ import annotations

from pathlib import Path

from ditr.captures.kitti_calibration import calibration, inner_camera, matrix_of, rigid
from ditr.captures.kitti_files import Photograph, sweep_with_photographs
from ditr.captures.notes import Notes
from ditr.captures.tables import by_stem
from ditr.errors import InputError
from ditr.scene import ReadOptions, Scene

__all__ = ["Frames", "open_drive", "recognise"]

_CAMERAS = ("image_2", "image_3")
_SWEEPS = ("velodyne", "velodyne_reduced")
"""Folders of the points: all, or those that the left colour camera shows."""
_ENDINGS = (".png", ".jpg", ".jpeg")


def recognise(path: Path) -> str | None:
    """By its folders of sweeps and calibrations."""
    if not (path / "calib").is_dir():
        return None
    sweeps = next((name for name in _SWEEPS if next((path / name).glob("*.bin"), None) is not None), None)
    return None if sweeps is None else f"it has {sweeps}/*.bin and calib/"


def open_drive(path: Path, options: ReadOptions) -> Frames:
    """The frames in a folder such as ``training``."""
    return Frames(path, options)


class Frames:
    """Frames, called by their files: ``000008``; see :class:`~ditr.scene.SceneSource`."""

    def __init__(self, path: Path, options: ReadOptions) -> None:
        self.path = path
        self.options = options
        self.name = path.resolve().name
        self._sweeps = next(files for name in _SWEEPS if (files := by_stem(path / name, ".bin")))
        self._images = {name: files for name in _CAMERAS if (files := by_stem(path / name, *_ENDINGS))}

    def __len__(self) -> int:
        return len(self._sweeps)

    def names(self) -> list[str]:
        return list(self._sweeps)

    def scene(self, index: int) -> Scene:
        """A sweep in the LiDAR's frame, with the photographs of its number.

        Raises:
            InputError: damaged files, or photographs without a calibration.
        """
        stem, sweep = list(self._sweeps.items())[index]
        path = self.path / "calib" / f"{stem}.txt"
        shown = {name: files[stem] for name, files in self._images.items() if stem in files}
        photographs = _photographs(path, shown) if shown else []
        notes = Notes()
        if not shown:
            notes.say("views", "there is no photograph for this sweep")
        return sweep_with_photographs(sweep, f"{self.name}_{stem}", photographs, path, notes, self.options)


def _photographs(path: Path, images: dict[str, Path]) -> list[Photograph]:
    """Of one frame, by its calibration.

    Raises:
        InputError: the calibration is missing or damaged.
    """
    if not path.is_file():
        raise InputError(
            path, "there is no such file, the calibration of this frame's photographs", "Add the calibration file"
        )
    lines = calibration(path)
    rectify = rigid(path, matrix_of(path, lines, ("R0_rect", "R_rect"), (3, 3)), "R0_rect")
    lidar = rigid(path, matrix_of(path, lines, ("Tr_velo_to_cam", "Tr_velo_cam"), (3, 4)), "Tr_velo_to_cam")
    found = []
    for name, image in images.items():
        which = f"P{name[-1]}"
        lens, offset = inner_camera(path, matrix_of(path, lines, (which,), (3, 4)), which)
        found.append(Photograph(name, image, lens, offset @ rectify @ lidar))
    return found

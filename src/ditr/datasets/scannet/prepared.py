"""ScanNet and ScanNet200 as they are prepared for the published code.

``scannet/SPLIT/SCENE/{coord,color,normal,segment20,segment200}.npy`` and, beside it,
``scannet_images/SCENE/{color/N.jpg,depth/N.png,pose/N.txt,intrinsic/intrinsic_color.txt}``: every tenth frame of the
recording under its number there. Poses lead from the camera to the points' frame; a frame whose pose was lost (it holds
infinities) is kept and shows nothing, because the choice of photographs counts it.

Scenes come sorted by name; the published order is that of the file system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ditr.captures.images import image_size
from ditr.datasets.arrays import (
    frame_files,
    indoor_scene,
    need_arrays,
    need_beside,
    need_folder,
    read_numbers,
    split_folders,
    subfolders,
)
from ditr.datasets.benchmark import Images, images_beside
from ditr.datasets.scannet.classes import CLASSES, CLASSES_200
from ditr.errors import InputError
from ditr.scene import Camera, PointPixels, Scene, View

__all__ = ["DEPTH_UNIT", "IMAGE_SIZE", "PreparedScanNet", "open_scannet", "scene_folders"]

IMAGE_SIZE = (420, 560)
"""(height, width) at which photographs are encoded, and at which the prepared folders already store them."""
DEPTH_UNIT = 0.001
"""Metres of one unit of the depth maps."""


@dataclass(frozen=True)
class PreparedScanNet:
    """Scenes of a folder in ScanNet's layout; see :class:`~ditr.scene.SceneSource`.

    Attributes:
        name: of the benchmark.
        folders: of the scenes' arrays.
        images: folder of the photographs; None without.
        labels: name of the file of labels.
        column: of it, where it has three.
        classes: their names.
        layout: of the whole folder, for errors.
    """

    name: str
    folders: tuple[Path, ...]
    images: Path | None
    labels: str
    column: int | None
    classes: tuple[str, ...]
    layout: str

    def __len__(self) -> int:
        return len(self.folders)

    def names(self) -> list[str]:
        return [folder.name for folder in self.folders]

    def scene(self, index: int) -> Scene:
        """One scene with all its frames as views, in the order of their numbers.

        Raises:
            InputError: a missing or damaged file.
        """
        folder = self.folders[index]
        need_arrays(folder, self.layout)
        views = () if self.images is None else _views(self.images / folder.name, f"{self.images.name}/{_IMAGES}")
        return indoor_scene(folder, folder.name, views, self.classes, labels=self.labels, column=self.column)


_IMAGES = "SCENE with color/N.jpg, depth/N.png, pose/N.txt and intrinsic/intrinsic_color.txt"


def open_scannet(root: Path, splits: Sequence[str], images: Images, *, fine: bool = False) -> PreparedScanNet:
    """ScanNet's 20 classes, or the 200 where ``fine``.

    Raises:
        InputError: the folder, a split, a scene's arrays or the folder of its photographs are missing.
    """
    labels = "segment200.npy" if fine else "segment20.npy"
    classes = CLASSES_200 if fine else CLASSES
    layout = f"{root.name}/SPLIT/SCENE with coord.npy, color.npy, normal.npy and {labels}; SPLIT is train, val or test"
    name = "ScanNet200" if fine else "ScanNet"
    folder = images_beside(root, images, "_images")
    folders = scene_folders(root, splits, layout, folder)
    return PreparedScanNet(name, folders, folder, labels, None, classes, layout)


def scene_folders(root: Path, splits: Sequence[str], layout: str, images: Path | None) -> tuple[Path, ...]:
    """The folders of the splits' scenes, each with its arrays and, unless ``images`` is None, its images.

    Raises:
        InputError: one of them is missing.
    """
    found = [scene for split in split_folders(root, splits, layout) for scene in subfolders(split, "*", layout)]
    for scene in found:
        need_arrays(scene, layout)
    if images is not None:
        need_folder(images, "the photographs", f"{images.name}/{_IMAGES}")
        for scene in found:
            need_folder(images / scene.name, "the photographs of a scene", f"{images.name}/{_IMAGES}")
    return tuple(found)


def _views(folder: Path, layout: str) -> tuple[View, ...]:
    colors = frame_files(folder / "color", ".jpg", layout)
    need_beside(colors.values(), (folder / "depth", ".png"), layout)
    need_beside(colors.values(), (folder / "pose", ".txt"), layout)
    matrix = read_numbers(folder / "intrinsic" / "intrinsic_color.txt", 16).reshape(4, 4)
    # All frames were resized to one size; read_image finds one that was not.
    width, height = image_size(next(iter(colors.values())))
    camera = Camera(width, height, matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2])
    return tuple(_view(folder, color, camera) for color in colors.values())


def _view(folder: Path, color: Path, camera: Camera) -> View:
    path = folder / "pose" / f"{color.stem}.txt"
    pose = read_numbers(path, 16).reshape(4, 4)
    if not np.isfinite(pose).all():
        return View.unposed(color.stem, (camera.width, camera.height), color, PointPixels.none())
    try:
        return View(
            name=color.stem,
            camera=camera,
            world_to_camera=np.asarray(np.linalg.inv(pose), dtype=np.float64),
            image=color,
            depth=folder / "depth" / f"{color.stem}.png",
            depth_unit=DEPTH_UNIT,
        )
    except (InputError, np.linalg.LinAlgError):
        raise InputError(path, "the pose is not a rigid transform", "Prepare the images of this scene again") from None

"""ScanNet, ScanNet200 and ScanNet++ as they are prepared for the published code.

``scannet/SPLIT/SCENE/{coord,color,normal,segment20,segment200}.npy`` and, beside it,
``scannet_images/SCENE/{color/N.jpg,depth/N.png,pose/N.txt,intrinsic/intrinsic_color.txt}``: every tenth frame of the
recording under its number there. Poses lead from the camera to the points' frame; a frame whose pose was lost (it holds
infinities) is kept and shows nothing, because the choice of photographs counts it.

ScanNet++ has the same arrays, with three columns of labels in ``segment.npy`` of which the first counts (the smallest
object). How its photographs are prepared is not published: they are read in ScanNet's layout from
``scannetpp_images/``, where somebody has put them there.

Scenes come sorted by name; the published order is that of the file system.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ditr.captures.images import image_size
from ditr.datasets import scannet, scannetpp
from ditr.datasets.arrays import (
    build_scene,
    frame_files,
    load_array,
    need,
    need_folder,
    optional_labels,
    read_numbers,
    split_folders,
    subfolders,
)
from ditr.errors import InputError
from ditr.scene import Camera, PointPixels, Scene, View

__all__ = ["PreparedScanNet", "open_scannet", "open_scannetpp"]

_ARRAYS = ("coord", "color", "normal")
_DEPTH_UNIT = 0.001


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
        need((folder / f"{name}.npy" for name in _ARRAYS), self.layout)
        views = () if self.images is None else _views(self.images / folder.name, f"{self.images.name}/{_IMAGES}")
        coord = load_array(folder / "coord.npy", "f", 3)
        return build_scene(
            folder,
            {
                "name": folder.name,
                "coord": coord,
                "views": views,
                "color": load_array(folder / "color.npy", "fu", 3, len(coord)),
                "normal": load_array(folder / "normal.npy", "f", 3, len(coord)),
                "label": optional_labels(folder / self.labels, len(coord), self.column),
                "class_names": self.classes,
            },
        )


_IMAGES = "SCENE/{color/N.jpg,depth/N.png,pose/N.txt,intrinsic/intrinsic_color.txt}"


def open_scannet(root: Path, splits: Sequence[str], images: Path | None, *, fine: bool) -> PreparedScanNet:
    """ScanNet's 20 classes, or the 200 where ``fine``.

    Raises:
        InputError: the folder, a split, a scene's arrays or the folder of its photographs are missing.
    """
    labels = "segment200.npy" if fine else "segment20.npy"
    classes = scannet.CLASSES_200 if fine else scannet.CLASSES
    layout = f"{root.name}/{{train,val,test}}/SCENE/{{coord,color,normal,{labels[:-4]}}}.npy"
    name = "ScanNet200" if fine else "ScanNet"
    folders = _scenes(root, splits, layout, images)
    return PreparedScanNet(name, folders, images, labels, None, classes, layout)


def open_scannetpp(root: Path, splits: Sequence[str], images: Path | None) -> PreparedScanNet:
    """ScanNet++, whose class list lies with the folder as in the dataset.

    Raises:
        InputError: as for ScanNet, or no class list.
    """
    layout = f"{root.name}/SPLIT/SCENE/{{coord,color,normal,segment}}.npy and {root.name}/{scannetpp.CLASSES_FILE}"
    folders = _scenes(root, splits, layout, images)
    need([root / scannetpp.CLASSES_FILE], layout)
    classes = scannetpp.read_classes(root)
    return PreparedScanNet("ScanNet++", folders, images, "segment.npy", 0, classes, layout)


def _scenes(root: Path, splits: Sequence[str], layout: str, images: Path | None) -> tuple[Path, ...]:
    found = [scene for split in split_folders(root, splits, layout) for scene in subfolders(split, "*", layout)]
    for scene in found:
        need((scene / f"{name}.npy" for name in _ARRAYS), layout)
    if images is not None:
        need_folder(images, "the photographs", f"{images.name}/{_IMAGES}")
        for scene in found:
            need_folder(images / scene.name, "the photographs of a scene", f"{images.name}/{_IMAGES}")
    return tuple(found)


def _views(folder: Path, layout: str) -> tuple[View, ...]:
    colors = frame_files(folder / "color", ".jpg", layout)
    depths = {path.stem for path in (folder / "depth").glob("*.png")}
    poses = {path.stem for path in (folder / "pose").glob("*.txt")}
    for color in colors.values():
        for kind, suffix, there in (("depth", "png", depths), ("pose", "txt", poses)):
            if color.stem not in there:
                need([folder / kind / f"{color.stem}.{suffix}"], layout)
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
            depth_unit=_DEPTH_UNIT,
        )
    except (InputError, np.linalg.LinAlgError):
        raise InputError(path, "the pose is no rigid transform", "Prepare the images of this scene anew") from None

"""Structured3D: its classes, and how the published distillation takes its rooms.

Structured3D as it is prepared for the published code: fused rooms, and the photographs of the unpacked dataset.

``structured3d/SPLIT/scene_S/room_R/{coord,color,normal,segment}.npy`` and, beside it, the dataset itself:
``structured3d_images/scene_S/2D_rendering/R/perspective/full/N/{rgb_rawlight.png,depth.png,camera_pose.txt}``.

The prepared points are a mirror image: x and y of the dataset are exchanged, which no camera can show. They are
exchanged back here, for normals too, so scenes are in the dataset's own frame and its poses hold; the published
training, which flips and turns rooms at random, draws the one as often as the other.

Rooms and photographs come sorted; the published order is that of the file system. Rooms with fewer than three
photographs get no black ones to fill up: those would show nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.data.preparation import Attribute, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.arrays import (
    NestedFolders,
    indoor_scene,
    need,
    need_arrays,
    need_folder,
    read_numbers,
    split_folders,
    subfolders,
)
from ditr.datasets.benchmark import ROOMS, Benchmark, Images, images_beside
from ditr.datasets.label_map import LabelMap
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR
from ditr.scene import Camera, Scene, View

__all__ = [
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "LABELS",
    "RULE",
    "STRUCTURED3D",
    "VIEWS",
    "PreparedStructured3D",
    "open_structured3d",
    "preparation",
]

RULE = INDOOR
IMAGE_SIZE = (350, 630)
VIEWS = 3
"""Photographs of a room, at random in all splits as published; a room may have fewer."""

# Raw ids are NYU40's.
_TABLE = (
    (1, "wall"),
    (2, "floor"),
    (3, "cabinet"),
    (4, "bed"),
    (5, "chair"),
    (6, "sofa"),
    (7, "table"),
    (8, "door"),
    (9, "window"),
    (11, "picture"),
    (14, "desk"),
    (15, "shelves"),
    (16, "curtain"),
    (17, "dresser"),
    (18, "pillow"),
    (19, "mirror"),
    (22, "ceiling"),
    (24, "refrigerator"),
    (25, "television"),
    (32, "nightstand"),
    (34, "sink"),
    (35, "lamp"),
    (38, "otherstructure"),
    (39, "otherfurniture"),
    (40, "otherprop"),
)
CLASSES = tuple(name for _, name in _TABLE)
COLORS: tuple[tuple[int, int, int], ...] | None = None
LABELS = LabelMap({raw: i for i, (raw, _) in enumerate(_TABLE)}, tuple(raw for raw, _ in _TABLE))


def preparation(images: bool) -> Preparation:
    """How the published distillation takes a room: with photographs for the teacher, without for the student."""
    without = Preparation(
        voxel_size=0.02,
        attributes=(Attribute.COLOR, Attribute.NORMAL),
        rule=RULE,
        view_choice=ViewChoice.LAST,
    )
    return replace(without, max_views=VIEWS, image_size=IMAGE_SIZE) if images else without


# ---- as prepared for the published code ------------------------------------------------------------------------

_FILES = ("rgb_rawlight.png", "depth.png", "camera_pose.txt")
_IMAGES = f"scene_S/2D_rendering/R/perspective/full/N with {', '.join(_FILES)}"
_MILLIMETRE = 0.001


@dataclass(frozen=True)
class PreparedStructured3D(NestedFolders):
    """Rooms of some splits; see :class:`~ditr.scene.SceneSource`."""

    images: Path | None
    layout: str
    name: str = "Structured3D"

    def scene(self, index: int) -> Scene:
        """One room with all its perspective photographs, which may be none.

        Raises:
            InputError: a missing or damaged file.
        """
        folder = self.folders[index]
        need_arrays(folder, self.layout)
        views = () if self.images is None else _views(self.images, folder)
        return indoor_scene(folder, self.names()[index], views, CLASSES, axes=[1, 0, 2])


def open_structured3d(root: Path, splits: Sequence[str], images: Images) -> PreparedStructured3D:
    """The rooms of ``train``, ``val`` or ``test``.

    Raises:
        InputError: the folder, a split, a room's arrays or its scene's photographs are missing.
    """
    folder = images_beside(root, images, "_images")
    layout = f"{root.name}/SPLIT/scene_S/room_R with coord.npy, color.npy, normal.npy and segment.npy"
    rooms = [room for of in split_folders(root, splits, layout) for room in subfolders(of, "scene_*/*", layout)]
    for room in rooms:
        need_arrays(room, layout)
    if folder is not None:
        for scene in sorted({room.parent.name for room in rooms}):
            need_folder(folder / scene / "2D_rendering", "the photographs of a scene", f"{folder.name}/{_IMAGES}")
    return PreparedStructured3D(tuple(rooms), folder, layout)


def _views(images: Path, room: Path) -> tuple[View, ...]:
    number = room.name.removeprefix("room_")
    folder = images / room.parent.name / "2D_rendering" / number / "perspective" / "full"
    frames = sorted((path for path in folder.glob("*") if path.is_dir()), key=lambda path: (len(path.name), path.name))
    for frame in frames:
        need((frame / name for name in _FILES), f"{images.name}/{_IMAGES}")
    return tuple(_view(frame) for frame in frames)


def _view(frame: Path) -> View:
    image, depth, file = (frame / name for name in _FILES)
    numbers = read_numbers(file)
    if len(numbers) < 11 or not np.isfinite(numbers).all():
        raise InputError(file, "it does not hold 11 numbers", "Unpack the dataset again")
    width, height = image_size(image)
    half = np.tan(numbers[9:11])
    try:
        camera = Camera(width, height, width / 2 / half[0], height / 2 / half[1], width / 2, height / 2)
        pose = _world_to_camera(numbers[:3] * _MILLIMETRE, numbers[3:6], numbers[6:9])
        return View(frame.name, camera, pose, image, depth, depth_unit=_MILLIMETRE)
    except (InputError, np.linalg.LinAlgError):
        raise InputError(file, "this is not a camera pose", "Unpack the dataset again") from None


def _world_to_camera(
    position: NDArray[np.float64], front: NDArray[np.float64], up: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The file has the directions to the front and up; the camera's axes are right, down, front."""
    pose = np.eye(4)
    pose[:3, :3] = np.stack([front, up, np.cross(front, up)], axis=1)
    pose[:3, 3] = position
    inverse = np.linalg.inv(pose)
    return np.stack([inverse[2], -inverse[1], inverse[0], inverse[3]])


STRUCTURED3D = Benchmark(
    name="Structured3D",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="structured3d",
    open=open_structured3d,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    training_data=ROOMS,
)

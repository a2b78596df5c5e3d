"""S3DIS: its classes, and how the published models take its rooms.

S3DIS as it is prepared for the published code: its areas' rooms, and for each photograph the points that it shows.

``s3dis/Area_K/ROOM/{coord,color,normal,segment}.npy`` and, beside it,
``s3dis_images/Area_K/ROOM/{color/N.png,visibility/N_mask.npy,visibility/N_points.npy}``: the numbers of the points that
photograph N shows and their pixels. Which these are was decided when the folder was prepared, and no pose is stored.

Rooms and photographs come sorted; the published order is that of the file system, on which the published choice of ten
photographs depends. Rooms with fewer get no black photographs to fill up: those would show nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ditr.captures.images import image_size
from ditr.data.augment.variants import S3DIS as S3DIS_VARIANTS
from ditr.data.preparation import Attribute, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.arrays import (
    NestedFolders,
    frame_files,
    indoor_scene,
    need,
    need_arrays,
    need_folder,
    split_folders,
    subfolders,
)
from ditr.datasets.benchmark import ROOMS, Benchmark, Images, images_beside
from ditr.geometry.projection import VisibilityRule
from ditr.scene import PointPixels, Scene, View

__all__ = [
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "RULE",
    "S3DIS",
    "TRAINING_AREAS",
    "VALIDATION_AREAS",
    "VIEWS",
    "PreparedS3DIS",
    "open_s3dis",
    "preparation",
]

TRAINING_AREAS = (1, 2, 3, 4, 6)
VALIDATION_AREAS = (5,)
RULE = VisibilityRule(depth_margin=0.2)
"""The published preparation tests depth alone: the paper's limits of 1 and 4 m are not applied here."""
IMAGE_SIZE = (518, 518)
VIEWS = 10
"""Photographs of a room. The published choice runs through an unsorted list of files; here it is sorted."""

# The colours are PointNet's.
_TABLE = (
    ("ceiling", (0, 255, 0)),
    ("floor", (0, 0, 255)),
    ("wall", (0, 255, 255)),
    ("beam", (255, 255, 0)),
    ("column", (255, 0, 255)),
    ("window", (100, 100, 255)),
    ("door", (200, 200, 100)),
    ("table", (170, 120, 200)),
    ("chair", (255, 0, 0)),
    ("sofa", (200, 100, 100)),
    ("bookcase", (10, 200, 100)),
    ("board", (200, 200, 200)),
    ("clutter", (50, 50, 50)),
)
CLASSES = tuple(name for name, _ in _TABLE)
COLORS = tuple(color for _, color in _TABLE)


def preparation(images: bool) -> Preparation:
    """How the published models take a room; on the choice of views see the same function for ScanNet."""
    without = Preparation(
        voxel_size=0.02,
        attributes=(Attribute.COLOR, Attribute.NORMAL),
        rule=RULE,
        view_choice=ViewChoice.LAST,
    )
    return replace(without, max_views=VIEWS, image_size=IMAGE_SIZE) if images else without


# ---- as prepared for the published code ------------------------------------------------------------------------

_IMAGES = "Area_1/ROOM with color/N.png, visibility/N_mask.npy and visibility/N_points.npy"
_SPLITS = {"train": TRAINING_AREAS, "val": VALIDATION_AREAS, "test": VALIDATION_AREAS}


@dataclass(frozen=True)
class PreparedS3DIS(NestedFolders):
    """Rooms of some areas; see :class:`~ditr.scene.SceneSource`."""

    images: Path | None
    layout: str
    name: str = "S3DIS"

    def scene(self, index: int) -> Scene:
        """One room with all its photographs.

        Raises:
            InputError: a missing or damaged file. The lists of pixels are read, and checked, where they are needed.
        """
        folder = self.folders[index]
        need_arrays(folder, self.layout)
        views = () if self.images is None else _views(self.images, folder)
        return indoor_scene(folder, self.names()[index], views, CLASSES)


def open_s3dis(root: Path, splits: Sequence[str], images: Images) -> PreparedS3DIS:
    """The rooms of ``train`` (areas 1, 2, 3, 4, 6), of ``val`` or ``test`` (area 5), or of single areas (``Area_2``).

    Raises:
        InputError: the folder, an area, a room's arrays or the folder of its photographs are missing.
    """
    folder = images_beside(root, images, "_images")
    layout = f"{root.name}/Area_1/ROOM with coord.npy, color.npy, normal.npy and segment.npy"
    areas = [area for split in splits for area in (f"Area_{k}" for k in _SPLITS[split])] if _known(splits) else splits
    rooms = [room for area in split_folders(root, areas, layout) for room in subfolders(area, "*", layout)]
    for room in rooms:
        need_arrays(room, layout)
        if folder is not None:
            need_folder(folder / room.parent.name / room.name, "the photographs of a room", f"{folder.name}/{_IMAGES}")
    return PreparedS3DIS(tuple(rooms), folder, layout)


def _known(splits: Sequence[str]) -> bool:
    return all(split in _SPLITS for split in splits)


def _views(images: Path, room: Path) -> tuple[View, ...]:
    folder, layout = images / room.parent.name / room.name, f"{images.name}/{_IMAGES}"
    colors = frame_files(folder / "color", ".png", layout)
    views = []
    size = image_size(next(iter(colors.values())))
    for color in colors.values():
        files = [folder / "visibility" / f"{color.stem}_{kind}.npy" for kind in ("mask", "points")]
        need(files, layout)
        views.append(View.unposed(color.stem, size, color, PointPixels(*files)))
    return tuple(views)


S3DIS = Benchmark(
    name="S3DIS",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="s3dis",
    open=open_s3dis,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    voting=S3DIS_VARIANTS,
    training_data=ROOMS,
)

"""SemanticKITTI: its classes and sequences, and how the published models take its sweeps.

SemanticKITTI as the published code expects it: the dataset's own folders, in two roots.

``semantic_kitti/dataset/sequences/SS/{velodyne/F.bin,labels/F.label,calib.txt}`` and, beside it, the odometry
benchmark's colour images: ``semantic_kitti_color/dataset/sequences/SS/image_2/F.png``.

Sequences and sweeps come sorted. A sweep without a file of labels has none; the published code makes every point of it
a car.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.semantic_kitti_ids import SEMANTIC_KITTI_IDS
from ditr.data.augment.variants import ROTATIONS
from ditr.data.preparation import Attribute, Box, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.arrays import build_scene, frame_files, load_floats, need, need_folder
from ditr.datasets.benchmark import Benchmark, Images, images_beside, sweeps
from ditr.datasets.label_map import LabelMap
from ditr.errors import InputError
from ditr.geometry.projection import OUTDOOR
from ditr.scene import Camera, Scene, View

__all__ = [
    "BOX",
    "CAMERAS",
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "LABELS",
    "RULE",
    "SEMANTIC_KITTI",
    "SEQUENCES",
    "PreparedSemanticKITTI",
    "open_semantic_kitti",
    "preparation",
]

SEQUENCES = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10),
    "val": (8,),
    "test": (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
}
CAMERAS = ("image_2",)
"""The left colour camera."""
RULE = OUTDOOR
IMAGE_SIZE = (378, 1246)
BOX: Box = (-35.2, -35.2, -4.0, 35.2, 35.2, 2.0)

# The colours of the dataset's own tools.
_COLOR_OF = {
    "car": (100, 150, 245),
    "bicycle": (100, 230, 245),
    "motorcycle": (30, 60, 150),
    "truck": (80, 30, 180),
    "other-vehicle": (0, 0, 255),
    "person": (255, 30, 30),
    "bicyclist": (255, 40, 200),
    "motorcyclist": (150, 30, 90),
    "road": (255, 0, 255),
    "parking": (255, 150, 255),
    "sidewalk": (75, 0, 75),
    "other-ground": (175, 0, 75),
    "building": (255, 200, 0),
    "fence": (255, 120, 50),
    "vegetation": (0, 175, 0),
    "trunk": (135, 60, 0),
    "terrain": (150, 240, 80),
    "pole": (255, 240, 150),
    "traffic-sign": (255, 0, 0),
}
CLASSES = tuple(SEMANTIC_KITTI_IDS)
COLORS = tuple(_COLOR_OF[name] for name in CLASSES)
LABELS = LabelMap(
    {raw: i for i, numbers in enumerate(SEMANTIC_KITTI_IDS.values()) for raw in numbers},
    tuple(numbers[0] for numbers in SEMANTIC_KITTI_IDS.values()),
)
"""Raw ids are the lower 16 bits of what the files store; the upper 16 are instances."""


def preparation(images: bool) -> Preparation:
    """How the published models take a sweep, in the LiDAR's frame; strengths are used as stored."""
    without = Preparation(
        voxel_size=0.05,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=RULE,
        view_choice=ViewChoice.LAST,
        origin=Origin.SENSOR,
        clip_box=BOX,
    )
    return replace(without, image_size=IMAGE_SIZE) if images else without


# ---- as prepared for the published code ------------------------------------------------------------------------

_LAYOUT = "semantic_kitti/dataset/sequences/00 with velodyne/F.bin, labels/F.label and calib.txt"
_IMAGES = "semantic_kitti_color/dataset/sequences/SS/image_2/F.png"
_CAMERA = CAMERAS[0]


@dataclass(frozen=True)
class PreparedSemanticKITTI:
    """Sweeps of some sequences, called ``SS_FFFFFF``; see :class:`~ditr.scene.SceneSource`.

    Attributes:
        sweeps: files of points.
        images: the second root's folder of sequences; None without photographs.
    """

    sweeps: tuple[Path, ...]
    images: Path | None
    name: str = "SemanticKITTI"

    def __len__(self) -> int:
        return len(self.sweeps)

    def names(self) -> list[str]:
        return [f"{path.parent.parent.name}_{path.stem}" for path in self.sweeps]

    def scene(self, index: int) -> Scene:
        """One sweep, with the photograph of the left colour camera.

        Raises:
            InputError: a missing or damaged file.
        """
        path = self.sweeps[index]
        sequence = path.parent.parent
        views = () if self.images is None else (_view(sequence, path.stem, self.images),)
        points = load_floats(path, 4)
        return build_scene(
            path,
            {
                "name": f"{sequence.name}_{path.stem}",
                "coord": points[:, :3],
                "strength": points[:, 3],
                "views": views,
                "label": _labels(sequence / "labels" / f"{path.stem}.label", len(points)),
                "class_names": CLASSES,
            },
        )


def open_semantic_kitti(root: Path, splits: Sequence[str], images: Images) -> PreparedSemanticKITTI:
    """The sweeps of ``train``, ``val`` or ``test``, or of single sequences (``08``).

    Raises:
        InputError: a sequence's folder of points, its calibration or its photographs are missing.
    """
    sequences = _sequences(root)
    numbers = [number for split in splits for number in _numbers(split, root)]
    sweeps: list[Path] = []
    folder_of_images = images_beside(root, images, "_color")
    second = None if folder_of_images is None else _sequences(folder_of_images)
    for number in numbers:
        folder = sequences / f"{number:02d}"
        sweeps += frame_files(folder / "velodyne", ".bin", _LAYOUT).values()
        if second is not None:
            need([folder / "calib.txt"], _LAYOUT)
            need_folder(second / folder.name / _CAMERA, "the photographs of a sequence", _IMAGES)
    return PreparedSemanticKITTI(tuple(sweeps), second)


def _sequences(root: Path) -> Path:
    """``dataset/sequences``, or ``sequences`` where a root is the dataset itself."""
    inner = root / "sequences"
    return inner if inner.is_dir() else root / "dataset" / "sequences"


def _numbers(split: str, root: Path) -> tuple[int, ...]:
    if split in SEQUENCES:
        return SEQUENCES[split]
    if split.isdecimal():
        return (int(split),)
    raise InputError(root, f"there is no split {split!r}", "Use train, val, test or the number of a sequence")


def _view(sequence: Path, frame: str, images: Path) -> View:
    image, calibration = images / sequence.name / _CAMERA / f"{frame}.png", sequence / "calib.txt"
    need([image], _IMAGES)
    need([calibration], _LAYOUT)
    k, pose = _calibration(calibration)
    width, height = image_size(image)
    try:
        return View(_CAMERA, Camera(width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2]), pose, image)
    except InputError as error:
        raise InputError(calibration, error.fault, "Copy the file again") from None


def _calibration(path: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """K of the left colour camera, and the pose (4, 4) that leads from the LiDAR to it.

    The camera's place beside camera 0 is the last column of P2, divided by the focal lengths alone as published; the
    principal point would move it by 2 mm.
    """
    rows: dict[str, NDArray[np.float64]] = {}
    try:
        for line in path.read_text(encoding="ascii").splitlines():
            key, colon, numbers = line.partition(":")
            if colon and key in ("P2", "Tr"):
                rows[key] = np.array([float(word) for word in numbers.split()]).reshape(3, 4)
        projection, pose = rows["P2"], np.vstack([rows["Tr"], (0, 0, 0, 1)])
        pose[:3, 3] += projection[:, 3] / np.diag(projection[:, :3])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(path, f"it has no P2 and Tr of 12 numbers ({error})", "Copy the file again") from None
    return projection[:, :3], pose


def _labels(path: Path, count: int) -> NDArray[np.int32] | None:
    if not path.exists():
        return None
    raw = np.frombuffer(path.read_bytes()[: path.stat().st_size // 4 * 4], dtype="<u4")
    if len(raw) != count:
        raise InputError(path, f"it holds {len(raw)} labels for {count} points", "Copy the file again")
    return LABELS.train(raw & 0xFFFF)


SEMANTIC_KITTI = Benchmark(
    name="SemanticKITTI",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="semantic_kitti",
    open=open_semantic_kitti,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    voting=ROTATIONS,
    test_voxel_size=0.01,
    training_data=sweeps(-1.73),
)

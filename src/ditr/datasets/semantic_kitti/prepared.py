"""SemanticKITTI as the published code expects it: the dataset's own folders, in two roots.

``semantic_kitti/dataset/sequences/SS/{velodyne/F.bin,labels/F.label,calib.txt}`` and, beside it, the odometry
benchmark's colour images: ``semantic_kitti_color/dataset/sequences/SS/image_2/F.png``.

Sequences and sweeps come sorted. A sweep without a file of labels has none; the published code makes every point of it
a car.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.datasets.arrays import build_scene, frame_files, load_floats, need, need_folder
from ditr.datasets.benchmark import Images, images_beside
from ditr.datasets.semantic_kitti.calibration import read_calibration
from ditr.datasets.semantic_kitti.facts import CAMERAS, CLASSES, LABELS, SEQUENCES
from ditr.errors import InputError
from ditr.scene import Camera, Scene, View

__all__ = ["PreparedSemanticKITTI", "open_semantic_kitti", "sequence_numbers"]

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
    numbers = [number for split in splits for number in sequence_numbers(split, root)]
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


def sequence_numbers(split: str, root: Path) -> tuple[int, ...]:
    """The sequences of a split, or of a number.

    Raises:
        InputError: it is neither; ``root`` is named.
    """
    if split in SEQUENCES:
        return SEQUENCES[split]
    if split.isdecimal():
        return (int(split),)
    raise InputError(root, f"there is no split {split!r}", "Use train, val, test or the number of a sequence")


def _view(sequence: Path, frame: str, images: Path) -> View:
    image, calibration = images / sequence.name / _CAMERA / f"{frame}.png", sequence / "calib.txt"
    need([image], _IMAGES)
    need([calibration], _LAYOUT)
    width, height = image_size(image)
    left = read_calibration(calibration)
    try:
        return View(_CAMERA, Camera(width, height, *left.lens), left.published_pose, image)
    except InputError as error:
        raise InputError(calibration, error.fault, "Copy the file again") from None


def _labels(path: Path, count: int) -> NDArray[np.int32] | None:
    if not path.exists():
        return None
    raw = np.frombuffer(path.read_bytes()[: path.stat().st_size // 4 * 4], dtype="<u4")
    if len(raw) != count:
        raise InputError(path, f"it holds {len(raw)} labels for {count} points", "Copy the file again")
    return LABELS.train(raw & 0xFFFF)

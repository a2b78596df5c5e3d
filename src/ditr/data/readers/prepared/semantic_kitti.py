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
from ditr.datasets import semantic_kitti
from ditr.datasets.arrays import build_scene, frame_files, load_floats, need, need_folder
from ditr.errors import InputError
from ditr.scene import Camera, Scene, View

__all__ = ["PreparedSemanticKITTI", "open_semantic_kitti"]

_LAYOUT = "semantic_kitti/dataset/sequences/SS/{velodyne/F.bin,labels/F.label,calib.txt}"
_IMAGES = "semantic_kitti_color/dataset/sequences/SS/image_2/F.png"
_CAMERA = semantic_kitti.CAMERAS[0]


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
                "class_names": semantic_kitti.CLASSES,
            },
        )


def open_semantic_kitti(root: Path, splits: Sequence[str], images: Path | None) -> PreparedSemanticKITTI:
    """The sweeps of ``train``, ``val`` or ``test``, or of single sequences (``08``).

    Raises:
        InputError: a sequence's folder of points, its calibration or its photographs are missing.
    """
    sequences = _sequences(root)
    numbers = [number for split in splits for number in _numbers(split, root)]
    sweeps: list[Path] = []
    second = None if images is None else _sequences(images)
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
    if split in semantic_kitti.SEQUENCES:
        return semantic_kitti.SEQUENCES[split]
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
    return semantic_kitti.LABELS.train(raw & 0xFFFF)

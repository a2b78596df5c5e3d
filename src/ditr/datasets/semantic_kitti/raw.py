"""The official download of SemanticKITTI: KITTI's odometry benchmark (sweeps, colour images, calibration) and labels.

``dataset/sequences/SS/{velodyne/F.bin,labels/F.label,image_2/F.png,calib.txt,poses.txt,times.txt}``, with or without
the outer folder, and with each archive in a folder of its own or not. Formats:

* ``.bin``: x (forward), y (left), z (up) and remission of each point, float32;
* ``.label``: uint32 for each point, the class in the lower 16 bits and the instance in the upper;
* ``calib.txt``: lines of P0 to P3, from camera 0 to the pixels of the four rectified cameras, and of Tr, from the
  LiDAR to camera 0, 3 x 4 numbers each;
* ``poses.txt``: a line of 3 x 4 numbers for each sweep, from its camera 0 to that of the first.

Scenes read from here have the exact camera, of which a pixel's number is that of its middle. The reader of prepared
folders takes it as the published code does (:class:`~ditr.datasets.semantic_kitti.calibration.Calibration`).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.kitti_calibration import poses_of_lidar, times_of
from ditr.datasets.arrays import build_scene, load_floats
from ditr.datasets.raw import Download, Place, PrepareOptions, RawFormat, RawPiece, Repair
from ditr.datasets.semantic_kitti.calibration import Calibration, read_calibration
from ditr.datasets.semantic_kitti.facts import CAMERAS, CLASSES, LABELS, SCANS, SEQUENCES, split_of
from ditr.datasets.semantic_kitti.faults import ARCHIVES, look_at, raw_labels
from ditr.datasets.semantic_kitti.prepared import sequence_numbers
from ditr.datasets.semantic_kitti.tree import (
    IMAGES,
    SWEEPS,
    SequenceFiles,
    find_sequences,
    sequence_folders,
)
from ditr.datasets.semantic_kitti.tree import LABELS as LABEL_FILES
from ditr.errors import InputError
from ditr.io.links import place_files
from ditr.scene import Camera, Scene, View

__all__ = ["RAW", "RawSemanticKITTI", "RawSequence", "RawSweeps"]

_INNER = "dataset/sequences"
_COLOR = "_color"
_FARTHEST = 1000.0
"""Metres that a LiDAR sees at most."""
_ENTRY = 256
"""Bytes that a link takes, about."""


@dataclass(frozen=True)
class RawSequence:
    """A sequence as a piece; see :class:`~ditr.datasets.raw.RawPiece`.

    Attributes:
        files: of it.
        copy: copy them instead of linking to them.
    """

    files: SequenceFiles
    copy: bool = False

    @property
    def name(self) -> str:
        return self.files.name

    @property
    def split(self) -> str:
        return split_of(self.files.number)

    @property
    def sources(self) -> Sequence[Path]:
        return [*self.files.texts.values(), *self.files.folders.values()]

    @property
    def places(self) -> Sequence[Place]:
        """The photographs, where there are any, and the rest."""
        own = Place(f"{_INNER}/{self.name}")
        return [Place(own.path, _COLOR), own] if IMAGES in self.files.folders else [own]

    def write(self, parts: Sequence[Path]) -> Sequence[Repair]:
        """See :class:`~ditr.datasets.raw.RawPiece`. All files are looked at first.

        Raises:
            InputError: the first fault that :func:`~ditr.datasets.semantic_kitti.faults.look_at` finds.
        """
        repairs = []
        for found in look_at(self.files):
            if isinstance(found, InputError):
                raise found
            repairs.append(found)
        for part, folder in self.files.folders.items():
            target = parts[0 if part == IMAGES else -1] / folder.name
            place_files((self.files.file(part, stem) for stem in self.files.sizes(part)), target, copy=self.copy)
        for name, path in self.files.texts.items():
            shutil.copyfile(path, parts[-1] / name)
        return repairs

    def check(self) -> Iterator[InputError | Repair]:
        return look_at(self.files)

    def size(self) -> int:
        try:
            sizes = [size for part in ARCHIVES for size in self.files.sizes(part).values()]
        except InputError:
            return 0
        return sum(sizes) if self.copy else _ENTRY * len(sizes)


@dataclass(frozen=True)
class RawSemanticKITTI:
    """A download; see :class:`~ditr.datasets.raw.RawDataset`.

    Attributes:
        root: its folder.
        sequences: those that are there and wanted.
        copy: copy files instead of linking to them.
    """

    root: Path
    sequences: tuple[SequenceFiles, ...]
    copy: bool = False

    @property
    def pieces(self) -> Sequence[RawPiece]:
        return [RawSequence(files, self.copy) for files in self.sequences]

    def check(self) -> Iterator[InputError]:
        """Nothing: there are no tables; sequences are looked at one by one."""
        return iter(())

    def finish(self, out: Path, pieces: Sequence[RawPiece]) -> None:
        """Nothing: the published layout has no lists."""

    def source(self, splits: Sequence[str], images: bool) -> RawSweeps:
        """The sweeps of splits, or of single sequences (``08``).

        Raises:
            InputError: a sequence that is not there, or without photographs where these are wanted.
        """
        there = {files.number: files for files in self.sequences}
        drives = []
        for number in (number for split in splits for number in sequence_numbers(split, self.root)):
            files = there.get(number)
            for part in (SWEEPS, IMAGES) if images else (SWEEPS,):
                if files is None or part not in files.folders:
                    fault = f"it has no {ARCHIVES[part]} of sequence {number:02d}"
                    raise InputError(
                        self.root, fault, "Download this part, or name sequences that you have with --splits"
                    )
            assert files is not None
            drives.append(_Drive(files, images))
        return RawSweeps(tuple(drives))


@dataclass(frozen=True)
class RawSweeps:
    """Sweeps called ``SS_FFFFFF``; see :class:`~ditr.scene.SceneSource`.

    Scenes are in the LiDAR's frame, with the photograph of the left colour camera, the instances as ``instance`` of
    ``Scene.extra``, and, where they are recorded, ``lidar_to_world`` (4, 4; of the first sweep's frame) and ``time``
    (seconds) in ``Scene.properties``.
    """

    drives: tuple[_Drive, ...]
    name: str = "SemanticKITTI"

    def __len__(self) -> int:
        return sum(len(drive.stems) for drive in self.drives)

    def names(self) -> list[str]:
        return [f"{drive.files.name}_{stem}" for drive in self.drives for stem in drive.stems]

    def scene(self, index: int) -> Scene:
        """One sweep.

        Raises:
            InputError: a missing or damaged file.
        """
        for drive in self.drives:
            if index < len(drive.stems):
                return drive.scene(drive.stems[index])
            index -= len(drive.stems)
        raise IndexError(index)


class _Drive:
    """A sequence whose sweeps are read one at a time; its calibration and lists once."""

    def __init__(self, files: SequenceFiles, images: bool) -> None:
        self.files, self.images = files, images
        self.stems = list(files.sizes(SWEEPS))

    def scene(self, stem: str) -> Scene:
        path = self.files.file(SWEEPS, stem)
        points = _points(path)
        scene: dict[str, object] = {
            "name": f"{self.files.name}_{stem}",
            "coord": points[:, :3],
            "strength": points[:, 3],
            "views": (self._view(stem),) if self.images else (),
            "class_names": CLASSES,
            "properties": self._facts(int(stem)),
        }
        labels = self.files.file(LABEL_FILES, stem) if LABEL_FILES in self.files.folders else None
        if labels is not None:
            raw = raw_labels(labels, len(points))
            scene["label"] = LABELS.train(raw & 0xFFFF)
            scene["extra"] = {"instance": (raw >> 16).astype(np.int32)}
        return build_scene(path, scene)

    def _view(self, stem: str) -> View:
        image = self.files.file(IMAGES, stem)
        calibration = self._calibration
        assert calibration is not None
        fx, fy, cx, cy = calibration.lens
        try:
            camera = Camera(*image_size(image), fx, fy, cx + 0.5, cy + 0.5)
        except InputError as error:
            raise InputError(self.files.texts["calib.txt"], error.fault, "Copy the file again") from None
        return View(CAMERAS[0], camera, calibration.exact_pose, image)

    def _facts(self, row: int) -> dict[str, object]:
        poses, times = self._poses, self._times
        facts: dict[str, object] = {} if poses is None else {"lidar_to_world": poses[row].tolist()}
        return facts if times is None else {**facts, "time": float(times[row])}

    @cached_property
    def _calibration(self) -> Calibration | None:
        path = self.files.texts.get("calib.txt")
        if path is None and self.images:
            lost = self.files.folders[SWEEPS].with_name("calib.txt")
            raise InputError(lost, "there is no calibration for the photographs", "Unpack the calibration files too")
        return None if path is None else read_calibration(path)

    @cached_property
    def _poses(self) -> NDArray[np.float64] | None:
        path = self.files.texts.get("poses.txt")
        if path is None or self._calibration is None:
            return None
        return poses_of_lidar(path, self._calibration.lidar, int(self.stems[-1]))

    @cached_property
    def _times(self) -> NDArray[np.float64] | None:
        path = self.files.texts.get("times.txt")
        return None if path is None else times_of(path, int(self.stems[-1]))


def _points(path: Path) -> NDArray[np.float32]:
    """(N, 4) x, y, z in metres and remission.

    Raises:
        InputError: a damaged file, or numbers that no LiDAR gives.
    """
    points = load_floats(path, 4)
    good = np.isfinite(points).all(axis=1) & (np.abs(points[:, :3]) < _FARTHEST).all(axis=1)
    if not good.all():
        fault = f"point {int(np.argmin(good))} is not a possible LiDAR measurement: {points[np.argmin(good)].tolist()}"
        raise InputError(path, fault, f"Unpack or download the archive again ({ARCHIVES[SWEEPS]})")
    return points


def _recognises(root: Path) -> bool:
    """Photographs that lie beside the sweeps, or archives that were unpacked side by side.

    Prepared folders have their photographs in the folder beside, and a download without any is laid out as prepared.
    """
    root = root.absolute()
    if root.with_name(root.name + _COLOR).is_dir():
        return False
    folders = sequence_folders(root)
    if any((folder / SWEEPS).is_dir() for folder in folders):
        return any((folder / IMAGES).is_dir() for folder in folders)
    return any(SWEEPS in files.folders for files in find_sequences(root))


def _open(root: Path, options: PrepareOptions) -> RawSemanticKITTI:
    """The download in a folder.

    Raises:
        InputError: a split that there is not, or ``every``: sequences are prepared whole.
    """
    if options.every is not None:
        raise InputError("--every", "sequences of SemanticKITTI are prepared whole", "Leave it out")
    numbers = {number for split in options.splits for number in sequence_numbers(split, root)}
    found = find_sequences(root.resolve())
    wanted = tuple(files for files in found if not options.splits or files.number in numbers)
    return RawSemanticKITTI(root, wanted, options.copy)


RAW = RawFormat(
    recognises=_recognises,
    open=_open,
    download=Download(
        address="https://www.cvlibs.net/datasets/kitti/eval_odometry.php and https://semantic-kitti.org/dataset.html",
        terms="KITTI sends links to an e-mail address; both are for non-commercial use (CC BY-NC-SA).",
        gigabytes={"velodyne laser data": 80, "color images": 65, "calibration files": 0.001, "labels": 0.2},
        pieces={split: len(numbers) for split, numbers in SEQUENCES.items()},
        unit="sequences",
        counts={f"sweeps of sequence {number:02d}": count for number, count in SCANS.items()},
    ),
    layout="dataset/sequences/SS with velodyne/F.bin, labels/F.label, image_2/F.png and calib.txt",
    sweeps_in_place=True,
)

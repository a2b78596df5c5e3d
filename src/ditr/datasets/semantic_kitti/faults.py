"""What is wrong with the files of a sequence, and what that is called.

A sweep, a photograph or a file of labels that is damaged cannot be corrected, and one that is missing shows that a
download is not whole: both are faults, which name the first file and say how many there are. A sequence without any
photographs or labels, or with fewer sweeps than it has, can be used for something: that is noted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.images import image_size
from ditr.captures.kitti_calibration import poses_of_lidar, times_of
from ditr.datasets.raw import Repair
from ditr.datasets.semantic_kitti.calibration import read_calibration
from ditr.datasets.semantic_kitti.facts import NAMED_IDS, SCANS, split_of
from ditr.datasets.semantic_kitti.tree import IMAGES, LABELS, SWEEPS, SequenceFiles
from ditr.errors import InputError, few

__all__ = ["ARCHIVES", "POINT", "look_at", "raw_labels"]

POINT = 16
"""Bytes of a point: x, y, z and remission as float32."""
ARCHIVES = {SWEEPS: "velodyne laser data", LABELS: "labels", IMAGES: "color images"}
"""What the archives are called on the pages that offer them."""
_CALIBRATION = "calibration files"
_AGAIN = "Unpack or download the archive again ({})"
_END_OF_PNG = b"\x00\x00\x00\x00IEND\xaeB\x60\x82"


def look_at(sequence: SequenceFiles) -> Iterator[InputError | Repair]:
    """What is wrong with a sequence, and what is odd about it. All labels are read; of the rest sizes and headers."""
    try:
        sizes = {part: sequence.sizes(part) for part in ARCHIVES}
    except InputError as error:
        yield error
        return
    sweeps = sizes[SWEEPS]
    if not sweeps:
        lost = Path(sequence.folders[next(iter(sequence.folders))]).with_name(SWEEPS)
        yield InputError(lost, "there are no sweeps of this sequence", _AGAIN.format(ARCHIVES[SWEEPS]))
        return
    yield from _sweeps(sequence, sweeps)
    for part in (LABELS, IMAGES):
        if sizes[part]:
            yield from _same_frames(sequence, part, sweeps, sizes[part])
    yield from _label_faults(sequence, sweeps, sizes[LABELS])
    yield from _image_faults(sequence, sizes[IMAGES])
    yield from _text_faults(sequence, int(next(reversed(sweeps))))
    yield from _remarks(sequence, sizes)


def raw_labels(path: Path, points: int) -> NDArray[np.uint32]:
    """(points,) the numbers of a file of labels: class in the lower half, instance in the upper.

    Raises:
        InputError: a file that cannot be read, of another length, or with a class that SemanticKITTI has not.
    """
    try:
        size = path.stat().st_size
        if size != 4 * points:
            fault = f"its {size} bytes are not 4 for each of the {points} points"
            raise InputError(path, fault, _AGAIN.format(ARCHIVES[LABELS]))
        raw = np.fromfile(path, dtype="<u4")
    except OSError as error:
        raise InputError(path, f"the labels cannot be read ({error.strerror})", "Change its permissions") from None
    used = np.flatnonzero(np.bincount(raw & 0xFFFF, minlength=1))
    unknown = [int(number) for number in used if number not in NAMED_IDS]
    if unknown:
        mapped = ": they seem to be mapped to classes already" if used.max() < 20 else ""
        fault = f"SemanticKITTI has no class {few(map(str, unknown), 5)}{mapped}"
        raise InputError(path, fault, "Use the labels as they were downloaded")
    return raw


def _grouped(faults: Iterator[InputError]) -> Iterator[InputError]:
    """One fault for the files of a kind: the first, and how many more there are."""
    first: dict[str, InputError] = {}
    counts: Counter[str] = Counter()
    for fault in faults:
        counts[fault.remedy] += 1
        first.setdefault(fault.remedy, fault)
    for remedy, fault in first.items():
        more = f", and {counts[remedy] - 1} more files here have faults" if counts[remedy] > 1 else ""
        yield InputError(fault.where, fault.fault + more, remedy)


def _sweeps(sequence: SequenceFiles, sizes: dict[str, int]) -> Iterator[InputError]:
    remedy = _AGAIN.format(ARCHIVES[SWEEPS])
    yield from _grouped(
        InputError(sequence.file(SWEEPS, stem), f"its {size} bytes are not points of {POINT} bytes", remedy)
        for stem, size in sizes.items()
        if size == 0 or size % POINT
    )


def _same_frames(
    sequence: SequenceFiles, part: str, sweeps: dict[str, int], others: dict[str, int]
) -> Iterator[InputError]:
    """Sweeps, labels and photographs have the same numbers."""
    for lacking, from_, there in ((part, others, sweeps), (SWEEPS, sweeps, others)):
        lost = sorted(there.keys() - from_.keys())
        if lost:
            path = sequence.file(lacking, lost[0])
            more = f", nor are {len(lost) - 1} others of {len(there)}" if len(lost) > 1 else ""
            yield InputError(path, f"it is not there{more}", _AGAIN.format(ARCHIVES[lacking]))


def _label_faults(sequence: SequenceFiles, sweeps: dict[str, int], sizes: dict[str, int]) -> Iterator[InputError]:
    def faults() -> Iterator[InputError]:
        for stem in sizes.keys() & sweeps.keys():
            if not sweeps[stem] % POINT:
                try:
                    raw_labels(sequence.file(LABELS, stem), sweeps[stem] // POINT)
                except InputError as error:
                    yield error

    yield from _grouped(iter(sorted(faults(), key=lambda fault: fault.where)))


def _image_faults(sequence: SequenceFiles, sizes: dict[str, int]) -> Iterator[InputError]:
    remedy = _AGAIN.format(ARCHIVES[IMAGES])
    shapes: dict[str, tuple[int, int]] = {}

    def faults() -> Iterator[InputError]:
        for stem, size in sizes.items():
            path = sequence.file(IMAGES, stem)
            try:
                if size == 0 or not _ends_whole(path):
                    raise InputError(path, f"the photograph is cut off after {size} bytes", remedy)
                shapes[stem] = image_size(path)
            except (InputError, OSError) as error:
                fault = error.fault if isinstance(error, InputError) else f"it cannot be read ({error.strerror})"
                yield InputError(path, fault, remedy)

    yield from _grouped(faults())
    counted = Counter(shapes.values())
    if len(counted) > 1:
        (usual, _), *_ = counted.most_common()
        odd = [stem for stem, shape in shapes.items() if shape != usual]
        width, height = shapes[odd[0]]
        fault = f"it is {width}x{height}, but {counted[usual]} photographs of the sequence are {usual[0]}x{usual[1]}"
        yield InputError(sequence.file(IMAGES, odd[0]), fault, remedy)


def _ends_whole(path: Path) -> bool:
    """Whether a PNG has its last chunk."""
    with path.open("rb") as file:
        file.seek(-min(len(_END_OF_PNG), path.stat().st_size), 2)
        return file.read() == _END_OF_PNG


def _text_faults(sequence: SequenceFiles, last: int) -> Iterator[InputError]:
    """Of the calibration, which photographs and poses need, and of the lists."""
    calib = sequence.texts.get("calib.txt")
    try:
        if calib is None:
            if IMAGES in sequence.folders:
                lost = sequence.folders[IMAGES].with_name("calib.txt")
                remedy = f"Unpack KITTI's odometry {_CALIBRATION} (data_odometry_calib), or the labels too"
                raise InputError(lost, "there is no calibration for these photographs", remedy)
            return
        calibration = read_calibration(calib)
        if "poses.txt" in sequence.texts:
            poses_of_lidar(sequence.texts["poses.txt"], calibration.lidar, last)
        if "times.txt" in sequence.texts:
            times_of(sequence.texts["times.txt"], last)
    except InputError as error:
        yield error


def _remarks(sequence: SequenceFiles, sizes: dict[str, dict[str, int]]) -> Iterator[Repair]:
    where, count, whole = str(sequence.folders[SWEEPS]), len(sizes[SWEEPS]), SCANS[sequence.number]
    if count != whole:
        rejected = "; the server rejects predictions for fewer" if split_of(sequence.number) == "test" else ""
        yield Repair("incomplete sequence", where, f"there are {count} of {whole} sweeps{rejected}")
    if not sizes[IMAGES]:
        yield Repair("sequence without photographs", where, "it can only be used by models without images")
    if not sizes[LABELS] and split_of(sequence.number) != "test":
        yield Repair("sequence without labels", where, "it can be neither trained on nor evaluated")

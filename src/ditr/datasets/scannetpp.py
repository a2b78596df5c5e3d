"""ScanNet++: how the published models take its scenes. Its 100 classes are a file of the dataset, not listed here.

Prepared folders have the arrays of ScanNet, with three columns of labels in ``segment.npy`` of which the first counts
(the smallest object). How its photographs are prepared is not published: they are read in ScanNet's layout from
``scannetpp_images/``, where somebody has put them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ditr.data.augment.variants import INDOOR as INDOOR_VARIANTS
from ditr.data.preparation import Attribute, Preparation
from ditr.datasets.arrays import need
from ditr.datasets.benchmark import ROOMS, Benchmark, Images, images_beside
from ditr.datasets.scannet import PreparedScanNet, scene_folders
from ditr.errors import InputError

__all__ = ["CLASSES_FILE", "CLASS_COUNT", "COLORS", "SCANNETPP", "open_scannetpp", "preparation", "read_classes"]

CLASSES_FILE = "metadata/semantic_benchmark/top100.txt"
"""In the dataset's folder: a class per line, in the order of the logits."""
CLASS_COUNT = 100
COLORS: tuple[tuple[int, int, int], ...] | None = None


def read_classes(folder: str | Path) -> tuple[str, ...]:
    """The names of the classes from the dataset's ``folder``, in the order of the logits.

    Raises:
        InputError: no such file, or not 100 distinct names in it.
    """
    path = Path(folder) / CLASSES_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as fault:
        raise InputError(path, f"the class list cannot be read ({fault})", "Name the dataset's folder") from None
    names = tuple(line.strip() for line in text.splitlines() if line.strip())
    if len(names) != CLASS_COUNT or len(set(names)) != CLASS_COUNT:
        raise InputError(
            path, f"it holds {len(set(names))} different names, not {CLASS_COUNT}", "Restore the file from the dataset"
        )
    return names


def preparation(images: bool) -> Preparation:
    """How the published models take a scene, which are those without photographs.

    Raises:
        InputError: with photographs; nothing is published on how they were taken.
    """
    if images:
        raise InputError(
            "ScanNet++", "the paper's choice of its photographs is not published", "Read it without images"
        )
    return Preparation(voxel_size=0.02, attributes=(Attribute.COLOR, Attribute.NORMAL))


def open_scannetpp(root: Path, splits: Sequence[str], images: Images) -> PreparedScanNet:
    """ScanNet++, whose class list lies with the folder as in the dataset; without images where there is no such folder.

    Raises:
        InputError: as for ScanNet, or no class list.
    """
    layout = (
        f"{root.name}/SPLIT/SCENE with coord.npy, color.npy, normal.npy and segment.npy, and {root.name}/{CLASSES_FILE}"
    )
    beside = images_beside(root, images, "_images")
    folder = beside if images is not True or (beside is not None and beside.is_dir()) else None
    folders = scene_folders(root, splits, layout, folder)
    need([root / CLASSES_FILE], layout)
    classes = read_classes(root)
    return PreparedScanNet("ScanNet++", folders, folder, "segment.npy", 0, classes, layout)


SCANNETPP = Benchmark(
    name="ScanNet++",
    classes=(),
    class_count=CLASS_COUNT,
    folder="scannetpp",
    open=open_scannetpp,
    without_images=preparation(False),
    colors=COLORS,
    voting=INDOOR_VARIANTS,
    test_voxel_size=0.01,
    training_data=ROOMS,
)

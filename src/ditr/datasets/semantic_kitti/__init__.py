"""SemanticKITTI: its classes and sequences, how the published models take its sweeps, and how it is read.

:mod:`~ditr.datasets.semantic_kitti.prepared` reads what was prepared, by ``ditr prepare`` or for the published code,
:mod:`~ditr.datasets.semantic_kitti.raw` the official download.
"""

from ditr.data.augment.variants import ROTATIONS
from ditr.datasets.benchmark import Benchmark, sweeps
from ditr.datasets.counting import Absent, Counting
from ditr.datasets.semantic_kitti.facts import (
    BOX,
    CAMERAS,
    CLASSES,
    COLORS,
    IMAGE_SIZE,
    LABELS,
    RULE,
    SEQUENCES,
    preparation,
)
from ditr.datasets.semantic_kitti.prepared import PreparedSemanticKITTI, open_semantic_kitti
from ditr.datasets.semantic_kitti.raw import RAW
from ditr.datasets.semantic_kitti.submission import SemanticKITTISubmission

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
    raw=RAW,
    counting=Counting(Absent.ZERO),
    submission=SemanticKITTISubmission(),
)

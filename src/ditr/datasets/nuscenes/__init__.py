"""nuScenes with lidarseg: its facts, and how it is read, from the download and as prepared."""

from ditr.data.augment.variants import NUSCENES as _VARIANTS
from ditr.datasets.benchmark import Benchmark, sweeps
from ditr.datasets.counting import Absent, Counting
from ditr.datasets.nuscenes.facts import (
    CAMERAS,
    CLASSES,
    COLORS,
    IMAGE_SIZE,
    LABELS,
    RULE,
    STRENGTH_SCALE,
    preparation,
)
from ditr.datasets.nuscenes.keyframes import Keyframes
from ditr.datasets.nuscenes.prepared import open_nuscenes
from ditr.datasets.nuscenes.raw import RAW
from ditr.datasets.nuscenes.submission import NuScenesSubmission

__all__ = [
    "CAMERAS",
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "LABELS",
    "NUSCENES",
    "RULE",
    "STRENGTH_SCALE",
    "Keyframes",
    "open_nuscenes",
    "preparation",
]

NUSCENES = Benchmark(
    name="nuScenes",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="nuscenes",
    open=open_nuscenes,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    voting=_VARIANTS,
    test_voxel_size=0.025,
    training_data=sweeps(-1.84),
    raw=RAW,
    submission=NuScenesSubmission(),
    counting=Counting(Absent.LEFT_OUT),
)

"""Facts of SemanticKITTI: its classes and sequences, and how the published models take its sweeps."""

from __future__ import annotations

from dataclasses import replace

from ditr.captures.semantic_kitti_ids import SEMANTIC_KITTI_IDS
from ditr.data.preparation import Attribute, Box, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.geometry.projection import OUTDOOR

__all__ = [
    "BOX",
    "CAMERAS",
    "CLASSES",
    "COLORS",
    "IMAGE_SIZE",
    "LABELS",
    "NAMED_IDS",
    "RULE",
    "SCANS",
    "SEQUENCES",
    "preparation",
    "split_of",
]

SEQUENCES = {
    "train": (0, 1, 2, 3, 4, 5, 6, 7, 9, 10),
    "val": (8,),
    "test": (11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
}
_TRAINING = (4541, 1101, 4661, 801, 271, 2761, 1101, 1101, 4071, 1591, 1201)
_TEST = (921, 1061, 3281, 631, 1901, 1731, 491, 1801, 4981, 831, 2721)
SCANS = dict(enumerate((*_TRAINING, *_TEST)))
"""Sweeps of each sequence; those of the test add up to 20,351, which the server counts."""
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
NAMED_IDS = frozenset({0, 1, 52, 99, *LABELS.to_class})
"""All raw ids that files of labels may hold: also those of no class (unlabelled, outlier, other structure, other
object)."""


def split_of(sequence: int) -> str:
    """The split of a sequence."""
    return next(split for split, numbers in SEQUENCES.items() if sequence in numbers)


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

"""SemanticKITTI: its classes and sequences, and how the published models take its sweeps."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.sample import Attribute, Box, Origin, Preparation, ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.geometry.projection import OUTDOOR

__all__ = ["BOX", "CAMERAS", "CLASSES", "COLORS", "IMAGE_SIZE", "LABELS", "RULE", "SEQUENCES", "preparation"]

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

# Name, the id that a submission writes, all other ids (those that move, and those that are counted with it), and the
# colour of the dataset's own tools.
_TABLE = (
    ("car", 10, (252,), (100, 150, 245)),
    ("bicycle", 11, (), (100, 230, 245)),
    ("motorcycle", 15, (), (30, 60, 150)),
    ("truck", 18, (258,), (80, 30, 180)),
    ("other-vehicle", 20, (13, 16, 256, 257, 259), (0, 0, 255)),
    ("person", 30, (254,), (255, 30, 30)),
    ("bicyclist", 31, (253,), (255, 40, 200)),
    ("motorcyclist", 32, (255,), (150, 30, 90)),
    ("road", 40, (60,), (255, 0, 255)),
    ("parking", 44, (), (255, 150, 255)),
    ("sidewalk", 48, (), (75, 0, 75)),
    ("other-ground", 49, (), (175, 0, 75)),
    ("building", 50, (), (255, 200, 0)),
    ("fence", 51, (), (255, 120, 50)),
    ("vegetation", 70, (), (0, 175, 0)),
    ("trunk", 71, (), (135, 60, 0)),
    ("terrain", 72, (), (150, 240, 80)),
    ("pole", 80, (), (255, 240, 150)),
    ("traffic-sign", 81, (), (255, 0, 0)),
)
CLASSES = tuple(name for name, _, _, _ in _TABLE)
COLORS = tuple(color for _, _, _, color in _TABLE)
LABELS = LabelMap(
    {raw: i for i, (_, own, others, _) in enumerate(_TABLE) for raw in (own, *others)},
    tuple(own for _, own, _, _ in _TABLE),
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

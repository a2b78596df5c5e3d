"""nuScenes (lidarseg): its classes and cameras, and how the published models take its sweeps."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.sample import Attribute, Origin, Preparation, ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.geometry.projection import OUTDOOR

__all__ = ["CAMERAS", "CLASSES", "COLORS", "IMAGE_SIZE", "LABELS", "RULE", "STRENGTH_SCALE", "preparation"]

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_FRONT_LEFT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
"""In the published order, which decides: where two cameras show a point, the later one gives the feature."""
RULE = OUTDOOR
IMAGE_SIZE = (378, 672)
STRENGTH_SCALE = 255.0
"""Strengths are stored as 0..255."""

# Raw ids of the lidarseg files, 0..31; the colours are the devkit's, for a class of several categories the first one's.
_TABLE = (
    ("barrier", (9,), (112, 128, 144)),
    ("bicycle", (14,), (220, 20, 60)),
    ("bus", (15, 16), (255, 127, 80)),
    ("car", (17,), (255, 158, 0)),
    ("construction_vehicle", (18,), (233, 150, 70)),
    ("motorcycle", (21,), (255, 61, 99)),
    ("pedestrian", (2, 3, 4, 6), (0, 0, 230)),
    ("traffic_cone", (12,), (47, 79, 79)),
    ("trailer", (22,), (255, 140, 0)),
    ("truck", (23,), (255, 99, 71)),
    ("driveable_surface", (24,), (0, 207, 191)),
    ("other_flat", (25,), (175, 0, 75)),
    ("sidewalk", (26,), (75, 0, 75)),
    ("terrain", (27,), (112, 180, 60)),
    ("manmade", (28,), (222, 184, 135)),
    ("vegetation", (30,), (0, 175, 0)),
)
CLASSES = tuple(name for name, _, _ in _TABLE)
COLORS = tuple(color for _, _, color in _TABLE)
LABELS = LabelMap(
    {raw: i for i, (_, raws, _) in enumerate(_TABLE) for raw in raws},
    # The challenge counts its classes from 1.
    tuple(range(1, len(_TABLE) + 1)),
)


def preparation(images: bool) -> Preparation:
    """How the published models take a sweep, in the LiDAR's frame; all six photographs of it are used."""
    without = Preparation(
        voxel_size=0.05,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=RULE,
        view_choice=ViewChoice.LAST,
        origin=Origin.SENSOR,
        strength_scale=STRENGTH_SCALE,
    )
    return replace(without, image_size=IMAGE_SIZE) if images else without

"""The numbers of SemanticKITTI's classes in its files of labels."""

from __future__ import annotations

__all__ = ["SEMANTIC_KITTI_IDS"]

SEMANTIC_KITTI_IDS: dict[str, tuple[int, ...]] = {
    "car": (10, 252),
    "bicycle": (11,),
    "motorcycle": (15,),
    "truck": (18, 258),
    "other-vehicle": (20, 13, 16, 256, 257, 259),
    "person": (30, 254),
    "bicyclist": (31, 253),
    "motorcyclist": (32, 255),
    "road": (40, 60),
    "parking": (44,),
    "sidewalk": (48,),
    "other-ground": (49,),
    "building": (50,),
    "fence": (51,),
    "vegetation": (70,),
    "trunk": (71,),
    "terrain": (72,),
    "pole": (80,),
    "traffic-sign": (81,),
}
"""The ids of each class in files of labels: first the one that a submission writes, then those that move, and those
that are counted with it."""

"""S3DIS: its classes, and how the published models take its rooms."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.sample import Attribute, Preparation, ViewChoice
from ditr.geometry.projection import VisibilityRule

__all__ = ["CLASSES", "COLORS", "IMAGE_SIZE", "RULE", "TRAINING_AREAS", "VALIDATION_AREAS", "VIEWS"]
__all__ += ["class_of", "preparation"]

TRAINING_AREAS = (1, 2, 3, 4, 6)
VALIDATION_AREAS = (5,)
RULE = VisibilityRule(depth_margin=0.2)
"""The published preparation tests depth alone: the paper's limits of 1 and 4 m are not applied here."""
IMAGE_SIZE = (518, 518)
VIEWS = 10
"""Photographs of a room. The published choice runs through an unsorted list of files; here it is sorted."""

# The colours are PointNet's.
_TABLE = (
    ("ceiling", (0, 255, 0)),
    ("floor", (0, 0, 255)),
    ("wall", (0, 255, 255)),
    ("beam", (255, 255, 0)),
    ("column", (255, 0, 255)),
    ("window", (100, 100, 255)),
    ("door", (200, 200, 100)),
    ("table", (170, 120, 200)),
    ("chair", (255, 0, 0)),
    ("sofa", (200, 100, 100)),
    ("bookcase", (10, 200, 100)),
    ("board", (200, 200, 200)),
    ("clutter", (50, 50, 50)),
)
CLASSES = tuple(name for name, _ in _TABLE)
COLORS = tuple(color for _, color in _TABLE)


def class_of(name: str) -> int:
    """The class of an object by the name in its file; what is no class is clutter (published preparation)."""
    return CLASSES.index(name if name in CLASSES else "clutter")


def preparation(images: bool) -> Preparation:
    """How the published models take a room; on the choice of views see the same function for ScanNet."""
    without = Preparation(
        voxel_size=0.02,
        attributes=(Attribute.COLOR, Attribute.NORMAL),
        rule=RULE,
        view_choice=ViewChoice.LAST,
    )
    return replace(without, max_views=VIEWS, image_size=IMAGE_SIZE) if images else without

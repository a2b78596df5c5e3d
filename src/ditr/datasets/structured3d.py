"""Structured3D: its classes, and how the published distillation takes its rooms."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.sample import Attribute, Preparation, ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.geometry.projection import INDOOR

__all__ = ["CLASSES", "COLORS", "IMAGE_SIZE", "LABELS", "RULE", "VIEWS", "preparation", "split_of"]

RULE = INDOOR
IMAGE_SIZE = (350, 630)
VIEWS = 3
"""Photographs of a room, at random in all splits as published; a room may have fewer."""

# Raw ids are NYU40's.
_TABLE = (
    (1, "wall"),
    (2, "floor"),
    (3, "cabinet"),
    (4, "bed"),
    (5, "chair"),
    (6, "sofa"),
    (7, "table"),
    (8, "door"),
    (9, "window"),
    (11, "picture"),
    (14, "desk"),
    (15, "shelves"),
    (16, "curtain"),
    (17, "dresser"),
    (18, "pillow"),
    (19, "mirror"),
    (22, "ceiling"),
    (24, "refrigerator"),
    (25, "television"),
    (32, "nightstand"),
    (34, "sink"),
    (35, "lamp"),
    (38, "otherstructure"),
    (39, "otherfurniture"),
    (40, "otherprop"),
)
CLASSES = tuple(name for _, name in _TABLE)
COLORS: tuple[tuple[int, int, int], ...] | None = None
LABELS = LabelMap({raw: i for i, (raw, _) in enumerate(_TABLE)}, tuple(raw for raw, _ in _TABLE))


def split_of(scene: int) -> str:
    """ "train", "val" or "test" for the number of a scene (3250 and more are the test)."""
    return "train" if scene < 3000 else "val" if scene < 3250 else "test"


def preparation(images: bool) -> Preparation:
    """How the published distillation takes a room: with photographs for the teacher, without for the student."""
    without = Preparation(
        voxel_size=0.02,
        attributes=(Attribute.COLOR, Attribute.NORMAL),
        rule=RULE,
        view_choice=ViewChoice.LAST,
    )
    return replace(without, max_views=VIEWS, image_size=IMAGE_SIZE) if images else without

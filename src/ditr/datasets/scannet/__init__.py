"""ScanNet: its two benchmarks, of 20 and of 200 classes, and how the published models take its scenes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from ditr.data.augment.variants import INDOOR as INDOOR_VARIANTS
from ditr.data.preparation import Attribute, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.benchmark import ROOMS, Benchmark
from ditr.datasets.counting import Absent, Counting
from ditr.datasets.scannet.classes import CLASSES, CLASSES_200, COLORS, COLORS_200, LABELS, LABELS_200
from ditr.datasets.scannet.groups import counting as counting_200
from ditr.datasets.scannet.prepared import IMAGE_SIZE, PreparedScanNet, open_scannet, scene_folders
from ditr.datasets.scannet.raw import raw_format
from ditr.datasets.scannet.submission import ScanNetSubmission
from ditr.geometry.projection import INDOOR

__all__ = [
    "CLASSES",
    "CLASSES_200",
    "COLORS",
    "COLORS_200",
    "IMAGE_SIZE",
    "LABELS",
    "LABELS_200",
    "RULE",
    "SCANNET",
    "SCANNET200",
    "VIEWS",
    "PreparedScanNet",
    "minkunet_preparation",
    "open_scannet",
    "preparation",
    "scene_folders",
]

RULE = INDOOR
VIEWS = 10
"""Photographs of a scene: at random in training, equidistant in the order of the frames afterwards."""


def preparation(images: bool) -> Preparation:
    """How the published PTv3 models take a scene, with 20 and with 200 classes alike.

    Where several photographs show a point its feature is that of the last one, in the order of the frames: that is what
    the weights were trained with, though the paper says a random one (section 3.1).
    """
    without = Preparation(
        voxel_size=0.02,
        attributes=(Attribute.COLOR, Attribute.NORMAL),
        rule=RULE,
        view_choice=ViewChoice.LAST,
    )
    return replace(without, max_views=VIEWS, image_size=IMAGE_SIZE) if images else without


def minkunet_preparation() -> Preparation:
    """How the MinkUNet that learned from DINOv2 (D-DITR) takes a scene: nine numbers per point, and no photographs."""
    return replace(preparation(False), attributes=(Attribute.COORD, Attribute.COLOR, Attribute.NORMAL))


SCANNET = Benchmark(
    name="ScanNet",
    classes=CLASSES,
    class_count=len(CLASSES),
    folder="scannet",
    open=open_scannet,
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS,
    labels=LABELS,
    voting=INDOOR_VARIANTS,
    minkunet=minkunet_preparation(),
    training_data=ROOMS,
    raw=raw_format(fine=False),
    submission=ScanNetSubmission(LABELS, LABELS_200, "ids of NYU40"),
    counting=Counting(Absent.LEFT_OUT),
)


SCANNET200 = Benchmark(
    name="ScanNet200",
    classes=CLASSES_200,
    class_count=len(CLASSES_200),
    folder="scannet",
    open=partial(open_scannet, fine=True),
    without_images=preparation(False),
    with_images=preparation(True),
    colors=COLORS_200,
    labels=LABELS_200,
    voting=INDOOR_VARIANTS,
    minkunet=minkunet_preparation(),
    training_data=ROOMS,
    raw=raw_format(fine=True),
    submission=ScanNetSubmission(LABELS_200, LABELS, "ids of ScanNet200"),
    counting=counting_200(CLASSES_200),
)

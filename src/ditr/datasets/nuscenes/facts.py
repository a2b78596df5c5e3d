"""nuScenes (lidarseg): its classes, cameras and splits, and how the published models take its sweeps."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.preparation import Attribute, Origin, Preparation
from ditr.data.sample import ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.datasets.raw import Download
from ditr.geometry.projection import OUTDOOR

__all__ = [
    "CAMERAS",
    "CATEGORIES",
    "CLASSES",
    "COLORS",
    "DOWNLOAD",
    "FOLDERS",
    "IMAGE_SIZE",
    "KEYFRAMES",
    "LABELS",
    "LIDAR",
    "MINI_VAL",
    "RULE",
    "STRENGTH_SCALE",
    "VAL",
    "VERSIONS",
    "preparation",
]

LIDAR = "LIDAR_TOP"
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


# ---- the download ---------------------------------------------------------------------------------------------------

FOLDERS = ("samples", "sweeps", "lidarseg")
"""In which all files of the dataset lie that are used here."""

CATEGORIES = (
    *("noise", "animal", "human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker"),
    *("human.pedestrian.personal_mobility", "human.pedestrian.police_officer", "human.pedestrian.stroller"),
    *("human.pedestrian.wheelchair", "movable_object.barrier", "movable_object.debris"),
    *("movable_object.pushable_pullable", "movable_object.trafficcone", "static_object.bicycle_rack"),
    *("vehicle.bicycle", "vehicle.bus.bendy", "vehicle.bus.rigid", "vehicle.car", "vehicle.construction"),
    *("vehicle.emergency.ambulance", "vehicle.emergency.police", "vehicle.motorcycle", "vehicle.trailer"),
    *("vehicle.truck", "flat.driveable_surface", "flat.other", "flat.sidewalk", "flat.terrain", "static.manmade"),
    *("static.other", "static.vegetation", "vehicle.ego"),
)
"""Of the raw ids 0..31, as ``category.json`` of nuScenes-lidarseg has them. (An older list of the documentation counts
otherwise.)"""

VERSIONS = {"v1.0-trainval": ("train", "val"), "v1.0-test": ("test",), "v1.0-mini": ("mini_train", "mini_val")}
"""Folders of tables, and the splits that their scenes are of."""

VAL = frozenset(
    f"scene-{number:04d}"
    for number in (
        3,
        *range(12, 19),
        35,
        36,
        38,
        39,
        *range(92, 111),
        221,
        *range(268, 279),
        *range(329, 333),
        *range(344, 347),
        *range(519, 525),
        *range(552, 566),
        *range(625, 628),
        629,
        630,
        *range(632, 639),
        770,
        771,
        775,
        777,
        778,
        *range(780, 785),
        *range(794, 801),
        802,
        *range(904, 918),
        *range(919, 932),
        962,
        963,
        *range(966, 970),
        971,
        972,
        *range(1059, 1074),
    )
)
"""Of v1.0-trainval; all its other scenes are for training."""
MINI_VAL = frozenset(("scene-0103", "scene-0916"))
"""Of v1.0-mini."""

KEYFRAMES = {"v1.0-trainval": (850, 34_149), "v1.0-test": (150, 6_008), "v1.0-mini": (10, 404)}
"""Scenes and keyframes of a whole version."""

DOWNLOAD = Download(
    address="https://www.nuscenes.org/nuscenes#download",
    terms="You need an account, and must accept the terms of use (CC BY-NC-SA 4.0, not for commercial use).",
    gigabytes={
        "v1.0-trainval metadata and ten parts of samples and sweeps": 293.0,
        "v1.0-test metadata and one part": 54.0,
        "nuScenes-lidarseg": 1.5,
    },
    pieces={"train": 700, "val": 150, "test": 150},
    unit="drives",
    counts={"keyframes of v1.0-trainval": 34_149, "keyframes of v1.0-test": 6_008},
    seconds=0.2,
)

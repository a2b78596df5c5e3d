"""Waymo Open (3D semantic segmentation): its classes and cameras, and how the published models take its sweeps."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.sample import Attribute, Box, Origin, Preparation, ViewChoice
from ditr.datasets.label_map import LabelMap
from ditr.geometry.projection import OUTDOOR

__all__ = ["BOX", "CAMERAS", "CLASSES", "COLORS", "IMAGE_HEIGHT", "IMAGE_SIZE", "LABELS", "RULE", "preparation"]

CAMERAS = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT")
"""In the order of the dataset's enumeration. The dataset says itself which camera shows a point: at most one."""
RULE = OUTDOOR
IMAGE_HEIGHT = 886
"""Rows of a photograph that are used: of those with 1280 the upper 394 are cut."""
IMAGE_SIZE = (308, 672)
BOX: Box = (-75.2, -75.2, -4.0, 75.2, 75.2, 2.0)

CLASSES = (
    "Car",
    "Truck",
    "Bus",
    "Other Vehicle",
    "Motorcyclist",
    "Bicyclist",
    "Pedestrian",
    "Sign",
    "Traffic Light",
    "Pole",
    "Construction Cone",
    "Bicycle",
    "Motorcycle",
    "Building",
    "Vegetation",
    "Tree Trunk",
    "Curb",
    "Road",
    "Lane Marker",
    "Other Ground",
    "Walkable",
    "Sidewalk",
)
COLORS: tuple[tuple[int, int, int], ...] | None = None
LABELS = LabelMap({i + 1: i for i in range(len(CLASSES))}, tuple(range(1, len(CLASSES) + 1)))
"""Raw id 0 is undefined."""


def preparation(images: bool) -> Preparation:
    """How the published models take a sweep, in the vehicle's frame.

    Strengths are expected as the hyperbolic tangent of the dataset's intensities, as the prepared folders store them.
    """
    without = Preparation(
        voxel_size=0.05,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=RULE,
        view_choice=ViewChoice.LAST,
        origin=Origin.SENSOR,
        clip_box=BOX,
    )
    return replace(without, image_size=IMAGE_SIZE) if images else without

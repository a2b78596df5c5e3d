"""Waymo Open, semantic segmentation."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import waymo
from ditr.recipes.common import GIANT, LARGE, distilled, outdoor, with_images
from ditr.recipes.nuscenes import with_joint_norms
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["d_ditr", "d_ditr_single", "distill", "ditr", "ptv3"]


def ptv3() -> Recipe:
    """Points alone, moved into a box of 150 x 150 x 6 m."""
    return outdoor(JointDataset("Waymo", splits=("train",), held_out=("val",)), waymo.preparation(False))


def ditr() -> Recipe:
    """With all five photographs of a sweep."""
    return with_images(ptv3(), waymo.preparation(True), GIANT)


def distill() -> Recipe:
    """The student of Waymo alone. Its published configuration does not run; this is that of nuScenes, with Waymo."""
    recipe = distilled(with_images(ptv3(), waymo.preparation(True), LARGE))
    return replace(recipe, validate_epochs=10)


def d_ditr() -> Recipe:
    """The joint student, fine-tuned with the whole schedule."""
    return with_joint_norms(ptv3())


def d_ditr_single() -> Recipe:
    """The student of Waymo alone, fine-tuned with the whole schedule; ``init`` names it."""
    return ptv3()

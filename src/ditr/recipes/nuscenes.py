"""nuScenes, alone and as the main dataset of the joint outdoor distillation."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import nuscenes, semantic_kitti, waymo
from ditr.models.ptv3 import PTv3Config
from ditr.nn.norms import DatasetNorms
from ditr.recipes.common import GIANT, LARGE, distilled, outdoor, with_images
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["OUTDOOR_NORMS", "STUDENT", "d_ditr", "d_ditr_joint", "distill", "distill_jointly", "ditr"]
__all__ += ["ptv3", "with_joint_norms"]

OUTDOOR_NORMS = DatasetNorms(("nuScenes", "SemanticKITTI", "Waymo"))
"""The published file of the joint run shares the norms, but those of its fine-tunings have them per dataset, and so has
the paper; so the run behind the figures must have had them."""
STUDENT = "distilled-nuscenes-dinov2-l"
"""The published student of nuScenes alone; that of the joint run is not published."""


def ptv3() -> Recipe:
    """Points alone."""
    return outdoor(JointDataset("nuScenes", splits=("train",), held_out=("val",)), nuscenes.preparation(False))


def ditr() -> Recipe:
    """With all six photographs of a sweep."""
    return with_images(ptv3(), nuscenes.preparation(True), GIANT)


def distill() -> Recipe:
    """The student of nuScenes alone, tried out five times; its teacher is the large network."""
    recipe = distilled(with_images(ptv3(), nuscenes.preparation(True), LARGE))
    return replace(recipe, validate_epochs=10)


def distill_jointly() -> Recipe:
    """Batches of three datasets in turn, an epoch being one of nuScenes: 351,600 steps (350,000, says the paper)."""
    recipe = distill()
    others = {"SemanticKITTI": semantic_kitti.preparation(True), "Waymo": waymo.preparation(True)}
    return replace(
        recipe,
        network=PTv3Config(norms=OUTDOOR_NORMS),
        datasets=(
            *recipe.datasets,
            *(JointDataset(name, preparation=made, splits=("train",)) for name, made in others.items()),
        ),
    )


def with_joint_norms(recipe: Recipe) -> Recipe:
    """The same run on a network of the joint student, through its norms of the dataset."""
    return replace(recipe, network=PTv3Config(norms=OUTDOOR_NORMS))


def d_ditr() -> Recipe:
    """The student of nuScenes alone, fine-tuned with the whole schedule."""
    return replace(ptv3(), init=STUDENT)


def d_ditr_joint() -> Recipe:
    """The joint student, fine-tuned with the whole schedule."""
    return with_joint_norms(ptv3())

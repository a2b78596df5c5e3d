"""S3DIS: training on areas 1, 2, 3, 4 and 6, tried out on area 5."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import s3dis
from ditr.models.ptv3 import PTv3Config
from ditr.nn.attention import position_bound
from ditr.recipes.common import LARGE, gently, indoor, with_images
from ditr.recipes.scannet import ptv3_joint_norms
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["d_ditr", "ditr", "ptv3", "ptv3_with_positions"]

EPOCHS = 3000
SMALL_PATCH = 128


def ptv3() -> Recipe:
    """Points alone. The paper tells of elastic distortion on all indoor datasets; the published run had none here."""
    recipe = indoor(JointDataset("S3DIS", splits=("train",), held_out=("val",)), s3dis.preparation(False), crop=204_800)
    return replace(
        recipe,
        augmentation=replace(recipe.augmentation, elastic=False, crop_share=0.6),
        epochs=EPOCHS,
        validate_epochs=EPOCHS // 100,
    )


def ptv3_with_positions() -> Recipe:
    """PTv3's own best: patches of 128 voxels and learned relative positions."""
    network = PTv3Config(patch_size=SMALL_PATCH, position_bound=position_bound(SMALL_PATCH))
    return replace(ptv3(), network=network)


def ditr() -> Recipe:
    """With ten photographs, whose visibility is tested by depth alone (the paper's 1 to 4 m are not applied)."""
    return with_images(ptv3(), s3dis.preparation(True), LARGE)


def d_ditr() -> Recipe:
    """The joint student of ScanNet and Structured3D, fine-tuned through its norms of ScanNet, tried out 30 times."""
    recipe = gently(ptv3_joint_norms(ptv3()))
    return replace(recipe, validate_epochs=10)

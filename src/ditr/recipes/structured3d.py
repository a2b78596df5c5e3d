"""Structured3D's part in joint distillation; there is no run on it alone."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import structured3d
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["joint"]


def joint(recipe: Recipe) -> JointDataset:
    """Every second batch of the run; all three splits, since no labels are used, with three photographs of a room."""
    return JointDataset(
        "Structured3D",
        ratio=1,
        preparation=structured3d.preparation(True),
        augmentation=replace(recipe.augmentation, crop=204_800, crop_share=0.8),
        splits=("train", "val", "test"),
    )

"""What the recipes of several datasets share, each number once (paper, section 4.2 and appendix A)."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.preparation import Preparation
from ditr.training.recipe import Augmentation, DistillTask, JointDataset, Method, OptimizerSettings, Recipe

__all__ = ["GIANT", "INDOOR_EPOCHS", "INDOOR_STEPS", "LARGE", "MINKUNET_STEPS", "MIX3D", "OUTDOOR_STEPS"]
__all__ += ["distilled", "gently", "indoor", "outdoor", "with_images"]

LARGE = "dinov2-large-reg"
"""Of the indoor models, and the teacher of all students that are published, whatever the dataset."""
GIANT = "dinov2-giant-reg"
"""Of the paper's outdoor figures; the published configurations name the large one and leave this to the command."""

MIX3D = 0.8
BATCH_SIZE = 12
INDOOR_EPOCHS = 800
OUTDOOR_EPOCHS = 50

INDOOR_STEPS = OptimizerSettings(
    lr=6e-3, block_lr=6e-4, weight_decay=0.05, warmup=0.05, div_factor=10.0, final_div_factor=1000.0
)
OUTDOOR_STEPS = OptimizerSettings(
    lr=2e-3, block_lr=2e-4, weight_decay=0.005, warmup=0.04, div_factor=10.0, final_div_factor=100.0
)
MINKUNET_STEPS = OptimizerSettings(
    method=Method.SGD,
    lr=0.05,
    block_lr=None,
    weight_decay=1e-4,
    warmup=0.05,
    div_factor=10.0,
    final_div_factor=10_000.0,
)


def indoor(dataset: JointDataset, preparation: Preparation, *, crop: int = 102_400) -> Recipe:
    """PTv3 on rooms; the model is tried out a hundred times, as published."""
    return Recipe(
        preparation=preparation,
        augmentation=Augmentation("indoor", crop=crop, mix3d=MIX3D),
        optimizer=INDOOR_STEPS,
        datasets=(dataset,),
        epochs=INDOOR_EPOCHS,
        validate_epochs=INDOOR_EPOCHS // 100,
        batch_size=BATCH_SIZE,
    )


def outdoor(dataset: JointDataset, preparation: Preparation) -> Recipe:
    """PTv3 on sweeps of a LiDAR; the model is tried out after each epoch, as published."""
    return Recipe(
        preparation=preparation,
        augmentation=Augmentation("outdoor", mix3d=MIX3D),
        optimizer=OUTDOOR_STEPS,
        datasets=(dataset,),
        epochs=OUTDOOR_EPOCHS,
        validate_epochs=1,
        batch_size=BATCH_SIZE,
    )


def with_images(recipe: Recipe, preparation: Preparation, encoder: str) -> Recipe:
    """DITR: the same run, with photographs."""
    return replace(
        recipe, preparation=preparation, encoder=encoder, augmentation=replace(recipe.augmentation, images=True)
    )


def distilled(recipe: Recipe) -> Recipe:
    """D-DITR's first half: the encoder of a run with photographs becomes the teacher of a network without."""
    return replace(recipe, task=DistillTask())


def gently(recipe: Recipe) -> Recipe:
    """A tenth of the epochs and of the learning rates, except for the head's (appendix A), on a distilled network."""
    assert recipe.epochs is not None and recipe.validate_epochs is not None
    steps = recipe.optimizer
    assert steps.block_lr is not None
    return replace(
        recipe,
        epochs=recipe.epochs // 10,
        # As many validations as epochs where there were more.
        validate_epochs=max(1, recipe.validate_epochs // 10),
        optimizer=replace(steps, block_lr=_tenth(steps.block_lr), rates=(("^backbone", _tenth(steps.lr)),)),
    )


def _tenth(rate: float) -> float:
    return round(rate / 10, 12)

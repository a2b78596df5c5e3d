"""Recipes for one's own captures, indoors and outdoors: the published numbers, and a small network for a CPU."""

from __future__ import annotations

from dataclasses import replace

from ditr.data.preparation import Attribute, Origin, Preparation, profile_rule
from ditr.data.sample import lacking_attributes
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR, OUTDOOR, VisibilityRule
from ditr.models.ptv3 import PTv3Config
from ditr.recipes.common import INDOOR_STEPS, OUTDOOR_STEPS
from ditr.scene import Scene
from ditr.training.recipe import Augmentation, OptimizerSettings, Recipe

__all__ = ["SIZES", "SMALL_NETWORK", "check_outdoors", "full", "recipe_for", "small"]

SMALL_NETWORK = PTv3Config(
    encoder_depths=(1, 1, 1, 1),
    encoder_channels=(32, 48, 64, 96),
    encoder_heads=(2, 3, 4, 6),
    decoder_depths=(1, 1, 1),
    decoder_channels=(48, 48, 64),
    decoder_heads=(3, 3, 4),
    patch_size=256,
    drop_path=0.3,
    image_drop=0.2,
)
"""About 1.2 million parameters: a step with two rooms of 5,000 voxels takes half a second on one core."""


def full(profile: str) -> Recipe:
    """The published network and schedule: as ScanNet200 indoors, as nuScenes outdoors (facts of the paper's runs)."""
    if profile == "indoor":
        return Recipe(
            preparation=Preparation(voxel_size=0.02, rule=INDOOR),
            augmentation=Augmentation("indoor", crop=102_400),
            optimizer=INDOOR_STEPS,
        )
    return Recipe(
        preparation=_outdoor(0.05),
        augmentation=Augmentation("outdoor"),
        optimizer=OUTDOOR_STEPS,
        steps=117_200,
    )


def small(profile: str) -> Recipe:
    """Coarse voxels, a small network and a short schedule, higher rates (of BatchNorm too) and clipping."""
    recipe = Recipe(
        network=SMALL_NETWORK,
        # Rooms are small: the published lower limit of 1 m would hide half of a view.
        preparation=Preparation(voxel_size=0.08, rule=VisibilityRule(min_depth=0.3, depth_margin=0.2)),
        # A crop of each room costs less than the room, and shows it again each time.
        augmentation=Augmentation("light", crop=5_500),
        optimizer=OptimizerSettings(lr=4e-3, block_lr=4e-3, warmup=0.1, clip=1.0),
        steps=160,
        batch_size=2,
        # The published 0.01 would leave a fifth of the initial averages.
        batch_norm_momentum=0.05,
    )
    if profile == "indoor":
        return recipe
    return replace(recipe, preparation=_outdoor(0.2), augmentation=Augmentation("outdoor"))


SIZES = {"small": small, "full": full}
"""Recipes for captures of one's own, by name."""


def recipe_for(name: str, scene: Scene) -> Recipe:
    """``small`` or ``full`` for captures that are like ``scene``."""
    return SIZES[name](profile_rule(scene)[0])


def check_outdoors(scene: Scene, preparation: Preparation) -> None:
    """A room without depth maps and colours is taken for a place outdoors; that it has no strength tells it.

    Raises:
        InputError: nobody said that the scene is outdoors, and its points lack what a network for outdoors takes.
    """
    lacks = Attribute.STRENGTH in lacking_attributes(scene, preparation)
    if scene.reading.profile is None and profile_rule(scene)[0] == "outdoor" and lacks:
        raise InputError(
            f"scene {scene.name}",
            "nothing shows that it is indoors, so it is treated as an outdoor capture, whose network takes strength as "
            "input, "
            "but its points have no strength",
            "Give --profile indoor for rooms, or --set preparation.attributes=coord or --substitute strength=VALUE "
            "outdoors",
        )


def _outdoor(voxel_size: float) -> Preparation:
    return Preparation(
        voxel_size=voxel_size,
        attributes=(Attribute.COORD, Attribute.STRENGTH),
        rule=OUTDOOR,
        origin=Origin.SENSOR,
    )

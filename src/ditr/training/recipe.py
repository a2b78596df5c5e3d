"""A recipe: every number of a training run, typed, and written beside the run."""

from __future__ import annotations

from dataclasses import dataclass, field

from ditr.data.augment.colors import ChromaticAutoContrast, ChromaticJitter, ChromaticTranslation
from ditr.data.augment.images import ImageAugmentation, image_augmentations
from ditr.data.augment.point_set import PointAugmentation
from ditr.data.augment.points import (
    CenterShift,
    PointClip,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
    SphereCrop,
    indoor_augmentations,
    outdoor_augmentations,
)
from ditr.data.sample import Preparation
from ditr.files import InputError
from ditr.models.ptv3 import PTv3Config

__all__ = ["Augmentation", "OptimizerSettings", "Recipe"]


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations a run uses.

    Attributes:
        points: "indoor" or "outdoor" (as published), "light" (for coarse voxels and short runs: no elastic distortion,
            no dropping of points), or "none".
        elastic: with "indoor", whether the scene is distorted too.
        crop: at most so many voxels of a scene; None for all.
        images: colour jitter and flips of the photographs; their features then cannot be cached.
    """

    points: str = "indoor"
    elastic: bool = True
    crop: int | None = None
    images: bool = False

    def of_points(self, clip: PointClip | None = None) -> tuple[PointAugmentation, ...]:
        """The chain; ``clip`` is the preparation's box, which only the outdoor chain has a place of its own for."""
        chains: dict[str, tuple[PointAugmentation, ...]] = {
            "none": (),
            "indoor": indoor_augmentations(elastic=self.elastic),
            "outdoor": outdoor_augmentations(clip),
            "light": (
                CenterShift(),
                RandomRotate("z", (-1.0, 1.0), center=(0.0, 0.0, 0.0), p=1.0),
                RandomScale(),
                RandomFlip(),
                RandomJitter(),
                ChromaticAutoContrast(),
                ChromaticTranslation(),
                ChromaticJitter(),
            ),
        }
        if self.points not in chains:
            raise InputError("augmentation.points", f"it is {self.points!r}", f"Use one of {', '.join(chains)}")
        return chains[self.points]

    def of_voxels(self) -> tuple[PointAugmentation, ...]:
        return () if self.crop is None else (SphereCrop(self.crop), CenterShift(z=False))

    def of_images(self) -> tuple[ImageAugmentation, ...]:
        return image_augmentations() if self.images else ()


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW with a one-cycle schedule.

    Attributes:
        lr: highest learning rate.
        block_lr: highest learning rate of the transformer blocks.
        weight_decay: on all parameters, biases and norms too (as published).
        warmup: share of the steps in which the learning rate rises.
        div_factor, final_div_factor: the first learning rate is lr / div_factor, the last one that / final_div_factor.
        clip: largest norm of the gradient; None for no clipping (as published).
    """

    lr: float = 6e-3
    block_lr: float = 6e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    div_factor: float = 10.0
    final_div_factor: float = 1000.0
    clip: float | None = None


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run learns, but for the data.

    Attributes:
        network: sizes; its ``in_channels`` and ``image_width`` follow from ``preparation`` and ``encoder``.
        preparation: how scenes become samples.
        encoder: the image encoder, as for ``load_image_encoder``; None for PTv3 without images.
        augmentation: of points and photographs.
        optimizer: step sizes.
        steps: optimizer steps.
        batch_size: scenes per step and process.
        accumulate: so many batches make one optimizer step.
        lovasz: weight of the Lovász-softmax loss beside cross-entropy.
        seed: of everything.

    Raises:
        InputError: a number of steps, scenes or batches below 1, or a negative seed.
    """

    network: PTv3Config = field(default_factory=PTv3Config)
    preparation: Preparation = field(default_factory=Preparation)
    encoder: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    steps: int = 80_000
    batch_size: int = 12
    accumulate: int = 1
    lovasz: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "accumulate"):
            if getattr(self, name) < 1:
                raise InputError(name, f"it is {getattr(self, name)}", "Give 1 or more")
        if self.seed < 0:
            raise InputError("seed", f"it is {self.seed}", "Give 0 or more")

"""A recipe: every number of a training run, typed, and written beside the run.

As JSON (:func:`read_recipe`) it has the same names; what is left out has the default.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Literal

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
from ditr.data.preparation import Preparation
from ditr.errors import InputError
from ditr.io.json_file import read_json
from ditr.io.settings_json import from_plain
from ditr.models.backbone import NetworkConfig
from ditr.models.ptv3 import PTv3Config

__all__ = [
    "Augmentation",
    "DistillTask",
    "JointDataset",
    "Method",
    "OptimizerSettings",
    "Recipe",
    "SegmentTask",
    "Task",
    "read_recipe",
]


@dataclass(frozen=True)
class Augmentation:
    """Which augmentations a run uses.

    Attributes:
        points: "indoor" or "outdoor" (as published), "light" (for coarse voxels and short runs: no elastic distortion,
            no dropping of points), or "none".
        elastic: with "indoor", whether the scene is distorted too.
        crop: at most so many voxels of a scene; None for all.
        crop_share: before that, at most this share of its voxels, around another point; None for all.
        images: colour jitter and flips of the photographs; their features then cannot be cached.
        mix3d: probability with which the scenes of a batch are laid into each other in pairs (0.8 in all published
            runs; Nekrasov et al., "Mix3D", 2021).
    """

    points: str = "indoor"
    elastic: bool = True
    crop: int | None = None
    crop_share: float | None = None
    images: bool = False
    mix3d: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.mix3d <= 1:
            raise InputError("mix3d", f"it is {self.mix3d}", "Give a probability between 0 and 1")

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

    def of_voxels(self, *, recenter: bool = True) -> tuple[PointAugmentation, ...]:
        """The crops; ``recenter`` moves what is left to the middle, which takes coordinates their sensor's origin."""
        crops = [] if self.crop_share is None else [SphereCrop(share=self.crop_share)]
        crops += [] if self.crop is None else [SphereCrop(self.crop)]
        return (*crops, CenterShift(z=False)) if crops and recenter else tuple(crops)

    def of_images(self) -> tuple[ImageAugmentation, ...]:
        return image_augmentations() if self.images else ()


@dataclass(frozen=True)
class SegmentTask:
    """Learn the classes of labelled points.

    Attributes:
        cross_entropy, lovasz: weights of the two losses.
        class_weights: of the cross-entropy, one per class; none for equal ones.
        without_images: share of the loss that the same scenes have without their photographs, so that a network with
            images learns to do without; 0 for none, as published. Every step decodes twice then.
    """

    cross_entropy: float = 1.0
    lovasz: float = 1.0
    class_weights: tuple[float, ...] = ()
    without_images: float = 0.0
    kind: Literal["segmentation"] = "segmentation"

    def __post_init__(self) -> None:
        _check_weights("cross_entropy and lovasz", self.cross_entropy, self.lovasz)
        if self.class_weights:
            _check_weights("class_weights", *self.class_weights)
        if not 0 <= self.without_images < 1:
            raise InputError("without_images", f"it is {self.without_images}", "Give 0 or more, and less than 1")


@dataclass(frozen=True)
class DistillTask:
    """Learn the image features of the points that some view sees (paper, section 3.2); needs no labels.

    Attributes:
        cosine: weight of the loss of the patch features.
        cls: weight of the loss of the [cls] tokens.
        cls_tokens: how many views' [cls] tokens the bottleneck predicts; 0 for none, as in all published runs.
        head_per_dataset: whether every dataset of the network's norms has a head of its own.
        whiten: so many principal directions of the teacher's features are brought to the same variance, and the student
            learns these (see :class:`ditr.models.distillation.Whitening`); 0 for the features themselves, as published.
    """

    cosine: float = 1.0
    cls: float = 1.0
    cls_tokens: int = 0
    head_per_dataset: bool = False
    whiten: int = 0
    kind: Literal["distillation"] = "distillation"

    def __post_init__(self) -> None:
        _check_weights("cosine and cls", self.cosine, self.cls)
        for name in ("cls_tokens", "whiten"):
            if getattr(self, name) < 0:
                raise InputError(name, f"it is {getattr(self, name)}", "Give 0 or more")


Task = SegmentTask | DistillTask


def _check_weights(name: str, *values: float) -> None:
    if not all(math.isfinite(value) and value >= 0 for value in values) or not any(values):
        raise InputError(name, f"they are {list(values)}", "Give weights of 0 or more, at least one of them above")


class Method(Enum):
    """How gradients become steps."""

    ADAMW = "adamw"
    SGD = "sgd"
    """With Nesterov's momentum, as for the published MinkUNet."""


@dataclass(frozen=True)
class OptimizerSettings:
    """AdamW or SGD with a one-cycle schedule.

    The published fine-tuning (a tenth of the rate but for the head) is ``lr=6e-3, block_lr=6e-5, rates=(("^backbone",
    6e-4),)``: the head is what the patterns leave.

    Attributes:
        lr: highest learning rate of what no pattern takes.
        block_lr: highest learning rate of the blocks; None where they have none of their own.
        rates: more patterns (regular expressions, anywhere in a parameter's name) with their highest learning rates;
            the blocks come before them, and of several that match the first counts.
        weight_decay: on all parameters, biases and norms too (as published).
        warmup: share of the steps in which the learning rate rises.
        div_factor, final_div_factor: the first learning rate is lr / div_factor, the last one that / final_div_factor.
        clip: largest norm of the gradient; None for no clipping (as published).
        method: AdamW or SGD.
        momentum: lowest and highest beta1 of AdamW, or momentum of SGD; it falls while the learning rate rises.
    """

    lr: float = 6e-3
    block_lr: float | None = 6e-4
    weight_decay: float = 0.05
    warmup: float = 0.05
    div_factor: float = 10.0
    final_div_factor: float = 1000.0
    clip: float | None = None
    rates: tuple[tuple[str, float], ...] = ()
    method: Method = Method.ADAMW
    momentum: tuple[float, float] = (0.85, 0.95)

    @property
    def patterns(self) -> tuple[tuple[str, float], ...]:
        """All of them, in the order in which they are tried."""
        blocks = () if self.block_lr is None else ((r"blocks\.", self.block_lr),)
        return (*blocks, *self.rates)


@dataclass(frozen=True)
class JointDataset:
    """One of several datasets of a run; every batch comes from one of them.

    Attributes:
        name: under which the run gives its scenes.
        ratio: so many batches in turn.
        norms: whose norms of the network serve it, where these exist per dataset; None for those of its own name.
        preparation, augmentation: where they are other than the recipe's.
        splits: of the prepared dataset of that name; none for a folder of captures.
        held_out: splits on which the model is tried out while it trains; asked of the main dataset alone.
        scenes: a list of scenes in the dataset's folder, to which it is limited; None for all of them.
    """

    name: str
    ratio: int = 1
    norms: str | None = None
    preparation: Preparation | None = None
    augmentation: Augmentation | None = None
    splits: tuple[str, ...] = ()
    held_out: tuple[str, ...] = ()
    scenes: str | None = None

    def __post_init__(self) -> None:
        if self.ratio < 1:
            raise InputError(f"ratio of {self.name}", f"it is {self.ratio}", "Give 1 or more")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides what a run learns, except for the data.

    Attributes:
        network: sizes; its ``in_channels`` and ``image_width`` follow from ``preparation``, ``encoder`` and ``task``.
        preparation: how scenes become samples.
        encoder: the image encoder, as for ``load_image_encoder``; None for PTv3 without images. In distillation the
            teacher, which the network does not see.
        augmentation: of points and photographs.
        optimizer: step sizes.
        task: what is learned, and the weights of its losses.
        datasets: of a joint run, the main one first; none where the run has one dataset without a name.
        labelled_points: so many random points of each training scene keep their label; None for all ("limited
            annotations"; 20, 50, 100 and 200 in ScanNet's data-efficient benchmark).
        init: folder of a trained model whose backbone this run starts from; its heads are left out.
        steps: optimizer steps.
        epochs: passes over the (main) dataset in place of ``steps``; scenes that fill no batch do not count.
        batch_size: scenes per step and process.
        accumulate: so many batches make one optimizer step.
        batch_norm_momentum: weight of the newest batch in BatchNorm's running averages. The published 0.01 leaves
            0.99^steps of the initial ones: a fifth after 160 steps, so short runs need more.
        sync_batch_norm: whether several processes take BatchNorm's statistics together (off in all published runs).
        validate_every: steps between validations, where the run has scenes for them; None for one at the end.
        validate_epochs: the same in epochs.
        bad_steps: a run stops when so many steps in a row had a loss or gradient that was not finite.
        seed: of everything.

    Raises:
        InputError: a number of steps, scenes or batches below 1, a negative seed, or parts that do not go together.
    """

    network: NetworkConfig = field(default_factory=PTv3Config)
    preparation: Preparation = field(default_factory=Preparation)
    encoder: str | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    task: Task = field(default_factory=SegmentTask)
    datasets: tuple[JointDataset, ...] = ()
    labelled_points: int | None = None
    init: str | None = None
    steps: int = 80_000
    epochs: int | None = None
    batch_size: int = 12
    accumulate: int = 1
    batch_norm_momentum: float = 0.01
    sync_batch_norm: bool = False
    validate_every: int | None = None
    validate_epochs: int | None = None
    bad_steps: int = 3
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("steps", "epochs", "batch_size", "accumulate", "validate_every", "validate_epochs", "bad_steps")
        for name in (*counts, "labelled_points"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(name, f"it is {value}", "Give 1 or more")
        if not 0 < self.batch_norm_momentum <= 1:
            raise InputError(
                "batch_norm_momentum", f"it is {self.batch_norm_momentum}", "Give a number above 0, at most 1"
            )
        if self.seed < 0:
            raise InputError("seed", f"it is {self.seed}", "Give 0 or more")
        if self.validate_every is not None and self.validate_epochs is not None:
            raise InputError("validate_every", "validate_epochs is given too", "Give one of them")
        self._check_task()
        self._check_datasets()

    def _check_task(self) -> None:
        if not isinstance(self.task, DistillTask):
            if self.task.without_images and self.encoder is None:
                raise InputError("without_images", "there are no images to drop", "Name an encoder, or set it to 0")
            return
        if self.encoder is None:
            raise InputError("task", "distillation needs a teacher", "Name it as the encoder")
        if self.task.cls_tokens and any(augmentation.mix3d for augmentation in self._augmentations()):
            raise InputError("cls_tokens", "two mixed scenes would share the tokens of one", "Set mix3d to 0")

    def _check_datasets(self) -> None:
        names = [dataset.name for dataset in self.datasets]
        if len(set(names)) < len(names):
            raise InputError("datasets", f"{', '.join(names)}: one occurs twice", "Name each once")
        for dataset in self.datasets:
            made = dataset.preparation
            if made is not None and made.in_channels != self.preparation.in_channels:
                raise InputError(
                    f"dataset {dataset.name}",
                    f"its points have {made.in_channels} input features; but the recipe has "
                    f"{self.preparation.in_channels}",
                    "Give all datasets the same attributes",
                )

    def _augmentations(self) -> tuple[Augmentation, ...]:
        return (self.augmentation, *(d.augmentation for d in self.datasets if d.augmentation is not None))

    def in_steps(self, scenes: Sequence[int], processes: int = 1) -> Recipe:
        """The recipe for datasets of so many scenes, all that is given in epochs said in steps."""
        if self.epochs is None and self.validate_epochs is None:
            return self
        ratios = [dataset.ratio for dataset in self.datasets] or [1]
        main = max(1, scenes[0] // (self.batch_size * processes))
        batches = main // ratios[0] * sum(ratios) + main % ratios[0]

        def steps(epochs: int) -> int:
            return max(1, epochs * batches // self.accumulate)

        return replace(
            self,
            steps=self.steps if self.epochs is None else steps(self.epochs),
            epochs=None,
            validate_every=self.validate_every if self.validate_epochs is None else steps(self.validate_epochs),
            validate_epochs=None,
        )


def read_recipe(path: Path) -> Recipe:
    """The recipe of a JSON file, or of the ``recipe.json`` of a run.

    Raises:
        InputError: no such file, no JSON, or settings that are unknown, of another type or do not go together.
    """
    content = read_json(path, "Give a recipe as JSON")
    if isinstance(content, dict) and isinstance(content.get("recipe"), dict):
        content = content["recipe"]
    return from_plain(Recipe, content, str(path))

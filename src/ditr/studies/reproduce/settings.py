"""How large the miniatures are, and the recipes and worlds that the tables share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from ditr.nn.norms import DatasetNorms
from ditr.recipes.captures import small
from ditr.studies.reproduce.experiment import RoomsWorld, Stage, StreetsWorld, World
from ditr.training.recipe import DistillTask, JointDataset, Recipe
from ditr.worlds.rooms import CLASS_NAMES, FLAT, RoomsStyle
from ditr.worlds.streets import StyleName

__all__ = [
    "FULL",
    "HALL",
    "QUICK",
    "STUDIO",
    "Scale",
    "distilled",
    "fine_tuned",
    "indoor",
    "outdoor",
    "sequence",
    "with_norms",
]

STUDIO = RoomsStyle("studio", CLASS_NAMES, length=(3.6, 4.2), width=(2.9, 3.4), height=(2.5, 2.8))
"""Larger rooms than FLAT: the second dataset of the joint distillation, as Structured3D is in the paper."""

HALL = RoomsStyle("hall", CLASS_NAMES, length=(4.2, 4.8), width=(3.2, 3.8), height=(2.8, 3.1))
"""Larger still, and in no distillation: what S3DIS is in the paper."""


@dataclass(frozen=True)
class Scale:
    """Sizes of worlds and trainings; every variant of a table has the same.

    Attributes:
        rooms, scans, sequences: number of training and test scenes of each kind.
        voxel_size, outdoor_voxel_size: edges of the voxels, in metres.
        crop: at most so many voxels of a training scene.
        views: photographs of a room.
        frames: photographs of a room of a sequence.
        limited: training rooms of the limited reconstructions.
        steps: of a training indoors.
        outdoor_steps: of a training outdoors, whose steps cost more.
        distill_steps, outdoor_distill_steps: of a distillation.
        encoder, control: the image encoder, and the one of random weights.
        local: more encoders, as folders, for Table 6.
        quick: whether this is a smoke run, whose figures mean nothing.
    """

    rooms: tuple[int, int] = (60, 16)
    scans: tuple[int, int] = (48, 16)
    sequences: tuple[int, int] = (30, 12)
    voxel_size: float = 0.1
    outdoor_voxel_size: float = 0.3
    crop: int = 2_500
    views: int = 6
    frames: int = 30
    limited: int = 100
    steps: int = 120
    outdoor_steps: int = 100
    distill_steps: int = 200
    outdoor_distill_steps: int = 140
    encoder: str = "dinov2-small-derived"
    control: str = "random:dinov2-small"
    local: tuple[str, ...] = ()
    quick: bool = False

    def room(self, style: RoomsStyle = FLAT, *, coarse: bool = False) -> RoomsWorld:
        return RoomsWorld(*self.rooms, views=self.views, style=style, coarse=coarse)

    def street(self, style: StyleName) -> StreetsWorld:
        return StreetsWorld(style, *self.scans)


FULL = Scale()
QUICK = Scale(
    rooms=(6, 3),
    scans=(4, 2),
    sequences=(4, 2),
    views=4,
    limited=100,
    steps=8,
    outdoor_steps=4,
    distill_steps=8,
    outdoor_distill_steps=6,
    quick=True,
)


def sequence(scale: Scale) -> RoomsWorld:
    """Rooms with so many frames that a network sees a part of them at a time."""
    return RoomsWorld(*scale.sequences, views=scale.frames)


def indoor(scale: Scale, encoder: str | None = None, **preparation: Any) -> Recipe:
    """The small indoor recipe; ``preparation`` are changes of how scenes become samples."""
    return _scaled(small("indoor"), scale, encoder, scale.steps, voxel_size=scale.voxel_size, **preparation)


def outdoor(scale: Scale, encoder: str | None = None) -> Recipe:
    """The small outdoor recipe."""
    return _scaled(small("outdoor"), scale, encoder, scale.outdoor_steps, voxel_size=scale.outdoor_voxel_size)


def _scaled(recipe: Recipe, scale: Scale, encoder: str | None, steps: int, **preparation: Any) -> Recipe:
    return replace(
        recipe,
        encoder=encoder,
        steps=steps,
        preparation=replace(recipe.preparation, **preparation),
        augmentation=replace(recipe.augmentation, crop=scale.crop),
    )


def with_norms(recipe: Recipe, names: tuple[str, ...], norms: tuple[str, ...] = ()) -> Recipe:
    """The recipe for datasets of these names, with BatchNorms and LayerNorms of their own for each of ``norms``.

    A dataset without norms of its own takes the first ones.
    """
    norms = norms or names
    datasets = tuple(JointDataset(name, norms=name if name in norms else norms[0]) for name in names)
    return replace(recipe, network=replace(recipe.network, norms=DatasetNorms(norms)), datasets=datasets)


def distilled(
    scale: Scale,
    name: str,
    recipe: Recipe,
    worlds: tuple[World, ...],
    *,
    teacher: str | None = None,
    whiten: int = 0,
    times: int = 1,
) -> Stage:
    """The distillation of the encoder, or of another ``teacher``, into the network of a recipe without an encoder.

    Args:
        scale: of the steps.
        name: of the training.
        recipe: of the segmentation that follows.
        worlds: whose photographs are used.
        teacher: instead of the scale's encoder.
        whiten: how many directions of its features are whitened.
        times: so many times the scale's steps.
    """
    steps = times * (scale.distill_steps if isinstance(worlds[0], RoomsWorld) else scale.outdoor_distill_steps)
    recipe = replace(recipe, task=DistillTask(whiten=whiten), encoder=teacher or scale.encoder, steps=steps)
    return Stage(name, recipe, worlds)


def fine_tuned(name: str, recipe: Recipe, world: World, start: Stage, share: float = 1.0) -> Stage:
    """A segmentation that starts from a student, with the default schedule (the paper's ScanNet200)."""
    return Stage(name, recipe, (world,), start, share)

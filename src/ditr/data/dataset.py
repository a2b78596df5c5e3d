"""Scenes on disk as samples for training: the same item gives the same sample in any worker, in any run.

All that is random in a sample comes from (seed, epoch, index of the scene), so neither the number of workers nor a
resumed run changes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset, Sampler

from ditr.captures.classes import with_classes
from ditr.captures.folders import Captures
from ditr.data.augment.images import ImageAugmentation
from ditr.data.augment.point_set import PointAugmentation
from ditr.data.normals import with_all_normals
from ditr.data.preparation import Preparation
from ditr.data.sample import Sample, prepare
from ditr.data.scene_views import SceneViews, training_rows, view_features
from ditr.encoders.encoding import CachedEncoding
from ditr.geometry.orientation import find_up, rotation_upright
from ditr.geometry.pyramid import PyramidSpec
from ditr.scene import ReadOptions, Scene, SceneSource

__all__ = ["Item", "Shuffle", "TrainingSet"]


@dataclass(frozen=True)
class Item:
    """One draw of one scene."""

    epoch: int
    index: int


class TrainingSet(Dataset[Sample]):
    """Augmented samples of captures, or of another source of scenes with labels.

    Args:
        scenes: the captures' folders, or the source.
        preparation: how scenes become samples.
        pyramid: the geometry that the network asks for.
        seed: of the run.
        augmentations: of the points, before they are voxelised.
        crop: of the voxels.
        image_augmentations: of the photographs; these are then encoded again in each step.
        encoding: of the photographs; None for networks without images.
        keep: hold scenes in memory once they are read (and the tokens of photographs that are not augmented); in each
            worker, so not for datasets of thousands of scenes.
        labelled: whether scenes have to have labels and a class list; distillation needs neither.
        labelled_points: so many random points of each scene keep their label, the same in every epoch, and all of them
            are in every sample before it is cropped ("limited annotations" of ScanNet's data-efficient benchmark);
            None for all.
        reading: how captures are read, before what their own files say.
    """

    def __init__(
        self,
        scenes: Sequence[Path] | SceneSource,
        preparation: Preparation,
        pyramid: PyramidSpec,
        *,
        seed: int,
        augmentations: Sequence[PointAugmentation] = (),
        crop: Sequence[PointAugmentation] = (),
        image_augmentations: Sequence[ImageAugmentation] = (),
        encoding: CachedEncoding | None = None,
        keep: bool = True,
        labelled: bool = True,
        labelled_points: int | None = None,
        reading: ReadOptions | None = None,
    ) -> None:
        self.source = Captures(scenes, reading) if isinstance(scenes, Sequence) else scenes
        self.preparation = preparation
        self.pyramid = pyramid
        self.seed = seed
        self.augmentations = tuple(augmentations)
        self.crop = tuple(crop)
        self.image_augmentations = tuple(image_augmentations)
        self.encoding = None if encoding is None else encoding.at(preparation.image_size)
        self.keep = keep
        self.labelled = labelled
        self.labelled_points = labelled_points
        self._class_names: tuple[str, ...] | None = None
        self._scenes: dict[int, Scene] = {}
        self._kept: dict[int, SceneViews] = {}

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, item: Item) -> Sample:
        """The sample of an item.

        Raises:
            InputError: a damaged capture; the text names it.
        """
        scene = self.scene(item.index)
        # Independent streams, so that a run with images draws the same point augmentations as one without.
        seed = [self.seed, item.epoch, item.index]
        return prepare(
            scene,
            self.preparation,
            self.pyramid,
            views=self._views(item.index, scene, np.random.default_rng([*seed, 1])),
            seed=seed,
            augmentations=self.augmentations,
            crop=self.crop,
            rotation=rotation_upright(find_up(scene)),
            pinned=None if self.labelled_points is None or scene.label is None else scene.label >= 0,
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """The class list of the first scene, in which the labels of all others are counted.

        Raises:
            InputError: that scene cannot be trained on.
        """
        if self._class_names is None:
            self._class_names = self.scene(0).class_names
        return self._class_names

    def scene(self, index: int) -> Scene:
        """One of the scenes.

        Raises:
            InputError: a damaged scene, one without labels, or one with a class that the first's list lacks.
        """
        if index in self._scenes:
            return self._scenes[index]
        scene = self.source.scene(index)
        if isinstance(self.source, Captures):
            scene = with_all_normals(scene, self.preparation)
        if self.labelled:
            classes = self.class_names if index or self._class_names is not None else None
            scene = with_classes(scene, classes, self.place(index))
            if self.labelled_points is not None:
                scene = _with_few_labels(scene, self.labelled_points, np.random.default_rng([self.seed, index, _FEW]))
        if self.keep:
            self._scenes[index] = scene
        return scene

    def take_classes(self, names: tuple[str, ...]) -> None:
        """Count labels in another class list than the first scene's, matched by name.

        Raises:
            InputError: the first scene does not fit it.
        """
        if self.class_names != names:
            self._class_names = names
            self._scenes.clear()
            self.scene(0)

    def place(self, index: int) -> str:
        """What people call a scene: the source's name and its own."""
        return f"{self.source.name}/{self.source.names()[index]}"

    def _views(self, index: int, scene: Scene, rng: np.random.Generator) -> SceneViews | None:
        if self.encoding is None:
            return None
        rows = training_rows(scene, self.preparation, rng)
        preparation = self.preparation.of(scene)
        if self.image_augmentations:
            return view_features(
                scene, rows, preparation, self.encoding, augmentations=self.image_augmentations, rng=rng
            )
        if not self.keep:
            # Scenes of hundreds of images: only those that were drawn are projected and encoded.
            return view_features(scene, rows, preparation, self.encoding)
        if index not in self._kept:
            self._kept[index] = view_features(scene, range(len(scene.views)), preparation, self.encoding)
        kept = self._kept[index]
        return kept.select(rows, self.encoding.patch_size) if len(rows) < len(scene.views) else kept


_FEW = 4
"""One of the numbers that seed a random stream, beside those of points, images and mixing."""


def _with_few_labels(scene: Scene, count: int, rng: np.random.Generator) -> Scene:
    """The scene with the labels of ``count`` of its labelled points; of all, where there are no more."""
    assert scene.label is not None
    labelled = (scene.label >= 0).nonzero()[0]
    rows = rng.choice(labelled, min(count, len(labelled)), replace=False)
    label = np.full_like(scene.label, -1)
    label[rows] = scene.label[rows]
    return replace(scene, label=label)


class Shuffle(Sampler[list[Item]]):
    """Batches of items, in an order that depends on the seed and the epoch alone; starts at any step.

    Args:
        scenes: number of scenes.
        batch_size: items per batch; an epoch's remainder goes into the next one's first batch.
        steps: number of batches in all.
        seed: of the run.
        start: first step to give, for a run that resumes.
    """

    def __init__(self, scenes: int, batch_size: int, steps: int, seed: int, start: int = 0) -> None:
        self.scenes, self.batch_size, self.steps, self.seed, self.start = scenes, batch_size, steps, seed, start

    def __len__(self) -> int:
        return self.steps - self.start

    def __iter__(self) -> Iterator[list[Item]]:
        epoch, order = -1, np.empty(0, dtype=np.int64)
        for step in range(self.start, self.steps):
            batch = []
            for number in range(step * self.batch_size, (step + 1) * self.batch_size):
                if number // self.scenes != epoch:
                    epoch = number // self.scenes
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.scenes)
                batch.append(Item(epoch, int(order[number % self.scenes])))
            yield batch

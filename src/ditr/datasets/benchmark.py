"""What a dataset is to this package: its classes, how the published models take its scenes, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ditr.data.augment.variants import Variant
from ditr.data.preparation import Preparation
from ditr.data.training_data import TrainingData
from ditr.datasets.counting import Counting
from ditr.datasets.label_map import LabelMap
from ditr.datasets.raw import RawFormat
from ditr.datasets.submission import SubmissionFormat
from ditr.errors import InputError
from ditr.scene import SceneSource

__all__ = ["PATCH_SIZE", "ROOMS", "Benchmark", "Images", "images_beside", "sweeps"]

PATCH_SIZE = 14
"""Of the encoder (DINOv2) that the published image sizes are for."""


ROOMS = TrainingData(extent=(3.0, 20.0))
"""What is known of the scenes of indoor benchmarks."""


def sweeps(ground: float | None = None) -> TrainingData:
    """What is known of sweeps from a car's roof, above a ground of ``ground`` metres."""
    return TrainingData(distance=(2.0, 20.0), ground=None if ground is None else (ground, ground), intensity=(0.0, 1.0))


Images = bool | Path
"""With the images, from the folder in which the published code expects them, or from another one; False without."""


def images_beside(root: Path, images: Images, suffix: str) -> Path | None:
    """The folder of images: the one that is named, or the one beside ``root`` whose name ends in ``suffix``."""
    if isinstance(images, Path):
        return images
    # Not ``with_name``, which a root of "." has not.
    return root.absolute().parent / f"{root.absolute().name}{suffix}" if images else None


@dataclass(frozen=True)
class Benchmark:
    """A dataset with its list of classes, as the published models take it.

    Attributes:
        name: as the paper spells it.
        classes: in the order of the logits; empty where a file of the dataset lists them.
        class_count: how many they are.
        folder: usual name of its prepared folder, as the published code has it in ``data``.
        open: the reader of its prepared folder; see :func:`ditr.datasets.table.open_dataset`.
        without_images: how models of points alone (PTv3, D-DITR) take a scene.
        with_images: how models with photographs (DITR) do; None where none is published.
        colors: red, green, blue of the classes where the field has a usual table; None for a generated palette.
        labels: between raw ids and classes; None where files hold names (S3DIS) or list the classes (ScanNet++).
        voting: variants of a scene over which the published tester votes; None for a dataset that is only trained on.
        test_voxel_size: metres; the published tester first thins scenes to these voxels. None where it does not.
        minkunet: how the published MinkUNet of points alone takes a scene; None where none is published.
        training_data: bounds of what its scenes are like; None where they are not known.
        raw: how its official download is read; None where it is not.
        submission: what its server takes; None where nothing is written for it.
        counting: how its server takes the mean; None where that is not known.
    """

    name: str
    classes: tuple[str, ...]
    class_count: int
    folder: str
    open: Callable[[Path, Sequence[str], Images], SceneSource]
    without_images: Preparation
    with_images: Preparation | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None
    labels: LabelMap | None = None
    voting: tuple[Variant, ...] | None = None
    test_voxel_size: float | None = None
    minkunet: Preparation | None = None
    training_data: TrainingData | None = None
    raw: RawFormat | None = None
    submission: SubmissionFormat | None = None
    counting: Counting | None = None

    def preparation(self, images: bool, *, patch_size: int = PATCH_SIZE) -> Preparation:
        """How a scene is made ready.

        Args:
            images: for a model with photographs.
            patch_size: of its encoder, in pixels. The image keeps its grid of patches, which is how the published
                models with DINOv3 (patches of 16) are understood: their sizes are in no published configuration.

        Raises:
            InputError: with photographs, where no such model is published.
        """
        if not images:
            return self.without_images
        if self.with_images is None or self.with_images.image_size is None:
            raise InputError(self.name, "no model that uses photographs is published for it", "Read it without images")
        height, width = (side // PATCH_SIZE * patch_size for side in self.with_images.image_size)
        return replace(self.with_images, image_size=(height, width))

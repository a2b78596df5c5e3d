"""The datasets of the paper by name: classes, colours, and how the published models take their scenes.

The facts are in each dataset's reader; here they are only put together, so that a saved model can be given all of them
under one name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from ditr.data.sample import Preparation
from ditr.datasets import nuscenes, s3dis, scannet, scannetpp, semantic_kitti, structured3d, waymo
from ditr.datasets.label_map import LabelMap
from ditr.errors import InputError, nearest

__all__ = ["BENCHMARKS", "PATCH_SIZE", "Benchmark", "Voting", "by_name"]

PATCH_SIZE = 14
"""Of the encoder (DINOv2) that the published image sizes are for."""


class Voting(Enum):
    """Variants of a scene over which the published tester sums its probabilities."""

    ROTATIONS_SCALES = "rotations-scales"
    """Quarter turns about z times the scales 1, 0.95 and 1.05, and one flip in x and y: 13."""
    SCALES_FLIPS = "scales-flips"
    """Scales 0.9, 0.95, 1, 1.05 and 1.1, each with and without a flip in x and y: 10."""
    ROTATIONS = "rotations"
    """Quarter turns about z: 4."""


@dataclass(frozen=True)
class Benchmark:
    """A dataset with its list of classes, as the published models take it.

    Attributes:
        name: as the paper spells it.
        classes: in the order of the logits; empty where a file of the dataset lists them.
        class_count: how many they are.
        without_images: how models of points alone (PTv3, D-DITR) take a scene.
        with_images: how models with photographs (DITR) do; None where none is published.
        colors: red, green, blue of the classes where the field has a usual table; None for a generated palette.
        labels: between raw ids and classes; None where files hold names (S3DIS) or list the classes (ScanNet++).
        voting: of the published tester; None for a dataset that is only trained on.
        test_voxel_size: metres; the published tester first thins scenes to these voxels. None where it does not.
    """

    name: str
    classes: tuple[str, ...]
    class_count: int
    without_images: Preparation
    with_images: Preparation | None = None
    colors: tuple[tuple[int, int, int], ...] | None = None
    labels: LabelMap | None = None
    voting: Voting | None = None
    test_voxel_size: float | None = None

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
            raise InputError(
                self.name, "no model with photographs is published for it", "Ask for the preparation without images"
            )
        height, width = (side // PATCH_SIZE * patch_size for side in self.with_images.image_size)
        return replace(self.with_images, image_size=(height, width))


BENCHMARKS = (
    Benchmark(
        name="ScanNet",
        classes=scannet.CLASSES,
        class_count=len(scannet.CLASSES),
        without_images=scannet.preparation(False),
        with_images=scannet.preparation(True),
        colors=scannet.COLORS,
        labels=scannet.LABELS,
        voting=Voting.ROTATIONS_SCALES,
    ),
    Benchmark(
        name="ScanNet200",
        classes=scannet.CLASSES_200,
        class_count=len(scannet.CLASSES_200),
        without_images=scannet.preparation(False),
        with_images=scannet.preparation(True),
        colors=scannet.COLORS_200,
        labels=scannet.LABELS_200,
        voting=Voting.ROTATIONS_SCALES,
    ),
    Benchmark(
        name="S3DIS",
        classes=s3dis.CLASSES,
        class_count=len(s3dis.CLASSES),
        without_images=s3dis.preparation(False),
        with_images=s3dis.preparation(True),
        colors=s3dis.COLORS,
        voting=Voting.SCALES_FLIPS,
    ),
    Benchmark(
        name="Structured3D",
        classes=structured3d.CLASSES,
        class_count=len(structured3d.CLASSES),
        without_images=structured3d.preparation(False),
        with_images=structured3d.preparation(True),
        colors=structured3d.COLORS,
        labels=structured3d.LABELS,
    ),
    Benchmark(
        name="nuScenes",
        classes=nuscenes.CLASSES,
        class_count=len(nuscenes.CLASSES),
        without_images=nuscenes.preparation(False),
        with_images=nuscenes.preparation(True),
        colors=nuscenes.COLORS,
        labels=nuscenes.LABELS,
        voting=Voting.SCALES_FLIPS,
        test_voxel_size=0.025,
    ),
    Benchmark(
        name="SemanticKITTI",
        classes=semantic_kitti.CLASSES,
        class_count=len(semantic_kitti.CLASSES),
        without_images=semantic_kitti.preparation(False),
        with_images=semantic_kitti.preparation(True),
        colors=semantic_kitti.COLORS,
        labels=semantic_kitti.LABELS,
        voting=Voting.ROTATIONS,
        test_voxel_size=0.01,
    ),
    Benchmark(
        name="Waymo",
        classes=waymo.CLASSES,
        class_count=len(waymo.CLASSES),
        without_images=waymo.preparation(False),
        with_images=waymo.preparation(True),
        colors=waymo.COLORS,
        labels=waymo.LABELS,
        voting=Voting.ROTATIONS,
        test_voxel_size=0.025,
    ),
    Benchmark(
        name="ScanNet++",
        classes=(),
        class_count=scannetpp.CLASS_COUNT,
        without_images=scannetpp.preparation(False),
        colors=scannetpp.COLORS,
        voting=Voting.ROTATIONS_SCALES,
        test_voxel_size=0.01,
    ),
)


def by_name(name: str) -> Benchmark:
    """The benchmark of a name; capitals do not matter.

    Raises:
        InputError: there is none; the text says which one was probably meant.
    """
    known = {benchmark.name.casefold(): benchmark for benchmark in BENCHMARKS}
    if name.casefold() in known:
        return known[name.casefold()]
    near = nearest(name.casefold(), known)
    names = ", ".join(benchmark.name for benchmark in BENCHMARKS)
    hint = f"Did you mean {known[near].name!r}?" if near else f"Known are {names}"
    raise InputError("dataset", f"there is none called {name!r}", hint)

"""ScanNet with 20 and with 200 classes, alone and joined with Structured3D, also with MinkUNet."""

from __future__ import annotations

from dataclasses import replace

from ditr.datasets import scannet
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.nn.norms import DatasetNorms
from ditr.recipes import structured3d
from ditr.recipes.common import INDOOR_EPOCHS, LARGE, MINKUNET_STEPS, distilled, gently, indoor, with_images
from ditr.training.recipe import JointDataset, Recipe, SegmentTask

__all__ = ["INDOOR_NORMS", "STUDENT", "d_ditr", "d_minkunet", "distill", "distill_jointly", "ditr"]
__all__ += ["fine_tune_fully", "fine_tune_single", "minkunet", "minkunet_distill", "ptv3", "ptv3_joint_norms"]

INDOOR_NORMS = DatasetNorms(("ScanNet", "S3DIS", "Structured3D"))
"""In the published order. The paper tells of BatchNorms per dataset; the published run had LayerNorms per dataset too.
Those of S3DIS are never trained: S3DIS is fine-tuned through the norms of ScanNet."""
STUDENT = "distilled-scannet-structured3d-dinov2-l"
"""The published student that the joint fine-tunings start from."""
SINGLE_STUDENT = "distilled-scannet-dinov2-l"
"""Of ScanNet's training scenes in its "limited reconstructions" benchmark (Table 7)."""
MINKUNET_CROP = 100_000
MINKUNET_STUDENT_EPOCHS = 600


def dataset(name: str = "ScanNet") -> JointDataset:
    """The training scenes, and those on which the model is tried out."""
    return JointDataset(name, splits=("train",), held_out=("val",))


def ptv3(name: str = "ScanNet") -> Recipe:
    """Points alone; ``name`` is ScanNet or ScanNet200."""
    return indoor(dataset(name), scannet.preparation(False))


def ditr(name: str = "ScanNet") -> Recipe:
    """With ten photographs. Where several show a point the last one counts: the published code's choice, while the
    paper draws one at random; training draws the photographs' order, so there the two are the same."""
    return with_images(ptv3(name), scannet.preparation(True), LARGE)


def distill() -> Recipe:
    """The student of ScanNet alone."""
    return distilled(ditr())


def distill_jointly() -> Recipe:
    """Batches of ScanNet and Structured3D in turn: 160,000 steps. Of these runs alone the gradients are clipped, and
    the student is not tried out on the way."""
    single = distill()
    return replace(
        single,
        network=PTv3Config(norms=INDOOR_NORMS),
        optimizer=replace(single.optimizer, clip=3.0),
        datasets=(JointDataset("ScanNet", splits=("train",)), structured3d.joint(single)),
        validate_epochs=None,
    )


def ptv3_joint_norms(recipe: Recipe) -> Recipe:
    """The same run on a network of the joint student, through its norms of ScanNet."""
    main = replace(recipe.datasets[0], norms="ScanNet")
    return replace(recipe, network=PTv3Config(norms=INDOOR_NORMS), datasets=(main,), init=STUDENT)


def d_ditr() -> Recipe:
    """The joint student, fine-tuned for 20 classes with a tenth of the epochs and rates."""
    return gently(ptv3_joint_norms(ptv3()))


def fine_tune_fully(name: str = "ScanNet") -> Recipe:
    """The joint student, fine-tuned with the whole schedule; for ScanNet200 this is the paper's choice."""
    return ptv3_joint_norms(ptv3(name))


def fine_tune_single(name: str = "ScanNet") -> Recipe:
    """The student of ScanNet alone, fine-tuned as the paper says for the number of classes."""
    started = replace(ptv3(name), init=SINGLE_STUDENT)
    return gently(started) if name == "ScanNet" else started


def minkunet(percent: int) -> Recipe:
    """MinkUNet from random weights on a share of the scenes. As published it learns from the cross-entropy alone; that
    the published loader shuffles the points changes nothing here, where no result depends on their order."""
    recipe = indoor(dataset(), scannet.preparation(False), crop=MINKUNET_CROP)
    main = recipe.datasets[0]
    return replace(
        recipe,
        network=MinkUNetConfig(),
        optimizer=MINKUNET_STEPS,
        task=SegmentTask(lovasz=0.0),
        datasets=(main if percent == 100 else replace(main, scenes=f"tasks/scenes/{percent}.txt"),),
    )


def minkunet_distill() -> Recipe:
    """The MinkUNet student of ScanNet. It takes coordinates too, nine numbers per point, as the published one."""
    recipe = minkunet(100)
    main = with_images(
        recipe, replace(scannet.preparation(True), attributes=scannet.minkunet_preparation().attributes), LARGE
    )
    return replace(distilled(main), epochs=MINKUNET_STUDENT_EPOCHS, validate_epochs=MINKUNET_STUDENT_EPOCHS // 100)


def d_minkunet(percent: int) -> Recipe:
    """The same student, fine-tuned on a share of the scenes with the whole schedule. Of the published configurations
    only that for 20 % has the student's nine inputs; the others cannot start from it and so are taken as it is."""
    return replace(minkunet(percent), preparation=scannet.minkunet_preparation(), epochs=INDOOR_EPOCHS)

"""The one table of published models: short names, where their weights lie, and what the paper says of them.

What a checkpoint does not hold itself is here: its encoder, its dataset, and the names of its norms per dataset.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ditr.errors import InputError, nearest
from ditr.io.caches import kept

__all__ = ["PUBLISHED", "REPOSITORY", "PublishedModel", "converted_folder", "published_model"]

REPOSITORY = "rwthvision/ditr"
"""The authors' repository on the Hugging Face hub."""

INDOOR_NORMS = ("ScanNet", "S3DIS", "Structured3D")
"""Norms of the joint indoor models, in their order; those of S3DIS were never trained."""


@dataclass(frozen=True)
class PublishedModel:
    """A row of the authors' list of weights.

    Attributes:
        name: short name.
        network: of the points: "PTv3" or "MinkUNet".
        encoder: of the photographs, or the teacher, by short name; None where the row names none.
        dataset: whose classes and conventions it has.
        miou: on the validation set, as published, in percent; None for students.
        directory: in the repository; None where there is no file yet.
        student: a distilled network without a segmentation head.
        norms: datasets with norms of their own.
        norms_of: which of these the model uses.
    """

    name: str
    network: str
    encoder: str | None
    dataset: str
    miou: float | None
    directory: str | None
    student: bool = False
    norms: tuple[str, ...] = ()
    norms_of: str | None = None

    @property
    def method(self) -> str:
        """As the list calls it."""
        if self.student:
            return "D-DITR distilled"
        return "DITR" if self.encoder is not None else "D-DITR fine-tuned"

    @property
    def files(self) -> tuple[str, ...]:
        """Where the checkpoint may lie, the likeliest first: training keeps the best one and the last one."""
        if self.directory is None:
            return ()
        names = ("model_last.pth", "model_best.pth") if self.student else ("model_best.pth", "model_last.pth")
        return tuple(f"{self.directory}/{folder}{name}" for name in names for folder in ("model/", ""))


PUBLISHED = (
    PublishedModel("ditr-scannet-dinov2-l", "PTv3", "dinov2-large-reg", "ScanNet", 80.5, None),
    PublishedModel(
        "ditr-scannet200-dinov2-l", "PTv3", "dinov2-large-reg", "ScanNet200", 41.2, "scannet200/semseg-ptv3_dino-L"
    ),
    PublishedModel(
        "ditr-scannet200-dinov3-l", "PTv3", "dinov3-large", "ScanNet200", 42.3, "scannet200/semseg-ptv3_dinov3-L"
    ),
    PublishedModel("ditr-s3dis-dinov2-l", "PTv3", "dinov2-large-reg", "S3DIS", 74.1, "s3dis/semseg-ptv3_dino-L"),
    PublishedModel(
        "ditr-nuscenes-dinov2-s", "PTv3", "dinov2-small-reg", "nuScenes", 82.8, "nuscenes/semseg-ptv3_dino-S"
    ),
    PublishedModel(
        "ditr-nuscenes-dinov2-b", "PTv3", "dinov2-base-reg", "nuScenes", 83.0, "nuscenes/semseg-ptv3_dino-B"
    ),
    PublishedModel(
        "ditr-nuscenes-dinov2-l", "PTv3", "dinov2-large-reg", "nuScenes", 83.1, "nuscenes/semseg-ptv3_dino-L"
    ),
    PublishedModel(
        "ditr-nuscenes-dinov2-g", "PTv3", "dinov2-giant-reg", "nuScenes", 84.2, "nuscenes/semseg-ptv3_dino-g"
    ),
    PublishedModel("ditr-nuscenes-dinov3-l", "PTv3", "dinov3-large", "nuScenes", 83.9, None),
    PublishedModel(
        "ditr-semantickitti-dinov2-l",
        "PTv3",
        "dinov2-large-reg",
        "SemanticKITTI",
        69.0,
        "semantic_kitti/semseg-ptv3_dino-L",
    ),
    PublishedModel(
        "distilled-scannet-dinov2-l",
        "PTv3",
        "dinov2-large-reg",
        "ScanNet",
        None,
        "scannet200/distill-ptv3_scannet200_dino-L",
        student=True,
    ),
    PublishedModel(
        "distilled-scannet-structured3d-dinov2-l",
        "PTv3",
        "dinov2-large-reg",
        "ScanNet",
        None,
        "scannet200/distill-ptv3_scannet200+structured3d_dino-L",
        student=True,
        norms=INDOOR_NORMS,
        norms_of="ScanNet",
    ),
    PublishedModel(
        "distilled-nuscenes-dinov2-l",
        "PTv3",
        "dinov2-large-reg",
        "nuScenes",
        None,
        "nuscenes/distill-ptv3_nuscenes_dino-L",
        student=True,
    ),
    PublishedModel(
        "d-ditr-scannet",
        "PTv3",
        None,
        "ScanNet",
        79.2,
        "scannet/semseg-ptv3_weight=distill-ptv3_scannet200+structured3d_dino-L",
        norms=INDOOR_NORMS,
        norms_of="ScanNet",
    ),
    PublishedModel(
        "d-ditr-scannet200",
        "PTv3",
        None,
        "ScanNet200",
        37.7,
        "scannet200/semseg-ptv3_weight=distill-ptv3_scannet200+structured3d_dino-L",
        norms=INDOOR_NORMS,
        norms_of="ScanNet",
    ),
    # Its published configuration runs S3DIS through the norms of ScanNet.
    PublishedModel("d-ditr-s3dis", "PTv3", None, "S3DIS", 75.0, None, norms=INDOOR_NORMS, norms_of="ScanNet"),
    PublishedModel("d-ditr-scannet-minkunet", "MinkUNet", None, "ScanNet", 76.2, None),
    PublishedModel(
        "d-ditr-nuscenes", "PTv3", None, "nuScenes", 80.9, "nuscenes/semseg-ptv3_weight=distill-ptv3_nuscenes_dino-L"
    ),
)


def published_model(name: str) -> PublishedModel:
    """The row of a short name.

    Raises:
        InputError: there is none; the text says which one was probably meant.
    """
    known = {model.name: model for model in PUBLISHED}
    if name in known:
        return known[name]
    near = nearest(name, known, cutoff=0.5)
    hint = f"Did you mean {near!r}? " if near else ""
    raise InputError("model", f"no published model is called {name!r}", f"{hint}`ditr weights` lists them")


def converted_folder(model: PublishedModel) -> Path:
    """Where the converted weights of a published model are kept."""
    return kept("models") / model.name

"""What a distilled student says of points without photographs, beside what its teacher says with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from ditr.data.batch import join_samples
from ditr.data.normals import with_lacking_normals
from ditr.data.sample import prepare
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.geometry.orientation import find_up, rotation_upright
from ditr.inference.lifting import LiftedFeatures
from ditr.io.files import results_folder, write_json, write_tensors
from ditr.io.ply import write_ply
from ditr.models.distillation import Distillation
from ditr.pictures.palette import GREY
from ditr.pictures.pca import fit_pca
from ditr.scene import Scene
from ditr.weights.convert import Provenance
from ditr.weights.saved_model import EncoderConfig, Model, ModelConfig

__all__ = [
    "STUDENT_FILES",
    "DistilledModel",
    "StudentFeatures",
    "check_teacher",
    "cosine_to",
    "predict_features",
    "student_features",
    "teacher_of",
]

STUDENT_FILES = ("student.safetensors", "student.ply", "summary.json")
"""What :meth:`StudentFeatures.save` writes."""

_ORDER = (
    "Row i of voxel belongs to point i of the capture's PLY file. It is a row of prediction, what the student says of "
    "that voxel; its length means nothing, since the loss is of cosines. Row i of cosine is that of the student's and "
    "the teacher's feature of point i, or NaN where no view shows the point."
)
_CHUNK = 16384
_PCA_ROWS = 10_000


@dataclass(frozen=True, eq=False)
class StudentFeatures:
    """A student's features of a scene's points beside its teacher's.

    Attributes:
        teacher: the image features, lifted onto the points; whitened where the student learned them so.
        prediction: (M, D) float32, one row per voxel, made without any image.
        voxel: (N,) int64, the row of each point.
        up: (3,) the direction that was taken as up.
        whitened: how many directions of the teacher's features were whitened; 0 for the features as they are.
    """

    teacher: LiftedFeatures
    prediction: Tensor
    voxel: Tensor
    up: tuple[float, float, float]
    whitened: int = 0

    @property
    def scene(self) -> Scene:
        return self.teacher.scene

    def cosine(self) -> NDArray[np.float32]:
        """(N,) cosine similarity of student and teacher; NaN for points that no view shows."""
        return cosine_to(self.teacher, self.prediction, self.voxel)

    def mean_cosine(self) -> float | None:
        """Over the points that some view shows; None where there is none."""
        cosine = self.cosine()
        return float(np.nanmean(cosine)) if np.isfinite(cosine).any() else None

    def colors(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """(N, 3) of the teacher, grey where no view shows a point, and (N, 3) of the student, which covers all.

        One common PCA of both, fitted on the same points; of features of unit length, since the student learns
        directions alone.
        """
        index = self.teacher.lift.patch_index[:, 0]
        tokens = functional.normalize(self.teacher.tokens, dim=1)
        prediction = functional.normalize(self.prediction, dim=1)
        seen = torch.nonzero(index >= 0)[:, 0].numpy()
        rng = np.random.default_rng(self.teacher.seed)
        rows = seen if len(seen) <= _PCA_ROWS else np.sort(rng.choice(seen, _PCA_ROWS, replace=False))
        both = torch.cat([tokens[index[rows]], prediction[self.voxel[rows]]])
        pca = fit_pca((both if len(rows) else prediction).numpy(), seed=self.teacher.seed)
        student = pca.colors(prediction.numpy())[self.voxel.numpy()]
        teacher = np.full_like(student, GREY)
        teacher[seen] = pca.colors(tokens.numpy())[index.numpy()[seen]]
        return teacher, student

    def summary(self) -> dict[str, Any]:
        """The teacher's summary, and how near the student comes."""
        mean = self.mean_cosine()
        return {
            **self.teacher.summary(),
            "voxels": len(self.prediction),
            "up": [round(value, 4) for value in self.up],
            "mean_cosine_similarity": None if mean is None else round(mean, 4),
            "points_compared": int((self.teacher.seen_by > 0).sum()),
            "whitened_directions": self.whitened,
        }

    def save(self, folder: str | Path) -> None:
        """Write ``student.safetensors``, ``student.ply`` and ``summary.json``, all or none.

        Earlier results of these names are replaced, and other files of the folder stay.

        Raises:
            OSError: they cannot be written; the folder is as it was then.
        """
        cosine = self.cosine()
        tensors = {
            "prediction": self.prediction.half(),
            "voxel": self.voxel.contiguous(),
            "cosine": torch.from_numpy(cosine),
        }
        metadata = {
            "order": _ORDER,
            "teacher": self.teacher.encoder,
            "views": json.dumps(self.teacher.views),
            "seed": str(self.teacher.seed),
            "whitened_directions": str(self.whitened),
        }
        teacher, student = self.colors()
        columns: dict[str, NDArray[Any]] = {axis: self.scene.coord[:, i] for i, axis in enumerate("xyz")}
        columns |= {name: student[:, i] for i, name in enumerate(("red", "green", "blue"))}
        columns |= {f"teacher_{name}": teacher[:, i] for i, name in enumerate(("red", "green", "blue"))}
        columns |= {"cosine": cosine, "views": self.teacher.seen_by.astype(np.int32)}
        with results_folder(folder, STUDENT_FILES) as new:
            write_tensors(new / "student.safetensors", tensors, metadata)
            write_ply(new / "student.ply", columns)
            write_json(new / "summary.json", self.summary())

    def draw(self, path: str | Path) -> None:
        """One sheet: photographs, teacher and student projected into them, and both in 3D."""
        from ditr.pictures.panels import save_picture
        from ditr.pictures.pictures import student_sheet

        used = [view for view in self.scene.views if view.name in self.teacher.views]
        mean = self.mean_cosine()
        whitened = f" (whitened, {self.whitened} directions)" if self.whitened else ""
        title = f"{self.scene.name}: teacher{whitened} and student, one PCA"
        if mean is not None:
            title += f", mean cosine {mean:.2f}"
        save_picture(path, student_sheet(self.scene, *self.colors(), used, title=title))


@dataclass(frozen=True, eq=False)
class DistilledModel:
    """A trained student of distillation, ready to say what its teacher would say of points.

    Attributes:
        config: what the student is.
        model: its network, in eval mode.
        teacher: image encoder, as for ``load_image_encoder``.
    """

    config: ModelConfig
    model: Model
    teacher: str

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: str = "auto", teacher: str | None = None, origin: Provenance | None = None
    ) -> DistilledModel:
        """A student of any kind, by the same names as :meth:`ditr.Segmenter.from_pretrained`.

        Args:
            name: short name, hub repository, folder or checkpoint file.
            device: "auto" takes a GPU if there is one.
            teacher: the encoder where it is another than the student's config names, as a local copy.
            origin: what a checkpoint file does not say of itself.

        Raises:
            InputError: as for :func:`ditr.from_pretrained`, a model that is no student, or one that names no teacher.
        """
        from ditr.weights.pretrained import from_pretrained

        config, model = from_pretrained(name, device=device, origin=origin)
        if config.student is None or teacher is None:
            teacher = teacher_of(config, name).spec
        return cls(config, model, teacher)

    @property
    def precision(self) -> str | None:
        """In which the teacher computed in training; None where it is not known."""
        return None if self.config.encoder is None else self.config.encoder.precision

    def encoding(self, encoding: CachedEncoding) -> CachedEncoding:
        """The teacher's, with images of the size that the student learned from.

        Raises:
            InputError: an encoder that is not its teacher.
        """
        check_teacher(self.config, encoding)
        return encoding.at(self.config.preparation.image_size)

    def __call__(self, lifted: LiftedFeatures) -> StudentFeatures:
        """What the student says of a scene's points, beside the features that its teacher gives them.

        Raises:
            InputError: as for :func:`student_features`.
        """
        return student_features(self.config, self.model, lifted)


def cosine_to(teacher: LiftedFeatures, prediction: Tensor, row: Tensor) -> NDArray[np.float32]:
    """Cosine similarity of any prediction to lifted features, in chunks: a feature per point may not fit into memory.

    Args:
        teacher: of N points.
        prediction: (M, D).
        row: (N,) int64, the row of ``prediction`` of each point; -1 for none.

    Returns:
        (N,); NaN where no view shows a point, or where there is no prediction.
    """
    index = teacher.lift.patch_index[:, 0]
    out = torch.full((len(index),), torch.nan)
    for part in torch.split(torch.nonzero((index >= 0) & (row >= 0))[:, 0], _CHUNK):
        out[part] = functional.cosine_similarity(prediction[row[part]], teacher.tokens[index[part]], dim=1)
    return out.numpy()


def teacher_of(config: ModelConfig, name: str | Path) -> EncoderConfig:
    """The teacher that a student names.

    Raises:
        InputError: the model is not a student, or names no teacher.
    """
    if config.student is None:
        raise InputError(
            name, "this model has classes and predicts no features", "Label with it (`ditr segment`), or name a student"
        )
    if config.encoder is None:
        raise InputError(name, "this student does not name its teacher", "Name the teacher with --encoder")
    return config.encoder


def check_teacher(config: ModelConfig, encoding: CachedEncoding) -> None:
    """The weights that the student learned from, or an error: cosines to others mean nothing.

    Raises:
        InputError: the model is not a student, or the encoder has other weights or another width than its teacher.
    """
    encoder, wanted = encoding.encoder, config.encoder
    if config.student is None:
        raise InputError("model", "it has classes and predicts no features", "Name a student of distillation")
    if encoder.width != config.student.width:
        raise InputError(
            f"encoder {encoding.spec}",
            f"it gives {encoder.width} channels, but the student predicts {config.student.width}",
            "Use the student's teacher",
        )
    if wanted is not None and wanted.digest not in (None, encoder.digest):
        raise InputError(
            f"encoder {encoding.spec}",
            f"it holds {encoder.weights}, but the student learned from {wanted.weights}",
            "Use the teacher's original weights",
        )


def student_features(
    config: ModelConfig, model: Model, teacher: LiftedFeatures, *, up: Sequence[float] | None = None
) -> StudentFeatures:
    """What a student says of a scene's points, beside the features that its teacher gives them.

    Args:
        config: of the student.
        model: the student, in eval mode.
        teacher: the scene with the image features of its points, as
            :func:`ditr.inference.lifting.lift_features` gives them; the student sees the points alone.
        up: direction against gravity in the scene's frame; by default found from points and cameras.

    Raises:
        InputError: the model is no student or of another width, an attribute of the points is missing, the scene is too
            large, or ``up`` is not a direction.
    """
    scene, seed = teacher.scene, teacher.seed
    if config.student is not None and config.student.width != teacher.tokens.shape[1]:
        raise InputError(
            f"scene {scene.name}",
            f"its features have {teacher.tokens.shape[1]} channels, but the student predicts {config.student.width}",
            "Lift the features of the student's teacher",
        )
    direction = find_up(scene, up)
    prediction, voxel = predict_features(config, model, scene, direction, seed=seed)
    whitened = 0
    if isinstance(model, Distillation) and model.whitening is not None:
        # Both as the student learned them.
        whitened = model.whitening.directions
        teacher = replace(teacher, tokens=model.target(teacher.tokens.to(model.whitening.mean.device)).cpu())
    upward = (float(direction[0]), float(direction[1]), float(direction[2]))
    return StudentFeatures(teacher, prediction, voxel, upward, whitened)


@torch.no_grad()
def predict_features(
    config: ModelConfig, model: Model, scene: Scene, up: NDArray[np.float64], *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """A student's features of a scene's voxels (M, D) float32, and the voxel of each point (N,) int64, on the CPU.

    Raises:
        InputError: as for :func:`student_features`.
    """
    if not isinstance(model, Distillation):
        raise InputError("model", "it has classes and predicts no features", "Name a student of distillation")
    rotation = rotation_upright(up)
    complete = with_lacking_normals(scene, config.preparation, seed)
    sample = prepare(complete, config.preparation, config.network.pyramid, seed=seed, rotation=rotation)
    batch = join_samples([sample]).to(next(model.parameters()).device)
    prediction: Tensor = model(batch.feature, batch.pyramid).prediction
    return prediction.float().cpu(), sample.inverse

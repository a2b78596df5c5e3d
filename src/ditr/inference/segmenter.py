"""Load a trained model once, label many scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.data.batch import Batch, join_samples
from ditr.data.normals import NEIGHBOURS, missing_normals, with_lacking_normals
from ditr.data.preparation import Attribute, Preparation
from ditr.data.sample import Sample, prepare
from ditr.data.scene_views import SceneViews, inference_rows, view_features
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import InputError
from ditr.geometry.orientation import find_up, rotation_upright
from ditr.geometry.projection import VisibilityRule
from ditr.geometry.upright_views import turned_degrees
from ditr.inference.prediction import Prediction
from ditr.models.distillation import Distillation
from ditr.models.segmentation import Segmentation
from ditr.runtime import choose_device
from ditr.scene import ReadOptions, Scene
from ditr.weights.convert import Provenance
from ditr.weights.saved_model import ModelConfig, save_model

__all__ = ["PointLabels", "SceneInputs", "Segmenter", "Voter", "require_finite"]


@dataclass(frozen=True, eq=False)
class SceneInputs:
    """A scene and all that was decided about how the network sees it.

    Attributes:
        scene: the points.
        preparation: of the model, with the changes that the caller asked for.
        rotation: (3, 3) turns the scene's up to z; None where it is z.
        views: of the scene with their tokens, and which of these its points see; None for networks without images.
        seed: of everything that is drawn.
    """

    scene: Scene
    preparation: Preparation
    rotation: NDArray[np.float64] | None
    views: SceneViews | None
    seed: int


@dataclass(frozen=True, eq=False)
class PointLabels:
    """(N,) int32 labels of a scene's points, (N,) float32 confidences, and the number of voxels that they are from."""

    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    voxels: int


class Voter(Protocol):
    """Another way to label a scene than to run its voxels once: ``ditr.evaluation.voting.Voting``."""

    def __call__(self, segmenter: Segmenter, inputs: SceneInputs) -> PointLabels: ...


class Segmenter:
    """A trained model, ready to label scenes.

    Args:
        config: what the model is.
        model: its network, in eval mode.
        encoding: of photographs; by default the encoder that the config names. The config's preparation decides the
            size of the photographs.
        device: "auto" takes a GPU if there is one.

    Raises:
        InputError: no such device, or that size is not whole patches of the encoder.
    """

    def __init__(
        self,
        config: ModelConfig,
        model: Segmentation,
        *,
        encoding: CachedEncoding | None = None,
        device: str | torch.device = "auto",
    ) -> None:
        self.config = config
        self.device = torch.device(choose_device(str(device)))
        self.model = model.to(self.device).eval()
        if encoding is None and config.takes_images and config.encoder is not None:
            encoding = CachedEncoding(config.encoder.spec, device=str(self.device), precision=config.encoder.precision)
        if not config.takes_images or encoding is None:
            self.encoding = None
        else:
            self.encoding = encoding.at(config.preparation.image_size)

    def __repr__(self) -> str:
        config = self.config
        images = f"images by {config.encoder.name}" if self.encoding is not None and config.encoder else "no images"
        source = config.source or config.dataset or "own classes"
        return (
            f"<Segmenter {source}: {config.network.title}, {images}, {len(config.class_names)} classes, {self.device}>"
        )

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: str = "auto",
        cache: FeatureCache | None = None,
        dataset: str | None = None,
        origin: Provenance | None = None,
        precision: str | None = None,
    ) -> Segmenter:
        """A model of any kind; downloads and converts where that is needed, once.

        Args:
            name: short name of a published model (``ditr weights`` lists them), hub repository, folder of a run or of
                a saved model, or file of a checkpoint.
            device: "auto" takes a GPU if there is one.
            cache: keeps encoded photographs.
            dataset: which norms to use, where a joint model has them per dataset; by default the config's.
            origin: what a checkpoint file does not say of itself.
            precision: in which the image encoder computes, "32-true", "bf16-mixed" or "16-mixed"; by default as in the
                model's training, or where that is not known half precision on a GPU and single precision on a CPU.

        Raises:
            InputError: as for :func:`ditr.from_pretrained`, a student of distillation, or an encoder that cannot be had
                or holds other weights than in training.
        """
        # Only here: models by name need the hub's library and all that converts checkpoints.
        from ditr.weights.pretrained import from_pretrained

        config, model = from_pretrained(name, device=device, dataset=dataset, origin=origin)
        if isinstance(model, Distillation):
            raise InputError(
                name, "this is a student of distillation, without classes", "Fine-tune it, or name a segmentation model"
            )
        encoding = None
        if config.takes_images and config.encoder is not None:
            precision = precision or config.encoder.precision
            encoding = CachedEncoding(config.encoder.spec, cache, device, precision=precision)
        segmenter = cls(config, model, encoding=encoding, device=device)
        if segmenter.encoding is not None and config.encoder is not None:
            config.encoder.require(segmenter.encoding.encoder)
        return segmenter

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model as a folder that :meth:`from_pretrained` reads and the hub can show."""
        save_model(Path(folder), self.config, self.model)

    def __call__(
        self,
        scene: Scene,
        *,
        seed: int = 0,
        up: Sequence[float] | None = None,
        rule: VisibilityRule | None = None,
        substitutes: Mapping[str, float] | None = None,
        strength_scale: float | None = None,
        images_of: Scene | None = None,
        estimate: bool = True,
        votes: Voter | None = None,
        shuffle_curves: bool = False,
    ) -> Prediction:
        """Label every point of a scene.

        Args:
            scene: with the attributes that the model takes.
            seed: of the choice among views, where several show a point.
            up: direction against gravity in the scene's frame; by default found from points and cameras.
            rule: which points a view shows; by default as in training.
            substitutes: values for attributes that the scene lacks, beside those that it or the run declares.
            strength_scale: strengths are divided by it; by default as the scene says, or else as in training.
            images_of: take the features of this scene's photographs instead, in the same places: a control, which
                shows what the images contribute. Its photographs must have the sizes of the scene's own.
            estimate: make normals from each point's neighbours where some are missing, or where they are all that the
                scene lacks and nothing is declared to stand in for them; the prediction says so. Without it no normals
                are an error, as in training.
            shuffle_curves: draw the order of the curves from the seed, as the published evaluation does, and not as
                the network lists them.
            votes: run the network many times and let every point vote; by default one point stands for its voxel.

        Raises:
            InputError: an attribute is missing, photographs cannot be read, the scene is too large, ``up`` is no
                direction, or the photographs to swap with do not fit.
        """
        if seed < 0:
            raise InputError("seed", f"it is {seed}", "Give 0 or more")
        direction = find_up(scene, up)
        more = tuple((Attribute(name).value, value) for name, value in (substitutes or {}).items())
        reading = ReadOptions(substitute=more, strength_scale=strength_scale).over(scene.reading)
        scene = replace(scene, reading=reading)
        preparation = self.config.preparation.of(scene)
        if rule is not None:
            preparation = replace(preparation, rule=rule)
        if shuffle_curves:
            preparation = replace(preparation, shuffle_curves=True)
        views = self._views(replace(scene, up=direction), preparation, images_of, seed)
        complete = with_lacking_normals(scene, preparation, seed) if estimate else scene
        inputs = SceneInputs(complete, preparation, rotation_upright(direction), views, seed)
        found = self._label(inputs) if votes is None else votes(self, inputs)
        return Prediction(
            scene=scene,
            label=found.label,
            confidence=found.confidence,
            seen_by=None if views is None else views.seen_by(len(scene)),
            class_names=self.config.class_names,
            voxels=found.voxels,
            up=(float(direction[0]), float(direction[1]), float(direction[2])),
            turned={} if views is None else turned_degrees(views.views),
            seed=seed,
            calibrated=self.config.temperature is not None,
            normals=None if complete is scene else _how_made(scene),
            class_colors=self.config.class_colors,
        )

    def logits(self, sample: Sample) -> Tensor:
        """(M, classes) for a sample's voxels."""
        return self.run(join_samples([sample]).to(self.device))

    @torch.no_grad()
    def run(self, batch: Batch) -> Tensor:
        """(M, classes) for the voxels of a batch that is on the device."""
        result: Tensor = self.model(batch.feature, batch.pyramid, batch.image)
        return result

    def _label(self, inputs: SceneInputs) -> PointLabels:
        """One point stands for its voxel, and the others take its label."""
        sample = prepare(
            inputs.scene,
            inputs.preparation,
            self.config.network.pyramid,
            views=inputs.views,
            seed=inputs.seed,
            rotation=inputs.rotation,
        )
        logits = self.logits(sample).float()
        inverse = sample.inverse.numpy()
        if not bool(torch.isfinite(logits).all()):
            require_finite(logits, sample.name, np.unique(inverse, return_index=True)[1])
        probability = torch.softmax(logits, dim=1)
        confidence, label = probability.max(dim=1)
        confidence = calibrated(logits, label, confidence, self.config.temperature)
        return PointLabels(
            label.cpu().numpy().astype(np.int32)[inverse], confidence.cpu().numpy()[inverse], len(sample)
        )

    def _views(self, scene: Scene, preparation: Preparation, images_of: Scene | None, seed: int) -> SceneViews | None:
        if self.encoding is None:
            return None
        rows = inference_rows(scene, preparation, seed)
        others = None
        if images_of is not None:
            others = [images_of.views[row] for row in inference_rows(images_of, preparation, seed)][: len(rows)]
        return view_features(scene, rows, preparation, self.encoding, images_of=others)


def _how_made(scene: Scene) -> str:
    how, count = f"estimated from {NEIGHBOURS} neighbours", len(missing_normals(scene))
    return how if scene.normal is None else f"those of {count} points {how}, since they are missing"


def require_finite(logits: Tensor, scene: str, points: NDArray[np.int64]) -> None:
    """Refuse to make labels of logits (M, classes) that are not finite.

    Args:
        logits: one row per voxel.
        scene: its name.
        points: (M,) a point of the scene in each voxel.

    Raises:
        InputError: naming the scene and the first such point.
    """
    bad = torch.nonzero(~torch.isfinite(logits).all(dim=1))
    if len(bad):
        point = int(points[int(bad[0])])
        raise InputError(
            f"scene {scene}",
            f"the network gives no finite scores for {len(bad)} voxels; the first holds point {point}",
            "Look at what the point has (colour, normal, intensity); where that is sound, the model's weights are not",
        )


def calibrated(logits: Tensor, label: Tensor, confidence: Tensor, temperature: float | None) -> Tensor:
    """(M,) the probability of the labels with logits divided by the temperature; ``confidence`` where there is none."""
    if temperature is None:
        return confidence
    return torch.softmax(logits / temperature, dim=1).gather(1, label[:, None])[:, 0]

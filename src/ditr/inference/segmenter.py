"""Load a trained model once, label many scenes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.data.batch import Batch, join_samples
from ditr.data.sample import Sample
from ditr.data.scene_views import inference_rows, with_tokens
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import EncodedView, FeatureCache, Unencoded
from ditr.errors import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.inference.prediction import Prediction
from ditr.inference.ready import PointLabels, SceneInputs, VoxelLabels, make_ready, not_finite_scores, voxel_labels
from ditr.inference.stream import Stream, StreamSettings
from ditr.models.distillation import Distillation
from ditr.models.segmentation import Segmentation
from ditr.runtime import choose_device
from ditr.scene import Scene, View
from ditr.weights.convert import Provenance
from ditr.weights.saved_model import ModelConfig, save_model

__all__ = ["Segmenter", "Voter", "require_finite"]


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
            InputError: as for :func:`ditr.from_pretrained`, a student of distillation, or an encoder that is not there
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
        grid = None if self.encoding is None else self.encoding.grid
        ready = make_ready(
            scene,
            self.config,
            grid,
            seed=seed,
            up=up,
            rule=rule,
            substitutes=substitutes,
            strength_scale=strength_scale,
            estimate=estimate,
            shuffle_curves=shuffle_curves,
        )
        inputs = ready.inputs
        if self.encoding is not None and inputs.views is not None:
            others = None if images_of is None else self._views_of(images_of, inputs)
            inputs = replace(inputs, views=with_tokens(inputs.views, self.encoding, images_of=others))
        if votes is not None:
            return ready.prediction(votes(self, inputs), self.config)
        sample = ready.sample(self.config, inputs)
        found = self.label(sample).of_points(sample.inverse.numpy(), sample.name)
        return ready.prediction(found, self.config)

    def stream(self, scans: Iterable[Scene], settings: StreamSettings | None = None) -> Stream:
        """Label scans as they come: preparation, images and the network overlap, and predictions keep their order.

        A scan that cannot be labelled is told (``StreamSettings.on_error``), and the stream goes on. Labels are those
        of a call for each scan; features of images are neither looked up in a cache nor kept.

        Args:
            scans: in memory; they are taken by another thread, and no more than are wanted ahead.
            settings: see :class:`ditr.inference.stream.StreamSettings`.
        """
        return Stream(self, scans, settings or StreamSettings())

    def encoded(self, sample: Sample, found: Sequence[EncodedView | Unencoded]) -> Sample:
        """A sample with the tokens of its views.

        Args:
            sample: without.
            found: what is known of the views' features already (:func:`ditr.encoders.feature_cache.look_up`).

        Raises:
            InputError: an image is damaged.
        """
        if self.encoding is None:
            return sample
        tokens, cls = self.encoding.joined(self.encoding.complete(found))
        return replace(sample, tokens=torch.cat([torch.zeros(0, self.encoding.width), *tokens]), cls=cls)

    def label(self, sample: Sample) -> VoxelLabels:
        """What the network says of a sample's voxels."""
        return voxel_labels(self.logits(sample), self.config.temperature)

    def logits(self, sample: Sample) -> Tensor:
        """(M, classes) for a sample's voxels."""
        return self.run(join_samples([sample]).to(self.device))

    @torch.no_grad()
    def described(self, sample: Sample) -> Tensor:
        """(M, channels) float32 on the CPU: what the network finds of a sample's voxels, before it is asked for
        classes."""
        batch = join_samples([sample]).to(self.device)
        result: Tensor = self.model.described(batch.feature, batch.pyramid, batch.image)
        return result.float().cpu()

    @torch.no_grad()
    def run(self, batch: Batch) -> Tensor:
        """(M, classes) for the voxels of a batch that is on the device."""
        result: Tensor = self.model(batch.feature, batch.pyramid, batch.image)
        return result

    def _views_of(self, other: Scene, inputs: SceneInputs) -> list[View]:
        """The views of another scene that take the places of the inputs' own."""
        count = 0 if inputs.views is None else len(inputs.views.views)
        return [other.views[row] for row in inference_rows(other, inputs.preparation, inputs.seed)][:count]


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
        raise not_finite_scores(scene, len(bad), int(points[int(bad[0])]))

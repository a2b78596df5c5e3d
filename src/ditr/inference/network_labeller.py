"""A network labels one scene of many: geometry where there are processors to spare, the network where it lies."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ditr.data.sample import Sample
from ditr.encoders.encoding import ImageGrid
from ditr.encoders.feature_cache import EncodedView, FeatureCache, Unencoded, look_up
from ditr.inference.prediction import Prediction
from ditr.inference.ready import Ready, VoxelLabels, make_ready
from ditr.inference.scene_labels import Labelling, finished, require_inputs, rule_of, with_meaning
from ditr.inference.scene_work import timed
from ditr.inference.segmenter import Segmenter
from ditr.io.settings_json import to_json_values
from ditr.scene import Scene, View
from ditr.weights.saved_model import ModelConfig

__all__ = ["KeptSample", "KnownFeatures", "NetworkLabeller", "NetworkSteps", "Prepared", "model_digest", "whole"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """A scene that is ready for the encoder and the network.

    Attributes:
        sample: without tokens, and without the voxels of its points.
        views: what the cache has of its images' features, rounded to 16 bits, and the images where it has none; None
            for a model without images.
    """

    sample: Sample
    views: tuple[EncodedView | Unencoded, ...] | None


@dataclass(frozen=True, eq=False)
class KnownFeatures:
    """What a cache knows of images, asked where the encoder itself is not.

    Attributes:
        encoder: its identity.
        cache: of its features.
    """

    encoder: str
    cache: FeatureCache | None

    def of(self, views: tuple[View, ...], sizes: tuple[tuple[int, int], ...]) -> tuple[EncodedView | Unencoded, ...]:
        """Features, in 16 bits as the cache has them and half as much to send, or pixels where there are none.

        Raises:
            InputError: an image is missing or damaged.
        """
        found = look_up(self.encoder, views, sizes, self.cache)
        return tuple(
            EncodedView(one.patch.half(), one.cls.half()) if isinstance(one, EncodedView) else one.decoded()
            for one in found
        )


def whole(view: EncodedView | Unencoded) -> EncodedView | Unencoded:
    """Features as they were before :class:`KnownFeatures` sent them."""
    return EncodedView(view.patch.float(), view.cls.float()) if isinstance(view, EncodedView) else view


def model_digest(segmenter: Segmenter) -> str:
    """SHA-256 of a model's settings and weights: of the model, not of the place where it lies."""
    digest = hashlib.sha256(json.dumps(to_json_values(segmenter.config), sort_keys=True).encode())
    for name, value in sorted(segmenter.model.state_dict().items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class KeptSample:
    """What stays of a scene while the network is at it.

    Attributes:
        ready: the scene.
        inverse: (N,) int64, the voxel of each point.
    """

    ready: Ready
    inverse: Tensor


@dataclass(frozen=True, eq=False)
class NetworkSteps:
    """The :class:`~ditr.inference.scene_work.Steps` of a network.

    Attributes:
        name: of the model, for people.
        config: of the model.
        grid: of its encoder; None for a model without images.
        known: features of images; None for a model without images.
        how: scenes are labelled.
    """

    name: str
    config: ModelConfig
    grid: ImageGrid | None
    known: KnownFeatures | None
    how: Labelling

    @property
    def photographs(self) -> bool:
        return self.grid is not None

    def fitting(self, scene: Scene, *, force: bool) -> Scene:
        require_inputs(scene, self.config, self.name, force=force)
        return with_meaning(scene, self.config)

    def prepare(self, scene: Scene) -> tuple[KeptSample, Prepared]:
        ready = make_ready(scene, self.config, self.grid, seed=self.how.seed, rule=rule_of(scene, self.how))
        sample, views = ready.sample(self.config), ready.inputs.views
        found = None if views is None or self.known is None else self.known.of(views.views, views.sizes)
        sent = Prepared(replace(sample, inverse=torch.empty(0, dtype=torch.int64)), found)
        return KeptSample(ready, sample.inverse), sent

    def finish(self, kept: KeptSample, answer: VoxelLabels, seconds: dict[str, float]) -> Prediction:
        found = answer.of_points(kept.inverse.numpy(), kept.ready.scene.name)
        return finished(kept.ready.prediction(found, self.config), self.config, self.how)


@dataclass(frozen=True, eq=False)
class NetworkLabeller:
    """The :class:`~ditr.inference.scene_work.Labeller` that is a network."""

    segmenter: Segmenter

    @property
    def device(self) -> str:
        return self.segmenter.device.type

    def identity(self) -> dict[str, Any]:
        encoding = self.segmenter.encoding
        made = {"model": model_digest(self.segmenter)}
        if encoding is not None:
            made["encoder"] = encoding.encoder.identity
            made["features"] = "exact" if encoding.cache is None else "rounded to 16 bits"
        return made

    def steps(self, how: Labelling, name: str) -> NetworkSteps:
        encoding = self.segmenter.encoding
        known = None if encoding is None else KnownFeatures(encoding.encoder.identity, encoding.cache)
        return NetworkSteps(name, self.segmenter.config, None if encoding is None else encoding.grid, known, how)

    def compute(self, sent: Prepared, seconds: dict[str, float]) -> VoxelLabels:
        sample = self._encoded(sent, seconds)
        with timed(seconds, "network"):
            return self.segmenter.label(sample)

    def described(self, sent: Prepared, seconds: dict[str, float]) -> Tensor:
        """As :meth:`compute`, but what the network finds before its head: (M, channels)."""
        sample = self._encoded(sent, seconds)
        with timed(seconds, "network"):
            return self.segmenter.described(sample)

    def _encoded(self, sent: Prepared, seconds: dict[str, float]) -> Sample:
        if sent.views is None or self.segmenter.encoding is None:
            return sent.sample
        with timed(seconds, "encode"):
            return self.segmenter.encoded(sent.sample, [whole(view) for view in sent.views])

    def label(self, scene: Scene, how: Labelling) -> Prediction:
        return how(self.segmenter, scene)

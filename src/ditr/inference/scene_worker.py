"""What a helping process does for a scene: all but the encoder and the network, which have the weights.

It keeps the scene meanwhile, so that only a sample comes out and only the labels of voxels go back in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ditr.data.sample import Sample
from ditr.encoders.feature_cache import EncodedView, Unencoded, look_up
from ditr.errors import InputError
from ditr.inference.faults import as_fault
from ditr.inference.parcel import Parcel
from ditr.inference.ready import Ready, VoxelLabels, make_ready
from ditr.inference.scene_labels import finished, rule_of
from ditr.inference.scene_work import Failed, Item, SceneWork, Written, timed
from ditr.inference.segmenter import Segmenter
from ditr.runtime import release_memory

__all__ = ["Finish", "Prepare", "Prepared", "SceneWorker", "labelled"]


@dataclass(frozen=True, eq=False)
class Prepare:
    """The message: make this scene ready, and keep it under a number."""

    number: int
    item: Parcel[Item]


@dataclass(frozen=True, eq=False)
class Finish:
    """The message: these are the labels of the scene of that number; write them. With an error, drop it."""

    number: int
    labels: VoxelLabels | InputError
    seconds: dict[str, float]


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


@dataclass(eq=False)
class _Kept:
    item: Item
    ready: Ready
    inverse: Tensor
    seconds: dict[str, float]


class SceneWorker:
    """Prepares scenes, and keeps each until its labels are written."""

    def __init__(self, work: SceneWork) -> None:
        self._work = work
        self._kept: dict[int, _Kept] = {}

    def __call__(self, message: Prepare | Finish) -> Parcel[Prepared] | Written | Failed:
        """What became of a message; a scene's faults are values, so that other scenes go on."""
        if isinstance(message, Prepare):
            item = message.item.unpack()
            try:
                return Parcel.of(self._prepare(message.number, item))
            except Exception as error:
                self._kept.pop(message.number, None)
                return Failed(as_fault(error, item.name))
        kept = self._kept.pop(message.number)
        try:
            return self._finish(kept, message)
        except Exception as error:
            return Failed(as_fault(error, kept.item.name))
        finally:
            release_memory()

    def _prepare(self, number: int, item: Item) -> Prepared:
        work, seconds = self._work, dict[str, float]()
        with timed(seconds, "read"):
            scene = work.read(item)
        with timed(seconds, "prepare"):
            ready = make_ready(scene, work.config, work.grid, seed=work.how.seed, rule=rule_of(scene, work.how))
            sample = ready.sample(work.config)
            views = self._features(ready)
        self._kept[number] = _Kept(item, ready, sample.inverse, seconds)
        return Prepared(replace(sample, inverse=torch.empty(0, dtype=torch.int64)), views)

    def _features(self, ready: Ready) -> tuple[EncodedView | Unencoded, ...] | None:
        views, encoder = ready.inputs.views, self._work.encoder
        if views is None or encoder is None:
            return None
        found = look_up(encoder, views.views, views.sizes, self._work.cache)
        return tuple(_halved(one) if isinstance(one, EncodedView) else one.decoded() for one in found)

    def _finish(self, kept: _Kept, message: Finish) -> Written:
        work, seconds = self._work, kept.seconds | message.seconds
        if isinstance(message.labels, InputError):
            raise message.labels
        with timed(seconds, "write"):
            found = message.labels.of_points(kept.inverse.numpy(), kept.ready.scene.name)
            prediction = finished(kept.ready.prediction(found, work.config), work.config, work.how)
            summary = work.write(kept.item, prediction)
        return Written(summary, prediction.scene.findings, seconds)


def labelled(segmenter: Segmenter, prepared: Prepared, name: str) -> tuple[VoxelLabels | InputError, dict[str, float]]:
    """What encoder and network say of a scene's voxels, or why they cannot; and the seconds of each."""
    seconds: dict[str, float] = {}
    try:
        sample = prepared.sample
        if prepared.views is not None and segmenter.encoding is not None:
            with timed(seconds, "encode"):
                sample = segmenter.encoded(sample, [_whole(view) for view in prepared.views])
        with timed(seconds, "network"):
            return segmenter.label(sample), seconds
    except Exception as error:
        fault = as_fault(error, name)
        if isinstance(fault, OSError):  # of the cache or a library: no reason to stop
            fault = InputError(f"scene {name}", str(fault), "Free some room")
        return fault, seconds


def _halved(view: EncodedView) -> EncodedView:
    """As the cache has it, in 16 bits: half as much to send."""
    return EncodedView(view.patch.half(), view.cls.half())


def _whole(view: EncodedView | Unencoded) -> EncodedView | Unencoded:
    return EncodedView(view.patch.float(), view.cls.float()) if isinstance(view, EncodedView) else view

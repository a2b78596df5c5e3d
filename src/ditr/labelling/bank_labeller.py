"""A bank of classes labels scenes, one or many, on the road of networks: only encoder and network have weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ditr.encoders.encoding import CachedEncoding, ImageGrid
from ditr.encoders.feature_cache import EncodedView, Unencoded
from ditr.errors import InputError
from ditr.inference.network_labeller import (
    KeptSample,
    KnownFeatures,
    NetworkLabeller,
    NetworkSteps,
    Prepared,
    model_digest,
    whole,
)
from ditr.inference.prediction import Prediction
from ditr.inference.scene_labels import Labelling
from ditr.inference.scene_work import timed
from ditr.inference.segmenter import Segmenter
from ditr.labelling.bank import Bank, require_model
from ditr.labelling.cells import Cells, DarkCells, dark_cells, make_cells
from ditr.labelling.result import labelled_by_bank
from ditr.scene import Scene

__all__ = ["BankLabeller", "BankSteps", "cells_of"]


def cells_of(
    scene: Scene,
    encoding: CachedEncoding | None,
    segmenter: Segmenter | None,
    *,
    size: float | None = None,
    seed: int = 0,
) -> Cells:
    """The cells of a scene, with what a network finds of them.

    All other arguments are those of :func:`ditr.labelling.cells.make_cells`.

    Args:
        segmenter: the network; None to do without.

    Raises:
        InputError: the scene lacks what the network takes, photographs are missing or damaged, or cells are too small.
    """
    cells = make_cells(scene, encoding, size=size, seed=seed)
    if segmenter is None:
        return cells
    network, seconds = NetworkLabeller(segmenter), dict[str, float]()
    kept, sent = network.steps(Labelling(seed), "the network").prepare(scene)
    found = network.described(sent, seconds)
    return cells.with_network(found.numpy(), kept.inverse.numpy(), model_digest(segmenter))


@dataclass(frozen=True, eq=False)
class _Kept:
    scene: Scene
    dark: DarkCells
    sample: KeptSample | None


@dataclass(frozen=True, eq=False)
class _Sent:
    views: tuple[EncodedView | Unencoded, ...]
    prepared: Prepared | None


@dataclass(frozen=True, eq=False)
class _Answer:
    views: list[EncodedView]
    found: Tensor | None


@dataclass(frozen=True, eq=False)
class BankSteps:
    """The :class:`~ditr.inference.scene_work.Steps` of a bank.

    Attributes:
        bank: of classes.
        grid: of its encoder; None for a bank without photographs.
        known: features of images; None for a bank without photographs.
        how: scenes are labelled.
        network: of the network that the bank knows; None without one.
    """

    bank: Bank
    grid: ImageGrid | None
    known: KnownFeatures | None
    how: Labelling
    network: NetworkSteps | None = None

    @property
    def photographs(self) -> bool:
        return self.grid is not None or (self.network is not None and self.network.photographs)

    def fitting(self, scene: Scene, *, force: bool) -> Scene:
        return scene if self.network is None else self.network.fitting(scene, force=force)

    def prepare(self, scene: Scene) -> tuple[_Kept, _Sent]:
        dark = dark_cells(scene, self.grid, size=self.bank.cell, seed=self.how.seed)
        views = () if self.known is None else self.known.of(dark.views, dark.sizes)
        sample, prepared = (None, None) if self.network is None else self.network.prepare(scene)
        return _Kept(scene, dark, sample), _Sent(views, prepared)

    def finish(self, kept: _Kept, answer: _Answer, seconds: dict[str, float]) -> Prediction:
        with timed(seconds, "classify"):
            encoder = self.bank.encoder
            cells = kept.dark.cells if encoder is None else kept.dark.lit(answer.views, encoder)
            if kept.sample is not None and answer.found is not None and self.bank.model is not None:
                cells = cells.with_network(answer.found.numpy(), kept.sample.inverse.numpy(), self.bank.model)
            return _finished(labelled_by_bank(self.bank, kept.scene, cells, seed=self.how.seed), self.how)


@dataclass(frozen=True, eq=False)
class BankLabeller:
    """The :class:`~ditr.inference.scene_work.Labeller` that is a bank.

    Attributes:
        bank: of classes.
        encoding: of photographs, by the encoder of the bank; None for a bank without photographs.
        segmenter: the network that the bank knows; None for a bank without one.

    Raises:
        InputError: another encoder or another network.
    """

    bank: Bank
    encoding: CachedEncoding | None
    segmenter: Segmenter | None = None

    def __post_init__(self) -> None:
        if (self.encoding is None) != (self.bank.encoder is None):
            raise InputError(
                "bank",
                "it needs an encoder and got none, or got one that it does not need",
                "Give the encoder that the bank names, or none",
            )
        if self.encoding is not None and self.bank.encoder is not None:
            self.bank.encoder.require(self.encoding.encoder)
        model = None if self.segmenter is None else model_digest(self.segmenter)
        require_model(self.bank.model, model, "bank, --model")

    @property
    def device(self) -> str:
        if self.segmenter is not None:
            return self.segmenter.device.type
        return "cpu" if self.encoding is None else str(self.encoding.encoder.device.type)

    def identity(self) -> dict[str, Any]:
        made = {"bank": self.bank.digest}
        if self.encoding is not None:
            made["encoder"] = self.encoding.encoder.identity
            made["features"] = "exact" if self.encoding.cache is None else "rounded to 16 bits"
        if self.bank.model is not None:
            made["model"] = self.bank.model
        return made

    def steps(self, how: Labelling, name: str) -> BankSteps:
        encoding = self.encoding
        known = None if encoding is None else KnownFeatures(encoding.encoder.identity, encoding.cache)
        network = None if self.segmenter is None else NetworkLabeller(self.segmenter).steps(how, name)
        return BankSteps(self.bank, None if encoding is None else encoding.grid, known, how, network)

    def compute(self, sent: _Sent, seconds: dict[str, float]) -> _Answer:
        found = None
        if self.segmenter is not None and sent.prepared is not None:
            found = NetworkLabeller(self.segmenter).described(sent.prepared, seconds)
        if self.encoding is None:
            return _Answer([], found)
        of_network = seconds.pop("encode", 0.0)
        with timed(seconds, "encode"):
            views = self.encoding.complete([whole(view) for view in sent.views])
        seconds["encode"] += of_network
        return _Answer(views, found)

    def label(self, scene: Scene, how: Labelling) -> Prediction:
        cells = cells_of(scene, self.encoding, self.segmenter, size=self.bank.cell, seed=how.seed)
        return _finished(labelled_by_bank(self.bank, scene, cells, seed=how.seed), how)


def _finished(prediction: Prediction, how: Labelling) -> Prediction:
    """The labels that stand.

    Raises:
        InputError: a confidence that is not a probability.
    """
    return prediction if how.min_confidence is None else prediction.at_least(how.min_confidence)

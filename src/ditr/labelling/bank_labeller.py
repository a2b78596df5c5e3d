"""A bank of classes labels scenes, one or many, on the road of networks: only the encoder has weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ditr.encoders.encoding import CachedEncoding, ImageGrid
from ditr.encoders.feature_cache import EncodedView, Unencoded
from ditr.errors import InputError
from ditr.inference.network_labeller import KnownFeatures, whole
from ditr.inference.prediction import Prediction
from ditr.inference.scene_labels import Labelling
from ditr.inference.scene_work import timed
from ditr.labelling.bank import Bank
from ditr.labelling.cells import DarkCells, dark_cells, make_cells
from ditr.labelling.result import labelled_by_bank
from ditr.scene import Scene

__all__ = ["BankLabeller", "BankSteps"]


@dataclass(frozen=True, eq=False)
class _Kept:
    scene: Scene
    dark: DarkCells


@dataclass(frozen=True, eq=False)
class BankSteps:
    """The :class:`~ditr.inference.scene_work.Steps` of a bank.

    Attributes:
        bank: of classes.
        grid: of its encoder; None for a bank without photographs.
        known: features of images; None for a bank without photographs.
        how: scenes are labelled.
    """

    bank: Bank
    grid: ImageGrid | None
    known: KnownFeatures | None
    how: Labelling

    @property
    def voxel_size(self) -> float:
        return self.bank.cell

    @property
    def photographs(self) -> bool:
        return self.grid is not None

    def fitting(self, scene: Scene, *, force: bool) -> Scene:
        return scene

    def prepare(self, scene: Scene) -> tuple[_Kept, tuple[EncodedView | Unencoded, ...]]:
        dark = dark_cells(scene, self.grid, size=self.bank.cell, seed=self.how.seed)
        return _Kept(scene, dark), () if self.known is None else self.known.of(dark.views, dark.sizes)

    def finish(self, kept: _Kept, answer: list[EncodedView], seconds: dict[str, float]) -> Prediction:
        with timed(seconds, "classify"):
            cells = kept.dark.cells if self.bank.encoder is None else kept.dark.lit(answer, self.bank.encoder)
            return finished(labelled_by_bank(self.bank, kept.scene, cells, seed=self.how.seed), self.how)


@dataclass(frozen=True, eq=False)
class BankLabeller:
    """The :class:`~ditr.inference.scene_work.Labeller` that is a bank.

    Attributes:
        bank: of classes.
        encoding: of photographs, by the encoder of the bank; None for a bank without photographs.

    Raises:
        InputError: by another encoder.
    """

    bank: Bank
    encoding: CachedEncoding | None

    def __post_init__(self) -> None:
        if (self.encoding is None) != (self.bank.encoder is None):
            raise InputError("bank", "it has an encoder and is given none, or the reverse", "Give it the one it names")
        if self.encoding is not None and self.bank.encoder is not None:
            self.bank.encoder.require(self.encoding.encoder)

    @property
    def device(self) -> str:
        return "cpu" if self.encoding is None else str(self.encoding.encoder.device.type)

    def identity(self) -> dict[str, Any]:
        made = {"bank": self.bank.digest}
        if self.encoding is not None:
            made["encoder"] = self.encoding.encoder.identity
            made["features"] = "exact" if self.encoding.cache is None else "rounded to 16 bits"
        return made

    def steps(self, how: Labelling, name: str) -> BankSteps:
        encoding = self.encoding
        known = None if encoding is None else KnownFeatures(encoding.encoder.identity, encoding.cache)
        return BankSteps(self.bank, None if encoding is None else encoding.grid, known, how)

    def compute(self, sent: tuple[EncodedView | Unencoded, ...], seconds: dict[str, float]) -> list[EncodedView]:
        if self.encoding is None:
            return []
        with timed(seconds, "encode"):
            return self.encoding.complete([whole(view) for view in sent])

    def label(self, scene: Scene, how: Labelling) -> Prediction:
        cells = make_cells(scene, self.encoding, size=self.bank.cell, seed=how.seed)
        return finished(labelled_by_bank(self.bank, scene, cells, seed=how.seed), how)


def finished(prediction: Prediction, how: Labelling) -> Prediction:
    """The labels that stand.

    Raises:
        InputError: a confidence that is no probability.
    """
    return prediction if how.min_confidence is None else prediction.at_least(how.min_confidence)

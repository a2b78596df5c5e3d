"""Samples joined by offsets: what a network sees at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.data.sample import Sample
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import LiftPyramid, join_lift_pyramids
from ditr.geometry.pyramid import Pyramid
from ditr.nn.image_features import ImageFeatures

__all__ = ["Batch", "join_samples"]


@dataclass(frozen=True, eq=False)
class Batch:
    """Several samples one after the other.

    Attributes:
        names: of the samples.
        feature: (M, F) float32.
        pyramid: the joined geometry.
        lift: the joined lift; None without images.
        tokens: (T, D) image tokens of all samples; None where they are not encoded yet, or without images.
        label: (M,) int64, -1 for unlabelled; None where a sample has none.
        unencoded: the images of all samples, one after the other, where they have to be encoded still; they stay on the
            CPU.
        sizes: (height, width) at which each view is encoded.
        views: how many views each sample has.
        cls: (V, D) [cls] tokens of all views; None where ``tokens`` is.
        dataset: whose norms and heads of the network serve, where these exist per dataset.
    """

    names: tuple[str, ...]
    feature: Tensor
    pyramid: Pyramid
    lift: LiftPyramid | None
    tokens: Tensor | None
    label: Tensor | None
    unencoded: tuple[NDArray[np.uint8], ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    views: tuple[int, ...] = ()
    cls: Tensor | None = None
    dataset: str | None = None

    @property
    def image(self) -> ImageFeatures | None:
        """What the images give the network; None without images, or where these have to be encoded still."""
        if self.lift is None or self.tokens is None:
            return None
        return ImageFeatures(self.tokens, self.lift, self.cls, self.views)

    def to(self, device: torch.device | str) -> Batch:
        """A copy whose tensors are on ``device``."""
        return replace(
            self,
            feature=self.feature.to(device),
            pyramid=self.pyramid.to(device),
            lift=None if self.lift is None else self.lift.to(device),
            tokens=None if self.tokens is None else self.tokens.to(device),
            label=None if self.label is None else self.label.to(device),
            cls=None if self.cls is None else self.cls.to(device),
        )


def join_samples(samples: Sequence[Sample]) -> Batch:
    """Join samples. What some of them lack (labels, tokens, lifts) the batch lacks."""
    lifts = [sample.lift for sample in samples if sample.lift is not None]
    labels = [sample.label for sample in samples if sample.label is not None]
    tokens = [sample.tokens for sample in samples if sample.tokens is not None]
    cls = [sample.cls for sample in samples if sample.cls is not None]
    return Batch(
        names=tuple(sample.name for sample in samples),
        feature=torch.cat([sample.feature for sample in samples]),
        pyramid=join_pyramids([sample.pyramid for sample in samples]),
        lift=join_lift_pyramids(lifts) if len(lifts) == len(samples) else None,
        tokens=torch.cat(tokens) if len(tokens) == len(samples) else None,
        label=torch.cat(labels) if len(labels) == len(samples) else None,
        unencoded=tuple(image for sample in samples for image in sample.unencoded),
        sizes=tuple(size for sample in samples for size in sample.sizes),
        cls=torch.cat(cls) if len(cls) == len(samples) else None,
        views=tuple(len(sample.sizes) for sample in samples),
    )

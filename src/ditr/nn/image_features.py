"""Image features as a network sees them: tokens, and which of them every cell takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ditr.geometry.lift_pyramid import LiftLevel, LiftPyramid

__all__ = ["ImageFeatures"]


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What the photographs of a batch give.

    Attributes:
        tokens: (T, D) of patches.
        lift: which cell sees which of them.
        cls: (V, D) [cls] tokens of the views, one sample's after the other's; None where nobody asks for them.
        views: how many of them each of the pyramid's samples has.
    """

    tokens: Tensor
    lift: LiftPyramid
    cls: Tensor | None = None
    views: tuple[int, ...] = ()

    def hidden(self) -> ImageFeatures:
        """The same scenes as if they had no views."""
        levels = tuple(
            LiftLevel(torch.full_like(level.count, -1), torch.ones_like(level.count)) for level in self.lift.levels
        )
        cls = None if self.cls is None else self.cls[:0]
        return ImageFeatures(self.tokens, replace(self.lift, levels=levels), cls, (0,) * len(self.views))

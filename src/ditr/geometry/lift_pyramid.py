"""The lift on every level of a pyramid: which image tokens each coarser cell has seen.

The paper max-pools point-wise image features repeatedly (section 3.1). The maximum over a cell's points is the maximum
over the distinct tokens that those points see, and there are far fewer of these; so each level keeps the distinct
(cell, token) pairs, found once, without features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ditr.geometry.pyramid import Pyramid

__all__ = ["LiftLevel", "LiftPyramid", "build_lift_pyramid", "join_lift_pyramids"]


@dataclass(frozen=True, eq=False)
class LiftLevel:
    """Distinct tokens per cell of one level, sorted by cell.

    Attributes:
        token: (pairs,) int64, rows of the sample's token list; -1 stands for points that no view sees, whose zeros
            (or learned embedding) take part in the maximum, as they do in the published weights.
        count: (n,) int64, how many pairs each cell has; at least one.
    """

    token: Tensor
    count: Tensor


@dataclass(frozen=True, eq=False)
class LiftPyramid:
    """Levels from the finest (one token per voxel) to the coarsest; ``tokens`` is the length of the token list."""

    levels: tuple[LiftLevel, ...]
    tokens: int

    def to(self, device: torch.device | str) -> LiftPyramid:
        """A copy whose tensors are on ``device``."""
        moved = tuple(LiftLevel(level.token.to(device), level.count.to(device)) for level in self.levels)
        return LiftPyramid(moved, self.tokens)


def build_lift_pyramid(patch_index: Tensor, tokens: int, pyramid: Pyramid) -> LiftPyramid:
    """Carry voxel -> token up the pyramid of one sample.

    Args:
        patch_index: (M,) int64 token of each voxel, -1 for none.
        tokens: length of the sample's token list.
        pyramid: of the same sample.

    Raises:
        ValueError: another number of voxels than the pyramid has, or tokens that are not in the list.
    """
    if patch_index.shape != (len(pyramid.levels[0]),):
        raise ValueError(f"tokens of shape {tuple(patch_index.shape)} for {len(pyramid.levels[0])} voxels")
    if int(patch_index.min()) < -1 or int(patch_index.max()) >= tokens:
        raise ValueError(f"tokens {int(patch_index.min())} to {int(patch_index.max())} of a list of {tokens}")
    cell = torch.arange(len(patch_index))
    token = patch_index.to(torch.int64)
    levels = [LiftLevel(token, torch.ones_like(token))]
    for fine, coarse in zip(pyramid.levels[:-1], pyramid.levels[1:], strict=True):
        assert fine.parent is not None
        pair = torch.unique(fine.parent[cell] * (tokens + 1) + token + 1)
        cell, token = pair // (tokens + 1), pair % (tokens + 1) - 1
        levels.append(LiftLevel(token, torch.bincount(cell, minlength=len(coarse))))
    return LiftPyramid(tuple(levels), tokens)


def join_lift_pyramids(parts: Sequence[LiftPyramid], *, shared: bool = False) -> LiftPyramid:
    """One lift for a batch, whose token list is those of its samples one after the other.

    With ``shared`` all samples look into one and the same list, as the fragments of a scene do.
    """
    if len(parts) == 1:
        return parts[0]
    levels = []
    for index in range(len(parts[0].levels)):
        tokens, start = [], 0
        for part in parts:
            token = part.levels[index].token
            tokens.append(torch.where(token < 0, token, token + start))
            start += 0 if shared else part.tokens
        levels.append(LiftLevel(torch.cat(tokens), torch.cat([part.levels[index].count for part in parts])))
    return LiftPyramid(tuple(levels), parts[0].tokens if shared else sum(part.tokens for part in parts))

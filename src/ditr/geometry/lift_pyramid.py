"""The lift on every level of a pyramid: which image tokens each coarser cell has seen.

The paper max-pools point-wise image features repeatedly (section 3.1). The maximum over a cell's points is the maximum
over the distinct tokens that those points see, and there are far fewer of these; so each level keeps the distinct
(cell, token) pairs, found once, without features.

Where a point's feature is blended of several tokens (bilinear interpolation, aggregation over views), every distinct
blend is one entry of a list of its own, and cells see entries of that list: all of the above holds for them as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ditr.geometry.lift import Lift, join
from ditr.geometry.pyramid import Pyramid
from ditr.geometry.sorting import beginnings, stable_order

__all__ = ["LiftLevel", "LiftPyramid", "blend_lift_pyramid", "build_lift_pyramid", "join_lift_pyramids"]


@dataclass(frozen=True, eq=False)
class LiftLevel:
    """Distinct tokens per cell of one level, sorted by cell.

    Attributes:
        token: (pairs,) int64, rows of the sample's token list, or of its list of blends where it has one; -1 stands for
            points that no view sees, whose zeros (or learned embedding) take part in the maximum, as they do in the
            published weights.
        count: (n,) int64, how many pairs each cell has; at least one.
    """

    token: Tensor
    count: Tensor


@dataclass(frozen=True, eq=False)
class LiftPyramid:
    """Levels from the finest (one token per voxel) to the coarsest.

    Attributes:
        levels: the finest first.
        tokens: length of the token list.
        blend: (U, S) from which tokens each of the U entries is made that the levels index; None where these index the
            token list itself, as in the paper's method.
    """

    levels: tuple[LiftLevel, ...]
    tokens: int
    blend: Lift | None = None

    @property
    def entries(self) -> int:
        """Length of the list that the levels index."""
        return self.tokens if self.blend is None else len(self.blend)

    def to(self, device: torch.device | str) -> LiftPyramid:
        """A copy whose tensors are on ``device``."""
        moved = tuple(LiftLevel(level.token.to(device), level.count.to(device)) for level in self.levels)
        return LiftPyramid(moved, self.tokens, None if self.blend is None else self.blend.to(device))


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
    # A cell and a token are one number. Zero stands for no token.
    width, mask = tokens.bit_length(), (1 << tokens.bit_length()) - 1
    token = patch_index.to(torch.int64)
    levels = [LiftLevel(token, torch.ones_like(token))]
    pairs = (torch.arange(len(token)) << width | token + 1).numpy()
    for fine, coarse in zip(pyramid.levels[:-1], pyramid.levels[1:], strict=True):
        assert fine.parent is not None
        pairs = fine.parent.numpy().take(pairs >> width) << width | (pairs & mask)
        pairs = pairs.take(stable_order(pairs, width + len(coarse).bit_length()))
        pairs = pairs.take(beginnings(pairs))
        count = np.bincount(pairs >> width, minlength=len(coarse))
        levels.append(LiftLevel(torch.from_numpy((pairs & mask) - 1), torch.from_numpy(count)))
    return LiftPyramid(tuple(levels), tokens)


def blend_lift_pyramid(lift: Lift, pyramid: Pyramid) -> LiftPyramid:
    """Carry voxel -> weighted tokens up the pyramid of one sample.

    On the finest level a voxel's feature is what :func:`ditr.geometry.lift.gather` gives for ``lift``; on a coarser one
    it is the maximum of these over a cell's voxels.

    Args:
        lift: of the M voxels; any number of tokens per voxel, with weights.
        pyramid: of the same sample.

    Raises:
        ValueError: another number of voxels than the pyramid has, or a lift without weights.
    """
    if lift.weight is None:
        raise ValueError("a blend needs weights; one token per voxel needs no blend")
    seen = lift.has_token
    # Weights are compared by their bits, as integers, so that one search finds equal rows of both.
    key = torch.cat([lift.patch_index[seen], lift.weight[seen].view(torch.int32).to(torch.int64)], dim=1)
    distinct, entry = torch.unique(key, dim=0, return_inverse=True)
    index, bits = distinct.chunk(2, dim=1)
    blend = Lift(index.contiguous(), bits.to(torch.int32).view(torch.float32), lift.token_count, lift.alternatives)
    of_voxels = torch.full((len(lift),), -1, dtype=torch.int64)
    of_voxels[seen] = entry
    built = build_lift_pyramid(of_voxels, len(blend), pyramid)
    return LiftPyramid(built.levels, lift.token_count, blend)


def join_lift_pyramids(parts: Sequence[LiftPyramid], *, shared: bool = False) -> LiftPyramid:
    """One lift for a batch, whose token list is those of its samples one after the other.

    With ``shared`` all samples look into one and the same list, as the fragments of a scene do. Blends are always each
    sample's own.
    """
    if len(parts) == 1:
        return parts[0]
    blend = None
    if any(part.blend is not None for part in parts):
        blends = [_unblended(part.tokens) if part.blend is None else part.blend for part in parts]
        blend = join(blends, shared=shared)
    same = shared and blend is None
    levels = []
    for index in range(len(parts[0].levels)):
        tokens, start = [], 0
        for part in parts:
            token = part.levels[index].token
            tokens.append(torch.where(token < 0, token, token + start))
            start += 0 if same else part.entries
        levels.append(LiftLevel(torch.cat(tokens), torch.cat([part.levels[index].count for part in parts])))
    return LiftPyramid(tuple(levels), parts[0].tokens if shared else sum(part.tokens for part in parts), blend)


def _unblended(tokens: int) -> Lift:
    """The blend in which every token is an entry."""
    return Lift(torch.arange(tokens)[:, None], None, tokens)

"""The teacher's mean and principal directions, before a student learns of it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import torch
from lightning_fabric import Fabric

from ditr.data.batch import Batch
from ditr.errors import InputError
from ditr.models.distillation import Whitening
from ditr.training.step import targets_of

__all__ = ["learn_whitening"]

_BATCHES = 16
_ROWS = 20_000
"""Voxels of a batch, evenly spaced: the more would cost more than they tell."""


@torch.no_grad()
def learn_whitening(fabric: Fabric, whitening: Whitening, batches: Iterable[Batch]) -> int:
    """Set ``whitening`` from the first batches of a run, those of all processes together.

    Returns:
        how many voxels it was taken from.

    Raises:
        InputError: batches in which no view sees two voxels.
    """
    width = len(whitening.mean)
    moments = torch.zeros(1 + width + width**2, dtype=torch.float64, device=whitening.mean.device)
    for batch in islice(batches, _BATCHES):
        target, visible = targets_of(batch)
        rows = target[visible]
        rows = rows[:: max(1, -(-len(rows) // _ROWS))].to(torch.float64)
        moments[0] += len(rows)
        moments[1 : 1 + width] += rows.sum(dim=0)
        moments[1 + width :] += (rows.T @ rows).flatten()
    if fabric.world_size > 1:
        moments = fabric.all_reduce(moments, reduce_op="sum")
    if moments[0] < 2:
        raise InputError("scenes", "no view sees any of their points", "Give scenes with photographs of them")
    whitening.learn(moments[0], moments[1 : 1 + width], moments[1 + width :].view(width, width))
    return int(moments[0])

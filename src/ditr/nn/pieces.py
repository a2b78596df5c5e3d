"""Inference in pieces and in place: what a layer makes for a few thousand rows stays in the cache, and memory small.

Where gradients are kept, everything is computed whole: each intermediate result is needed again. The values are the
same either way.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["GATHERED_BYTES", "ROWS", "add", "by_rows", "keeps_no_gradients", "largest"]

ROWS = 4096
"""How many rows are computed at a time."""

GATHERED_BYTES = 4 << 20
"""How much is gathered at a time, where rows are gathered several times over."""


def keeps_no_gradients(module: nn.Module, x: Tensor) -> bool:
    """Whether a module may compute in pieces: in inference, on a CPU and in the precision of its input.

    On a GPU the pieces would only be more launches. Training without gradients (statistics of norms) draws its random
    numbers for all rows at once.
    """
    return not (torch.is_grad_enabled() or module.training or x.is_cuda or torch.is_autocast_enabled("cpu"))


def add(x: Tensor, branch: Tensor) -> Tensor:
    """x + branch, in ``x`` itself where no gradient needs it; ``x`` must be the caller's own."""
    if torch.is_grad_enabled() or torch.promote_types(x.dtype, branch.dtype) != x.dtype:
        return x + branch
    return x.add_(branch)


def by_rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """``function(x)``, computed piece by piece into ``x`` itself, which must be the caller's own.

    Args:
        function: treats each row for itself and keeps its width.
        x: (n, channels).
    """
    if len(x) <= ROWS:
        return function(x)
    for part in torch.split(x, ROWS):
        part.copy_(function(part))
    return x


def largest(rows: Tensor, table: Tensor) -> Tensor:
    """The maximum over each line of a table of rows: (n, c), (m, k) -> (m, c); knows no gradients."""
    out = rows.new_empty(len(table), rows.shape[1])
    at_once = max(1, GATHERED_BYTES // (table.shape[1] * rows.shape[1] * rows.element_size()))
    for lines, into in zip(torch.split(table, at_once), torch.split(out, at_once), strict=True):
        gathered = rows.index_select(0, lines.reshape(-1)).view(*lines.shape, -1)
        torch.amax(gathered, dim=1, out=into)
    return out

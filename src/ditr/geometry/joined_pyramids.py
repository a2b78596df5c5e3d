"""Pyramids of several samples as one: rows are concatenated, nothing is shared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from ditr.geometry.neighbours import Neighbours
from ditr.geometry.pyramid import Level, Patches, PatchRun, Pyramid, with_descents

__all__ = ["join_pyramids"]


def join_pyramids(pyramids: Sequence[Pyramid]) -> Pyramid:
    """One pyramid of several samples: rows are concatenated, nothing is shared."""
    if len(pyramids) == 1:
        return pyramids[0]
    counts = {len(pyramid.levels) for pyramid in pyramids}
    if len(counts) != 1:
        raise ValueError(f"pyramids of {sorted(counts)} levels cannot be joined")
    return Pyramid(with_descents([_join_levels([p.levels[i] for p in pyramids]) for i in range(counts.pop())]))


def _join_levels(levels: Sequence[Level]) -> Level:
    rows = np.cumsum([0, *(len(level) for level in levels)]).tolist()
    coarse = np.cumsum([0, *(0 if level.children is None else len(level.children) for level in levels)]).tolist()
    tables: dict[int, Neighbours] = {}
    for kernel, first in levels[0].neighbours.items():
        kept = [table for level in levels if isinstance(table := level.neighbours[kernel], Tensor)]
        tables[kernel] = _join_tables(kept, rows) if kept else first
    has_parent = levels[0].parent is not None
    return Level(
        grid=torch.cat([level.grid for level in levels]),
        offsets=(
            *(start + o for level, start in zip(levels, rows, strict=False) for o in level.offsets[:-1]),
            rows[-1],
        ),
        patches=_join_patches([level.patches for level in levels], rows),
        neighbours=tables,
        parent=_join_rows([level.parent for level in levels], coarse) if has_parent else None,
        children=_join_children([level.children for level in levels], rows) if has_parent else None,
        octants=_join_tables([level.octants for level in levels], rows) if levels[0].octants is not None else None,
        first_row=_join_first_rows(levels, rows),
    )


def _join_tables(parts: Sequence[Tensor | None], rows: Sequence[int]) -> Tensor:
    """Tables of rows, where each sample's number of rows stands for a cell that is not there."""
    tables = [part for part in parts if part is not None]
    return torch.cat(
        [
            torch.where(table == stop - start, rows[-1], table + start)
            for table, start, stop in zip(tables, rows, rows[1:], strict=False)
        ]
    )


def _join_first_rows(levels: Sequence[Level], rows: Sequence[int]) -> Tensor | None:
    if all(level.first_row is None for level in levels):
        return None
    own = [
        torch.arange(len(level), dtype=torch.int32) if level.first_row is None else level.first_row for level in levels
    ]
    return _join_rows(own, rows)


def _join_rows(parts: Sequence[Tensor | None], starts: Sequence[int]) -> Tensor:
    return torch.cat([part + start for part, start in zip(parts, starts, strict=False) if part is not None])


def _join_children(parts: Sequence[Tensor | None], starts: Sequence[int]) -> Tensor:
    tables = [part for part in parts if part is not None]
    width = max(table.shape[1] for table in tables)
    wide = [torch.cat([t, t[:, :1].expand(-1, width - t.shape[1])], dim=1) for t in tables]
    return _join_rows(wide, starts)


def _join_patches(parts: Sequence[Patches], rows: Sequence[int]) -> Patches:
    slots = np.cumsum([0, *(part.gather.shape[1] for part in parts)]).tolist()
    runs: list[PatchRun] = []
    for part, start in zip(parts, slots, strict=False):
        for run in part.runs:
            last = runs[-1] if runs else None
            if last is not None and last.length == run.length:
                runs[-1] = replace(last, count=last.count + run.count)
            else:
                runs.append(replace(run, start=run.start + start))
    return Patches(
        gather=torch.cat([part.gather + start for part, start in zip(parts, rows, strict=False)], dim=1),
        scatter=torch.cat([part.scatter + start for part, start in zip(parts, slots, strict=False)], dim=1),
        runs=tuple(runs),
    )

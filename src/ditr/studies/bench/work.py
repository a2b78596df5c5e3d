"""How many operations a pass needs, counted from its cells alone, whatever computes them.

A convolution needs a product for each pair of neighbours that exists; a table of all neighbours has products for the
others too. Of attention, scores and sums of values are counted; norms, activations and exponentials nowhere are.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.studies.bench.networks import network_of
from ditr.studies.bench.plan import CLASSES, TOKEN_WIDTH, TOKENS

__all__ = ["Work", "work_of"]


@dataclass(frozen=True)
class Work:
    """GFLOP of one pass in evaluation.

    Attributes:
        pairs: convolutions, of neighbours that exist.
        table: convolutions, of all neighbours of a kernel.
        attention: scores and weighted sums.
        linear: everything else that is a product.
    """

    pairs: float
    table: float
    attention: float
    linear: float

    @property
    def needed(self) -> float:
        return self.pairs + self.attention + self.linear


class _Cells:
    """The cells of one level: how many, and how many pairs of neighbours they have."""

    def __init__(self, grid: NDArray[np.int64]) -> None:
        self.grid = grid

    def __len__(self) -> int:
        return len(self.grid)

    @property
    def coarser(self) -> _Cells:
        return _Cells(np.unique(self.grid >> 1, axis=0))

    def pairs(self, kernel: int) -> int:
        """Neighbours within a cube of ``kernel`` cells, each cell with itself too."""
        around = self._occupied
        for axis in range(3):
            around = ndimage.convolve1d(around, np.ones(kernel, dtype=np.int16), axis=axis, mode="constant")
        return int(around[self._occupied > 0].sum(dtype=np.int64))

    @cached_property
    def _occupied(self) -> NDArray[np.int16]:
        low = self.grid - self.grid.min(axis=0)
        occupied = np.zeros(low.max(axis=0) + 1, dtype=np.int16)
        occupied[tuple(low.T)] = 1
        return occupied


def work_of(case: str, grid: Tensor) -> Work:
    """Of a case of "inference".

    Args:
        case: its name.
        grid: (M, 3) voxels.
    """
    levels = [_Cells(grid.numpy())]
    network = network_of(case)
    for _ in range(network.pyramid.levels - 1):
        levels.append(levels[-1].coarser)
    width = TOKEN_WIDTH if case == "d-ditr" else CLASSES
    count = _Count(levels, network.kernel)
    if case == "minkunet":
        _minkunet(count, MinkUNetConfig())
    else:
        _ptv3(count, PTv3Config(image_width=network.image_width))
    count.linear += len(levels[0]) * network.decoder_channels[0] * width
    return Work(*(2 * value / 1e9 for value in (count.pairs, count.table, count.attention, count.linear)))


class _Count:
    """Multiplications."""

    def __init__(self, levels: list[_Cells], kernel: int) -> None:
        self.levels = levels
        self.pairs = self.table = self.attention = self.linear = 0
        self._pairs = [level.pairs(kernel) for level in levels]
        self._kernel = kernel

    def convolution(self, level: int, inputs: int, outputs: int) -> None:
        self.pairs += self._pairs[level] * inputs * outputs
        self.table += len(self.levels[level]) * self._kernel**3 * inputs * outputs

    def stem(self, kernel: int, inputs: int, outputs: int) -> None:
        self.pairs += self.levels[0].pairs(kernel) * inputs * outputs
        self.table += len(self.levels[0]) * kernel**3 * inputs * outputs


def _ptv3(count: _Count, config: PTv3Config) -> None:
    cells = [len(level) for level in count.levels]
    count.stem(config.stem_kernel, config.in_channels, config.encoder_channels[0])
    for level, (depth, width) in enumerate(zip(config.encoder_depths, config.encoder_channels, strict=True)):
        if level:
            count.linear += cells[level - 1] * config.encoder_channels[level - 1] * width
        _blocks(count, config, level, depth, width)
    below = (*config.decoder_channels, config.encoder_channels[-1])
    for level, (depth, width) in enumerate(zip(config.decoder_depths, config.decoder_channels, strict=True)):
        count.linear += cells[level + 1] * below[level + 1] * width
        count.linear += cells[level] * config.encoder_channels[level] * width
        if config.image_width is not None:
            # On the finest level the few tokens are projected, and cells take theirs.
            count.linear += (cells[level] if level else TOKENS) * config.image_width * width
        _blocks(count, config, level, depth, width)


def _blocks(count: _Count, config: PTv3Config, level: int, depth: int, width: int) -> None:
    cells, patch = len(count.levels[level]), config.patch_size
    scores = cells**2 if cells <= patch else -(-cells // patch) * patch**2
    for _ in range(depth):
        count.convolution(level, width, width)
        # Of the position, queries with keys and values, what attention gives, and the MLP.
        count.linear += cells * width**2 * (1 + 3 + 1 + 2 * config.mlp_ratio)
        count.attention += 2 * scores * width


def _minkunet(count: _Count, config: MinkUNetConfig) -> None:
    cells = [len(level) for level in count.levels]
    count.stem(config.stem_kernel, config.in_channels, config.stem_channels)
    above = (config.stem_channels, *config.encoder_channels)
    for stage, (depth, width) in enumerate(zip(config.encoder_depths, config.encoder_channels, strict=True)):
        _between(count, cells[stage], cells[stage + 1], above[stage] * width)
        for _ in range(2 * depth):
            count.convolution(stage + 1, width, width)
    below = (*config.decoder_channels, config.encoder_channels[-1])
    for stage, (depth, width) in enumerate(zip(config.decoder_depths, config.decoder_channels, strict=True)):
        _between(count, cells[stage], cells[stage + 1], below[stage + 1] * width)
        joined = width + above[stage]
        count.convolution(stage, joined, width)
        count.linear += cells[stage] * joined * width
        for _ in range(2 * depth - 1):
            count.convolution(stage, width, width)


def _between(count: _Count, finer: int, coarser: int, size: int) -> None:
    """A convolution of kernel 2 between two levels: each finer cell has one product."""
    count.pairs += finer * size
    count.table += 8 * coarser * size

"""What every backbone asks of its input before it computes."""

from __future__ import annotations

from torch import Tensor

from ditr.geometry.pyramid import Pyramid

__all__ = ["check_input"]


def check_input(features: Tensor, pyramid: Pyramid, channels: int, levels: int) -> None:
    """The features are of this pyramid's finest cells, and both are made for a network of these sizes.

    Raises:
        ValueError: they are not.
    """
    cells = len(pyramid.levels[0])
    if features.shape != (cells, channels):
        raise ValueError(f"features of shape {tuple(features.shape)} for {cells} voxels and {channels} input channels")
    if len(pyramid.levels) != levels:
        raise ValueError(f"a pyramid of {len(pyramid.levels)} levels for a network of {levels}")

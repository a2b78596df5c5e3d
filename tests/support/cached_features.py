"""Photographs of noise, features of noise, and what a feature cache holds of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.encoders.feature_cache import EncodedView, FeatureCache

LAST_USED = 1_000_000_000


def photographs(count: int, height: int = 42, width: int = 56, seed: int = 0) -> list[NDArray[np.uint8]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def same(first: EncodedView, second: EncodedView) -> bool:
    return torch.equal(first.patch, second.patch) and torch.equal(first.cls, second.cls)


def features(seed: int, side: int = 8) -> EncodedView:
    generator = torch.Generator().manual_seed(seed)
    return EncodedView(torch.randn(side, side, 32, generator=generator), torch.randn(32, generator=generator)).rounded()


def keys(cache: FeatureCache) -> set[str]:
    return {path.stem for path in cache.folder.glob("??/*.safetensors") if not path.name.startswith(".")}


def key(index: int) -> str:
    return f"{index:064x}"[::-1]

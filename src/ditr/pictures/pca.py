"""Features as colours: the three directions in which the features of one scene differ most (paper, Figs. 3-8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.pictures.palette import GREY

__all__ = ["PCA", "fit_pca", "gather_colors"]

_CHUNK = 8192
_SPARE = 8
_ITERATIONS = 8
_DARKEST = 40  # so that every colour shows on a dark photograph


@dataclass(frozen=True, eq=False)
class PCA:
    """Three principal components and the ranges that become red, green and blue.

    Colours of different scenes cannot be compared, since each scene has its own components.

    Attributes:
        mean: (D,) float32.
        components: (3, D) float32, orthonormal rows; the entry of largest magnitude of each is positive.
        low, high: (3,) float32, the 1st and 99th percentile of each projected coordinate over the fitted features.
        explained: (3,) share of the variance that each component holds.
    """

    mean: NDArray[np.float32]
    components: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    explained: NDArray[np.float64]

    def project(self, features: NDArray[Any]) -> NDArray[np.float32]:
        """Coordinates along the components, (N, 3) float32, computed in chunks.

        Being linear, the projection may be taken of image patches first and averaged over views after.

        Raises:
            InputError: features of another width.
        """
        if features.ndim != 2 or features.shape[1] != len(self.mean):
            raise InputError("features", f"shape {features.shape}", f"Give (N, {len(self.mean)})")
        out = np.empty((len(features), 3), dtype=np.float32)
        for start in range(0, len(features), _CHUNK):
            part = np.asarray(features[start : start + _CHUNK], dtype=np.float32)
            out[start : start + _CHUNK] = (part - self.mean) @ self.components.T
        return out

    def to_rgb(self, projected: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
        """Projected coordinates (N, 3) as colours (N, 3) uint8; rows that are not finite become grey."""
        finite = np.isfinite(projected).all(axis=1)
        span = np.maximum(self.high - self.low, 1e-12)
        share = (np.where(finite[:, None], projected, 0.0) - self.low) / span
        out: NDArray[np.uint8] = np.rint(_DARKEST + (255 - _DARKEST) * np.clip(share, 0, 1)).astype(np.uint8)
        out[~finite] = GREY
        return out

    def colors(self, features: NDArray[Any]) -> NDArray[np.uint8]:
        """Features (N, D) as colours (N, 3) uint8; rows that are not finite become grey."""
        return self.to_rgb(self.project(features))


def fit_pca(features: NDArray[Any], *, rows: int = 20_000, skip: int = 0, seed: int = 0) -> PCA:
    """Principal components of the features of one scene.

    Args:
        features: (N, D), any float type. Rows that are not finite are left out.
        rows: at most so many rows, drawn at random, are looked at.
        skip: leave out so many leading components, if they show something else than what is asked (the place in the
            image, or inside against outside, say).
        seed: of the draw.

    Returns:
        The components; fewer than three dimensions that vary leave the remaining colours constant.

    Raises:
        InputError: features that are not (N, D), or of which no row is finite.
    """
    if features.ndim != 2 or features.shape[1] == 0:
        raise InputError("features", f"shape {features.shape}", "Give (N, D), one row per point or patch")
    sample = _draw(features, rows, seed)
    if len(sample) == 0:
        raise InputError("features", "no row is finite", "Give features of at least one point or patch")
    mean = sample.mean(axis=0, dtype=np.float64).astype(np.float32)
    sample -= mean
    value, vector = _leading(sample, 3 + skip, seed)
    total = float(np.einsum("ij,ij->", sample, sample, dtype=np.float64))
    components = np.zeros((3, features.shape[1]), dtype=np.float32)
    explained = np.zeros(3)
    varying = np.flatnonzero(value > 1e-9 * max(total, 1e-30))[skip : skip + 3]
    for i, k in enumerate(varying):
        components[i] = vector[k] * np.sign(vector[k][np.abs(vector[k]).argmax()])
        explained[i] = value[k] / total
    low, high = np.percentile(sample @ components.T, [1, 99], axis=0).astype(np.float32)
    return PCA(mean, components, low, high, explained)


def gather_colors(
    patch: NDArray[np.floating[Any]], index: NDArray[np.integer[Any]], pca: PCA, weight: NDArray[Any] | None = None
) -> NDArray[np.uint8]:
    """Colours of points from projected patches: grey where a point sees none.

    Args:
        patch: (P, 3) projected patch features, from :meth:`PCA.project`.
        index: (N,) or (N, S) numbers of the patches that each point sees, -1 for none.
        pca: what ``patch`` was projected with.
        weight: (N, S) shares of the patches; by default all that are seen count alike.

    Returns:
        (N, 3) uint8.
    """
    index = index.reshape(len(index), -1)
    seen = index >= 0
    share = seen.astype(np.float32) if weight is None else np.where(seen, weight, 0).astype(np.float32)
    total = share.sum(axis=1)
    mixed = np.zeros((len(index), 3), dtype=np.float32)
    for s in range(index.shape[1]):
        here = np.flatnonzero(share[:, s] > 0)
        mixed[here] += share[here, s, None] * patch[index[here, s]]
    mixed[total > 0] /= total[total > 0, None]
    mixed[total <= 0] = np.nan
    return pca.to_rgb(mixed)


def _leading(centered: NDArray[np.float32], count: int, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The largest ``count`` eigenvalues of the scatter matrix (count,), descending, and their vectors (count, D).

    By subspace iteration with some directions to spare (Halko, Martinsson and Tropp, 2011): for 20,000 rows of 1,024
    features the whole matrix takes about ten times as long.
    """
    width = centered.shape[1]
    start = np.random.default_rng(seed).normal(size=(width, min(width, count + _SPARE)))
    basis = np.linalg.qr(start)[0].astype(np.float32)
    for _ in range(_ITERATIONS):
        basis = np.linalg.qr(centered.T @ (centered @ basis))[0]
    inner = (centered @ basis).astype(np.float64)
    value, turn = np.linalg.eigh(inner.T @ inner)
    return np.maximum(value[::-1][:count], 0), (basis @ turn[:, ::-1]).T[:count]


def _draw(features: NDArray[Any], rows: int, seed: int) -> NDArray[np.float32]:
    """At most ``rows`` finite rows as a float32 copy, in their original order."""
    if len(features) > rows:
        chosen = np.sort(np.random.default_rng(seed).choice(len(features), rows, replace=False))
        sample = np.array(features[chosen], dtype=np.float32)
    else:
        sample = np.array(features, dtype=np.float32)
    return sample[np.isfinite(sample).all(axis=1)]

"""Level of detail: an octree whose nodes hold a thinned part of their points each, the coarser ones above the finer.

All nodes together hold each point once. To draw a node is to draw what it holds beside what the nodes above it hold, so
a scene becomes finer node by node, and stays within a number of points that a browser can draw. The idea is that of
Rusinkiewicz and Levoy (QSplat, 2000) and of Schuetz (Potree, 2016).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ditr.io.files import write_tensors
from ditr.pictures.render import point_spacing

__all__ = ["Octree", "build_octree", "flat_octree", "kept_octree"]

GRID = 64
"""Cells along the edge of a node, of each of which it holds one point."""
LEAF = 16_384
"""A node in which fewer points are left holds them all."""
_SAMPLE = 200_000
_BITS = 16
_SCHEMA = "1"


@dataclass(frozen=True, eq=False)
class Octree:
    """K nodes over N points.

    Attributes:
        order: (N,) int32 points, those of a node beside each other.
        start: (K + 1,) int64, where those of each node begin; nodes are ordered from coarse to fine.
        center: (K, 3) float32, of the nodes' cubes, in the frame of the points.
        edge: (K,) float32 of the cubes.
        size: (K,) float32, how far the points are apart where a node lies.
        parent: (K,) int32, the node above; -1 for the first.
        whole: (K,) bool, whether a node has none below it.
    """

    order: NDArray[np.int32]
    start: NDArray[np.int64]
    center: NDArray[np.float32]
    edge: NDArray[np.float32]
    size: NDArray[np.float32]
    parent: NDArray[np.int32]
    whole: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.edge)

    def points(self, node: int) -> NDArray[np.int32]:
        """The points that a node holds."""
        return self.order[self.start[node] : self.start[node + 1]]

    def drawn_size(self, node: int, finest: bool) -> float:
        """Edge of the points of a node that close a surface; ``finest`` where no node below it is drawn."""
        coarse = finest and not self.whole[node]
        return max(float(self.size[node]), float(self.edge[node]) / GRID if coarse else 0.0)

    def chosen(
        self, eye: NDArray[np.float64], forward: NDArray[np.float64], field: float, aspect: float, budget: int
    ) -> NDArray[np.int64]:
        """The nodes to draw for a camera, those first that look largest.

        Args:
            eye: (3,) position.
            forward: (3,) unit vector.
            field: vertical field of view in radians.
            aspect: width over height.
            budget: most points.
        """
        offset = self.center - eye
        radius = 0.5 * np.sqrt(3) * self.edge
        distance = np.linalg.norm(offset, axis=1)
        size = radius / np.maximum(distance - radius, 1e-6 + 0.05 * radius)
        # A cone around the picture's corners; what lies outside of it waits until all else is drawn.
        cone = np.arctan(np.tan(field / 2) * np.hypot(1, aspect))
        angle = np.arccos(np.clip(offset @ forward / np.maximum(distance, 1e-9), -1, 1))
        inside = (distance < radius) | (angle - np.arcsin(np.clip(radius / np.maximum(distance, 1e-9), 0, 1)) < cone)
        size = np.where(inside, size, size * 1e-3)
        for node in range(1, len(self)):  # parents stand before their children
            size[node] = min(size[node], size[self.parent[node]])
        turn = np.argsort(-size, kind="stable")
        filled = np.cumsum(np.diff(self.start)[turn])
        return np.sort(turn[: max(1, int(np.searchsorted(filled, budget, side="right")))])


def build_octree(coord: NDArray[np.floating], seed: int = 0) -> Octree:
    """The octree of (N, 3) points.

    Args:
        coord: points.
        seed: of the choice of a cell's point.
    """
    import torch  # takes longer to load than a small cloud to show

    from ditr.geometry.curves import Curve, encode

    low = coord.min(axis=0).astype(np.float64)
    edge = max(float((coord.max(axis=0) - low).max()), 1e-6) * (1 + 1e-6)
    grid = np.minimum((coord - low) * ((1 << _BITS) / edge), (1 << _BITS) - 1).astype(np.int64)
    sorted_code, order = torch.sort(encode(torch.from_numpy(grid), Curve.Z, _BITS))
    code, left = sorted_code.numpy(), order.numpy().astype(np.int32)
    rng = np.random.default_rng(seed)
    parts: list[NDArray[np.int32]] = []
    keys: list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    deepest = _BITS - GRID.bit_length() + 1
    for level in range(deepest + 1):
        node = code >> 3 * (_BITS - level)
        begin = np.flatnonzero(np.r_[True, node[1:] != node[:-1]])
        count = np.diff(np.r_[begin, len(node)])
        whole = (count <= LEAF) | (level == deepest)
        taken = whole.repeat(count)
        cell = code >> 3 * (deepest - level)
        first = np.flatnonzero(np.r_[True, cell[1:] != cell[:-1]])
        length = np.diff(np.r_[first, len(cell)])
        taken[first + (rng.random(len(first)) * length).astype(np.int64)] = True
        parts.append(left[taken])
        keys.append((level, node[begin], np.add.reduceat(taken, begin, dtype=np.int64), whole))
        code, left = code[~taken], left[~taken]
        if not len(left):
            break
    return _assembled(np.concatenate(parts), keys, low, edge, coord)


def _assembled(
    order: NDArray[np.int32],
    keys: list[tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]],
    low: NDArray[np.float64],
    edge: float,
    coord: NDArray[np.floating],
) -> Octree:
    center, edges, parent, counts, wholes = [], [], [], [], []
    above, before = np.empty(0, np.int64), 0
    for level, code, count, whole in keys:
        own = edge / (1 << level)
        grid = np.stack([_gathered(code >> (2 - axis)) for axis in range(3)], axis=1)
        center.append(low + (grid + 0.5) * own)
        edges.append(np.full(len(code), own))
        place = before - len(above) + np.searchsorted(above, code >> 3)
        parent.append(place if level else np.full(len(code), -1))
        counts.append(count)
        wholes.append(whole)
        above, before = code, before + len(code)
    start = np.r_[0, np.cumsum(np.concatenate(counts))].astype(np.int64)
    return Octree(
        order,
        start,
        np.concatenate(center).astype(np.float32),
        np.concatenate(edges).astype(np.float32),
        _sizes(coord, order, start),
        np.concatenate(parent).astype(np.int32),
        np.concatenate(wholes),
    )


def _sizes(coord: NDArray[np.floating], order: NDArray[np.int32], start: NDArray[np.int64]) -> NDArray[np.float32]:
    """(K,) how far the points are apart in each node's place, by some of them."""
    step = 1 + len(coord) // _SAMPLE
    spacing = point_spacing(coord[order[::step]].astype(np.float64)) / step**0.5  # on surfaces
    node = np.searchsorted(start, np.arange(0, len(order), step), side="right") - 1
    count = np.bincount(node, minlength=len(start) - 1)
    mean = np.bincount(node, spacing, len(start) - 1) / np.maximum(count, 1)
    return np.where(count > 0, mean, np.median(spacing)).astype(np.float32)


def _gathered(code: NDArray[np.int64]) -> NDArray[np.float64]:
    """Every third bit of Morton codes as a number."""
    value = np.zeros(len(code))
    for bit in range(_BITS + 1):
        value += ((code >> (3 * bit)) & 1).astype(np.float64) * (1 << bit)
    return value


def flat_octree(coord: NDArray[np.floating], spacing: NDArray[np.floating]) -> Octree:
    """All points in a few nodes beside each other, by how far they are apart.

    A LiDAR sweep is dense near the sensor and thin far away, and points of one node are drawn in one size.
    """
    low, high = np.percentile(spacing, [5, 95])
    parts = int(np.clip(np.ceil(np.log(max(high / max(low, 1e-9), 1.0)) / np.log(1.6)), 1, 5))
    bounds = np.quantile(spacing, np.linspace(0, 1, parts + 1)[1:-1])
    part = np.searchsorted(bounds, spacing)
    order = np.argsort(part, kind="stable")
    start = np.r_[0, np.cumsum(np.bincount(part, minlength=parts))]
    rows = [order[begin:end] for begin, end in pairwise(start)]
    rows = [own for own in rows if len(own)]
    edge = float(np.ptp(coord, axis=0).max())
    return Octree(
        order.astype(np.int32),
        np.r_[0, np.cumsum([len(own) for own in rows])].astype(np.int64),
        np.array([coord[own].mean(axis=0) for own in rows], np.float32),
        np.full(len(rows), edge, np.float32),
        np.array([np.median(spacing[own]) for own in rows], np.float32),
        np.full(len(rows), -1, np.int32),
        np.ones(len(rows), np.bool_),
    )


def kept_octree(coord: NDArray[np.floating], folder: Path | None) -> Octree:
    """The octree of a cloud, from the cache, or built and put there.

    Args:
        coord: points.
        folder: of the cache; None to build it again.
    """
    if folder is None:
        return build_octree(coord)
    digest = hashlib.sha256(_SCHEMA.encode() + np.ascontiguousarray(coord).tobytes()).hexdigest()
    path = folder / f"{digest}.safetensors"
    names = tuple(field.name for field in fields(Octree))
    try:
        with safe_open(path, "numpy") as file:
            found = Octree(*(file.get_tensor(name) for name in names))
        if len(found.order) == len(coord) and found.start[-1] == len(coord):
            return found
    except (OSError, SafetensorError, KeyError, IndexError):
        pass  # there is none yet, or a damaged one
    import torch

    made = build_octree(coord)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {name: torch.from_numpy(getattr(made, name)) for name in names}, {})
    except OSError:
        pass  # a cache that cannot be written to is done without
    return made

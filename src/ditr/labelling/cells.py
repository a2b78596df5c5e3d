"""What a classifier sees of a scene: for each small cube of it, the image features of its points and its shape.

Everything here is computed once for a scene; after that a click costs a few products of matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.data.preparation import Lookup, Preparation, profile_rule
from ditr.data.scene_views import SceneViews, find_views, inference_rows
from ditr.encoders.encoding import CachedEncoding, ImageGrid
from ditr.encoders.feature_cache import EncodedView
from ditr.geometry.normals import estimate_normals
from ditr.geometry.orientation import find_up
from ditr.geometry.voxels import Voxels, voxelize
from ditr.scene import Scene, View
from ditr.weights.saved_model import EncoderConfig

__all__ = ["CELL_SIZE", "NEIGHBOURS", "Cells", "DarkCells", "dark_cells", "make_cells"]

CELL_SIZE = {"indoor": 0.05, "outdoor": 0.2}
"""Edge of a cube in metres, by profile."""
NEIGHBOURS = 12
"""Nearest cells that a cell is smoothed with."""
_CHUNK = 1 << 15
_GROUND = 2.0
"""Edge in metres of the squares of the floor plan in each of which the lowest point is looked for."""


@dataclass(frozen=True, eq=False)
class Cells:
    """The M occupied cubes of a scene of N points.

    Attributes:
        size: edge in metres.
        of_point: (N,) int64, the cell of each point.
        coord: (M, 3) float64 metres, mean of a cell's points, in the scene's frame.
        count: (M,) int64, how many these are.
        image: (M, D) float32, mean of the tokens that its points have in all views that show them; zeros for none.
        seen: (M,) bool, whether a view shows one of its points.
        shape: (M, S) float32, what points alone say: height above the ground, direction and flatness of the surface,
            roughness, and colour or strength where the scene has them. Each has a mean of 0 and a deviation of 1.
        shape_names: (S,) what its columns are.
        near: (M, K) int64, the nearest other cells, the cell itself where there are fewer.
        encoder: that made the tokens; None where there are no photographs.
        network: (M, P) float32, mean of what a trained network finds of the voxels of a cell's points; (M, 0) without.
        model: digest of that network (:func:`ditr.inference.network_labeller.model_digest`); None without.
    """

    size: float
    of_point: NDArray[np.int64]
    coord: NDArray[np.float64]
    count: NDArray[np.int64]
    image: NDArray[np.float32]
    seen: NDArray[np.bool_]
    shape: NDArray[np.float32]
    shape_names: tuple[str, ...]
    near: NDArray[np.int64]
    encoder: EncoderConfig | None
    network: NDArray[np.float32]
    model: str | None = None

    def __len__(self) -> int:
        return len(self.coord)

    def with_network(self, found: NDArray[np.float32], inverse: NDArray[np.int64], model: str) -> Cells:
        """The cells with what a network finds.

        Args:
            found: (V, P) of its voxels.
            inverse: (N,) the voxel of each point.
            model: digest of the network.
        """
        from scipy.sparse import csr_matrix

        pairs = csr_matrix((np.ones(len(inverse), np.float32), (self.of_point, inverse)), (len(self), len(found)))
        return replace(self, network=(pairs @ found) / self.count[:, None].astype(np.float32), model=model)

    @cached_property
    def around(self) -> Any:
        """(M, M) sparse: what averages each cell's values, for a half, with those of the nearest ones."""
        from scipy.sparse import csr_matrix

        count, near = self.near.shape
        columns = np.column_stack([np.arange(count), self.near]).astype(np.int32)
        share = np.full(near + 1, 0.5 / near, np.float32)
        share[0] = 0.5
        ends = np.arange(0, columns.size + 1, near + 1, dtype=np.int32)
        return csr_matrix((np.tile(share, count), columns.ravel(), ends), shape=(count, count))


@dataclass(frozen=True, eq=False)
class DarkCells:
    """The cells of a scene before its photographs have been encoded: all that needs no encoder.

    Attributes:
        cells: with image features of no length.
        views: that show the scene; none where they are not asked for.
        sizes: for each, (height, width) at which it is encoded.
        pairs: (P, 2) int64, a cell and a token of the views that its points have.
        shares: (P,) float32, of the token in the cell; they sum up to 1 for a cell.
    """

    cells: Cells
    views: tuple[View, ...]
    sizes: tuple[tuple[int, int], ...]
    pairs: NDArray[np.int64]
    shares: NDArray[np.float32]

    def lit(self, encoded: Sequence[EncodedView], encoder: EncoderConfig) -> Cells:
        """The cells with the mean tokens of their points.

        Args:
            encoded: features of the views.
            encoder: that made them.
        """
        if not self.views:
            return self.cells
        tokens = torch.cat([view.patch.flatten(0, 1) for view in encoded])
        image = torch.zeros(len(self.cells), tokens.shape[1])
        pairs, shares = torch.from_numpy(self.pairs), torch.from_numpy(self.shares)
        for start in range(0, len(pairs), _CHUNK):
            part = slice(start, start + _CHUNK)
            taken = tokens[pairs[part, 1]].float()
            taken *= shares[part, None]
            image.index_add_(0, pairs[part, 0], taken)
        return replace(self.cells, image=image.numpy(), encoder=encoder)


def make_cells(scene: Scene, encoding: CachedEncoding | None, *, size: float | None = None, seed: int = 0) -> Cells:
    """Look at a scene.

    Args:
        scene: points, and views where it has any.
        encoding: of the photographs; None to do without.
        size: of the cells in metres; None for that of the scene's profile.
        seed: of the choice of views, where the scene says how many to use.

    Raises:
        InputError: missing or damaged photographs, or cells that are too small for the scene.
    """
    if encoding is None or not scene.views:
        return dark_cells(scene, None, size=size, seed=seed).cells
    dark = dark_cells(scene, encoding.grid, size=size, seed=seed)
    return dark.lit(encoding.encode(dark.views), EncoderConfig.of(encoding.encoder, encoding.spec))


def dark_cells(scene: Scene, grid: ImageGrid | None, *, size: float | None = None, seed: int = 0) -> DarkCells:
    """As :func:`make_cells`, which tells of the other arguments, except for the image features.

    Args:
        grid: of the encoder; None to do without photographs.

    Raises:
        InputError: missing or damaged depth maps or lists of pixels, or cells that are too small for the scene.
    """
    profile, rule = profile_rule(scene)
    size = CELL_SIZE[profile] if size is None else size
    voxels = voxelize(scene.coord, size)
    middle = _mean(scene.coord, voxels)
    near = _nearest(middle)
    shape = _shape(scene, voxels, middle, near)
    cells = Cells(
        size=size,
        of_point=voxels.inverse.numpy(),
        coord=middle,
        count=voxels.count.numpy(),
        image=np.zeros((len(voxels), 0), np.float32),
        seen=np.zeros(len(voxels), bool),
        shape=np.column_stack(list(shape.values())).astype(np.float32),
        shape_names=tuple(shape),
        near=near,
        encoder=None,
        network=np.zeros((len(voxels), 0), np.float32),
    )
    if grid is None or not scene.views:
        return DarkCells(cells, (), (), np.empty((0, 2), np.int64), np.empty(0, np.float32))
    preparation = Preparation(rule=rule, lookup=Lookup.BILINEAR)
    found = find_views(scene, inference_rows(scene, preparation, seed), preparation, grid)
    pairs, shares, seen = _pairs(found, voxels)
    return DarkCells(replace(cells, seen=seen), found.views, found.sizes, pairs, shares)


def _mean(values: NDArray[np.floating], voxels: Voxels) -> NDArray[np.float64]:
    """(M, k) means over the points of each cell."""
    members, start, count = voxels.members.numpy(), voxels.start.numpy(), voxels.count.numpy()
    first = values[members[start]].astype(np.float64)
    # Relative to the first point, so that large coordinates lose nothing.
    moved = values[members] - first.repeat(count, axis=0)
    result: NDArray[np.float64] = first + np.add.reduceat(moved, start, axis=0) / count[:, None]
    return result


def _pairs(views: SceneViews, voxels: Voxels) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.bool_]]:
    """Cells with their tokens (P, 2), the tokens' shares (P,), and whether a cell has any (M,)."""
    cells, tokens, shares = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0, np.float32)]
    for rows, weight in zip(views.token_rows, views.weights, strict=True):
        shown = np.flatnonzero(rows[:, 0] >= 0)
        cells.append(voxels.inverse.numpy()[shown].repeat(4))
        tokens.append(rows[shown].reshape(-1))
        shares.append(weight[shown].reshape(-1))
    cell, token = np.concatenate(cells), np.concatenate(tokens)
    share = np.concatenate(shares).astype(np.float64)
    total = np.bincount(cell, share, len(voxels))
    share /= np.maximum(total[cell], 1e-12)
    # Of a cell's points most fall into the same few patches: a pair of cell and token counts once, with its share.
    pair, place = np.unique(cell * views.token_count + token, return_inverse=True)
    count = max(views.token_count, 1)
    return np.column_stack([pair // count, pair % count]), np.bincount(place, share).astype(np.float32), total > 0


def _nearest(middle: NDArray[np.float64]) -> NDArray[np.int64]:
    """(M, K) the cells around each one."""
    from scipy.spatial import cKDTree

    count = len(middle)
    wanted = min(NEIGHBOURS + 1, count)
    found = np.asarray(cKDTree(middle).query(middle, wanted, workers=torch.get_num_threads())[1], np.int64).reshape(
        count, wanted
    )
    own = np.arange(count)[:, None]
    # A cell is nearest to itself; where there are too few others it stands for these.
    near = np.where(found[:, 1:] == own, found[:, :1], found[:, 1:])
    return np.concatenate([near, own.repeat(NEIGHBOURS + 1 - wanted, axis=1)], axis=1)


def _shape(
    scene: Scene, voxels: Voxels, middle: NDArray[np.float64], near: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    """What points alone say of a cell, (M,) each."""
    up = find_up(scene)
    across = np.linalg.svd(up[None])[2][1:]
    height = middle @ up
    normal = estimate_normals(middle, neighbours=NEIGHBOURS)
    columns = {"height": _above_ground(middle @ across.T, height), "level": np.abs(normal @ up).astype(np.float64)}
    columns |= dict(zip(("line", "plane", "rough"), _extents(middle, near).T, strict=True))
    if scene.color is not None:
        color = _mean(scene.color.astype(np.float64), voxels)
        columns |= dict(zip(("red", "green", "blue"), color.T, strict=True))
        columns["saturation"] = color.max(axis=1) - color.min(axis=1)
    if scene.strength is not None:
        strength = _mean(np.asarray(scene.strength, np.float64).reshape(-1, 1), voxels)[:, 0]
        columns["strength"] = np.log1p(np.maximum(strength, 0))
    return {name: _standard(values) for name, values in columns.items()}


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """With a mean of 0 and a deviation of 1; zeros where all are the same."""
    spread = values.std()
    result: NDArray[np.float64] = (values - values.mean()) / (spread if spread > 1e-9 else 1.0)
    return result


def _above_ground(plan: NDArray[np.float64], height: NDArray[np.float64]) -> NDArray[np.float64]:
    """(M,) metres above the lowest cells around, which a few strays below do not move."""
    square = voxelize(np.column_stack([plan, np.zeros(len(plan))]), _GROUND)
    members, start, count = square.members.numpy(), square.start.numpy(), square.count.numpy()
    by_square = np.lexsort((height[members], np.arange(len(start)).repeat(count)))
    low = height[members][by_square][start + (0.05 * count).astype(np.int64)]
    grid = square.grid.numpy()[:, :2]
    ground = low.copy()
    # A square that only a wall or a roof falls into takes the ground of its neighbours.
    place = {tuple(cell): row for row, cell in enumerate(grid.tolist())}
    for row, (x, y) in enumerate(grid.tolist()):
        around = [place[key] for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (key := (x + dx, y + dy)) in place]
        ground[row] = low[around].min()
    result: NDArray[np.float64] = height - ground[square.inverse.numpy()]
    return result


def _extents(middle: NDArray[np.float64], near: NDArray[np.int64]) -> NDArray[np.float64]:
    """(M, 3) how much a cell's surroundings are like a line, like a plane, and neither."""
    result = np.empty((len(middle), 3))
    for start in range(0, len(middle), _CHUNK):
        part = slice(start, start + _CHUNK)
        around = middle[near[part]] - middle[part, None]
        around -= around.mean(axis=1, keepdims=True)
        values = np.sqrt(np.maximum(np.linalg.eigvalsh(np.einsum("nki,nkj->nij", around, around)), 0))
        largest = np.maximum(values[:, 2], 1e-12)
        result[part, 0] = (values[:, 2] - values[:, 1]) / largest
        result[part, 1] = (values[:, 1] - values[:, 0]) / largest
        result[part, 2] = values[:, 0] / largest
    return result

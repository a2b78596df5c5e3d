"""What a classifier sees of a scene: for each small cube of it, the image features of its points and its shape.

Everything here is computed once for a scene; after that a click costs a few products of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.data.preparation import Lookup, Preparation, profile_rule
from ditr.data.scene_views import SceneViews, inference_rows, view_features
from ditr.encoders.encoding import CachedEncoding
from ditr.geometry.normals import estimate_normals
from ditr.geometry.orientation import find_up
from ditr.geometry.voxels import Voxels, voxelize
from ditr.scene import Scene
from ditr.weights.saved_model import EncoderConfig

__all__ = ["CELL_SIZE", "NEIGHBOURS", "Cells", "make_cells"]

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
        shape_names: (S,) what its columns are.
        near: (M, K) int64, the nearest other cells, the cell itself where there are fewer.
        encoder: that made the tokens; None where there are no photographs.
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

    def __len__(self) -> int:
        return len(self.coord)

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
    profile, rule = profile_rule(scene)
    size = CELL_SIZE[profile] if size is None else size
    voxels = voxelize(scene.coord, size)
    middle = _mean(scene.coord, voxels)
    image, seen = np.zeros((len(voxels), 0), np.float32), np.zeros(len(voxels), bool)
    if encoding is not None and scene.views:
        preparation = Preparation(rule=rule, lookup=Lookup.BILINEAR)
        views = view_features(scene, inference_rows(scene, preparation, seed), preparation, encoding)
        image, seen = _image_features(views, voxels)
    near = _nearest(middle)
    shape = _shape(scene, voxels, middle, near)
    return Cells(
        size=size,
        of_point=voxels.inverse.numpy(),
        coord=middle,
        count=voxels.count.numpy(),
        image=image,
        seen=seen,
        shape=np.column_stack(list(shape.values())).astype(np.float32),
        shape_names=tuple(shape),
        near=near,
        encoder=None if encoding is None or not scene.views else EncoderConfig.of(encoding.encoder, encoding.spec),
    )


def _mean(values: NDArray[np.floating], voxels: Voxels) -> NDArray[np.float64]:
    """(M, k) means over the points of each cell."""
    members, start, count = voxels.members.numpy(), voxels.start.numpy(), voxels.count.numpy()
    first = values[members[start]].astype(np.float64)
    # Relative to the first point, so that large coordinates lose nothing.
    moved = values[members] - first.repeat(count, axis=0)
    result: NDArray[np.float64] = first + np.add.reduceat(moved, start, axis=0) / count[:, None]
    return result


def _image_features(views: SceneViews, voxels: Voxels) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """(M, D) means over points and views, and whether there is any."""
    assert views.tokens is not None
    cells, tokens, shares = [], [], []
    for rows, weight in zip(views.token_rows, views.weights, strict=True):
        shown = np.flatnonzero(rows[:, 0] >= 0)
        cells.append(voxels.inverse.numpy()[shown].repeat(4))
        tokens.append(rows[shown].reshape(-1))
        shares.append(weight[shown].reshape(-1))
    cell, token, share = np.concatenate(cells), np.concatenate(tokens), np.concatenate(shares)
    share = share.astype(np.float64)
    total = np.bincount(cell, share, len(voxels))
    share /= np.maximum(total[cell], 1e-12)
    # Of a cell's points most fall into the same few patches: a pair of cell and token counts once, with its share.
    pair, place = np.unique(cell * views.token_count + token, return_inverse=True)
    summed = np.bincount(place, share).astype(np.float32)
    image = torch.zeros(len(voxels), views.tokens.shape[1])
    for start in range(0, len(pair), _CHUNK):
        part = slice(start, start + _CHUNK)
        taken = views.tokens[torch.from_numpy(pair[part] % views.token_count)].float()
        taken *= torch.from_numpy(summed[part])[:, None]
        image.index_add_(0, torch.from_numpy(pair[part] // views.token_count), taken)
    return image.numpy(), total > 0


def _nearest(middle: NDArray[np.float64]) -> NDArray[np.int64]:
    """(M, K) the cells around each one."""
    from scipy.spatial import cKDTree

    count = len(middle)
    wanted = min(NEIGHBOURS + 1, count)
    found = np.asarray(cKDTree(middle).query(middle, wanted, workers=-1)[1], np.int64).reshape(count, wanted)
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

"""Fragments: a scene in voxels, of which each choice of one point per voxel makes a sample.

All fragments of a scene have the same voxels. So the pyramid, which is most of the work of making a sample, is built
once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ditr.data.augment.point_set import PointSet
from ditr.data.batch import Batch
from ditr.data.preparation import Preparation
from ditr.data.sample import Sample, make_sample
from ditr.data.scene_views import SceneViews
from ditr.geometry.joined_pyramids import join_pyramids
from ditr.geometry.lift_pyramid import join_lift_pyramids
from ditr.geometry.pyramid import Pyramid, PyramidSpec, build_pyramid, published_permutations
from ditr.geometry.voxels import voxelize

__all__ = ["Fragments"]


class Fragments:
    """The fragments of a cloud of points; as many as its fullest voxel has points.

    Args:
        points: from :func:`ditr.data.sample.point_set`, turned and scaled already.
        preparation: voxel size, and how points become features.
        pyramid: the geometry that the network asks for.
        name: of the scene.
        views: what shows the scene's points, in the coordinates that they had before they were turned.
        device: where batches are wanted.
        seed: of the curves' orders, where the preparation draws them; all fragments share them.

    Attributes:
        voxels: of the points; ``voxels.fragment(i)`` is the published choice of points.
        pyramid: of the voxels.

    Raises:
        InputError: the points are too many or too far apart for the voxels.
    """

    def __init__(
        self,
        points: PointSet,
        preparation: Preparation,
        pyramid: PyramidSpec,
        *,
        name: str,
        views: SceneViews | None = None,
        device: torch.device | str = "cpu",
        seed: int = 0,
    ) -> None:
        self.points, self.preparation, self.name = points, preparation, name
        self.views, self.device = views, torch.device(device)
        self.tokens = None if views is None or views.tokens is None else views.tokens.to(self.device)
        self.voxels = voxelize(points.coord, preparation.voxel_size)
        permutations = published_permutations(seed, pyramid) if preparation.shuffle_curves else None
        self.pyramid = build_pyramid(self.voxels.grid, pyramid, permutations=permutations)
        self._joined: tuple[int, Pyramid] = (0, self.pyramid)

    def __len__(self) -> int:
        return self.voxels.fragment_count

    def sample(self, rows: Tensor, rng: np.random.Generator) -> Sample:
        """The sample in which point ``rows[i]`` stands for voxel i.

        Args:
            rows: (M,) int64 rows of the points, one per voxel and in the order of the voxels.
            rng: of the choice among the views that show a point.

        Raises:
            ValueError: rows that are not one point of each voxel, in their order.
        """
        if not torch.equal(self.voxels.inverse[rows], torch.arange(len(self.voxels))):
            raise ValueError("a fragment takes one point of each voxel, in the order of the voxels")
        return make_sample(
            self.points.take(rows.numpy()),
            self.pyramid,
            self.preparation,
            name=self.name,
            inverse=self.voxels.inverse,
            views=self.views,
            rng=rng,
        )

    def batch(self, samples: Sequence[Sample]) -> Batch:
        """Several fragments one after the other, on the device; all of them look into one list of tokens."""
        count = len(samples)
        if self._joined[0] != count:
            self._joined = count, join_pyramids([self.pyramid] * count).to(self.device)
        lifts = [sample.lift for sample in samples if sample.lift is not None]
        cls = [sample.cls for sample in samples if sample.cls is not None]
        return Batch(
            names=tuple(sample.name for sample in samples),
            feature=torch.cat([sample.feature for sample in samples]).to(self.device),
            pyramid=self._joined[1],
            lift=join_lift_pyramids(lifts, shared=True).to(self.device) if lifts else None,
            tokens=self.tokens,
            label=None,
            cls=None if not cls else torch.cat(cls).to(self.device),
            views=tuple(len(sample.sizes) for sample in samples),
        )

"""Labels of points between voxels: logits of the voxels around a point, blended by where it lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from torch.nn import functional

from ditr.data.sample import point_set, prepare
from ditr.geometry.voxels import cells_around, voxelize
from ditr.inference.ready import PointLabels, SceneInputs, voxel_labels
from ditr.inference.segmenter import Segmenter, require_finite

__all__ = ["Smoothing"]


@dataclass(frozen=True)
class Smoothing:
    """Run the voxels once, and let each point weigh the logits of those around it; an argument of
    :meth:`Segmenter.__call__`.

    A point lies between the middles of eight voxels and takes their logits with trilinear weights; what empty voxels
    would have goes to the others. The network sees what it sees without, and labels change where voxels of different
    labels meet.

    Attributes:
        kind: how the weights fall off.
    """

    kind: Literal["trilinear"] = "trilinear"

    def __call__(self, segmenter: Segmenter, inputs: SceneInputs) -> PointLabels:
        """Labels of all points of a scene.

        Raises:
            InputError: an attribute is missing, the scene is too large for its voxels, or scores are not finite.
        """
        preparation, config = inputs.preparation, segmenter.config
        sample = prepare(
            inputs.scene,
            preparation,
            config.network.pyramid,
            views=inputs.views,
            seed=inputs.seed,
            rotation=inputs.rotation,
        )
        logits = segmenter.logits(sample).float()
        points = point_set(inputs.scene, preparation, inputs.rotation)
        if preparation.clip is not None:
            points = preparation.clip(points, np.random.default_rng(inputs.seed))
        # The sample's own voxels, in the same order.
        voxels = voxelize(points.coord, preparation.voxel_size)
        require_finite(logits, sample.name, voxels.first().numpy())
        label = np.empty(len(points), dtype=np.int32)
        confidence = np.empty(len(points), dtype=np.float32)
        for part, index, weight in cells_around(points.coord, preparation.voxel_size, voxels):
            index, weight = index.to(logits.device), weight.to(logits.device)
            blended = functional.embedding_bag(index, logits, per_sample_weights=weight, mode="sum")
            found = voxel_labels(blended, config.temperature)
            label[part], confidence[part] = found.label, found.confidence
        return PointLabels(label, confidence, len(sample), smoothed=True)

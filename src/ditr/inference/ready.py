"""A scene made ready for a network: all that can be done without its weights, and so in another process.

The road of a scene: :func:`make_ready` here, the features of its images and the network's scores in
:class:`ditr.inference.segmenter.Segmenter`, and back here from scores of voxels to labels of points.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.data.normals import NEIGHBOURS, missing_normals, with_lacking_normals
from ditr.data.preparation import Attribute, Preparation, how_hidden
from ditr.data.sample import Sample, prepare
from ditr.data.scene_views import SceneViews, find_views, inference_rows
from ditr.encoders.encoding import ImageGrid
from ditr.errors import InputError
from ditr.geometry.orientation import find_up, rotation_upright
from ditr.geometry.projection import VisibilityRule
from ditr.geometry.upright_views import turned_degrees
from ditr.inference.prediction import Prediction
from ditr.scene import ReadOptions, Scene
from ditr.weights.saved_model import ModelConfig

__all__ = [
    "PointLabels",
    "Ready",
    "SceneInputs",
    "Told",
    "VoxelLabels",
    "make_ready",
    "not_finite_scores",
    "voxel_labels",
]


@dataclass(frozen=True, eq=False)
class SceneInputs:
    """A scene and all that was decided about how the network sees it.

    Attributes:
        scene: the points.
        preparation: of the model, with the changes that the caller asked for.
        rotation: (3, 3) turns the scene's up to z; None where it is z.
        views: of the scene with their tokens, and which of these its points see; None for networks without images.
        seed: of everything that is drawn.
    """

    scene: Scene
    preparation: Preparation
    rotation: NDArray[np.float64] | None
    views: SceneViews | None
    seed: int


@dataclass(frozen=True, eq=False)
class PointLabels:
    """What was found of N points.

    Attributes:
        label: (N,) int32.
        confidence: (N,) float32.
        voxels: how many voxels the labels are from.
        smoothed: whether a point's label is that of the voxels around it, and not of its own alone.
    """

    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    voxels: int
    smoothed: bool = False


@dataclass(frozen=True, eq=False)
class VoxelLabels:
    """What the network says of M voxels.

    Attributes:
        label: (M,) int32.
        confidence: (M,) float32.
        bad: rows of the voxels whose scores are not finite; labels mean nothing where there are any.
    """

    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    bad: NDArray[np.int64]

    def of_points(self, inverse: NDArray[np.int64], scene: str) -> PointLabels:
        """The labels of points, which are those of their voxels.

        Args:
            inverse: (N,) the voxel of every point.
            scene: its name.

        Raises:
            InputError: scores that are not finite.
        """
        if len(self.bad):
            first = int(np.flatnonzero(inverse == self.bad[0])[0])
            raise not_finite_scores(scene, len(self.bad), first)
        return PointLabels(self.label[inverse], self.confidence[inverse], len(self.label))


def not_finite_scores(scene: str, count: int, point: int) -> InputError:
    """The error of ``count`` voxels whose scores are not finite, the first of which holds ``point``."""
    return InputError(
        f"scene {scene}",
        f"the network gives no finite scores for {count} voxels; the first has point {point}",
        "Check the attributes of that point (colour, normal, intensity); if they are plausible, the model's weights "
        "are damaged",
    )


@dataclass(frozen=True, eq=False)
class Ready:
    """A scene made ready.

    Attributes:
        scene: as given, with what was said of how it is to be read.
        inputs: what the network sees, except for the tokens of its views.
        up: (3,) the direction against gravity.
        normals: how they were made, where the network takes them and the scene lacks some; None otherwise.
    """

    scene: Scene
    inputs: SceneInputs
    up: NDArray[np.float64]
    normals: str | None

    def sample(self, config: ModelConfig, inputs: SceneInputs | None = None) -> Sample:
        """One point for each voxel, with all that the network of ``config`` asks for.

        Args:
            config: of the model.
            inputs: with tokens; by default without.

        Raises:
            InputError: an attribute is missing and has no substitute, or the scene is too large for the voxels.
        """
        given = inputs or self.inputs
        return prepare(
            given.scene,
            given.preparation,
            config.network.pyramid,
            views=given.views,
            seed=given.seed,
            rotation=given.rotation,
        )

    @property
    def told(self) -> Told:
        """What a prediction says beside its labels."""
        x, y, z = (float(value) for value in self.up)
        views = self.inputs.views
        return Told(
            seen_by=None if views is None else views.seen_by(len(self.scene)),
            up=(x, y, z),
            turned={} if views is None else turned_degrees(views.views),
            occlusion=None if views is None else how_hidden(self.inputs.preparation.rule, views.views),
            seed=self.inputs.seed,
            normals=self.normals,
        )

    def prediction(self, found: PointLabels, config: ModelConfig) -> Prediction:
        """What was found of the scene's points."""
        return self.told.prediction(self.scene, found, config)


@dataclass(frozen=True, eq=False)
class Told:
    """What a prediction says beside its labels, under the names that it has in
    :class:`~ditr.inference.prediction.Prediction`."""

    seen_by: NDArray[np.int64] | None
    up: tuple[float, float, float]
    turned: dict[str, int]
    occlusion: str | None
    seed: int
    normals: str | None

    def prediction(self, scene: Scene, found: PointLabels, config: ModelConfig) -> Prediction:
        """What was found of a scene's points by the model of ``config``."""
        return Prediction(
            scene=scene,
            label=found.label,
            confidence=found.confidence,
            class_names=config.class_names,
            voxels=found.voxels,
            smoothed=found.smoothed,
            calibrated=config.temperature is not None,
            class_colors=config.class_colors,
            seen_by=self.seen_by,
            up=self.up,
            turned=self.turned,
            occlusion=self.occlusion,
            seed=self.seed,
            normals=self.normals,
        )


def make_ready(
    scene: Scene,
    config: ModelConfig,
    grid: ImageGrid | None,
    *,
    seed: int = 0,
    up: Sequence[float] | None = None,
    rule: VisibilityRule | None = None,
    substitutes: Mapping[str, float] | None = None,
    strength_scale: float | None = None,
    estimate: bool = True,
    shuffle_curves: bool = False,
) -> Ready:
    """Decide all that the network sees, and find the scene's points in its views.

    All other arguments are those of :meth:`ditr.inference.segmenter.Segmenter.__call__`.

    Args:
        scene: with the attributes that the model takes.
        config: of the model.
        grid: of the model's encoder; None for a model without images.

    Raises:
        InputError: missing or damaged depth maps or lists of pixels, or ``up`` is not a direction.
    """
    if seed < 0:
        raise InputError("seed", f"it is {seed}", "Give 0 or more")
    direction = find_up(scene, up)
    more = tuple((Attribute(name).value, value) for name, value in (substitutes or {}).items())
    reading = ReadOptions(substitute=more, strength_scale=strength_scale).over(scene.reading)
    scene = replace(scene, reading=reading)
    preparation = config.preparation.of(scene)
    if rule is not None:
        preparation = replace(preparation, rule=rule)
    if shuffle_curves:
        preparation = replace(preparation, shuffle_curves=True)
    views = None
    if grid is not None:
        standing = replace(scene, up=direction)
        views = find_views(standing, inference_rows(standing, preparation, seed), preparation, grid)
    complete = with_lacking_normals(scene, preparation, seed) if estimate else scene
    inputs = SceneInputs(complete, preparation, rotation_upright(direction), views, seed)
    return Ready(scene, inputs, direction, None if complete is scene else _how_made(scene))


def _how_made(scene: Scene) -> str:
    how, count = f"estimated from {NEIGHBOURS} neighbours", len(missing_normals(scene))
    return how if scene.normal is None else f"those of {count} points are {how}, since they are missing"


def voxel_labels(logits: Tensor, temperature: float | None) -> VoxelLabels:
    """The labels of voxels by their logits (M, classes); confidences with logits divided by the temperature."""
    logits = logits.float()
    bad = torch.nonzero(~torch.isfinite(logits).all(dim=1))[:, 0]
    confidence, label = torch.softmax(logits, dim=1).max(dim=1)
    if temperature is not None:
        confidence = torch.softmax(logits / temperature, dim=1).gather(1, label[:, None])[:, 0]
    return VoxelLabels(label.cpu().numpy().astype(np.int32), confidence.cpu().numpy(), bad.cpu().numpy())

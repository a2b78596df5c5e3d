"""What a model did with a scene, in sentences: which photographs and rules, and where the scene is unlike its training.

Labels look alike whether they are worth something or not. These sentences are what a person needs to judge them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ditr.data.preparation import ViewOrder, how_hidden
from ditr.data.scene_views import inference_rows
from ditr.data.training_data import facts_of
from ditr.datasets.table import BENCHMARKS
from ditr.errors import Finding, Grade
from ditr.geometry.projection import VisibilityRule
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene, View
from ditr.weights.saved_model import ModelConfig

__all__ = ["differences", "unlike_training", "used_up", "used_views", "what_is_visible"]


def used_views(segmenter: Segmenter, scene: Scene, rule: VisibilityRule | None = None, *, seed: int = 0) -> list[str]:
    """Which photographs a model takes, at which size, and which points it counts as visible.

    Args:
        segmenter: the model.
        scene: whose views are chosen.
        rule: as for the call of the segmenter.
        seed: likewise.
    """
    preparation = segmenter.config.preparation.of(scene)
    if segmenter.encoding is None:
        return ["photographs: none, the model sees only points"]
    views = [scene.views[row] for row in inference_rows(scene, preparation, seed)]
    if not views:
        return ["photographs: none in the scene, but this model was made to use them"]
    sizes = sorted({segmenter.encoding.size(view) for view in views})
    size = ", ".join(f"{width} x {height}" for height, width in sizes)
    how = "drawn at random" if preparation.view_order is ViewOrder.RANDOM else "equidistant"
    count = f"{len(views)} of {len(scene.views)}, {how}" if len(views) < len(scene.views) else f"all {len(views)}"
    return [
        f"photographs: {count}, encoded at {size} pixels",
        f"visible is {what_is_visible(rule or preparation.rule, views)}",
    ]


def used_up(prediction: Prediction) -> str:
    """Which direction was taken as up, and how it was found."""
    x, y, z = prediction.up
    told = prediction.scene.up is not None
    source = "as told" if told else "as points and cameras show" if prediction.scene.views else "as the points show"
    if prediction.up == (0.0, 0.0, 1.0):
        return f"up is z, {source}"
    found = "as told" if told else "found from points and cameras"
    return f"up is ({x:.2f}, {y:.2f}, {z:.2f}), {found}; the scene was turned for the network"


def differences(config: ModelConfig, prediction: Prediction) -> list[str]:
    """How a scene is unlike what a model was trained with; empty where nothing was noticed.

    Args:
        config: of the model. A run's own says what its scenes were like; of a benchmark bounds are known.
        prediction: for the scene.
    """
    known = config.training_data
    if known is None:
        known = next((b.training_data for b in BENCHMARKS if b.name == config.dataset), None)
    if known is None:
        return []
    scene, seen = prediction.scene, prediction.seen_by
    preparation = config.preparation.of(scene)
    share = None if seen is None else float((seen > 0).mean())
    return known.unlike(facts_of(scene, preparation, np.asarray(prediction.up), seen=share), preparation)


def unlike_training(config: ModelConfig, prediction: Prediction) -> Finding | None:
    """The same as a finding; None where nothing was noticed."""
    unlike = differences(config, prediction)
    if not unlike:
        return None
    name = f"{config.dataset}, with" if config.dataset is not None else "the scenes with"
    text = f"this capture differs from {name} which the model was trained: {'; '.join(unlike)}"
    return Finding(Grade.WARNED, "training data", text, "Expect worse labels than on such scenes")


def what_is_visible(rule: VisibilityRule, views: Sequence[View]) -> str:
    """Which points a rule counts as seen by these views, in words."""
    low, high = rule.min_depth, rule.max_depth
    parts = ["what lies inside the image"]
    if high is not None:
        parts.append(f"{low or 0:g} to {high:g} m in front of the camera")
    elif low is not None:
        parts.append(f"at least {low:g} m in front of the camera")
    if rule.occlusion == "z-buffer" and (rule.depth_margin is None or any(view.depth is None for view in views)):
        return f"{', '.join(parts)}, and not hidden; occlusion: {how_hidden(rule, views)}"
    if rule.depth_margin is None:
        return ", ".join(parts) + " (this rule has no depth test, so hidden points count as seen)"
    without = sum(view.depth is None for view in views)
    if without == len(views):
        return (
            ", ".join(parts)
            + " (there are no depth maps, so hidden points count as seen; --occlusion z-buffer can hide them)"
        )
    parts.append(f"within {rule.depth_margin:g} m of the depth map")
    some = f" (no depth test in the {without} views without a depth map)" if without else ""
    return ", ".join(parts) + some

"""What a model did with a scene, in sentences: which photographs and rules, and where the scene is unlike its training.

Labels look alike whether they are worth something or not. These sentences are what a person needs to judge them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ditr.data.preparation import Attribute, Origin, Preparation, ViewOrder
from ditr.data.scene_views import inference_rows
from ditr.datasets.table import BENCHMARKS
from ditr.geometry.projection import VisibilityRule
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene, View
from ditr.weights.saved_model import ModelConfig
from ditr.weights.suggest import BUILDING, SWEEP

__all__ = ["differences", "used_up", "used_views"]


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
        return ["photographs: none, the model takes points alone"]
    views = [scene.views[row] for row in inference_rows(scene, preparation, seed)]
    if not views:
        return ["photographs: the scene has none, which this model was made for"]
    sizes = sorted({segmenter.encoding.size(view) for view in views})
    size = ", ".join(f"{width} x {height}" for height, width in sizes)
    how = "drawn at random" if preparation.view_order is ViewOrder.RANDOM else "equidistant"
    count = f"{len(views)} of {len(scene.views)}, {how}" if len(views) < len(scene.views) else f"all {len(views)}"
    return [
        f"photographs: {count}, encoded at {size} pixels",
        f"visible is {_visible(rule or preparation.rule, views)}",
    ]


def used_up(prediction: Prediction) -> str:
    """Which direction was taken as up, and how it was found."""
    x, y, z = prediction.up
    told = prediction.scene.up is not None
    source = "as told" if told else "as points and cameras say" if prediction.scene.views else "as the points say"
    if prediction.up == (0.0, 0.0, 1.0):
        return f"up is z, {source}"
    found = "as told" if told else "found from points and cameras"
    return f"up is ({x:.2f}, {y:.2f}, {z:.2f}), {found}; the scene was turned for the network"


def differences(config: ModelConfig, prediction: Prediction) -> list[str]:
    """How a scene is unlike what a published model was trained with; empty where nothing was noticed.

    Nothing is said of a model that was trained on captures of one's own: what those were like is not known.

    Args:
        config: of the model.
        prediction: for the scene.
    """
    if config.dataset is None:
        return []
    scene = prediction.scene
    preparation = config.preparation.of(scene)
    if preparation.origin is Origin.SENSOR:
        return [*_strength(scene, preparation), *_sensor(config.dataset, scene, np.asarray(prediction.up))]
    return _building(scene)


def _visible(rule: VisibilityRule, views: list[View]) -> str:
    low, high = rule.min_depth, rule.max_depth
    parts = ["what lies inside the image"]
    if low is not None or high is not None:
        parts.append(f"{low or 0:g} to {'any' if high is None else f'{high:g}'} m before the camera")
    if rule.depth_margin is None:
        return ", ".join(parts) + " (no depth test in this rule: also what is hidden)"
    without = sum(view.depth is None for view in views)
    if without == len(views):
        return ", ".join(parts) + " (no depth test, as there are no depth maps: also what is hidden)"
    parts.append(f"within {rule.depth_margin:g} m of the depth map")
    some = f" (no depth test in the {without} views without a depth map)" if without else ""
    return ", ".join(parts) + some


def _strength(scene: Scene, preparation: Preparation) -> list[str]:
    if Attribute.STRENGTH not in preparation.attributes:
        return []
    if scene.strength is None:
        return ["one intensity stands in for all"]
    low, high = (float(value) for value in np.percentile(scene.strength, [0, 99.5]))
    scale = preparation.strength_scale
    if low >= 0 and 0.05 <= high / scale <= 1.5:
        return []
    fitting = next(
        (f"{best:g}" for best in (1.0, 255.0) if 0.05 <= high / best <= 1.5),
        f"{high:.2g}" if high < 1 else f"{high:.0f}",
    )
    return [
        f"intensities of {low:.3g} to {high:.3g}, where its training had 0 to {scale:g} (--strength-scale {fitting})"
    ]


def _sensor(dataset: str, scene: Scene, up: NDArray[np.float64]) -> list[str]:
    height = scene.coord @ (up / np.linalg.norm(up))
    # Along the ground.
    distance = np.sqrt(np.maximum((scene.coord**2).sum(axis=1) - height**2, 0))
    middle = float(np.median(distance))
    found = []
    if middle > SWEEP:
        found.append(f"half of the points are over {middle:.0f} m from the origin, which should be the sensor")
    near = height[(distance > 3) & (distance < 20)]
    wanted = next((benchmark.ground for benchmark in BENCHMARKS if benchmark.name == dataset), None)
    if wanted is not None and len(near) >= 100:
        ground = float(np.percentile(near, 10))
        if abs(ground - wanted) > 0.8:
            found.append(
                f"the ground is {ground:.1f} m high, where its training, from a car's roof, had {wanted:.1f} m"
            )
    return found


def _building(scene: Scene) -> list[str]:
    extent = np.ptp(scene.coord, axis=0)
    size = " x ".join(f"{length:.3g}" for length in extent)
    if extent.max() > BUILDING:
        return [f"it spans {size} m, where its training had rooms (coordinates are metres)"]
    return (
        [f"it spans only {size} m, where its training had rooms (coordinates are metres)"] if extent.max() < 1 else []
    )

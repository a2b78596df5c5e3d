"""Which published model fits a capture that comes without one, and why.

The choice is made from what the scene holds, before anything is downloaded: a capture that no published model fits is
told so at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ditr.data.preparation import Attribute, Preparation, profile_rule
from ditr.data.sample import lacking_attributes
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.scene import Scene
from ditr.weights.published import PublishedModel, published_model

__all__ = ["Suggestion", "suggest_model"]

BUILDING = 60.0
"""Metres: what is no larger, has colour and no intensities, is taken for a part of a building."""
NEAR_SENSOR = 10.0
"""Metres from the origin within which the cameras of a car or robot are, where the origin is its sensor."""
SWEEP = 60.0
"""Metres from the sensor within which at least half of a sweep's points lie."""

_MODELS = {
    ("indoor", True): "ditr-scannet200-dinov2-l",
    ("indoor", False): "d-ditr-scannet200",
    ("outdoor", True): "ditr-nuscenes-dinov2-l",
    ("outdoor", False): "d-ditr-nuscenes",
}
"""By profile, and whether there are photographs. Indoors the 200 classes: they contain what the 20 would say."""


@dataclass(frozen=True)
class Suggestion:
    """A published model, and the reason for it in words."""

    model: PublishedModel
    reason: str


def suggest_model(scene: Scene) -> Suggestion:
    """The published model that fits a scene best.

    Args:
        scene: points and views; photographs are not opened. Without a profile of its own it is taken for one indoors
            with depth maps, outdoors with intensities, and indoors with colours where it is no larger than a building.

    Raises:
        InputError: no published model fits: the points lack what it takes, coordinates are not counted from the
            sensor, or it cannot be told whether this is indoors.
    """
    kind, why = _kind(scene)
    has_images = bool(scene.views)
    model = published_model(_MODELS[kind, has_images])
    preparation = by_name(model.dataset).preparation(has_images)
    _check_attributes(scene, preparation, kind)
    if kind == "outdoor":
        _check_sweep(scene)
    count = len(scene.views)
    seen = f"it has {count} photograph{'s' * (count > 1)}" if has_images else "it has no photographs"
    return Suggestion(model, f"{kind} ({why}), and {seen}")


def _kind(scene: Scene) -> tuple[str, str]:
    """The profile and the reason for it."""
    if scene.reading.profile is not None:
        return profile_rule(scene)[0], "as told"
    if any(view.depth is not None for view in scene.views):
        return "indoor", "there are depth maps"
    if scene.strength is not None:
        return "outdoor", "the points have intensities and no view has a depth map"
    if "strength" in dict(scene.reading.substitute):
        return "outdoor", "there is a substitute for intensities"
    extent = np.ptp(scene.coord, axis=0)
    size = " x ".join(f"{length:.0f}" for length in extent)
    if scene.color is not None and extent.max() <= BUILDING:
        return "indoor", f"the points have colour and no intensity, and span {size} m"
    raise InputError(
        f"scene {scene.name}",
        f"no published model can be chosen for it: no depth maps, no intensities, {size} m large",
        "Say --profile indoor if this is inside of a building; name a model (--model); or train one on labelled "
        "captures of this kind (`ditr train`)",
    )


def _check_attributes(scene: Scene, preparation: Preparation, kind: str) -> None:
    # Normals are estimated, alone.
    lacking = [name for name in lacking_attributes(scene, preparation) if name is not Attribute.NORMAL]
    if not lacking:
        return
    missing, value = ("intensity", "strength=20") if kind == "outdoor" else ("colour", "color=127.5")
    other = "outdoor" if kind == "indoor" else "indoor"
    raise InputError(
        f"scene {scene.name}",
        f"its points have no {missing}, which the published {kind} models take as input",
        f"Add it to the point cloud; or say --profile {other} if that is what it is; or let one value stand in for all "
        f"(--substitute {value}), which those models have not seen in training; or train one without (`ditr train`)",
    )


def _check_sweep(scene: Scene) -> None:
    """The published outdoor models see coordinates, counted from the sensor: anything else is out of their world."""
    far = float(np.median(np.linalg.norm(scene.coord, axis=1)))
    cameras = max((float(np.linalg.norm(view.center)) for view in scene.views), default=0.0)
    if far <= SWEEP and cameras <= NEAR_SENSOR:
        return
    what = f"half of its points are {far:.0f} m from it" if far > SWEEP else f"a camera is {cameras:.0f} m from it"
    raise InputError(
        f"scene {scene.name}",
        f"its origin is not a LiDAR's place ({what}), as it is for the published outdoor models, which take one sweep",
        "Give single sweeps in the sensor's frame; or say --profile indoor if this is inside of a building; or train a "
        "model on labelled captures of this kind (`ditr train`); a model named with --model is taken as it is",
    )

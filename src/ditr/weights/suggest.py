"""Which published model fits a capture that comes without one, and why.

The choice is made from what the scene holds, before anything is downloaded: a capture that no published model fits is
told so at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ditr.data.preparation import Attribute, Preparation, profile_of
from ditr.data.sample import lacking_attributes
from ditr.data.training_data import BRIGHTEST, DIMMEST, ground_height
from ditr.datasets.semantic_kitti import SEMANTIC_KITTI
from ditr.datasets.table import by_name
from ditr.errors import InputError
from ditr.geometry.orientation import find_up
from ditr.scene import Scene
from ditr.weights.published import PublishedModel, published_model

__all__ = ["Suggestion", "suggest_model"]

NEAR_SENSOR = 10.0
"""Metres from the origin within which the cameras of a car or robot are, where the origin is its sensor."""
SWEEP = 60.0
"""Metres from the sensor within which at least half of a sweep's points lie."""
KITTI_GROUND = 0.25
"""Metres by which the ground may lie elsewhere than in SemanticKITTI, for a sweep to be like its."""
TOGETHER = 0.7
"""Cosine between the directions of any two cameras that look ahead."""

_MODELS = {
    ("indoor", True): "ditr-scannet200-dinov2-l",
    ("indoor", False): "d-ditr-scannet200",
    ("outdoor", True): "ditr-nuscenes-dinov2-l",
    ("outdoor", False): "d-ditr-nuscenes",
}
"""By profile, and whether there are photographs. Indoors the 200 classes: they contain what the 20 would say."""
_KITTI = "ditr-semantickitti-dinov2-l"


@dataclass(frozen=True)
class Suggestion:
    """A published model, and the reason for it in words."""

    model: PublishedModel
    reason: str


def suggest_model(scene: Scene) -> Suggestion:
    """The published model that fits a scene best.

    Args:
        scene: points and views; photographs are not opened.

    Raises:
        InputError: no published model fits: the points lack what it takes, coordinates are not counted from the
            sensor, or it cannot be told whether this is indoors.
    """
    kind, why = _kind(scene)
    has_images = bool(scene.views)
    name = _MODELS[kind, has_images]
    if kind == "outdoor" and has_images and _is_like_kitti(scene):
        name, why = _KITTI, f"{why}; these, the ground and the cameras are as in SemanticKITTI"
    model = published_model(name)
    preparation = by_name(model.dataset).preparation(has_images)
    _check_attributes(scene, preparation, kind)
    if kind == "outdoor":
        _check_sweep(scene)
    count = len(scene.views)
    seen = f"it has {count} photograph{'s' * (count > 1)}" if has_images else "it has no photographs"
    return Suggestion(model, f"{kind} ({why}), and {seen}")


def _kind(scene: Scene) -> tuple[str, str]:
    """The profile and the reason for it."""
    kind, why = profile_of(scene)
    if kind is None:
        raise InputError(
            f"scene {scene.name}",
            f"no published model can be chosen for it: {why}",
            "Say --profile indoor if this is inside a building; name a model (--model); label it from a few "
            "clicks (`ditr label`); or train one on labelled captures of this kind (`ditr train`)",
        )
    return kind, why


def _is_like_kitti(scene: Scene) -> bool:
    """Whether a sweep is like those of SemanticKITTI: intensities of 0 to 1, its ground, and cameras ahead alone."""
    if scene.strength is None or scene.reading.strength_scale not in (None, 1.0):
        return False
    low, high = (float(value) for value in np.percentile(scene.strength, [0.5, 99.5]))
    if low < 0 or not DIMMEST <= high <= 1 or float(scene.strength.max()) > BRIGHTEST:
        return False
    up = np.asarray(find_up(scene))
    ground = ground_height(scene.coord, up)
    known = SEMANTIC_KITTI.training_data
    if ground is None or known is None or known.ground is None or abs(ground - known.ground[0]) > KITTI_GROUND:
        return False
    ahead = np.array([view.camera_to_world[:3, 2] for view in scene.posed_views]).reshape(-1, 3)
    return bool(len(ahead)) and float((ahead @ ahead.T).min()) >= TOGETHER


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
        f"(--substitute {value}), which those models did not see in training; or train one without (`ditr train`); "
        "or label it with classes of your own from a few clicks (`ditr label`)",
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
        f"its origin is not the position of a LiDAR ({what}), but the published outdoor models expect a single sweep "
        "around it",
        "Give single sweeps in the sensor's frame; or say --profile indoor if this is inside a building; or label "
        "it with classes of your own from a few clicks (`ditr label`); or train a model on labelled captures of this "
        "kind (`ditr train`); a model named with --model is used without this check",
    )

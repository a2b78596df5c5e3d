"""From a scene that was read to its labels, with all that is found on the way: the work of one scene among many."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ditr.data.preparation import profile_rule
from ditr.data.sample import require_attributes
from ditr.errors import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.inference.explain import unlike_training
from ditr.inference.prediction import Prediction
from ditr.inference.segmenter import Segmenter, Voter
from ditr.plausibility.judge import judge
from ditr.plausibility.many import require_files, without_bad_photographs
from ditr.scene import Scene
from ditr.weights.saved_model import ModelConfig
from ditr.weights.suggest import suggest_model

__all__ = ["Labelling", "finished", "judged", "require_inputs", "rule_of", "with_meaning"]


@dataclass(frozen=True)
class Labelling:
    """How the points of scenes are labelled.

    Attributes:
        seed: of the choice among the views that show a point.
        votes: another way than to run each scene's voxels once; None for that.
        min_confidence: labels of lower confidence, 0 to 1, are taken back; None where all stand.
        by_profile: whether a scene's own profile says which points a view shows; by default that is as in training.
    """

    seed: int = 0
    votes: Voter | None = None
    min_confidence: float | None = None
    by_profile: bool = False

    def __call__(self, segmenter: Segmenter, scene: Scene) -> Prediction:
        """The labels of a scene, with what they are worth among its findings.

        Raises:
            InputError: as for :meth:`Segmenter.__call__`, or a confidence that is not a probability.
        """
        found = segmenter(scene, seed=self.seed, rule=rule_of(scene, self), votes=self.votes)
        return finished(found, segmenter.config, self)


def judged(scene: Scene, *, force: bool, photographs: bool = True, needs_unit: bool = True) -> Scene:
    """The scene with what the judge found about it.

    Args:
        scene: that was read.
        force: whether what is implausible passes.
        photographs: whether the work needs them.
        needs_unit: whether it needs metres.

    Raises:
        InputError: something is refused, and not forced; or photographs (where they count) or depth maps are damaged.
    """
    require_files(scene, photographs=photographs)
    seen = scene if photographs else without_bad_photographs(scene)
    judgement = judge(seen, profile_rule(scene)[1], needs_unit=needs_unit)
    judgement.require(force=force)
    return replace(scene, findings=judgement.findings)


def rule_of(scene: Scene, how: Labelling) -> VisibilityRule | None:
    """Which points a view shows; None for the model's own rule."""
    return profile_rule(scene)[1] if how.by_profile else None


def finished(prediction: Prediction, config: ModelConfig, how: Labelling) -> Prediction:
    """The labels that stand, and among the findings whether the scene is unlike those of the training.

    Raises:
        InputError: a confidence that is not a probability.
    """
    unlike = unlike_training(config, prediction)
    if unlike is not None:
        scene = prediction.scene
        prediction = replace(prediction, scene=replace(scene, findings=(*scene.findings, unlike)))
    return prediction if how.min_confidence is None else prediction.at_least(how.min_confidence)


def with_meaning(scene: Scene, config: ModelConfig) -> Scene:
    """The scene with the finding of what the labels mean where the training scenes were labelled in part alone."""
    meaning = None if config.labels is None else config.labels.meaning()
    return scene if meaning is None else replace(scene, findings=(*scene.findings, meaning))


def require_inputs(scene: Scene, config: ModelConfig, name: str, *, force: bool) -> None:
    """Refuse a scene that lacks what a model takes.

    Args:
        scene: that was read.
        config: of the model.
        name: of the model, for the error.
        force: whether a cloud without photographs is labelled as if no photograph showed it.

    Raises:
        InputError: naming all that the points lack, or a model that takes no photographs.
    """
    require_attributes(scene, config.preparation, estimate=True)
    if scene.views or not config.takes_images or force or scene.reading.max_views == 0:
        return
    try:
        other = f"Use {suggest_model(scene).model.name} (--model), which needs none; or train"
    except InputError:
        other = "Train"
    raise InputError(
        f"scene {scene.name}",
        f"it has no photographs, but {name} needs them",
        f"{other} a model without them (`ditr train --encoder none`); --force labels it as if no photograph showed "
        "any point",
    )

"""What work on scenes took for granted, as findings for its report: the encoder, the unit, up, which points are seen.

Some of it was said on the terminal; a report has to tell it as well, since it is read later and by others.
"""

from __future__ import annotations

from collections.abc import Sequence

from ditr.data.preparation import Preparation
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import Finding, Grade
from ditr.geometry.projection import VisibilityRule
from ditr.inference.explain import used_up, what_is_visible
from ditr.inference.prediction import Prediction
from ditr.scene import Scene, View

__all__ = ["is_unit_told", "of_encoder", "of_labels", "of_scenes", "of_visibility"]


def of_encoder(encoding: CachedEncoding | None) -> Finding:
    """Which image encoder was used; a warning where it took the place of the one that was asked for.

    Args:
        encoding: of photographs, whose encoder is loaded; None where none were used.
    """
    if encoding is None:
        return Finding(Grade.NOTED, "encoder", "no photographs are used")
    encoder = encoding.encoder
    if not encoder.replaces:
        return Finding(Grade.NOTED, "encoder", f"photographs are encoded by {encoder.name} ({encoder.origin})")
    text = f"photographs are encoded by {encoder.name} ({encoder.origin}), since {encoder.replaces}"
    return Finding(Grade.WARNED, "encoder", text, "Name an encoder with --encoder to choose it yourself")


def of_visibility(rule: VisibilityRule, views: Sequence[View]) -> list[Finding]:
    """Which points count as seen; nothing without views."""
    return [Finding(Grade.NOTED, "visibility", f"visible is {what_is_visible(rule, views)}")] if views else []


def of_labels(prediction: Prediction) -> list[Finding]:
    """The up direction and the unit of a scene that was labelled."""
    return [Finding(Grade.NOTED, "up", used_up(prediction)), *_unit([prediction.scene])]


def of_scenes(scenes: Sequence[Scene], preparation: Preparation) -> list[Finding]:
    """The same of several scenes, each of which may have another up; and which of their points count as seen.

    Args:
        scenes: their points may be left out.
        preparation: of the model; its rule says what is seen.
    """
    told = sum(scene.up is not None for scene in scenes)
    how = "is as told" if told == len(scenes) else "was found by points and cameras, scene by scene"
    shown = next((scene for scene in scenes if scene.views), None)
    seen = [] if shown is None else of_visibility(preparation.of(shown).rule, shown.views)
    return [Finding(Grade.NOTED, "up", f"the direction {how}"), *_unit(scenes), *seen]


def is_unit_told(scene: Scene) -> bool:
    """Whether an option, or the file itself as its reader found, says what the unit of the coordinates is."""
    return scene.reading.tells_unit or any(found.about == "scale" for found in scene.findings)


def _unit(scenes: Sequence[Scene]) -> list[Finding]:
    """That coordinates are metres, where nothing tells their unit; another unit is a finding of the scene itself."""
    if all(is_unit_told(scene) for scene in scenes):
        return []
    return [Finding(Grade.NOTED, "unit", "coordinates are taken for metres", "Give --unit if they are not")]

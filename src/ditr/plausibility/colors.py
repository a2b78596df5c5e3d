"""Colours of points against those of their pixels: red for blue."""

from __future__ import annotations

import numpy as np

from ditr.errors import Finding, Grade
from ditr.geometry.projection import VisibilityRule
from ditr.plausibility.shown import correlation, sampled, shown_in_all
from ditr.scene import Scene

__all__ = ["check_colors"]

ENOUGH = 200
"""Points that a view has to show, so that their colours tell anything."""


def check_colors(scene: Scene, rule: VisibilityRule) -> list[Finding]:
    """Whether the cloud's red is the images' blue: by what is left of colours without their brightness.

    Raises:
        InputError: images or depth maps that cannot be read.
    """
    if scene.color is None or len(scene.posed_views) < 3:
        return []
    sample = sampled(scene)
    assert sample.color is not None
    shown = zip(sample.views, shown_in_all(sample, rule), strict=True)
    pairs = [each.colors(sample.color, view) for view, each in shown]
    pairs = [pair for pair in pairs if len(pair[0]) >= ENOUGH]
    if len(pairs) < 3 or np.median([correlation([pair]) for pair in pairs]) < 0.5:
        return []  # The colours say nothing, or views do not fit, which other checks tell.
    ours, theirs = (np.concatenate(side) for side in zip(*pairs, strict=True))
    ours, theirs = ours - ours.mean(axis=1, keepdims=True), theirs - theirs.mean(axis=1, keepdims=True)
    as_is, exchanged = correlation([(ours, theirs)]), correlation([(ours[:, ::-1], theirs)])
    if exchanged < as_is + 0.3 or exchanged < 0.5:
        return []
    text = (
        f"red and blue seem to be swapped: hues of points and pixels agree to {as_is:.2f}, but to {exchanged:.2f} "
        "after swapping"
    )
    evidence = {"hue_fit": round(as_is, 3), "hue_fit_exchanged": round(exchanged, 3)}
    return [Finding(Grade.WARNED, "colours", text, "Write the channels as red, green, blue", evidence)]

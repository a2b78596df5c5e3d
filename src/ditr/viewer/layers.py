"""Ways to colour the points: by what was captured, by labels, by how sure they are, by features, by why no view shows
a point."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.geometry.orientation import find_up
from ditr.geometry.projection import Sight
from ditr.pictures.palette import (
    BOTH_RIGHT,
    BOTH_WRONG,
    GREY,
    LIGHT_GREY,
    ONLY_FIRST,
    chosen_colors,
    value_colors,
)
from ditr.viewer.subject import Subject

__all__ = ["LABELS", "Layer", "class_layer", "colors_as", "layer_makers", "opens_on"]

LABELS = ("clicks", "label", "true label")
"""Layers of labels, those that somebody makes now first."""
_FIRST = ("label", "features", "true label", "colour")
"""What is shown first: what a result is about comes before what its capture says."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A way to colour points: a colour for each, or a group for each and a colour for each group.

    Attributes:
        colors: (N, 3) uint8; of groups None.
        group: (N,) int32, 0 to K; K for those without one; None where points have colours of their own.
        names: (K + 1,) of the groups, that of the points without one at last.
        group_colors: (K + 1, 3) uint8.
        note: a sentence on what the colours mean.
    """

    colors: NDArray[np.uint8] | None = None
    group: NDArray[np.int32] | None = None
    names: tuple[str, ...] = ()
    group_colors: NDArray[np.uint8] | None = None
    note: str = ""


def class_layer(label: NDArray[np.int32], names: tuple[str, ...], colors: NDArray[np.uint8] | None = None) -> Layer:
    """Of labels, -1 for none."""
    table = chosen_colors(len(names), None) if colors is None or len(colors) != len(names) else colors
    group = np.where(label < 0, np.int32(len(names)), label).astype(np.int32)
    return Layer(group=group, names=(*names, "no label"), group_colors=np.vstack([table, np.array([GREY], np.uint8)]))


def layer_makers(subject: Subject) -> dict[str, Callable[[], Layer]]:
    """What there is to colour by, and how it is made; in the order in which it is offered."""
    scene = subject.scene
    makers: dict[str, Callable[[], Layer]] = {}
    if scene.color is not None:
        color = scene.color
        makers["colour"] = lambda: Layer(colors=color)
    if scene.strength is not None:
        strength = scene.strength
        makers["strength"] = lambda: Layer(
            colors=value_colors(np.log1p(np.maximum(strength, 0))), note="The sensor's intensity: dark blue is low."
        )
    makers["height"] = lambda: _height(subject)
    if subject.label is not None:
        label = subject.label
        makers["label"] = lambda: class_layer(label, subject.class_names, subject.class_colors)
    if subject.confidence is not None:
        confidence = subject.confidence
        makers["confidence"] = lambda: confidence_layer(confidence)
    if scene.label is not None and scene.class_names:
        true, names = scene.label, scene.class_names
        table = colors_as(names, subject.class_names, subject.class_colors)
        makers["true label"] = lambda: class_layer(true, names, table)
        if subject.label is not None:
            makers["right or wrong"] = lambda: _difference(subject)
    if subject.features is not None:
        features = subject.features
        makers["features"] = lambda: Layer(colors=features, note="Three principal components of the features.")
    if scene.views:
        makers["why unseen"] = lambda: _unseen(subject)
    return makers


def opens_on(layers: Iterable[str]) -> str:
    """The layer that is shown first, of these."""
    names = list(layers)
    return next((name for name in _FIRST if name in names), names[0])


def colors_as(
    names: tuple[str, ...], own: tuple[str, ...], colors: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """(C, 3) of classes: those of ``own`` with the same names have, and further ones."""
    table = chosen_colors(len(own), None) if colors is None else colors
    others = [name for name in names if name not in own]
    further = chosen_colors(len(own) + len(others), None)[len(own) :]
    known = dict(zip((*own, *others), [*table, *further], strict=True))
    return np.array([known[name] for name in names], np.uint8).reshape(-1, 3)


def confidence_layer(confidence: NDArray[np.float32]) -> Layer:
    """Of probabilities."""
    return Layer(
        colors=value_colors(confidence, low=0.0, high=1.0), note="The label's probability: dark blue 0, light yellow 1."
    )


def _height(subject: Subject) -> Layer:
    height = subject.scene.coord @ find_up(subject.scene)
    low, high = np.percentile(height, [2, 98])
    note = f"Dark blue is low, light yellow {high - low:.1f} m higher."
    return Layer(colors=value_colors(height, low=low, high=high), note=note)


def _difference(subject: Subject) -> Layer:
    scene = subject.scene
    assert scene.label is not None and subject.label is not None
    number = {name: place for place, name in enumerate(subject.class_names)}
    same = np.array([*(number.get(name, -2) for name in scene.class_names), -3])[scene.label] == subject.label
    group = np.select([scene.label < 0, same, subject.label < 0], [3, 0, 2], default=1).astype(np.int32)
    colors = np.array([BOTH_RIGHT, ONLY_FIRST, BOTH_WRONG, LIGHT_GREY], np.uint8)
    colors[0] = (120, 170, 140)
    return Layer(group=group, names=("right", "wrong", "no label", "unknown"), group_colors=colors)


def _unseen(subject: Subject) -> Layer:
    from ditr.data.preparation import profile_rule
    from ditr.data.scene_views import why_unseen

    scene = subject.scene
    sight = why_unseen(scene, scene.views, profile_rule(scene)[1])
    names = tuple(one.meaning for one in Sight)
    table = chosen_colors(len(names), None).copy()
    table[Sight.VISIBLE] = (205, 205, 200)
    return Layer(
        group=sight.astype(np.int32),
        names=(*names, "unknown"),
        group_colors=np.vstack([table, np.array([GREY], np.uint8)]),
        note="The reason in the photograph that came closest to showing the point.",
    )

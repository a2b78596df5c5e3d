"""Clicks by nobody: what a number of clicks is worth, found out on a scene whose labels are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ditr.errors import InputError
from ditr.labelling.clicks import Action
from ditr.labelling.session import Session

__all__ = ["MARKS", "Mark", "marks_up_to", "mean_iou", "simulate"]

MARKS = (1, 3, 10, 30, 100)
"""Clicks per class after which is counted."""


@dataclass(frozen=True)
class Mark:
    """What was reached.

    Attributes:
        clicks: per class, on average.
        total: clicks in all.
        miou: over the classes that the scene has and all of its labelled points, 0 to 1.
    """

    clicks: int
    total: int
    miou: float


def marks_up_to(most: int) -> tuple[int, ...]:
    """The usual marks up to a number of clicks, and that number.

    Raises:
        InputError: it is less than 1.
    """
    if most < 1:
        raise InputError("--simulate", f"it is {most}", "Give the largest number of clicks per class, 1 or more")
    return (*(mark for mark in MARKS if mark < most), most)


def simulate(
    session: Session,
    marks: Sequence[int],
    *,
    strategy: Literal["random", "least-sure"] = "random",
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[Mark]:
    """Click by the scene's own labels, and count after some clicks.

    ``random`` clicks at random points of each class in turn. ``least-sure`` begins with one of each, and then clicks
    where the session says that it is least sure, as often in all.

    Args:
        session: of a scene with labels, nothing clicked yet.
        marks: clicks per class after which is counted, growing.
        strategy: see above.
        seed: of the random points.
        progress: told the clicks made and their total.

    Raises:
        InputError: the scene has no labels.
    """
    scene = session.scene
    if scene.label is None or not (scene.label >= 0).any():
        raise InputError(
            f"scene {scene.name}", "its points have no labels to simulate clicks from", "Name a labelled capture"
        )
    there = [int(label) for label in np.unique(scene.label[scene.label >= 0])]
    rng = np.random.default_rng(seed)
    points = {label: rng.permutation(np.flatnonzero(scene.label == label)) for label in there}
    total = max(marks) * len(there)
    found: list[Mark] = []
    made = 0
    for turn in range(max(marks)):
        for label in there:
            chosen: int | None
            if strategy == "least-sure" and turn:
                chosen = _least_sure(session, scene.label >= 0)
            else:
                # Of a class with few points each is clicked once.
                chosen = int(points[label][turn]) if turn < len(points[label]) else None
            if chosen is not None:
                session.do(Action(scene.class_names[scene.label[chosen]], "point", point=chosen))
                made += 1
            if progress is not None:
                progress(made, total)
        if turn + 1 in marks:
            found.append(Mark(turn + 1, made, mean_iou(session)))
    return found


def _least_sure(session: Session, known: NDArray[np.bool_]) -> int | None:
    """The least sure point among those whose label is known: who clicks knows no other."""
    of_point = session.cells.of_point
    cells = np.zeros(len(session.cells), bool)
    cells[of_point[known]] = True
    point = session.least_sure(among=cells)
    return None if point is None else int(np.flatnonzero((of_point == of_point[point]) & known)[0])


def mean_iou(session: Session) -> float:
    """Mean intersection over union of the session's labels with the scene's own, over the classes that it has."""
    scene = session.scene
    assert scene.label is not None
    label, _ = session.of_points()
    names = {name: number for number, name in enumerate(scene.class_names)}
    own = np.array([names.get(name, len(names)) for name in session.classes] or [len(names)])
    said = np.where(label >= 0, own[np.maximum(label, 0)], len(names))
    known = scene.label >= 0
    size = len(names) + 1
    counts = np.bincount(scene.label[known] * size + said[known], minlength=size * size).reshape(size, size)
    true, hit = counts.sum(axis=1), counts.diagonal()
    there = true > 0
    union = true + counts.sum(axis=0) - hit
    return float((hit[there] / union[there]).mean())

"""Labels that were not clicked here but come from elsewhere: what they are, and what becomes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.captures.classes import joined_classes
from ditr.errors import Finding, InputError
from ditr.geometry.orientation import find_up
from ditr.inference.prediction import Prediction
from ditr.labelling.cells import Cells
from ditr.labelling.clicks import Action
from ditr.labelling.session import Session
from ditr.scene import ReadOptions, Scene

__all__ = ["GivenLabels", "prediction_of_given", "renamed", "session_of"]

_PER_CLASS, _LEAST = 100, 5
_MOST_NUMBERS = 1 << 27
"""Of the table of the classifier, a row for each cell and a column for each example."""


@dataclass(frozen=True, eq=False)
class GivenLabels:
    """Labels of some of a scene's points.

    Attributes:
        label: (N,) int32 indices into the classes, -1 for none.
        confidence: (N,) float32, 0 to 1; 0 for none.
        class_names: of the labels.
        by: where they come from, in a few words.
        findings: what was noticed.
        figures: plain values for ``summary.json``.
        seen: (N,) bool, whether an annotated photograph shows the point; None where there are none.
    """

    label: NDArray[np.int32]
    confidence: NDArray[np.float32]
    class_names: tuple[str, ...]
    by: str
    findings: tuple[Finding, ...]
    figures: dict[str, Any]
    seen: NDArray[np.bool_] | None = None


def renamed(given: GivenLabels, class_map: tuple[tuple[str, str], ...]) -> GivenLabels:
    """The labels with other names of classes; of one name they are one class, of none they are taken out.

    Raises:
        InputError: no class is left.
    """
    names, label = joined_classes(given.class_names, given.label, ReadOptions(class_map=class_map))
    assert label is not None
    return replace(given, class_names=names, label=label)


def session_of(scene: Scene, cells: Cells, given: GivenLabels, *, seed: int = 0) -> Session:
    """A session in which some of the labels were clicked: of each class up to 100 points of different cells.

    Points that all photographs agree on come first.

    Raises:
        InputError: no point has a label.
    """
    rng = np.random.default_rng(seed)
    there = np.unique(given.label[given.label >= 0]).tolist()
    if not there:
        raise InputError(given.by, "no point has a label that could be spread to others", "Label some points")
    count = int(np.clip(_MOST_NUMBERS // (len(cells) * len(there)), _LEAST, _PER_CLASS))
    session = Session(scene, cells, given.class_names)
    for label in there:
        points = np.flatnonzero(given.label == label)
        # A stable sort, of points in random order: the surest first, each cell once.
        points = rng.permutation(points)
        points = points[np.argsort(-given.confidence[points], kind="stable")]
        first = np.sort(np.unique(cells.of_point[points], return_index=True)[1])
        for point in points[first[:count]].tolist():
            session.do(Action(given.class_names[label], "point", point=point))
    return session


def prediction_of_given(
    scene: Scene, given: GivenLabels, session: Session | None, least: float = 0.0, *, seed: int = 0
) -> Prediction:
    """The labels, as those of networks are written.

    Args:
        scene: the scene.
        given: its labels.
        session: which labels the points that have none; None to leave them without.
        least: confidence, below which points get -1.
        seed: for the record.
    """
    label, confidence = given.label, given.confidence
    made: dict[str, Any] = {"by": given.by, **given.figures}
    if session is not None:
        spread, chance = session.of_points()
        missing = label < 0
        label, confidence = np.where(missing, spread, label), np.where(missing, chance, confidence)
        encoder = session.cells.encoder
        made |= {"spread_to": int(missing.sum()), "examples": len(session.actions)}
        made |= {"encoder": None if encoder is None else encoder.weights, "cell": session.cells.size}
    x, y, z = (float(value) for value in find_up(scene))
    prediction = Prediction(
        scene=replace(scene, findings=(*scene.findings, *given.findings)),
        label=label.astype(np.int32),
        confidence=confidence.astype(np.float32),
        seen_by=None if given.seen is None else given.seen.astype(np.int64),
        class_names=given.class_names,
        voxels=0 if session is None else len(session.cells),
        up=(x, y, z),
        seed=seed,
        made=made,
    )
    return prediction.at_least(least) if least > 0 else prediction

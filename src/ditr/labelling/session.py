"""Labelling one scene: actions come in, labels of all points come out, at once.

Whatever takes the actions, a file of clicks gives the same labels again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ditr.data.preparation import profile_rule
from ditr.data.scene_views import points_in
from ditr.errors import InputError
from ditr.labelling.cells import Cells
from ditr.labelling.classifier import Classifier, Examples, Kernel, KernelTable, smoothed, softmax
from ditr.labelling.clicks import Action, Clicks, FittedClicks, points_of, require_classes, scene_identity
from ditr.scene import UNLABELLED, Scene

__all__ = ["Labels", "Session"]

_EXAMPLES = 16
"""Cells of a stroke or a ball that the classifier learns from; all of them get the label."""
_NEAR = 0.02
"""Share of a photograph's width within which a click finds a point."""


@dataclass(frozen=True, eq=False)
class Labels:
    """What all cells are taken for.

    Attributes:
        label: (M,) int32, -1 before the first click.
        probability: (M, C) float32.
        sure: (M,) float32, how far the likeliest class is ahead of the second, 0 to 1; 1 for what was said itself.
    """

    label: NDArray[np.int32]
    probability: NDArray[np.float32]
    sure: NDArray[np.float32]


class NoPoint(InputError):
    """A place that shows no point."""


class Session:
    """One scene that is being labelled.

    Args:
        scene: the scene.
        cells: of it.
        classes: names that are there from the beginning.
        kernel: of the classifier.

    Attributes:
        classes: their names; new ones are added as they are named.
        actions: so far.
    """

    def __init__(self, scene: Scene, cells: Cells, classes: Iterable[str] = (), kernel: Kernel | None = None) -> None:
        self.scene, self.cells = scene, cells
        self.classes = list(dict.fromkeys(classes))
        self.kernel = kernel or Kernel()
        self.actions: list[Action] = []
        self._rows: list[NDArray[np.int64]] = []
        self._learned: list[NDArray[np.int64]] = []
        self._table = KernelTable(self.kernel, cells)
        self._locked: list[tuple[NDArray[np.bool_], int]] = []
        self._labels: Labels | None = None
        self._seen: dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]] = {}

    # ---- actions ----------------------------------------------------------------------------------------------------

    def do(self, action: Action, where: str = "click") -> None:
        """Take an action.

        Raises:
            InputError: it means nothing here: no such point, photograph or class, or a place that shows no point.
        """
        self._do(action.fitted(self.scene, where), where)

    def _do(self, action: Action, where: str) -> None:
        """Take an action that was compared with the scene."""
        if action.gesture == "lock":
            if action.name not in self.classes:
                raise InputError(where, f"there is no class {action.name!r}", "Lock a class that has clicks")
            rows = np.empty(0, np.int64)
            label = self.classes.index(action.name)
            self._locked.append((self.labels().label == label, label))
        else:
            rows = np.unique(self.cells.of_point[self._points(action, where)])
            if action.name not in self.classes:
                require_classes([*self.classes, action.name])
                self.classes.append(action.name)
        self.actions.append(action)
        self._rows.append(rows)
        step = max(1, len(rows) // _EXAMPLES)
        self._learned.append(rows[::step][:_EXAMPLES])
        self._labels = None

    def undo(self) -> Action | None:
        """Take the last action back; None where there is none."""
        if not self.actions:
            return None
        action = self.actions.pop()
        self._rows.pop()
        if action.gesture == "lock":
            self._locked.pop()
            self._learned.pop()
        else:
            self._table.forget(sum(map(len, self._learned)) - len(self._learned.pop()))
        self._labels = None
        return action

    def replay(self, clicks: Clicks, where: str) -> list[str]:
        """Take all actions of a file, as :meth:`take` does.

        Raises:
            InputError: as for :meth:`ditr.labelling.clicks.Clicks.fitted`, and for :meth:`take`.
        """
        return self.take(clicks.fitted(self.scene, where))

    def take(self, clicks: FittedClicks) -> list[str]:
        """Take all actions but those in places that show no point, which are returned, each as a text.

        Raises:
            InputError: a class is locked that is not there, or no action shows a point.
        """
        assert clicks.scene is self.scene, "they were compared with another scene"
        self.classes += [name for name in clicks.classes if name not in self.classes]
        missed: list[NoPoint] = []
        for number, action in enumerate(clicks.actions):
            try:
                self._do(action, f"{clicks.where}, click {number}")
            except NoPoint as error:
                missed.append(error)
        if missed and len(missed) == len(clicks.actions):
            raise missed[0]
        return [f"{error.where}: {error.fault}" for error in missed]

    def clicks(self) -> Clicks:
        """What was said so far."""
        return Clicks(scene_identity(self.scene), tuple(self.classes), tuple(self.actions))

    def _points(self, action: Action, where: str) -> NDArray[np.int64]:
        """The points that an action means.

        Raises:
            InputError: there is none.
        """
        if action.gesture == "point":
            return np.array([action.point])
        if action.gesture == "ball":
            away = np.linalg.norm(self.scene.coord - np.asarray(action.center), axis=1)
            found = np.flatnonzero(away <= action.radius)
            if not len(found):
                raise NoPoint(where, "there is no point in this ball", "Choose another place or a larger radius")
            return found
        view = next(view for view in self.scene.views if view.name == action.view)
        if view.name not in self._seen:
            self._seen[view.name] = points_in(self.scene, view, profile_rule(self.scene)[1])
        pixel, visible = self._seen[view.name]
        found = points_of(action, pixel, visible, _NEAR * view.camera.width)
        if not len(found):
            fault = f"{action.view} shows no point at {tuple(round(x) for x in action.pixels[0])}"
            raise NoPoint(where, fault, "Click where the photograph shows part of the cloud")
        return found

    # ---- labels -----------------------------------------------------------------------------------------------------

    def examples(self) -> tuple[Examples, NDArray[np.int64], NDArray[np.int64]]:
        """The cells that the classifier learns from, their classes (n,), and their rows (n,)."""
        said = [
            (rows, self.classes.index(action.name))
            for rows, action in zip(self._learned, self.actions, strict=True)
            if action.gesture != "lock"
        ]
        rows = np.concatenate([rows for rows, _ in said]) if said else np.empty(0, np.int64)
        label = np.concatenate([np.full(len(rows), name) for rows, name in said]) if said else np.empty(0, np.int64)
        return self._table.all.some(rows), label.astype(np.int64), rows

    def labels(self) -> Labels:
        """Of all cells, by all that was said."""
        if self._labels is None:
            self._labels = self._fitted()
        return self._labels

    def _fitted(self) -> Labels:
        examples, label, _ = self.examples()
        count = len(self.cells)
        if not len(label):
            nothing = np.zeros((count, len(self.classes)), np.float32)
            return Labels(np.full(count, UNLABELLED, np.int32), nothing, np.zeros(count, np.float32))
        classifier = Classifier.fit(self.kernel, examples, label, len(self.classes))
        scores = classifier.scores(self._table.to(examples))
        probability = smoothed(self.cells, softmax(scores))
        found = probability.argmax(axis=1).astype(np.int32)
        sure = _ahead(probability)
        for where, locked in self._locked:
            found[where], sure[where] = locked, 1
        for rows, action in zip(self._rows, self.actions, strict=True):
            if action.gesture != "lock":
                found[rows], sure[rows] = self.classes.index(action.name), 1
        return Labels(found, probability, sure)

    def of_points(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """(N,) labels of all points, and (N,) the probability of each."""
        labels, of_point = self.labels(), self.cells.of_point
        if not labels.probability.shape[1]:
            return labels.label[of_point], np.zeros(len(of_point), np.float32)
        said = np.maximum(labels.label, 0)
        chance = np.take_along_axis(labels.probability, said[:, None].astype(np.int64), axis=1)[:, 0]
        chance = np.where(labels.sure >= 1, np.float32(1), chance)
        return labels.label[of_point], chance[of_point]

    def least_sure(self, away: float | None = None, among: NDArray[np.bool_] | None = None) -> int | None:
        """A point to click next: of the cell that is least sure.

        Args:
            away: metres that it has at least from all that was clicked; by default four cells.
            among: (M,) which cells may be asked for; None for all.

        Returns:
            The number of a point; None where there is none.
        """
        labels = self.labels()
        free = labels.sure < 1 if among is None else (labels.sure < 1) & among
        said = [rows for rows, action in zip(self._learned, self.actions, strict=True) if action.gesture != "lock"]
        if said:
            from scipy.spatial import cKDTree

            tree = cKDTree(self.cells.coord[np.concatenate(said)])
            limit = 4 * self.cells.size if away is None else away
            free &= tree.query(self.cells.coord, distance_upper_bound=limit)[0] > limit
        if not free.any():
            return None
        # Of the least sure ones the cell in the middle of the most: neighbours are unsure together.
        doubt = np.where(free, 1 - labels.sure, 0)
        around = doubt + doubt[self.cells.near].sum(axis=1)
        cell = int(np.argmax(np.where(free, around, -1)))
        return int(np.flatnonzero(self.cells.of_point == cell)[0])


def _ahead(probability: NDArray[np.float32]) -> NDArray[np.float32]:
    if probability.shape[1] < 2:
        return np.zeros(len(probability), np.float32)
    two = np.partition(probability, -2, axis=1)[:, -2:]
    result: NDArray[np.float32] = np.minimum(two[:, 1] - two[:, 0], np.float32(0.999))
    return result

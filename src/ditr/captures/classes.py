"""Class lists of captures: joined, matched by name, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ditr.errors import Finding, Grade, InputError, few
from ditr.scene import UNLABELLED, ReadOptions, Scene

__all__ = ["LabelCounts", "joined_classes", "unread_columns", "with_classes", "with_numbered_classes"]


def unread_columns(scene: Scene) -> str:
    """For errors about what the points lack: what counts as missing, and the columns that have no meaning here, one of
    which may be meant."""
    missing = [str(finding) for finding in scene.findings if finding.text.endswith("treated as missing")]
    unread = [f"columns that are not read: {few(scene.extra, 8)}"] if scene.extra else []
    return "".join(f"; {told}" for told in (*missing, *unread))


def joined_classes(
    names: Sequence[str], label: NDArray[np.int32] | None, options: ReadOptions
) -> tuple[tuple[str, ...], NDArray[np.int32] | None]:
    """The class list and the labels (N,) after ``class_map`` and ``background``.

    A class that is mapped to the name of another is joined to it, one that is mapped to nothing becomes unlabelled.

    Raises:
        InputError: no class is left.
    """
    if not names or not (options.class_map or options.background):
        return tuple(names), label
    new = [dict(options.class_map).get(name, name) for name in names]
    new.append(options.background or "")
    classes = tuple(dict.fromkeys(name for name in new if name))
    if not classes:
        raise InputError("--map", "it removes every class", "Keep at least one class, or give --background NAME")
    # The last entry is that of -1.
    table = np.array([classes.index(name) if name else UNLABELLED for name in new], dtype=np.int32)
    return classes, None if label is None else table[label]


def with_classes(scene: Scene, classes: Sequence[str] | None, where: str) -> Scene:
    """The scene with its labels counted in ``classes``, matched by name; the scene itself where they are counted so.

    Args:
        scene: with labels; its classes may be some of ``classes``, in any order.
        classes: the list; None for the scene's own.
        where: what errors call the scene.

    Raises:
        InputError: no labels, no class list, or a class that is not in the list.
    """
    if scene.label is None:
        raise InputError(
            where, f"the points have no labels{unread_columns(scene)}", "Train and evaluate on scenes with labels"
        )
    own = scene.class_names
    if not own:
        remedy = 'Add labels.json with {"classes": [...]} to its folder, or beside the file or bag'
        raise InputError(where, "it has no class list", remedy)
    if classes is None or own == tuple(classes):
        return scene
    if strange := [name for name in own if name not in classes]:
        raise InputError(
            where,
            f"its classes are {few(own, 12)}, of which {few(strange, 12)} {'is' if len(strange) == 1 else 'are'} not "
            f"among {few(classes, 12)}",
            "Label all scenes with one list, or join lists with --map OLD=NEW",
        )
    table = np.array([*(list(classes).index(name) for name in own), UNLABELLED], dtype=np.int32)
    return replace(scene, class_names=tuple(classes), label=table[scene.label])


_MOST_NUMBERS = 256
"""Different labels without names; more are taken for something else than classes, such as single objects."""


def with_numbered_classes(scene: Scene) -> Scene:
    """The scene, whose labels have names: where no list gives them, those of their numbers ("class 7").

    More than 256 different numbers are not classes: the scene is then without labels, and a finding says so.
    """
    if scene.label is None or scene.class_names:
        return scene
    numbers, row = np.unique(scene.label, return_inverse=True)
    named = numbers[numbers > UNLABELLED]
    if len(named) > _MOST_NUMBERS:
        text = f"the points have {len(named)} different labels and no class list; the labels are ignored"
        finding = Finding(Grade.WARNED, "labels", text, "Add labels.json with the names of the classes")
        return replace(scene, label=None, findings=(*scene.findings, finding))
    label = np.maximum(row - (len(numbers) - len(named)), UNLABELLED).astype(np.int32)
    return replace(scene, label=label, class_names=tuple(f"class {number}" for number in named))


@dataclass(frozen=True)
class LabelCounts:
    """What is labelled in some scenes.

    Attributes:
        points: number of points, labelled or not.
        per_class: number of points of each class, by name, in the order of the class list.
    """

    points: int
    per_class: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, scene: Scene) -> LabelCounts:
        """Of a scene that has a class list."""
        label = np.empty(0, np.int32) if scene.label is None else scene.label
        count = np.bincount(label[label >= 0], minlength=len(scene.class_names)).tolist()
        return cls(len(scene), tuple(zip(scene.class_names, count, strict=True)))

    @classmethod
    def sum(cls, parts: Sequence[LabelCounts], classes: Sequence[str]) -> LabelCounts:
        """Of several, counted in one list."""
        total: Counter[str] = Counter()
        for part in parts:
            total.update(dict(part.per_class))
        return cls(sum(part.points for part in parts), tuple((name, total[name]) for name in classes))

    def by_frequency(self) -> list[tuple[str, int]]:
        """Classes with their numbers of points, the most frequent first, of as many in the order of the list."""
        return sorted(self.per_class, key=lambda entry: -entry[1])

    @property
    def share(self) -> float:
        """Of the points that are labelled, 0 to 1."""
        return sum(count for _, count in self.per_class) / max(1, self.points)

    @property
    def occurring(self) -> list[str]:
        """The classes that some point has."""
        return [name for name, count in self.per_class if count]

    @property
    def absent(self) -> list[str]:
        """The classes that no point has."""
        return [name for name, count in self.per_class if not count]

    def said(self) -> str:
        """The shares of labelled points and of classes that occur, in a line."""
        never = f" (not {few(self.absent, 8)})" if self.absent else ""
        count = len(self.occurring)
        return (
            f"labels: {self.share:.1%} of {self.points} points are labelled, and "
            f"{count} of {len(self.per_class)} classes occur{never}"
        )

    def meaning(self) -> Finding | None:
        """What few labels and absent classes mean for a model that learns from them; None where all is there.

        A warning where most points are not labelled, else a note.
        """
        some = self.share < MOST
        if not (self.absent or some or len(self.occurring) == 1):
            return None
        names = f"one of the {len(self.occurring)} classes that occurred in training ({few(self.occurring, 8)})"
        names = names if len(self.occurring) > 1 else f"{self.occurring[0]!r}, the one class that occurred in training"
        rest = f", also the {1 - self.share:.0%} that were not labelled there" if some else ""
        remedy = "Label more points, or make a class of the others with --background NAME" if some else ""
        evidence: Mapping[str, object] = {"labelled": round(self.share, 4), "absent": self.absent}
        grade = Grade.WARNED if some else Grade.NOTED
        return Finding(grade, "labels", f"every point becomes {names}{rest}", remedy, evidence)


MOST = 0.5
"""Share of points that have to be labelled, without which a warning says what that means."""

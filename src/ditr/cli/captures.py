"""What commands do with many captures: look at all of them before the work, say what was found, leave out bad ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.captures.capture import read_capture
from ditr.captures.classes import LabelCounts
from ditr.captures.formats import is_capture
from ditr.captures.transforms import stored_classes
from ditr.cli.common import say_finding
from ditr.cli.output import remark
from ditr.data.preparation import profile_rule
from ditr.errors import Grade, InputError, few
from ditr.geometry.projection import VisibilityRule
from ditr.plausibility.many import (
    Look,
    Need,
    by_kind,
    count_labels,
    labels_fit,
    look_at,
    matched,
    plain,
    usable,
    with_needs,
)
from ditr.runtime import progress_bar
from ditr.scene import ReadOptions, Scene
from ditr.weights.pretrained import known_config
from ditr.weights.published import PUBLISHED

__all__ = ["Captures", "choose", "look_at_all", "require_labels", "say_labels", "say_looks", "takes_photographs"]


def takes_photographs(model: str) -> bool:
    """Whether a model takes them, by what is known before the hub is asked; yes where nothing is."""
    if (config := known_config(model)) is not None:
        return config.takes_images
    known = next((row for row in PUBLISHED if row.name == model), None)
    return known is None or (known.encoder is not None and not known.student)


def look_at_all(
    captures: Sequence[Path],
    reading: ReadOptions,
    *,
    force: bool,
    photographs: bool = True,
    labelled: bool = True,
) -> list[Look]:
    """What is known of captures before the work, with progress; findings are not said yet."""

    def rule(scene: Scene) -> VisibilityRule:
        return profile_rule(scene)[1]

    looks = []
    with progress_bar("read captures") as report:
        for index, folder in enumerate(captures):
            looks.append(look_at(folder, reading, rule, force=force, photographs=photographs, labelled=labelled))
            report(index + 1, len(captures))
    known = {name for capture in captures for name in _classes_of(capture)} if reading.class_map else set()
    unknown = [old for old, _ in reading.class_map if old not in known]
    if unknown:
        raise InputError("--map", f"no capture has a class {few(map(repr, unknown), 8)}", "Correct the name")
    return looks


def _classes_of(capture: Path) -> tuple[str, ...]:
    """The class list before any is joined; none where it cannot be read."""
    if is_capture(capture):
        return stored_classes(capture)
    try:
        return read_capture(capture).class_names
    except InputError:
        return ()


def say_looks(looks: Sequence[Look], skipped: Mapping[str, str]) -> None:
    """Say what was found in all captures, once for each kind, and what is left out."""
    for place, fault in skipped.items():
        print(f"ditr: warning: {place} is left out: {fault}", file=sys.stderr, flush=True)
    if skipped:
        print(f"ditr: warning: {len(skipped)} of {len(skipped) + len(looks)} captures are left out", file=sys.stderr)
    for grade, line, _ in by_kind(looks):
        if grade is not Grade.NOTED:
            print(f"ditr: warning: {line}", file=sys.stderr, flush=True)
        else:
            remark(f"note: {line}")


def say_labels(counts: LabelCounts) -> None:
    """Say how much is labelled, and what it means where that is not all."""
    remark(counts.said())
    if (meaning := counts.meaning()) is not None:
        say_finding(meaning)


def require_labels(counts: LabelCounts, where: Path) -> None:
    """Refuse captures of which nothing is labelled.

    Raises:
        InputError: naming what labels there are.
    """
    if not counts.occurring:
        raise InputError(
            where,
            f"none of the {counts.points} points is labelled, and none of the {len(counts.per_class)} classes occurs, "
            "so there is nothing to train on or compare with",
            'Label them; check "unlabelled" in labels.json if they should be labelled',
        )


@dataclass(frozen=True)
class Captures:
    """What is known of captures before a training: of those to learn from, by dataset, and those to try the model on.

    Attributes:
        train: by dataset; one without a name where the recipe has none.
        validation: others.
    """

    train: dict[str, list[Look]]
    validation: list[Look]

    @classmethod
    def of(
        cls,
        train: Mapping[str, Sequence[Path]],
        validation: Sequence[Path],
        reading: ReadOptions,
        *,
        force: bool,
        photographs: bool,
        labelled: bool,
    ) -> Captures:
        """Look at all of them; what is found is not said yet."""
        folders = [folder for part in (*train.values(), validation) for folder in part]
        looks = iter(look_at_all(folders, reading, force=force, photographs=photographs, labelled=labelled))
        parts = {name: [next(looks) for _ in part] for name, part in train.items()}
        return cls(parts, list(looks))

    @property
    def first(self) -> Scene:
        """The outline of the first capture.

        Raises:
            InputError: none can be read.
        """
        looks = [look for part in (*self.train.values(), self.validation) for look in part]
        outline = next((look.outline for look in looks if look.outline is not None), None)
        if outline is None:
            usable(looks)
        assert outline is not None
        return outline


def choose(
    captures: Captures,
    distills: bool,
    inputs: Callable[[str], Need],
    *,
    where: Path,
    skip: bool,
) -> tuple[Captures, LabelCounts | None, dict[str, Any]]:
    """The captures that fit the run; what is labelled in them, and what of all this goes into the run's folder.

    Args:
        captures: all.
        distills: whether the run needs no labels.
        inputs: the need of what the network takes, for the name of a dataset.
        where: what the error calls captures without labels.
        skip: whether those that do not fit are left out.

    Raises:
        InputError: all faults of all captures; or nothing is labelled.
    """
    main = next(iter(captures.train))
    parts = [(with_needs(looks, inputs(name))) for name, looks in captures.train.items()]
    parts.append(with_needs(captures.validation, inputs(main)))
    if not distills:
        need = labels_fit([look for part in parts for look in part])
        parts = [with_needs(part, need) for part in parts]
    good, skipped = usable([look for part in parts for look in part], skip=skip)
    *train, validation = [[look for look in part if not look.faults] for part in parts]
    for kept, part in zip(train, parts, strict=False):
        if not kept:
            usable(part)
    labels, names = None, next(look.outline.class_names for look in train[0] if look.outline is not None)
    if not distills:
        good = matched(good, names)
    say_looks(good, skipped)
    if not distills:
        labels = count_labels((look for part in train for look in part), names)
        require_labels(labels, where)
        say_labels(labels)
    return Captures(dict(zip(captures.train, train, strict=True)), validation), labels, plain(good, skipped)

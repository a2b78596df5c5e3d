"""All captures of a run are looked at before it begins, and all their faults are told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ditr.captures.capture import read_capture
from ditr.captures.classes import LabelCounts, with_classes
from ditr.captures.transforms import LABELS, Labels, load_json
from ditr.captures.whole import file_faults
from ditr.errors import Finding, Grade, InputError, few
from ditr.geometry.projection import VisibilityRule
from ditr.plausibility.judge import judge
from ditr.scene import ReadOptions, Scene

__all__ = [
    "Look",
    "Need",
    "by_kind",
    "count_labels",
    "labels_fit",
    "look_at",
    "matched",
    "plain",
    "require_files",
    "usable",
    "with_needs",
    "without_bad_photographs",
]

Need = Callable[[Scene], None]
"""Raises InputError for a scene that the work cannot do with; it gets the outline of the scene."""

_MOST = 20


@dataclass(frozen=True, eq=False)
class Look:
    """What is known of a capture before the work.

    Attributes:
        folder: of the capture.
        outline: the scene with its first point alone; None where it cannot be read.
        labels: what is labelled in it; None without a class list.
        findings: of its reader and of the judge.
        faults: why it cannot be used; none where it can.
    """

    folder: Path
    outline: Scene | None
    labels: LabelCounts | None = None
    findings: tuple[Finding, ...] = ()
    faults: tuple[InputError, ...] = ()


def look_at(
    folder: Path,
    reading: ReadOptions,
    rule_of: Callable[[Scene], VisibilityRule],
    *,
    force: bool = False,
    photographs: bool = True,
    labelled: bool = True,
) -> Look:
    """Read a capture, judge it, and see whether its files are whole.

    Args:
        folder: of the capture.
        reading: how it is read, before what its own files say.
        rule_of: which points its views show in the work that is to be done.
        force: whether what is implausible passes.
        photographs: whether the work needs them.
        labelled: whether it needs labels.
    """
    try:
        scene = read_capture(folder, reading)
    except InputError as error:
        return Look(folder, None, faults=(error,))
    faults = file_faults(scene.views, photographs=photographs)
    findings = scene.findings
    if not faults:
        try:
            judgement = judge(scene if photographs else without_bad_photographs(scene), rule_of(scene))
            findings = judgement.findings
            judgement.require(force=force)
        except InputError as error:
            own = error.where == f"scene {scene.name}"
            faults.append(InputError(folder, error.fault, error.remedy) if own else error)
    counts = LabelCounts.of(scene) if scene.class_names else None
    if labelled and scene.label is not None and counts is not None:
        faults += _impossible_class(folder, scene, reading)
        if not counts.occurring:
            findings = (*findings, Finding(Grade.NOTED, "labels", "none of its points are labelled"))
    return Look(folder, _outline(scene), counts, findings, tuple(faults))


def _impossible_class(folder: Path, scene: Scene, reading: ReadOptions) -> list[InputError]:
    """The fault of a class list that has the value for unlabelled points as a class."""
    if not (folder / LABELS).exists():
        return []
    labels = load_json(folder / LABELS, Labels)
    value = labels.unlabelled
    if not 0 <= value < len(labels.classes) or labels.classes[value] not in scene.class_names:
        return []
    name = labels.classes[value]
    if reading.background == name:
        return []
    return [
        InputError(
            folder / LABELS,
            f"{value} is class {name!r} and also stands for unlabelled points, so no point can have this class and "
            "every mIoU counts it as 0",
            f"Remove it with --map {name}=, or make it the class of unlabelled points with --background {name}",
        )
    ]


def without_bad_photographs(scene: Scene) -> Scene:
    """The scene without the views whose photographs are damaged, for work that does not need them."""
    return replace(scene, views=tuple(view for view in scene.views if not file_faults([view])))


def require_files(scene: Scene, *, photographs: bool = True) -> None:
    """Refuse a scene whose photographs (where they count) or depth maps are damaged.

    Raises:
        InputError: naming all of them.
    """
    faults = file_faults(scene.views, photographs=photographs)
    if len(faults) > 1:
        listed = "; ".join(f"{fault.where}: {fault.fault}" for fault in faults[:_MOST])
        more = f"; and {len(faults) - _MOST} more" if len(faults) > _MOST else ""
        raise InputError(f"scene {scene.name}", f"{len(faults)} files are damaged: {listed}{more}", "Correct them")
    if faults:
        raise faults[0]


def _outline(scene: Scene) -> Scene:
    values = {name: getattr(scene, name) for name in ("color", "normal", "strength", "label")}
    first: dict[str, Any] = {name: None if value is None else value[:1].copy() for name, value in values.items()}
    extra = {name: values[:1].copy() for name, values in scene.extra.items()}
    return replace(scene, coord=scene.coord[:1].copy(), extra=extra, findings=(), **first)


def with_needs(looks: Sequence[Look], *needs: Need) -> list[Look]:
    """The looks with the faults that more needs find in what could be read."""
    result = []
    for look in looks:
        faults = list(look.faults)
        for need in needs:
            try:
                if look.outline is not None:
                    need(look.outline)
            except InputError as error:
                own = look.outline is not None and error.where == f"scene {look.outline.name}"
                faults.append(InputError(look.folder, error.fault, error.remedy) if own else error)
        result.append(replace(look, faults=tuple(faults)))
    return result


def labels_fit(looks: Sequence[Look], classes: Sequence[str] | None = None) -> Need:
    """The need of labels whose classes are in a list, or in that of the first capture which has one."""
    good = [look.outline for look in sorted(looks, key=lambda look: bool(look.faults)) if look.outline is not None]
    lists = (scene.class_names for scene in good if scene.label is not None)
    wanted = classes or next((names for names in lists if names), None)

    def need(scene: Scene) -> None:
        with_classes(scene, wanted, f"scene {scene.name}")

    return need


def matched(looks: Sequence[Look], classes: Sequence[str]) -> list[Look]:
    """The looks with a note where a class list is matched by name with one of other order or length."""
    names = tuple(classes)
    text = "its class list has another order or only some of the classes; classes are matched by name"
    note = Finding(Grade.NOTED, "classes", text)
    return [
        replace(look, findings=(*look.findings, note))
        if look.outline is not None and look.outline.class_names != names
        else look
        for look in looks
    ]


def usable(looks: Sequence[Look], *, skip: bool = False) -> tuple[list[Look], dict[str, str]]:
    """Those that can be used, and with ``skip`` what is wrong with the others, by folder.

    Raises:
        InputError: without ``skip`` all faults of all captures; with it, none is left.
    """
    bad = [look for look in looks if look.faults]
    good = [look for look in looks if not look.faults]
    if not bad or (skip and good):
        return good, {str(look.folder): "; ".join(map(str, look.faults)) for look in bad}
    faults = [(look, fault) for look in bad for fault in look.faults]
    more = f"{len(bad)} of {len(looks)} captures cannot be used"
    skipping = "leave these captures out with --skip-bad-scenes"
    if len(faults) == 1:
        fault = faults[0][1]
        remedy = f"{fault.remedy}. Or {skipping}" if good else fault.remedy
        where = fault.where if len(looks) == 1 or bad[0].folder.name in fault.where else str(bad[0].folder)
        raise InputError(where, fault.fault, remedy)
    alike: dict[str, list[str]] = {}
    for look, fault in faults:
        alike.setdefault(_in_list(look, fault), []).append(look.folder.name)
    listed = [f"{few(names, 3)}: {text}" for text, names in list(alike.items())[:_MOST]]
    if len(alike) > _MOST:
        listed.append(f"and {len(alike) - _MOST} more")
    places = {str(look.folder.parent) for look in bad}
    where = str(bad[0].folder) if len(looks) == 1 else ", ".join(sorted(places))
    raise InputError(where, f"{more}: {'; '.join(listed)}", f"Correct them{', or ' + skipping if good else ''}")


def _in_list(look: Look, fault: InputError) -> str:
    """A fault, with files by their place in the capture."""
    place = fault.where.removeprefix(str(look.folder)).lstrip("/\\")
    named = f"{place}: " if place else ""
    return f"{named}{fault.fault} ({fault.remedy[:1].lower()}{fault.remedy[1:]})"


def by_kind(looks: Sequence[Look]) -> list[tuple[Grade, str, dict[str, Any]]]:
    """What was found, once for each kind: the grade, a line, and plain values for a file."""
    kinds: dict[tuple[Grade, str], list[tuple[str, Finding]]] = {}
    for look in looks:
        for finding in look.findings:
            kinds.setdefault((finding.grade, finding.about), []).append((look.folder.name, finding))
    result = []
    for (grade, _), found in kinds.items():
        scenes = list(dict.fromkeys(name for name, _ in found))
        texts = {str(finding) for _, finding in found}
        first = str(found[0][1])
        if len(looks) > 1:
            example = first if len(texts) == 1 else f"the first: {first}"
            first = f"{len(scenes)} of {len(looks)} captures ({few(scenes, 3)}): {example}"
        result.append((grade, first, {"scenes": scenes, **found[0][1].to_json()}))
    return result


def count_labels(looks: Iterable[Look], classes: Sequence[str]) -> LabelCounts:
    """What is labelled in all captures together."""
    return LabelCounts.sum([look.labels for look in looks if look.labels is not None], classes)


def plain(looks: Sequence[Look], skipped: Mapping[str, str]) -> dict[str, Any]:
    """What stands in a file of results: findings, and captures that were left out; nothing where there is nothing."""
    findings = [values for _, _, values in by_kind(looks)]
    return ({"findings": findings} if findings else {}) | ({"skipped": dict(skipped)} if skipped else {})

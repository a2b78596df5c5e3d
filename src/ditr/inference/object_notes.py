"""What a reader of counts has to know: how many points are in no object, and which objects are hardly one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ditr.errors import few
from ditr.inference.object_rules import plural
from ditr.inference.objects import FoundObject, Objects

__all__ = ["object_notes"]

_OF_SCENE, _OF_POINTS = 0.75, 0.5
"""An object that is so much of the scene's length is doubtful, unless it has so much of the points: then it is what was
scanned."""
_OF_CLASS, _FEWEST = 4.0, 4
"""How many times as long as the usual object of its class is doubtful, and of how many objects on this is asked."""


def object_notes(objects: Objects) -> list[str]:
    """A sentence on points of counted classes that are in no object, and one on objects that are doubtful by their
    size; none where there is nothing to say.

    No sizes of chairs or cars are built in. Doubtful is what is nearly as long as the whole scene, and what is four
    times as long as the usual object of its class.
    """
    counted = [each for each in objects.classes if each.counted]
    points, left = sum(each.points for each in counted), sum(each.left_out for each in counted)
    notes = []
    if left:
        most = sorted((each for each in counted if each.left_out), key=lambda each: -each.left_out)
        named = few([f"{each.left_out:,} of {each.name}" for each in most], 4)
        part = f"{left / points:.0%}" if left >= 0.01 * points else "less than 1%"
        share = f"{left:,} points of counted classes ({part})"
        notes.append(f"{share} are in fragments too small to be an object, and are left out: {named}")
    usual = _usual_lengths(objects)
    notes += [_doubt(objects, each) for each in objects.objects if _is_doubtful(objects, each, usual)]
    return notes


def _usual_lengths(objects: Objects) -> dict[int, float]:
    """The median length of the objects of each class that has enough of them."""
    lengths: dict[int, list[float]] = {}
    for found in objects.objects:
        lengths.setdefault(found.label, []).append(max(found.box.size))
    return {label: float(np.median(part)) for label, part in lengths.items() if len(part) >= _FEWEST}


def _is_doubtful(objects: Objects, found: FoundObject, usual: Mapping[int, float]) -> bool:
    longest = max(found.box.size)
    if longest > _OF_CLASS * usual.get(found.label, np.inf):
        return True
    return longest > _OF_SCENE * objects.extent and found.points < _OF_POINTS * len(objects.of_point)


def _doubt(objects: Objects, found: FoundObject) -> str:
    size = " x ".join(f"{side:.1f}" for side in found.box.size)
    share = max(found.box.size) / objects.extent
    long = f", {min(share, 1):.0%} of the length of the scene" if share > _OF_SCENE else ""
    several = plural(found.name, 2).removeprefix("2 ")
    return (
        f"object {found.id}, {found.name}, is {size} m{long}: perhaps several {several} in one, or wrong labels. "
        f"Look at it in boxes.ply, and try a smaller --object-gap"
    )

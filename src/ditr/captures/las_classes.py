"""Classifications of LAS files: what their numbers mean, and which one a class gets."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["OWN", "STANDARD_CLASSES", "UNCLASSIFIED", "plain_name", "standard_numbers"]

STANDARD_CLASSES = {
    2: "ground", 3: "low vegetation", 4: "medium vegetation", 5: "high vegetation", 6: "building", 7: "low noise",
    8: "model key point", 9: "water", 10: "rail", 11: "road surface", 13: "wire guard", 14: "wire conductor",
    15: "transmission tower", 16: "wire connector", 17: "bridge deck", 18: "high noise", 19: "overhead structure",
    20: "ignored ground", 21: "snow", 22: "temporal exclusion",
}  # fmt: skip
"""Names of classifications by the specification of LAS; 0 and 1 are points that nobody classified, 12 an old mark of
overlap."""
UNCLASSIFIED, OWN, _LAST = 1, 64, 255
"""The number of points without a class, and those from which to which a file's own classes are."""
_SAME_AS = {
    2: ("floor", "terrain"),
    5: ("vegetation", "tree", "trees", "trunk", "plant"),
    6: ("wall", "roof"),
    9: ("river", "lake"),
    10: ("rail track", "railway"),
    11: ("road", "driveable surface", "drivable surface", "street"),
    17: ("bridge",),
}
"""Names that classes of the specification have elsewhere."""


def standard_numbers(class_names: Sequence[str]) -> list[int]:
    """The classification of each class: that of the specification where there is one, else one of 64 to 255 in order;
    1 (unclassified) where these are not enough."""
    known = {name: number for number, name in STANDARD_CLASSES.items()}
    known |= {name: number for number, names in _SAME_AS.items() for name in names}
    plain = [plain_name(name) for name in class_names]
    own = [name for name in plain if name not in known]
    free = {name: OWN + index if OWN + index <= _LAST else UNCLASSIFIED for index, name in enumerate(own)}
    return [known[name] if name in known else free[name] for name in plain]


def plain_name(name: str) -> str:
    """A class's name as people compare it: without case, and with spaces in the place of other dividers."""
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())

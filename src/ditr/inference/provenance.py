"""Where results come from, as a report tells it: the command, the versions, the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ditr.errors import Finding, Grade
from ditr.pictures.report import Block, Code, Facts, Row, Section, Table, Text, Verbatim

__all__ = ["Provenance", "findings_section", "flat", "in_words"]

_WORDS = {Grade.REFUSED: "forced", Grade.WARNED: "warning", Grade.NOTED: "note"}

_NAMES = {
    "made.by": "labels from",
    "made.clicks": "clicks",
    "made.cell": "edge of the cubes with one label each, in metres",
    "made.encoder": "image encoder",
    "made.model": "network, SHA-256",
    "made.features": "image features",
    "seed": "random seed",
    "products": "matrix products by",
    "matmul_precision": "precision of matrix products",
    "linear_algebra": "libraries for matrix products",
    "normals": "normals of the points",
    "labels": "labels of the points",
    "occlusion": "hidden points found by",
    "turned_images": "photographs that were rotated",
    "min_confidence": "least confidence of a label",
    "points_below_min_confidence": "points below that confidence",
    "swap_images": "photographs swapped between scenes",
    "vote": "labelled by votes",
    "variants": "variants that vote",
    "thin": "points thinned for votes",
    "smooth": "labels smoothed",
    "temperature": "temperature of the confidence",
    "encoder_weights": "image encoder",
    "share_of_points_counted": "share of the points that count",
    "recipe_name": "recipe",
    "deterministic": "deterministic operations only",
}
"""Words for names of files and of settings of which the name alone says too little."""
_VALUES = {"True": "yes", "False": "no"}


@dataclass(frozen=True)
class Provenance:
    """What it takes to make results again.

    Attributes:
        command: as it is typed, quoted for a shell; empty for work that was asked for in Python.
        facts: names and values: folder, versions, machine.
        findings: about the work and not about a scene: which encoder was used, which points count as seen.
    """

    command: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    findings: tuple[Finding, ...] = ()

    def section(self, settings: Iterable[tuple[str, str]] = ()) -> Section:
        """How the results were made.

        Args:
            settings: names and values of the work itself, as they stand in files.
        """
        blocks: list[Block] = [Code(self.command)] if self.command else []
        pairs = [(Verbatim(name), Verbatim(value)) for name, value in (*in_words(settings), *self.facts)]
        return Section("How it was made", [*blocks, *([Facts(pairs)] if pairs else [])])


def findings_section(findings: Sequence[Finding]) -> Section:
    """Assumptions and warnings, the gravest first, each once."""
    if not findings:
        return Section("Assumptions and warnings", [Text("Nothing.")])
    order = list(_WORDS)
    unlike = {str(finding): finding for finding in sorted(findings, key=lambda one: order.index(one.grade))}
    rows = [
        Row(
            _WORDS[one.grade],
            [Verbatim(one.about), Verbatim(one.text), Verbatim(one.remedy)],
            strong=one.grade is not Grade.NOTED,
        )
        for one in unlike.values()
    ]
    return Section("Assumptions and warnings", [Table(["", "About", "What was found", "What to do"], rows)])


def in_words(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Names that stand in files, and their values, as a person would write them."""
    return [(_NAMES.get(name, name.replace("_", " ").replace(".", ": ")), _VALUES.get(v, v)) for name, v in pairs]


def flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Nested plain values as names with dots and texts; what is empty or None is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += flat(value, f"{before}{name}.")
        elif isinstance(value, list | tuple) and all(isinstance(one, str | int | float) for one in value):
            pairs += [(f"{before}{name}", ", ".join(map(str, value)))] if value else []
        elif value is not None and value != "":
            pairs.append((f"{before}{name}", str(value)))
    return pairs

"""Where results come from, as a report tells it: the command, the versions, the machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ditr.errors import Finding, Grade
from ditr.pictures.report import Block, Code, Facts, Row, Section, Table, Text, Verbatim

__all__ = ["Provenance", "findings_section", "flat"]

_WORDS = {Grade.REFUSED: "forced", Grade.WARNED: "warning", Grade.NOTED: "note"}


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
            settings: names and values of the work itself.
        """
        blocks: list[Block] = [Code(self.command)] if self.command else []
        pairs = [(Verbatim(name), Verbatim(value)) for name, value in (*settings, *self.facts)]
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

"""What has become of each of many scenes: a line of JSON for each, and whether its results are there already."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from ditr.errors import Finding, Grade, InputError
from ditr.inference.results import Outputs
from ditr.inference.scene_labels import Labelling
from ditr.inference.scene_work import Failed, Item, Labeller, SceneWork, Written
from ditr.io.files import defined
from ditr.io.json_file import read_json
from ditr.io.settings_json import to_json_values
from ditr.scene import ReadOptions

__all__ = ["Ledger", "Outcome", "earlier", "made_with"]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one scene.

    Attributes:
        scene: its name.
        source: where it was read from; None for a scene that was in memory.
        status: "labelled" now, "done" before, or "failed".
        folder: of its results; None where it failed.
        summary: what stands in its ``summary.json``.
        findings: what was found about it; none where it was done before.
        seconds: that each part took: read, prepare, encode, network, write.
        error: why it failed.
    """

    scene: str
    source: str | None
    status: Literal["labelled", "done", "failed"]
    folder: Path | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    error: InputError | None = None

    @classmethod
    def of(cls, item: Item, result: Written | Failed, out: Path) -> Outcome:
        """Of a scene that was worked on now.

        Raises:
            OSError: one with which no scene can be written.
        """
        source = str(item.source) if isinstance(item.source, Path) else None
        if isinstance(result, Written):
            folder = out / item.name
            return cls(item.name, source, "labelled", folder, result.summary, result.findings, result.seconds)
        if isinstance(result.error, OSError):
            raise result.error
        return cls(item.name, source, "failed", error=result.error)

    def to_json(self) -> dict[str, Any]:
        """The line of JSON; a scene that was done before counts as labelled."""
        line: dict[str, Any] = {"scene": self.scene, "source": self.source}
        if self.error is not None:
            fault = {"where": self.error.where, "fault": self.error.fault, "remedy": self.error.remedy}
            return line | {"status": "failed", **fault}
        known = ("points", "voxels", "views", "share_of_points_seen", "mean_confidence", "points_per_class", "findings")
        line |= {"status": "labelled", "folder": self.scene}
        line |= {name: self.summary[name] for name in known if name in self.summary}
        return line | ({"seconds": dict(self.seconds)} if self.seconds else {})

    @property
    def warnings(self) -> int:
        """How many findings nobody may miss."""
        return sum(finding.grade is not Grade.NOTED for finding in self.findings)


class Ledger:
    """A file with a line of JSON for each scene, which is appended as a whole; of several the last one counts.

    Args:
        path: of the file, which may exist. What a killed process left of a line is taken away.

    Attributes:
        labelled: names of the scenes whose last line says that they have labels.

    Raises:
        OSError: it cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        content = path.read_bytes() if path.exists() else b""
        whole = content.rpartition(b"\n")[0]
        if content and len(whole) + 1 < len(content):
            os.truncate(path, len(whole) + 1 if whole else 0)
        last = {str(row.get("scene")): row.get("status") for row in map(_row, whole.splitlines())}
        self.labelled = {scene for scene, status in last.items() if status == "labelled"}

    def add(self, outcome: Outcome) -> None:
        """Append a scene's line. One that was done before has its line, unless a kill came between."""
        if outcome.status == "done" and outcome.scene in self.labelled:
            return
        line = json.dumps(defined(outcome.to_json()), ensure_ascii=False, allow_nan=False) + "\n"
        file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, line.encode())
        finally:
            os.close(file)


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def made_with(labeller: Labeller, *options: ReadOptions | Labelling | Outputs) -> dict[str, Any]:
    """All that decides what is written for scenes, as plain values; of options those that differ from their defaults.

    Args:
        labeller: what labels them; its weights or examples count, not where they lie.
        options: how scenes are read and labelled, and what is written.
    """
    made = labeller.identity()
    for part in options:
        changed = {one.name: getattr(part, one.name) for one in fields(part) if getattr(part, one.name) != one.default}
        made |= {name: to_json_values(value) for name, value in changed.items()}
    return made


def earlier(work: SceneWork, item: Item) -> tuple[dict[str, Any], list[str]] | None:
    """What a scene has of earlier: its summary, and what was otherwise when it was made; None where it has nothing."""
    try:
        summary = read_json(work.out / item.name / "summary.json")
    except InputError:
        return None
    before = summary.get("made") if isinstance(summary, dict) else None
    if not isinstance(before, dict):
        return {}, ["it is not recorded how it was made"]
    now = work.made_for(item)
    labelled = any(summary.get("points_per_class", {}).values())
    if work.captures is not None and labelled and not work.captures.has(item.name, now):
        return None
    return summary, [name for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]

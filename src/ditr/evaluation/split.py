"""A model on a split of a benchmark whose labels are known.

The counts of every scene are written as soon as it is labelled, so that a run of days goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.evaluate import visible_points
from ditr.evaluation.kept import claim, label_scene, of_model, of_votes, read_scene
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import atomic_path, faults_of
from ditr.io.json_file import read_json
from ditr.io.locks import FolderLock
from ditr.runtime import release_memory
from ditr.scene import SceneSource

__all__ = ["Counted", "count_split"]

_SCENES = "scenes.jsonl"


@dataclass(frozen=True)
class Counted:
    """What was counted.

    Attributes:
        identity: what the counts are of, in plain values.
        scenes: how many.
        kept: how many of them had been counted before.
    """

    identity: Mapping[str, Any]
    scenes: int
    kept: int


def count_split(
    segmenter: Segmenter,
    source: SceneSource,
    votes: Voting | None,
    path: Path,
    counts: Counts,
    *,
    weights: Path,
    settings: Mapping[str, Any],
    limit: int | None = None,
    seed: int = 0,
    again: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Counted:
    """Label the scenes of ``source`` of which nothing is kept yet, and compare with their labels.

    Args:
        segmenter: the model.
        source: scenes with labels.
        votes: the procedure; None for one point for each voxel.
        path: of a file that says whose the counts are; ``scenes.jsonl`` beside it grows by a line per scene.
        counts: empty ones, to which the points are added.
        weights: the model's file, by whose digest results are told apart.
        settings: what else tells them apart, in plain values.
        limit: only the first so many scenes.
        seed: of everything that is drawn.
        again: remove what is kept of something else, or of work that has come to its end.
        progress: called with the number of scenes done and of those wanted.

    Raises:
        InputError: a folder with results of something else or in which another process works, or scenes that do not
            fit the model.
    """
    names = source.names()
    wanted = names if limit is None else names[:limit]
    identity = {**settings, **of_model(weights), **of_votes(votes), "seed": seed}
    with FolderLock(path.parent):
        if again:
            _forget(path, identity)
        claim(path, identity)
        kept = _read(path.with_name(_SCENES), counts)
        before = sum(1 for name in wanted if name in kept)
        for index, name in enumerate(wanted):
            if name not in kept:
                kept[name] = _count(segmenter, source, index, votes, seed, counts.like())
                _append(path.with_name(_SCENES), name, kept[name])
                release_memory()
            counts.add(kept[name])
            if progress is not None:
                progress(index + 1, len(wanted))
    return Counted(identity, len(wanted), before)


def _forget(path: Path, identity: Mapping[str, Any]) -> None:
    """Remove what is kept, unless it is of this and goes on."""
    try:
        before = read_json(path)
        goes_on = before["of"] == identity and "scenes" not in before
    except (InputError, KeyError, TypeError):
        goes_on = False
    if not goes_on:
        path.unlink(missing_ok=True)
        path.with_name(_SCENES).unlink(missing_ok=True)


def _count(
    segmenter: Segmenter, source: SceneSource, index: int, votes: Voting | None, seed: int, counts: Counts
) -> Counts:
    """The counts of a scene."""
    scene = read_scene(source, index, segmenter.config.class_names, labelled=True)
    label = label_scene(segmenter, scene, votes, seed)
    counts.update(scene, label, None if counts.visible is None else visible_points(scene, segmenter))
    return counts


def _append(path: Path, name: str, counts: Counts) -> None:
    everything, *apart = counts.cells()
    with faults_of(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"scene": name, "counts": everything, "apart": apart}) + "\n")


def _read(path: Path, like: Counts) -> dict[str, Counts]:
    """The counts by scene; a last line that a killed run left unfinished is cut off.

    Raises:
        InputError: a line that holds no counts.
    """
    if not path.exists():
        return {}
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        with atomic_path(path) as temporary:
            temporary.write_text(whole, encoding="utf-8")
    found = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        counts = like.like()
        try:
            row = json.loads(line)
            counts.read([row["counts"], *row["apart"]])
            found[str(row["scene"])] = counts
        except (ValueError, KeyError, TypeError, OverflowError):
            raise InputError(path, f"line {number} has no counts", "Remove that line, or the folder") from None
    return found

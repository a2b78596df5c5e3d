"""A model on the validation set of its benchmark, with the published test procedure: does it reach its figure?

The counts of every scene are written as soon as it is labelled, so that a run of days goes on where it was stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ditr.datasets.benchmark import Benchmark
from ditr.errors import InputError
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import atomic_path, faults_of, file_sha256, write_json
from ditr.io.locks import FolderLock
from ditr.runtime import release_memory
from ditr.scene import SceneSource

__all__ = ["TOLERANCE", "Verification", "published_voting", "verify"]

TOLERANCE = 0.5
"""Percent points: the published procedure draws the order of curves and the points of voxels, and so varies."""


@dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        class_names: of the benchmark.
        matrix: counts over all points of the scenes so far.
        scenes: how many these are.
        total: how many the split has.
        published: mIoU that the model is said to have, in percent; None where none is known.
    """

    class_names: tuple[str, ...]
    matrix: ConfusionMatrix
    scenes: int
    total: int
    published: float | None

    @property
    def miou(self) -> float:
        """Percent, over all classes."""
        return 100 * self.matrix.miou

    @property
    def passed(self) -> bool | None:
        """Whether the figure is reached; None where there is none, or scenes are missing."""
        if self.published is None or self.scenes < self.total:
            return None
        return abs(self.miou - self.published) <= TOLERANCE

    def to_json(self) -> dict[str, Any]:
        """Percentages."""
        iou = {name: round(100 * float(v), 3) for name, v in zip(self.class_names, self.matrix.iou, strict=True)}
        return {
            "miou": round(self.miou, 3),
            "published": self.published,
            "passed": self.passed,
            "scenes": self.scenes,
            "scenes_of_split": self.total,
            "points": self.matrix.points,
            "iou": iou,
        }


def published_voting(benchmark: Benchmark, progress: Callable[[int, int], None] | None = None) -> Voting:
    """The published test procedure of a benchmark.

    Raises:
        InputError: it has none.
    """
    if benchmark.voting is None:
        raise InputError(benchmark.name, "the paper tests no model on it", "Name another dataset")
    return Voting(benchmark.voting, thin=benchmark.test_voxel_size, progress=progress)


def verify(
    segmenter: Segmenter,
    source: SceneSource,
    votes: Voting,
    folder: Path,
    *,
    weights: Path,
    settings: dict[str, Any],
    published: float | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Verification:
    """Label the scenes of ``source`` that ``folder`` has no counts of, and compare with their labels.

    Args:
        segmenter: the model.
        source: scenes with labels.
        votes: the procedure.
        folder: of the results: ``scenes.jsonl`` grows by a line per scene, ``verify.json`` says what they are of.
        weights: the model's file, by whose digest results are told apart.
        settings: what else tells them apart, in plain values.
        published: mIoU that the model is said to have, in percent.
        limit: only the first so many scenes.
        seed: of everything that is drawn.
        progress: called with the number of scenes done and of those wanted.

    Raises:
        InputError: a folder with results of something else or in which another process works, or scenes that do not
            fit the model.
    """
    with FolderLock(folder):
        identity = {**settings, "seed": seed, "model": file_sha256(weights)}
        return _verify(segmenter, source, votes, folder, identity, published, limit, progress)


def _verify(
    segmenter: Segmenter,
    source: SceneSource,
    votes: Voting,
    folder: Path,
    identity: dict[str, Any],
    published: float | None,
    limit: int | None,
    progress: Callable[[int, int], None] | None,
) -> Verification:
    classes = segmenter.config.class_names
    names = source.names()
    wanted = names if limit is None else names[:limit]
    _claim(folder, identity)
    counts = _read_counts(folder / "scenes.jsonl", len(classes))
    matrix = ConfusionMatrix(len(classes))
    for index, name in enumerate(wanted):
        if name not in counts:
            counts[name] = _label(segmenter, source, index, votes, identity["seed"])
            _append(folder / "scenes.jsonl", name, counts[name])
            release_memory()
        matrix.counts += counts[name]
        if progress is not None:
            progress(index + 1, len(wanted))
    found = Verification(classes, matrix, len(wanted), len(names), published)
    write_json(folder / "verify.json", {"of": identity, **found.to_json()})
    return found


def _label(segmenter: Segmenter, source: SceneSource, index: int, votes: Voting, seed: int) -> NDArray[np.int64]:
    """(C, C) counts of a scene."""
    scene, classes = source.scene(index), segmenter.config.class_names
    place = f"{source.name}/{source.names()[index]}"
    if scene.label is None:
        raise InputError(place, "its points have no labels", "Verify on a split with labels")
    if scene.class_names != classes:
        raise InputError(
            place,
            f"it has {len(scene.class_names)} classes ({scene.class_names[0]}, ...), the model has "
            f"{len(classes)} ({classes[0]}, ...)",
            "Name the dataset that the model is for",
        )
    # As published, z is up in all datasets and nothing is turned.
    prediction = segmenter(scene, seed=seed, votes=votes, estimate=False, shuffle_curves=True)
    matrix = ConfusionMatrix(len(classes))
    matrix.update(prediction.label, scene.label)
    return matrix.counts


def _claim(folder: Path, identity: dict[str, Any]) -> None:
    """Say whose results the folder will hold.

    Raises:
        InputError: those of another model or procedure are in it.
    """
    path = folder / "verify.json"
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))["of"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(path, "it cannot be read", "Remove the folder, or name another one") from None
        if before != identity:
            differs = ", ".join(sorted(key for key in identity if before.get(key) != identity[key]))
            raise InputError(folder, f"its results differ in {differs}", "Name another folder for these with --out")
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_json(path, {"of": identity})


def _append(path: Path, name: str, counts: NDArray[np.int64]) -> None:
    """One line; of 40,000 cells of a matrix a scene fills a few hundred."""
    true, predicted = np.nonzero(counts)
    cells = np.stack([true, predicted, counts[true, predicted]], axis=1).tolist()
    with faults_of(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"scene": name, "counts": cells}) + "\n")


def _read_counts(path: Path, classes: int) -> dict[str, NDArray[np.int64]]:
    """(C, C) counts by scene; a last line that a killed run left unfinished is cut off.

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
        try:
            row = json.loads(line)
            cells = np.array(row["counts"], dtype=np.int64).reshape(-1, 3)
            counts = np.zeros((classes, classes), np.int64)
            if cells.size and (cells.min() < 0 or cells[:, :2].max() >= classes):
                raise ValueError("outside")
            counts[cells[:, 0], cells[:, 1]] = cells[:, 2]
            found[str(row["scene"])] = counts
        except (ValueError, KeyError, TypeError, OverflowError):
            raise InputError(path, f"line {number} holds no counts", "Remove the line or the folder") from None
    return found

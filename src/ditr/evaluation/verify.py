"""A model on the validation set of its benchmark, with the published test procedure: does it reach its figure?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.datasets.benchmark import Benchmark
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.evaluation.split import count_split
from ditr.evaluation.voting import Voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import write_json
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
        return {
            **Counts(self.matrix).figures(self.class_names),
            "published": self.published,
            "passed": self.passed,
            "scenes": self.scenes,
            "scenes_of_split": self.total,
        }


def published_voting(benchmark: Benchmark, progress: Callable[[int, int], None] | None = None) -> Voting:
    """The published test procedure of a benchmark.

    Raises:
        InputError: it has none.
    """
    if benchmark.voting is None:
        raise InputError(benchmark.name, "the paper reports no model for it", "Name another dataset")
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
    classes = segmenter.config.class_names
    counts, path, total = Counts.empty(len(classes)), folder / "verify.json", len(source)
    counted = count_split(
        segmenter,
        source,
        votes,
        path,
        counts,
        weights=weights,
        settings=settings,
        limit=limit,
        seed=seed,
        progress=progress,
    )
    found = Verification(classes, counts.all_points, counted.scenes, total, published)
    write_json(path, {"of": dict(counted.identity), **found.to_json()})
    return found

"""The work of one scene among many: read and judge it, label it, write what was found."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ditr.captures.capture import read_capture
from ditr.captures.folders import stamp
from ditr.encoders.encoding import ImageGrid
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import Finding, InputError
from ditr.inference.faults import as_fault
from ditr.inference.prediction import Prediction
from ditr.inference.results import RESULT_FILES, Outputs, write_results
from ditr.inference.scene_labels import Labelling, judged, require_inputs, with_meaning
from ditr.inference.segmenter import Segmenter
from ditr.io.files import results_folder
from ditr.runtime import release_memory
from ditr.scene import ReadOptions, Scene
from ditr.weights.saved_model import ModelConfig

__all__ = ["Failed", "Item", "SceneWork", "Written", "label_one", "timed"]


@dataclass(frozen=True, eq=False)
class Item:
    """One scene of many.

    Attributes:
        name: of the folder of its results below that of all, unlike all others.
        source: where it is read from, or the scene itself.
    """

    name: str
    source: Path | Scene


@dataclass(frozen=True, eq=False)
class Written:
    """A scene whose results are written.

    Attributes:
        summary: what stands in its ``summary.json``.
        findings: of its reader, of the judge and about its labels.
        seconds: that each part took: read, prepare, encode, network, write.
    """

    summary: dict[str, Any]
    findings: tuple[Finding, ...]
    seconds: dict[str, float]


@dataclass(frozen=True, eq=False)
class Failed:
    """A scene that got no labels, and why; an ``OSError`` is one with which no scene can be written."""

    error: InputError | OSError


@dataclass(frozen=True, eq=False)
class SceneWork:
    """All that the work has to know beside the scene; the same for all of them.

    Attributes:
        model: its name, for people.
        config: of the model.
        grid: of its encoder; None for a model without images.
        encoder: the encoder's identity, by which features are found in the cache.
        cache: of features.
        reading: how scenes are read.
        how: they are labelled.
        force: whether what is implausible passes.
        outputs: what is written.
        out: folder of all results.
        made: what stands in each ``summary.json`` as ``made``, beside what tells the source.
    """

    model: str
    config: ModelConfig
    grid: ImageGrid | None
    encoder: str | None
    cache: FeatureCache | None
    reading: ReadOptions
    how: Labelling
    force: bool
    outputs: Outputs
    out: Path
    made: dict[str, Any]

    def read(self, item: Item) -> Scene:
        """A scene that the model can label, with what was found about it.

        Raises:
            InputError: it cannot be read, is refused by the judge, or lacks what the model takes.
        """
        scene = read_capture(item.source, self.reading) if isinstance(item.source, Path) else item.source
        scene = judged(scene, force=self.force, photographs=self.grid is not None)
        require_inputs(scene, self.config, self.model, force=self.force)
        return with_meaning(scene, self.config)

    def write(self, item: Item, prediction: Prediction) -> dict[str, Any]:
        """All results of a scene, or none; its summary.

        Raises:
            OSError: they cannot be written.
        """
        source = item.source if isinstance(item.source, Path) else None
        prediction = replace(prediction, made=self.made_for(item))
        with results_folder(self.out / item.name, RESULT_FILES) as new:
            write_results(prediction, self.config.preparation.voxel_size, new, self.outputs, source)
        return prediction.summary()

    def made_for(self, item: Item) -> dict[str, Any]:
        """What tells whether a scene's results are those that it would get now."""
        return self.made | ({"source": stamp(item.source)} if isinstance(item.source, Path) else {})


def label_one(segmenter: Segmenter, work: SceneWork, item: Item) -> Written | Failed:
    """Read, label and write a scene in this process."""
    seconds: dict[str, float] = {}
    try:
        with timed(seconds, "read"):
            scene = work.read(item)
        with timed(seconds, "network"):
            prediction = work.how(segmenter, scene)
        with timed(seconds, "write"):
            summary = work.write(item, prediction)
    except Exception as error:
        return Failed(as_fault(error, item.name))
    release_memory()
    return Written(summary, prediction.scene.findings, seconds)


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Note how long a part takes."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[part] = round(time.perf_counter() - began, 4)

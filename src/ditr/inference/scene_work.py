"""The work of one scene among many: read and judge it, label it, write what was found.

What labels a scene, a network or a bank of classes, is a :class:`Labeller`. Its work comes in parts, so that helping
processes can do all but the one for which the weights are needed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ditr.captures.capture import read_capture
from ditr.captures.folders import stamp
from ditr.errors import Finding, InputError
from ditr.inference.faults import as_fault
from ditr.inference.labelled_captures import LabelledCaptures
from ditr.inference.prediction import Prediction
from ditr.inference.results import RESULT_FILES, Outputs, write_results
from ditr.inference.scene_labels import Labelling, judged
from ditr.io.files import results_folder
from ditr.runtime import release_memory
from ditr.scene import ReadOptions, Scene

__all__ = ["Failed", "Item", "Labeller", "SceneWork", "Steps", "Written", "label_one", "timed"]


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


class Steps(Protocol):
    """The parts of labelling a scene that need no weights; sent to helping processes, with all that they have to know.

    What goes from :meth:`prepare` to :meth:`Labeller.compute` and from there to :meth:`finish` are dataclasses and
    lists of tensors, arrays and plain values.
    """

    @property
    def photographs(self) -> bool:
        """Whether they count."""
        ...

    def fitting(self, scene: Scene, *, force: bool) -> Scene:
        """A scene that can be labelled, with what is found about it; raises InputError for what it lacks."""
        ...

    def prepare(self, scene: Scene) -> tuple[Any, Any]:
        """What stays with whoever prepares it, and what is to be computed."""
        ...

    def finish(self, kept: Any, answer: Any, seconds: dict[str, float]) -> Prediction:
        """The labels, by what stayed and what was computed; notes how long parts of it took."""
        ...


class Labeller(Protocol):
    """What labels scenes: :class:`ditr.inference.network_labeller.NetworkLabeller` or
    :class:`ditr.labelling.bank_labeller.BankLabeller`."""

    @property
    def device(self) -> str:
        """ "cpu" or "cuda"."""
        ...

    def identity(self) -> dict[str, Any]:
        """What tells it from others, as plain values."""
        ...

    def steps(self, how: Labelling, name: str) -> Steps:
        """The parts without weights; ``name`` is the labeller's, for people."""
        ...

    def compute(self, sent: Any, seconds: dict[str, float]) -> Any:
        """The part with the weights; notes how long parts of it took."""
        ...

    def label(self, scene: Scene, how: Labelling) -> Prediction:
        """All parts in this process."""
        ...


@dataclass(frozen=True, eq=False)
class SceneWork:
    """All that the work has to know beside the scene; the same for all of them.

    Attributes:
        steps: of labelling.
        reading: how scenes are read.
        how: they are labelled.
        force: whether what is implausible passes.
        outputs: what is written.
        out: folder of all results.
        made: what stands in each ``summary.json`` as ``made``, beside what tells the source.
        captures: where labelled captures are written, too; None for nowhere.
    """

    steps: Steps
    reading: ReadOptions
    how: Labelling
    force: bool
    outputs: Outputs
    out: Path
    made: Mapping[str, Any]
    captures: LabelledCaptures | None = None

    def read(self, item: Item) -> Scene:
        """A scene that can be labelled, with what was found about it.

        Raises:
            InputError: it cannot be read, is refused by the judge, or lacks what is needed.
        """
        scene = read_capture(item.source, self.reading) if isinstance(item.source, Path) else item.source
        scene = judged(scene, force=self.force, photographs=self.steps.photographs)
        return self.steps.fitting(scene, force=self.force)

    def write(self, item: Item, prediction: Prediction) -> dict[str, Any]:
        """All results of a scene, or none; its summary.

        Raises:
            InputError: what captures cannot hold.
            OSError: they cannot be written.
        """
        source = item.source if isinstance(item.source, Path) else None
        made = self.made_for(item)
        prediction = replace(prediction, made=made)
        if self.captures is not None:  # before the results, which say that all is done
            self.captures.write(item.name, prediction, made)
        with results_folder(self.out / item.name, RESULT_FILES) as new:
            write_results(prediction, new, self.outputs, source)
        return prediction.summary()

    def made_for(self, item: Item) -> dict[str, Any]:
        """What tells whether a scene's results are those that it would get now."""
        return {**self.made, **({"source": stamp(item.source)} if isinstance(item.source, Path) else {})}


def label_one(labeller: Labeller, work: SceneWork, item: Item) -> Written | Failed:
    """Read, label and write a scene in this process."""
    seconds: dict[str, float] = {}
    try:
        with timed(seconds, "read"):
            scene = work.read(item)
        with timed(seconds, "network"):
            prediction = labeller.label(scene, work.how)
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

"""What commands share that test a model on a split of a prepared dataset: which model, and which scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import by_name, open_dataset
from ditr.evaluation.kept import of_scenes
from ditr.inference.segmenter import Segmenter
from ditr.recipes.prepared import dataset_root
from ditr.runtime import phase, progress_bar
from ditr.scene import SceneSource
from ditr.weights.pretrained import find_model

__all__ = ["PRECISION", "Model", "Split", "best_of", "load", "open_split", "progress_within"]

PRECISION = "32-true"
"""In single precision whatever the model learned with: a figure to compare must not depend on the machine."""


@dataclass(frozen=True)
class Model:
    """A loaded model.

    Attributes:
        name: of its folder or of the published one.
        segmenter: of it.
        weights: its file.
    """

    name: str
    segmenter: Segmenter
    weights: Path


@dataclass(frozen=True)
class Split:
    """A split of a prepared dataset.

    Attributes:
        benchmark: of the dataset.
        split: its name.
        source: the scenes.
        root: of the dataset.
        images: whether scenes have their photographs.
    """

    benchmark: Benchmark
    split: str
    source: SceneSource
    root: Path
    images: bool

    def settings(self, segmenter: Segmenter, norms: str | None) -> dict[str, Any]:
        """What tells results of this split from others."""
        settings = {"dataset": self.benchmark.name, "split": self.split, "norms": norms}
        if segmenter.encoding is not None:
            settings["encoder_precision"] = PRECISION
        return settings | of_scenes(self.source, self.root)


def open_split(dataset: str, data: Path, split: str, *, images: bool) -> Split:
    """A split of the dataset that lies in ``data``.

    Raises:
        InputError: there is no such dataset or split, or it is not whole.
    """
    benchmark = by_name(dataset)
    root = dataset_root(benchmark.name, data)
    return Split(benchmark, split, open_dataset(benchmark.name, root, split, images=images), root, images)


def load(name: str, *, device: str, norms: str | None, last: bool) -> Model:
    """A model, of a run its best checkpoint.

    Raises:
        InputError: as for :meth:`ditr.inference.segmenter.Segmenter.from_pretrained`.
    """
    with phase(f"load {name}"):
        given = find_model(name)
        folder = best_of(given, last=last)
        segmenter = Segmenter.from_pretrained(folder, device=device, dataset=norms, precision=PRECISION)
    return Model(given.name, segmenter, folder / "model.safetensors")


def best_of(folder: Path, *, last: bool) -> Path:
    """The best checkpoint of a run, where it has one, unless its last one is asked for."""
    if last or not (folder / "best" / "config.json").exists():
        return folder
    print(
        f"model: {folder / 'best'}, the best checkpoint of the run, as for published figures (--last uses the last one)"
    )
    return folder / "best"


@contextmanager
def progress_within(
    title: str, scenes: int
) -> Iterator[tuple[Callable[[int, int], None], Callable[[float, float], None]]]:
    """A bar of scenes that moves within a scene too: what is called with scenes done, and with parts of one done."""
    finished = 0
    with progress_bar(title) as report:

        def whole(done: int, total: int) -> None:
            nonlocal finished
            finished = done
            report(done, total)

        yield whole, lambda done, total: report(finished + done / total, scenes)

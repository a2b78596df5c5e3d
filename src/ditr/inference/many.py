"""Label many scenes: one model or bank, scenes made ready ahead by helping processes while the network runs.

Each scene gets a folder of results, and a line in a file of JSON lines as soon as it is done. What is done is not done
again. A scene that fails is told with its reason, and the others go on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ditr.captures.folders import find_sources
from ditr.errors import InputError, few
from ditr.inference.helped import label_with_helpers
from ditr.inference.labelled_captures import LabelledCaptures
from ditr.inference.ledger import Ledger, Outcome, earlier, made_with
from ditr.inference.network_labeller import NetworkLabeller
from ditr.inference.on_ray import ModelOnRay, label_on_ray
from ditr.inference.processes import Helpers, usual_helpers
from ditr.inference.results import Outputs
from ditr.inference.scene_labels import Labelling
from ditr.inference.scene_work import Failed, Item, Labeller, SceneWork, Written, label_one
from ditr.inference.segmenter import Segmenter
from ditr.io.files import require_room
from ditr.scene import ReadOptions, Scene

__all__ = ["Many", "Shard", "find_items", "items_of", "label_many", "ledger_path", "segment_many", "work_of"]


@dataclass(frozen=True)
class Shard:
    """One of ``count`` parts of many scenes, ``number`` from 1: each scene is in one of them, whoever asks.

    Raises:
        InputError: numbers that are not part.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise InputError(
                "shard", f"{self.number}/{self.count} is not a valid part", "Write it like 1/8 to 8/8 for eight jobs"
            )

    @classmethod
    def parse(cls, text: str) -> Shard:
        """As ``2/8``.

        Raises:
            InputError: another text.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())
        if match is None:
            raise InputError("shard", f"{text!r} is not I/N", "Write it like 1/8 to 8/8 for eight jobs")
        return cls(int(match[1]), int(match[2]))

    def of(self, items: Sequence[Item]) -> list[Item]:
        """The items of this part."""
        return list(items[self.number - 1 :: self.count])


@dataclass(frozen=True)
class Many:
    """How many scenes are labelled.

    Attributes:
        reading: how each is read.
        how: each is labelled.
        outputs: what is written for each.
        force: whether what is implausible passes.
        overwrite: whether scenes whose results were made with another model or other options are labelled again.
        shard: the part of the scenes that is labelled here.
        model: name of the model, for people.
        captures: folder that gets a capture with the labels of each scene, for `ditr train`; None for no such.
    """

    reading: ReadOptions = field(default_factory=ReadOptions)
    how: Labelling = field(default_factory=Labelling)
    outputs: Outputs = field(default_factory=lambda: Outputs(pictures=False))
    force: bool = False
    overwrite: bool = False
    shard: Shard = Shard()
    model: str = "the model"
    captures: Path | None = None


def segment_many(
    segmenter: Segmenter,
    items: Sequence[Item],
    out: str | Path,
    options: Many | None = None,
    *,
    helpers: Helpers | int | None = None,
    ray: ModelOnRay | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Label scenes with a model; as :func:`label_many`, which tells of the other arguments.

    Args:
        segmenter: the model.

    Raises:
        InputError, OSError: see there.
    """
    return label_many(NetworkLabeller(segmenter), items, out, options, helpers=helpers, ray=ray, stop=stop)


def label_many(
    labeller: Labeller,
    items: Sequence[Item],
    out: str | Path,
    options: Many | None = None,
    *,
    helpers: Helpers | int | None = None,
    ray: ModelOnRay | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Outcome]:
    """Label scenes; what became of each comes as soon as it is known, done ones first.

    Every label is what the scene alone gets, to the bit, with the same device and number of threads.

    Args:
        labeller: a model, or a bank of classes.
        items: from :func:`find_items` or :func:`items_of`.
        out: folder that gets a folder of results for each scene, and ``results.jsonl`` (for a part of the scenes
            ``results-2-of-8.jsonl``).
        options: see :class:`Many`; by default nothing out of the ordinary.
        helpers: processes that read, prepare and write; how many, or such that were started before. 0 does all in this
            process, as votes do anyway. By default :func:`usual_helpers`.
        ray: to have the actors of a Ray cluster do the work, each with its own copy of the model.
        stop: asked before each scene; once it says so, those that are ready are labelled and no others.

    Raises:
        InputError: before the work, results in ``out`` that were made otherwise; or two scenes of one name.
        OSError: results cannot be written: the disk is full, say.
    """
    options = options or Many()
    out, mine = Path(out), options.shard.of(items)
    _require_names(items)
    work = work_of(labeller, out, options)
    if work.captures is not None:
        work.captures.require(item.name for item in items)
    require_room(out)
    done, todo = _sorted_out(work, mine, overwrite=options.overwrite)
    ledger = Ledger(ledger_path(out, options.shard))
    for item, summary in done:
        outcome = Outcome(item.name, _named(item), "done", out / item.name, summary)
        ledger.add(outcome)
        yield outcome
    results = _results(labeller, work, todo, helpers, stop) if ray is None else label_on_ray(ray, work, todo, stop)
    for item, result in results:
        outcome = Outcome.of(item, result, out)
        ledger.add(outcome)
        yield outcome


def _results(
    labeller: Labeller,
    work: SceneWork,
    todo: list[Item],
    helpers: Helpers | int | None,
    stop: Callable[[], bool],
) -> Iterator[tuple[Item, Written | Failed]]:
    """As they come; no new scenes are taken once it is asked to stop."""
    if isinstance(helpers, int | None):
        count = usual_helpers(labeller.device, len(todo)) if helpers is None else helpers
        if count and todo and work.how.votes is None:
            with Helpers(count) as started:
                yield from label_with_helpers(labeller, work, todo, started, stop)
            return
    elif work.how.votes is None:
        yield from label_with_helpers(labeller, work, todo, helpers, stop)
        return
    for item in todo:
        if stop():
            return
        yield item, label_one(labeller, work, item)


def ledger_path(out: Path, shard: Shard = Shard()) -> Path:
    """The file with a line of JSON for each scene."""
    return out / ("results.jsonl" if shard.count == 1 else f"results-{shard.number}-of-{shard.count}.jsonl")


def work_of(labeller: Labeller, out: Path, options: Many) -> SceneWork:
    """All that the work of each scene has to know, for results in ``out``."""
    captures = None if options.captures is None else options.captures.absolute()
    return SceneWork(
        steps=labeller.steps(options.how, options.model),
        reading=options.reading,
        how=options.how,
        force=options.force,
        outputs=options.outputs,
        out=out.absolute(),
        made=made_with(labeller, options.reading, options.how, options.outputs),
        captures=None if captures is None else LabelledCaptures(captures, options.overwrite),
    )


def _sorted_out(
    work: SceneWork, items: Sequence[Item], *, overwrite: bool
) -> tuple[list[tuple[Item, dict[str, Any]]], list[Item]]:
    """The scenes that are done, with their summaries, and those that are to be labelled.

    Raises:
        InputError: results that were made otherwise and may not be replaced.
    """
    done, todo, other = [], [], list[tuple[Item, list[str]]]()
    for item in items:
        found = earlier(work, item)
        if found is not None and not found[1]:
            done.append((item, found[0]))
            continue
        todo.append(item)
        if found is not None:
            other.append((item, found[1]))
    if other and not overwrite:
        what = few(dict.fromkeys(name for _, names in other for name in names), 4)
        raise InputError(
            work.out / other[0][0].name,
            f"{len(other)} of {len(items)} scenes have results that were made in another way ({what})",
            "Name another folder, or label these scenes again with --overwrite",
        )
    return done, todo


def find_items(sources: Sequence[str | Path], reading: ReadOptions | None = None) -> list[Item]:
    """The scenes of sources, as :func:`ditr.captures.folders.find_sources` has them.

    Raises:
        InputError: there is none.
    """
    return [Item(name, path) for name, path in find_sources(sources, reading).items()]


def items_of(scenes: Iterable[Scene]) -> list[Item]:
    """Scenes in memory, by their own names."""
    return [Item(scene.name, scene) for scene in scenes]


def _require_names(items: Sequence[Item]) -> None:
    twice = [name for name, count in Counter(item.name for item in items).items() if count > 1]
    if twice:
        raise InputError(
            "scenes", f"{len(twice)} names each occur more than once: {few(twice, 3)}", "Give each its own name"
        )
    bad = [item.name for item in items if not item.name or item.name.startswith("/") or ".." in Path(item.name).parts]
    if bad:
        raise InputError("scenes", f"{bad[0]!r} cannot name a folder of results", "Rename it")


def _named(item: Item) -> str | None:
    return str(item.source) if isinstance(item.source, Path) else None

"""A bank of classes, networks, and both together, at equal labels; a network trained on a bank's labels.

    python benchmarks/bank.py FOLDER halves PANDASET
    python benchmarks/bank.py FOLDER rows [--clicks 10 100] [--seeds 0 1 2] --networks NAME=RUN ...
    python benchmarks/bank.py FOLDER bank --seeds 0 1 2
    python benchmarks/bank.py FOLDER table

``halves`` cuts the street of PandaSet's sequence 002 across, where the car is halfway, with a gap of 5 m: FOLDER/learn
has one half as the first four sweeps see it, FOLDER/try the other as the last four do, with the groups of classes of
``benchmarks/clicks.py``. Networks are trained by ``ditr train small RUN --data FOLDER/learn --steps 240 --seed S``,
with photographs and without. ``bank`` writes FOLDER/by_bank_S: the captures of FOLDER/learn with labels of a bank of 30
clicks per class in the first of them, where these have a confidence of 0.6, to train on. ``rows`` counts mIoU in
FOLDER/try of the networks, of a bank of random points of FOLDER/learn (all sweeps), and of both; a network NAME ends in
the seed of its training, and is paired with the points of that seed. Rows go to FOLDER/bank.jsonl.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from clicks import ENCODER, grouped
from numpy.typing import NDArray

from ditr.captures.capture import read_capture, write_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.inference.labelled_captures import labelled_scene
from ditr.inference.segmenter import Segmenter
from ditr.io.caches import kept
from ditr.labelling.bank import Bank, join_banks
from ditr.labelling.bank_labeller import cells_of
from ditr.labelling.cells import Cells
from ditr.labelling.clicks import Action
from ditr.labelling.result import labelled_by_bank
from ditr.labelling.session import Session
from ditr.scene import Scene

FIRST, LAST = ("00", "37", "43", "48"), ("53", "55", "61", "65")
GAP = 5.0
RARE = 50
"""Points of a class in FOLDER/learn below which it does not count."""


def halves(folder: Path, source: Path) -> None:
    """Write both halves of the street."""
    names = [f"frame_{name}" for name in (*FIRST, *LAST)]
    origin = np.array(
        [json.loads((source / name / "transforms.json").read_text())["origin_in_world"][:2] for name in names]
    )
    middle = origin.mean(axis=0)
    ahead = np.linalg.svd(origin - middle)[2][0]
    ahead *= np.sign(ahead @ (origin[-1] - origin[0]))
    for name, at in zip(names, origin, strict=True):
        scene = grouped(read_capture(source / name))
        along = (scene.coord[:, :2] + at - middle) @ ahead
        part = "learn" if name[-2:] in FIRST else "try"
        rows = np.flatnonzero(along > GAP / 2 if part == "learn" else along < -GAP / 2)
        write_capture(taken(scene, rows), folder / part / name)


def taken(scene: Scene, rows: NDArray[np.int64]) -> Scene:
    """Some of the points of a scene."""
    values = {name: getattr(scene, name) for name in ("coord", "color", "normal", "strength", "label")}
    extra = {name: column[rows] for name, column in scene.extra.items()}
    return replace(scene, extra=extra, **{name: part[rows] for name, part in values.items() if part is not None})


@cache
def encoding() -> CachedEncoding:
    """Of the photographs, kept in the user's cache."""
    return CachedEncoding(ENCODER, FeatureCache(kept("features")))


def looked_at(folder: Path, segmenter: Segmenter | None) -> list[tuple[Scene, Cells]]:
    """All captures of a folder, with their cells."""
    scenes = [read_capture(path) for path in sorted(folder.iterdir())]
    return [(scene, cells_of(scene, encoding(), segmenter)) for scene in scenes]


def bank_of(scenes: list[tuple[Scene, Cells]], clicks: int, seed: int) -> Bank:
    """A bank of random points, of each class as many over all scenes."""
    rng = np.random.default_rng(seed)
    label = np.concatenate([scene.label for scene, _ in scenes if scene.label is not None])
    start = np.cumsum([0, *(len(scene) for scene, _ in scenes)])
    points = [
        rng.permutation(np.flatnonzero(label == one))[:clicks]
        for one in np.flatnonzero(np.bincount(label[label >= 0]) >= RARE)
    ]
    banks = []
    for number, (scene, cells) in enumerate(scenes):
        session = Session(scene, cells)
        for point in np.concatenate(points):
            if start[number] <= point < start[number + 1]:
                name = scene.class_names[label[point]]
                session.do(Action(name, "point", point=int(point - start[number])))
        if session.actions:
            banks.append(Bank.of(session))
    return replace(join_banks(banks), unlike=0.0)


def counts(true: Scene, label: NDArray[np.int32], names: tuple[str, ...]) -> NDArray[np.int64]:
    """(C + 1, C + 1) confusion in the classes of the scene."""
    assert true.label is not None
    size = len(true.class_names) + 1
    own = np.array([*(true.class_names.index(name) for name in names), size - 1])[label]
    known = true.label >= 0
    return np.bincount(true.label[known] * size + own[known], minlength=size * size).reshape(size, size)


def miou(confusion: NDArray[np.int64], classes: NDArray[np.bool_]) -> tuple[float, list[float]]:
    """In percent, over some classes, and of each."""
    hit, there = confusion.diagonal()[:-1], confusion[:-1].sum(axis=1)
    union = there + confusion[:-1, :-1].sum(axis=0) - hit
    each = 100 * hit / np.maximum(union, 1)
    return round(float(each[classes].mean()), 2), [round(float(value), 1) for value in each]


def rows(folder: Path, networks: dict[str, Path], clicks: list[int], seeds: list[int]) -> None:
    """Count; each row is written as soon as it is there."""
    done = {row["key"] for row in read_rows(folder)}

    def counted(key: str, how: str, seed: int, few: int, confusion: NDArray[np.int64]) -> None:
        value, each = miou(confusion, learnt)
        row = {"key": key, "how": how, "seed": seed, "clicks": few, "miou": value, "iou": each}
        with (folder / "bank.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(key, value, flush=True)

    learnt = classes_of(folder / "learn")
    for how, run, mine in [("bank", None, seeds)] + [
        (name.rpartition("_s")[0], path, [int(name.rpartition("_s")[2])]) for name, path in networks.items()
    ]:
        segmenter = None if run is None else Segmenter.from_pretrained(run, device="cpu", cache=encoding().cache)
        test = None
        if segmenter is not None and (key := f"{how} {mine[0]}") not in done:
            scenes = [read_capture(path) for path in sorted((folder / "try").iterdir())]
            found = [(scene, segmenter(scene)) for scene in scenes]
            counted(key, how, mine[0], 0, sum(counts(one, two.label, two.class_names) for one, two in found))
        for seed in [] if "by bank" in how else mine:
            for few in clicks:
                name = how if segmenter is None else f"bank and {how}"
                if (key := f"{name} {few} {seed}") in done:
                    continue
                if test is None:
                    learn, test = (looked_at(folder / part, segmenter) for part in ("learn", "try"))
                bank = bank_of(learn, few, seed)
                found = [(scene, labelled_by_bank(bank, scene, cells)) for scene, cells in test]
                counted(key, name, seed, few, sum(counts(one, two.label, two.class_names) for one, two in found))


def classes_of(folder: Path) -> NDArray[np.bool_]:
    """Which classes can be learned."""
    label = np.concatenate([read_capture(path).label for path in sorted(folder.iterdir())])
    names = read_capture(next(iter(folder.iterdir()))).class_names
    return np.bincount(label[label >= 0], minlength=len(names)) >= RARE


def labels_by_bank(folder: Path, seeds: list[int]) -> None:
    """Captures with the labels of a bank of one sweep."""
    learn = looked_at(folder / "learn", None)
    for seed in seeds:
        bank = bank_of(learn[:1], 30, seed)
        for scene, cells in learn:
            labelled = labelled_scene(labelled_by_bank(bank, scene, cells).at_least(0.6))
            write_capture(labelled, folder / f"by_bank_{seed}" / scene.name)


def read_rows(folder: Path) -> list[dict]:
    """What was counted."""
    path = folder / "bank.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def interval(values: list[float], *, signed: bool = False) -> str:
    """Mean and 95 % by Student's t over the seeds; the values themselves where they are two."""
    form = "+.1f" if signed else ".1f"
    mean = float(np.mean(values))
    if len(values) < 3:
        return f"{mean:{form}} ({', '.join(f'{value:{form}}' for value in values)})"
    half = {3: 4.303, 4: 3.182, 5: 2.776}[len(values)] * float(np.std(values, ddof=1)) / len(values) ** 0.5
    return f"{mean:{form}} ({mean - half:{form}} to {mean + half:{form}})"


def table(found: list[dict]) -> str:
    """Means over seeds, and differences of pairs of the same seed."""
    by = {(row["how"], row["clicks"], row["seed"]): row["miou"] for row in found}
    kinds = defaultdict(list)
    for (how, clicks, seed), value in sorted(by.items()):
        kinds[how, clicks].append((seed, value))
    lines = ["| | clicks per class | mIoU | seeds |", "|---|---|---|---|"]
    for (how, clicks), values in kinds.items():
        lines.append(f"| {how} | {clicks or ''} | {interval([value for _, value in values])} | {len(values)} |")
    for how, clicks in kinds:
        if how.startswith("bank and "):
            for other in (("bank", clicks), (how.removeprefix("bank and "), 0)):
                pairs = [value - by[(*other, seed)] for seed, value in kinds[how, clicks] if (*other, seed) in by]
                lines.append(f"| *{how} less {other[0]}* | {clicks} | {interval(pairs, signed=True)} | {len(pairs)} |")
    pairs = [value - by["ditr", 0, seed] for seed, value in kinds["ditr by bank", 0] if ("ditr", 0, seed) in by]
    if pairs:
        lines.append(f"| *ditr by bank less ditr* | | {interval(pairs, signed=True)} | {len(pairs)} |")
    return "\n".join(lines)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("halves", "rows", "bank", "table"))
    parser.add_argument("source", type=Path, nargs="?")
    parser.add_argument("--clicks", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--networks", nargs="*", default=[], metavar="NAME=RUN")
    args = parser.parse_args()
    if args.what == "halves":
        halves(args.folder, args.source)
    elif args.what == "bank":
        labels_by_bank(args.folder, args.seeds)
    elif args.what == "rows":
        networks = dict(text.split("=", 1) for text in args.networks)
        rows(args.folder, {name: Path(path) for name, path in networks.items()}, args.clicks, args.seeds)
    else:
        print(table(read_rows(args.folder)))


if __name__ == "__main__":
    main()

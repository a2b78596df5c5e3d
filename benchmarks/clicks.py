"""What clicks are worth: mIoU after some clicks per class, in one scene and, as a bank, in others.

    python benchmarks/clicks.py FOLDER scene CAPTURE... [--seeds 0 1 2] [--groups street] [--least-sure 10]
    python benchmarks/clicks.py FOLDER bank FROM TO... [--seeds 0 1 2] [--groups street]
    python benchmarks/clicks.py FOLDER table

The same random clicks (by seed) are made with four classifiers: ``all`` (image features, shape, and within a scene
place), ``no images`` (shape and place), ``random encoder`` (as all, but the encoder has random weights), and ``images
alone``. ``least-sure`` is ``all`` with clicks where it is least sure. Rows are added to FOLDER/clicks.jsonl; what is
there is not computed again. ``table`` prints means over scenes and seeds, with an interval of 95 % over the
scenes (bootstrap; scenes of one street count as what they are, no independent places), and differences of pairs with
the same scene, seed and clicks, with the like interval.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from safetensors.torch import save_file

from ditr.captures.capture import read_capture
from ditr.encoders.dinov2 import Architecture
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.family import random_weights
from ditr.labelling.bank import Bank
from ditr.labelling.cells import Cells, make_cells
from ditr.labelling.classifier import Kernel
from ditr.labelling.clicks import Action
from ditr.labelling.session import Session
from ditr.labelling.simulate import marks_up_to, simulate
from ditr.scene import Scene

ENCODER = "dinov2-small-derived"
MARKS = (1, 3, 10, 30)
PAIRS = (("all", "no images"), ("all", "random encoder"), ("least-sure", "all"))
"""Compared pair by pair."""
STREET = {
    "vegetation": ("Vegetation",),
    "ground": ("Ground", "Driveway"),
    "road": ("Road", "Lane Line Marking", "Stop Line Marking", "Other Road Marking"),
    "sidewalk": ("Sidewalk",),
    "vehicle": (
        *("Car", "Pickup Truck", "Medium-sized Truck", "Semi-truck", "Towed Object", "Motorcycle", "Bus"),
        *("Other Vehicle - Construction Vehicle", "Other Vehicle - Uncommon", "Emergency Vehicle"),
    ),
    "person": ("Pedestrian", "Pedestrian with Object"),
    "building": ("Building",),
    "other static": (
        *("Signs", "Cones", "Pylons", "Road Barriers", "Construction Signs", "Temporary Construction Barriers"),
        *("Rolling Containers", "Other Static Object"),
    ),
}
"""Groups of the classes of PandaSet; what is in none (reflections) does not count."""


def grouped(scene: Scene) -> Scene:
    """The scene with the labels of STREET."""
    assert scene.label is not None
    table = np.full(len(scene.class_names) + 1, -1, np.int32)
    for number, names in enumerate(STREET.values()):
        for name in names:
            if name in scene.class_names:
                table[scene.class_names.index(name)] = number
    return replace(scene, label=table[scene.label], class_names=tuple(STREET))


def random_encoder(folder: Path) -> str:
    """A folder with an encoder of random weights of the small DINOv2's shape."""
    spec = folder / "random-encoder"
    if not (spec / "model.safetensors").exists():
        spec.mkdir(parents=True, exist_ok=True)
        config = {
            "model_type": "dinov2",
            "hidden_size": 384,
            "num_hidden_layers": 12,
            "num_attention_heads": 6,
            "mlp_ratio": 4,
            "use_swiglu_ffn": False,
            "patch_size": 14,
            "image_size": 518,
            "layer_norm_eps": 1e-6,
        }
        (spec / "config.json").write_text(json.dumps(config))
        save_file(random_weights(Architecture(width=384, depth=12, heads=6), 0), spec / "model.safetensors")
    return str(spec)


def looked_at(folder: Path, path: Path, *, groups: bool) -> dict[str, tuple[Scene, Cells, Kernel]]:
    """The scene with its cells, for each classifier."""
    scene = read_capture(path)
    scene = grouped(scene) if groups else scene
    cells = make_cells(scene, CachedEncoding(ENCODER))
    chance = make_cells(scene, CachedEncoding(random_encoder(folder)))
    return {
        "all": (scene, cells, Kernel()),
        "no images": (scene, cells, Kernel(image=0.0)),
        "random encoder": (scene, chance, Kernel()),
        "images alone": (scene, cells, Kernel(shape=0.0, place=0.0)),
    }


def scene_rows(
    folder: Path, path: Path, seeds: list[int], done: set[str], *, groups: bool, sure: int
) -> Iterator[dict]:
    """Clicks in one scene."""
    wanted = [(name, seed) for seed in seeds for name in ("all", "no images", "random encoder", "images alone")]
    wanted += [("least-sure", seed) for seed in seeds if sure]
    left = [pair for pair in wanted if f"scene {path.name} {pair[0]} {pair[1]}" not in done]
    if not left:
        return
    kinds = looked_at(folder, path, groups=groups)
    for name, seed in left:
        scene, cells, kernel = kinds["all" if name == "least-sure" else name]
        marks = marks_up_to(sure) if name == "least-sure" else MARKS
        strategy = "least-sure" if name == "least-sure" else "random"
        found = simulate(Session(scene, cells, kernel=kernel), marks, strategy=strategy, seed=seed)
        yield {
            "key": f"scene {path.name} {name} {seed}",
            "kind": "scene",
            "of": path.name,
            "how": name,
            "seed": seed,
            "miou": {str(mark.clicks): round(100 * mark.miou, 2) for mark in found},
        }


def bank_rows(
    folder: Path, source: Path, targets: list[Path], seeds: list[int], done: set[str], *, groups: bool
) -> Iterator[dict]:
    """Clicks in one scene, labels in others."""
    first = looked_at(folder, source, groups=groups)
    del first["images alone"]
    for target in targets:
        other = looked_at(folder, target, groups=groups)
        for seed in seeds:
            for name, (scene, cells, _) in first.items():
                key = f"bank {source.name} {target.name} {name} {seed}"
                if key in done:
                    continue
                found = {str(mark): carried(scene, cells, *other[name][:2], name, mark, seed) for mark in MARKS}
                yield {
                    "key": key,
                    "kind": "bank",
                    "of": f"{source.name} to {target.name}",
                    "how": name,
                    "seed": seed,
                    "miou": found,
                }


def carried(scene: Scene, cells: Cells, target: Scene, theirs: Cells, how: str, clicks: int, seed: int) -> float:
    """mIoU in percent of a bank of some clicks per class, in another scene; all points get a label."""
    assert scene.label is not None and target.label is not None
    rng = np.random.default_rng(seed)
    session = Session(scene, cells)
    for label in np.unique(scene.label[scene.label >= 0]):
        points = rng.permutation(np.flatnonzero(scene.label == label))[:clicks]
        for point in points:
            session.do(Action(scene.class_names[label], "point", point=int(point)))
    bank = replace(Bank.of(session), unlike=0.0)
    if how == "no images":
        bank, theirs = replace(bank, encoder=None), replace(theirs, encoder=None)
    label = bank.label_cells(theirs).label[theirs.of_point]
    own = np.array([target.class_names.index(name) for name in bank.classes])[label]
    known = target.label >= 0
    size = len(target.class_names)
    counts = np.bincount(target.label[known] * size + own[known], minlength=size * size).reshape(size, size)
    there = counts.sum(axis=1) > 0
    union = counts.sum(axis=1) + counts.sum(axis=0) - counts.diagonal()
    return round(100 * float((counts.diagonal()[there] / union[there]).mean()), 2)


def table(rows: list[dict]) -> str:
    """Means over scenes and seeds, and an interval over the scenes."""
    lines = []
    for kind, title in (("scene", "In the scene that was clicked in"), ("bank", "A bank, in other scenes")):
        for family in sorted({family_of(row["of"]) for row in rows if row["kind"] == kind}):
            chosen = [row for row in rows if row["kind"] == kind and family_of(row["of"]) == family]
            scenes = sorted({row["of"] for row in chosen})
            seeds = len({row["seed"] for row in chosen})
            head = f"{len(scenes)} scene{'s' if len(scenes) > 1 else ''}, {seeds} seeds"
            lines += [f"### {title}: {family} ({head})", "", "| | " + " | ".join(map(str, MARKS)) + " |"]
            lines.append("|---|" + "---|" * len(MARKS))
            for how in ("all", "least-sure", "no images", "random encoder", "images alone"):
                if any(row["how"] == how for row in chosen):
                    cells = [cell([row for row in chosen if row["how"] == how], str(mark)) for mark in MARKS]
                    lines.append(f"| {how} | " + " | ".join(cells) + " |")
            for one, two in PAIRS:
                pairs = differences(chosen, one, two)
                if pairs:
                    cells = [cell(pairs, str(mark), signed=True) for mark in MARKS]
                    lines.append(f"| *{one} less {two}* | " + " | ".join(cells) + " |")
            lines.append("")
    return "\n".join(lines)


def differences(rows: list[dict], one: str, two: str) -> list[dict]:
    """What one way has more than another in the same scene, with the same seed."""
    by_pair = {(row["how"], row["of"], row["seed"]): row for row in rows}
    found = []
    for row in rows:
        other = by_pair.get((two, row["of"], row["seed"]))
        if row["how"] == one and other is not None:
            more = {mark: miou - other["miou"][mark] for mark, miou in row["miou"].items() if mark in other["miou"]}
            found.append({**row, "miou": more})
    return found


def family_of(name: str) -> str:
    """What kind of scene a name is of."""
    return "rooms" if "room" in name else "PandaSet, one street" if "frame" in name else name


def cell(rows: list[dict], mark: str, *, signed: bool = False) -> str:
    """Mean and interval."""
    form = "+.1f" if signed else ".1f"
    by_scene = defaultdict(list)
    for row in rows:
        if mark in row["miou"]:
            by_scene[row["of"]].append(row["miou"][mark])
    means = np.array([np.mean(values) for values in by_scene.values()])
    if not len(means):
        return ""
    if len(means) == 1:
        values = next(iter(by_scene.values()))
        return f"{means[0]:{form}} ({min(values):{form}} to {max(values):{form}} over seeds)"
    rng = np.random.default_rng(0)
    drawn = rng.choice(means, (4000, len(means))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return f"{means.mean():{form}} ({low:{form}} to {high:{form}})"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("what", choices=("scene", "bank", "table"))
    parser.add_argument("captures", type=Path, nargs="*")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--groups", choices=("street",))
    parser.add_argument("--least-sure", type=int, default=0)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    file = args.folder / "clicks.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if args.what == "table":
        print(table(rows))
        return
    done, groups = {row["key"] for row in rows}, args.groups is not None
    paths = args.captures
    if args.what == "scene":
        sure = args.least_sure
        each = (scene_rows(args.folder, path, args.seeds, done, groups=groups, sure=sure) for path in paths)
        made = chain.from_iterable(each)
    else:
        made = bank_rows(args.folder, paths[0], paths[1:], args.seeds, done, groups=groups)
    for row in made:
        with file.open("a") as out:
            out.write(json.dumps(row) + "\n")
        print(row["key"], row["miou"], flush=True)


if __name__ == "__main__":
    main()

"""What occlusion is worth to a DITR that is trained and tested with depth maps, a z-buffer of the cloud, or neither.

    python benchmarks/occlusion_miou.py STEP FOLDER SEED     one step of one seed: rooms, encode, train-X or test
    python benchmarks/occlusion_miou.py table FOLDER         the table of all seeds that are there

Each seed has rooms of its own, 60 to learn from and 24 unseen ones with 8 photographs each, and one DITR per way X of
finding hidden points (depth, z-buffer, none): the small indoor recipe of `ditr demo`, as many steps and the same draws.
Every network is tested in every way, so that it shows what a choice costs that was not made in training. Points are
told apart by the true depth maps: seen; hidden, that is inside a photograph and its range and seen in none; and beyond
all photographs. Differences have two intervals: over the seeds (Student's t), and, for the networks as they are, over
the rooms of each seed (a paired bootstrap; "these networks").
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.data.scene_views import points_in
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.inference.segmenter import Segmenter
from ditr.recipes.captures import small
from ditr.scene import Occlusion, Scene
from ditr.studies.reproduce.statistics import paired_difference
from ditr.training.loop import TrainingRun, train
from ditr.worlds.rooms import CLASS_NAMES, RoomsConfig, write_rooms

ENCODER = "dinov2-small-derived"
WAYS: tuple[str, ...] = ("depth", "z-buffer", "none")
PARTS = ("all", "seen", "hidden", "beyond")
RULE = small("indoor").preparation.rule


def make_rooms(folder: Path, seed: int) -> None:
    """The rooms, and the same ones without their depth maps."""
    write_rooms(folder / "rooms", RoomsConfig(train=60, test=24, views=8, seed=seed), workers=1)
    for split in ("train", "test"):
        for capture in find_captures(folder / "rooms" / split):
            bare = folder / "bare" / split / capture.name
            if not bare.exists():
                write_capture(without_depth(read_capture(capture)), bare)


def without_depth(scene: Scene) -> Scene:
    """The scene as most people's."""
    return replace(scene, views=tuple(replace(view, depth=None) for view in scene.views))


def encode(folder: Path) -> None:
    """Fill the cache with the features of all photographs."""
    encoding = CachedEncoding(ENCODER, FeatureCache(folder / "features"))
    for split in ("train", "test"):
        for capture in find_captures(folder / "rooms" / split):
            encoding.encode(read_capture(capture).views)


def occlusion_of(way: str) -> Occlusion:
    """Of the rule; with depth maps nothing asks for it."""
    return "z-buffer" if way == "z-buffer" else "none"


def learn(folder: Path, seed: int, way: str) -> None:
    """Train one DITR."""
    recipe = small("indoor")
    preparation = replace(recipe.preparation, rule=replace(RULE, occlusion=occlusion_of(way)))
    captures = find_captures(folder / ("rooms" if way == "depth" else "bare") / "train")
    recipe = replace(recipe, encoder=ENCODER, seed=seed, preparation=preparation)
    encoding = CachedEncoding(ENCODER, FeatureCache(folder / "features"))
    run = TrainingRun(folder / "runs" / way, captures, encoding=encoding, device="cpu", checkpoint_every=40, quiet=True)
    train(recipe, run)


def parts_of(scene: Scene) -> dict[str, NDArray[np.bool_]]:
    """(N,) for each part: which points are in it, by the true depth maps."""
    framed = replace(RULE, depth_margin=None)
    seen, inside = (
        np.any([points_in(scene, view, rule)[1] for view in scene.views], axis=0) for rule in (RULE, framed)
    )
    return {"all": np.ones(len(scene), bool), "seen": seen, "hidden": inside & ~seen, "beyond": ~inside}


def test(folder: Path, seed: int) -> None:
    """Test all networks in all ways, and write the figures."""
    captures = find_captures(folder / "rooms" / "test")
    figures, counts = {}, {}
    for trained in WAYS:
        segmenter = Segmenter.from_pretrained(
            folder / "runs" / trained, device="cpu", cache=FeatureCache(folder / "features")
        )
        for tested in WAYS:
            rule = replace(RULE, occlusion=occlusion_of(tested))

            def label(scene: Scene, segmenter: Segmenter = segmenter, rule=rule, way: str = tested):  # type: ignore[no-untyped-def]
                return segmenter(scene if way == "depth" else without_depth(scene), rule=rule).label

            figures[f"{trained}/{tested}"], counts[f"{trained}/{tested}"] = measured(captures, label)
            print(seed, trained, tested, {part: row["miou"] for part, row in figures[f"{trained}/{tested}"].items()})
    (folder / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    np.savez_compressed(folder / "counts.npz", **counts)


def measured(
    captures: list[Path], label: Callable[[Scene], NDArray[np.int32]]
) -> tuple[dict[str, dict[str, float]], NDArray[np.int64]]:
    """mIoU over the classes that occur and accuracy in percent, by part, and each part's share of the points; and what
    was counted, (rooms, parts, C, C)."""
    matrices = {part: ConfusionMatrix(len(CLASS_NAMES)) for part in PARTS}
    counts = np.zeros((len(captures), len(PARTS), len(CLASS_NAMES), len(CLASS_NAMES)), np.int64)
    for room, capture in enumerate(captures):
        scene = read_capture(capture)
        assert scene.label is not None
        found = label(scene)
        for number, (part, rows) in enumerate(parts_of(scene).items()):
            before = matrices[part].counts.copy()
            matrices[part].update(found, scene.label, rows)
            counts[room, number] = matrices[part].counts - before
    figures = {
        part: {
            "miou": round(100 * matrix.miou_present, 3),
            "accuracy": round(100 * matrix.accuracy, 3),
            "share": round(matrix.points / matrices["all"].points, 4),
        }
        for part, matrix in matrices.items()
    }
    return figures, counts


def miou(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(...,) percent, over the classes that occur; of (..., C, C)."""
    right = np.einsum("...ii->...i", counts)
    true = counts.sum(axis=-1)
    union = true + counts.sum(axis=-2) - right
    iou = np.where(true > 0, right / np.maximum(union, 1), np.nan)
    return np.asarray(100 * np.nanmean(iou, axis=-1))


def over_rooms(folder: Path, better: str, worse: str) -> NDArray[np.float64] | None:
    """(2, parts) the 95 % interval of the mean over the seeds, where rooms are drawn again; None without counts."""
    stored = [np.load(path) for path in sorted(folder.glob("*/counts.npz"))]
    if not stored:
        return None
    rng, differences = np.random.default_rng(0), []
    for _ in range(2000):
        of_seeds = []
        for seed in stored:
            rooms = rng.integers(0, len(seed[better]), len(seed[better]))
            of_seeds.append(miou(seed[better][rooms].sum(axis=0)) - miou(seed[worse][rooms].sum(axis=0)))
        differences.append(np.mean(of_seeds, axis=0))
    return np.asarray(np.percentile(differences, (2.5, 97.5), axis=0))


def table(folder: Path) -> None:
    """All seeds: means, and differences with their 95 % intervals (paired, Student's t)."""
    seeds = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/figures.json"))]
    print(f"{len(seeds)} seeds\n\n| trained with | tested with | {' | '.join(PARTS)} |\n|---|---|{'---|' * len(PARTS)}")
    for name in seeds[0]:
        means = [np.mean([seed[name][part]["miou"] for seed in seeds]) for part in PARTS]
        print(f"| {' | '.join(name.split('/'))} | {' | '.join(f'{mean:.1f}' for mean in means)} |")
    shares = {part: np.mean([seed["depth/depth"][part]["share"] for seed in seeds]) for part in PARTS}
    print("\nshare of the points: " + ", ".join(f"{part} {share:.1%}" for part, share in shares.items()))
    print(f"\n| difference | {' | '.join(PARTS)} |\n|---|{'---|' * len(PARTS)}")
    for better, worse in COMPARED:
        cells, drawn = [], over_rooms(folder, better, worse)
        for number, part in enumerate(PARTS):
            found = paired_difference(*([seed[name][part]["miou"] for seed in seeds] for name in (better, worse)))
            between = "" if found.low is None else f" ({found.low:+.1f} to {found.high:+.1f})"
            rooms = "" if drawn is None else f" [{drawn[0, number]:+.1f} to {drawn[1, number]:+.1f}]"
            cells.append(f"{found.mean:+.2f}{between}{rooms}")
        print(f"| {better} - {worse} | {' | '.join(cells)} |")


COMPARED = (
    ("depth/z-buffer", "depth/none"),
    ("depth/z-buffer", "depth/depth"),
    ("z-buffer/z-buffer", "none/none"),
    ("z-buffer/z-buffer", "depth/depth"),
    ("none/z-buffer", "none/none"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("rooms", "encode", *(f"train-{way}" for way in WAYS), "test", "table"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed", type=int, nargs="?")
    arguments = parser.parse_args()
    if arguments.step == "table":
        table(arguments.folder)
        return
    folder, seed = arguments.folder / str(arguments.seed), arguments.seed
    if arguments.step == "rooms":
        make_rooms(folder, seed)
    elif arguments.step == "encode":
        encode(folder)
    elif arguments.step == "test":
        test(folder, seed)
    else:
        learn(folder, seed, arguments.step.removeprefix("train-"))


if __name__ == "__main__":
    main()

"""A study on one labelled LiDAR scan: train on some azimuth blocks, test on the others.

    python benchmarks/rellis_blocks.py CAPTURE OUT

The scan is cut about the sensor's z axis into blocks of a few degrees, alternately for training and for test: the
camera sees a narrow part of the scan, and so both sides get some of it. PTv3 and DITR are trained alike, with several
seeds, and tested on the other blocks, points that the camera shows and points that it does not apart. Two baselines
stand beside: each test point's nearest training point, and the most frequent class. Results are written as they come,
and finished runs are kept.

There is only one scan, so a step takes several copies of it, each turned, scaled and flipped on its own. With one copy
a step, BatchNorm normalises by that copy's own statistics in training and by averages over all turns at inference, and
the network does not recognise even the blocks it was trained on. So the figures on the training blocks stand beside.
All are given with three kinds of statistics: the running averages that the model stores, those of the scan at hand, and
averages taken again by the finished network, since in a short run the stored ones lag behind.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ditr.captures.capture import read_capture, write_capture
from ditr.data.augment.points import PointAugmentation, PointClip, RandomRotate, outdoor_augmentations
from ditr.data.dataset import Shuffle, TrainingSet
from ditr.data.scene_views import scene_views
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.geometry.projection import OUTDOOR
from ditr.inference.segmenter import Segmenter
from ditr.io.files import atomic_path
from ditr.nn.image_features import ImageFeatures
from ditr.recipes.captures import small
from ditr.scene import Scene
from ditr.training.loading import RankShare, load_batches
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import Augmentation, Recipe

ENCODERS = {"ptv3": None, "ditr": "dinov2-small-derived"}
VOXEL_SIZE = 0.2
STRENGTH_SCALE = 0.01
"""This capture stores intensities from 0 to 0.0115."""
PARTS = ("all", "visible", "invisible")
STATISTICS = ("running_averages", "own_statistics", "new_averages")
NEW_AVERAGES_OVER = 40
"""Copies of the scan."""


@dataclass(frozen=True)
class AlwaysTurned(Augmentation):
    """As published outdoors, but every sample is turned about z, not half of them: no azimuth is learnt by heart."""

    def of_points(self, clip: PointClip | None = None) -> tuple[PointAugmentation, ...]:
        chain = outdoor_augmentations(clip)
        return tuple(replace(a, p=1.0) if isinstance(a, RandomRotate) else a for a in chain)


def test_blocks(coord: NDArray[np.float64], degrees: float) -> NDArray[np.bool_]:
    """(N,) whether a point lies in a test block: every second block of azimuth."""
    azimuth = np.degrees(np.arctan2(coord[:, 1], coord[:, 0])) + 180
    return (azimuth // degrees).astype(np.int64) % 2 == 1


def split(scene: Scene, in_test: NDArray[np.bool_]) -> dict[str, Scene]:
    """The same scene twice, without the labels of the other side's blocks."""
    assert scene.label is not None
    return {
        "train": replace(scene, label=np.where(in_test, -1, scene.label)),
        "test": replace(scene, label=np.where(in_test, scene.label, -1)),
    }


def nearest_label(
    train: NDArray[np.float64], label: NDArray[np.int32], query: NDArray[np.float64]
) -> NDArray[np.int32]:
    """The label of each query point's nearest training point (3D distance), (Q,)."""
    points = torch.from_numpy(train)
    # By matrix products, distances of centimetres would be lost among coordinates of a hundred metres.
    mode = "donot_use_mm_for_euclid_dist"
    parts = torch.from_numpy(query).split(512)
    rows = [torch.cdist(part, points, compute_mode=mode).argmin(dim=1) for part in parts]
    return label[torch.cat(rows).numpy()]


def figures(matrices: dict[str, ConfusionMatrix], names: tuple[str, ...]) -> dict[str, Any]:
    """mIoU over the classes that occur among the points in question, accuracy, and IoU by class; percentages."""
    return {
        part: {
            "miou_present": round(100 * matrix.miou_present, 2),
            "accuracy": round(100 * matrix.accuracy, 2),
            "points": int(matrix.points),
            "iou": {
                n: round(100 * float(i), 1) for n, i, p in zip(names, matrix.iou, matrix.present, strict=True) if p
            },
        }
        for part, matrix in matrices.items()
    }


def baselines(scene: Scene, in_test: NDArray[np.bool_], visible: NDArray[np.bool_]) -> dict[str, Any]:
    """Nearest neighbour and majority class on the test blocks."""
    assert scene.label is not None
    learn, ask = ~in_test & (scene.label >= 0), in_test & (scene.label >= 0)
    majority = int(np.bincount(scene.label[learn]).argmax())
    guesses = {
        "nearest_neighbour": nearest_label(scene.coord[learn], scene.label[learn], scene.coord[ask]),
        "majority": np.full(int(ask.sum()), majority, dtype=np.int32),
    }
    result = {}
    for name, guess in guesses.items():
        parts = {"all": None, "visible": visible[ask], "invisible": ~visible[ask]}
        matrices = {part: ConfusionMatrix(len(scene.class_names)) for part in parts}
        for part, mask in parts.items():
            matrices[part].update(guess, scene.label[ask], mask)
        result[name] = figures(matrices, scene.class_names)
    return result


def counts(scene: Scene, in_test: NDArray[np.bool_], visible: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
    """Labelled points by class: of both sides, and how many of them the camera shows."""
    assert scene.label is not None
    table = {}
    for index, name in enumerate(scene.class_names):
        of_class = scene.label == index
        if of_class.any():
            table[name] = {
                "train": int((of_class & ~in_test).sum()),
                "train_visible": int((of_class & ~in_test & visible).sum()),
                "test": int((of_class & in_test).sum()),
                "test_visible": int((of_class & in_test & visible).sum()),
            }
    return table


def make_recipe(network: str, seed: int, steps: int, copies: int, *, turn_half: bool = False) -> Recipe:
    """The small recipe for LiDAR; the networks' differ in the encoder alone."""
    recipe = small("outdoor")
    return replace(
        recipe,
        preparation=replace(recipe.preparation, voxel_size=VOXEL_SIZE, strength_scale=STRENGTH_SCALE),
        augmentation=Augmentation("outdoor") if turn_half else AlwaysTurned("outdoor"),
        encoder=ENCODERS[network],
        steps=steps,
        batch_size=copies,
        seed=seed,
    )


@contextmanager
def own_statistics(model: nn.Module) -> Iterator[None]:
    """Within it BatchNorms normalise by the statistics of what they are given, as in training; averages stay."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d)]
    momentum = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            norm.train()
            norm.momentum = 0.0
        yield
    finally:
        for norm, value in zip(norms, momentum, strict=True):
            norm.eval()
            norm.momentum = value


@torch.no_grad()
def renew_averages(segmenter: Segmenter, recipe: Recipe, capture: Path) -> None:
    """BatchNorm's averages become the means over batches as in training, given by the network as it is now."""
    norms = [module for module in segmenter.model.modules() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
        norm.train()
    data = TrainingSet(
        [capture],
        recipe.preparation,
        recipe.network.pyramid,
        seed=recipe.seed + 1000,
        augmentations=recipe.augmentation.of_points(recipe.preparation.clip),
        crop=recipe.augmentation.of_voxels(),
        encoding=segmenter.encoding,
    )
    batches = -(-NEW_AVERAGES_OVER // recipe.batch_size)
    order = RankShare(Shuffle(len(data), recipe.batch_size, batches, recipe.seed), 0, 1)
    for batch in load_batches(data, order, encoding=segmenter.encoding, device="cpu", workers=0):
        image = None if batch.lift is None or batch.tokens is None else ImageFeatures(batch.tokens, batch.lift)
        segmenter.model(batch.feature, batch.pyramid, image)
    segmenter.model.eval()


def one_run(out: Path, recipe: Recipe) -> dict[str, Any]:
    """Train one network on the training blocks, and measure it on both sides and with all kinds of statistics."""
    torch.set_num_threads(1)
    network = "ptv3" if recipe.encoder is None else "ditr"
    cache = FeatureCache(out / "features")
    encoding = None if recipe.encoder is None else CachedEncoding(recipe.encoder, cache)
    folder = out / "runs" / f"{network}-{recipe.seed}"
    train(recipe, TrainingRun(folder, [out / "train"], encoding, device="cpu", quiet=True, checkpoint_every=25))
    segmenter = Segmenter.from_pretrained(folder, device="cpu", cache=cache)
    row: dict[str, Any] = {"network": network, "seed": recipe.seed}
    for kind in STATISTICS:
        if kind == "new_averages":
            renew_averages(segmenter, recipe, out / "train")
        with own_statistics(segmenter.model) if kind == "own_statistics" else nullcontext():
            row[kind] = {side: measure(segmenter, out / side, recipe.seed) for side in ("test", "train")}
    return row


def measure(segmenter: Segmenter, capture: Path, seed: int) -> dict[str, Any]:
    """The figures on one side."""
    result = evaluate(segmenter, [capture], seed=seed)
    matrices = {"all": result.all_points, "visible": result.visible, "invisible": result.invisible}
    return figures(matrices, result.class_names)


def summary(runs: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Over the seeds done by both networks: mean and standard deviation (n - 1), and DITR less PTv3 seed by seed."""
    by_job = {(row["network"], row["seed"]): row[kind]["test"] for row in runs}
    seeds = sorted(seed for network, seed in by_job if network == "ditr" and ("ptv3", seed) in by_job)
    table: dict[str, Any] = {"seeds": seeds}
    for part in PARTS if seeds else ():
        for figure in ("miou_present", "accuracy"):
            of = {network: [by_job[network, seed][part][figure] for seed in seeds] for network in ENCODERS}
            of["ditr_less_ptv3"] = [d - p for d, p in zip(of["ditr"], of["ptv3"], strict=True)]
            table[f"{part} {figure}"] = {
                name: {
                    "mean": round(float(np.mean(values)), 2),
                    "sd": round(float(np.std(values, ddof=1)), 2) if len(values) > 1 else None,
                    "each": [round(value, 2) for value in values],
                }
                for name, values in of.items()
            }
    return table


def write_sides(scene: Scene, in_test: NDArray[np.bool_], out: Path) -> None:
    """Both captures, in ``out/train`` and ``out/test``.

    Raises:
        InputError: they are there with other blocks, on which the runs beside them were trained.
    """
    for side, content in split(scene, in_test).items():
        folder = out / side
        if not (folder / "transforms.json").exists():
            write_capture(content, folder)
        elif not np.array_equal(read_capture(folder).label, content.label):
            raise InputError(folder, "it holds other blocks than asked for", "Choose another folder for the study")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--block-degrees", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--copies", type=int, default=4, help="of the scan in each step, each augmented on its own")
    parser.add_argument("--turn-half", action="store_true", help="turn half of the copies, as published, and not all")
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time, each with one thread")
    args = parser.parse_args()

    scene = read_capture(args.capture)
    in_test = test_blocks(scene.coord, args.block_degrees)
    sizes = [(view.camera.height, view.camera.width) for view in scene.views]
    visible = scene_views(scene, scene.views, sizes, 1, OUTDOOR).seen_by(len(scene)) > 0
    write_sides(scene, in_test, args.out)
    results: dict[str, Any] = {
        "capture": scene.name,
        **{name: getattr(args, name) for name in ("block_degrees", "steps", "copies", "turn_half")},
        "counts": counts(scene, in_test, visible),
        "baselines": baselines(scene, in_test, visible),
        "runs": [],
    }
    print(json.dumps({"counts": results["counts"], "baselines": results["baselines"]}, indent=1))
    recipes = [
        make_recipe(network, seed, args.steps, args.copies, turn_half=args.turn_half)
        for seed in args.seeds
        for network in ENCODERS
    ]
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        for row in pool.map(one_run, [args.out] * len(recipes), recipes):
            results["runs"].append(row)
            results["summary"] = {kind: summary(results["runs"], kind) for kind in STATISTICS}
            with atomic_path(args.out / "results.json") as path:
                path.write_text(json.dumps(results, indent=1) + "\n")
            for kind in STATISTICS:
                parts = [(part, row[kind]["test"][part]) for part in PARTS]
                parts.append(("training blocks", row[kind]["train"]["all"]))
                text = ", ".join(f"{part} {f['miou_present']:.1f} ({f['accuracy']:.1f})" for part, f in parts)
                print(f"{row['network']:5} seed {row['seed']}, {kind}: mIoU (accuracy): {text}", flush=True)
    print(json.dumps(results["summary"], indent=1))


if __name__ == "__main__":
    main()

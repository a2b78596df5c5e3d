"""A study on one labelled LiDAR scan: train on some azimuth blocks, test on the others.

    python benchmarks/rellis_blocks.py CAPTURE OUT

The scan is cut about the sensor's z axis into blocks of a few degrees, alternately for training and for test: the
camera sees a narrow part of the scan, and so both sides get some of it. PTv3 and DITR are trained alike, with several
seeds, and tested on the other blocks, points that the camera shows and points that it does not apart. Two baselines
stand beside: each test point's nearest training point, and the most frequent class. Results are written as they come,
and finished runs are kept.
"""

from __future__ import annotations

import argparse
import json
import shutil
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ditr.data.readers.capture import read_capture, write_capture
from ditr.data.scene_views import scene_views
from ditr.encoding import CachedEncoding
from ditr.evaluation.evaluate import evaluate
from ditr.evaluation.metrics import ConfusionMatrix
from ditr.feature_cache import FeatureCache
from ditr.files import atomic_path
from ditr.geometry.projection import OUTDOOR
from ditr.recipes.captures import small
from ditr.scene import Scene
from ditr.segmenter import Segmenter
from ditr.training.loop import TrainingRun, train

ENCODERS = {"ptv3": None, "ditr": "dinov2-small-derived"}
VOXEL_SIZE = 0.2
STRENGTH_SCALE = 0.01
"""This capture stores intensities from 0 to 0.0115."""


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
    """The label of each query point's nearest training point (3D distance)."""
    points = torch.from_numpy(train).float()
    rows = [torch.cdist(part, points).argmin(dim=1) for part in torch.from_numpy(query).float().split(512)]
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


def one_run(out: Path, network: str, seed: int, steps: int) -> dict[str, Any]:
    """Train one network on the training blocks and test it on the others."""
    torch.set_num_threads(1)
    recipe = small("outdoor")
    encoder = ENCODERS[network]
    recipe = replace(
        recipe,
        preparation=replace(recipe.preparation, voxel_size=VOXEL_SIZE, strength_scale=STRENGTH_SCALE),
        encoder=encoder,
        steps=steps,
        batch_size=1,
        seed=seed,
    )
    cache = FeatureCache(out / "features")
    encoding = None if encoder is None else CachedEncoding(encoder, cache)
    folder = out / "runs" / f"{network}-{seed}"
    train(recipe, TrainingRun(folder, [out / "train"], encoding, device="cpu", quiet=True, checkpoint_every=50))
    result = evaluate(Segmenter.load(folder, device="cpu", cache=cache), [out / "test"], seed=seed)
    matrices = {"all": result.all_points, "visible": result.visible, "invisible": result.invisible}
    return {"network": network, "seed": seed, "steps": steps, **figures(matrices, result.class_names)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("capture", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--block-degrees", type=float, default=4.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()

    scene = read_capture(args.capture)
    in_test = test_blocks(scene.coord, args.block_degrees)
    sizes = [(view.camera.height, view.camera.width) for view in scene.views]
    visible = scene_views(scene, scene.views, sizes, 1, OUTDOOR).seen_by(len(scene)) > 0
    for side, content in split(scene, in_test).items():
        if not (args.out / side / "transforms.json").exists():
            shutil.rmtree(args.out / side, ignore_errors=True)
            write_capture(content, args.out / side)
    results: dict[str, Any] = {
        "capture": scene.name,
        "block_degrees": args.block_degrees,
        "counts": counts(scene, in_test, visible),
        "baselines": baselines(scene, in_test, visible),
        "runs": [],
    }
    print(json.dumps({"counts": results["counts"], "baselines": results["baselines"]}, indent=1))
    jobs = [(network, seed) for seed in args.seeds for network in ENCODERS]
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        for row in pool.map(one_run, *zip(*[(args.out, n, s, args.steps) for n, s in jobs], strict=True)):
            results["runs"].append(row)
            with atomic_path(args.out / "results.json") as path:
                path.write_text(json.dumps(results, indent=1) + "\n")
            parts = ", ".join(
                f"{part} {row[part]['miou_present']:.1f} ({row[part]['accuracy']:.1f})"
                for part in ("all", "visible", "invisible")
            )
            print(f"{row['network']:5} seed {row['seed']}: mIoU over present classes (accuracy): {parts}", flush=True)


if __name__ == "__main__":
    main()

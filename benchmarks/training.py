"""Training at published size: the time and memory of a step, and the batches that the loader brings meanwhile.

    python benchmarks/training.py --device cuda --workers 14                    # a GPU
    python benchmarks/training.py --batch 1 --crop 20000 --steps 3              # a CPU

Data as ``ditr bench --what loader`` has it: a room of ScanNet's size in the published layout, read and augmented again
for every sample.
The step is that of the training loop, with batches that are there already; the loader is timed apart from it, with the
encoding of the photographs (a ViT-L of random weights), which is then timed alone too.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ditr.data.batch import Batch
from ditr.datasets.table import open_dataset
from ditr.doctor.machine import describe_devices
from ditr.encoders.encoding import CachedEncoding
from ditr.recipes.table import find_recipe
from ditr.studies.bench.scannet_room import write_dataset
from ditr.training.fabric import make_fabric
from ditr.training.loop import TrainingRun, make_optimizer, take_step
from ditr.training.recipe import Recipe
from ditr.training.setup import Data, make_data, model_config
from ditr.training.step import to_train


def synchronized() -> float:
    """The time when all that was asked of the GPU, if there is one, is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def step_times(
    recipe: Recipe, run: TrainingRun, data: Data, batches: list[Batch], steps: int, profile: Path | None
) -> dict[str, object]:
    """Median of the steps after three to warm up, and the largest memory."""
    fabric = make_fabric(run)
    torch.manual_seed(0)
    bare = model_config(recipe, run, data.class_names).build()
    optimizer, schedule = make_optimizer(recipe, bare)
    model, optimizer = fabric.setup(to_train(bare, recipe.task), optimizer)
    model.train()
    seconds, losses, forever = [], [], itertools.cycle(batches)
    if fabric.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for step in range(steps + 3):
        schedule.apply(optimizer, step)
        began = synchronized()
        losses.append(take_step(recipe, fabric, model, optimizer, forever).loss)
        seconds.append(synchronized() - began)
    found: dict[str, object] = {
        "step_s": round(statistics.median(seconds[3:]), 4),
        "fastest_s": round(min(seconds[3:]), 4),
        "losses": [round(losses[0], 3), round(losses[-1], 3)],
    }
    if fabric.device.type == "cuda":
        found["peak_gib"] = round(torch.cuda.max_memory_allocated() / 2**30, 2)
    if profile is not None:
        with torch.profiler.profile() as record:
            take_step(recipe, fabric, model, optimizer, forever)
            synchronized()
        table = record.key_averages().table(sort_by="self_cuda_time_total", row_limit=40, max_name_column_width=80)
        profile.write_text(table)
    return found


def batches_per_second(batches: Iterator[Batch], count: int) -> float:
    """After as many as the loader's processes had prepared ahead."""
    next(batches)
    began = synchronized()
    for _ in range(count):
        next(batches)
    return count / (synchronized() - began)


def measure(name: str, root: Path, arguments: argparse.Namespace) -> dict[str, object]:
    """One recipe."""
    recipe = replace(find_recipe(name).make(), batch_size=arguments.batch, epochs=None, validate_epochs=None)
    if arguments.crop:
        recipe = replace(recipe, augmentation=replace(recipe.augmentation, crop=arguments.crop))
    recipe = replace(recipe, augmentation=replace(recipe.augmentation, mix3d=arguments.mix3d))
    images = recipe.encoder is not None
    encoding = CachedEncoding(arguments.encoder, device=arguments.device) if images else None
    if encoding is not None:
        recipe = replace(recipe, encoder=arguments.encoder)
        encoding = encoding.at(recipe.preparation.image_size)
    run = TrainingRun(
        folder=root / "run",
        captures={recipe.datasets[0].name: open_dataset("ScanNet", root / "scannet", ("train",), images=images)},
        encoding=encoding,
        device=arguments.device,
        precision=arguments.precision,
        workers=arguments.workers,
    )
    data = make_data(recipe, run)
    fabric = make_fabric(run)
    stream = data.batches(recipe, run, 0, fabric)
    kept = [next(stream), next(stream)]
    found: dict[str, object] = {
        "recipe": name,
        "batch": arguments.batch,
        "voxels": round(statistics.mean(len(batch.feature) for batch in kept)),
        "photographs": sum(kept[0].views) if images else 0,
    }
    found["loader_batches_per_s"] = round(batches_per_second(stream, arguments.loads), 3)
    del stream
    found |= step_times(recipe, run, data, kept, arguments.steps, arguments.profile)
    if encoding is not None:
        found["encode_s"] = round(encoding_time(encoding, kept[0]), 4)
    return found


def encoding_time(encoding: CachedEncoding, batch: Batch) -> float:
    """Of all photographs of a batch, prepared and encoded."""
    height, width = batch.sizes[0]
    photographs = [torch.randint(0, 256, (height, width, 3), dtype=torch.uint8).numpy() for _ in batch.sizes]
    seconds = []
    for _ in range(4):
        began = synchronized()
        encoding.encoder(encoding.encoder.prepare(photographs, (height, width)))
        seconds.append(synchronized() - began)
    return statistics.median(seconds[1:])


def main() -> None:
    """Print one line of JSON for each recipe."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["scannet/ptv3", "scannet/ditr"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default=None)
    parser.add_argument("--encoder", default="random:dinov2-large-reg")
    parser.add_argument("--batch", type=int, default=12)
    parser.add_argument("--crop", type=int, default=None)
    parser.add_argument("--mix3d", type=float, default=0.8)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--profile", type=Path, default=None, help="file for the kernels of one step")
    parser.add_argument("--loads", type=int, default=4)
    arguments = parser.parse_args()
    devices = ", ".join(device.title for device in describe_devices())
    print(f"torch {torch.__version__}; {devices}; {arguments.workers} loader processes", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        print(f"a scene of {write_dataset(root)} points", flush=True)
        for name in arguments.recipes:
            print(json.dumps(measure(name, root, arguments)), flush=True)


if __name__ == "__main__":
    main()

"""Many scenes in one call, against calls one by one and against the time of encoder and network alone.

    python benchmarks/many.py FOLDER [--scenes 40] [--times 5] [--calls 5] [--device cpu] [--size small] [--only ...]

FOLDER gets rooms and models of random weights, where they are not there. Four kinds of work: ``clouds`` (points alone),
``points`` (the same with photographs, which the judge looks at, and a model without images), ``cached`` (a model with
images, features cached) and ``images`` (encoded now). A row for each, in seconds a scene: ``ditr segment`` one by one,
without and with pictures; one ``ditr segment`` of all, with its start and without; and encoder and network alone, one
scene after the other in a process that does nothing else. Beside these the processor's seconds, which other work on
the machine changes less, and the share of the machine that others took. In the one call each scene is there ``--times``
times, under as many names.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the program `ditr` has it

import torch

from ditr.captures.capture import read_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.encoders.feature_cache import FeatureCache
from ditr.inference.many import Many, find_items, work_of
from ditr.inference.network_labeller import NetworkLabeller
from ditr.inference.parcel import Parcel
from ditr.inference.scene_worker import Prepare, SceneWorker, computed
from ditr.inference.segmenter import Segmenter
from ditr.io.ply import write_ply
from ditr.recipes.captures import SIZES
from ditr.studies.bench.machine import OthersShare, describe
from ditr.weights.saved_model import EncoderConfig, ModelConfig, save_model
from ditr.worlds.rooms import RoomsConfig, write_rooms

ENCODERS = {"small": "random:dinov2-small", "full": "random:dinov2-large"}
ROOMS = {"small": RoomsConfig(), "full": RoomsConfig(width=640, height=480, spacing=0.015)}


@dataclass(frozen=True)
class Kind:
    """What is labelled, by which model, with which options."""

    scenes: str
    model: str
    options: tuple[str, ...] = ()


KINDS = {
    "clouds": Kind("clouds", "points"),
    "points": Kind("rooms/train", "points"),
    "cached": Kind("rooms/train", "images", ("--cache", "{folder}/features")),
    "images": Kind("rooms/train", "images", ("--no-cache",)),
}


def make(folder: Path, scenes: int, size: str) -> None:
    """Rooms, their clouds and two models, where they are not there."""
    if not (folder / "rooms").exists():
        write_rooms(folder / "rooms", replace(ROOMS[size], train=scenes, test=0))
    (folder / "clouds").mkdir(exist_ok=True)
    paths = sorted((folder / "rooms" / "train").iterdir())
    for path in paths:
        cloud = folder / "clouds" / f"{path.name}.ply"
        if not cloud.exists():
            scene = read_capture(path)
            assert scene.color is not None and scene.normal is not None
            columns = {axis: scene.coord[:, i].astype("f4") for i, axis in enumerate("xyz")}
            columns |= {name: scene.color[:, i] for i, name in enumerate(("red", "green", "blue"))}
            columns |= {name: scene.normal[:, i] for i, name in enumerate(("nx", "ny", "nz"))}
            write_ply(cloud, columns)
    names = read_capture(paths[0]).class_names
    recipe, encoding = SIZES[size]("indoor"), CachedEncoding(ENCODERS[size], None, "cpu")
    network = replace(recipe.network, in_channels=recipe.preparation.in_channels)
    torch.manual_seed(0)
    if not (folder / "points").exists():
        config = ModelConfig(network, recipe.preparation, names)
        save_model(folder / "points", config, config.build())
    if not (folder / "images").exists():
        encoder = EncoderConfig.of(encoding.encoder, encoding.spec)
        config = ModelConfig(replace(network, image_width=encoder.width), recipe.preparation, names, encoder=encoder)
        save_model(folder / "images", config, config.build())


def timed(*arguments: object) -> tuple[float, float, str]:
    """Seconds of a command in a process of its own, those of the processor, and what it printed."""
    began, used = time.perf_counter(), used_by_children()
    done = subprocess.run(
        [sys.executable, "-m", "ditr", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - began, used_by_children() - used, done.stdout


def used_by_children() -> float:
    """Seconds of the processor, of processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def network_alone(folder: Path, kind: Kind, scenes: list[Path], device: str) -> tuple[float, float]:
    """Seconds a scene of encoder and network, with all else done before, and those of the processor."""
    cache = None if "--no-cache" in kind.options else FeatureCache(folder / "features")
    labeller = NetworkLabeller(Segmenter.from_pretrained(folder / kind.model, device=device, cache=cache))
    worker, seconds, used = SceneWorker(work_of(labeller, folder / "none", Many())), [], []
    for number, item in enumerate(find_items(scenes)):
        prepared = worker(Prepare(number, Parcel.of(item)))
        assert isinstance(prepared, Parcel), prepared
        parcel, began = prepared.unpack(), time.process_time()
        seconds.append(sum(computed(labeller, parcel, item.name)[1].values()))
        used.append(time.process_time() - began)
    return statistics.mean(seconds[2:]), statistics.mean(used[2:])


def several_times(scenes: list[Path], folder: Path, times: int) -> list[Path]:
    """Links to the scenes, each under as many names."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in scenes:
        for number in range(times):
            (folder / f"{path.stem}_{number}{path.suffix}").symlink_to(path.resolve())
    return sorted(folder.iterdir())


def measure(folder: Path, name: str, times: int, calls: int, device: str) -> dict[str, float | str]:
    """A row of the table."""
    kind = KINDS[name]
    single_scenes = sorted((folder / kind.scenes).iterdir())
    scenes = several_times(single_scenes, folder / "batch", times)
    common = (
        "--model",
        folder / kind.model,
        "--device",
        device,
        *(part.format(folder=folder) for part in kind.options),
    )
    out = folder / "labels"
    shutil.rmtree(out, ignore_errors=True)
    if name == "cached":
        timed("segment", *single_scenes, *common, "--out", out)
        shutil.rmtree(out)
    others = OthersShare()
    seconds, used, said = timed("segment", *scenes, *common, "--out", out)
    after_start = float(said.rpartition("; ")[2].partition(" s")[0])
    lines = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"labelled"} and len(lines) == len(scenes)
    single = [timed("segment", path, *common, "--out", out / "one", "--overwrite")[0] for path in single_scenes[:2]]
    plain = [
        timed("segment", path, *common, "--out", out / "one", "--overwrite", "--no-pictures")[:2]
        for path in single_scenes[:calls]
    ]
    alone, used_alone = network_alone(folder, kind, single_scenes[:10], device)
    return {
        "work": name,
        "scenes": len(scenes),
        "points": statistics.mean(line["points"] for line in lines),
        "voxels": statistics.mean(line["voxels"] for line in lines),
        "one_by_one": statistics.median(wall for wall, _ in plain),
        "with_pictures": min(single),
        "batch": seconds / len(scenes),
        "batch_after_start": after_start / len(scenes),
        "processor_one_by_one": statistics.median(used_by_one for _, used_by_one in plain),
        "processor_batch": used / len(scenes),
        "processor_network_alone": used_alone,
        "others": others.share() or 0.0,
        "network_alone": alone,
        **{f"in_{part}": statistics.mean(line["seconds"].get(part, 0) for line in lines) for part in PARTS},
    }


PARTS = ("read", "prepare", "encode", "network", "write")


def main() -> None:
    """Print a line of JSON about the machine, and one for each kind of work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--calls", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", choices=SIZES, default="small")
    parser.add_argument("--only", default=",".join(KINDS))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    make(args.folder, args.scenes, args.size)
    machine = describe()
    print(json.dumps({name: machine[name] for name in ("processor", "cores", "gpus", "torch")}), flush=True)
    for name in args.only.split(","):
        row = measure(args.folder, name, args.times, args.calls, args.device)
        rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
        print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main()

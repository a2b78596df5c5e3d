"""Latencies of a stream: captures one after the other, as of a sensor, against calls one by one.

    python benchmarks/stream.py FOLDER_OF_CAPTURES [--scans 24] [--images] [--profile outdoor] [--device cpu]

A model of random weights labels the captures again and again, the small network of the profile, with ``--images`` with
the features of a DINOv2-S of random weights. The source waits for the stream, so that it works without a rest.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as the program `ditr` has it

import torch

from ditr.captures.capture import read_capture
from ditr.captures.folders import find_captures
from ditr.encoders.encoding import CachedEncoding
from ditr.inference.segmenter import Segmenter
from ditr.recipes.captures import small
from ditr.scene import ReadOptions
from ditr.studies.bench.machine import OthersShare, describe
from ditr.weights.saved_model import EncoderConfig, ModelConfig, save_model

ENCODER = "random:dinov2-small"


def make(folder: Path, profile: Literal["indoor", "outdoor"], images: bool, classes: tuple[str, ...]) -> None:
    """A model of random weights."""
    torch.manual_seed(0)
    recipe = small(profile)
    network, encoder = replace(recipe.network, in_channels=recipe.preparation.in_channels), None
    if images:
        encoding = CachedEncoding(ENCODER, None, "cpu")
        encoder = EncoderConfig.of(encoding.encoder, encoding.spec)
        network = replace(network, image_width=encoding.encoder.width)
    config = ModelConfig(network, recipe.preparation, classes, encoder=encoder)
    save_model(folder, config, config.build())


def measure(
    captures: list[Path], scans: int, profile: Literal["indoor", "outdoor"], images: bool, device: str
) -> dict[str, object]:
    """Seconds of a call and of a stream, and what the stream counted."""
    scenes = [read_capture(path, ReadOptions(profile=profile)) for path in captures]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder) / "model", profile, images, scenes[0].class_names)
        segmenter = Segmenter.from_pretrained(Path(folder) / "model", device=device)
    segmenter(scenes[0])
    began = time.perf_counter()
    voxels = [segmenter(scene).voxels for scene in scenes[:4]]
    call = (time.perf_counter() - began) / len(voxels)
    others = OthersShare()
    with segmenter.stream(islice(cycle(scenes), scans)) as stream:
        done = []
        for _ in stream:
            done.append(time.perf_counter())
        latencies = {name: [round(took.median, 3), round(took.p90, 3)] for name, took in stream.latencies().items()}
        failed = stream.failed
    return {
        "scans": len(done),
        "failed": failed,
        "points": sum(map(len, scenes)) / len(scenes),
        "voxels": sum(voxels) / len(voxels),
        "call": round(call, 3),
        "stream": round((done[-1] - done[3]) / (len(done) - 4), 3),
        "latencies": latencies,
        "others": round(others.share() or 0.0, 3),
    }


def main() -> None:
    """Print the machine and the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scans", type=int, default=24)
    parser.add_argument("--images", action="store_true")
    parser.add_argument("--profile", choices=("indoor", "outdoor"), default="outdoor")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    machine = describe()
    print(json.dumps({name: machine[name] for name in ("processor", "cores", "gpus", "torch")}), flush=True)
    captures = find_captures(args.folder)
    print(json.dumps(measure(captures, args.scans, args.profile, args.images, args.device)))


if __name__ == "__main__":
    main()

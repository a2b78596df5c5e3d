"""Time and memory of the published networks on a CPU: one forward pass in eval mode, fp32, the pyramid included.

    python benchmarks/network.py                 # all cases, each in a process of its own
    python benchmarks/network.py ditr 80000      # one case, in this process

The cloud is part of a built-in room at 2 cm; features and tokens are random numbers, drawn anew for each pass. DITR's
image features are given (10 views of 30 x 40 patches, D = 1024), as many voxels as in the paper's setting see none.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch

from ditr.data.worlds.rooms import RoomsConfig, make_room
from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.pyramid import build_pyramid
from ditr.geometry.voxels import voxelize
from ditr.models.injection import ImageFeatures
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation

TOKENS, WIDTH, UNSEEN, CLASSES = 12_000, 1024, 0.43, 200
CASES = [(name, count) for name in ("ptv3", "ditr", "minkunet") for count in (20_000, 80_000)]


def room_voxels(count: int) -> torch.Tensor:
    """(count, 3) cells of 2 cm: the voxels nearest to the middle of a densely scanned room."""
    scene = make_room(RoomsConfig(train=1, test=1, views=1, width=28, height=28, spacing=0.01), "train", 0)
    voxels = voxelize(scene.coord, 0.02)
    grid = voxels.grid
    if len(grid) < count:
        raise SystemExit(f"the room has only {len(grid)} voxels")
    distance = (grid - grid.float().mean(dim=0)).norm(dim=1)
    rows = distance.argsort()[:count].sort().values
    return grid[rows] - grid[rows].min(dim=0).values


def make_network(name: str) -> Segmentation:
    """A network at its published size, with its classifier."""
    config = MinkUNetConfig() if name == "minkunet" else PTv3Config(image_width=WIDTH if name == "ditr" else None)
    return Segmentation(config, CLASSES).eval()


def measure(name: str, count: int, passes: int = 5) -> dict[str, float]:
    """Median seconds of a pass after one to warm up, and the process's largest memory."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    grid = room_voxels(count)
    model = make_network(name)
    patch = torch.arange(count) * TOKENS // count
    patch[torch.from_numpy(rng.random(count)) < UNSEEN] = -1
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds, tokens = [], torch.randn(TOKENS, WIDTH)
    for _ in range(passes + 1):
        features = torch.randn(count, 6)
        began = time.perf_counter()
        pyramid = build_pyramid(grid, model.backbone.config.pyramid)
        image = ImageFeatures(tokens, build_lift_pyramid(patch, TOKENS, pyramid)) if name == "ditr" else None
        with torch.no_grad():
            model(features, pyramid, image)
        seconds.append(time.perf_counter() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(statistics.median(seconds[1:]), 3),
        "fastest": round(min(seconds[1:]), 3),
        "peak_gb": round(peak / 1e6, 2),
        "before_gb": round(before / 1e6, 2),
    }


def main() -> None:
    if len(sys.argv) == 3:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    print("network   voxels   median s  fastest s  process GB (before the first pass)")
    for name, count in CASES:
        output = subprocess.run(
            [sys.executable, __file__, name, str(count)], capture_output=True, text=True, check=True
        ).stdout
        row = json.loads(output.splitlines()[-1])
        times = f"{row['seconds']:10.2f} {row['fastest']:10.2f}"
        print(f"{name:8} {count:7d} {times} {row['peak_gb']:8.2f} ({row['before_gb']:.2f})")


if __name__ == "__main__":
    main()

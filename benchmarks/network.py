"""Time and memory of the published networks: one forward pass in eval mode, the pyramid included.

    python benchmarks/network.py                        # fp32 on a CPU: all cases, each in a process of its own
    python benchmarks/network.py ditr 80000             # one case, in this process
    python benchmarks/network.py cuda                   # on a GPU, in fp32 and bf16
    python benchmarks/network.py cuda profile ditr 80000   # and what it does there

On a GPU the pyramid (made on the CPU, as in the loader) and its way there are told apart from the pass itself.

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
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ditr.geometry.lift_pyramid import build_lift_pyramid
from ditr.geometry.pyramid import build_pyramid
from ditr.geometry.voxels import voxelize
from ditr.models.minkunet import MinkUNetConfig
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.image_features import ImageFeatures
from ditr.worlds.rooms import RoomsConfig, make_room

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


def make_case(name: str, count: int) -> tuple[Segmentation, torch.Tensor, torch.Tensor]:
    """A network, the cells of its cloud, and the image token of each, -1 for none."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    grid = room_voxels(count)
    model = make_network(name)
    patch = torch.arange(count) * TOKENS // count
    patch[torch.from_numpy(rng.random(count)) < UNSEEN] = -1
    return model, grid, patch


def measure(name: str, count: int, passes: int = 5) -> dict[str, float]:
    """Median seconds of a pass after one to warm up, and the process's largest memory."""
    model, grid, patch = make_case(name, count)
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


def synchronized() -> float:
    """The time when all that was asked of the GPU, if there is one, is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def measure_on_gpu(name: str, count: int, precision: torch.dtype, passes: int = 10) -> dict[str, object]:
    """Medians after three passes to warm up, and the largest memory beyond the weights and inputs."""
    run, prepare = passes_on_gpu(name, count, precision)
    making, moving, seconds, peak = [], [], [], 0
    for _ in range(passes + 3):
        began = synchronized()
        inputs, made = prepare()
        there = synchronized()
        torch.cuda.reset_peak_memory_stats()
        base = torch.cuda.memory_allocated()
        run(*inputs)
        seconds.append(synchronized() - there)
        making.append(made - began)
        moving.append(there - made)
        peak = max(peak, torch.cuda.max_memory_allocated() - base)
    return {
        "network": name,
        "voxels": count,
        "precision": str(precision).removeprefix("torch."),
        "pass_ms": round(1e3 * statistics.median(seconds[3:]), 1),
        "fastest_ms": round(1e3 * min(seconds[3:]), 1),
        "pyramid_ms": round(1e3 * statistics.median(making[3:]), 1),
        "copy_ms": round(1e3 * statistics.median(moving[3:]), 1),
        "peak_gib": round(peak / 2**30, 2),
    }


def passes_on_gpu(
    name: str, count: int, precision: torch.dtype
) -> tuple[Callable[..., None], Callable[[], tuple[tuple[Any, ...], float]]]:
    """A pass, and what makes its inputs on the GPU and says when they were complete on the CPU."""
    model, grid, patch = make_case(name, count)
    model.cuda()

    def prepare() -> tuple[tuple[Any, ...], float]:
        pyramid = build_pyramid(grid, model.backbone.config.pyramid)
        lift = build_lift_pyramid(patch, TOKENS, pyramid) if name == "ditr" else None
        made = time.perf_counter()
        image = None if lift is None else ImageFeatures(torch.randn(TOKENS, WIDTH, device="cuda"), lift.to("cuda"))
        return (torch.randn(count, 6, device="cuda"), pyramid.to("cuda"), image), made

    @torch.no_grad()
    def run(*inputs: Any) -> None:
        with torch.autocast("cuda", precision, enabled=precision != torch.float32):
            model(*inputs)

    return run, prepare


def profile_on_gpu(name: str, count: int, precision: torch.dtype) -> None:
    """The kernels that take longest."""
    run, prepare = passes_on_gpu(name, count, precision)
    inputs, _ = prepare()
    run(*inputs)
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        run(*inputs)
        synchronized()
    print(profile.key_averages().table(sort_by="cuda_time_total", row_limit=25, max_name_column_width=60))


def main_on_gpu(arguments: list[str]) -> None:
    print(f"torch {torch.__version__}, {torch.cuda.get_device_name()}")
    if arguments[:1] == ["profile"]:
        profile_on_gpu(arguments[1], int(arguments[2]), torch.bfloat16)
        return
    for precision in (torch.float32, torch.bfloat16):
        for name, count in CASES:
            print(json.dumps(measure_on_gpu(name, count, precision)), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["cuda"]:
        main_on_gpu(sys.argv[2:])
        return
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

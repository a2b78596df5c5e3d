"""Seconds from the launch of a published recipe to its first step, on a CPU, with everything at its full size.

    python benchmarks/start.py

Data: 24 scenes as ``ditr bench --what loader`` has them, in the layout of the published code. The encoder of
``scannet/ditr`` is a ViT-L of random weights, made at launch, which takes longer than reading stored ones. A run's
first step begins when its log says ``steps 0 to N``; what it does then (loading 12 scenes, encoding 120 photographs,
computing) is the step's own time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ditr.studies.bench.scannet_room import write_dataset

RUNS = {"scannet/ptv3": [], "scannet/ditr": ["--encoder", "random:dinov2-large-reg"]}


def seconds_to_first_step(name: str, options: list[str], root: Path, run: Path) -> float:
    """From the launch of the command line; the run is ended then."""
    command = [sys.executable, "-m", "ditr", "train", name, str(run), "--data", str(root), *options, "--quiet"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    log = run / "train.log"
    while process.poll() is None:
        if log.exists() and "steps 0 to" in log.read_text():
            seconds = time.perf_counter() - began
            process.kill()
            process.wait()
            return seconds
        time.sleep(0.02)
    assert process.stdout is not None
    raise SystemExit(f"{name} ended before its first step:\n{process.stdout.read()}")


def main() -> None:
    """Print one line of JSON for each recipe."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "data"
        write_dataset(root)
        (root / "scannet" / "val").symlink_to(root / "scannet" / "train")
        for number, (name, options) in enumerate(RUNS.items()):
            seconds = seconds_to_first_step(name, options, root, Path(folder) / f"run{number}")
            print(json.dumps({"recipe": name, "seconds": round(seconds, 1)}), flush=True)


if __name__ == "__main__":
    main()

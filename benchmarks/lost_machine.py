"""``ditr segment --ray`` on two machines, of which one is killed in the middle; and the same work in two shards.

    python benchmarks/lost_machine.py SCENES MODEL [--after 10]

The machines are nodes of Ray on this one, with a processor each. Afterwards every scene has to have one line and the
labels, to the bit, that one process with one thread gives it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from ray.cluster_utils import Cluster


def command(args: argparse.Namespace, out: Path, *more: str) -> list[str]:
    """``ditr segment`` of all scenes."""
    begin = [sys.executable, "-m", "ditr", "segment", str(args.scenes), "--model", str(args.model), "--device", "cpu"]
    return [*begin, "--out", str(out), *more]


def lines_of(out: Path, pattern: str = "results*.jsonl") -> list[dict[str, object]]:
    """What stands in the ledgers of a folder."""
    return [json.loads(line) for path in sorted(out.glob(pattern)) for line in path.read_text().splitlines()]


def by_ray(args: argparse.Namespace, out: Path) -> dict[str, object]:
    """With a machine that is killed."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        began, killed = time.perf_counter(), 0.0
        with (out.parent / "said").open("w") as said:
            work = subprocess.Popen(command(args, out, "--ray", cluster.address), stdout=said, stderr=said)
            while work.poll() is None:
                if not killed and len(lines_of(out)) >= args.after:
                    cluster.remove_node(second, allow_graceful=False)
                    killed = time.perf_counter() - began
                time.sleep(0.02)
    finally:
        cluster.shutdown()
    told = (out.parent / "said").read_text()
    print(told[-1500:])
    return {
        "status": work.returncode,
        "killed_after": round(killed, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }


def by_shards(args: argparse.Namespace, out: Path) -> dict[str, object]:
    """Two jobs side by side."""
    began = time.perf_counter()
    jobs = [
        subprocess.Popen(command(args, out, "--shard", f"{n}/2", "--workers", "0"), stdout=subprocess.DEVNULL)
        for n in (1, 2)
    ]
    status = [job.wait() for job in jobs]
    return {"status": status, "seconds": round(time.perf_counter() - began, 1)}


def compared(out: Path, alone: Path) -> dict[str, int]:
    """Lines, scenes, scenes with several lines, and scenes whose labels are not those of one process."""
    lines = lines_of(out)
    counts = Counter(str(line["scene"]) for line in lines if line["status"] == "labelled")
    scenes = [path.parent.relative_to(alone) for path in alone.glob("**/label.npy")]
    others = sum(
        not (out / scene / name).exists()
        or not np.array_equal(np.load(out / scene / name), np.load(alone / scene / name))
        for scene in scenes
        for name in ("label.npy", "confidence.npy")
    )
    lost, twice = len(scenes) - len(counts), sum(count > 1 for count in counts.values())
    return {"lines": len(lines), "scenes": len(scenes), "lost": lost, "twice": twice, "other_labels": others}


def main() -> None:
    """Print the figures of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenes", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--after", type=int, default=10, help="scenes that are done when the machine is killed")
    args = parser.parse_args()
    args.scenes, args.model = args.scenes.resolve(), args.model.resolve()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        began = time.perf_counter()
        subprocess.run(command(args, folder / "alone", "--workers", "0"), check=True, stdout=subprocess.DEVNULL)
        print(json.dumps({"way": "one process", "seconds": round(time.perf_counter() - began, 1)}), flush=True)
        for way, run in (("shards", by_shards), ("ray", by_ray)):
            figures = run(args, folder / way)
            print(json.dumps({"way": way, **figures, **compared(folder / way, folder / "alone")}), flush=True)


if __name__ == "__main__":
    main()

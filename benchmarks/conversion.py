"""Time and memory of converting a published checkpoint with its optimizer's state, and of loading what comes out.

    python benchmarks/conversion.py                  # each run in a process of its own
    python benchmarks/conversion.py convert FOLDER   # one run, in this process
    python benchmarks/conversion.py load FOLDER

The checkpoint is DITR with a ViT-L at published size after a step of AdamW, random numbers in the published layout
(``tests/support/published_checkpoints.py``). The clock starts after the imports; memory is that of the whole process.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from ditr.weights.convert import Provenance, convert
from ditr.weights.pretrained import from_pretrained
from ditr.weights.published import published_model

NAME, RUNS = "ditr-scannet200-dinov2-l", 5
TASKS = ("convert", "load")


def make(folder: Path) -> None:
    """Write the checkpoint."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
    from published_checkpoints import ROWS, published_shapes, published_values, write_checkpoint

    row = next(row for row in ROWS if row.name == NAME)
    write_checkpoint(folder / "model_best.pth", published_values(published_shapes(row)), row, trained=True)


def measure(task: str, folder: Path) -> dict[str, float]:
    """Seconds of one run, and the process's largest memory before and after it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    if task == "convert":
        convert(folder / "model_best.pth", folder / "model", Provenance.of(published_model(NAME)))
    else:
        from_pretrained(folder / "model")
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"seconds": seconds, "peak_gb": after / 1e6, "before_gb": before / 1e6}


def in_its_own_process(*arguments: str) -> str:
    return subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True, check=True).stdout


def main() -> None:
    if len(sys.argv) == 3:
        if sys.argv[1] == "make":
            make(Path(sys.argv[2]))
        else:
            print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
        return
    print(f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        in_its_own_process("make", folder)
        print(f"checkpoint {(Path(folder) / 'model_best.pth').stat().st_size / 1e6:.0f} MB")
        print("task     median s  fastest s  process GB (after the imports)")
        for task in TASKS:
            rows = [json.loads(in_its_own_process(task, folder).splitlines()[-1]) for _ in range(RUNS)]
            seconds = [row["seconds"] for row in rows]
            memory = f"{max(row['peak_gb'] for row in rows):8.2f} ({max(row['before_gb'] for row in rows):.2f})"
            print(f"{task:8} {statistics.median(seconds):8.2f} {min(seconds):10.2f} {memory}")


if __name__ == "__main__":
    main()

"""What blending the voxels around a point does to labels (`--smooth`): mIoU on unseen rooms, without and with.

    python benchmarks/smoothing.py RUN ROOMS [RUN ROOMS ...]

Each RUN is a model and ROOMS a folder of labelled captures that it has not seen. The network runs once for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from ditr.captures.folders import find_captures
from ditr.evaluation.evaluate import Evaluation, evaluate
from ditr.inference.segmenter import Segmenter
from ditr.inference.smoothing import Smoothing
from ditr.studies.reproduce.statistics import paired_difference

FIGURES = ("miou", "accuracy", "seen miou", "unseen miou")


def figures(found: Evaluation) -> list[float]:
    """Percent, over the classes that occur."""
    parts = (found.all_points.miou_present, found.all_points.accuracy, found.visible.miou_present)
    return [100 * value for value in (*parts, found.invisible.miou_present)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+")
    folders = parser.parse_args().folders
    rows = []
    for run, rooms in zip(folders[::2], folders[1::2], strict=True):
        segmenter, captures = Segmenter.from_pretrained(run, device="cpu"), find_captures(rooms)
        plain, smooth = (figures(evaluate(segmenter, captures, votes=votes)) for votes in (None, Smoothing()))
        rows.append((plain, smooth))
        print(f"{run}: {np.round(plain, 2)} {np.round(smooth, 2)}", flush=True)
    print(f"| {len(rows)} models | {' | '.join(FIGURES)} |\n|---|{'---|' * len(FIGURES)}")
    for name, number in (("own voxel", 0), ("smooth", 1)):
        means = np.mean([row[number] for row in rows], axis=0)
        print(f"| {name} | {' | '.join(f'{mean:.1f}' for mean in means)} |")
    cells = []
    for column in range(len(FIGURES)):
        found = paired_difference(*([row[number][column] for row in rows] for number in (1, 0)))
        between = "" if found.low is None else f" ({found.low:+.1f} to {found.high:+.1f})"
        cells.append(f"{found.mean:+.1f}{between}")
    print(f"| difference | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

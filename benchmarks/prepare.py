"""How long it takes to prepare a download, on one core.

    PYTHONPATH=tests/support python benchmarks/prepare.py DATASET

Writes a part of a download, as large as it really is, into a temporary folder, reads it and prepares it in this
process. A line for each figure, of processor time. Those of ``scannet`` are of one scene: 2,000 frames of edges,
shading and grain, which take as many bytes as real ones, and 200,000 vertices. Those of ``semantickitti`` are of a
sequence of 200 sweeps of 124,000 points, with photographs of 1241 x 376.
"""

from __future__ import annotations

import argparse
import resource
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import raw_scannet
import raw_semantic_kitti
from scipy.ndimage import gaussian_filter

from ditr.datasets.prepare import check, prepare
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.table import by_name
from ditr.io.sens import SensReader
from ditr.scene import Camera, Scene, View

FRAMES, VERTICES = 2000, 200_000
SWEEPS, POINTS = 200, 124_000


def _photograph(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Edges, shading and grain."""
    blocks = rng.uniform(0, 255, (height // 60 + 1, width // 60 + 1, 3))
    image = np.kron(blocks, np.ones((60, 60, 1)))[:height, :width]
    image += np.stack([gaussian_filter(rng.normal(0, 60, (height, width)), 3) * 6] * 3, axis=2)
    return (image + rng.normal(0, 3, image.shape)).clip(0, 255).astype(np.uint8)


def _depth(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """Metres of slanted surfaces, with the steps of a sensor and holes."""
    down, across = np.mgrid[:height, :width] / width
    slant = np.kron(rng.uniform(0.5, 3, (height // 80 + 1, width // 80 + 1)), np.ones((80, 80)))[:height, :width]
    depth = slant + 0.8 * down + 0.5 * across
    depth = np.round(depth + rng.normal(0, 0.002, depth.shape) * depth, 3)
    return np.where(gaussian_filter(rng.normal(0, 1, depth.shape), 8) * 28 > 1.5, 0, depth)


def write_scannet(root: Path) -> float:
    """One scene as large as ScanNet's are; bytes of a frame."""
    rng = np.random.default_rng(0)
    camera = Camera(1296, 968, 1170.19, 1170.19, 647.75, 483.75)
    shots = [(raw_scannet.jpeg(_photograph(rng, 1296, 968), 85), _depth(rng, 640, 480)) for _ in range(8)]
    side = int(VERTICES**0.5)
    across, down = np.meshgrid(np.arange(side), np.arange(side))
    coord = np.stack([across.ravel() * 0.02, down.ravel() * 0.02, rng.normal(0, 0.01, side * side)], axis=1)
    first = (across + side * down)[:-1, :-1].ravel()
    squares = [(first, first + 1, first + side), (first + 1, first + side + 1, first + side)]
    faces = np.concatenate([np.stack(corners, axis=1) for corners in squares])
    color, label = rng.integers(0, 256, coord.shape, np.uint8), (np.arange(len(coord)) % 3).astype(np.int32)
    view = View("0", camera, np.eye(4), np.zeros((968, 1296, 3), np.uint8), depth=np.zeros((480, 640), np.float32))
    scene = Scene("room", coord, (view,), color, None, None, label, ("floor", "wall", "box"))
    raw_scannet.write_table(root / raw_scannet.TABLE)
    ids = by_name("ScanNet200").labels.to_raw
    written = raw_scannet.write_scene(root, scene, "scene0000_00", "train", ids)
    raw_scannet.write_mesh(written.folder / "scene0000_00_vh_clean_2.ply", scene, faces)
    head = written.sens.read_bytes()[: raw_scannet.places(written.sens)[0][0] - 8] + struct.pack("<Q", FRAMES)
    packed = [(photo, zlib.compress(np.rint(depth * 1000).astype("<u2").tobytes())) for photo, depth in shots]
    with written.sens.open("wb") as file:
        file.write(head)
        for number in range(FRAMES):
            photo, depth = packed[number % len(packed)]
            file.write(np.eye(4, dtype="<f4").tobytes())
            file.write(struct.pack("<4Q", 0, 0, len(photo), len(depth)) + photo + depth)
    return written.sens.stat().st_size / FRAMES


def measure_scannet(folder: Path) -> list[str]:
    """Lines of a table."""
    size = write_scannet(folder / "raw")
    path = folder / "raw" / "scans" / "scene0000_00" / "scene0000_00.sens"
    form = by_name("ScanNet").raw
    assert form is not None
    raw = form.open(folder / "raw", PrepareOptions())
    with SensReader(path) as reader:
        seconds, index = timed(reader.index)
        skipped = seconds / len(index.frames)

        def decode() -> None:
            for frame in index.frames[:200]:
                reader.color(frame).load()
                reader.depth(frame)

        decoded = 200 / timed(decode)[0]
    looked, _ = timed(lambda: check(raw, workers=0))
    whole, done = timed(lambda: prepare("scannet", raw, folder / "scannet", PrepareOptions(), workers=0))
    assert not done.failed
    out = sum(path.stat().st_size for path in folder.glob("scannet*/**/*") if path.is_file())
    megabytes = path.stat().st_size / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    return [
        f"| frame of {size / 1e3:.0f} kB, decoded (JPEG of 1296x968, zlib of 640x480) | {decoded:.0f} a second |",
        f"| frame that is skipped | {skipped * 1e6:.0f} µs |",
        f"| scene of {FRAMES} frames and {VERTICES} vertices, {megabytes:.0f} MB, `--check-only` | {looked:.2f} s |",
        f"| the same, prepared: {FRAMES // 10} frames, digests of all files | {whole:.1f} s, {out / 1e6:.0f} MB |",
        f"| memory of the process | {most:.0f} MB |",
    ]


def _sweep(seed: int) -> Scene:
    """Points, labels and pixels of no meaning, as many as real ones of SemanticKITTI."""
    rng = np.random.default_rng(seed)
    pose = np.eye(4)
    pose[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    image = rng.integers(0, 256, (376, 1241, 3)).astype(np.uint8)
    view = View("image_2", Camera(1241, 376, 718.9, 718.9, 607.7, 185.7), pose, image)
    return Scene(
        f"sweep {seed}",
        rng.uniform(-60, 60, (POINTS, 3)).astype(np.float32).astype(np.float64),
        (view,),
        strength=rng.random(POINTS, np.float32),
        label=rng.integers(-1, 19, POINTS).astype(np.int32),
        class_names=by_name("SemanticKITTI").classes,
    )


def measure_semantic_kitti(folder: Path) -> list[str]:
    """Lines of a table."""
    form = by_name("SemanticKITTI").raw
    assert form is not None
    some = [_sweep(seed) for seed in range(4)]
    root = raw_semantic_kitti.write_raw(folder / "raw", {8: [some[row % 4] for row in range(SWEEPS)]})
    opened = {copy: form.open(root, PrepareOptions(copy=copy)) for copy in (False, True)}
    looked, _ = timed(lambda: check(opened[False], workers=0))
    linked, _ = timed(lambda: prepare("linked", opened[False], folder / "linked", PrepareOptions(), workers=0))
    copies = PrepareOptions(copy=True)
    copied, _ = timed(lambda: prepare("copied", opened[True], folder / "copied", copies, workers=0))
    source = opened[False].source(["val"], True)
    read, _ = timed(lambda: [len(source.scene(index)) for index in range(SWEEPS)])
    return [
        f"| `--check-only`: lengths, all labels, headers of photographs | {SWEEPS / looked:.0f} sweeps a second |",
        f"| the same, and links to all files | {SWEEPS / linked:.0f} sweeps a second |",
        f"| the same, and copies of all files | {SWEEPS / copied:.0f} sweeps a second |",
        f"| read as scenes, photographs not decoded | {SWEEPS / read:.0f} sweeps a second |",
    ]


def timed(call: Callable[[], object]) -> tuple[float, object]:
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


MEASURES = {"scannet": measure_scannet, "semantickitti": measure_semantic_kitti}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=sorted(MEASURES))
    chosen = parser.parse_args().dataset
    with tempfile.TemporaryDirectory() as folder:
        print("\n".join(MEASURES[chosen](Path(folder))))


if __name__ == "__main__":
    main()

"""Seconds and memory to read a COLMAP model of 1,000 images and two million observations, and to fuse 400 depth maps.

    python benchmarks/photographs.py

Models have half a million points, each seen by four images, and photographs of 1920x1080; what is timed is
``read_capture``, with the headers of all photographs. The depth maps are 256x192, of a room seen from its middle.
Prints a line of JSON for each; each is read in a process of its own, twice, of which the second counts.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from ditr.captures.capture import read_capture
from ditr.studies.bench.memory import PeakMemory

IMAGES, OBSERVED, POINTS, SEEN = 1000, 2000, 500_000, 4
MAPS, DEPTH = 400, (192, 256)


def write_photographs(folder: Path, size: tuple[int, int], count: int, ending: str = ".jpg") -> None:
    """One photograph under ``count`` names."""
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(0, 256, (size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    first = folder / f"0{ending}"
    Image.fromarray(noise).resize(size).save(first)
    for number in range(1, count):
        os.link(first, folder / f"{number}{ending}")


def write_binary(folder: Path) -> None:
    """cameras.bin, images.bin and points3D.bin."""
    folder.mkdir(parents=True)
    camera = struct.pack("<QIiQQ8d", 1, 1, 4, 1920, 1080, 1500, 1500, 960, 540, 0.01, 0, 0, 0)
    (folder / "cameras.bin").write_bytes(camera)
    observed = np.zeros(OBSERVED, [("x", "<f8"), ("y", "<f8"), ("point", "<u8")])
    with (folder / "images.bin").open("wb") as file:
        file.write(struct.pack("<Q", IMAGES))
        for number in range(IMAGES):
            file.write(struct.pack("<I7dI", number + 1, 1, 0, 0, 0, number * 0.1, 0, 0, 1))
            file.write(f"{number}.jpg".encode() + b"\0" + struct.pack("<Q", OBSERVED) + observed.tobytes())
    point = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8"), ("n", "<u8")])
    points = np.zeros(POINTS, np.dtype([("point", point), ("track", "<u4", 2 * SEEN)]))
    points["point"]["xyz"] = np.random.default_rng(1).normal(size=(POINTS, 3))
    points["point"]["rgb"] = np.random.default_rng(2).integers(0, 256, (POINTS, 3))
    points["point"]["n"] = SEEN
    (folder / "points3D.bin").write_bytes(struct.pack("<Q", POINTS) + points.tobytes())


def write_text(folder: Path) -> None:
    """cameras.txt, images.txt and points3D.txt."""
    folder.mkdir(parents=True)
    (folder / "cameras.txt").write_text("1 OPENCV 1920 1080 1500 1500 960 540 0.01 0 0 0\n", encoding="utf-8")
    observed = " ".join(["960.123456789 540.987654321 12345"] * OBSERVED)
    with (folder / "images.txt").open("w", encoding="utf-8") as file:
        for number in range(IMAGES):
            file.write(f"{number + 1} 1 0 0 0 {number * 0.1} 0 0 1 {number}.jpg\n{observed}\n")
    places = np.random.default_rng(1).normal(size=(POINTS, 3)).tolist()
    with (folder / "points3D.txt").open("w", encoding="utf-8") as file:
        for number, (x, y, z) in enumerate(places):
            file.write(f"{number} {x} {y} {z} 10 20 30 0.5{' 17 25' * SEEN}\n")


def write_depth(folder: Path) -> None:
    """An RGB-D folder of Open3D's kind: a camera that turns in the middle of a room of 4 x 3 x 4 m."""
    write_photographs(folder / "color", (640, 480), MAPS)
    (folder / "depth").mkdir()
    rows, columns = DEPTH
    across, down = np.meshgrid((np.arange(columns) + 0.5 - 128) / 210, (np.arange(rows) + 0.5 - 96) / 210)
    rays = np.stack([across, down, np.ones_like(across)], axis=2)
    lines = []
    for number in range(MAPS):
        turn = 2 * np.pi * number / MAPS
        rotation = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
        with np.errstate(divide="ignore"):
            depth = (np.array([2.0, 1.5, 2.0]) / np.abs(rays @ rotation.T)).min(axis=2)
        Image.fromarray(np.rint(depth * 1000).astype(np.uint16)).save(folder / "depth" / f"{number}.png")
        pose = np.eye(4)
        pose[:3, :3] = rotation
        lines += [f"{number} {number} {number}\n", *(" ".join(map(str, row)) + "\n" for row in pose.tolist())]
    (folder / "trajectory.log").write_text("".join(lines), encoding="utf-8")


def measure(folder: Path) -> None:
    """Read twice, and print the seconds of the second time and the memory above what the package takes."""
    peak = PeakMemory("cpu")
    for _ in range(2):
        began = time.perf_counter()
        scene = read_capture(folder)
        seconds = time.perf_counter() - began
    above = peak.above()
    found = {"views": len(scene.views), "points": len(scene)}
    print(
        json.dumps({"what": folder.name, "seconds": round(seconds, 2), "MB": above and round(above / 1e6), **found}),
        flush=True,
    )


def main() -> None:
    """Print the figures of all three."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        for name, write in (("colmap-binary", write_binary), ("colmap-text", write_text)):
            write_photographs(root / name / "images", (1920, 1080), IMAGES)
            write(root / name / "sparse")
        write_depth(root / "fused-depth")
        for name in ("colmap-binary", "colmap-text", "fused-depth"):
            subprocess.run([sys.executable, __file__, str(root / name)], check=True)


if __name__ == "__main__":
    main()

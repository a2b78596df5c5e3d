"""How long clouds of other formats take, and how much memory: LAS, LAZ, NumPy, a sweep and text of random points.

    python benchmarks/clouds.py FOLDER [POINTS]

FOLDER gets the files. Each is read in a process of its own. A line for each: seconds, the size of the scene's arrays,
and the most memory beyond what the libraries take, in sizes of these arrays. LAS and LAZ need `ditr[las]`.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from ditr.captures.capture import read_capture


def write(folder: Path, points: int) -> list[Path]:
    """The files, where they are not there."""
    import laspy

    rng = np.random.default_rng(0)
    coord = rng.uniform((0, 0, 0), (200, 200, 20), (points, 3))
    paths = [folder / f"cloud.{ending}" for ending in ("las", "laz", "npy", "bin", "txt")]
    if all(path.exists() for path in paths):
        return paths
    header = laspy.LasHeader(point_format=7, version="1.4")
    header.scales, header.offsets = np.full(3, 1e-3), np.array([500_000.0, 5_400_000.0, 300.0])
    las = laspy.LasData(header)
    las.x, las.y, las.z = (coord + header.offsets).T
    for name in ("red", "green", "blue", "intensity"):
        las[name] = rng.integers(0, 65536, points).astype(np.uint16)
    las["classification"] = rng.integers(1, 7, points).astype(np.uint8)
    las["gps_time"] = rng.uniform(0, 1e5, points)
    las.write(str(paths[0]))
    las.write(str(paths[1]), do_compress=True)
    color = rng.integers(0, 256, (points, 3))
    np.save(paths[2], np.column_stack([coord, color]), allow_pickle=False)
    np.column_stack([coord, rng.random(points)]).astype("<f4").tofile(paths[3])
    few = slice(0, points // 10)
    np.savetxt(paths[4], np.column_stack([coord[few], color[few]]), fmt=["%.3f"] * 3 + ["%d"] * 3)
    return paths


def most_kilobytes() -> int:
    """The most memory that this process had, on Linux."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0])


def measure(path: Path) -> str:
    """Of one file, in this process."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the most until now is forgotten
    before = most_kilobytes()
    begin = time.perf_counter()
    scene = read_capture(path)
    seconds = time.perf_counter() - begin
    held = [scene.coord, scene.color, scene.normal, scene.strength, scene.label, *scene.extra.values()]
    arrays = sum(array.nbytes for array in held if array is not None)
    most = (most_kilobytes() - before) * 1024
    return f"{path.name:10} {len(scene):9d} points {seconds:6.1f} s  {arrays / 1e6:6.0f} MB  {most / arrays:5.2f}x"


def main(folder: str, points: str = "10000000") -> None:
    """Write, and measure each in a process of its own."""
    path = Path(folder)
    if path.is_file():
        print(measure(path))
        return
    path.mkdir(parents=True, exist_ok=True)
    for file in write(path, int(points)):
        subprocess.run([sys.executable, __file__, str(file)], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How many sweeps of a drive are read in a second: bags of every kind, and a sequence of KITTI odometry.

    python benchmarks/drives.py FOLDER [SWEEPS]

Writes drives of SWEEPS (100) sweeps of 106,000 points, the bags with six JPEG photographs of 960x540 and tf at 50 Hz,
the sequence with one PNG of 1242x375, into FOLDER where they are not there. Each is opened and read to its end in a
process of its own. A line for each: seconds to open it, sweeps a second of processor time (of both processes of a bag),
with photographs as they are stored and with all of them decoded. Needs `ditr[ros]`.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from bags import KINDS, SECOND, START, Bagged, Shown, write_bag
from kitti_trees import write_odometry

from ditr.captures.capture import read
from ditr.captures.images import read_image
from ditr.scene import Camera, Scene, View

POINTS, CAMERAS, SIZE = 106_000, 6, (960, 540)


def noise(size: tuple[int, int], form: str, seed: int) -> bytes:
    """A photograph of about the bytes that one of a street has."""
    small = np.random.default_rng(seed).integers(0, 256, (size[1] // 6, size[0] // 6, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(small).resize(size).save(stream, form)
    return stream.getvalue()


def write(folder: Path, kind: str, sweeps: int) -> Path:
    """A drive of one kind, where it is not there."""
    path = folder / (f"{kind}.bag" if kind.startswith("bag") else kind)
    if path.exists():
        return path
    rng = np.random.default_rng(0)
    coord = (rng.normal(size=(POINTS, 3)) * (30, 30, 2)).astype(np.float32).astype(np.float64)
    strength = rng.random(POINTS).astype(np.float32)
    if kind == "kitti":
        camera = Camera(1242, 375, 720.0, 720.0, 621.0, 187.0)
        view = View(
            "image_2", camera, np.eye(4)[[1, 2, 0, 3]] * [[-1], [-1], [1], [1]], np.zeros((375, 1242, 3), np.uint8)
        )
        write_odometry([Scene("s", coord, (view,), strength=strength)] * sweeps, path, [np.eye(4)] * sweeps)
        picture = noise((1242, 375), "PNG", 0)
        for file in (path / "image_2").iterdir():
            file.write_bytes(picture)
        return path
    camera = Camera(*SIZE, 500.0, 500.0, 480.0, 270.0)
    pictures = [noise(SIZE, "JPEG", number) for number in range(CAMERAS)]
    bagged = []
    for number in range(sweeps):
        stamp = START + number * SECOND // 10
        views = [View(f"camera_{i}", camera, np.eye(4), pictures[i]) for i in range(CAMERAS)]
        shown = [Shown(view.name, view, stamp + 10_000_000 * i, np.eye(4)) for i, view in enumerate(views)]
        bagged.append(Bagged(Scene("s", coord, strength=strength), stamp, shown))
    poses = [(START + number * SECOND // 50, np.eye(4)) for number in range(-5, sweeps * 5 + 10)]
    for number, (_, pose) in enumerate(poses):
        pose[0, 3] = 0.2 * number
    write_bag(path, kind, bagged, poses, np.eye(4))
    return path


def processor_seconds(child: int | None) -> float:
    """Of this process, and of the one that has the bag open."""
    used = time.process_time()
    if child is not None:
        fields = Path(f"/proc/{child}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def children() -> list[int]:
    """Processes that this one started and that still run."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return [int(word) for word in text.split()]


def measure(path: Path) -> str:
    """Of one drive, in this process."""
    begin = time.perf_counter()
    drive = read(path)
    opened = time.perf_counter() - begin
    assert not isinstance(drive, Scene)
    child = next(iter(children()), None)
    rates = []
    for decode in (False, True):
        before = processor_seconds(child)
        for scene in drive:
            for view in scene.views if decode else ():
                read_image(view)
        rates.append(len(drive) / (processor_seconds(child) - before))
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())
    figures = f"opened in {opened:5.2f} s  {rates[0]:6.1f} sweeps/s  decoded {rates[1]:6.1f}"
    return f"{path.name:16} {size / 1e6:6.0f} MB  {figures}"


def main(folder: str, sweeps: str = "100") -> None:
    """Write, and measure each in a process of its own."""
    path = Path(folder)
    if sweeps == "measure":
        print(measure(path), flush=True)
        return
    path.mkdir(parents=True, exist_ok=True)
    for kind in (*KINDS, "kitti"):
        drive = write(path, kind, int(sweeps))
        subprocess.run([sys.executable, __file__, str(drive), "measure"], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

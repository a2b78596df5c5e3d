"""How fast Streets are made: ``python benchmarks/streets.py [--scans 8]``; its output is in ``streets.md``.

Scans are whole ones at scale 1: the street is built, swept and photographed, in one process. The processor's time is
given beside the clock's, because others may use the machine.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from ditr.doctor.machine import describe_devices
from ditr.worlds.streets import StreetsConfig, StyleName, build_street, make_scan, write_streets

STYLES: tuple[StyleName, ...] = ("nuscenes", "waymo", "kitti")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=8)
    count = parser.parse_args().scans
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    print(f"{describe_devices()[0].title}, {os.cpu_count()} processors, one process, load {os.getloadavg()[0]:.1f}")
    for style in STYLES:
        config = StreetsConfig(style=style, count=count)
        make_scan(config, 0)
        clock, busy = time.perf_counter(), time.process_time()
        scans = [make_scan(config, index) for index in range(count)]
        clock, busy = time.perf_counter() - clock, time.process_time() - busy
        points, views = sum(map(len, scans)) // count, scans[0].views
        triangles = len(build_street(config, 0).mesh)
        size = f"{views[0].camera.width}x{views[0].camera.height}"
        print(f"{style}: {points:,} points, {len(views)} views of {size}, {triangles:,} triangles")
        print(f"  scans per second: {count / busy:.1f} of the processor's time, {count / clock:.1f} on the clock")
    with tempfile.TemporaryDirectory() as folder:
        busy = time.process_time()
        write_streets(folder, StreetsConfig(count=count), workers=1)
        busy = time.process_time() - busy
        stored = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    print(
        f"nuscenes, written: {count / busy:.1f} scans per second of the processor, {stored / count / 1e6:.1f} MB each"
    )


if __name__ == "__main__":
    main()

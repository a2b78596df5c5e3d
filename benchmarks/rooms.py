"""How fast Rooms are made: ``python benchmarks/rooms.py [--processes 2]``; its output is in ``rooms.md``.

Frames are views with colour, depth and label at 320x240, with sensor noise, from rooms that are built already; rooms
are whole ones at the default size, written as captures.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time

import numpy as np

from ditr.doctor.machine import describe_devices
from ditr.worlds.common.rays import RayCaster
from ditr.worlds.rooms import RoomsConfig, build_room, write_rooms
from ditr.worlds.rooms.camera_path import choose_camera, choose_poses
from ditr.worlds.rooms.sensor import Sensor

FRAMES = 64


def photograph(room_index: int) -> tuple[float, float]:
    """Seconds on the clock, and of the processor, for ``FRAMES`` views of one room."""
    config = RoomsConfig(width=320, height=240)
    room = build_room(config, "train", room_index)
    sensor = Sensor(room, RayCaster(room.mesh))
    rng = np.random.default_rng(0)
    camera = choose_camera(rng, config)
    poses = choose_poses(rng, room.plan, FRAMES)
    sensor.render(camera, poses[0], rng)
    start, busy = time.perf_counter(), time.process_time()
    for pose in poses:
        sensor.render(camera, pose, rng)
    return time.perf_counter() - start, time.process_time() - busy


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=2)
    count = parser.parse_args().processes
    os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    processor = describe_devices()[0].title
    print(f"{processor}, {os.cpu_count()} processors, {count} processes, load {os.getloadavg()[0]:.1f}")
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        seconds = pool.map(photograph, range(count), chunksize=1)
    rate, each = sum(FRAMES / clock for clock, _ in seconds), sum(busy for _, busy in seconds) / count / FRAMES
    print(f"frames per second at 320x240: {rate:.0f} ({1000 * each:.0f} ms of one processor each)")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        rooms = write_rooms(folder, RoomsConfig(), workers=count)
        took = time.perf_counter() - start
    print(f"{len(rooms)} rooms of 8 views at 308x224, written: {took:.1f} s")


if __name__ == "__main__":
    main()

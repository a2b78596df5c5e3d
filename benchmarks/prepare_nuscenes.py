"""How fast nuScenes is read and prepared from its download, and how much memory tables of the size of trainval take.

    python benchmarks/prepare_nuscenes.py tables FOLDER
    python benchmarks/prepare_nuscenes.py sweeps FOLDER [KEYFRAMES]

``tables`` writes the tables of 850 drives with 2.6 million files (2.5 GB) into FOLDER where they are not there, and
opens them in a process of its own: seconds, and the largest resident size. ``sweeps`` writes a drive of KEYFRAMES (40)
keyframes of 34,688 points with six JPEG photographs of 1600x900 each, and nine turns before each: keyframes a second of
processor time that are checked, prepared and read, also with all photographs decoded.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from raw_nuscenes import CAMERAS, CATEGORIES, START, Drive, Shot, Turn, rigid, write_nuscenes_raw

from ditr.captures.images import read_image
from ditr.datasets.nuscenes.raw import open_download
from ditr.datasets.prepare import check, prepare
from ditr.datasets.raw import PrepareOptions
from ditr.datasets.table import open_dataset
from ditr.scene import Camera, Scene, SceneSource

SCENES, SAMPLES = 850, 34_149
POINTS = 34_688
CHANNELS = ("LIDAR_TOP", *CAMERAS, *(f"RADAR_{number}" for number in range(5)))
ROWS = (10, *(6,) * 6, 7, 6, 6, 6, 6)
"""Files of each channel for a keyframe."""


# ---- tables ---------------------------------------------------------------------------------------------------------


def token(kind: int, number: int) -> str:
    return f"{kind:02x}{number * 2654435761 % (1 << 120):030x}"


def rows_of_data() -> Iterator[tuple[dict[str, object], dict[str, object]]]:
    """Rows of sample_data and of ego_pose."""
    count = 0
    for sample in range(SAMPLES):
        for channel, (name, files) in enumerate(zip(CHANNELS, ROWS, strict=True)):
            for number in range(files):
                own, key, stamp = token(3, count), number == files - 1, START + sample * 500_000 + number * 50_000
                kind = "jpg" if name.startswith("CAM") else "pcd"
                place = f"{'samples' if key else 'sweeps'}/{name}/n015-2018-07-24-11-22-45+0800__{name}__{stamp}.{kind}"
                yield (
                    {"token": own, "sample_token": token(2, sample), "ego_pose_token": own,
                     "calibrated_sensor_token": token(1, sample * SCENES // SAMPLES * 12 + channel), "timestamp": stamp,
                     "fileformat": kind, "is_key_frame": key, "height": 900, "width": 1600, "filename": place,
                     "prev": token(3, count - 1) if number else "", "next": token(3, count + 1)},
                    {"token": own, "timestamp": stamp, "translation": [411.3039349319818, 1180.8903791765097, 0.0],
                     "rotation": [0.5720320396729045, -0.0016977771610471074, 0.011798001930183783, -0.82014466424578]},
                )  # fmt: skip
                count += 1


def write_tables(root: Path) -> Path:
    folder = root / "v1.0-trainval"
    if (folder / "ego_pose.json").exists():
        return root
    folder.mkdir(parents=True)
    drive_of = [sample * SCENES // SAMPLES for sample in range(SAMPLES)]
    counts = np.bincount(drive_of).tolist()
    mount = {"translation": [0.9, 0.0, 1.8], "rotation": [1.0, 0.0, 0.0, 0.0]}
    k = [[1266.4, 0.0, 816.2], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
    calibrated = (
        {"token": token(1, scene * 12 + channel), "sensor_token": name} | mount
        | {"camera_intrinsic": k if name.startswith("CAM") else []}
        for scene in range(SCENES) for channel, name in enumerate(CHANNELS)
    )  # fmt: skip
    key_of_lidar = sum(ROWS)
    lidar = [token(3, sample * key_of_lidar + ROWS[0] - 1) for sample in range(SAMPLES)]
    small = {
        "category": [{"token": name, "name": name, "index": number} for number, name in enumerate(CATEGORIES)],
        "sensor": [{"token": name, "channel": name, "modality": "any"} for name in CHANNELS],
        "scene": [{"token": token(0, n), "name": f"scene-{n:04d}", "nbr_samples": counts[n]} for n in range(SCENES)],
        "sample": [{"token": token(2, n), "scene_token": token(0, drive_of[n])} for n in range(SAMPLES)],
        "calibrated_sensor": list(calibrated),
        "lidarseg": [{"sample_data_token": name, "filename": f"lidarseg/v1.0-trainval/{name}_lidarseg.bin"}
                     for name in lidar],
    }  # fmt: skip
    for name, rows in small.items():
        (folder / f"{name}.json").write_text(json.dumps(rows, indent=0), encoding="utf-8")
    with (folder / "sample_data.json").open("w") as data, (folder / "ego_pose.json").open("w") as poses:
        before = "[\n"
        for first, second in rows_of_data():
            data.write(before + json.dumps(first, indent=0))
            poses.write(before + json.dumps(second, indent=0))
            before = ",\n"
        data.write("\n]")
        poses.write("\n]")
    return root


def open_tables(root: Path) -> None:
    begin = time.process_time()
    raw = open_download(root, PrepareOptions())
    seconds = time.process_time() - begin
    frames = sum(len(drive.frames) for drive in raw.drives)
    faults = sum(len(drive.row_faults) for drive in raw.drives)
    size = sum(path.stat().st_size for path in (root / "v1.0-trainval").iterdir())
    print(
        f"{size / 1e9:.2f} GB of tables, {len(raw.drives)} drives, {frames} keyframes, {faults} faults: {seconds:.0f} s"
    )
    source = raw.source(["val"], True)
    print(f"{len(source)} keyframes of val as scenes: {time.process_time() - begin - seconds:.1f} s")
    peak = Path("/proc/self/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]
    print(f"largest resident size: {int(peak) / 1e6:.2f} GB")


# ---- sweeps ---------------------------------------------------------------------------------------------------------


def write_sweeps(root: Path, keyframes: int) -> Path:
    if root.exists():
        return root
    rng = np.random.default_rng(0)
    coord = (rng.normal(size=(POINTS, 3)) * (20, 20, 1)).astype(np.float32).astype(np.float64)
    scene = Scene("turn", coord, strength=rng.integers(0, 256, POINTS).astype(np.float32),
                  label=rng.integers(-1, 16, POINTS).astype(np.int32),
                  extra={"ring": rng.integers(0, 32, POINTS)})  # fmt: skip
    camera = Camera(1600, 900, 1266.4, 1266.4, 816.2, 491.5)
    stream, small = io.BytesIO(), rng.integers(0, 256, (150, 266, 3), dtype=np.uint8)
    Image.fromarray(small).resize((1600, 900)).save(stream, "JPEG", quality=60)
    picture = root.parent / "photograph.jpg"
    root.parent.mkdir(parents=True, exist_ok=True)
    picture.write_bytes(stream.getvalue())
    turns = []
    for number in range(10 * keyframes):
        stamp, vehicle = START + 50_000 * number, rigid((0.0, 0.0, 0.0), (0.4 * number, 0.0, 0.0))
        shots = tuple(Shot(name, picture, camera, stamp - 20_000, vehicle, np.eye(4)) for name in CAMERAS)
        turns.append(Turn(scene, stamp, vehicle, shots if number % 10 == 9 else ()))
    return write_nuscenes_raw(root, [Drive("scene-0061", tuple(turns), np.eye(4))])


def rate(what: str, count: int, begin: float) -> None:
    seconds = time.process_time() - begin
    print(f"{what}: {count / seconds:.0f} keyframes a second of processor time")


def read(what: str, source: SceneSource, *, decode: bool) -> None:
    begin = time.process_time()
    for index in range(len(source)):
        scene = source.scene(index)
        for view in scene.views if decode else ():
            read_image(view)
    rate(what, len(source), begin)


def measure(root: Path, keyframes: int) -> None:
    out = root.parent / "prepared"
    shutil.rmtree(out, ignore_errors=True)
    raw = open_download(root, PrepareOptions())
    begin = time.process_time()
    assert not check(raw, workers=0).faults
    rate("checked", keyframes, begin)
    begin = time.process_time()
    assert not prepare("nuScenes", raw, out, PrepareOptions(), workers=0).failed
    rate("prepared", keyframes, begin)
    for decode in (False, True):
        with_images = ", photographs decoded" * decode
        read(f"download to scenes{with_images}", raw.source(["train"], True), decode=decode)
        read(f"prepared to scenes{with_images}", open_dataset("nuScenes", out, "train"), decode=decode)


def main() -> None:
    what, folder = sys.argv[1], Path(sys.argv[2])
    if what == "tables":
        write_tables(folder / "tables")
        # A process of its own, whose largest size is that of reading.
        subprocess.run([sys.executable, __file__, "open", str(folder)], check=True)
    elif what == "open":
        open_tables(folder / "tables")
    else:
        keyframes = int(sys.argv[3]) if len(sys.argv) > 3 else 40
        measure(write_sweeps(folder / "sweeps", keyframes), keyframes)


if __name__ == "__main__":
    main()

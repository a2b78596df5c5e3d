"""Clouds in files of other formats, written by the libraries that others write them with, and damaged copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from ditr.captures import apart
from ditr.io.ply import write_ply
from ditr.scene import Scene


def write_las(scene: Scene, path: Path) -> None:
    """LAS 1.4 or LAZ in steps of 1e-4 m, colours of 16 bits, labels as classifications from 2 on."""
    import laspy

    header = laspy.LasHeader(point_format=7, version="1.4")
    header.offsets, header.scales = np.floor(scene.coord.min(axis=0)), np.full(3, 1e-4)
    las = laspy.LasData(header)
    las.x, las.y, las.z = scene.coord.T
    las.red, las.green, las.blue = scene.color.T.astype(np.uint16) * 257
    las.intensity = np.arange(len(scene)) % 5000
    las["classification"] = (scene.label + 2).clip(1)
    las.write(str(path))


def write_pcd(scene: Scene, path: Path, encoding: str = "binary") -> None:
    from pypcd4 import Encoding, PointCloud

    columns = [*scene.coord.T.astype(np.float32), PointCloud.encode_rgb(scene.color).ravel(), *scene.normal.T]
    columns.append(scene.label.astype(np.int32))
    names = ("x", "y", "z", "rgb", "normal_x", "normal_y", "normal_z", "label")
    cloud = PointCloud.from_points(columns, names, (*[np.float32] * 7, np.int32))
    cloud.save(path, encoding=Encoding(encoding))


def write_e57(scene: Scene, path: Path, scans: int = 2) -> None:
    """Each scan is turned about z and moved, which its pose undoes."""
    import pye57

    file = pye57.E57(str(path), mode="w")
    for index, rows in enumerate(np.array_split(np.arange(len(scene)), scans)):
        angle, move = 0.3 + index, np.array([1.0, -2.0, 0.5 * index])
        turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
        x, y, z = ((scene.coord[rows] - move) @ turn).T
        colors = dict(zip(("colorRed", "colorGreen", "colorBlue"), scene.color[rows].T, strict=True))
        places = {"cartesianX": x, "cartesianY": y, "cartesianZ": z, "intensity": np.linspace(0, 1, len(rows))}
        quaternion = np.array([np.cos(angle / 2), 0, 0, np.sin(angle / 2)])
        file.write_scan_raw({**places, **colors}, rotation=quaternion, translation=move)
    file.close()


def write_text(
    scene: Scene, path: Path, header: str = "x y z red green blue nx ny nz label", delimiter: str = " "
) -> None:
    values = np.column_stack([scene.coord, scene.color, scene.normal, scene.label])
    np.savetxt(path, values, fmt=["%.9g"] * 3 + ["%d"] * 3 + ["%.9g"] * 3 + ["%d"], header=header, comments="",
               delimiter=delimiter)  # fmt: skip


def write_array(scene: Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds = [("coord", "f8", 3), ("color", "u1", 3), ("normal", "f4", 3), ("label", "i4")]
    rows = np.empty(len(scene), dtype=kinds)
    rows["coord"], rows["color"], rows["normal"], rows["label"] = scene.coord, scene.color, scene.normal, scene.label
    np.save(path, rows, allow_pickle=False)


def write_sweep(scene: Scene, path: Path) -> None:
    """KITTI's two files; labels are car, road and building."""
    strength = np.linspace(0, 1, len(scene))
    np.column_stack([scene.coord, strength]).astype("<f4").tofile(path)
    np.array([10, 40, 50, 0], "<u4")[scene.label].tofile(path.with_suffix(".label"))


def write_points(scene: Scene, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ply(path, dict(zip("xyz", scene.coord.T.astype(np.float32), strict=True)))


def write_mesh(path: Path, subdivisions: int = 4) -> None:
    """A ball of 2 m with coloured vertices, by trimesh."""
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions, radius=1.0)
    colors = np.column_stack([(np.asarray(ball.vertices) + 1) * 127, np.full(len(ball.vertices), 255)])
    ball.visual = trimesh.visual.ColorVisuals(ball, vertex_colors=colors.astype(np.uint8))
    ball.export(path)


def write_textured(path: Path, side: int = 0) -> None:
    """A ball of 2 m with an image around it, by trimesh: of noise, or of one colour and ``side`` pixels."""
    import trimesh
    from PIL import Image

    ball = trimesh.creation.icosphere(2)
    x, y, z = np.asarray(ball.vertices).T
    around = np.column_stack([np.arctan2(y, x) / (2 * np.pi) + 0.5, z / 2 + 0.5])
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    image = Image.new("RGB", (side, side), (200, 100, 50)) if side else Image.fromarray(noise)
    if path.suffix == ".obj":
        material = trimesh.visual.material.SimpleMaterial(image=image)
    else:
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=image)
    ball.visual = trimesh.visual.TextureVisuals(uv=around, material=material)
    ball.export(path)


def write_old_laz(scene: Scene, path: Path) -> None:
    """LAZ of a point format whose points are compressed one after the other, and not in layers."""
    import laspy

    las = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    las.header.scales = np.full(3, 1e-4)
    las.x, las.y, las.z = scene.coord.T
    las.red, las.green, las.blue = scene.color.T.astype(np.uint16) * 257
    las.write(str(path), do_compress=True)


WRITERS: dict[str, Callable[[Scene, Path], object]] = {
    "cloud.ply": write_points,
    "cloud.las": write_las,
    "cloud.laz": write_las,
    "old.laz": write_old_laz,
    "ascii.pcd": lambda scene, path: write_pcd(scene, path, "ascii"),
    "binary.pcd": write_pcd,
    "compressed.pcd": lambda scene, path: write_pcd(scene, path, "binary_compressed"),
    "cloud.e57": write_e57,
    "cloud.csv": lambda scene, path: write_text(scene, path, "x,y,z,r,g,b,nx,ny,nz,label", ","),
    "cloud.txt": write_text,
    "cloud.npy": write_array,
    "cloud.bin": write_sweep,
    "mesh.obj": lambda scene, path: write_mesh(path, 2),
    "mesh.glb": lambda scene, path: write_mesh(path, 2),
    "mesh.stl": lambda scene, path: write_mesh(path, 2),
    "mesh.ply": lambda scene, path: write_mesh(path, 2),
    "textured.glb": lambda scene, path: write_textured(path),
}


def mutants(data: bytes, count: int, seed: int = 0) -> Iterable[bytes]:
    """Damaged copies: changed bytes and numbers (rather near the beginning), cuts, repeats, and parts that are zero."""
    rng = np.random.default_rng([seed, len(data)])
    numbers = [
        b"\0" * 4,
        b"\xff" * 4,
        b"\xff" * 8,
        b"\xff\xff\xff\x7f",
        b"\0\0\0\x80",
        b"9999999999",
        b"-1",
        b"nan",
        b"\n",
    ]
    for _ in range(count):
        mutant = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            span = len(mutant) if rng.random() < 0.4 else min(len(mutant), 600)
            place = int(rng.integers(0, max(1, span)))
            kind = rng.integers(0, 6)
            if kind == 0:
                mutant[place : place + 1] = bytes([int(rng.integers(0, 256))])
            elif kind == 1:
                number = numbers[int(rng.integers(0, len(numbers)))]
                mutant[place : place + len(number)] = number
            elif kind == 2:
                del mutant[place:]
            elif kind == 3:
                mutant[place:place] = mutant[place : place + int(rng.integers(1, 64))]
            elif kind == 4:
                mutant[place : place + 32] = bytes(len(mutant[place : place + 32]))
            else:
                del mutant[place : place + int(rng.integers(1, 16))]
        yield bytes(mutant)


def with_checksums(data: bytes) -> bytes:
    """An E57 file of 1024-byte pages whose checksums (CRC-32C) are right again, so that damage gets past them."""
    pages = [data[at : at + 1020].ljust(1020, b"\0") for at in range(0, len(data), 1024)]
    crc = np.full(len(pages), 0xFFFFFFFF, dtype=np.uint32)
    for column in np.frombuffer(b"".join(pages), np.uint8).reshape(-1, 1020).T:
        crc = _CRC_TABLE[(crc ^ column) & 255] ^ (crc >> 8)
    return b"".join(page + int(c ^ 0xFFFFFFFF).to_bytes(4, "big") for page, c in zip(pages, crc, strict=True))


def _crc_table() -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table


_CRC_TABLE = _crc_table()


# Reads every file named on its input where a reader would read it, with the limits that it has in a process of its own,
# and writes what happened. The most memory is what was resident beyond that before.
_SET_UP = """
import json, resource, sys
from importlib import import_module
from pathlib import Path
from ditr.captures import apart, clouds, sources
from ditr.errors import InputError
from ditr.scene import ReadOptions

def here(path, name):
    module, size = import_module(apart._READERS[name]), path.stat().st_size
    apart.limit_memory(apart._MEMORY + apart._TIMES * size)
    needed = apart.guarded(path, module.memory_of)
    apart.limit_memory(apart._MEMORY + max(apart._TIMES * size, needed))
    return apart.guarded(path, module.cloud_of)

for module in (sources.las, sources.e57, sources.mesh, sources.ply):
    module.read_apart = here
for name in ("laspy", "lazrs", "lzf", "pye57", "trimesh", "PIL.Image", "scipy.spatial"):
    import_module(name)

def read(path):
    return len(sources.read_source(path, ReadOptions()))
"""
_LOOP = """
from ditr.captures.apart import limit_memory
from watched import MOST, TIMES, Watched

for line in sys.stdin:
    path, watched = Path(json.loads(line)), Watched()
    size = sum(file.stat().st_size for file in (path.rglob("*") if path.is_dir() else [path]))
    limit_memory(MOST + TIMES * size)
    with watched.reading(size):
        try:
            outcome = f"read {read(path)}"
        except InputError as error:
            outcome = f"InputError {error}"
        except BaseException as error:
            outcome = f"{type(error).__name__} {error}"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
    print(json.dumps([outcome, watched.seconds, watched.memory]), flush=True)
"""


class Victim:
    """A process that reads damaged files; where it dies of one, another takes its place."""

    def __init__(self, set_up: str = _SET_UP) -> None:
        """``set_up`` is a program that defines ``read``, which takes a path."""
        self.program = set_up + _LOOP
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()

    def read(self, path: Path) -> tuple[str, float, int]:
        """What came of a file, the seconds, and the most memory; "died" where that was the process's end."""
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", self.program],
                env={**apart.environment(), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            )  # fmt: skip
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(str(path)) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            _, said = self.process.communicate()
            self.process = None
            return f"died {said[-500:]}", 0.0, 0
        outcome, seconds, memory = json.loads(line)
        return outcome, seconds, memory

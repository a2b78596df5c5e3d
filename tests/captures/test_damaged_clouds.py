"""Damaged files of every format are an error that names the file, or points: never a crash, and little memory."""

from __future__ import annotations

import shutil
import sys
import zlib
from pathlib import Path

import cloud_files
import pytest
from small_world import make_scene
from watched import Watched

from ditr.captures.apart import read_apart
from ditr.captures.mesh_files import texture_pixels
from ditr.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")
APART = {"laz": "laz", "e57": "e57", "obj": "mesh", "glb": "mesh", "stl": "mesh"}


def survive(folder: Path, name: str, count: int, of: str = "") -> None:
    """Read damaged copies of a file (or of one that lies beside it, ``of``), and judge what came of them."""
    sound = folder / name
    cloud_files.WRITERS[name](make_scene(5, views=0, points=120), sound)
    ending = name.rpartition(".")[2]
    damaged = folder / f"damaged.{ending}"
    changed = damaged.with_suffix(of) if of else damaged
    if of:
        shutil.copy(sound, damaged)
    read, worst = 0, Watched()
    with cloud_files.Victim() as victim:
        outcome, _, _ = victim.read(sound)
        assert outcome.startswith("read ")
        whole = sound.with_suffix(of).read_bytes() if of else sound.read_bytes()
        for number, data in enumerate(cloud_files.mutants(whole, count)):
            changed.write_bytes(cloud_files.with_checksums(data) if ending == "e57" and number % 4 else data)
            outcome, seconds, memory = victim.read(damaged)
            if outcome.startswith("died"):
                print(name, number, outcome)
                outcome, seconds, memory = victim.read(damaged)  # in a new process: the first had read thousands
            worst.see(seconds, memory, damaged.stat().st_size)
            if outcome.startswith("died") and ending in APART:
                with pytest.raises(InputError, match="its reader stopped"):
                    read_apart(damaged, APART[ending])
                continue
            kept = folder / f"kept_{number}.{ending}"
            if not outcome.startswith(("read ", f"InputError {damaged}", f"InputError {changed}")):
                kept.write_bytes(data)
            assert not kept.exists(), f"{kept}: {outcome}"
            read += outcome.startswith("read ")
    print(f"{name}{of}: {count} damaged files, {read} of them read, {worst}")
    assert worst.seconds < 5 and worst.beyond < 0


CASES = [*((name, "") for name in cloud_files.WRITERS), ("cloud.bin", ".label")]


@pytest.mark.parametrize(("name", "of"), CASES)
def test_damaged_files(tmp_path: Path, name: str, of: str) -> None:
    survive(tmp_path, name, 50, of)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "of"), CASES)
def test_many_damaged_files(tmp_path: Path, name: str, of: str) -> None:
    survive(tmp_path, name, 10_000, of)


def test_layers_of_a_chunk_that_promise_more_than_it_holds_are_refused(tmp_path: Path) -> None:
    """Their sizes stand behind the first point; the decoder allocates them before it reads."""
    import laspy

    path = tmp_path / "cloud.laz"
    cloud_files.write_las(make_scene(5, views=0, points=120), path)
    with laspy.open(path) as reader:
        header = reader.header
    data = bytearray(path.read_bytes())
    sizes = header.offset_to_point_data + 8 + header.point_format.size + 4
    data[sizes : sizes + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    with pytest.raises(InputError, match="declares more points than it holds"):
        read_apart(path, "laz")


@pytest.mark.parametrize("name", ["textured.glb", "textured.obj"])
def test_textures_may_be_large_in_a_small_file(tmp_path: Path, name: str) -> None:
    """3000 x 3000 pixels of one colour are some kB, and take 180 MB on the way to colours."""
    path = tmp_path / name
    cloud_files.write_textured(path, side=3000)
    assert path.stat().st_size < 1 << 20 and texture_pixels(path) == 3000**2
    assert len(read_apart(path, "mesh").columns["x"]) == 200_000


def test_an_image_cannot_promise_more_pixels_than_its_bytes_hold(tmp_path: Path) -> None:
    path = tmp_path / "textured.glb"
    cloud_files.write_textured(path)
    data = bytearray(path.read_bytes())
    head = data.index(b"IHDR")
    data[head + 4 : head + 12] = (12_000).to_bytes(4, "big") * 2
    data[head + 17 : head + 21] = zlib.crc32(data[head : head + 17]).to_bytes(4, "big")
    path.write_bytes(data)
    assert texture_pixels(path) < 1100 * path.stat().st_size
    data[12:16] = (1 << 31).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="does not fit into"):
        read_apart(path, "mesh")

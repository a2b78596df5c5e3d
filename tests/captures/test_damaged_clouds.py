"""Damaged files of every format are an error that names the file, or points: never a crash, and little memory."""

from __future__ import annotations

import sys
from pathlib import Path

import cloud_files
import pytest
from small_world import make_scene

from ditr.captures.apart import read_apart
from ditr.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by a call of Linux")
APART = {"laz": "laz", "e57": "e57", "obj": "mesh", "glb": "mesh", "stl": "mesh"}


def survive(folder: Path, name: str, count: int) -> None:
    """Read damaged copies of a file, and judge what came of them."""
    sound = folder / name
    cloud_files.WRITERS[name](make_scene(5, views=0, points=120), sound)
    ending = name.rpartition(".")[2]
    damaged = folder / f"damaged.{ending}"
    read, longest = 0, 0.0
    with cloud_files.Victim(256 if ending in APART else 64) as victim:
        outcome, _ = victim.read(sound)
        assert outcome.startswith("read ")
        for number, data in enumerate(cloud_files.mutants(sound.read_bytes(), count)):
            if ending == "e57" and number % 4:
                data = cloud_files.with_checksums(data)
            damaged.write_bytes(data)
            outcome, seconds = victim.read(damaged)
            if outcome.startswith("died"):
                print(name, number, outcome)
                outcome, seconds = victim.read(damaged)  # in a new process: the first had read thousands
            longest = max(longest, seconds)
            if outcome.startswith("died") and ending in APART:
                with pytest.raises(InputError, match="its reader stopped"):
                    read_apart(damaged, APART[ending])
                continue
            kept = folder / f"kept_{number}.{ending}"
            if not outcome.startswith(("read ", f"InputError {damaged}")):
                kept.write_bytes(data)
            assert not kept.exists(), f"{kept}: {outcome}"
            read += outcome.startswith("read ")
    print(f"{name}: {count} damaged files, {read} of them read, the longest took {longest:.2f} s")
    assert longest < 5


@pytest.mark.parametrize("name", cloud_files.WRITERS)
def test_damaged_files(tmp_path: Path, name: str) -> None:
    survive(tmp_path, name, 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", cloud_files.WRITERS)
def test_many_damaged_files(tmp_path: Path, name: str) -> None:
    survive(tmp_path, name, 10_000)

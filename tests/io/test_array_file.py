"""Arrays of NumPy's are mapped, and what is damaged is named, however NumPy's parser fails."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.captures.images import read_depth
from ditr.datasets.arrays import load_array
from ditr.errors import InputError
from ditr.io.array_file import map_array

SOUND = "{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }"


def with_header(text: str, data: bytes = bytes(32)) -> bytes:
    header = text.encode("latin1")
    header += b" " * (-(11 + len(header)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HEADERS = {
    "open brackets": "(" * 300,
    "too deep": "{'descr': " + "-" * 5000 + "1, 'fortran_order': False, 'shape': (4,), }",
    "a list as key": SOUND.replace("'fortran_order'", "[1]"),
    "a number beyond 64 bits": SOUND.replace("4", "9" * 23),
    "no type": SOUND.replace("<f8", ",f8"),
    "more than there is": SOUND.replace("4", "5"),
    "less than nothing": SOUND.replace("4", "-4"),
    "objects": SOUND.replace("<f8", "|O"),
}


def refused(path: Path) -> None:
    with pytest.raises(InputError, match="the numbers cannot be read") as told:
        map_array(path, "the numbers", "Write them again")
    assert told.value.where == str(path)


def test_a_sound_array_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(with_header(SOUND))
    assert map_array(tmp_path / "a.npy", "it", "").tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", HEADERS)
def test_a_damaged_header_is_named_by_all_who_read_arrays(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(with_header(HEADERS[name]))
    refused(path)
    with pytest.raises(InputError, match=r"a\.npy: the array cannot be read"):
        load_array(path, "f")
    view = make_scene().views[0]
    view = replace(view, depth=path)
    with pytest.raises(InputError, match=r"a\.npy: the depth map cannot be read"):
        read_depth(view)


def test_other_files_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "many.npz", a=np.arange(3))
    (tmp_path / "empty.npy").touch()
    for name in ("many.npz", "empty.npy", "absent.npy"):
        refused(tmp_path / name)


def test_flipped_bytes_are_an_array_or_an_error(tmp_path: Path) -> None:
    rng, path, refusals = random.Random(0), tmp_path / "a.npy", 0
    for _ in range(500):
        content = bytearray(with_header(SOUND))
        for _ in range(rng.randint(1, 4)):
            content[rng.randrange(128)] = rng.choice(b"(){}[]'L,#-0 9\xff\x00")
        path.write_bytes(content)
        try:
            map_array(path, "it", "")
        except InputError:
            refusals += 1
    assert 100 < refusals < 500

"""Files with faults: bytes changed, cut off, put in, or numbers that promise too much."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from watched import Watched

from ditr.captures.capture import read_capture
from ditr.errors import InputError

__all__ = ["mutated", "read_damaged"]

_NUMBERS = (0, 1, 255, 2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
_WORDS = (b"nan", b"-1", b"1e999", b"99999999999999999999", b"", b"\xff\xfe", b"[]", b"{", b"null", b"../..", b"\n")


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to three faults."""
    found = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        size = len(found)
        place = int(rng.integers(0, size + 1)) if rng.random() < 0.7 else int(rng.integers(0, min(size, 64) + 1))
        kind = int(rng.integers(0, 6))
        if kind == 0 and size:
            for _ in range(int(rng.integers(1, 9))):
                found[int(rng.integers(0, size))] = int(rng.integers(0, 256))
        elif kind == 1:
            del found[place:]
        elif kind == 2:
            del found[place : place + int(rng.integers(1, 17))]
        elif kind == 3:
            found[place:place] = bytes(rng.integers(0, 256, int(rng.integers(1, 17))).astype(np.uint8))
        elif kind == 4:
            found[place : place + 8] = struct.pack("<Q", _NUMBERS[int(rng.integers(0, len(_NUMBERS)))])
        else:
            word = _WORDS[int(rng.integers(0, len(_WORDS)))]
            found[place : place + len(word)] = word
    return bytes(found)


def read_damaged(source: Path, count: int, *, seed: int, files: Sequence[Path] | None = None) -> tuple[int, Watched]:
    """Read a folder (or file) with a fault in one of its files, ``count`` times; other errors than ours are raised.

    Args:
        source: which is whole afterwards.
        count: how often.
        seed: of the faults.
        files: that get faults; by default all.

    Returns:
        How often it was read all the same, and the most that it took.
    """
    rng, read, worst = np.random.default_rng(seed), 0, Watched()
    inside = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    files = inside if files is None else files
    size = sum(path.stat().st_size for path in inside)
    for _ in range(count):
        path = files[int(rng.integers(0, len(files)))]
        whole = path.read_bytes()
        path.write_bytes(mutated(whole, rng))
        try:
            with worst.reading(size):
                read_capture(source)
            read += 1
        except InputError:
            pass
        finally:
            path.write_bytes(whole)
    return read, worst

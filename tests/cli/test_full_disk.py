"""A disk that is full, or becomes so, leaves one line and no half of anything."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

SUPPORT = Path(__file__).resolve().parents[1] / "support"
COMMANDS = ("features", "segment", "evaluate", "convert", "train", "rooms", "prepare")


def may_mount() -> bool:
    """Whether this process may have a file system of its own."""
    if shutil.which("unshare") is None:
        return False
    tried = ["unshare", "-rm", "mount", "-t", "tmpfs", "ditr", "/mnt"]
    return subprocess.run(tried, capture_output=True, check=False).returncode == 0


def tries(folder: Path, count: int, seed: int) -> list[dict]:
    program = ["unshare", "-rm", sys.executable, str(SUPPORT / "full_disk.py"), str(folder), str(count), str(seed)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(SUPPORT), *filter(None, sys.path)])}
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not may_mount(), reason="no file system can be mounted here")
@pytest.mark.parametrize("count", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_a_full_disk_leaves_one_line_and_no_half_of_anything(tmp_path: Path, count: int) -> None:
    """Before or while seven commands write; earlier results stay, and runs and worlds go on when there is room."""
    found = tries(tmp_path, count, seed=count)
    assert [one for one in found if one["wrong"]] == []
    assert Counter(one["command"] for one in found) == dict.fromkeys(COMMANDS, count + 1)
    # Every command met a disk that was full and one that could not be written.
    assert all(sum(one["status"] == 2 for one in found if one["command"] == name) >= 2 for name in COMMANDS)

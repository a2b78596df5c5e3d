"""Killed at any moment, a run goes on to what it would have come to without: weights, samples, logs and validation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[1] / "support" / "killed_runs.py"


def killed(folder: Path, kills: int, stops: int = 0) -> dict[str, object]:
    # What this process can import the forks can too.
    paths = os.pathsep.join([str(PROGRAM.parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, PROGRAM, folder, str(kills), str(stops), "0"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    "kills", [10, pytest.param(200, marks=pytest.mark.slow)], ids=["ten times", "two hundred times"]
)
def test_killed_runs_leave_what_unbroken_ones_leave(tmp_path: Path, kills: int) -> None:
    result = killed(tmp_path, kills)
    assert result["kills"] >= kills and result["different"] == [], result
    if kills >= 200:
        assert result["places"].keys() >= {"checkpoints", "best", "elsewhere"}, result


@pytest.mark.parametrize(
    "times", [3, pytest.param(100, marks=pytest.mark.slow)], ids=["three times each", "a hundred times each"]
)
def test_runs_that_are_stopped_and_killed_lose_the_step_in_hand_at_most(tmp_path: Path, times: int) -> None:
    """The program ends with an error where a run that was asked to stop lost a step that its log has."""
    result = killed(tmp_path, times, times)
    assert result["kills"] >= times and result["stops"] >= times and result["different"] == [], result

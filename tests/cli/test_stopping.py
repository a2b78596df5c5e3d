"""`ditr train` in a process of its own: stopped by signals, refused in a folder where another works, and gone on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_world import write_world

from ditr.cli import execute
from ditr.errors import InputError


def rows(run: Path) -> int:
    log = run / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def begin(command: list[str]) -> subprocess.Popen[str]:
    """A process with a terminal's group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True, preexec_fn=_heed_ctrl_c
    )


def _heed_ctrl_c() -> None:
    """Also where the tests themselves run in the background of a shell, which has its jobs ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def stopped(training: subprocess.Popen[str], run: Path, after: int, sent: signal.Signals) -> str:
    """What a training says that gets a signal in all its processes, after so many steps."""
    try:
        while rows(run) <= after:
            assert training.poll() is None, training.communicate()
            time.sleep(0.05)
        os.killpg(training.pid, sent)
        _, said = training.communicate(timeout=120)
    finally:
        if training.poll() is None:
            os.killpg(training.pid, signal.SIGKILL)
    done = rows(run)
    assert f"stopped by {sent.name} after step {done} of 9000; a checkpoint is written" in said, said
    assert sorted(run.glob("checkpoints/*"))[-1].name == f"step-{done:08d}.safetensors"
    assert not (run / ".lock.json").exists() and "Traceback" not in said
    return said


def test_a_run_is_stopped_and_goes_on_as_it_advises(tmp_path: Path) -> None:
    """Ctrl-C goes to all processes of a terminal, those of the loader too; so may a cluster's signals."""
    write_world(tmp_path / "data", 2)
    run = tmp_path / "run"
    small = ["--profile", "indoor", "--set", "preparation.voxel_size=0.15", "--set", "batch_size=1", "--device", "cpu"]
    arguments = ["train", "small", str(run), "--data", str(tmp_path / "data"), "--encoder", "none", *small]
    arguments += ["--steps", "9000", "--workers", "2"]
    training = begin([sys.executable, "-m", "ditr", *arguments])
    while not (run / "run.json").exists():
        assert training.poll() is None, training.communicate()
        time.sleep(0.05)
    for other in (arguments, ["train", "full", str(run), "--data", str(tmp_path / "data")]):
        with pytest.raises(InputError, match=rf"process {training.pid} on \S+ has been working in this folder since"):
            execute(other)
    said = stopped(training, run, 1, signal.SIGINT)
    assert training.returncode == 130
    python, *command = shlex.split(said.splitlines()[-1].removeprefix("ditr: continue with: "))
    assert [python, *command] == ["python", "-m", "ditr", *arguments]
    again = begin([sys.executable, *command])
    assert stopped(again, run, rows(run), signal.SIGTERM).count("continue with") == 1 and again.returncode == 143
    assert len(json.loads((run / "run.json").read_text())["machines"]) == 1
    with pytest.raises(InputError, match="steps was 9000 and is 4"):
        execute([*arguments, "--steps", "4"])

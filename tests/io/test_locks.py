"""Locks of folders, between real processes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ditr.errors import InputError
from ditr.io.locks import SILENCE, FolderLock, require_unlocked

HOLD = """
import sys, time
from pathlib import Path
from ditr.io.locks import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(300)
"""

CONTEND = """
import os, random, sys, time
from pathlib import Path
from ditr.errors import InputError
from ditr.io.locks import FolderLock
folder, chance = Path(sys.argv[1]), random.Random(os.getpid())
end, got = time.monotonic() + 2, 0
while time.monotonic() < end:
    try:
        with FolderLock(folder):
            inside = folder / "inside"
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
            time.sleep(chance.uniform(0, 0.005))
            inside.unlink()
            got += 1
            if chance.random() < 0.3:
                # As a process that was killed leaves it.
                lock, other = folder / ".lock.json", folder / f"{os.getpid()}.part"
                other.write_text(lock.read_text().replace('"started": ', '"started": 9'))
                os.replace(other, lock)
    except InputError as error:
        assert "working in this folder since" in str(error) or "several processes" in str(error), error
        time.sleep(chance.uniform(0, 0.003))
print(got)
"""


def program(text: str, folder: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", text, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def test_a_second_process_is_refused_and_a_dead_ones_lock_taken_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = program(HOLD, tmp_path)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        for ask in (require_unlocked, lambda folder: FolderLock(folder).__enter__()):
            with pytest.raises(InputError, match=f"process {holder.pid} on .* since .*kill {holder.pid}") as refused:
                ask(tmp_path)
            assert "\n" not in str(refused.value)
    finally:
        holder.send_signal(signal.SIGKILL)
        # Not collected yet: one that has ended holds nothing.
        while Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            time.sleep(0.01)
    require_unlocked(tmp_path)
    with caplog.at_level(logging.WARNING), FolderLock(tmp_path):
        assert f"process {holder.pid} on" in caplog.text and "taken over" in caplog.text
        assert json.loads((tmp_path / ".lock.json").read_text())["pid"] == os.getpid()
    holder.communicate()
    assert not list(tmp_path.iterdir())


def elsewhere(silent_for: float) -> Callable[[Path, dict[str, Any]], None]:
    def change(path: Path, content: dict[str, Any]) -> None:
        path.write_text(json.dumps({**content, "host": "node7", "space": "another machine"}))
        then = time.time() - silent_for
        os.utime(path, (then, then))

    return change


def another_process_has_its_id(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps({**content, "started": content["started"] - 1}))


def empty(silent_for: float) -> Callable[[Path, dict[str, Any]], None]:
    def change(path: Path, _content: dict[str, Any]) -> None:
        path.write_text("")
        then = time.time() - silent_for
        os.utime(path, (then, then))

    return change


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (another_process_has_its_id, None),
        (elsewhere(SILENCE + 5), None),
        (
            elsewhere(0),
            r"process \d+ on node7 has been working .*was last active \d s ago.*try again in 1[78]\d s",
        ),
        (empty(SILENCE + 5), None),
        (empty(0), "a process is working in it"),
    ],
    ids=["id of another process", "silent elsewhere", "alive elsewhere", "empty and old", "empty and new"],
)
def test_what_a_lock_says_of_its_holder(
    tmp_path: Path, change: Callable[[Path, dict[str, Any]], None], refusal: str | None
) -> None:
    path = tmp_path / ".lock.json"
    with FolderLock(tmp_path):
        content = path.read_text()
    path.write_text(content)
    change(path, json.loads(content))
    left = path.read_text()
    if refusal is None:
        with FolderLock(tmp_path) as lock:
            lock.require()
    else:
        with pytest.raises(InputError, match=refusal):
            FolderLock(tmp_path).__enter__()
        assert path.read_text() == left, "another's lock stays as it is"


def test_a_process_notices_that_its_lock_has_gone(tmp_path: Path) -> None:
    path = tmp_path / ".lock.json"
    with FolderLock(tmp_path) as lock:
        path.write_text(path.read_text().replace(socket_name(path), "node7").replace('"token": "', '"token": "9'))
        with pytest.raises(InputError, match=r"was taken over by process \d+ on node7"):
            lock.require()
    assert path.exists(), "what is another's now is not removed"


def socket_name(path: Path) -> str:
    return str(json.loads(path.read_text())["host"])


def test_a_folder_that_nothing_was_written_to_goes_again(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), FolderLock(tmp_path / "new"):
        _ = 1 / 0
    assert not (tmp_path / "new").exists()


def test_of_many_processes_one_is_inside(tmp_path: Path) -> None:
    """They end now and then without giving the lock back, as after a kill."""
    contenders = [program(CONTEND, tmp_path) for _ in range(4)]
    outputs = [contender.communicate(timeout=120) for contender in contenders]
    assert [contender.returncode for contender in contenders] == [0] * 4, outputs
    assert sum(int(number) for number, _ in outputs) > 20
    assert any("taken over" in said for _, said in outputs)
    assert [path.name for path in tmp_path.iterdir()] in ([], [".lock.json"])

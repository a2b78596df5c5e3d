"""Jobs in processes: order, results, errors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from small_world import tiny_recipe, write_world

from ditr.studies.jobs import Job, run_jobs
from ditr.training.loop import TrainingRun, train

Report = Callable[[int, int], None]


def note(folder: Path, name: str, report: Report) -> tuple[str, str | None]:
    (folder / f"{name}.begin").write_text(repr(time.time()))
    for step in range(3):
        report(step + 1, 3)
    (folder / f"{name}.end").write_text(repr(time.time()))
    return name, os.environ.get("OMP_NUM_THREADS")


def fail(_folder: Path, name: str, _report: Report) -> None:
    raise ValueError(f"{name} cannot be done")


def linger(folder: Path, name: str, _report: Report) -> None:
    (folder / f"{name}.pid").write_text(str(os.getpid()))
    time.sleep(300)


def learn(folder: Path, name: str, report: Report) -> None:
    captures = sorted((folder / "data").iterdir())

    def told(done: int, total: int) -> None:
        (folder / f"{name}.pid").write_text(f"{done}")
        report(done, total)

    recipe = tiny_recipe(steps=5000)
    train(recipe, TrainingRun(folder / name, captures, device="cpu", quiet=True, checkpoint_every=5000, report=told))


def moment(folder: Path, name: str) -> float:
    return float((folder / name).read_text())


def test_jobs_wait_for_what_they_need(tmp_path: Path) -> None:
    jobs = [
        Job("last", "group", note, (tmp_path, "last"), ("first", "second")),
        Job("first", "group", note, (tmp_path, "first")),
        Job("second", "other", note, (tmp_path, "second"), ("first",)),
    ]
    results, seconds = run_jobs(jobs, 2, tmp_path / "log" / "jobs.log")
    assert results == {name: (name, "1") for name in ("first", "second", "last")}
    assert seconds.keys() == results.keys()
    assert moment(tmp_path, "first.end") <= moment(tmp_path, "second.begin")
    assert moment(tmp_path, "second.end") <= moment(tmp_path, "last.begin")
    lines = (tmp_path / "log" / "jobs.log").read_text().splitlines()
    assert [line.split("  ")[1].split()[0] for line in lines].count("end") == 3
    assert lines[-1].endswith("0 of 3 jobs and about 0 min left")


def test_an_error_stops_what_has_not_begun(tmp_path: Path) -> None:
    jobs = [
        Job("bad", "group", fail, (tmp_path, "bad")),
        Job("after", "group", note, (tmp_path, "after"), ("bad",)),
    ]
    with pytest.raises(ValueError, match="bad cannot be done"):
        run_jobs(jobs, 1, tmp_path / "jobs.log")
    assert not (tmp_path / "after.begin").exists()


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be noticed does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes through /proc")
def test_no_job_outlives_a_killed_parent(tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_jobs import linger
from ditr.studies.jobs import Job, run_jobs
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    run_jobs([Job(name, "group", linger, (folder, name)) for name in "ab"], 2, folder / "log")
"""
    (tmp_path / "parent.py").write_text(code)
    parent = subprocess.Popen([sys.executable, str(tmp_path / "parent.py")], stdout=subprocess.DEVNULL)
    notes = [tmp_path / "a.pid", tmp_path / "b.pid"]
    deadline = time.monotonic() + 120
    while not all(note.exists() and note.read_text() for note in notes):
        assert parent.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    workers = [int(note.read_text()) for note in notes]
    parent.kill()
    parent.wait()
    while any(alive(worker) for worker in workers):
        assert time.monotonic() < deadline, "they wait for work for ever"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("whole_group", [False, True], ids=["the parent", "all processes"])
def test_a_signal_stops_jobs_and_trainings_keep_their_steps(tmp_path: Path, whole_group: bool) -> None:
    write_world(tmp_path / "data", 2)
    code = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from test_jobs import learn, linger
from ditr.studies.jobs import Job, run_jobs
if __name__ == "__main__":
    folder = Path({str(tmp_path)!r})
    run_jobs([Job("a", "group", learn, (folder, "a")), Job("b", "group", linger, (folder, "b"))], 2, folder / "log")
"""
    (tmp_path / "parent.py").write_text(code)
    command = [sys.executable, str(tmp_path / "parent.py")]
    pipe = subprocess.PIPE
    parent = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True)
    while not all((tmp_path / name).exists() for name in ("a.pid", "b.pid")):
        assert parent.poll() is None, parent.communicate()
        time.sleep(0.05)
    (os.killpg if whole_group else os.kill)(parent.pid, signal.SIGINT if whole_group else signal.SIGTERM)
    _, said = parent.communicate(timeout=120)
    assert parent.returncode == (130 if whole_group else 143), said
    assert "with 0 of 2 jobs done; finished trainings are kept" in said and "Traceback" not in said
    steps = len((tmp_path / "a" / "log.jsonl").read_text().splitlines())
    assert [path.name for path in (tmp_path / "a" / "checkpoints").iterdir()] == [f"step-{steps:08d}.safetensors"]
    assert not alive(int((tmp_path / "b.pid").read_text()))

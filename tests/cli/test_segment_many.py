"""`ditr segment` with many captures: what it says, what a failure, a kill and a signal leave, and how it goes on."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from bags import drive_past, write_bag
from small_world import make_scene, write_model, write_world

from ditr.captures.capture import write_capture
from ditr.cli import execute
from ditr.errors import InputError


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "scenes", 3)
    write_model(folder / "model")
    return folder


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def segment(world: Path, *more: object) -> None:
    workers = [] if "--workers" in more else ["--workers", "0"]
    execute(["segment", *map(str, more), "--model", str(world / "model"), "--device", "cpu", *workers])


def test_a_folder_a_pattern_and_a_bad_capture(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    segment(world, world / "scenes")
    said = capsys.readouterr().out
    assert [line.split()[0] for line in said.splitlines() if line.startswith("scene_")] == [
        "scene_0",
        "scene_1",
        "scene_2",
    ]
    assert "3 scenes: 3 labelled, 0 failed" in said and "scenes-labels/results.jsonl" in said
    assert sorted(path.name for path in Path("scenes-labels/scene_1").iterdir()) == [
        "classes.json",
        "confidence.npy",
        "label.npy",
        "labels.ply",
        "summary.json",
    ]
    bad = tmp_path / "bad"
    write_capture(make_scene(5), bad, image_format="png")
    (bad / "points.ply").write_bytes(b"ply\nformat ascii 1.0\nend_header\n")
    with pytest.raises(
        InputError, match=r"out/results.jsonl: 1 of 3 scenes have no labels: \S+bad. Correct them and"
    ) as told:
        segment(world, world / "scenes" / "scene_[01]", bad, "--out", "out")
    said = capsys.readouterr().out
    assert "failed: 1" in said and "points.ply" in said and "3 scenes: 2 labelled, 1 failed" in said
    assert told.value.where == "out/results.jsonl" and not list(Path("out").glob("**/labels.png"))
    write_capture(make_scene(5), bad, image_format="png")
    segment(world, world / "scenes" / "scene_[01]", bad, "--out", "out")
    assert "3 scenes: 1 labelled, 2 done before, 0 failed" in capsys.readouterr().out
    found = [(str(line["scene"]).rpartition("/")[2], line["status"]) for line in lines(Path("out/results.jsonl"))]
    assert Counter(found) == Counter(
        [("scene_0", "labelled"), ("scene_1", "labelled"), ("bad", "failed"), ("bad", "labelled")]
    )


def test_a_single_capture_is_labelled_as_ever(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    segment(world, world / "scenes" / "scene_0", "--out", tmp_path / "one", "--no-pictures")
    said = capsys.readouterr().out
    assert "up is z" in said and (tmp_path / "one" / "label.npy").exists() and not list(tmp_path.rglob("*.jsonl"))
    segment(world, world / "scenes" / "scene_0", "--out", tmp_path / "part", "--shard", "1/1")
    content = (tmp_path / "part" / "scene_0" / "label.npy").read_bytes()
    assert (tmp_path / "one" / "label.npy").read_bytes() == content


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        (["--shard", "3/2"], "3/2 is not a valid part"),
        (["--workers", "-1"], "it is -1"),
        (["{other}"], "2 sources have no common name"),
        (["--out", "{file}"], "it is a file"),
        (["--thin", "0.1"], "it does nothing without votes"),
    ],
)
def test_options_that_cannot_be_meant(world: Path, more: list[str], fault: str) -> None:
    places = {"other": world / "model", "file": world / "model" / "config.json"}
    with pytest.raises(InputError, match=fault):
        segment(world, world / "scenes", *(text.format(**places) for text in more))


def test_results_are_called_as_a_folder_or_as_a_file_without_its_ending(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    sweeps, poses, lidar = drive_past(2)
    write_bag(tmp_path / "drive.bag", "bag", sweeps, poses, lidar)
    with pytest.raises(InputError, match=r"drive-labels/results.jsonl: 2 of 2 scenes have no labels"):
        segment(world, "drive.bag")  # which lacks colours
    write_capture(make_scene(0), tmp_path / "one", image_format="png")
    write_capture(make_scene(1), tmp_path / "other", image_format="png")
    with pytest.raises(InputError, match=r"--out: the pattern o\* has no name"):
        segment(world, "o*")
    assert not list(tmp_path.glob("*[*]*"))


def begin(world: Path, scenes: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "ditr", "segment", str(scenes), "--model", str(world / "model")]
    command += ["--out", str(out), "--device", "cpu", *more]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True
    )


def wait_for_lines(process: subprocess.Popen[str], path: Path, count: int) -> None:
    while len(path.read_text().splitlines() if path.exists() else []) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def group_ends(process: subprocess.Popen[str]) -> None:
    """Wait until nothing that the process started is left."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("a process was left behind")


def test_after_a_kill_nothing_is_lost_and_nothing_twice(world: Path, tmp_path: Path) -> None:
    names = [path.name for path in write_world(tmp_path / "many", 12, points=300)]
    process = begin(world, tmp_path / "many", tmp_path / "out", "--workers", "1")
    wait_for_lines(process, tmp_path / "out" / "results.jsonl", 2)
    process.kill()
    process.communicate()
    group_ends(process)
    assert len(lines(tmp_path / "out" / "results.jsonl")) < 12
    segment(world, tmp_path / "many", "--out", tmp_path / "out")
    assert Counter(line["scene"] for line in lines(tmp_path / "out" / "results.jsonl")) == Counter(names)
    assert sorted(path.parent.name for path in (tmp_path / "out").glob("*/summary.json")) == sorted(names)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.slow
def test_a_signal_stops_it_where_it_can_go_on(world: Path, tmp_path: Path) -> None:
    names = [path.name for path in write_world(tmp_path / "many", 40, points=300)]
    process = begin(world, tmp_path / "many", tmp_path / "out", "--workers", "1")
    wait_for_lines(process, tmp_path / "out" / "results.jsonl", 2)
    os.killpg(process.pid, signal.SIGTERM)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 143 and "Traceback" not in said, said
    first, way_on = said.splitlines()
    assert first.startswith("ditr: stopped by SIGTERM with ") and "of 40 scenes done" in first, out
    python, *command = shlex.split(way_on.removeprefix("ditr: continue with: "))
    assert python == "python"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True, check=True)
    assert "40 scenes: " in done.stdout
    assert Counter(line["scene"] for line in lines(tmp_path / "out" / "results.jsonl")) == Counter(names)


@pytest.mark.slow
def test_jobs_share_the_work(world: Path, tmp_path: Path) -> None:
    names = [path.name for path in write_world(tmp_path / "many", 12, points=300)]
    jobs = [
        begin(world, tmp_path / "many", tmp_path / "out", "--shard", f"{number}/3", "--workers", "1")
        for number in (1, 2, 3)
    ]
    for job in jobs:
        out, said = job.communicate(timeout=200)
        assert job.returncode == 0, out + said
    found = Counter(line["scene"] for path in (tmp_path / "out").glob("results-*-of-3.jsonl") for line in lines(path))
    assert found == Counter(names)

"""Commands with URLs: sources are fetched, results are put, and nothing is left here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from small_world import ditr, make_scene, write_model
from web_server import WebServer

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import execute
from ditr.errors import InputError
from ditr.io.ply import write_ply

MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A folder to serve, with a capture and a cloud."""
    folder = tmp_path / "web"
    write_capture(make_scene(views=2), folder / "scan", image_format="png")
    write_ply(folder / "cloud.ply", dict(zip("xyz", make_scene().coord.T.astype(np.float32), strict=True)))
    return folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go, in processes too."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_capture_is_read_from_the_web_and_written_elsewhere(
    web: Path, tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with WebServer(web) as server:
        execute(["import", f"{server.url}/scan", "memory://imported/scan"])
        said = capsys.readouterr()
        assert f"read {server.url}/scan" in said.out and "written to memory://imported/scan" in said.out
        assert str(scratch) not in said.out + said.err and not list(scratch.iterdir())
        MEMORY.get("/imported/scan", str(tmp_path / "again"), recursive=True)
        np.testing.assert_array_equal(read_capture(tmp_path / "again").coord, read_capture(web / "scan").coord)
        with pytest.raises(InputError, match="memory://imported/scan: it already exists"):
            execute(["import", f"{server.url}/scan", "memory://imported/scan"])
        execute(["import", f"{server.url}/scan", "memory://imported/scan", "--overwrite"])
        with pytest.raises(InputError, match=f"{server.url}/none.ply: there is no such file"):
            execute(["check", f"{server.url}/none.ply"])
    assert not list(scratch.iterdir())


def test_a_cloud_is_labelled_from_the_web(web: Path, tmp_path: Path, scratch: Path) -> None:
    write_model(tmp_path / "model")
    with WebServer(web) as server:
        options = ["--model", tmp_path / "model", "--out", f"file://{tmp_path}/out", "--no-pictures"]
        ditr("segment", f"{server.url}/scan", *options)
    assert (tmp_path / "out" / "labels.ply").exists() and not list(scratch.iterdir())


def test_many_are_labelled_from_the_web_and_what_is_done_is_put_though_one_fails(
    tmp_path: Path, scratch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also as two jobs that write to one place; a pattern stands for what has such names."""
    write_model(tmp_path / "model")
    for number in range(2):
        write_capture(make_scene(number), tmp_path / "scans" / f"scan_{number}", image_format="png")
        MEMORY.put(str(tmp_path / "scans" / f"scan_{number}"), f"/many/scan_{number}", recursive=True)
    MEMORY.pipe("/many/scan_2/transforms.json", b"{")
    model = ["--model", str(tmp_path / "model"), "--workers", "0", "--device", "cpu"]
    with pytest.raises(InputError, match="1 of 3 scenes have no labels: scan_2"):
        execute(["segment", "memory://many/scan_*", "--out", "memory://labelled", *model])
    assert str(scratch) not in capsys.readouterr().out and not list(scratch.iterdir())
    there = {name.removeprefix("/labelled/") for name in MEMORY.find("/labelled")}
    assert {"results.jsonl", "scan_0/labels.ply", "scan_1/labels.ply"} <= there
    for shard in ("1/2", "2/2"):
        both = ["memory://many/scan_0", "memory://many/scan_1", "--out", "memory://shards", "--shard", shard]
        execute(["segment", *both, *model])
        with pytest.raises(InputError, match="it already exists"):
            execute(["segment", *both, *model])
    assert len([name for name in MEMORY.find("/shards") if name.endswith("labels.ply")]) == 2
    with pytest.raises(InputError, match="nothing matches this pattern"):
        execute(["segment", "memory://many/room_*", "--out", "memory://none", *model])


def test_a_command_that_goes_on_where_it_was_takes_no_url(scratch: Path) -> None:
    with pytest.raises(InputError, match="run must be on this machine"):
        execute(["train", "small", "s3://bucket/run", "--data", "x"])
    with pytest.raises(InputError, match="out must be on this machine"):
        execute(["rooms", "memory://rooms"])


def test_results_stay_here_where_they_cannot_be_put(
    web: Path, tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    MEMORY.pipe("/blocked/scan.d/x", b"x")

    class Full(type(MEMORY)):  # type: ignore[misc]
        """A storage that takes a probe and no file."""

        protocol = "full"
        cachable = False

        def put_file(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    fsspec.register_implementation("full", Full, clobber=True)
    with pytest.raises(InputError, match=rf"The results are in {tmp_path}/scan; upload them"):
        execute(["import", str(web / "scan"), "full://results/scan"])
    assert len(read_capture(tmp_path / "scan")) == 400 and not list(scratch.iterdir())


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_copy_is_removed_when_the_process_is_asked_to_end(web: Path, scratch: Path, sent: signal.Signals) -> None:
    with WebServer(web, stalls=True) as server:
        command = [sys.executable, "-m", "ditr", "check", f"{server.url}/cloud.ply"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c)
        assert server.stalled.wait(60)
        assert len(list(scratch.iterdir())) == 1
        process.send_signal(sent)
        _, said = process.communicate(timeout=30)
    assert process.returncode in (143, 130) and "Traceback" not in said
    assert not list(scratch.iterdir())


def _heed_ctrl_c() -> None:
    """Also where the tests themselves run in the background of a shell, which has its jobs ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

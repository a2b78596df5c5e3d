"""What a command says and where: progress in a job's log, --quiet, --verbose and --log-file."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_world import ditr, tiny_encoding, write_model, write_world

from ditr import runtime
from ditr.cli import execute, main
from ditr.errors import InputError
from ditr.runtime import LogFile, phase, progress_bar, progress_bars, showing

TIMED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ")
DIGEST = re.compile(r"[0-9a-f]{40}")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures in data/, a model in model/ and its encoder in encoder/."""
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", count=2)
    write_model(folder / "model", tiny_encoding(folder))
    return folder


def features(world: Path, out: Path, *more: object) -> list[str]:
    options = ("--encoder", world / "encoder", "--device", "cpu", "--cache", world / "cache")
    return [*map(str, ("features", world / "data" / "scene_0", "--out", out, *options, *more))]


def evaluate(world: Path, *more: object) -> list[str]:
    options = ("--data", world / "data", "--device", "cpu", "--cache", world / "cache")
    return [*map(str, ("evaluate", world / "model", *options, *more))]


def logged(path: Path) -> list[str]:
    """The lines of a log file without their times."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert all(TIMED.match(line) for line in lines)
    return [TIMED.sub("", line, count=1) for line in lines]


def test_a_log_file_has_all_that_was_said(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "ditr.log"
    execute(evaluate(world, "--out", tmp_path / "a.json", "--log-file", log))
    said = capsys.readouterr()
    assert sorted(logged(log)) == sorted((said.out + said.err).splitlines())
    assert logged(log)[0].startswith("ditr evaluate ") and any("mIoU" in line for line in logged(log))
    before = logged(log)
    with pytest.raises(InputError):
        execute(["--log-file", str(log), *evaluate(world, "--thin", "1")])
    assert logged(log)[: len(before)] == before
    assert logged(log)[-1] == "--thin: it does nothing without votes. Add --vote, or leave it out."


def test_a_log_file_tells_of_refusals_and_is_refused_first(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "ditr.log"
    with pytest.raises(SystemExit) as stop:
        main(["check", str(tmp_path / "nowhere"), "--log-file", str(log)])
    assert stop.value.code == 2 and capsys.readouterr().err.strip() == logged(log)[-1]
    with pytest.raises(InputError, match=r"cannot be written.*another log file"):
        execute(features(world, tmp_path / "out", "--log-file", tmp_path / "no folder" / "log"))
    assert capsys.readouterr().out == "" and not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="--verbose"):
        execute(["check", "x", "--quiet", "--verbose"])


def test_quiet_verbose_and_what_lies_between(world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*more: str) -> str:
        execute(features(world, tmp_path / "out", "--no-pictures", "--overwrite", *more))
        return "".join(capsys.readouterr())

    quiet, usual, verbose = said("--quiet"), said(), said("--verbose")
    assert not (tmp_path / "out" / "features.png").exists() and (tmp_path / "out" / "features.ply").exists()
    assert set(quiet.splitlines()) < set(usual.splitlines())
    assert not any(
        line.startswith(("ditr features", "encoder", "profile", "photographs")) for line in quiet.splitlines()
    )
    assert quiet.splitlines()[-1] == f"written to {tmp_path / 'out'}"
    assert "encoder: folder encoder\n" in usual and not DIGEST.search(usual)
    assert "photographs: 2 of 2, took" in usual and "\ncheck the capture ...\n" in usual
    assert DIGEST.search(verbose)


def test_verbose_shows_where_an_input_was_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more in ((), ("--verbose",)):
        with pytest.raises(SystemExit):
            main(["check", str(tmp_path / "nowhere"), *more])
        *trace, line = capsys.readouterr().err.splitlines()
        assert line.startswith("ditr: ") and any("Traceback" in part for part in trace) == bool(more)


def until(lines: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    said = ""
    while said.count("\n") < lines:
        said += capsys.readouterr().out
        time.sleep(0.01)
    return said.splitlines()


def test_lines_come_while_nothing_is_reported(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_EVERY", 0.02)
    with phase("load it"):
        assert until(3, capsys)[:3] == ["load it ...", "load it: 0:00 elapsed", "load it: 0:00 elapsed"]
    with progress_bars("one", "two") as (one, two):
        one(2, 2)
        two(1.5, 4, "loss 0.1")
        assert until(2, capsys)[-1] == "two: 1 of 4, loss 0.1, 0:00 elapsed"
        two(4, 4)
        while (line := until(1, capsys)[-1]).startswith("two: 1"):
            pass
        assert line == "two: 4 of 4, took under a second; 0:00 in all"
    assert (
        capsys.readouterr().out.splitlines()[-1] == "one: 2 of 2, took under a second; two: 4 of 4, took under a second"
    )
    with showing(quiet=True, log=None), progress_bar("x") as report, phase("y"):
        report(1, 2)
    assert capsys.readouterr().out == ""


def test_a_log_that_fails_does_not_end_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    log = LogFile(Path("/dev/full"))
    with showing(quiet=False, log=log):
        print("one")
        print("two")
    said = capfd.readouterr()
    assert said.out == "one\ntwo\n" and said.err.count("is no longer written") == 1


ON_A_TERMINAL = """
import sys
from pathlib import Path
from ditr.runtime import LogFile, progress_bar, phase, showing
with showing(quiet=False, log=LogFile(Path(sys.argv[1]))):
    with phase("load it"):
        print("loaded")
    with progress_bar("label") as report:
        report(0, 3)
        print("a remark")
        print("a warning", file=sys.stderr)
        report(3, 3)
    print("done")
"""


def test_bars_on_a_terminal_are_lines_in_the_log(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, str(tmp_path / "log")],
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"},
    )
    os.close(follower)
    shown = b""
    try:
        while part := os.read(leader, 65536):
            shown += part
    except OSError:  # how a terminal ends on Linux
        pass
    os.close(leader)
    assert process.wait() == 0
    text = shown.decode()
    assert "━" in text and "3/3" in text and "load it ..." not in text and text.count("a remark") == 1
    lines = logged(tmp_path / "log")
    assert lines[:3] == ["load it ...", "loaded", "label ..."] and lines[-1] == "done"
    assert lines[3:-1] == ["a remark", "a warning", "label: 3 of 3, took under a second"]


def first_line(arguments: list[str], folder: Path) -> str:
    """The first line in the log of a job, which has to come within 15 seconds; the job is ended then."""
    log = folder / "job.log"
    with log.open("w") as file:
        process = subprocess.Popen([sys.executable, "-m", "ditr", *arguments], stdout=file, stderr=file, cwd=folder)
    try:
        began = time.monotonic()
        while time.monotonic() < began + 15:
            if "\n" in (said := log.read_text()):
                return said.partition("\n")[0]
            time.sleep(0.1)
        raise AssertionError(f"nothing is in the log of ditr {arguments} after 15 seconds")
    finally:
        process.kill()
        process.wait()


def test_a_job_s_log_has_a_line_within_15_seconds(world: Path, tmp_path: Path) -> None:
    assert first_line(features(world, tmp_path / "out"), tmp_path).startswith("ditr features ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["segment", "evaluate", "train", "demo", "rooms", "streets", "verify", "reproduce", "convert", "check"]
)
def test_every_job_s_log_has_a_line_within_15_seconds(command: str, world: Path, tmp_path: Path) -> None:
    arguments = {
        "segment": ["segment", str(world / "data" / "scene_0"), "--model", str(world / "model")],
        "evaluate": evaluate(world),
        "train": ["train", "small", "run", "--data", str(world / "data"), "--encoder", "none"],
        "demo": ["demo", "--out", "demo"],
        "rooms": ["rooms", "rooms"],
        "streets": ["streets", "streets"],
        "verify": ["verify", "scannet", "--model", str(world / "model"), "--data", str(world)],
        "reproduce": ["reproduce", "table1", "--quick"],
        "convert": ["convert", str(world / "model" / "model.safetensors"), "converted"],
        "check": ["check", str(world / "data" / "scene_0")],
    }[command]
    assert first_line(arguments, tmp_path).startswith(f"ditr {command} ")


def test_the_whole_log_of_a_job_is_plain(world: Path) -> None:
    done = ditr(*evaluate(world, "--out", world / "figures.json"))
    assert "\x1b" not in done.stdout + done.stderr and "━" not in done.stdout
    assert f"evaluate {(world / 'model').name} ..." in done.stdout.splitlines()

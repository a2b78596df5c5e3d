"""How commands end when something is in their way: one line, exit status 2, and earlier results as they were."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import CLASSES, make_scene, tiny_config, write_model
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.cli.faults import reported
from ditr.weights.saved_model import save_model

CYRILLIC = ("пол", "стена", "короб")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    write_capture(make_scene(), tmp_path / "data" / "capture", image_format="png")
    return tmp_path / "data" / "capture"


def refused(capsys: pytest.CaptureFixture[str], *command: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([str(part) for part in command])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


# ---- earlier results ------------------------------------------------------------------------------------------------


def test_earlier_results_are_not_written_over_and_that_is_asked_before_the_work(
    tmp_path: Path, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before models and checkpoints are read: these here cannot be."""
    model = tmp_path / "model"
    write_model(model)
    (model / "model.safetensors").write_bytes(b"no weights")
    (tmp_path / "x.pth").write_bytes(b"no checkpoint")
    out = tmp_path / "out"
    out.mkdir()
    for command, name in (
        (("segment", capture, "--model", model, "--out", out), "labels.ply"),
        (("features", capture, "--encoder", tmp_path / "nowhere", "--out", out), "student.ply"),
        (("check", capture, "--out", out), "check.json"),
        (("evaluate", model, "--data", capture.parent, "--out", out / "figures.json"), "figures.json"),
        (("evaluate", model, "--data", capture.parent, "--save-labels", out), "capture/label.npy"),
    ):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"earlier")
        line = refused(capsys, *command)
        assert line.startswith(f"ditr: {out / name}: it already exists") and "--overwrite" in line, line
        assert f"Name another place with {command[-2]}, or" in line, line
        assert (out / name).read_bytes() == b"earlier"
        (out / name).unlink()
        if command[0] != "check":  # its own fault, now that nothing is in the way
            assert "it already exists" not in refused(capsys, *command)
    write_model(tmp_path / "converted")
    before = (tmp_path / "converted" / "model.safetensors").read_bytes()
    assert "--overwrite" in refused(capsys, "convert", tmp_path / "x.pth", tmp_path / "converted")
    line = refused(capsys, "convert", tmp_path / "x.pth", tmp_path / "converted", "--overwrite")
    assert "x.pth" in line and (tmp_path / "converted" / "model.safetensors").read_bytes() == before


def test_each_earlier_file_is_counted_once(tmp_path: Path, capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Though features of photographs and of a student both have a summary."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("features.safetensors", "features.ply", "features.png", "summary.json"):
        (out / name).write_bytes(b"earlier")
    assert "it already exists, and so do 3 others." in refused(capsys, "features", capture, "--out", out)


def test_results_are_replaced_when_that_is_asked_for_and_nothing_else_is(tmp_path: Path, capture: Path) -> None:
    write_model(tmp_path / "model")
    write_tiny_encoder(tmp_path / "encoder")
    out = tmp_path / "out"
    (out / "capture").mkdir(parents=True)
    stay = ("notes.txt", "capture/notes.txt")
    go = ("labels.png", "summary.json", "student.ply", "figures.json", "check.json", "capture/labels.ply")
    for name in (*stay, *go):
        (out / name).write_bytes(b"earlier")
    for command in (
        ("segment", capture, "--model", tmp_path / "model", "--out", out, "--no-pictures"),
        ("features", capture, "--encoder", tmp_path / "encoder", "--out", out, "--no-cache"),
        ("check", capture, "--out", out),
        ("evaluate", tmp_path / "model", "--data", capture.parent, "--out", out / "figures.json", "--save-labels", out),
    ):
        # check exits with 1, since it finds something
        with suppress(SystemExit) if command[0] == "check" else nullcontext():
            main([*map(str, command), "--overwrite"])
    assert all((out / name).read_bytes() == b"earlier" for name in stay)
    assert not any((out / name).exists() and (out / name).read_bytes() == b"earlier" for name in go)
    assert not (out / "labels.png").exists() and not (out / "student.ply").exists()
    assert len(np.load(out / "capture" / "label.npy", allow_pickle=False)) == 400
    assert json.loads((out / "figures.json").read_text(encoding="utf-8"))["scenes"] == 1
    assert not [path for path in tmp_path.rglob("*") if ".part" in path.name]


# ---- outputs --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code_page", ["cp1252", "ascii"])
def test_names_in_any_script_are_printed_in_any_code_page_and_written_as_utf8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code_page: str
) -> None:
    scene = replace(make_scene(name="кухня"), class_names=CYRILLIC)
    write_capture(scene, tmp_path / "данные" / "кухня", image_format="png")
    config = replace(tiny_config(), class_names=CYRILLIC)
    save_model(tmp_path / "модель", config, config.build())
    said, errors = (io.TextIOWrapper(io.BytesIO(), encoding=code_page) for _ in range(2))
    monkeypatch.setattr(sys, "stdout", said)
    monkeypatch.setattr(sys, "stderr", errors)
    model, out = tmp_path / "модель", tmp_path / "итог"
    main(["segment", str(tmp_path / "данные" / "кухня"), "--model", str(model), "--out", str(out)])
    main(["evaluate", str(model), "--data", str(tmp_path / "данные")])
    with pytest.raises(SystemExit):
        main(["evaluate", str(model), "--data", str(tmp_path / "данные")])
    text = said.buffer.getvalue().decode(code_page)  # type: ignore[attr-defined]
    assert all(name.encode("unicode_escape").decode() in text for name in CYRILLIC)
    assert "\\u043c" in errors.buffer.getvalue().decode(code_page)  # type: ignore[attr-defined]
    figures = json.loads((model / "evaluation.json").read_text(encoding="utf-8"))
    assert tuple(figures["iou"]) == CYRILLIC


def test_a_locale_without_letters_takes_cyrillic_names(tmp_path: Path) -> None:
    """In a process that has the C locale and nothing that makes up for it."""
    write_capture(replace(make_scene(), class_names=CYRILLIC), tmp_path / "данные" / "кухня", image_format="png")
    options = ["--encoder", "none", "--profile", "indoor", "--steps", "1", "--set", "batch_size=1", "--device", "cpu"]
    environment = {**os.environ, "LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONIOENCODING", None)
    program = [sys.executable, "-m", "ditr", "train", "small", "run", "--data", "данные", "--validate", "данные"]
    done = subprocess.run(
        [*program, *options], capture_output=True, check=False, cwd=tmp_path, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"\\u" in done.stdout or b"\\udc" in done.stdout or done.stdout.isascii()
    config = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    assert tuple(config["class_names"]) == CYRILLIC and config["class_names"] != list(CLASSES)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("command", [["recipes"], ["--version"], ["--help"], ["convert", "--help"]])
def test_an_output_on_a_full_disk_is_one_line(command: list[str]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(
            [sys.executable, "-m", "ditr", *command], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("ditr: standard output: the disk is full") and "Free some" in line


def test_too_little_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped, reported():
        np.empty(2**60, dtype=np.uint8)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ditr: memory: there is too little (Unable to allocate 1.00 EiB") and "views" in line


def test_torch_that_has_no_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    with pytest.raises(SystemExit) as stopped, reported():
        torch.empty(2**60, dtype=torch.uint8)
    assert stopped.value.code == 2 and capsys.readouterr().err.startswith("ditr: memory: there is too little")


def test_what_is_no_matter_of_files_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="a mistake"), reported():
        raise RuntimeError("a mistake")
    with pytest.raises(OSError, match="a mistake"), reported():
        raise OSError("a mistake")

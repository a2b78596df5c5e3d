"""Commands that make something end with where it is and with commands that go on from there."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from small_world import write_world

from ditr.cli import _understood, main


def advised(text: str) -> list[str]:
    """The commands after "with: " in the lines of a text."""
    return [line.partition("with: ")[2] for line in text.splitlines() if "with: " in line]


def test_worlds_say_where_they_are_and_what_comes_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("embreex", reason="the built-in worlds need embreex")
    monkeypatch.chdir(tmp_path)
    main(shlex.split("rooms ROOMS --train 1 --test 1 --views 1 --width 28 --height 28 --spacing 0.3 --workers 1"))
    said = capsys.readouterr().out
    assert "1 room to train on and 1 room to test on are in ROOMS" in said
    first, second = advised(said)
    assert first == "ditr train small RUN --data ROOMS/train" and second == "ditr view ROOMS/train/room_0000"
    for command in (first, second):
        _understood(shlex.split(command)[1:])
        assert Path(command.split()[-1]).is_dir()


def test_a_training_names_its_loss_its_report_and_the_next_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_world(tmp_path / "scenes", 1)
    few = "--steps 2 --set preparation.voxel_size=0.2 --encoder none --device cpu --force"
    main(shlex.split(f"train small RUN --data scenes {few}"))
    said = capsys.readouterr()
    assert "(mean of the last 2 steps)" in said.out and "loss of this step" in said.out + said.err
    assert f"model in RUN, report in {Path('RUN/report.html')}\n" in said.out and Path("RUN/report.html").exists()
    assert advised(said.out) == ["ditr segment CAPTURE --model RUN", "ditr evaluate RUN --data CAPTURES"]
    for command in advised(said.out):
        _understood(shlex.split(command)[1:])

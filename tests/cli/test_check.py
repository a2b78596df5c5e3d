"""``ditr check`` of several captures, and what it says of one."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.captures.capture import write_capture
from ditr.cli import execute


def test_each_capture_of_a_folder_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = make_scene(1, depth=True)
    assert scene.label is not None
    strength = np.linspace(0, 255, len(scene), dtype=np.float32)
    scene = replace(scene, strength=strength, label=np.where(scene.label < 0, 0, scene.label))
    for name in ("b", "a"):
        write_capture(scene, tmp_path / "in" / name, image_format="png")
    monkeypatch.chdir(tmp_path)
    with suppress(SystemExit):  # whether it has problems is not the question here
        execute(["check", "in"])
    said = capsys.readouterr().out
    assert said.index("\na\n") < said.index("\nb\n") and "2 scenes: " in said
    assert "strength:             0 to 255\n" in said and "unit:                 metres (assumed; " in said
    share = [round(100 * float((scene.label == k).mean())) for k in range(3)]
    assert f"classes:              floor {share[0]}%" in said
    for name in ("a", "b"):
        assert (tmp_path / "in-check" / name / "check.png").exists()
    with suppress(SystemExit):
        execute(["check", "in/a", "--unit", "ft", "--out", "feet"])
    assert "metres, converted as given" in capsys.readouterr().out

"""Class lists of scenes, and labels that come without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene

from ditr.captures.capture import write_capture
from ditr.captures.classes import with_numbered_classes
from ditr.cli import execute
from ditr.errors import Grade
from ditr.scene import Scene


def numbered(label: np.ndarray) -> Scene:
    return replace(make_scene(1, points=len(label)), label=label.astype(np.int32), class_names=())


def test_labels_without_a_list_are_called_by_their_numbers() -> None:
    scene = with_numbered_classes(numbered(np.array([7, -1, 7, 0, 1_000_000, -5])))
    assert scene.class_names == ("class 0", "class 7", "class 1000000")
    np.testing.assert_array_equal(scene.label, [1, -1, 1, 0, 2, -1])  # type: ignore[arg-type]
    named = make_scene(1)
    assert with_numbered_classes(named) is named
    bare = replace(named, label=None)
    assert with_numbered_classes(bare) is bare


def test_too_many_numbers_are_not_classes() -> None:
    scene = with_numbered_classes(numbered(np.arange(300)))
    assert scene.label is None and scene.class_names == ()
    finding = scene.findings[-1]
    assert finding.grade is Grade.WARNED and "300 different labels and no class list" in finding.text


def test_commands_take_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_scene(1, points=900)
    assert made.label is not None
    write_capture(replace(made, label=np.where(made.label < 0, -1, 7 * made.label), class_names=()), tmp_path / "scan")
    monkeypatch.chdir(tmp_path)
    execute(["label", "scan", "--simulate", "1", "--encoder", "none"])
    assert "3 classes" in capsys.readouterr().out
    execute(["objects", "scan", "--object-count", "class 14", "--object-min-points", "1"])
    assert "class 14" in (tmp_path / "scan-objects" / "objects_by_class.csv").read_text()

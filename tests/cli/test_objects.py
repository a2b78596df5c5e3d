"""``ditr objects``, and ``--objects`` of a command that labels."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from small_world import CLASSES, make_scene, without, write_model

from ditr.captures.capture import write_capture
from ditr.cli import execute
from ditr.errors import InputError
from ditr.inference.object_files import OBJECT_FILES


def test_things_are_counted_with_labels_and_afterwards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_capture(make_scene(points=2000), tmp_path / "scan")
    write_model(tmp_path / "model")
    out = tmp_path / "out"
    segment = ["segment", str(tmp_path / "scan"), "--model", str(tmp_path / "model"), "--no-pictures", "--force"]
    execute([*segment, "--out", str(out), "--objects", "--object-count", *CLASSES, "--object-min-points", "1", "box=5"])
    told = next(line for line in capsys.readouterr().out.splitlines() if line[:1].isdigit() and "voxels" not in line)
    with (out / "objects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    of_point = np.load(out / "object.npy", allow_pickle=False)
    assert len(rows) == of_point.max() + 1 == json.loads((out / "summary.json").read_text())["objects"] > 0 and told
    assert all(int(row["points"]) == np.count_nonzero(of_point == int(row["id"])) for row in rows)
    with pytest.raises(InputError, match="already exists"):
        execute(["objects", str(out)])
    same = ["--object-count", *CLASSES, "--object-min-points", "1", "box=5"]
    execute(["objects", str(out), "--out", str(tmp_path / "again"), *same])
    assert {path.name for path in (tmp_path / "again").iterdir()} == set(OBJECT_FILES)
    np.testing.assert_array_equal(np.load(tmp_path / "again" / "object.npy", allow_pickle=False), of_point)
    execute(["objects", str(out), "--overwrite"])
    assert (out / "label.npy").exists() and (out / "labels.ply").exists()


def test_a_labelled_capture_is_counted_and_one_without_labels_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_capture(make_scene(), tmp_path / "scan")
    execute(["objects", str(tmp_path / "scan"), "--out", str(tmp_path / "out"), "--object-gap", "box=0.5"])
    said = capsys.readouterr().out
    assert "1 box" in said and "m² of floor" in said
    write_capture(without(make_scene(), "label"), tmp_path / "bare")
    with pytest.raises(InputError, match="no labels"):
        execute(["objects", str(tmp_path / "bare")])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--object-gap", "near"], "'near' is not"),
        (["--object-min-points", "1.5"], "chair=20"),
        (["--object-min-points", "inf"], "is not"),
        (["--object-gap", "chair=nan"], "not a length"),
        (["--object-gap", "bax=0.1"], "Did you mean 'box'"),
        (["--object-area", "nothing"], "Name one of floor, wall, box"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: list[str], text: str, tmp_path: Path) -> None:
    write_capture(make_scene(), tmp_path / "scan")
    with pytest.raises(InputError, match=text):
        execute(["objects", str(tmp_path / "scan"), "--out", str(tmp_path / "out"), *options])
    assert not (tmp_path / "out").exists()


def test_rules_without_counting_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    write_capture(make_scene(), tmp_path / "scan")
    with pytest.raises(InputError, match="Add --objects"):
        execute(["segment", str(tmp_path / "scan"), "--object-gap", "1"])

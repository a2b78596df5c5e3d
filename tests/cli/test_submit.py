"""``ditr submit``: anybody's archive against what a server takes."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene
from toy_dataset import TOY, write_toy

from ditr.cli.submit import Submit, run
from ditr.datasets import table
from ditr.datasets.submission import SubmissionFormat
from ditr.errors import InputError

FORM: SubmissionFormat | None = TOY.submission


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the dataset's, and the line in the table."""
    monkeypatch.setattr(table, "BENCHMARKS", (*table.BENCHMARKS, TOY))
    return write_toy(tmp_path / "data" / "toy", [make_scene(seed) for seed in range(2)], "test").parent


def pack(path: Path, points: dict[str, int], **more: bytes) -> Path:
    assert FORM is not None
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FORM.others(list(points), "test", images=True), **more}.items():
            archive.writestr(name, content)
        for scene, count in points.items():
            archive.writestr(FORM.member(scene, "test"), FORM.content(np.zeros(count, np.int32)))
    return path


def test_a_sound_archive(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack(tmp_path / "a.zip", {f"scene_{seed}": len(make_scene(seed)) for seed in range(2)})
    run(Submit(path, data=data))
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("count points")]
    assert said == [
        "a submission to Toy, by its content (--benchmark names another one)",
        "5 members looked at",
        "nothing speaks against it as a submission to Toy",
    ]
    run(Submit(path, "toy"))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "5 members looked at (without --data: not whether each file fits its scene's points)"


def test_faults_are_counted_by_kind(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack(tmp_path / "a.zip", {f"scene_{seed}": 5 for seed in range(7)}, **{"../a": b"", "__MACOSX/a": b""})
    with pytest.raises(SystemExit) as stop:
        run(Submit(path, data=data))
    said = capsys.readouterr().out
    assert stop.value.code == 1
    assert "a name that leads out: 1\n  ../a: the name leads out of the folder it is unpacked to. Pack the" in said
    assert "files of the system: 1\n" in said and "number of files: 1\n  there are 7 for 2 scenes. Add them.\n" in said
    assert "number of points: 7\n" in said and said.count("it has 5 labels") == 5 and "  and 2 more\n" in said
    assert said.endswith("10 faults\n")


def test_refusals(data: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {})
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "1")
    for command, message in (
        (Submit(path, "tooy"), "Did you mean 'Toy'"),
        (Submit(path, "S3DIS"), r"S3DIS: submissions to its server are not known here.*Toy"),
        (Submit(path, data=data, split="val"), "there is no such split"),
        (Submit(tmp_path / "none.zip"), "there is no such file"),
        (Submit(tmp_path / "other.zip"), "does not show which benchmark it is for. Add --benchmark: .*Toy"),
    ):
        with pytest.raises(InputError, match=message):
            run(command)

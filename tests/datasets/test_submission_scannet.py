"""Submissions to ScanNet's server: what it takes passes, and each reason why it rejects is named."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ditr.cli.submit import Submit, run
from ditr.datasets.scannet.splits import scenes_of
from ditr.datasets.submission import SubmissionFormat, faults
from ditr.datasets.table import by_name
from ditr.errors import Grade
from ditr.io.zip_archive import Fault, open_archive

TEST = scenes_of("test")
POINTS = {scene: 200 + number for number, scene in enumerate(TEST)} | {TEST[-1]: 5}
ONE = f"{TEST[-1]}.txt"


def form_of(name: str) -> SubmissionFormat:
    form = by_name(name).submission
    assert form is not None
    return form


def members(name: str = "ScanNet") -> dict[str, bytes]:
    """A sound submission, of all classes."""
    form, count = form_of(name), by_name(name).class_count
    return {
        form.member(scene, "test"): form.content((np.arange(points) * 7 % count).astype(np.int32))
        for scene, points in POINTS.items()
    }


def found_in(path: Path, content: dict[str, bytes], name: str = "ScanNet", split: str = "test") -> list[Fault]:
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in content.items():
            archive.writestr(member, data)
    with open_archive(path) as opened:
        return list(faults(opened, form_of(name), POINTS if split == "test" else None, split))


@pytest.mark.parametrize("name", ["ScanNet", "ScanNet200"])
def test_a_sound_submission(tmp_path: Path, name: str) -> None:
    form, content = form_of(name), members(name)
    assert form.scenes["test"] == len(content) == 100 and form.others(TEST, "test", images=True) == {}
    assert found_in(tmp_path / "a.zip", content, name) == []
    with open_archive(tmp_path / "a.zip") as archive:
        assert [form_of(other).resembles(archive) for other in ("ScanNet", "ScanNet200")] == [
            name == "ScanNet",
            name == "ScanNet200",
        ]
    label = np.arange(by_name(name).class_count, dtype=np.int32)
    np.testing.assert_array_equal(form.labels("a.txt", form.content(label)), label)
    np.testing.assert_array_equal(form.labels("a.txt", b"1\r\n0\r\n-1\r\n1192"), [0, -1, -1, -1])


def test_what_is_written(tmp_path: Path) -> None:
    assert form_of("ScanNet").content(np.array([0, 12, 19], np.int32)) == b"1\n14\n39\n"
    assert form_of("ScanNet200").content(np.array([0, 199], np.int32)) == b"1\n1191\n"
    val = {f"{scene}.txt": b"1\n" for scene in scenes_of("val")}
    assert len(val) == 312 and found_in(tmp_path / "a.zip", val, split="val") == []


def nested(content: dict[str, bytes]) -> dict[str, bytes]:
    return {f"results/{name}": data for name, data in content.items()}


def one(change: Callable[[bytes], bytes]) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda content: content | {ONE: change(content[ONE])}


Change = Callable[[dict[str, bytes]], dict[str, bytes]]
FAULTS: dict[str, tuple[Change, str, str]] = {
    "a folder around": (nested, "files not at the root", "No text files found in results archive"),
    "some in a folder": (lambda c: c | {"a/" + ONE: b"1\n"}, "files not at the root", "only looks at the root"),
    "no text": (lambda c: {"a.npy": b"1"}, "no text files", "no .txt file"),
    "missing": (lambda c: {n: d for n, d in c.items() if n != ONE}, "missing scene", "there is no such file"),
    "of training": (lambda c: c | {"scene0000_00.txt": b"1\n"}, "text file of no scene", "of the split train"),
    "no scene's": (lambda c: c | {"readme.txt": b"hello"}, "text file of no scene", "not named after a scene"),
    "another file": (lambda c: c | {"meta.json": b"{}"}, "other files", "only the text files"),
    "floats": (one(lambda d: d.replace(b"\n", b".0\n")), "numbers with a point", "line 1 is '1.0'"),
    "exponents": (one(lambda d: b"1\n2e0\n" + d), "numbers with a point", "line 2 is '2e0'"),
    "numpy's format": (one(lambda d: b"2.000000000000000000e+00\n" * 5), "numbers with a point", "line 1 is '2.0000"),
    "a line less": (one(lambda d: d[: d.rindex(b"\n", 0, -1) + 1]), "number of lines", "it has 4 lines"),
    "a line more": (one(lambda d: d + b"1\n"), "number of lines", "it has 6 lines, but the mesh of the scene has 5"),
    "a blank line": (one(lambda d: d + b"\n"), "a blank line", "line 6 is blank"),
    "two in a line": (one(lambda d: d.replace(b"\n", b" ", 1)), "several words in a line", "line 1 has 2 words"),
    "an empty file": (one(lambda d: b""), "an empty file", "it has no line"),
    "words": (one(lambda d: b"wall\n" * 5), "a line that is not a number", "line 1 is 'wall'"),
    "not a number": (one(lambda d: b"nan\n" * 5), "a line that is not a number", "line 1 is 'nan'"),
    "endless number": (one(lambda d: b"1" * 9999), "a line that is not a number", "line 1 is '1111"),
    "UTF-16": (one(lambda d: d.decode().encode("utf-16")), "not plain text", "perhaps UTF-16"),
    "a mark": (one(lambda d: b"\xef\xbb\xbf" + d), "not plain text", "a byte order mark"),
    "classes": (one(lambda d: b"0\n1\n2\n3\n19\n"), "numbers of classes instead of ids", "class indices"),
    "the other's": (one(lambda d: b"1\n1191\n2\n3\n1163\n"), "ids of the other benchmark", "ScanNet's other benchmark"),
    "unlabelled": (one(lambda d: b"1\n-1\n2\n3\n0\n"), "unlabelled points", "the first is line 2 with -1"),
    "outside": (one(lambda d: b"1\n2\n3\n9999\n40\n"), "ids outside the list", "line 4 with 9999"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_is_named(tmp_path: Path, kind: str) -> None:
    change, expected, message = FAULTS[kind]
    found = found_in(tmp_path / "a.zip", change(members()))
    assert {fault.kind for fault in found} == {expected}
    assert message in found[0].what and found[0].remedy
    assert all((fault.grade is Grade.WARNED) == ("count as wrong" in fault.what) for fault in found)


def test_points_that_count_as_wrong_are_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, *_ = FAULTS["unlabelled"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in change(members()).items():
            archive.writestr(name, content)
    run(Submit(check=tmp_path / "a.zip", benchmark="ScanNet"))
    said = capsys.readouterr().out
    assert "warning: unlabelled points: 1\n" in said
    assert said.endswith("\n1 warning, the server accepts it, but counts these points as wrong\n")


def test_scenes_that_are_not_at_hand_are_wanted_too(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(ONE, members()[ONE])
    with open_archive(tmp_path / "a.zip") as opened:
        found = list(faults(opened, form_of("ScanNet"), {TEST[-1]: 5}, "test"))
        assert [fault.kind for fault in found] == ["missing scene"] * 99

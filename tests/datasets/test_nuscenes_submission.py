"""Submissions to nuScenes: what is written passes, and every known reason of rejection has its message."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ditr.datasets.nuscenes.facts import CLASSES
from ditr.datasets.nuscenes.submission import NuScenesSubmission
from ditr.datasets.submission import Fault, faults
from ditr.datasets.table import meant_for
from ditr.io.zip_archive import open_archive

Members = dict[str, bytes]
TOKENS = [f"{k:032x}" for k in range(3)]
POINTS = {token: 40 + 8 * k for k, token in enumerate(TOKENS)}
FORM = NuScenesSubmission()


class Small(NuScenesSubmission):
    """A split of three keyframes."""

    scenes = {"test": 3}  # noqa: RUF012


def labels(token: str) -> np.ndarray:
    return (np.arange(POINTS[token]) % len(CLASSES)).astype(np.int32)


def sound() -> Members:
    files = {FORM.member(token, "test"): FORM.content(labels(token)) for token in TOKENS}
    return {**FORM.others(TOKENS, "test", images=True), **files}


def look(path: Path, members: Members, *, data: bool = True) -> list[Fault]:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with open_archive(path) as opened:
        return list(faults(opened, Small(), POINTS if data else None, "test"))


@pytest.mark.parametrize("data", [True, False])
def test_what_is_written_passes(tmp_path: Path, data: bool) -> None:
    path, members = tmp_path / "a.zip", sound()
    assert look(path, members, data=data) == []
    assert json.loads(members["test/submission.json"]) == {
        "meta": {"use_camera": True, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": True}
    }
    assert json.loads(FORM.others(TOKENS, "val", images=False)["val/submission.json"])["meta"]["use_camera"] is False
    assert set(members) == {"test/submission.json", *(f"lidarseg/test/{token}_lidarseg.bin" for token in TOKENS)}
    with open_archive(path) as archive:
        found = meant_for(archive)
        assert found is not None and found.name == "nuScenes"
        for token in TOKENS:
            content = archive.read(FORM.member(token, "test"), 1000)
            assert isinstance(content, bytes) and content == (labels(token) + 1).astype(np.uint8).tobytes()
            np.testing.assert_array_equal(FORM.labels("", content), labels(token))
    np.testing.assert_array_equal(FORM.labels("", bytes([0, 1, 16, 17, 255])), [-1, 0, 15, -1, -1])


FIRST = FORM.member(TOKENS[0], "test")
META = "test/submission.json"


def of(name: str, content: bytes) -> Callable[[Members], Any]:
    return lambda members: members.__setitem__(name, content)


def meta(**changes: Any) -> Callable[[Members], Any]:
    def change(members: Members) -> None:
        used = json.loads(members[META])["meta"] | changes
        members[META] = json.dumps({"meta": {key: value for key, value in used.items() if value is not None}}).encode()

    return change


def renamed(old: str, new: str) -> Callable[[Members], Any]:
    def change(members: Members) -> None:
        for name in list(members):
            if old in name:
                members[name.replace(old, new)] = members.pop(name)

    return change


def array(value: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, value)
    return buffer.getvalue()


def changed(at: int, value: int) -> Callable[[Members], Any]:
    def change(members: Members) -> None:
        content = bytearray(members[FIRST])
        content[at] = value
        members[FIRST] = bytes(content)

    return change


ONE = labels(TOKENS[0]) + 1
FAULTS: dict[str, tuple[Callable[[Members], Any], str, str]] = {
    "a folder around": (lambda m: [m.__setitem__(f"results/{n}", m.pop(n)) for n in list(m)],
                        "a folder around everything", "their parent"),
    "no meta data": (lambda m: m.pop(META), "no submission.json", "missing"),
    "meta data at the root": (renamed("test/submission.json", "submission.json"), "no submission.json", "it is at sub"),
    "meta data of another split": (renamed("test/sub", "val/sub"), "no submission.json", "it is at val/submission"),
    "broken meta data": (of(META, b"{'meta': 1}"), "submission.json is not JSON", "cannot be read"),
    "deep meta data": (of(META, b"[" * 60_000), "submission.json is not JSON", "cannot be read"),
    "large meta data": (of(META, b" " * 100_000), "a file too large", "100000 bytes"),
    "no meta": (of(META, b'{"use_camera": true}'), "submission.json without meta", "'meta'"),
    "a list of meta data": (of(META, b"[1]"), "submission.json without meta", "'meta'"),
    "a key missing": (meta(use_map=None), "submission.json with other keys", "use_map missing"),
    "a key too many": (meta(team="x"), "submission.json with other keys", "team unknown"),
    "numbers for booleans": (meta(use_lidar=1), "submission.json with other values", "use_lidar are neither"),
    "text for booleans": (meta(use_lidar="true"), "submission.json with other values", "use_lidar are neither"),
    "a keyframe missing": (lambda m: m.pop(FIRST), "a keyframe without labels", "missing"),
    "a keyframe too many": (of(FORM.member("f" * 32, "test"), b"\1"), "a token of no keyframe", "not of the sample"),
    "no token": (of(FORM.member("000001", "test"), b"\1"), "a name that is not a token", "'000001'"),
    "another ending": (renamed(f"{TOKENS[0]}_lidarseg", TOKENS[0]), "a file of another name", "_lidarseg.bin"),
    "the folder of the dataset": (renamed("lidarseg/test", "lidarseg/v1.0-test"), "labels in another folder", "Move"),
    "another split": (renamed("lidarseg/test", "lidarseg/val"), "labels in another folder", "Move"),
    "a label too few": (of(FIRST, ONE[:-1].astype(np.uint8).tobytes()), "number of labels", "39 labels, but"),
    "16 bit": (of(FIRST, ONE.astype(np.int16).tobytes()), "labels of another type", "16 bit"),
    "32 bit": (of(FIRST, ONE.astype(np.uint32).tobytes()), "labels of another type", "32 bit"),
    "64 bit": (of(FIRST, ONE.astype(np.int64).tobytes()), "labels of another type", "64 bit"),
    "floats": (of(FIRST, ONE.astype(np.float32).tobytes()), "labels of another type", "32 bit"),
    "a NumPy file": (of(FIRST, array(ONE.astype(np.uint8))), "a NumPy file", "header"),
    "text": (of(FIRST, b"1\n2\n" * 10), "labels as text", "digits"),
    "empty": (of(FIRST, b""), "an empty file", "no label"),
    "zeros": (changed(3, 0), "labels that are 0", "1 of 40 labels are 0.*label 3"),
    "counted from 0": (of(FIRST, (ONE - 1).astype(np.uint8).tobytes()), "labels that are 0", "3 of 40"),
    "categories": (changed(5, 24), "labels above 16", "label 24 of point 5"),
    "unlabelled": (changed(6, 255), "labels above 16", "label 255 of point 6"),
    "too large": (of(FIRST, bytes(5 << 20)), "a file too large", "5242880 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_each_reason_of_rejection_has_its_message(tmp_path: Path, name: str) -> None:
    change, kind, said = FAULTS[name]
    members = sound()
    change(members)
    found = [fault for fault in look(tmp_path / "a.zip", members) if fault.kind == kind]
    assert found, look(tmp_path / "a.zip", members)
    assert any(re.search(said, f"{fault.what} {fault.remedy}") for fault in found), found
    assert all(fault.remedy and not fault.what.endswith(".") for fault in found)


@pytest.mark.parametrize("name", ["32 bit", "64 bit", "zeros", "categories", "no token", "a keyframe missing"])
def test_much_is_seen_without_the_dataset(tmp_path: Path, name: str) -> None:
    members = sound()
    FAULTS[name][0](members)
    kinds = {fault.kind for fault in look(tmp_path / "a.zip", members, data=False)}
    assert kinds & {FAULTS[name][1], "number of files"}, kinds


def test_the_whole_split_is_counted(tmp_path: Path) -> None:
    look(tmp_path / "a.zip", sound())
    with open_archive(tmp_path / "a.zip") as archive:
        (fault,) = faults(archive, FORM, None, "test")
        assert fault.kind == "number of files" and "3 label files, but 6,008 keyframes" in fault.what
        # A split whose number is not known, such as that of v1.0-mini.
        assert {fault.kind for fault in faults(archive, FORM, None, "mini_val")} == {
            "no submission.json", "labels in another folder"
        }  # fmt: skip

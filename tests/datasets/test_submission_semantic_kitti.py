"""What SemanticKITTI's server takes, and every reason that is known why it does not."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ditr.datasets.semantic_kitti import SEMANTIC_KITTI
from ditr.datasets.semantic_kitti.facts import SCANS, SEQUENCES
from ditr.datasets.submission import Fault, faults
from ditr.datasets.table import meant_for
from ditr.errors import Grade
from ditr.io.zip_archive import open_archive

FORM = SEMANTIC_KITTI.submission
assert FORM is not None
POINTS = 8
LABEL = np.array([0, 8, 10, 12, 14, 18, 0, 3], np.int32)
IDS = np.array([10, 40, 48, 50, 70, 81, 10, 18])
"""Raw ids of these classes."""

Members = dict[str, bytes]


@pytest.fixture(scope="module")
def sound() -> Members:
    """A whole submission of tiny sweeps."""
    names = [f"{number:02d}_{frame:06d}" for number in SEQUENCES["test"] for frame in range(SCANS[number])]
    assert len(names) == FORM.scenes["test"] == 20351
    members = dict(FORM.others(names, "test", images=True))
    return members | {FORM.member(name, "test"): FORM.content(LABEL) for name in names}


@pytest.fixture(scope="module")
def short(sound: Members) -> Members:
    """Its shortest sequence alone, with all folders."""
    return {name: content for name, content in sound.items() if name.endswith("/") or "/17/" in name}


def pack(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def found(path: Path, *, points: bool = True, split: str = "test") -> list[Fault]:
    counts = {f"{number:02d}_{frame:06d}": POINTS for number in (8, 11, 17) for frame in range(SCANS[number])}
    with open_archive(path) as archive:
        assert meant_for(archive) is SEMANTIC_KITTI
        return list(faults(archive, FORM, counts if points else None, split))


def test_a_sound_submission(tmp_path: Path, sound: Members) -> None:
    path = pack(tmp_path / "a.zip", {**sound, "description.txt": b"name: DITR"})
    assert found(path) == []
    assert FORM.member("11_000012", "test") == "sequences/11/predictions/000012.label"
    content = sound["sequences/11/predictions/000012.label"]
    np.testing.assert_array_equal(np.frombuffer(content, "<u4"), IDS)
    np.testing.assert_array_equal(FORM.labels("a", content), LABEL)
    # Things that move are of their class, instances above are not looked at, and what is not a class is wrong.
    others = np.array([252, 259, 40 | 7 << 16, 60, 0, 1000], "<u4")
    np.testing.assert_array_equal(FORM.labels("a", others.tobytes()), [0, 4, 8, 8, -1, -1])
    assert isinstance(FORM.labels("a", b"123"), Fault)


def renamed(path: str) -> Callable[[Members], Members]:
    return lambda members: {path + name: content for name, content in members.items()}


def one(content: bytes) -> Callable[[Members], Members]:
    return lambda members: {**members, "sequences/17/predictions/000003.label": content}


def without(part: str) -> Callable[[Members], Members]:
    return lambda members: {name: content for name, content in members.items() if part not in name}


def no_folders(members: Members) -> Members:
    return {name: content for name, content in members.items() if not name.endswith("/")}


FAULTS: dict[str, tuple[Callable[[Members], Members], str, str, int]] = {
    "no entries of folders": (no_folders, "folders without an entry", "sequences/17/predictions/", 3),
    "a folder around": (renamed("results/"), "a folder around everything", "sequences/ at the root", 1),
    "a sweep is missing": (without("17/predictions/000007.label"), "number of files", "490 of 491 .* 000007", 1),
    "validation is in it": (
        lambda members: {**members, "sequences/08/predictions/000000.label": FORM.content(LABEL)},
        "other sequences", "11 to 21, but there are 1 files", 1,
    ),
    "sweeps too many": (
        lambda members: {**members, "sequences/17/predictions/000491.label": FORM.content(LABEL)},
        "sweeps that do not exist", "000000 to 000490", 1,
    ),
    "another name": (
        lambda members: {**members, "sequences/17/predictions/12.label": FORM.content(LABEL)},
        "other names", "FFFFFF.label", 1,
    ),
    "other files": (lambda members: {**members, "model.pth": b"1"}, "other files", "not sequences/SS", 1),
    "uint8": (one(IDS.astype("u1").tobytes()), "type of the labels", "1 for each of 8 points, as for uint8", 1),
    "uint16": (one(IDS.astype("<u2").tobytes()), "type of the labels", "as for uint16", 1),
    "int64": (one(IDS.astype("<i8").tobytes()), "type of the labels", "as for int64", 1),
    "float32": (one(IDS.astype("<f4").tobytes()), "type of the labels", "look like float32", 1),
    "too short": (one(IDS[:5].astype("<u4").tobytes()), "length of a file", "of 5 points, but the sweep has 8", 1),
    "no whole label": (one(b"1234567"), "length of a file", "7 bytes are labels of 1.75 points", 1),
    "empty": (one(b""), "length of a file", "its 0 bytes", 1),
    "classes": (one(LABEL.astype("<u4").tobytes()), "classes instead of raw ids", "like class indices", 1),
    "no class": (
        one(np.array([0, 77, 10, 10, 10, 40, 40, 40], "<u4").tobytes()), "numbers of no class",
        "2 points have the number 0, 77", 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_named(tmp_path: Path, short: Members, fault: str) -> None:
    spoil, kind, what, count = FAULTS[fault]
    got = [one for one in found(pack(tmp_path / "a.zip", spoil(short))) if one.kind != "missing sequences"]
    assert [one.kind for one in got] == [kind] * count
    assert {one.grade for one in got} == {Grade.WARNED if kind == "numbers of no class" else Grade.REFUSED}
    assert any(re.search(what, f"{one.member} {one.what}") for one in got)


def test_missing_sequences_are_named(tmp_path: Path, short: Members) -> None:
    got = found(pack(tmp_path / "a.zip", short))
    assert len(got) == 10 and {one.kind for one in got} == {"missing sequences"}
    assert got[4].member == "sequences/15/predictions/" and "none of its 1901 sweeps is there" in got[4].what


@pytest.mark.parametrize(("kind", "said"), [("u1", "uint8"), ("<u2", "uint16"), ("<i8", "int64"), ("<f4", "float32")])
def test_types_are_told_without_the_sweeps(tmp_path: Path, short: Members, kind: str, said: str) -> None:
    path = pack(tmp_path / "a.zip", one(IDS.astype(kind).tobytes())(short))
    fault = found(path, points=False)[-1]
    assert fault.kind == "type of the labels" and said in fault.what


def test_the_name_and_damage(tmp_path: Path, short: Members) -> None:
    path = pack(tmp_path / "a.zip", short)
    place = path.read_bytes().index(IDS.astype("<u4").tobytes())
    path.write_bytes(path.read_bytes()[:place] + b"\xff" + path.read_bytes()[place + 1 :])
    path = path.rename(tmp_path / "a.ZIP")
    kinds = {one.kind for one in found(path)}
    assert kinds == {"the archive's name", "a damaged file", "missing sequences"}


def test_a_local_check_of_the_validation(tmp_path: Path) -> None:
    names = [f"08_{frame:06d}" for frame in range(SCANS[8])]
    members = dict(FORM.others(names, "val", images=False))
    members |= {FORM.member(name, "val"): FORM.content(LABEL) for name in names}
    path = pack(tmp_path / "a.zip", members)
    assert found(path, split="val") == []
    assert {one.kind for one in found(path)} == {"other sequences", "missing sequences"}

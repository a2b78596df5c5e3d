"""Anybody's zip archive: what is wrong with it is named, and nothing is unpacked or held beyond its limits."""

from __future__ import annotations

import io
import stat
import tarfile
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mutants import mutated
from watched import Watched

from ditr.errors import InputError
from ditr.io import zip_archive
from ditr.io.zip_archive import Fault, open_archive


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def patched(path: Path, old: bytes, new: bytes, count: int = -1) -> Path:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, count))
    return path


def test_members_are_looked_at_one_by_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"folder/": b"", "folder/one.txt": b"1\n2\n", "two.bin": bytes(300_000)})
    with open_archive(path) as archive:
        assert list(archive.names) == ["folder/", "folder/one.txt", "two.bin"] and archive.faults == ()
        assert archive.size("two.bin") == 300_000 and archive.read("folder/one.txt", 4) == b"1\n2\n"
        assert archive.read("two.bin", 300_000) == bytes(300_000)
        refused = archive.read("two.bin", 299_999)
        assert isinstance(refused, Fault) and (refused.kind, refused.member) == ("a file too large", "two.bin")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zip"]


def link(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("link.txt")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")


def twice(path: Path) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("a.txt", "1")
        archive.writestr("a.txt", "2")


def overlapping(path: Path) -> None:
    """The second member's entry leads to the bytes of the first one."""
    write(path, {"a.txt": b"12345678", "b.txt": b"12345678"})
    data = path.read_bytes()
    second = data.rindex(b"PK\x01\x02")
    path.write_bytes(data[: second + 42] + bytes(4) + data[second + 46 :])


def encrypted(path: Path) -> None:
    write(path, {"a.txt": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)


MEMBER_FAULTS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "up": ("a path that leads out", lambda path: write(path, {"../a.txt": b"1"})),
    "root": ("a path that leads out", lambda path: write(path, {"/etc/a.txt": b"1"})),
    "drive": ("a path that leads out", lambda path: write(path, {"C:/a.txt": b"1"})),
    "backslash": ("backslashes", lambda path: write(path, {"a\\b.txt": b"1"})),
    "control": ("an invalid name", lambda path: write(path, {"a\tb.txt": b"1"})),
    "mac": ("hidden files of the system", lambda path: write(path, {"__MACOSX/._a.txt": b"1"})),
    "store": ("hidden files of the system", lambda path: write(path, {"x/.DS_Store": b"1"})),
    "link": ("a link", link),
    "password": ("a password", encrypted),
    "bzip2": ("a rare compression", lambda path: write(path, {"a.txt": b"1"}, zipfile.ZIP_BZIP2)),
    "twice": ("a duplicate name", twice),
    "overlap": ("members that overlap", overlapping),
}


@pytest.mark.parametrize("name", MEMBER_FAULTS)
def test_what_is_wrong_with_members_is_named(name: str, tmp_path: Path) -> None:
    kind, make = MEMBER_FAULTS[name]
    make(tmp_path / "a.zip")
    with open_archive(tmp_path / "a.zip") as archive:
        assert [fault.kind for fault in archive.faults] == [kind]
        assert len(archive.names) == {"twice": 1, "overlap": 2}.get(name, 0)


def test_the_name_of_the_archive(tmp_path: Path) -> None:
    with open_archive(write(tmp_path / "a.ZIP", {"a.txt": b"1"})) as archive:
        assert [(fault.kind, fault.what) for fault in archive.faults] == [
            ("the archive's name", "'a.ZIP' does not end with .zip")
        ]


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"7z\xbc\xaf\x27\x1c\x00\x04", "it is a 7z archive"),
        (b"Rar!\x1a\x07\x01\x00", "it is a RAR archive"),
        (b"\x1f\x8b\x08\x00", r"it is a gzip file, such as a \.tar\.gz"),
        (tar(), "it is a tar archive"),
        (b"", "it is an empty file"),
        (b"1\n2\n", "it is not a zip archive"),
        (b"\n<!DOCTYPE html>", "it is a page of HTML"),
        (b"PK\x03\x04" + bytes(100), r"the zip archive is damaged or cut off \(File is not a zip file\)"),
    ],
)
def test_what_is_no_zip_archive_is_named(content: bytes, fault: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(InputError, match=rf"a\.zip: {fault}"):
        open_archive(tmp_path / "a.zip")


def test_damaged_members(tmp_path: Path) -> None:
    path = patched(write(tmp_path / "a.zip", {"a.txt": b"12345678"}, zipfile.ZIP_STORED), b"12345678", b"12345679")
    with open_archive(path) as archive:
        found = archive.read("a.txt", 8)
    assert isinstance(found, Fault) and found.kind == "a damaged file" and "CRC" in found.what


def test_a_member_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {"a.txt": bytes(1_000_000)})
    patched(path, (1_000_000).to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    with open_archive(path) as archive:
        found = archive.read("a.txt", 1_000)
    assert isinstance(found, Fault) and found.kind == "a damaged file"


def test_a_list_of_members_that_would_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.zip", {f"{number}.txt": b"1" for number in range(1000)})
    monkeypatch.setattr(zip_archive, "_DIRECTORY", 40_000)
    with pytest.raises(InputError, match="its list of members takes more than"):
        open_archive(path)


def look_at(path: Path) -> str:
    """Everything that a check does with an archive; what became of it."""
    try:
        with open_archive(path) as archive:
            found = [archive.read(name, 5_000) for name in archive.names]
            return "faults" if archive.faults or any(isinstance(one, Fault) for one in found) else "read"
    except InputError as error:
        return "refused" if error.where == str(path) else f"refused, but {error.where} is named"


@pytest.mark.parametrize(("count", "seed"), [(50, 0), pytest.param(10_000, 1, marks=pytest.mark.slow)])
def test_damaged_archives(count: int, seed: int, tmp_path: Path) -> None:
    """An error that names the file, or faults, or members: never a crash, and little memory."""
    members = {f"folder/{number}.txt": bytes([number]) * 4_000 for number in range(20)}
    whole = write(tmp_path / "whole.zip", {"folder/": b"", **members}).read_bytes()
    rng, worst, became = np.random.default_rng(seed), Watched(), Counter[str]()
    path = tmp_path / "a.zip"
    for _ in range(count):
        path.write_bytes(mutated(whole, rng))
        with worst.reading(path.stat().st_size):
            became[look_at(path)] += 1
    print(f"{count} damaged archives: {dict(became)}; {worst}")
    assert worst.beyond <= 0 and worst.seconds <= 1
    assert set(became) == {"refused", "faults", "read"}


def test_a_long_list_of_members_takes_little_memory(tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", {f"{number}": b"" for number in range(30_000)})
    worst = Watched()
    with worst.reading(path.stat().st_size), open_archive(path) as archive:
        assert len(archive.names) == 30_000
    assert worst.beyond <= 0

"""Archives of scans: unpacked and read like their folders, or refused before anything is written."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from mutants import read_damaged
from phone_folders import write_polycam, write_record3d
from small_world import make_scene

from ditr.captures.archive import is_archive
from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.errors import InputError


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """An .r3d with its folder beside."""
    write_record3d(make_scene(2, depth=True, points=2000), tmp_path / "scan")
    shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path / "scan")
    return (tmp_path / "scan.zip").rename(tmp_path / "scan.r3d")


def with_entry(archive: Path, name: str, data: bytes = b"x", mode: int = 0o100644) -> None:
    with zipfile.ZipFile(archive, "a") as file:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        file.writestr(entry, data, zipfile.ZIP_DEFLATED)


def test_a_recording_is_read_as_it_was_shared(recording: Path) -> None:
    folder, archive = read_capture(recording.with_suffix("")), read_capture(recording)
    np.testing.assert_array_equal(folder.coord, archive.coord)
    assert archive.name == "scan" and [v.name for v in archive.views] == [v.name for v in folder.views]
    assert "archive" in archive.findings[0].text and "Record3D" in archive.findings[1].text
    assert recording in find_captures(recording.parent)


def test_a_single_folder_in_an_archive_is_meant(tmp_path: Path) -> None:
    write_polycam(make_scene(2, depth=True, points=2000), tmp_path / "in" / "May 3")
    (tmp_path / "in" / "__MACOSX").mkdir()
    (tmp_path / "in" / "__MACOSX" / "x").write_text("x")
    shutil.make_archive(str(tmp_path / "scan"), "zip", tmp_path / "in")
    assert len(read_capture(tmp_path / "scan.zip").views) == 2
    write_capture(make_scene(1), tmp_path / "ours" / "room")
    shutil.make_archive(str(tmp_path / "room"), "zip", tmp_path / "ours" / "room")
    assert len(read_capture(tmp_path / "room.zip")) == 400


def test_other_archives_are_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "letters.zip", "w") as file:
        file.writestr("letter.txt", "x")
    assert not is_archive(tmp_path / "letters.zip")
    with pytest.raises(InputError, match="a ZIP archive"):
        read_capture(tmp_path / "letters.zip")


@pytest.mark.parametrize("name", ["../out.txt", "rgbd/../../out.txt", "/out.txt", "..\\out.txt"])
def test_names_that_lead_out_are_refused(recording: Path, name: str) -> None:
    with_entry(recording, name)
    with pytest.raises(InputError, match="outside the archive's folder"):
        read_capture(recording)


def test_links_are_refused(recording: Path) -> None:
    with_entry(recording, "rgbd/9.jpg", b"/etc/passwd", 0o120777)
    with pytest.raises(InputError, match="is a link"):
        read_capture(recording)


def test_bombs_are_refused(recording: Path) -> None:
    with_entry(recording, "rgbd/9.jpg", bytes(120_000_000))
    with pytest.raises(InputError, match="files would take"):
        read_capture(recording)


def test_errors_name_files_in_the_archive(recording: Path) -> None:
    whole = recording.with_suffix("")
    (whole / "rgbd" / "1.jpg").unlink()
    (whole / "rgbd" / "0.jpg").write_bytes(b"no image")
    recording.unlink()
    shutil.make_archive(str(whole), "zip", whole)
    with pytest.raises(InputError) as caught:
        read_capture(whole.with_suffix(".zip"))
    assert str(whole.with_suffix(".zip")) in caught.value.where and caught.value.where.endswith("rgbd/0.jpg")


def test_what_was_unpacked_goes_with_the_process(recording: Path) -> None:
    code = "import sys, pathlib, ditr.captures.archive as a; print(a.unpacked(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, str(recording)], capture_output=True, text=True, check=True)
    folder = Path(done.stdout.strip())
    assert folder.name.startswith("ditr-") and not folder.exists()


@pytest.mark.parametrize("count", [50, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damaged_archives_are_refused_or_read(recording: Path, count: int) -> None:
    read, worst = read_damaged(recording, count, seed=3)
    print(f"archives: {count} damaged, {read} of them read, {worst}")
    assert read < count and worst.beyond < 0

"""Files and folders elsewhere: fetched and put by URLs of several kinds, or refused in a line."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import fsspec
import pytest
from web_server import WebServer

from ditr.errors import InputError
from ditr.io.files import scratch_folder
from ditr.io.remote import Target, listing, name_of, place_of, shown

MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A folder with a file in it and one in a folder of it, whose names need no care and some."""
    folder = tmp_path / "scan"
    (folder / "images").mkdir(parents=True)
    (folder / "points.ply").write_bytes(b"ply" * 1000)
    (folder / "images" / "photo 1 é.png").write_bytes(b"png" * 500)
    return folder


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def silent(*_: object) -> None:
    """Nobody has to be told."""


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (Path("s3://bucket/scan.las"), "s3://bucket/scan.las"),
        ("gs://bucket/scan", "gs://bucket/scan"),
        (Path("zip://scan/::https://host/a.zip"), "zip://scan/::https://host/a.zip"),
        (Path("simplecache::s3://bucket/scan"), "simplecache::s3://bucket/scan"),
        (Path("file:///data/scan"), Path("/data/scan")),
        ("file:///data/scan", Path("/data/scan")),
        ("scan:1/points.ply", Path("scan:1/points.ply")),
        ("C:/scan", Path("C:/scan")),
    ],
)
def test_urls_are_told_from_paths(given: str | Path, meant: str | Path) -> None:
    assert place_of(given) == meant


def test_a_folder_of_this_machine_is_one_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mem:" / "scan").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert place_of("mem:/scan") == Path("mem:/scan")


def test_names_and_what_is_shown() -> None:
    assert name_of("https://u:p@host:8000/a/my%20scan.ply?X-Sig=abc") == "my_scan.ply"
    assert (
        name_of("zip://scan.las::s3://bucket/a.zip") == "scan.las" and name_of("zip://::s3://bucket/a.zip") == "a.zip"
    )
    assert name_of("s3://bucket") == "bucket" and "/" not in name_of("https://host/..%2F..%2Fx")
    assert shown("https://u:p@host/a.ply?X-Sig=abc") == "https://host/a.ply"
    assert shown("zip://x::https://u:p@host/a.zip?k=1") == "zip://x::https://host/a.zip"


def test_a_folder_and_a_file_are_fetched_from_a_web_server(scan: Path, tmp_path: Path) -> None:
    told: list[tuple[float, float]] = []
    with WebServer(scan.parent) as server:
        for number, url in enumerate((f"{server.url}/scan", f"{server.url}/scan/")):
            (tmp_path / f"{number}").mkdir()
            found = listing(url)
            copy = found.fetch(tmp_path / f"{number}", lambda done, total, note="": told.append((done, total)))
            assert copy.name == "scan" and content(copy) == content(scan)
        found = listing(f"{server.url}/scan/points.ply")
        assert not found.is_folder and found.total == 3000
        assert found.fetch(tmp_path, silent).read_bytes() == b"ply" * 1000
        for wrong in ("/scan/none.ply", "/none"):
            with pytest.raises(InputError, match="there is no such file or folder"):
                listing(server.url + wrong)
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="lists no files there"):
            listing(f"{server.url}/empty")
    assert told[-1] == (2, 2)
    with pytest.raises(InputError, match=r"cannot be fetched .*[Cc]onnect"):
        listing(f"{server.url}/scan")


def test_storages_of_other_kinds(scan: Path, tmp_path: Path) -> None:
    MEMORY.put(str(scan), "/fetched/scan", recursive=True)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in content(scan).items():
            archive.writestr(f"deep/scan/{name}", data)
    for number, url in enumerate(("memory://fetched/scan", f"zip://deep/scan::{tmp_path / 'a.zip'}")):
        (tmp_path / f"{number}").mkdir()
        found = listing(url)
        assert found.is_folder and found.total == 4500
        assert content(found.fetch(tmp_path / f"{number}", silent)) == content(scan)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("nothing://x", "such addresses are not supported"),
        ("memory://none/x", "there is no such file or folder"),
        ("zip://x::memory://none.zip", "there is no such file or folder"),
        ("http://no-such-host.invalid/x", "cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_is_said(url: str, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        listing(url)


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for package, url in (("s3fs", "s3://bucket/x"), ("gcsfs", "gs://bucket/x")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(InputError, match=f"pip install {package}"):
            listing(url)


def test_names_that_lead_out_are_refused(tmp_path: Path) -> None:
    MEMORY.pipe("/evil/a/../../x.txt", b"x")
    assert any(".." in name for name in MEMORY.find("/evil"))
    with pytest.raises(InputError, match="outside the archive's folder"):
        listing("memory://evil")
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("in/..\\..\\x.txt", b"x")
    with pytest.raises(InputError, match="outside the archive's folder"):
        listing(f"zip://in::{tmp_path / 'evil.zip'}")


def test_results_are_put_with_the_last_one_last(scan: Path) -> None:
    (scan / "summary.json").write_bytes(b"{}")
    target = Target("memory://put/scan")
    assert not target.is_there()
    target.require_writable()
    assert not target.is_there(), "nothing stays of the question"
    order: list[str] = []
    target.put(scan, lambda *_: order.append(max(MEMORY.find("/put/scan"), key=MEMORY.created)))
    assert order[-1] == "/put/scan/summary.json"
    assert {name.removeprefix("/put/scan/"): MEMORY.cat(name) for name in MEMORY.find("/put/scan")} == content(scan)
    assert target.is_there()
    with pytest.raises(InputError, match="cannot be written"), WebServer(scan) as server:
        Target(f"{server.url}/out").require_writable()


def test_what_was_put_is_taken_back_where_the_rest_fails(scan: Path) -> None:
    """The last file has a name that the storage cannot take; the one that it replaces is gone before."""
    for name in ("points.ply", "last.json", "mine.txt"):
        MEMORY.pipe(f"/failed/scan/{name}", b"old")
    (scan / "last.json").write_bytes(b"{}")

    def full(*_: object) -> None:
        if MEMORY.exists("/failed/scan/images/photo 1 é.png"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="No space left"):
        Target("memory://failed/scan").put(scan, full)
    left = {name.removeprefix("/failed/scan/") for name in MEMORY.find("/failed/scan")}
    assert left == {"points.ply", "mine.txt"}


def test_a_scratch_folder_goes_and_so_does_that_of_a_killed_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with scratch_folder("ditr") as folder:
        assert folder.parent == tmp_path and folder.stat().st_mode & 0o077 == 0
        killed = folder.name.replace(f"-{folder.name.split('-')[-2]}-", "-999999999-")
        (tmp_path / killed).mkdir()
    with scratch_folder("ditr"):
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())

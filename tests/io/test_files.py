"""Files and folders of results: whole or not at all, and faults that name them."""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from ditr.errors import InputError
from ditr.io.files import (
    atomic_folder,
    remove_rests,
    require_room,
    results_folder,
    write_array,
    write_json,
    write_tensors,
)
from ditr.io.ply import write_ply
from ditr.pictures.panels import save_picture


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.npy", lambda path: write_array(path, np.arange(5000))),
        ("a.safetensors", lambda path: write_tensors(path, {"a": torch.arange(5000)}, {"of": "a test"})),
        ("a.json", lambda path: write_json(path, list(range(5000)))),
        ("a.ply", lambda path: write_ply(path, {axis: np.arange(5000.0) for axis in "xyz"})),
        ("a.png", lambda path: save_picture(path, NOISE)),
        ("a.jpg", lambda path: save_picture(path, NOISE)),
    ],
)
def test_what_cannot_be_written_is_named_and_the_file_before_stays(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    """Also by libraries that hide what the system said."""
    target = tmp_path / name
    target.write_bytes(b"earlier")
    with files_of_at_most(3000), pytest.raises(OSError, match=re.escape(str(target))) as fault:
        write(target)
    assert fault.value.errno == errno.EFBIG and fault.value.filename == str(target)
    assert contents(tmp_path) == {name: b"earlier"}
    write(target)
    assert len(target.read_bytes()) > 3000 and len(list(tmp_path.iterdir())) == 1


def test_others_may_read_tensors_as_they_may_read_other_files(tmp_path: Path) -> None:
    write_tensors(tmp_path / "a.safetensors", {"a": torch.arange(5)})
    write_json(tmp_path / "a.json", [])
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.safetensors", "a.json")]
    assert modes[0] == modes[1]


@pytest.mark.parametrize("writer", [atomic_folder, lambda path: results_folder(path, ())])
def test_a_fault_in_a_folder_names_the_file_in_its_place(tmp_path: Path, writer: Callable) -> None:
    out = tmp_path / "out"
    with files_of_at_most(10), pytest.raises(OSError, match="inner/text") as fault, writer(out) as new:
        write_json(new / "inner" / "text.json", list(range(100)))
    assert fault.value.filename == str(out / "inner" / "text.json")
    assert list(tmp_path.iterdir()) == []


def test_results_take_the_places_of_earlier_ones_and_other_files_stay(tmp_path: Path) -> None:
    names = ("labels.ply", "labels.png")
    out = tmp_path / "out"
    for files in (
        {"labels.ply": "1", "labels.png": "1", "b/labels.png": "1"},
        {"labels.ply": "2", "b/labels.ply": "2"},
    ):
        with results_folder(out, names) as new:
            for name, content in files.items():
                (new / name).parent.mkdir(exist_ok=True)
                (new / name).write_text(content, encoding="utf-8")
        (out / "notes.txt").write_text("mine", encoding="utf-8")
        (out / "b" / "notes.txt").write_text("mine", encoding="utf-8")
    # The pictures of the first time, which the second time lacks, are gone.
    assert contents(out) == {
        "labels.ply": b"2",
        "b/labels.ply": b"2",
        "notes.txt": b"mine",
        "b/notes.txt": b"mine",
    }


@pytest.mark.parametrize("before", [None, {}, {"labels.ply": b"1", "notes.txt": b"mine"}])
def test_results_that_fail_change_nothing(tmp_path: Path, before: dict[str, bytes] | None) -> None:
    out = tmp_path / "out"
    if before is not None:
        out.mkdir()
        for name, content in before.items():
            (out / name).write_bytes(content)

    def fail() -> None:
        with results_folder(out, ("labels.ply",)) as new:
            (new / "labels.ply").write_text("2", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert out.exists() == (before is not None)
    assert contents(tmp_path) == {f"out/{name}": content for name, content in (before or {}).items()}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are copies")
@pytest.mark.parametrize("before", [None, {}, {"labels.ply": b"1", "notes.txt": b"mine"}])
def test_a_killed_process_changes_nothing_and_its_rests_go(tmp_path: Path, before: dict[str, bytes] | None) -> None:
    out = tmp_path / "out"
    if before is not None:
        out.mkdir()
        for name, content in before.items():
            (out / name).write_bytes(content)
    child = os.fork()
    if not child:
        with results_folder(out, ("labels.ply",)) as new:
            (new / "labels.ply").write_text("2", encoding="utf-8")
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    seen = {name: content for name, content in contents(tmp_path).items() if ".part" not in name}
    assert seen == {f"out/{name}": content for name, content in (before or {}).items()}
    with results_folder(out, ("labels.ply",)) as new:
        (new / "labels.ply").write_text("3", encoding="utf-8")
    assert contents(tmp_path) == {
        f"out/{name}": content for name, content in {**(before or {}), "labels.ply": b"3"}.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_link_to_a_folder_stays(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real", target_is_directory=True)
    with results_folder(tmp_path / "link", ()) as new:
        (new / "a").write_text("a", encoding="utf-8")
    assert (tmp_path / "link").is_symlink() and contents(tmp_path / "real") == {"a": b"a"}


def test_a_folder_of_results_is_replaced_as_a_whole(tmp_path: Path) -> None:
    out, names = tmp_path / "out", ("labels.ply", "images/")
    for rows in (("a.png", "b.png"), ("b.png", "c.png"), ()):
        with results_folder(out, names) as new:
            (new / "labels.ply").write_text("x")
            for row in rows:
                (new / "images").mkdir(exist_ok=True)
                (new / "images" / row).write_text(row)
        there = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
        assert there == [*(f"images/{row}" for row in rows), "labels.ply"]
        assert not rows or (out / "images").is_dir()
    assert not (out / "images").exists()


def test_rests_of_processes_that_ended_are_removed_and_no_others(tmp_path: Path) -> None:
    host = re.sub(r"[^\w-]", "_", socket.gethostname())
    ended = os.fork()
    if not ended:
        os._exit(0)
    os.waitpid(ended, 0)
    gone = [f".out.{host}-{ended}-0123abcd.part", f".labels.{host}-{ended}-0123abcd.part.ply"]
    stay = [f".out.{host}-{os.getpid()}-0123abcd.part", f".out.elsewhere-{ended}-0123abcd.part", ".out.part", "out"]
    for name in (*gone, *stay):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a", encoding="utf-8")
    remove_rests(tmp_path)
    remove_rests(tmp_path / "nowhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(stay)


def test_room_is_asked_for_before_the_work(tmp_path: Path) -> None:
    require_room(tmp_path / "not" / "there" / "yet", 1000)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"yet: it needs at least 1000000000\.0 GB, but .* are free there"):
        require_room(tmp_path / "yet", 10**18)
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(NotADirectoryError, match="file"):
        require_room(tmp_path / "file" / "out")
    with pytest.raises(OSError, match="proc"):
        require_room(Path("/proc/nothing/out"))

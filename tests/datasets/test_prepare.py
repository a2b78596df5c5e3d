"""Preparing a download: pieces whole or not at all, whatever is killed, full or in the way, and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from raw_semantic_kitti import street_sweeps, write_raw

from ditr.cli import main
from ditr.datasets import prepare as preparing
from ditr.datasets.prepare import check, prepare, records
from ditr.datasets.raw import Place, PrepareOptions, RawPiece, Repair
from ditr.datasets.workers import side_by_side
from ditr.errors import InputError
from ditr.io.locks import FolderLock
from ditr.scene import SceneSource

SUPPORT = Path(__file__).parents[1] / "support"
NOW = PrepareOptions()


@dataclass(frozen=True)
class TextPiece:
    """A file that is copied, in capitals, to a folder of its own and one beside; words in it make trouble."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def split(self) -> str:
        return "train"

    @property
    def sources(self) -> Sequence[Path]:
        return [self.path]

    @property
    def places(self) -> Sequence[Place]:
        return [Place(self.name, "_upper"), Place(f"train/{self.name}")]

    def write(self, parts: Sequence[Path]) -> Sequence[Repair]:
        text = self.path.read_text(encoding="utf-8")
        for part in parts:
            part.mkdir()
            (part / "half").write_text("", encoding="utf-8")
        if text == "bad":
            raise InputError(self.path, "it is bad", "Write another one")
        if text == "much":
            raise MemoryError
        if text == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "full":
            raise OSError(28, "No space left on device")
        if text == "long":
            time.sleep(60)
        for part in parts:
            (part / "text").write_text(text.upper(), encoding="utf-8")
            (part / "half").unlink()
        return [Repair("odd", str(self.path), "it was odd")] if text == "odd" else []

    def check(self) -> Iterator[InputError | Repair]:
        text = self.path.read_text(encoding="utf-8")
        if text == "odd":
            yield Repair("odd", str(self.path), "it is odd")
        if text == "bad":
            raise InputError(self.path, "it is bad", "Write another one")

    def size(self) -> int:
        return 10


@dataclass(frozen=True)
class Texts:
    """A download of text files."""

    root: Path
    finished: list[list[str]] = field(default_factory=list)

    @property
    def pieces(self) -> Sequence[RawPiece]:
        return [TextPiece(path) for path in sorted(self.root.glob("*.txt"))]

    def check(self) -> Iterator[InputError]:
        return iter(())

    def finish(self, out: Path, pieces: Sequence[RawPiece]) -> None:
        self.finished.append([piece.name for piece in pieces])

    def source(self, splits: Sequence[str], images: bool) -> SceneSource:
        raise NotImplementedError


@pytest.fixture
def raw(tmp_path: Path) -> Texts:
    return texts(tmp_path / "raw", a="one", b="odd", c="three")


def texts(root: Path, **contents: str) -> Texts:
    root.mkdir(exist_ok=True)
    for name, content in contents.items():
        (root / f"{name}.txt").write_text(content, encoding="utf-8")
    return Texts(root)


def tree(out: Path) -> dict[str, str]:
    """All files, also hidden ones, except for manifest and records."""
    return {
        str(path.relative_to(out.parent)): path.read_text(encoding="utf-8")
        for root in (out, out.with_name(f"{out.name}_upper"))
        for path in root.rglob("*")
        if path.is_file() and not path.relative_to(root).parts[0].startswith("manifest")
    }


def whole(**contents: str) -> dict[str, str]:
    names = {f"out/train/{name}/text": content.upper() for name, content in contents.items()}
    return names | {f"out_upper/{name}/text": content.upper() for name, content in contents.items()}


ALL = whole(a="one", b="odd", c="three")


@pytest.mark.parametrize("workers", [0, 2])
def test_pieces_are_prepared_once(tmp_path: Path, raw: Texts, workers: int) -> None:
    out, steps = tmp_path / "out", []
    done = prepare("texts", raw, out, NOW, workers=workers, progress=lambda n, of: steps.append((n, of)))
    assert sorted(done.done) == ["a", "b", "c"] and not done.failed and [one.kind for one in done.repairs] == ["odd"]
    assert tree(out) == ALL and steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    summary = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert summary["dataset"] == "texts" and summary["pieces"] == {"train": 3} and summary["repairs"] == {"odd": 1}
    assert summary["sources"]["a"] == records(out)["a"]["sha256"]
    again = prepare("texts", raw, out, NOW, workers=0)
    assert again.done == () and sorted(again.kept) == ["a", "b", "c"] and again.repairs == done.repairs


def test_what_has_changed_is_prepared_anew_and_no_other(tmp_path: Path, raw: Texts) -> None:
    out = tmp_path / "out"
    prepare("texts", raw, out, NOW, workers=0)
    texts(raw.root, a="other", d="four")
    assert sorted(prepare("texts", raw, out, NOW, workers=0).done) == ["a", "d"]
    assert tree(out) == whole(a="other", b="odd", c="three", d="four")
    # A source that is bad now does not cost what was made of the one before.
    texts(raw.root, a="bad")
    assert list(prepare("texts", raw, out, NOW, workers=0).failed) == ["a"]
    assert tree(out) == whole(a="other", b="odd", c="three", d="four")
    assert len(prepare("texts", raw, out, PrepareOptions(copy=True), workers=0).done) == 3
    assert json.loads((out / "manifest.json").read_text(encoding="utf-8"))["options"]["copy"] is True


def test_splits_one_after_the_other_are_summed_up(tmp_path: Path, raw: Texts) -> None:
    out = tmp_path / "out"
    part = Texts(texts(tmp_path / "part", a="one").root)
    prepare("texts", raw, out, NOW, workers=0)
    (part.root / "a.txt").unlink()
    texts(part.root, d="four")
    prepare("texts", part, out, PrepareOptions(splits=("train",)), workers=0)
    summary = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert summary["pieces"] == {"train": 4} and summary["repairs"] == {"odd": 1} and len(summary["sources"]) == 4


@pytest.mark.parametrize(
    ("content", "said"),
    [("bad", "it is bad"), ("much", "b: it needs more memory"), ("dies", "b: the process that read it died")],
)
def test_a_piece_that_fails_costs_no_other(tmp_path: Path, content: str, said: str) -> None:
    raw, out, told = texts(tmp_path / "raw", a="one", b=content, c="three"), tmp_path / "out", []
    done = prepare("texts", raw, out, NOW, workers=1, tell=told.append)
    assert list(done.failed) == ["b"] and said in str(done.failed["b"]) and len(told) == 1
    assert sorted(done.done) == ["a", "c"] and raw.finished == [["a", "c"]]
    assert tree(out) == whole(a="one", c="three")
    texts(raw.root, b="two")
    assert prepare("texts", raw, out, NOW, workers=0).done == ("b",)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_keeps_whole_pieces(tmp_path: Path, workers: int) -> None:
    raw, out = texts(tmp_path / "raw", a="one", b="full", c="three"), tmp_path / "out"
    with pytest.raises(OSError, match="No space left") as caught:
        prepare("texts", raw, out, NOW, workers=workers)
    assert str(caught.value.filename) == str(out)
    assert whole(a="one").items() <= tree(out).items() <= whole(a="one", c="three").items()
    texts(raw.root, b="two")
    prepare("texts", raw, out, NOW, workers=0)
    assert tree(out) == whole(a="one", b="two", c="three")


def test_what_was_not_prepared_here_is_never_replaced(tmp_path: Path, raw: Texts) -> None:
    for strange in ("out/train/b", "out_upper/c"):
        path = tmp_path / strange / "mine.txt"
        path.parent.mkdir(parents=True)
        path.write_text("mine", encoding="utf-8")
        with pytest.raises(InputError, match=f"{strange}: it already exists and was not written by ditr prepare"):
            prepare("texts", raw, tmp_path / "out", NOW, workers=0)
        assert tree(tmp_path / "out") == {f"{strange}/mine.txt": "mine"}
        assert not (tmp_path / "out" / "manifest.json").exists()
        path.unlink()
        path.parent.rmdir()
    prepare("texts", raw, tmp_path / "out", NOW, workers=0)
    with pytest.raises(InputError, match="texts, not others"):
        prepare("others", raw, tmp_path / "out", NOW, workers=0)


def test_rests_of_killed_runs_go(tmp_path: Path, raw: Texts) -> None:
    out = tmp_path / "out"
    for rest in ("out/.preparing/1234/a-0/half", "out_upper/.preparing/1234/a-1/half"):
        (tmp_path / rest).parent.mkdir(parents=True)
        (tmp_path / rest).write_text("", encoding="utf-8")
    prepare("texts", raw, out, NOW, workers=0)
    assert tree(out) == ALL


def test_two_do_not_prepare_the_same_folder(tmp_path: Path, raw: Texts) -> None:
    with FolderLock(tmp_path / "out"), pytest.raises(InputError, match="has been working in this folder since"):
        prepare("texts", raw, tmp_path / "out", NOW, workers=0)


def test_a_look_names_everything(tmp_path: Path) -> None:
    raw = texts(tmp_path / "raw", a="one", b="bad", c="odd")
    (raw.root / "d.txt").mkdir()
    found = check(raw, workers=0)
    assert found.found == {"train": 4} and [one.kind for one in found.repairs] == ["odd"] and found.size == 20
    assert ["it is bad" in str(fault) or "it cannot be read (Is a directory)" in str(fault) for fault in found.faults]
    assert len(found.faults) == 2


def _quick() -> str:
    return "quick"


def _slow() -> str:
    time.sleep(60)
    return "slow"


@pytest.mark.parametrize("workers", [1, 2])
def test_stopping_does_not_wait(workers: int) -> None:
    work: dict[str, Callable[[], str]] = {"quick": _quick, **{f"slow {number}": _slow for number in range(4)}}
    results: list[str] = []
    begin = time.monotonic()
    for _, result in side_by_side(work, workers, lambda: bool(results)):
        results.append(result)
    assert results == ["quick"] and time.monotonic() - begin < 40


_STOPPED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
if __name__ == "__main__":
    from test_prepare import NOW, Texts, prepare
    prepare("texts", Texts(Path({raw!r})), Path({out!r}), NOW, workers=1)
"""


def test_a_signal_stops_it_at_once_and_it_goes_on_later(tmp_path: Path) -> None:
    raw, out = texts(tmp_path / "raw", a="one", b="long", c="three"), tmp_path / "out"
    (tmp_path / "program.py").write_text(
        _STOPPED.format(tests=str(Path(__file__).parent), raw=str(raw.root), out=str(out)), encoding="utf-8"
    )
    path = os.pathsep.join(filter(None, sys.path))
    process = subprocess.Popen([sys.executable, tmp_path / "program.py"], env={**os.environ, "PYTHONPATH": path})
    while not (out / "train" / "a").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert tree(out) == whole(a="one")
    texts(raw.root, b="two")
    assert sorted(prepare("texts", raw, out, NOW, workers=0).done) == ["b", "c"]


def killed(folder: Path, kills: int, *datasets: str) -> list[dict[str, object]]:
    command = [sys.executable, SUPPORT / "killed_preparations.py", folder, str(kills), "1", *datasets]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(SUPPORT), *sys.path]))}
    ended = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True, timeout=1700)
    assert ended.returncode == 0, ended.stderr[-3000:]
    print(ended.stdout)
    return [json.loads(line) for line in ended.stdout.splitlines() if line.startswith("{")]


@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_five_kills_leave_the_same_tree(tmp_path: Path) -> None:
    for found in killed(tmp_path, 5, "SemanticKITTI"):
        assert found["main"] + found.get("stop", 0) == 5  # type: ignore[operator]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc")
def test_many_kills_leave_the_same_tree(tmp_path: Path) -> None:
    for found in killed(tmp_path, 60):
        assert sum(int(found.get(kind, 0)) for kind in ("main", "stop", "worker")) == 60  # type: ignore[call-overload]


# ---- the command -----------------------------------------------------------------------------------------------------


def test_folders_that_cannot_be_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("embreex", reason="Streets need embreex")
    raw = write_raw(tmp_path / "kitti", {8: street_sweeps(3)[:1]})
    before = sorted(tmp_path.rglob("*"))
    for arguments, said in (
        ([raw, raw], "kitti: this is the folder of the download"),
        ([raw, raw / "dataset" / ".." / "."], "this is the folder of the download"),
        ([tmp_path / "none", tmp_path / "out"], "there is no such folder"),
        ([raw / "dataset" / "sequences" / "08", tmp_path / "out"], "there is nothing of SemanticKITTI"),
        ([raw], "OUT: it is missing"),
        ([raw, raw / "dataset" / "sequences" / "08" / "calib.txt"], "it is a file"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["prepare", "semantickitti", *map(str, arguments), "--workers", "0"])
        assert stop.value.code == 2 and said in capsys.readouterr().err
        assert sorted(tmp_path.rglob("*")) == before
    # Inside the download is fine.
    main(["prepare", "semantickitti", str(raw), str(raw / "prepared"), "--workers", "0"])
    main(["prepare", "semantickitti", str(raw), str(raw / "prepared"), "--workers", "0"])
    assert "0 sequences prepared, 1 were already prepared" in capsys.readouterr().out
    assert json.loads((raw / "prepared" / "manifest.json").read_text(encoding="utf-8"))["schema"] == preparing.SCHEMA

"""The commands and programs of the README, the documentation and the helps run on a small world, in order."""

from __future__ import annotations

import inspect
import re
import shlex
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("fsspec", reason="the documentation has URLs: pip install 'ditr[remote]'")
pytest.importorskip("embreex", reason="the built-in rooms need embreex: pip install 'ditr[rooms]'")
pytest.importorskip("laspy", reason="the documentation has LAS files: pip install 'ditr[las]'")
pytest.importorskip("rosbags", reason="the documentation has ROS bags: pip install 'ditr[ros]'")
pytest.importorskip("viser", reason="the documentation has the viewer: pip install 'ditr[view]'")

import fsspec
from documented_world import SMALL_TRAINING, write_documented_world, write_hub
from hub_server import HubServer
from huggingface_hub import constants
from web_server import WebServer

from ditr.captures.capture import read_capture
from ditr.cli import _commands, _understood, main
from ditr.inference.segmenter import Segmenter
from ditr.io import hub

ROOT = Path(__file__).resolve().parents[1]
FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "benchmarks/README.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
)
NOT_RUN = {
    r"(pip|git|make|python) ": "set-up and examples: CI does it itself; tests/test_package.py, tests/test_examples.py",
    r"ditr demo": "minutes: tests/studies/test_demo.py",
    r"ditr reproduce": "minutes: tests/studies/reproduce",
    r"ditr bench": "minutes: tests/studies/test_bench.py",
    r"ditr .*--device cuda": "needs a GPU",
    r"ditr .*--ray": "needs Ray: tests/inference/test_on_ray.py",
}
"""Commands that are only parsed here, and why."""
_SUBMISSION = (
    (r"\bRUN\b", "nuscenes-RUN"),
    (r"\bDATA\b", "ROOT"),
    (r"FILE\.zip(?=.*--split val)", "submission-nuScenes-val-nuscenes-RUN.zip"),
    (r"FILE\.zip", "submission-nuScenes-test-nuscenes-RUN.zip"),
)
SUBSTITUTES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        (r"(--train|--test|--count) \d+", r"\1 1"),
        (r"s3://", "memory://"),
        (r"https://host/", "WEB/"),
        (r"\$SLURM_ARRAY_TASK_ID", "1"),
        (r"dinov2-small-derived|dinov3-large", "encoder"),
        (r"task\.whiten=64", "task.whiten=16"),
        (r"weights NAME", "weights ditr-nuscenes-dinov2-s"),
        (r"drive\.bag/000012", "drive.bag/000001"),
        (r"--every 10", "--every 1"),
        (r" --set epochs=\d+", ""),
        (r"^ditr prepare .*", r"\g<0> --workers 0"),
        (r"^ditr train .*", rf"\g<0> {shlex.join(SMALL_TRAINING)}"),
    ),
    "docs/datasets.md": (
        (r"DATASET", "scannet"),
        (r"RECIPE", "scannet/ditr"),
        (r"(nuscenes|semantickitti) RAW", r"\1 RAW-\1"),
        (r"train (nuscenes|semantic_kitti)/.*", r"\g<0> --encoder encoder"),
    ),
    "docs/many.md": ((r"(\.laz'|DRIVE) --model RUN", r"\1 --model points-RUN"),),
    "docs/submissions.md": _SUBMISSION,
    "docs/weights.md": ((r"CAPTURE(?= --model ditr-nuscenes)", "drive.bag/000001"),),
    "ditr submit --help": _SUBMISSION,
    "ditr evaluate --help": ((r"RUN(?=.*nuScenes)", "nuscenes-RUN"),),
}
"""Per page, those of all pages first: words of a command, and what stands for them in the small world."""
EARLIER = {
    "docs/viewer.md": ("scan-labels", "other-labels"),
    "ditr view --help": ("scan-labels", "other-labels"),
    "ditr objects --help": ("scan-labels",),
    "ditr segment --help": ("mine.bank",),
}
"""What earlier commands have written; a page that is not here writes it itself."""
STATUS = {"submit": (0, 1), "verify": (0, 1)}
"""Exit codes beside 0: an archive of few scenes is not complete, a network of two steps is not as good as published."""


LATER = {name for names in EARLIER.values() for name in names}
WRITTEN = ("RUN", "points-RUN", "nuscenes-RUN", "scan-labels")


def commands_of(text: str) -> list[str]:
    """The commands of fenced blocks, without their comments."""
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", text, re.DOTALL)
    lines = [line.partition(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if re.match(r"(ditr|pip|git|make|python) ", line)]


def pages() -> dict[str, list[str]]:
    """The commands of every page that has some, and of the help of every command."""
    found = {name: commands_of((ROOT / name).read_text(encoding="utf-8")) for name in FILES}
    for kind in _commands():
        lines = inspect.cleandoc(kind.__doc__ or "").splitlines()
        examples = [re.split(" {2,}", line.removeprefix("$ "))[0] for line in lines if line.startswith("$ ")]
        found[f"ditr {kind.__name__.lower()} --help"] = examples
    # A page in the browser is served by a process of its own: each command once.
    seen: set[str] = set()
    for name, commands in found.items():
        found[name] = [command for command in commands if not (command in seen and command.startswith("ditr view"))]
        seen |= set(commands)
    return {name: commands for name, commands in found.items() if commands}


@dataclass(frozen=True)
class World:
    """What the commands find.

    Attributes:
        files: the folder whose entries are in every page's folder.
        home: of the machine's caches.
        server: the hub.
    """

    files: Path
    home: Path
    server: HubServer


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("documented")
    (root / "world").mkdir()
    write_documented_world(root / "world")
    with HubServer(write_hub(root / "hub")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment(root / "home").items():
            patch.setenv(name, value)
        patch.setenv("DITR_CACHE", str(root / "home" / "ditr"))
        patch.setattr(constants, "ENDPOINT", server.endpoint)
        template = server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(root / "home" / "hub"))
        patch.setattr(hub, "_out_of_reach", {})
        yield World(root / "world", root / "home", server)


def enter(page: str, world: World, folder: Path) -> None:
    """Put everything that the page's commands name into ``folder``."""
    for path in world.files.iterdir():
        if path.name in LATER and path.name not in EARLIER.get(page, ()):
            continue
        if path.name in WRITTEN:  # into these commands write
            shutil.copytree(path, folder / path.name)
        else:
            (folder / path.name).symlink_to(path)
    memory = fsspec.filesystem("memory")
    memory.put(str(world.files / "CAPTURE"), "/bucket/scans/hall", recursive=True)


def adapted(command: str, page: str, web: str) -> list[str]:
    """The words of a command behind ``ditr``, for the small world."""
    for old, new in (*SUBSTITUTES[""], *SUBSTITUTES.get(page, ())):
        command = re.sub(old, new, command)
    return [word.replace("WEB/", f"{web}/") for word in shlex.split(command)[1:]]


def run(words: list[str]) -> None:
    """Run a command to its end; one that serves a page, until the page has answered."""
    if words[0] == "view":
        view(words)
        return
    written = {"train": words[2:3], "import": words[2:3]}.get(words[0], [])
    for path in map(Path, written):
        if path.is_symlink():
            path.unlink()
    status: object = 0
    try:
        main(words)
    except SystemExit as end:
        status = end.code
    assert status in STATUS.get(words[0], (0, None)), words


def view(words: list[str]) -> None:
    command = [sys.executable, "-m", "ditr", *words, "--no-open", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("open "):
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
            with browser.open(line.split()[1]) as page:
                assert page.status == 200
            process.terminate()
            break
    process.communicate(timeout=30)
    assert any(line.startswith("open ") for line in said), "".join(said)


ALTERNATIVES = [page for page in pages() if page.endswith("--help") and page != "ditr submit --help"]


@pytest.mark.parametrize("page", list(pages()))
def test_every_command_runs(page: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one folder, as somebody types them; those of most helps are alternatives, each in a folder of its own."""
    with WebServer(world.files / "web") as server:
        for number, command in enumerate(pages()[page]):
            folder = tmp_path / (str(number) if page in ALTERNATIVES else "page")
            if not folder.exists():
                folder.mkdir()
                enter(page, world, folder)
            monkeypatch.chdir(folder)
            words = adapted(command, page, server.url)
            if any(re.match(start, command) for start in NOT_RUN):
                if command.startswith("ditr "):
                    _understood(words)
                continue
            run(words)


ELSEWHERE = ("README.md", "docs/python.md")
"""Pages whose programs have tests of their own."""
PROGRAMS = [
    page for page in FILES if page not in ELSEWHERE and "```python" in (ROOT / page).read_text(encoding="utf-8")
]


@pytest.mark.parametrize("page", PROGRAMS)
def test_every_program_runs(page: str, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(page, world, tmp_path)
    monkeypatch.chdir(tmp_path)
    main(["features", "CAPTURE"])
    given: dict[str, object] = {
        "segmenter": Segmenter.from_pretrained("points-RUN"),
        "scans": [read_capture("CAPTURE")],
    }
    programs = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    for program in programs:
        exec(compile(program, page, "exec"), given)


FOREIGN = {"--signal"}
"""Options of other programs."""


def options_of(command: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return set(re.findall(r"--[a-z][\w-]*", capsys.readouterr().out))


def test_every_option_in_the_text_exists(capsys: pytest.CaptureFixture[str]) -> None:
    """Of the command that it stands behind, or of some command where it stands alone."""
    known = {kind.__name__.lower(): options_of(kind.__name__.lower(), capsys) for kind in _commands()}
    anywhere = set.union(*known.values()) | FOREIGN
    seen = 0
    for page in FILES:
        text = re.sub(r"```.*?```", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", text):
            named = re.match(r"ditr ([a-z]+)", code)
            assert named is None or named[1] in known, f"{page}: {code}"
            for option in re.findall(r"(?<![\w-])--[a-z][\w-]*", code):
                seen += 1
                assert option in (known[named[1]] if named else anywhere), f"{page}: {code}"
    assert seen > 200

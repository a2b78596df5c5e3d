"""Without a network: every command of the documentation answers with one screen that helps, and its advice works."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cloud_files import write_las
from hub_server import HubServer
from huggingface_hub import constants
from prepared_layouts import write_scannet
from published_checkpoints import ROWS, SMALL, published_shapes, published_values, write_checkpoint
from small_world import NETWORK, make_scene, tiny_encoding, without, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.cli import main
from ditr.data.preparation import Preparation
from ditr.encoders.weights import SHORT_NAMES
from ditr.errors import InputError
from ditr.inference.segmenter import Segmenter
from ditr.io import hub
from ditr.weights.missing import missing_downloads
from ditr.weights.published import REPOSITORY, published_model
from ditr.weights.saved_model import EncoderConfig, ModelConfig, save_model

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
NOWHERE = "http://127.0.0.1:9"
INDOOR = "ditr-scannet200-dinov2-l"
# What needs nothing but what is on the machine has tests of its own.
LOCAL = ("--version", "cache", "check", "convert", "doctor", "objects", "recipes", "rooms", "streets", "view")


def documented() -> list[str]:
    """The commands in the fenced blocks of the documentation, without their comments."""
    blocks = [block for path in DOCUMENTS for block in re.findall(r"```\w*\n(.*?)```", path.read_text(), re.DOTALL)]
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("ditr ")]
    return sorted({" ".join(shlex.split(line, comments=True)) for line in lines})


def checkpoint(folder: Path, name: str) -> Path:
    """A small one in the layout of a published model, at its place in the authors' repository."""
    layout = next(row for row in ROWS if row.name == name)
    path = folder / published_model(name).files[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    made = write_checkpoint(path, published_values(published_shapes(layout, SMALL["PTv3"])), layout)
    assert made == path
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captures, a run and prepared data under the names that the documentation gives them."""
    folder = tmp_path_factory.mktemp("made")
    write_capture(make_scene(depth=True), folder / "CAPTURE", image_format="png")
    write_world(folder / "CAPTURES", 2)
    (folder / "scans").mkdir()
    write_las(make_scene(0), folder / "scans" / "a.laz")
    (folder / "FOLDER_OF_CAPTURES").symlink_to("CAPTURES")
    write_scannet(folder / "ROOT" / "scannet", [make_scene(0, depth=True, points=60)], "train")
    write_scannet(folder / "ROOT" / "scannet", [make_scene(0, depth=True, points=60)], "val")
    encoding = tiny_encoding(folder)
    config = ModelConfig(
        replace(NETWORK, in_channels=6, image_width=encoding.encoder.width),
        Preparation(voxel_size=0.25),
        ("floor", "wall", "box"),
        encoder=replace(EncoderConfig.of(encoding.encoder, encoding.spec), name="facebook/dinov2-with-registers-small"),
    )
    save_model(folder / "RUN", config, config.build())
    return folder


@pytest.fixture
def offline(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The working folder of commands on a machine that reaches neither the hub nor a package index."""
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("DITR_CACHE", str(tmp_path / "cache"))
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": NOWHERE, "PIP_NO_CACHE_DIR": "1"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "ENDPOINT", NOWHERE)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub, "_out_of_reach", {})
    return tmp_path


def refusal(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says that cannot do its work: one screen, the error last, and nothing is left behind."""
    before = set(Path().iterdir())
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main(shlex.split(command)[1:])
    said, told = capsys.readouterr()
    assert stopped.value.code == 2, command
    assert "Traceback" not in told and len((said + told).splitlines()) < 25, said + told
    start = next(line for line in told.splitlines() if line.startswith("ditr: ") and "warning" not in line)
    assert set(Path().iterdir()) - before <= {Path("cache")}, command
    assert "*" not in start and "{" not in start, start
    return told[told.index(start) :]


def test_every_documented_command_helps(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands = [command.replace("/tmp/", "") for command in documented() if command.split()[1] not in LOCAL]
    assert len(commands) > 20
    asked = 0
    for command in commands:
        if command.startswith("ditr weights") and "--download" not in command:
            continue
        said = refusal(command, capsys)
        if "cannot be reached" in said:
            asked += 1
            assert "--download`" in said and "HTTPS_PROXY" in said and "HF_ENDPOINT" in said, said
    assert asked > 8


def test_the_list_of_weights_is_one_screen_without_a_network(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["weights"])
    said = capsys.readouterr().out
    assert len(said.splitlines()) < 25 and max(map(len, said.splitlines())) < 120
    assert re.search(r"ditr-scannet200-dinov2-l +dinov2-large-reg +41.2 +1,404 MB", said)
    assert "licence of the weights: unknown, since the Hugging Face hub cannot be reached" in said
    without_file = said[said.index("without a file") :]
    assert "ditr-scannet-dinov2-l" in without_file and INDOOR not in without_file
    main(["weights", INDOOR])
    said = capsys.readouterr().out
    assert (
        "not on this machine: checkpoint, 187 MB" in said and "facebook/dinov2-with-registers-large, 1,217 MB" in said
    )


def test_all_that_is_missing_is_named_at_once(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(f"ditr segment CAPTURE --model {INDOOR}", capsys)
    for words in (
        "its checkpoint and its image encoder facebook/dinov2-with-registers-large are not on this machine",
        f"{NOWHERE}/rwthvision/ditr/tree/main/scannet200/semseg-ptv3_dino-L",
        f"{NOWHERE}/facebook/dinov2-with-registers-large",
        str(offline / "cache" / "models" / INDOOR),
        str(offline / "hub" / "models--facebook--dinov2-with-registers-large"),
    ):
        assert words in said
    assert refusal("ditr segment CAPTURE", capsys) == said, "the same advice where the model was chosen"
    assert "cannot be reached" in refusal("ditr segment CAPTURE --model RUN", capsys)
    with pytest.raises(SystemExit):
        main(["segment", "CAPTURES"])
    assert capsys.readouterr().out.count("model: ") == 1, "of many it is chosen once"


def test_what_is_here_is_looked_at_first(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (offline / "EMPTY").mkdir()
    for command, fault in (
        (f"ditr verify ScanNet200 --model {INDOOR} --data EMPTY", "val: there is no such split"),
        (f"ditr verify ScanNet200 --model {INDOOR} --data NOWHERE", "no such folder"),
        (f"ditr segment NOWHERE --model {INDOOR}", "no such folder"),
        (f"ditr evaluate {INDOOR} --data EMPTY", "no capture here"),
        (f"ditr train scannet200/ditr NEW --data EMPTY --init {INDOOR}", "no such split"),
        ("ditr train scannet200/ditr NEW --data EMPTY --encoder dinov3-large", "no such split"),
        ("ditr segment CAPTURE --model RUN/best", "no such folder"),
        ("ditr segment CAPTURE --model other/model_best.pth", "no such file"),
    ):
        said = refusal(command, capsys)
        assert fault in said and "reached" not in said, said


def test_in_python_it_is_one_error(offline: Path) -> None:
    for name in (INDOOR, "someone/model"):
        with pytest.raises(InputError, match="cannot be reached") as raised:
            Segmenter.from_pretrained(name)
        text = "".join(traceback.format_exception(raised.value))
        assert text.count("Traceback") == 1 and f"`ditr weights {name} --download`" in text


# ---- the advice -----------------------------------------------------------------------------------------------------


def advised(said: str) -> list[str]:
    return re.findall(r"`((?:ditr|pip) [^`]+)`", said)


def fetched(repositories: dict[str, Path], home: Path, command: str) -> str:
    """What a command says on another machine, which reaches the hub; its caches are in ``home``."""
    with HubServer(repositories) as server:
        environment = os.environ | server.environment(home) | {"DITR_CACHE": str(home / "ditr")}
        program = [sys.executable, "-m", *shlex.split(command)]
        done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def carry(home: Path, here: Path, said: str) -> None:
    """Copy the folders that the command named into the places that the error named."""
    for folder in map(Path, re.findall(r"^(?:model|image encoder): (.+)$", said, re.MULTILINE)):
        target = here / "cache" if folder.is_relative_to(home / "ditr") else here
        relative = folder.relative_to(home / "ditr" if target != here else home)
        subprocess.run(["cp", "-R", "-L", "--", folder, target / relative], check=True)


def test_a_model_that_was_fetched_elsewhere_serves_here(
    offline: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path_factory.mktemp("away")
    checkpoint(away / "authors", "d-ditr-scannet200")
    write_capture(without(make_scene(views=0), "normal"), offline / "POINTS")
    said = refusal("ditr segment POINTS", capsys)
    command, convert, *_ = advised(said)
    assert command == "ditr weights d-ditr-scannet200 --download"
    told = fetched({REPOSITORY: away / "authors"}, away, command)
    (offline / "cache" / "models").mkdir(parents=True)
    carry(away, offline, told)
    main(["segment", "POINTS", "--no-pictures"])
    assert "nothing to download" in capsys.readouterr().out and Path("POINTS-labels/label.npy").exists()

    Path("FILE.pth").symlink_to(away / "authors" / published_model("d-ditr-scannet200").files[0])
    main(shlex.split(convert)[1:])
    main(["segment", "POINTS", "--no-pictures", "--model", "FOLDER", "--out", "OTHER"])
    assert Path("OTHER/label.npy").read_bytes() == Path("POINTS-labels/label.npy").read_bytes()


def test_an_encoder_is_fetched_with_its_model_or_alone(
    offline: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    away = tmp_path_factory.mktemp("away")
    checkpoint(away / "authors", INDOOR)
    repositories = {REPOSITORY: away / "authors"}
    for name in ("dinov2-large-reg", "dinov2-small-reg"):
        repositories[SHORT_NAMES[name]] = write_tiny_encoder(away / name)
    (offline / "hub").mkdir()
    (offline / "cache" / "models").mkdir(parents=True)
    command, *_ = advised(refusal("ditr segment CAPTURE", capsys))
    carry(away, offline, fetched(repositories, away, command))
    assert not missing_downloads(published_model(INDOOR))
    command, *_ = advised(refusal("ditr segment CAPTURE --model RUN", capsys))
    carry(away, offline, fetched(repositories, away, command))
    main(["segment", "CAPTURE", "--model", "RUN", "--no-pictures"])
    assert Path("CAPTURE-labels/label.npy").exists()


@pytest.mark.slow
def test_a_model_of_ones_own_needs_no_network(offline: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("RUN").unlink()
    *_, with_photographs, command = advised(refusal("ditr segment CAPTURE", capsys))
    assert command == f"{with_photographs} --encoder none"
    main([*shlex.split(command)[1:], "--steps", "1", "--device", "cpu", "--quiet"])
    main(["segment", "CAPTURE", "--model", "RUN", "--no-pictures"])
    assert Path("CAPTURE-labels/label.npy").exists()


def test_a_checkpoint_is_a_model(
    offline: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    made = checkpoint(tmp_path_factory.mktemp("theirs"), "d-ditr-scannet200")
    write_capture(make_scene(views=0), offline / "POINTS")
    main(["segment", "POINTS", "--no-pictures", "--model", str(made)])
    capsys.readouterr()
    Path("mine.pth").symlink_to(made)
    said = refusal("ditr segment POINTS --model mine.pth --out OTHER", capsys)
    assert "norms of 3 datasets" in said and "this one fits d-ditr-scannet200" in said
    first, *others, last = advised(said)
    assert not others and "--dataset NAME" in last
    main(shlex.split(first)[1:])
    main(["segment", "POINTS", "--no-pictures", "--model", "FOLDER", "--out", "OTHER"])
    assert Path("OTHER/label.npy").read_bytes() == Path("POINTS-labels/label.npy").read_bytes()

    with_images = checkpoint(tmp_path_factory.mktemp("theirs"), INDOOR)
    said = refusal(f"ditr segment CAPTURE --model {with_images}", capsys)
    assert "this image encoder is not on this machine" in said
    assert "this image encoder is not on this machine" not in refusal("ditr evaluate mine.pth --data CAPTURES", capsys)

"""A bank labels many scenes on the road of networks: helpers, a kill and what comes after, captures to train from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clicked_world import colored, session_of
from small_world import tiny_encoding, write_model

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import execute
from ditr.errors import InputError
from ditr.labelling.bank import Bank, join_banks, read_bank
from ditr.labelling.bank_labeller import BankLabeller
from ditr.labelling.clicks import write_clicks

SCENES = range(5, 11)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank of the first scene, and scenes without labels."""
    folder = tmp_path_factory.mktemp("world")
    encoding = tiny_encoding(folder, cache=False)
    Bank.of(session_of(colored(0), encoding)).save(folder / "mine.bank")
    Bank.of(session_of(colored(0), None)).save(folder / "points.bank")
    for number in SCENES:
        unlabelled = replace(colored(number), label=None, class_names=())
        write_capture(unlabelled, folder / f"archive/scene_{number}", image_format="png")
    return folder


def command(world: Path, out: Path, *more: str, bank: str = "mine.bank") -> list[str]:
    options = ["--bank", str(world / bank), "--out", str(out), "--force", "--device", "cpu"]
    return ["segment", str(world / "archive"), *options, *more]


def tree(folder: Path) -> dict[str, bytes]:
    """All files but the lines that say how long it took."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.glob("*/*")) if path.is_file()}


def scenes_of(out: Path) -> list[str]:
    return [json.loads(line)["scene"] for line in (out / "results.jsonl").read_text().splitlines()]


def test_after_a_kill_the_same_files_are_there_as_without(world: Path, tmp_path: Path) -> None:
    arguments = command(world, tmp_path / "out", "--workers", "1", "--captures", str(tmp_path / "labelled"))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-m", "ditr", *arguments], env=environment, stdout=subprocess.DEVNULL)
    ledger = tmp_path / "out/results.jsonl"
    while not ledger.exists() or not ledger.read_bytes():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert 1 <= len(scenes_of(tmp_path / "out")) < len(SCENES)
    execute(arguments)
    names = [f"scene_{number}" for number in SCENES]
    assert Counter(scenes_of(tmp_path / "out")) == Counter(names)
    execute(command(world, tmp_path / "here", "--workers", "0", "--captures", str(tmp_path / "other")))
    assert tree(tmp_path / "out") == tree(tmp_path / "here") and len(tree(tmp_path / "out")) == 5 * len(names)
    assert tree(tmp_path / "labelled") == tree(tmp_path / "other")
    for number in SCENES:
        label = np.load(tmp_path / f"out/scene_{number}/label.npy")
        assert (label == colored(number).label).mean() > 0.85
    # Alone a scene gets the same labels.
    alone = ["segment", str(world / "archive/scene_5"), "--out", str(tmp_path / "alone"), "--no-pictures", "--force"]
    execute([*alone, "--bank", str(world / "mine.bank")])
    assert (tmp_path / "alone/label.npy").read_bytes() == (tmp_path / "out/scene_5/label.npy").read_bytes()
    with pytest.raises(InputError, match=r"6 of 6 scenes have results that were made in another way \(bank"):
        execute(command(world, tmp_path / "out", "--workers", "0", bank="points.bank"))
    execute(command(world, tmp_path / "part", "--shard", "2/3", "--workers", "0"))
    assert len(list((tmp_path / "part").glob("scene_*"))) == 2 and (tmp_path / "part/results-2-of-3.jsonl").exists()


def test_a_model_is_trained_on_what_a_bank_is_sure_of(world: Path, tmp_path: Path) -> None:
    captures = tmp_path / "labelled"
    sure = ["--min-confidence", "0.6", "--captures", str(captures), "--workers", "0"]
    execute(command(world, tmp_path / "out", *sure))
    labelled = read_capture(captures / "scene_5")
    assert labelled.label is not None and labelled.class_names == ("floor", "wall", "box") and len(labelled.views) == 3
    known = labelled.label >= 0
    assert 0.2 < known.mean() < 1 and (labelled.label == colored(5).label)[known].mean() > 0.9
    np.testing.assert_array_equal(labelled.label, np.load(tmp_path / "out/scene_5/label.npy"))
    # A capture that is gone comes back, and nothing else is done again.
    before = (tmp_path / "out/scene_6/label.npy").stat().st_mtime_ns
    (captures / "scene_5/made.json").unlink()
    with pytest.raises(InputError, match="1 of 6 scenes have no labels"):
        execute(command(world, tmp_path / "out", *sure))  # it may be somebody's own
    (captures / "scene_5").rename(tmp_path / "away")
    execute(command(world, tmp_path / "out", *sure))
    assert (captures / "scene_5/made.json").exists()
    assert (tmp_path / "out/scene_6/label.npy").stat().st_mtime_ns == before
    train = ["train", "small", str(tmp_path / "run"), "--data", str(captures), "--steps", "1", "--encoder", "none"]
    execute([*train, "--device", "cpu", "--set", "batch_size=1"])
    scene = str(world / "archive/scene_5")
    execute(["segment", scene, "--model", str(tmp_path / "run"), "--out", str(tmp_path / "by_model"), "--no-pictures"])
    assert json.loads((tmp_path / "by_model/classes.json").read_text())


def test_what_does_not_go_together(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="applies only to networks"):
        execute(command(world, tmp_path / "out", "--vote"))
    with pytest.raises(InputError, match="it is 2"):
        execute(command(world, tmp_path / "out", "--min-confidence", "2"))
    mine = world / "archive"
    content = (mine / "scene_5/points.ply").read_bytes()
    with pytest.raises(InputError, match="6 of 6 scenes have no labels"):
        execute(command(world, tmp_path / "out", "--captures", str(mine), "--workers", "0"))
    assert (mine / "scene_5/points.ply").read_bytes() == content
    other = tiny_encoding(tmp_path / "encoder", cache=False)
    points = Bank.of(session_of(colored(0), None))
    with pytest.raises(InputError, match="an encoder"):
        BankLabeller(points, other)


def test_a_bank_with_a_network_asks_for_that_one(world: Path, tmp_path: Path) -> None:
    write_capture(colored(0), tmp_path / "scene_0", image_format="png")
    write_clicks(tmp_path / "clicks.json", session_of(read_capture(tmp_path / "scene_0"), None).clicks())
    model, other = str(tmp_path / "model"), str(tmp_path / "other")
    encoding = tiny_encoding(world, cache=False)
    write_model(Path(model), encoding)
    write_model(Path(other), encoding, seed=1)
    label = ["label", str(tmp_path / "scene_0"), "--clicks", str(tmp_path / "clicks.json"), "--cell", "0.1", "--force"]
    label += ["--encoder", encoding.spec, "--no-pictures", "--device", "cpu", "--bank", str(world / "net.bank")]
    execute([*label, "--model", model, "--out", str(tmp_path / "label")])
    bank = read_bank(world / "net.bank")
    assert bank.model is not None and bank.network.shape == (len(bank.label), bank.usual.shape[1])
    execute(command(world, tmp_path / "out", "--model", model, "--workers", "1", bank="net.bank"))
    execute(command(world, tmp_path / "here", "--model", model, "--workers", "0", bank="net.bank"))
    assert tree(tmp_path / "out") == tree(tmp_path / "here")
    found = np.load(tmp_path / "out/scene_5/label.npy")
    assert (found == colored(5).label).mean() > 0.8
    with pytest.raises(InputError, match="it was made with a network"):
        execute(command(world, tmp_path / "none", bank="net.bank"))
    with pytest.raises(InputError, match="they were made with different networks"):
        execute(command(world, tmp_path / "none", "--model", other, bank="net.bank"))
    with pytest.raises(InputError, match="it was made without a network"):
        execute(command(world, tmp_path / "none", "--model", model))
    with pytest.raises(InputError, match="only one of them was made with a network"):
        join_banks([bank, read_bank(world / "mine.bank")])
    assert len(join_banks([bank, bank]).network) == 2 * len(bank.network)

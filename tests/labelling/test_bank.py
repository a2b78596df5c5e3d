"""Classes from clicks go to other scenes: labels there, -1 where nothing is alike, and errors for what does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clicked_world import colored, session_of
from mutants import mutated
from safetensors import safe_open
from safetensors.numpy import save_file
from small_world import tiny_encoding
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import read_capture, write_capture
from ditr.cli import execute
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.labelling.bank import Bank, join_banks, read_bank
from ditr.labelling.cells import make_cells
from ditr.labelling.clicks import write_clicks
from ditr.labelling.result import labelled_by_bank
from ditr.labelling.session import Session
from ditr.scene import Scene


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


@pytest.fixture(scope="module")
def bank(encoding: CachedEncoding) -> Bank:
    return Bank.of(session_of(colored(0), encoding))


def agreement(bank: Bank, scene: Scene, encoding: CachedEncoding | None) -> float:
    found = labelled_by_bank(bank, scene, make_cells(scene, encoding, size=0.1))
    names = np.array([scene.class_names.index(name) for name in bank.classes])
    return float((np.where(found.label >= 0, names[found.label], -1) == scene.label).mean())


def test_a_bank_labels_another_scene(bank: Bank, encoding: CachedEncoding) -> None:
    other = colored(5)
    assert agreement(bank, other, encoding) > 0.85
    # Without photographs, and without colours, by what both have.
    assert agreement(bank, replace(other, views=()), None) > 0.85
    assert agreement(bank, replace(other, color=None), encoding) > 0.5


def test_it_comes_back_from_its_file(bank: Bank, encoding: CachedEncoding, tmp_path: Path) -> None:
    bank.save(tmp_path / "mine.bank")
    again = read_bank(tmp_path / "mine.bank")
    assert (again.classes, again.shape_names, again.scenes, again.encoder) == (
        bank.classes,
        bank.shape_names,
        bank.scenes,
        bank.encoder,
    )
    np.testing.assert_allclose(again.image, bank.image, atol=2e-3)
    cells = make_cells(colored(5), encoding, size=0.1)
    assert (again.label_cells(cells).label == bank.label_cells(cells).label).mean() > 0.99
    assert (tmp_path / "mine.bank").stat().st_size < 10_000


def test_what_is_unlike_everything_has_no_label(bank: Bank, encoding: CachedEncoding) -> None:
    own = colored(0)
    assert (bank.label_cells(make_cells(own, encoding, size=0.1)).label >= 0).mean() > 0.97
    floor_alone = Bank.of(session_of(replace(own, coord=own.coord), encoding, ("floor",)))
    strict = replace(floor_alone, unlike=1.2)
    found = labelled_by_bank(strict, own, make_cells(own, encoding, size=0.1))
    assert (found.label[own.label != 0] == -1).mean() > 0.9 and (found.label[own.label == 0] == 0).mean() > 0.3
    assert (found.confidence[found.label < 0] == 0).all()


def test_banks_are_joined_by_the_names_of_their_classes(encoding: CachedEncoding, tmp_path: Path) -> None:
    one = Bank.of(session_of(colored(0), encoding, ("floor", "wall")))
    two = Bank.of(session_of(colored(1), encoding, ("box", "floor")))
    both = join_banks([one, two])
    assert both.classes == ("floor", "wall", "box") and len(both.label) == len(one.label) + len(two.label)
    assert both.scenes == ("scene_0", "scene_1")
    counts = np.bincount(both.label, minlength=3)
    assert counts.tolist() == [
        np.sum(one.label == 0) + np.sum(two.label == 1),
        np.sum(one.label == 1),
        np.sum(two.label == 0),
    ]
    assert agreement(both, colored(5), encoding) > 0.85
    both.save(tmp_path / "both.bank")
    np.testing.assert_allclose(read_bank(tmp_path / "both.bank").shape, both.shape, atol=2e-3)


def test_features_of_another_encoder_are_refused(bank: Bank, tmp_path: Path) -> None:
    other = CachedEncoding(str(write_tiny_encoder(tmp_path / "other", seed=9)))
    scene = colored(5)
    with pytest.raises(InputError, match=r"made by .* and by"):
        bank.label_cells(make_cells(scene, other, size=0.1))
    with pytest.raises(InputError, match=r"made by .* and by"):
        join_banks([bank, Bank.of(session_of(scene, None))])
    with pytest.raises(InputError, match="nothing was clicked"):
        Bank.of(Session(scene, make_cells(scene, None, size=0.1)))


def test_damaged_banks_are_named_or_read(bank: Bank, tmp_path: Path) -> None:
    path, count = tmp_path / "mine.bank", len(bank.label)
    network = np.random.default_rng(0).normal(size=(count, 6)).astype(np.float32)
    replace(bank, network=network, usual=network[:2], model="0123").save(path)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(4), 0
    for _ in range(50):
        path.write_bytes(mutated(whole, rng))
        try:
            found = read_bank(path)
        except InputError as error:
            refused += error.where == str(path)
            continue
        assert len(found.image) == len(found.label) and found.label.max() < len(found.classes)
    assert refused > 10


def test_facts_that_are_nested_too_deeply_are_no_bank(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "mine.bank"
    bank.save(path)
    with safe_open(path, "numpy") as file:
        metadata, arrays = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(arrays, path, {**metadata, "facts": "[" * 100_000})
    with pytest.raises(InputError, match=r"mine\.bank: it is not a bank of classes"):
        read_bank(path)


def test_from_clicks_to_labels_and_a_capture(encoding: CachedEncoding, tmp_path: Path) -> None:
    scene = colored(0)
    write_capture(scene, tmp_path / "scene_0", image_format="png")
    read = read_capture(tmp_path / "scene_0")
    session = session_of(read, None)
    write_clicks(tmp_path / "clicks.json", session.clicks())
    common = ["--encoder", encoding.spec, "--profile", "indoor", "--no-pictures", "--force"]
    out, bank, capture = tmp_path / "out", tmp_path / "mine.bank", tmp_path / "labelled"
    where = ["--out", str(out), "--bank", str(bank), "--capture", str(capture)]
    label = ["label", str(tmp_path / "scene_0"), "--clicks", str(tmp_path / "clicks.json"), *where, *common]
    execute([*label, "--cell", "0.1"])
    labelled = read_capture(capture)
    assert labelled.class_names == ("floor", "wall", "box") and len(labelled.views) == 3
    assert labelled.label is not None and (labelled.label == scene.label).mean() > 0.85
    np.testing.assert_array_equal(np.load(out / "label.npy"), labelled.label)
    with pytest.raises(InputError, match="--overwrite"):
        execute(label)


def test_it_clicks_by_itself(encoding: CachedEncoding, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_capture(colored(0), tmp_path / "scene", image_format="png")
    options = ["--encoder", encoding.spec, "--cell", "0.1", "--force", "--profile", "indoor"]
    execute(["label", str(tmp_path / "scene"), "--simulate", "3", *options])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in lines if len(line) == 3 and line[0] in ("1", "3")]
    assert [row[:2] for row in rows] == [["1", "3"], ["3", "9"]] and float(rows[1][2]) > 70
    with pytest.raises(InputError, match="one of these is needed"):
        execute(["label", str(tmp_path / "scene")])

"""``ditr train`` and ``ditr evaluate`` on the small inputs of people (``../shared/cases``) that are about labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from golden import SHARED
from small_world import RULE, write_model
from tiny_encoder import write_tiny_encoder

from ditr.cli import main
from ditr.data.preparation import Attribute

CASES = SHARED / "cases"
pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="the folder of cases is not here")

REFUSED = {
    "30_all_unlabelled": ("none of the 1500 points is labelled", "none of the 3 classes occurs"),
    "35_unlabelled_zero": ("0 is class 'unlabelled' and also stands for unlabelled points", "--map unlabelled="),
    "37_twice_wall": ("two classes are called 'wall'",),
    "43_bad_photo_in_last": ("f1.jpg: the image cannot be decoded", "--skip-bad-scenes"),
    "43_second_lacks_normals": ("43_second_lacks_normals/b: the points have no normal", "--skip-bad-scenes"),
}
SAID = {
    "00_base": "100.0% of 1500 points are labelled, and 3 of 3 classes occur",
    "30_one_scene_unlabelled": "1 of 2 captures (b): labels: none of its points are labelled",
    "31_single_class": "every point becomes 'thing', the one class that occurred in training",
    "32_absent_class": "3 of 4 classes occur (not door)",
    "33_small_object": "3 of 3 classes occur",
    "37_odd_names": "classes occur",
    "43_other_class_order": "1 of 2 captures (b): classes: its class list has another order",
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    write_tiny_encoder(folder / "encoder")
    return folder / "encoder"


def train(name: str, out: Path, encoder: object) -> None:
    common = ["--steps", "2", "--profile", "indoor", "--device", "cpu", "--cache", str(out.parent / "cache")]
    main(["train", "small", str(out), "--data", str(CASES / name), "--encoder", str(encoder), *common])


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_from_is_refused_before_the_hub_is_asked(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        train(name, tmp_path / "run", "no/such-encoder")
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ditr: ")]
    assert stopped.value.code == 2 and len(lines) == 1 and not (tmp_path / "run").exists()
    assert not [text for text in REFUSED[name] if text not in lines[0]], lines
    assert "such-encoder" not in lines[0]


@pytest.mark.parametrize("name", SAID)
def test_what_labels_there_are_is_said(
    name: str, tmp_path: Path, encoder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(name, tmp_path / "run", encoder)
    said = capsys.readouterr()
    assert SAID[name] in said.out and "ditr: warning" not in said.err
    main(["evaluate", str(tmp_path / "run"), "--data", str(CASES / name), "--device", "cpu"])
    out = capsys.readouterr().out
    assert any(line.startswith("mIoU ") and "points counted" in line for line in out.splitlines())
    json.loads((tmp_path / "run" / "evaluation.json").read_text(), parse_constant=pytest.fail)


@pytest.mark.parametrize("name", ["30_all_unlabelled", "35_unlabelled_zero", "37_twice_wall"])
def test_what_cannot_be_compared_with_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_model(tmp_path / "model", attributes=(Attribute.COORD, Attribute.NORMAL), rule=RULE)
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["class_names"] = ["wall", "floor", "ceiling"]
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    out = tmp_path / "figures.json"
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", str(tmp_path / "model"), "--data", str(CASES / name), "--out", str(out), "--device", "cpu"])
    assert stopped.value.code == 2 and not out.exists()
    assert REFUSED[name][0] in capsys.readouterr().err

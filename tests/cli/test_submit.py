"""``ditr submit``: a split labelled, kept, packed and checked, and anybody's archive against what a server takes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prepared_layouts import make_sweep, write_nuscenes
from small_world import NETWORK, make_scene, tiny_encoding, write_model
from toy_dataset import CLASSES, TOY, ToySubmission, write_toy

from ditr.cli.submit import Submit, run
from ditr.data.preparation import Attribute
from ditr.datasets import nuscenes, table
from ditr.datasets.submission import SubmissionFormat
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.submit import score
from ditr.evaluation.verify import published_voting
from ditr.inference.segmenter import Segmenter
from ditr.io.files import file_sha256
from ditr.io.zip_archive import open_archive
from ditr.weights.saved_model import ModelConfig, save_model

FORM: SubmissionFormat = ToySubmission()
PREPARED: dict[str, Any] = {"attributes": (Attribute.COLOR,)}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the dataset's, and the line in the table."""
    monkeypatch.setattr(table, "BENCHMARKS", (*table.BENCHMARKS, TOY))
    return write_toy(tmp_path / "data" / "toy", [make_scene(seed) for seed in range(2)], "test").parent


def pack(path: Path, points: dict[str, int], **more: bytes) -> Path:
    return packed(path, {scene: np.zeros(count, np.int32) for scene, count in points.items()}, **more)


def packed(path: Path, labels: dict[str, np.ndarray], **more: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {**FORM.others(list(labels), "test", images=True), **more}.items():
            archive.writestr(name, content)
        for scene, label in labels.items():
            archive.writestr(FORM.member(scene, "test"), FORM.content(label))
    return path


def test_a_sound_archive(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack(tmp_path / "a.zip", {f"scene_{seed}": len(make_scene(seed)) for seed in range(2)})
    run(Submit(check=path, data=data))
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(("count points", "check"))]
    assert said == [
        "a submission to Toy, judging by its content (--benchmark names another)",
        "5 members checked",
        "no faults found for a submission to Toy",
    ]
    run(Submit(check=path, benchmark="toy"))
    said = capsys.readouterr().out.splitlines()
    assert said[-2] == "5 members checked (without --data the number of labels in each file is not checked)"


def test_faults_are_counted_by_kind(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = pack(tmp_path / "a.zip", {f"scene_{seed}": 5 for seed in range(7)}, **{"../a": b"", "__MACOSX/a": b""})
    with pytest.raises(SystemExit) as stop:
        run(Submit(check=path, data=data))
    said = capsys.readouterr().out
    assert stop.value.code == 1
    assert "a path that leads out: 1\n  ../a: the path leads out of the folder that it is unpacked to. Pack the" in said
    assert (
        "hidden files of the system: 1\n" in said
        and "number of files: 1\n  there are 7 for 2 scenes. Add them.\n" in said
    )
    assert "number of points: 7\n" in said and said.count("it has 5 labels") == 5 and "  and 2 more\n" in said
    assert said.endswith("10 faults\n")


def test_refusals(data: Path, tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {})
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "1")
    for command, message in (
        (Submit(check=path, benchmark="tooy"), "Did you mean 'Toy'"),
        (Submit(check=path, benchmark="S3DIS"), r"S3DIS: submissions to its server are not supported.*Toy"),
        (Submit(check=path, data=data, split="val"), "there is no such split"),
        (Submit(check=tmp_path / "none.zip"), "there is no such file"),
        (Submit(check=tmp_path / "other.zip"), "does not say which benchmark it is for. Add --benchmark: .*Toy"),
        (Submit(), "it needs a run, or an archive to check, and not both"),
        (Submit("RUN", check=path), "it needs a run, or an archive to check, and not both"),
        (Submit("RUN", score=True), "--score: it compares an archive with a dataset"),
        (Submit("RUN"), "--benchmark: it is missing"),
        (Submit("RUN", benchmark="toy", data=data, out=tmp_path / "a"), "must end with .zip"),
        (Submit("RUN", benchmark="toy", data=data, out=path), "it already exists"),
        (Submit("RUN", benchmark="toy", data=data / "nowhere", out=tmp_path / "b.zip"), "there is no such folder"),
        (Submit("RUN", benchmark="toy"), "--data: it is missing"),
        (Submit("RUN", benchmark="S3DIS", data=data), "submissions to its server are not supported"),
    ):
        with pytest.raises(InputError, match=message):
            run(command)


# ---- written --------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(data: Path, tmp_path: Path) -> Submit:
    write_model(tmp_path / "RUN", **PREPARED)
    return Submit(str(tmp_path / "RUN"), benchmark="toy", data=data, out=tmp_path / "out" / "sent.zip", device="cpu")


def test_a_submission_goes_on_where_it_was_stopped(
    command: Submit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, kept = tmp_path / "out" / "sent.zip", tmp_path / "out" / "sent"
    run(command)
    said = capsys.readouterr().out
    assert "no faults found for a submission to Toy\n" in said and "already labelled" not in said
    assert said.endswith("Upload it to the server of toys.\n")
    whole = out.read_bytes()
    assert sorted(path.name for path in kept.iterdir()) == ["predictions.json", "scene_0.npy", "scene_1.npy"]
    with zipfile.ZipFile(out) as archive:
        assert archive.namelist() == [
            "toy/",
            "toy/test/",
            "toy/meta.json",
            *(f"toy/test/scene_{i}.bin" for i in (0, 1)),
        ]
        assert archive.read("toy/meta.json") == b"points" and archive.getinfo("toy/").is_dir()
        label = np.frombuffer(archive.read("toy/test/scene_1.bin"), np.uint8) - 1
    found = Segmenter.from_pretrained(tmp_path / "RUN", device="cpu")(
        replace(make_scene(1), views=()), votes=published_voting(TOY), shuffle_curves=True, estimate=False
    )
    np.testing.assert_array_equal(label, found.label)

    with pytest.raises(InputError, match=r"sent\.zip: it already exists"):
        run(command)
    before = (kept / "scene_0.npy").stat().st_mtime_ns
    (kept / "scene_1.npy").unlink()
    run(replace(command, overwrite=True))
    assert "1 of 2 scenes were already labelled" in capsys.readouterr().out
    assert out.read_bytes() == whole and (kept / "scene_0.npy").stat().st_mtime_ns == before


def test_a_model_with_photographs(command: Submit, tmp_path: Path) -> None:
    write_model(tmp_path / "RUN", tiny_encoding(tmp_path), **PREPARED, image_size=(42, 56))
    run(command)
    with zipfile.ZipFile(tmp_path / "out" / "sent.zip") as archive:
        assert archive.read("toy/meta.json") == b"images"
    of = json.loads((tmp_path / "out" / "sent" / "predictions.json").read_text())["of"]
    assert of["encoder_precision"] == "32-true" and (of["dataset"], of["split"]) == ("Toy", "test")


@pytest.mark.parametrize(
    "content", [b"", b"\x93NUMPY", bytes(500), "other", "class"], ids=["empty", "cut", "zeros", "other", "class"]
)
def test_kept_labels_that_do_not_fit_are_made_anew(
    command: Submit, tmp_path: Path, content: bytes | str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(command)
    file, out = tmp_path / "out" / "sent" / "scene_0.npy", tmp_path / "out" / "sent.zip"
    whole = out.read_bytes()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content == "other":
        np.save(file, np.zeros(len(make_scene(0)) - 1, np.uint8))  # as of a scene that has changed since
    else:
        np.save(file, np.full(len(make_scene(0)), 3, np.uint8))
    run(replace(command, overwrite=True))
    assert "1 of 2 scenes were already labelled" in capsys.readouterr().out and out.read_bytes() == whole


def test_labels_of_something_else_are_refused(command: Submit, data: Path, tmp_path: Path) -> None:
    run(command)
    again = replace(command, overwrite=True)
    with pytest.raises(InputError, match="it holds results made with different settings: seed"):
        run(replace(again, seed=1))
    write_toy(tmp_path / "data" / "toy", [make_scene(5)], "test")
    with pytest.raises(InputError, match="it holds results made with different settings: scenes"):
        run(again)
    (data / "toy" / "test" / "scene_5").rename(tmp_path / "away")
    (data / "toy" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="it holds results made with different settings: manifest"):
        run(again)
    (data / "toy" / "manifest.json").unlink()
    write_model(tmp_path / "RUN", seed=1, **PREPARED)
    with pytest.raises(InputError, match="it holds results made with different settings: model"):
        run(again)
    (tmp_path / "out" / "sent" / "predictions.json").write_text("[]")
    with pytest.raises(InputError, match="it cannot be read"):
        run(again)


def test_of_a_run_the_best_checkpoint_is_taken(command: Submit, tmp_path: Path) -> None:
    write_model(tmp_path / "RUN" / "best", seed=1, **PREPARED)
    run(command)
    run(replace(command, out=tmp_path / "last.zip", last=True))
    digests = [
        json.loads((folder / "predictions.json").read_text())["of"]["model"]
        for folder in (tmp_path / "out" / "sent", tmp_path / "last")
    ]
    assert digests == [file_sha256(tmp_path / "RUN" / part / "model.safetensors") for part in ("best", ".")]


@pytest.mark.slow
def test_kills_lose_no_scene_and_change_no_byte(tmp_path: Path) -> None:
    """A process that is killed as soon as one more scene is labelled, and one that is not."""
    sweeps = [make_sweep(seed, nuscenes.CAMERAS, nuscenes.CLASSES) for seed in range(4)]
    write_nuscenes(tmp_path / "nuscenes", sweeps, "val")
    config = ModelConfig(replace(NETWORK, in_channels=4), nuscenes.preparation(False), nuscenes.CLASSES)
    save_model(tmp_path / "RUN", config, config.build())
    kept = tmp_path / "killed"

    def begun(out: str) -> subprocess.Popen[bytes]:
        asked = ["submit", "RUN", "--benchmark", "nuscenes", "--data", ".", "--split", "val", "--device", "cpu"]
        return subprocess.Popen([sys.executable, "-m", "ditr", *asked, "--out", out], cwd=tmp_path)

    for scenes in (1, 2, 3):
        process = begun("killed.zip")
        while process.poll() is None and len(list(kept.glob("sweep*.npy"))) < scenes:
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert len(list(kept.glob("sweep*.npy"))) >= scenes
    # One of fewer keyframes than the server wants, of names that are not tokens: both are told, and it is written.
    assert [begun(out).wait() for out in ("killed.zip", "whole.zip")] == [1, 1]
    assert (tmp_path / "killed.zip").read_bytes() == (tmp_path / "whole.zip").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".zip") == ["killed.zip", "whole.zip"]
    assert not [path for path in kept.iterdir() if path.suffix not in (".npy", ".json")]


# ---- scored ---------------------------------------------------------------------------------------------------------


def figures_of(path: Path, data: Path) -> Counts:
    counts = Counts.empty(len(CLASSES), distance=True)
    with open_archive(path) as archive:
        score(archive, FORM, table.open_dataset("toy", data / "toy", "test"), "test", counts)
    return counts


def test_a_perfect_prediction_gives_exactly_100(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = {f"scene_{seed}": np.maximum(make_scene(seed).label, 0) for seed in range(2)}
    run(Submit(check=packed(tmp_path / "a.zip", truth), data=data, score=True))
    said = capsys.readouterr().out
    assert "mIoU 100.0 over all 3 classes" in said and "accuracy 100.0 over all points" in said
    found = figures_of(tmp_path / "a.zip", data).figures(CLASSES)
    assert [found[key] for key in ("miou", "miou_present", "macc", "accuracy")] == [100.0] * 4
    assert list(found["iou"].values()) == [100.0] * 3


def test_what_the_server_does_not_know_is_wrong(data: Path, tmp_path: Path) -> None:
    """Against a count of single points."""
    rng = np.random.default_rng(0)
    truth = np.concatenate([np.asarray(make_scene(seed).label) for seed in range(2)])
    given = rng.integers(0, 5, len(truth)).astype(np.int32)  # 3 and 4 are not classes
    first = len(make_scene(0))
    matrix = figures_of(
        packed(tmp_path / "a.zip", {"scene_0": given[:first], "scene_1": given[first:]}), data
    ).all_points
    counted = truth >= 0
    for name in range(3):
        true, predicted = (truth == name) & counted, (given == name) & counted
        assert matrix.iou[name] == pytest.approx((true & predicted).sum() / (true | predicted).sum())
        assert matrix.class_accuracy[name] == pytest.approx((true & predicted).sum() / true.sum())
    assert matrix.points == counted.sum()
    assert matrix.accuracy == pytest.approx((truth == given)[counted].mean())


def test_archives_that_cannot_be_scored(data: Path, tmp_path: Path) -> None:
    for labels, message in (
        ({"scene_0": np.zeros(len(make_scene(0)), np.int32)}, r"toy/test/scene_1\.bin: it is not in the archive"),
        ({"scene_0": np.zeros(3, np.int32)}, r"toy/test/scene_0\.bin: it has 3 labels for \d+ points"),
        ({"scene_0": np.zeros(100_000, np.int32)}, r"it has 100000 bytes; the largest size is \d+"),
    ):
        with pytest.raises(InputError, match=message):
            figures_of(packed(tmp_path / "a.zip", labels), data)

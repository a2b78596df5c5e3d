"""Captures that cannot be used, or have nothing to teach, are told of before the work, all at once."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants
from small_world import CLASSES, make_scene, without, write_model, write_world
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.whole import file_faults
from ditr.cli import execute
from ditr.data.preparation import Attribute
from ditr.errors import InputError
from ditr.io.ply import read_ply, write_ply
from ditr.scene import ReadOptions, Scene
from ditr.weights.saved_model import read_config

SMALL = ("--profile", "indoor", "--set", "preparation.voxel_size=0.15", "--set", "batch_size=1", "--steps", "2")


def train(data: Path, out: Path, *options: object, encoder: object = "none") -> None:
    given = ("train", "small", out, "--data", data, "--encoder", encoder, "--device", "cpu", *SMALL, *options)
    execute([str(part) for part in given])


def evaluate(model: Path, data: Path, out: Path, *options: object) -> dict[str, object]:
    execute([str(part) for part in ("evaluate", model, "--data", data, "--out", out, "--device", "cpu", *options)])
    content: dict[str, object] = json.loads(out.read_text())
    return content


def put(scene: Scene, folder: Path) -> None:
    write_capture(scene, folder / scene.name, image_format="jpg")


def tear(photograph: Path) -> None:
    photograph.write_bytes(photograph.read_bytes()[:900])


def reordered(scene: Scene) -> Scene:
    """The same labels under a list in reverse."""
    assert scene.label is not None
    label = np.where(scene.label < 0, -1, 2 - scene.label).astype(np.int32)
    return replace(scene, class_names=CLASSES[::-1], label=label)


# ---- all faults at once ---------------------------------------------------------------------------------------------


@pytest.fixture
def bad_world(tmp_path: Path) -> Path:
    """Five captures, of which the first is sound."""
    data = tmp_path / "data"
    put(make_scene(0), data)
    put(without(make_scene(1), "normal"), data)
    put(replace(make_scene(2), class_names=("floor", "wall", "crate")), data)
    put(make_scene(3), data)
    tear(data / "scene_3" / "images" / "photo_1.jpg")
    put(without(make_scene(4), "label"), data)
    return data


def test_training_lists_all_faults_before_the_encoder_is_looked_for(bad_world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--skip-bad-scenes") as refused:
        train(bad_world, tmp_path / "run", encoder="no/such-encoder")
    text = str(refused.value)
    assert "4 of 5 captures cannot be used" in text and "such-encoder" not in text and "\n" not in text
    assert "scene_1: the points have no normal" in text and "scene_2: its classes are floor, wall, crate" in text
    assert "scene_3: images/photo_1.jpg: the image cannot be decoded" in text
    assert "scene_4: the points have no labels" in text and "scene_0" not in text
    assert not (tmp_path / "run").exists()


def test_bad_captures_are_left_out_on_demand_and_noted(
    bad_world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_encoder(tmp_path / "encoder")
    run = tmp_path / "run"
    train(bad_world, run, "--skip-bad-scenes", "--cache", tmp_path / "cache", encoder=tmp_path / "encoder")
    noted = json.loads((run / "recipe.json").read_text())
    assert [Path(place).name for place in noted["skipped"]] == ["scene_1", "scene_2", "scene_3", "scene_4"]
    assert list(noted["scenes"].values()) == [["scene_0"]]
    assert "4 of 5 captures are left out" in capsys.readouterr().err
    figures = evaluate(run, bad_world, tmp_path / "figures.json", "--skip-bad-scenes")
    # Evaluation estimates missing normals.
    assert figures["scenes"] == 2 and len(figures["skipped"]) == 3  # type: ignore[arg-type]
    with pytest.raises(InputError, match="3 of 5 captures cannot be used"):
        evaluate(run, bad_world, tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()


def test_validation_captures_are_looked_at_too(tmp_path: Path) -> None:
    write_world(tmp_path / "data", 1)
    put(without(make_scene(5), "label"), tmp_path / "held")
    with pytest.raises(InputError, match=r"scene_5.*no labels"):
        train(tmp_path / "data", tmp_path / "run", "--validate", tmp_path / "held")


def test_photographs_do_not_count_for_a_network_that_takes_none(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path / "data")
    tear(tmp_path / "data" / "scene_0" / "images" / "photo_0.jpg")
    train(tmp_path / "data", tmp_path / "run")
    assert evaluate(tmp_path / "run", tmp_path / "data", tmp_path / "figures.json")["scenes"] == 1


def test_files_that_are_not_whole_are_found(tmp_path: Path) -> None:
    scene = make_scene(0, depth=True)
    for kind in ("jpg", "png"):
        write_capture(scene, tmp_path / kind, image_format=kind)  # type: ignore[arg-type]
        assert file_faults(read_capture(tmp_path / kind).views) == []
        for path in sorted((tmp_path / kind).rglob(f"*.{kind}")) + sorted((tmp_path / kind).rglob("depth/*.png")):
            whole = path.read_bytes()
            path.write_bytes(whole[: len(whole) * 2 // 3])
            faults = file_faults(read_capture(tmp_path / kind).views)
            assert [Path(fault.where) for fault in faults] == [path]
            path.write_bytes(whole + b"\0\0")
        assert file_faults(read_capture(tmp_path / kind).views) == []


# ---- nothing to learn from ------------------------------------------------------------------------------------------


def unlabelled(scene: Scene, share: float) -> Scene:
    assert scene.label is not None
    return replace(scene, label=np.where(np.arange(len(scene)) < share * len(scene), -1, scene.label))


def test_captures_without_a_label_are_refused(tmp_path: Path) -> None:
    put(unlabelled(make_scene(0), 1), tmp_path / "data")
    write_model(tmp_path / "model")
    with pytest.raises(InputError, match="none of the 400 points is labelled"):
        train(tmp_path / "data", tmp_path / "run")
    with pytest.raises(InputError, match="none of the 400 points is labelled"):
        evaluate(tmp_path / "model", tmp_path / "data", tmp_path / "figures.json")
    assert not (tmp_path / "run").exists() and not (tmp_path / "figures.json").exists()


def test_few_labels_and_absent_classes_are_said_in_training_and_at_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The box's points come last.
    put(unlabelled(make_scene(0), 0.7), tmp_path / "data")
    train(tmp_path / "data", tmp_path / "run")
    said = capsys.readouterr()
    assert "of 400 points are labelled, and 1 of 3 classes occur (not floor, wall)" in said.out
    meaning = "every point becomes 'box', the one class that occurred in training"
    assert f"warning: labels: {meaning}" in said.err and "--background" in said.err
    labels = read_config(tmp_path / "run").labels
    assert labels is not None and labels.absent == ["floor", "wall"] and labels.points == 400
    out = tmp_path / "labels"
    capture = str(tmp_path / "data" / "scene_0")
    execute(["segment", capture, "--model", str(tmp_path / "run"), "--out", str(out), "--no-pictures"])
    assert meaning in capsys.readouterr().err
    assert any(meaning in found["text"] for found in json.loads((out / "summary.json").read_text())["findings"])


def test_unlabelled_points_become_the_background(tmp_path: Path) -> None:
    put(unlabelled(make_scene(0), 0.7), tmp_path / "data")
    train(tmp_path / "data", tmp_path / "run", "--background", "rest")
    config = read_config(tmp_path / "run")
    assert config.class_names == (*CLASSES, "rest") and config.labels is not None and config.labels.share == 1
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["reading"]["background"] == "rest"
    plain = evaluate(tmp_path / "run", tmp_path / "data", tmp_path / "a.json")
    whole = evaluate(tmp_path / "run", tmp_path / "data", tmp_path / "b.json", "--background", "rest")
    assert plain["points"] < 200 and whole["points"] == 400  # type: ignore[operator]


def test_a_class_that_stands_for_unlabelled_points_is_refused_and_can_be_taken_out(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path / "data")
    content = {"classes": list(CLASSES), "unlabelled": 0}
    (tmp_path / "data" / "scene_0" / "labels.json").write_text(json.dumps(content))
    points = tmp_path / "data" / "scene_0" / "points.ply"
    points.write_bytes(points.read_bytes())
    put(replace(make_scene(0), label=np.abs(make_scene(0).label)), tmp_path / "data")  # type: ignore[arg-type]
    (tmp_path / "data" / "scene_0" / "labels.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"0 is class 'floor' and also stands for unlabelled.*--map floor="):
        train(tmp_path / "data", tmp_path / "run")
    train(tmp_path / "data", tmp_path / "run", "--map", "floor=")
    assert read_config(tmp_path / "run").class_names == ("wall", "box")


# ---- class lists ----------------------------------------------------------------------------------------------------


def test_lists_of_another_order_are_matched_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in range(2):
        put(make_scene(seed), tmp_path / "same")
        put(reordered(make_scene(seed)) if seed else make_scene(seed), tmp_path / "other")
    for name in ("same", "other"):
        train(tmp_path / name, tmp_path / name / "run", "--validate", tmp_path / name)
    assert "classes: its class list has another order" in capsys.readouterr().out
    models = [(tmp_path / name / "run" / "model.safetensors").read_bytes() for name in ("same", "other")]
    assert models[0] == models[1]
    same, other = (
        evaluate(tmp_path / "same" / "run", tmp_path / name, tmp_path / f"{name}.json") for name in ("same", "other")
    )
    assert same["iou"] == other["iou"]


def test_lists_are_joined_by_new_names(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path / "data")
    put(replace(make_scene(1), class_names=("ground", "wall", "crate")), tmp_path / "data")
    names = tmp_path / "names.txt"
    names.write_text("ground=floor\n\ncrate = box\n")
    train(tmp_path / "data", tmp_path / "run", "--map", names)
    assert read_config(tmp_path / "run").class_names == CLASSES
    assert json.loads((tmp_path / "run" / "recipe.json").read_text())["reading"]["class_map"] == {
        "ground": "floor",
        "crate": "box",
    }
    figures = evaluate(
        tmp_path / "run", tmp_path / "data", tmp_path / "f.json", "--map", "ground=floor", "--map", names
    )
    assert figures["scenes"] == 2
    with pytest.raises(InputError, match="--map: no capture has a class 'grond'"):
        train(tmp_path / "data", tmp_path / "other", "--map", "grond=floor")
    with pytest.raises(InputError, match="'ground' is not OLD=NEW"):
        train(tmp_path / "data", tmp_path / "other", "--map", "ground")


def test_joined_and_dropped_classes_in_the_labels(tmp_path: Path) -> None:
    scene = make_scene(0)
    put(scene, tmp_path)
    read = read_capture(
        tmp_path / "scene_0", ReadOptions(class_map=(("wall", "floor"), ("box", "")), background="rest")
    )
    assert read.class_names == ("floor", "rest") and scene.label is not None and read.label is not None
    assert ((read.label == 0) == np.isin(scene.label, (0, 1))).all()
    # A class that is taken out is unlabelled, and not background: it has a name.
    assert ((read.label == 1) == (scene.label == -1)).all() and ((read.label == -1) == (scene.label == 2)).all()
    assert read.reading == ReadOptions()


def test_two_classes_of_one_name_are_refused(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path)
    (tmp_path / "scene_0" / "labels.json").write_text(json.dumps({"classes": ["wall", "floor", "wall"]}))
    with pytest.raises(InputError, match="two classes are called 'wall'"):
        read_capture(tmp_path / "scene_0")


def test_the_first_line_of_an_evaluation_has_both_means(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(unlabelled(make_scene(0), 0.5), tmp_path / "data")
    write_model(tmp_path / "model")
    evaluate(tmp_path / "model", tmp_path / "data", tmp_path / "f.json")
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("mIoU"))
    assert "over all 3 classes" in line and "over the 2 that occur" in line and "of 400 points counted" in line


def test_labels_without_a_class_list_or_of_another_column_are_refused(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path / "data")
    folder = tmp_path / "data" / "scene_0"
    (folder / "labels.json").unlink()
    with pytest.raises(InputError, match=r"scene_0: it has no class list. Add labels.json .* beside the file or bag"):
        train(tmp_path / "data", tmp_path / "run")
    for number in (1, 2, 3, 4):
        shutil.copytree(folder, tmp_path / "more" / f"scene_{number}")
    alike = r"4 of 4 captures cannot be used: scene_1, scene_2, scene_3 and 1 more: it has no class list \(add"
    with pytest.raises(InputError, match=alike) as refused:
        train(tmp_path / "more", tmp_path / "run")
    assert str(refused.value).count("no class list") == 1, "once for all"
    (folder / "labels.json").write_text(json.dumps({"classes": list(CLASSES)}))
    stored = read_ply(folder / "points.ply")
    stored["object_code"] = stored.pop("label")
    write_ply(folder / "points.ply", stored)
    with pytest.raises(InputError, match=r"no labels; columns that are not read: object_code"):
        train(tmp_path / "data", tmp_path / "run")


@pytest.mark.parametrize(
    ("classes", "fault"), [(["a", " "], "class 1 is called ' '"), (["\ud800"], "is not a valid name")]
)
def test_names_of_classes_that_cannot_be_written_are_refused(tmp_path: Path, classes: list[str], fault: str) -> None:
    put(make_scene(0), tmp_path / "data")
    (tmp_path / "data" / "scene_0" / "labels.json").write_text(json.dumps({"classes": classes}))
    with pytest.raises(InputError, match=fault):
        train(tmp_path / "data", tmp_path / "run")


def test_a_map_that_takes_out_every_class_is_refused(tmp_path: Path) -> None:
    put(make_scene(0), tmp_path / "data")
    with pytest.raises(InputError, match="--map: it removes every class"):
        train(tmp_path / "data", tmp_path / "run", *(part for name in CLASSES for part in ("--map", f"{name}=")))


@pytest.mark.parametrize("command", ["segment", "evaluate"])
def test_faults_come_before_the_weights_of_a_model_in_the_cache_of_the_hub(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    cached = tmp_path / "hub" / "models--somebody--labels"
    write_model(cached / "snapshots" / ("0" * 40), attributes=(Attribute.COLOR,))
    for path in (cached / "snapshots" / ("0" * 40)).glob("*.safetensors"):
        path.unlink()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    put(without(make_scene(0), "color"), tmp_path / "data")
    given = {"segment": [tmp_path / "data" / "scene_0", "--model"], "evaluate": ["--data", tmp_path / "data"]}[command]
    out = ("--out", tmp_path / "out", "--device", "cpu")
    with pytest.raises(InputError, match=r"the points have no color"):
        execute([str(part) for part in (command, *given, "somebody/labels", *out)])

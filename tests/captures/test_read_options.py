"""``capture.json``: what it may say, that it is heeded everywhere, and that a command line comes first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from small_world import NETWORK, PREPARATION, ditr, make_scene, tiny_config, tiny_encoding, write_model

from ditr.captures.capture import read_capture, write_capture
from ditr.captures.folders import find_captures
from ditr.captures.read_options import stated_options
from ditr.data.dataset import Item, TrainingSet
from ditr.data.preparation import Attribute
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate
from ditr.geometry.orientation import find_up
from ditr.inference.segmenter import Segmenter
from ditr.scene import ReadOptions, Scene


def strong(factor: float, name: str) -> Scene:
    """A scene with intensities of 0 to ``factor``, and no colours."""
    scene = make_scene(1, name=name)
    rng = np.random.default_rng(0)
    return replace(scene, color=None, strength=(rng.random(len(scene)) * factor).astype(np.float32))


def write(folder: Path, scene: Scene, **said: object) -> Path:
    write_capture(scene, folder, image_format="png")
    (folder / "capture.json").write_text(json.dumps(said))
    return folder


def test_what_a_file_says_is_in_the_scene_and_written_back(tmp_path: Path) -> None:
    said = {"profile": "outdoor", "max_views": 1, "up": [0, 1, 0], "substitute": {"strength": 3}, "strength_scale": 9}
    folder = write(tmp_path / "capture", make_scene(1), **said)
    scene = read_capture(folder)
    assert scene.reading == ReadOptions("outdoor", 1, substitute=(("strength", 3.0),), strength_scale=9.0)
    assert find_up(scene).tolist() == [0, 1, 0]
    assert stated_options([folder]) == (
        'capture.json: profile "outdoor", max_views 1, up [0.0, 1.0, 0.0], substitute {"strength": 3.0}, '
        "strength_scale 9.0"
    )
    write_capture(scene, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "capture.json").read_text()) == said
    first = read_capture(folder, ReadOptions("indoor", up=(0.0, 0.0, 1.0), substitute=(("color", 5.0),)))
    assert (first.reading.profile, first.reading.max_views) == ("indoor", 1)
    assert dict(first.reading.substitute) == {"strength": 3.0, "color": 5.0} and find_up(first).tolist() == [
        0,
        0,
        1,
    ]
    write_capture(make_scene(1), tmp_path / "bare")
    assert not (tmp_path / "bare" / "capture.json").exists() and stated_options([tmp_path / "bare"]) is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            '{"strenght_scale": 255}',
            r"capture.json: there is no setting 'strenght_scale'. Did you mean 'strength_scale'\?",
        ),
        ('{"profile": "space"}', "profile is 'space'. Give one of indoor, outdoor"),
        ('{"occlusion": "zbuffer"}', "occlusion is 'zbuffer'. Give one of none, z-buffer"),
        ('{"up": [0, 1]}', "up is .* a list of 3"),
        ('{"up": [0, 0, 0]}', "up: .* is not a direction"),
        ('{"up": "z"}', "up is 'z'"),
        ('{"strength_scale": 0}', "strength_scale: it is 0"),
        ('{"strength_scale": NaN}', "strength_scale: it is nan"),
        ('{"max_views": -1}', "max_views: it is -1"),
        ('{"max_views": true}', "max_views is True"),
        ('{"substitute": {"colour": 1}}', "there is no 'colour'"),
        ('{"substitute": {"color": "grey"}}', "substitute.* is 'grey'"),
        ("[]", "the file is .*an object"),
        ("{", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, fault: str) -> None:
    folder = write(tmp_path / "capture", make_scene(1))
    (folder / "capture.json").write_text(text)
    with pytest.raises(InputError, match=fault) as error:
        read_capture(folder)
    assert error.value.where == str(folder / "capture.json")


def test_two_captures_of_different_units_are_one_to_training_and_evaluation(tmp_path: Path) -> None:
    folders = [
        write(tmp_path / "a", strong(1, "scene"), strength_scale=1),
        write(tmp_path / "b", strong(255, "scene"), strength_scale=255, up=[0, 0, 1]),
    ]
    preparation = replace(PREPARATION, attributes=(Attribute.STRENGTH,), strength_scale=7.0)
    data = TrainingSet(folders, preparation, NETWORK.pyramid, seed=0)
    one, other = (data[Item(0, index)].feature for index in (0, 1))
    assert one.max() <= 1 and other.max() <= 1
    config = tiny_config(attributes=(Attribute.STRENGTH,), strength_scale=7.0)
    segmenter = Segmenter(config, config.build())  # type: ignore[arg-type]
    labels = [segmenter(read_capture(folder)) for folder in folders]
    np.testing.assert_allclose(labels[0].confidence, labels[1].confidence, atol=1e-5)
    by_file = evaluate(segmenter, [folders[1]]).all_points.counts
    assert (by_file == evaluate(segmenter, [folders[0]]).all_points.counts).all()
    told = segmenter(read_capture(folders[1], ReadOptions(strength_scale=1.0)))
    assert np.abs(told.confidence - labels[1].confidence).max() > 1e-3
    assert stated_options(find_captures(tmp_path)) == "capture.json of 2 of 2 captures: up, strength_scale"


def test_every_command_says_so_and_the_command_line_comes_first(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    scene = replace(make_scene(3), color=None)
    folder = write(tmp_path / "data" / "capture", scene, substitute={"color": 10}, up=[0, 1, 0])
    common = (
        "--model",
        tmp_path / "model",
        "--device",
        "cpu",
        "--no-pictures",
        "--out",
        tmp_path / "out",
        "--overwrite",
    )
    done = ditr("segment", folder, *common)
    assert 'capture.json: up [0.0, 1.0, 0.0], substitute {"color": 10.0}' in done.stdout
    assert "up is (0.00, 1.00, 0.00), as told; the scene was turned" in done.stdout
    assert "up is z, as told" in ditr("segment", folder, *common, "--up", "0,0,1").stdout
    done = ditr("evaluate", tmp_path / "model", "--data", tmp_path / "data", "--device", "cpu", "--max-views", 1)
    assert "capture.json: up" in done.stdout
    assert json.loads((tmp_path / "model" / "evaluation.json").read_text())["reading"] == {"max_views": 1}


def test_occlusion_is_heeded_in_training_labelling_and_evaluation(tmp_path: Path) -> None:
    """A board before a wall, without depth maps: only a z-buffer of the points knows that it hides some of the wall."""
    rng = np.random.default_rng(0)
    floor = make_scene(0)
    wall = np.column_stack([rng.uniform(0, 4, 4000), np.full(4000, 3.0), rng.uniform(0, 2.4, 4000)])
    board = np.column_stack([rng.uniform(1.2, 2.8, 3000), np.full(3000, 1.0), rng.uniform(0.6, 1.8, 3000)])
    rows = np.repeat(0, 7000)
    scene = replace(
        floor, coord=np.concatenate([wall, board]), label=rows, color=floor.color[rows], normal=floor.normal[rows]
    )
    plain = write(tmp_path / "plain", scene)
    asked = write(tmp_path / "asked", scene, occlusion="z-buffer")
    encoding = tiny_encoding(tmp_path)
    seen = {}
    for folder in (plain, asked):
        data = TrainingSet([folder], PREPARATION, NETWORK.pyramid, seed=0, encoding=encoding)
        lift = data[Item(0, 0)].lift
        assert lift is not None
        seen[folder] = int((lift.levels[0].token >= 0).sum())
    assert 0 < seen[asked] < 0.9 * seen[plain]
    write_model(tmp_path / "model", encoding)
    common = ("--model", tmp_path / "model", "--device", "cpu", "--no-pictures", "--no-cache")
    shares = {}
    for name, folder, *options in (
        ("plain", plain),
        ("asked", asked),
        ("told", plain, "--occlusion", "z-buffer"),
        ("told not", asked, "--occlusion", "none"),
    ):
        done = ditr("segment", folder, *common, "--out", tmp_path / name, *options)
        summary = json.loads((tmp_path / name / "summary.json").read_text())
        shares[name] = summary["share_of_points_seen"]
        hides = name in ("asked", "told")
        assert summary["occlusion"] == (
            "z-buffer of the cloud, since there are no depth maps"
            if hides
            else "none, so hidden points count as seen, since there are no depth maps"
        )
        assert ("occlusion: z-buffer of the cloud, since there are no depth maps" in done.stdout) == hides
    assert shares["asked"] == shares["told"] < shares["plain"] == shares["told not"]
    segmenter = Segmenter.from_pretrained(tmp_path / "model", device="cpu")
    counts = [evaluate(segmenter, [folder]).visible.points for folder in (plain, asked)]
    assert counts[1] / len(scene) == pytest.approx(shares["asked"], abs=1e-4) and counts[1] < counts[0]

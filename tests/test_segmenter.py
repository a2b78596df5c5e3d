"""The segmenter: a label for every original point, whatever the scene lacks and however it lies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ditr.data.readers.capture import write_capture
from ditr.data.readers.ply import read_ply
from ditr.data.sample import Attribute, Origin, Sample
from ditr.encoding import CachedEncoding
from ditr.files import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.scene import Scene, View
from ditr.segmenter import Segmenter
from small_world import CAMERA, PREPARATION, RULE, make_scene, tiny_config, tiny_encoding, without, write_model
from tiny_encoder import write_tiny_encoder

NOTHING = VisibilityRule(min_depth=1000.0)


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


@pytest.fixture(scope="module")
def ditr(encoding: CachedEncoding) -> Segmenter:
    return with_random_weights(encoding)


@pytest.fixture(scope="module")
def ptv3() -> Segmenter:
    return with_random_weights(None)


def with_random_weights(encoding: CachedEncoding | None, **preparation: object) -> Segmenter:
    torch.manual_seed(0)
    config = tiny_config(encoding, **preparation)
    return Segmenter(config, config.build(), encoding=encoding)


def subset(scene: Scene, rows: slice) -> Scene:
    assert scene.color is not None and scene.normal is not None and scene.label is not None
    return replace(
        scene, coord=scene.coord[rows], color=scene.color[rows], normal=scene.normal[rows], label=scene.label[rows]
    )


def kept_sample(
    segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Scene], tuple[Sample, torch.Tensor]]:
    """A function that labels a scene and returns the sample that the network saw, and its logits."""
    seen: list[tuple[Sample, torch.Tensor]] = []
    ask = segmenter.logits

    def logits(sample: Sample) -> torch.Tensor:
        seen.append((sample, ask(sample)))
        return seen[-1][1]

    monkeypatch.setattr(segmenter, "logits", logits)

    def run(scene: Scene, **how: object) -> tuple[Sample, torch.Tensor]:
        segmenter(scene, **how)  # type: ignore[arg-type]
        return seen[-1]

    return run


# ---- labels for every point -----------------------------------------------------------------------------------------


def test_every_point_gets_the_label_of_its_voxel(ditr: Segmenter, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make_scene()
    sample, logits = kept_sample(ditr, monkeypatch)(scene)
    prediction = ditr(scene)
    assert prediction.label.shape == prediction.confidence.shape == (400,)
    assert prediction.voxels == len(sample) < 400
    probability = logits.softmax(1)[sample.inverse]
    np.testing.assert_array_equal(prediction.label, probability.argmax(1).numpy())
    np.testing.assert_array_equal(prediction.confidence, probability.amax(1).numpy())


def test_the_seed_decides_and_is_kept(ditr: Segmenter) -> None:
    scene = make_scene(views=3)
    one, same, other = ditr(scene, seed=1), ditr(scene, seed=1), ditr(scene, seed=2)
    np.testing.assert_array_equal(one.confidence, same.confidence)
    assert (one.confidence != other.confidence).any()
    assert one.summary()["seed"] == 1 and other.summary()["seed"] == 2
    with pytest.raises(InputError, match="seed: it is -1"):
        ditr(scene, seed=-1)


@pytest.mark.slow
def test_two_processes_give_the_same_bits(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path, cache=False)
    write_model(tmp_path / "run", encoding)
    write_capture(make_scene(), tmp_path / "scene", image_format="png")
    code = """
import hashlib, sys
from ditr.data.readers.capture import read_capture
from ditr.segmenter import Segmenter
prediction = Segmenter.load(sys.argv[1], device="cpu")(read_capture(sys.argv[2]))
print(hashlib.sha256(prediction.label.tobytes() + prediction.confidence.tobytes()).hexdigest())
"""
    command = [sys.executable, "-c", code, str(tmp_path / "run"), str(tmp_path / "scene")]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() for _ in range(2)
    )
    assert len(first) == 64 and first == second


# ---- which way is up ------------------------------------------------------------------------------------------------


def turned(scene: Scene, rotation: np.ndarray) -> Scene:
    pose = np.eye(4)
    pose[:3, :3] = rotation
    views = tuple(
        View(view.name, view.camera, view.world_to_camera @ np.linalg.inv(pose), view.image) for view in scene.views
    )
    assert scene.normal is not None
    return replace(
        scene, coord=scene.coord @ rotation.T, normal=scene.normal @ rotation.T.astype(np.float32), views=views
    )


@pytest.mark.parametrize(
    "rotation",
    [[[0, 1, 0], [0, 0, 1], [1, 0, 0]], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], [[1, 0, 0], [0, -1, 0], [0, 0, -1]]],
    ids=["x-up", "y-up", "upside-down"],
)
@pytest.mark.parametrize("known", [True, False], ids=["told", "found"])
def test_a_scene_stored_with_another_up_gets_the_same_logits(
    ditr: Segmenter, monkeypatch: pytest.MonkeyPatch, rotation: list[list[int]], known: bool
) -> None:
    """Turning back may leave a turn about z, here by quarters, which the grid follows: coordinates on a lattice whose
    points are never near a voxel's border."""
    scene = make_scene()
    lattice = (np.floor(scene.coord * 8) + 0.5) / 8
    scene = replace(scene, coord=lattice - [*(lattice.min(0) + lattice.max(0))[:2] / 2, lattice[:, 2].min()] + 1 / 16)
    matrix = np.array(rotation, dtype=np.float64)
    up = tuple(matrix @ (0.0, 0.0, 1.0)) if known else None
    run = kept_sample(ditr, monkeypatch)
    other, other_logits = run(turned(scene, matrix), up=up)
    # The same scene stored z-up, turned about z as far as the smallest rotation leaves it.
    from ditr.geometry.orientation import rotation_to_z

    left = rotation_to_z(matrix @ (0.0, 0.0, 1.0)) @ matrix
    sample, logits = run(turned(scene, np.round(left)))
    assert len(sample) == len(other)
    assert torch.equal(sample.inverse, other.inverse)
    difference = (logits - other_logits).abs().max() / logits.square().mean().sqrt()
    assert difference <= 1e-4


@pytest.mark.parametrize("up", [(0, 0, 0), (np.nan, 0, 1), (0, 1)])
def test_what_is_no_direction_is_refused(ptv3: Segmenter, up: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="is no direction"):
        ptv3(make_scene(), up=up)


# ---- scenes that lack something -------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [0, 2])
def test_one_point(ditr: Segmenter, ptv3: Segmenter, views: int) -> None:
    scene = subset(make_scene(views=views), slice(0, 1))
    for segmenter in (ditr, ptv3):
        prediction = segmenter(scene)
        assert prediction.label.shape == (1,) and np.isfinite(prediction.confidence).all()


def test_zero_views_and_no_visible_point_are_the_same_to_the_network(ditr: Segmenter) -> None:
    blind, unseen = ditr(replace(make_scene(), views=())), ditr(make_scene(), rule=NOTHING)
    assert blind.seen_by is not None and unseen.seen_by is not None
    assert not blind.seen_by.any() and not unseen.seen_by.any()
    assert blind.summary()["share_of_points_seen"] == 0
    np.testing.assert_array_equal(blind.label, unseen.label)
    np.testing.assert_allclose(blind.confidence, unseen.confidence, rtol=1e-5)
    assert (ditr(make_scene()).confidence != blind.confidence).any()


def test_missing_attributes(ptv3: Segmenter) -> None:
    bare = without(make_scene(), "color", "normal", "label")
    with pytest.raises(InputError, match=r"scene_0: the points have no color and no normal.*--substitute"):
        ptv3(bare)
    assert ptv3(bare, substitutes={"color": 127.5, "normal": 0.0}).label.shape == (400,)
    declared = with_random_weights(None, substitutes=((Attribute.COLOR, 127.5), (Attribute.NORMAL, 0.0)))
    np.testing.assert_array_equal(
        declared(bare).confidence, ptv3(bare, substitutes={"color": 127.5, "normal": 0.0}).confidence
    )


def test_labels_do_not_matter(ditr: Segmenter) -> None:
    np.testing.assert_array_equal(ditr(make_scene()).confidence, ditr(without(make_scene(), "label")).confidence)


def test_at_most_so_many_views(encoding: CachedEncoding) -> None:
    """Equidistant ones, the same as if the scene had no others."""
    few = with_random_weights(encoding, max_views=2)
    scene = make_scene(views=4)
    alone = replace(scene, views=(scene.views[0], scene.views[2]))
    np.testing.assert_array_equal(few(scene).confidence, few(alone).confidence)


def test_a_scene_far_from_the_sensor_is_refused() -> None:
    segmenter = with_random_weights(None, origin=Origin.SENSOR)
    far = replace(make_scene(), coord=make_scene().coord + 1e6)
    with pytest.raises(InputError, match="where the sensor is expected"):
        segmenter(far)


# ---- images of another scene ----------------------------------------------------------------------------------------


def test_swapped_images_are_those_of_the_other_scene(ditr: Segmenter) -> None:
    mine, other = make_scene(0), make_scene(1)
    theirs = tuple(replace(view, image=shown.image) for view, shown in zip(mine.views, other.views, strict=True))
    swapped = ditr(mine, images_of=other)
    np.testing.assert_array_equal(swapped.confidence, ditr(replace(mine, views=theirs)).confidence)
    assert (swapped.confidence != ditr(mine).confidence).any()
    np.testing.assert_array_equal(ditr(mine, images_of=mine).confidence, ditr(mine).confidence)


def test_images_that_do_not_fit_cannot_be_swapped(ditr: Segmenter, ptv3: Segmenter) -> None:
    with pytest.raises(InputError, match="other sizes or numbers"):
        ditr(make_scene(views=2), images_of=make_scene(1, views=1))
    wide = View("wide", replace(CAMERA, width=70), np.eye(4), np.zeros((42, 70, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="other sizes or numbers"):
        ditr(make_scene(views=2), images_of=replace(make_scene(1), views=(wide, wide)))
    assert ptv3(make_scene(), images_of=make_scene(1)).seen_by is None


# ---- results on disk ------------------------------------------------------------------------------------------------


def test_what_is_written(ditr: Segmenter, tmp_path: Path) -> None:
    scene = replace(
        make_scene(),
        strength=np.linspace(0, 1, 400, dtype=np.float32),
        extra={"ring": np.arange(400, dtype=np.uint16), "confidence": np.ones(400)},
    )
    prediction = ditr(scene, seed=3)
    path = prediction.save(tmp_path / "out")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [
        *("confidence.npy", "label.npy", "labels.ply", "summary.json"),
    ]
    found = read_ply(path)
    np.testing.assert_array_equal(np.stack([found[axis] for axis in "xyz"], axis=1), scene.coord)
    np.testing.assert_array_equal(np.stack([found[c] for c in ("red", "green", "blue")], axis=1), scene.color)
    np.testing.assert_array_equal(np.stack([found[n] for n in ("nx", "ny", "nz")], axis=1), scene.normal)
    for name, expected in (
        ("intensity", scene.strength),
        ("label", prediction.label),
        ("confidence", prediction.confidence),
        ("true_label", scene.label),
        ("ring", scene.extra["ring"]),
        ("original_confidence", np.ones(400)),
    ):
        np.testing.assert_array_equal(found[name], expected)
    np.testing.assert_array_equal(np.load(tmp_path / "out" / "label.npy", allow_pickle=False), prediction.label)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["seed"] == 3 and summary["points"] == 400 and sum(summary["points_per_class"].values()) == 400
    assert b"comment label 2 box" in path.read_bytes()[:600]


def test_class_names_beyond_ascii_can_be_written(tmp_path: Path) -> None:
    config = replace(tiny_config(), class_names=("Fußboden", "壁", "two\nlines"))
    path = Segmenter(config, config.build())(make_scene()).save(tmp_path)
    assert b"comment label 0 Fu\\xdfboden\n" in path.read_bytes()
    assert json.loads((tmp_path / "summary.json").read_text())["points_per_class"].keys() == {*config.class_names}


def test_points_that_float32_cannot_hold_stay_as_they_are(ptv3: Segmenter, tmp_path: Path) -> None:
    scene = replace(make_scene(), coord=make_scene().coord + np.array([500000.123, 5400000.0, 0.0]))
    found = read_ply(ptv3(scene).save(tmp_path))
    np.testing.assert_array_equal(np.stack([found[axis] for axis in "xyz"], axis=1), scene.coord)


# ---- the encoder ----------------------------------------------------------------------------------------------------


def test_an_encoder_of_other_weights_is_refused(tmp_path: Path) -> None:
    write_model(tmp_path / "run", tiny_encoding(tmp_path))
    Segmenter.load(tmp_path / "run", device="cpu")
    write_tiny_encoder(tmp_path / "encoder", seed=1)
    with pytest.raises(InputError, match=r"encoder: it holds .* the model was trained with"):
        Segmenter.load(tmp_path / "run", device="cpu")
    for file in (tmp_path / "encoder").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="encoder"):
        Segmenter.load(tmp_path / "run", device="cpu")


def test_devices(tmp_path: Path) -> None:
    write_model(tmp_path)
    assert Segmenter.load(tmp_path, device="auto").device.type in ("cpu", "cuda")
    with pytest.raises(InputError, match="device: 'abacus' is not known"):
        Segmenter.load(tmp_path, device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no GPU"):
            Segmenter.load(tmp_path, device="cuda")
    assert PREPARATION.rule == RULE

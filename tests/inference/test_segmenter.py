"""The segmenter: a label for every original point, whatever the scene lacks and however it lies."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import CAMERA, PREPARATION, RULE, look_at, make_scene, tiny_config, tiny_encoding, without, write_model
from tiny_encoder import write_tiny_encoder

from ditr.captures.capture import write_capture
from ditr.data.normals import with_normals
from ditr.data.preparation import Attribute, Origin
from ditr.data.sample import Sample
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.geometry.projection import VisibilityRule
from ditr.inference.segmenter import Segmenter
from ditr.io.ply import read_ply
from ditr.scene import Scene, View

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
def test_the_published_shuffle_of_curves_is_a_switch(ptv3: Segmenter) -> None:
    """Off, nothing depends on the seed; on, the seed decides, and the same seed gives the same."""
    scene = make_scene()
    plain = [ptv3(scene, seed=seed).confidence for seed in (1, 2)]
    shuffled = [ptv3(scene, seed=seed, shuffle_curves=True).confidence for seed in (1, 2, 1)]
    assert np.array_equal(plain[0], plain[1])
    assert np.array_equal(shuffled[0], shuffled[2])
    assert not np.array_equal(shuffled[0], shuffled[1])


def test_two_processes_give_the_same_bits(tmp_path: Path) -> None:
    encoding = tiny_encoding(tmp_path, cache=False)
    write_model(tmp_path / "run", encoding)
    write_capture(make_scene(), tmp_path / "scene", image_format="png")
    code = """
import hashlib, sys
from ditr.captures.capture import read_capture
from ditr.inference.segmenter import Segmenter
prediction = Segmenter.from_pretrained(sys.argv[1], device="cpu")(read_capture(sys.argv[2]))
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
    with pytest.raises(InputError, match="is not a direction"):
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
    with pytest.raises(InputError, match="where the sensor should be"):
        segmenter(far)


# ---- normals that the scene lacks -----------------------------------------------------------------------------------


def test_missing_normals_are_estimated_and_the_prediction_says_so(
    ptv3: Segmenter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scene = make_scene(points=1500)
    bare = without(scene, "normal")
    sample, _ = kept_sample(ptv3, monkeypatch)(bare)
    known, _ = kept_sample(ptv3, monkeypatch)(scene)
    normal = sample.feature[:, 3:]
    np.testing.assert_allclose(normal.norm(dim=1), 1, atol=1e-5)
    # The floor and the wall, seen from above and from the front; the box is a filled one, without a surface.
    plane = known.feature[:, 3] == 0
    assert int(plane.sum()) > 50
    assert (torch.linalg.vecdot(normal, known.feature[:, 3:])[plane] > 0.99).float().mean() > 0.75
    prediction = ptv3(bare)
    assert prediction.summary()["normals"] == "estimated from 16 neighbours"
    assert "normals" not in ptv3(scene).summary()
    assert "nx" not in read_ply(prediction.save(tmp_path)), "what is stored is the scene as it was"


def test_normals_are_not_estimated_where_something_else_is_asked_for(ptv3: Segmenter) -> None:
    bare = without(make_scene(), "normal")
    with pytest.raises(InputError, match="the points have no normal"):
        ptv3(bare, estimate=False)
    assert ptv3(bare, substitutes={"normal": 0.0}).normals is None
    with pytest.raises(InputError, match="no color and no normal"):
        ptv3(without(bare, "color"))


def test_the_command_says_that_normals_are_estimated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from ditr.cli.options import Writing
    from ditr.cli.segment import Segment, run

    write_model(tmp_path / "run")
    for name, scene in (("bare", without(make_scene(), "normal")), ("full", make_scene())):
        write_capture(scene, tmp_path / name, image_format="png")
        out = tmp_path / f"{name}-labels"
        run(Segment((tmp_path / name,), tmp_path / "run", out=out, device="cpu", writing=Writing(no_pictures=True)))
        said = "normals: estimated from 16 neighbours" in capsys.readouterr().out
        stored = "normals" in json.loads((out / "summary.json").read_text())
        assert said == stored == (name == "bare")


@pytest.mark.parametrize("views", [0, 2])
def test_normals_of_one_point(ptv3: Segmenter, views: int) -> None:
    bare = without(subset(make_scene(views=views), slice(0, 1)), "normal")
    assert np.isfinite(ptv3(bare).confidence).all()


def test_a_room_without_cameras_is_seen_from_within() -> None:
    """Floor up, ceiling down, walls inwards."""
    rng = np.random.default_rng(0)
    on_box = rng.uniform(-1, 1, (3000, 3))
    axis, side = rng.integers(0, 3, 3000), rng.choice([-1.0, 1.0], 3000)
    on_box[np.arange(3000), axis] = side
    scene = Scene("room", on_box * (3, 2, 1.3) + (100, 50, 7))
    normal = with_normals(scene, (), VisibilityRule(), Origin.CENTER).normal
    assert normal is not None
    inner = (np.sort(np.abs(on_box), axis=1)[:, 1] < 0.85) & (np.abs(on_box).max(axis=1) == 1)
    assert (normal[np.arange(3000), axis] * -side)[inner].min() > 0.7
    # Where coordinates count from the sensor, it is the sensor that saw the points.
    away = replace(scene, coord=on_box * (3, 2, 1.3) + (10, 0, 0))
    normal = with_normals(away, (), VisibilityRule(), Origin.SENSOR).normal
    assert normal is not None and (np.einsum("ni,ni->n", normal, away.coord) <= 0).all()


def test_the_camera_that_shows_a_point_decides_its_side() -> None:
    """A sheet between two cameras: the nearer one looks the other way."""
    rng = np.random.default_rng(1)
    sheet = np.column_stack([rng.uniform(-0.5, 0.5, (500, 2)), np.zeros(500)])
    far, near = look_at((0, 0, 3), (0, 0, 0), (0, 1, 0)), look_at((0, 0, -1), (0, 0, -5), (0, 1, 0))
    picture = np.zeros((42, 56, 3), dtype=np.uint8)
    views = tuple(View(name, CAMERA, pose, picture) for name, pose in (("far", far), ("near", near)))
    normal = with_normals(Scene("sheet", sheet, views), views, VisibilityRule(), Origin.CENTER).normal
    assert normal is not None and (normal[:, 2] > 0.999).all()
    normal = with_normals(Scene("sheet", sheet, views), views, NOTHING, Origin.CENTER).normal
    assert normal is not None and (normal[:, 2] < -0.999).all(), "shown by none: the nearest camera"


# ---- the size of photographs ----------------------------------------------------------------------------------------


def test_the_encoder_gets_photographs_at_the_size_of_the_preparation(
    encoding: CachedEncoding, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = with_random_weights(encoding, image_size=(28, 70))
    scene = make_scene()
    sample, _ = kept_sample(segmenter, monkeypatch)(scene)
    assert sample.sizes == ((28, 70), (28, 70))
    images = [view.image for view in scene.views]
    expected = encoding.encoder(encoding.encoder.prepare(images, (28, 70))).patch  # type: ignore[arg-type]
    assert sample.tokens is not None
    torch.testing.assert_close(sample.tokens, expected.flatten(0, 2))
    assert encoding.size(scene.views[0]) == (42, 56), "the encoding that others use is left alone"


def test_a_size_of_broken_patches_is_refused_before_an_image_is_read(encoding: CachedEncoding, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="30x70 pixels are not a whole number of patches of 14"):
        with_random_weights(encoding, image_size=(30, 70))
    write_model(tmp_path / "run", tiny_encoding(tmp_path), image_size=(28, 70))
    assert Segmenter.from_pretrained(tmp_path / "run", device="cpu").config.preparation.image_size == (28, 70)
    text = (tmp_path / "run" / "config.json").read_text()
    content = json.loads(text)
    content["preparation"]["image_size"] = [28, 71]
    (tmp_path / "run" / "config.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="28x71 pixels are not a whole number of patches of 14"):
        Segmenter.from_pretrained(tmp_path / "run", device="cpu")


def test_configs_from_before_there_were_sizes_and_boxes_load(tmp_path: Path) -> None:
    config = write_model(tmp_path)
    path = tmp_path / "config.json"
    content = json.loads(path.read_text())
    del content["preparation"]["image_size"], content["preparation"]["clip_box"]
    path.write_text(json.dumps(content))
    assert Segmenter.from_pretrained(tmp_path, device="cpu").config == config
    content["preparation"]["clip_box"] = [0, 0, 0, 1, 1]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"preparation.clip_box is .* a list of 6"):
        Segmenter.from_pretrained(tmp_path, device="cpu")


# ---- images of another scene ----------------------------------------------------------------------------------------


def test_swapped_images_are_those_of_the_other_scene(ditr: Segmenter) -> None:
    mine, other = make_scene(0), make_scene(1)
    theirs = tuple(replace(view, image=shown.image) for view, shown in zip(mine.views, other.views, strict=True))
    swapped = ditr(mine, images_of=other)
    np.testing.assert_array_equal(swapped.confidence, ditr(replace(mine, views=theirs)).confidence)
    assert (swapped.confidence != ditr(mine).confidence).any()
    np.testing.assert_array_equal(ditr(mine, images_of=mine).confidence, ditr(mine).confidence)


def test_images_that_do_not_fit_cannot_be_swapped(ditr: Segmenter, ptv3: Segmenter) -> None:
    with pytest.raises(InputError, match="differ in size or number"):
        ditr(make_scene(views=2), images_of=make_scene(1, views=1))
    wide = View("wide", replace(CAMERA, width=70), np.eye(4), np.zeros((42, 70, 3), dtype=np.uint8))
    with pytest.raises(InputError, match="differ in size or number"):
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
        *("classes.json", "confidence.npy", "label.npy", "labels.ply", "summary.json"),
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
    Segmenter.from_pretrained(tmp_path / "run", device="cpu")
    write_tiny_encoder(tmp_path / "encoder", seed=1)
    with pytest.raises(InputError, match=r"encoder: it holds .* the model was trained with"):
        Segmenter.from_pretrained(tmp_path / "run", device="cpu")
    for file in (tmp_path / "encoder").iterdir():
        file.unlink()
    with pytest.raises(InputError, match="encoder"):
        Segmenter.from_pretrained(tmp_path / "run", device="cpu")


def test_devices(tmp_path: Path) -> None:
    write_model(tmp_path)
    assert Segmenter.from_pretrained(tmp_path, device="auto").device.type in ("cpu", "cuda")
    with pytest.raises(InputError, match="device: 'abacus' is not a device"):
        Segmenter.from_pretrained(tmp_path, device="abacus")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no GPU"):
            Segmenter.from_pretrained(tmp_path, device="cuda")
    assert PREPARATION.rule == RULE


def test_what_is_shown_of_an_object_is_one_line_without_arrays(ditr: Segmenter) -> None:
    scene = make_scene(depth=True)
    assert repr(scene) == "<Scene 'scene_0': 400 points (coord, color, normal, label), 2 views, 3 classes>"
    assert repr(scene.views[0]) == "<View 'photo_0': 56 x 42 pixels, depth>"
    prediction = ditr(scene)
    seen, used = int((prediction.seen_by > 0).sum()), len(np.unique(prediction.label))  # type: ignore[operator]
    assert (
        repr(prediction) == f"<Prediction 'scene_0': 400 points, {seen} of them seen in some view, {used} of 3 classes>"
    )
    told = r"<Segmenter [\w ]+: Point Transformer V3, images by .*, 3 classes, cpu>"
    assert re.fullmatch(told, repr(ditr)) or torch.cuda.is_available()

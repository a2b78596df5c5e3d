"""What a student says of points beside its teacher: without images, on every point, and with a fair cosine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_world import RULE, ditr, make_scene, photograph, tiny_config, tiny_encoding, without, write_model

from ditr.captures.capture import write_capture
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.inference.lifting import LiftedFeatures, lift_features
from ditr.inference.student_features import check_teacher, student_features
from ditr.io.ply import read_ply
from ditr.models.distillation import Student
from ditr.weights.saved_model import Model, ModelConfig, save_model


def write_student(folder: Path, encoding: CachedEncoding, *, named: bool = True) -> tuple[ModelConfig, Model]:
    """A student with random weights, as a run would leave it."""
    torch.manual_seed(3)
    config = tiny_config(encoding)
    config = replace(
        config,
        network=replace(config.network, image_width=None),
        class_names=(),
        student=Student(encoding.width),
        encoder=config.encoder if named else None,
    )
    model = config.build().eval()
    save_model(folder, config, model)
    return config, model


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def student(encoding: CachedEncoding, tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelConfig, Model]:
    return write_student(tmp_path_factory.mktemp("student"), encoding)


@pytest.fixture(scope="module")
def teacher(encoding: CachedEncoding) -> LiftedFeatures:
    return lift_features(make_scene(views=3), encoding, RULE, seed=1)


def test_the_cosine_is_that_of_the_points_which_a_view_shows(
    student: tuple[ModelConfig, Model], teacher: LiftedFeatures
) -> None:
    found = student_features(*student, teacher)
    assert found.prediction.shape == (int(found.voxel.max()) + 1, teacher.tokens.shape[1])
    ours, theirs = found.prediction[found.voxel].double(), teacher.features().double()
    expected = (ours * theirs).sum(dim=1) / (ours.norm(dim=1) * theirs.norm(dim=1))
    seen = teacher.seen_by > 0
    np.testing.assert_allclose(found.cosine()[seen], expected[torch.from_numpy(seen)], atol=1e-5)
    assert 0 < seen.sum() < len(seen) and np.isnan(found.cosine()[~seen]).all()
    assert found.mean_cosine() == pytest.approx(float(expected[torch.from_numpy(seen)].mean()), abs=1e-5)


def test_the_student_sees_no_images(
    student: tuple[ModelConfig, Model], encoding: CachedEncoding, teacher: LiftedFeatures
) -> None:
    scene = make_scene(views=3)
    other = replace(
        scene, views=tuple(replace(view, image=photograph(np.random.default_rng(9))) for view in scene.views)
    )
    lifted = lift_features(other, encoding, RULE, seed=1)
    assert not torch.equal(lifted.tokens, teacher.tokens)
    one, two = student_features(*student, teacher), student_features(*student, lifted)
    assert torch.equal(one.prediction, two.prediction) and one.mean_cosine() != two.mean_cosine()


def test_a_student_that_says_what_its_teacher_does_has_its_colors(
    student: tuple[ModelConfig, Model], teacher: LiftedFeatures
) -> None:
    # Of any length: the loss is of directions.
    perfect = replace(
        student_features(*student, teacher), prediction=3 * teacher.features(), voxel=torch.arange(len(teacher.scene))
    )
    seen = teacher.seen_by > 0
    ours, theirs = perfect.colors()
    np.testing.assert_allclose(ours[seen].astype(int), theirs[seen].astype(int), atol=1)
    assert perfect.mean_cosine() == pytest.approx(1.0, abs=1e-5)
    assert len(np.unique(theirs[seen], axis=0)) > 5 and len(np.unique(theirs[~seen], axis=0)) == 1


def test_up_turns_the_scene(student: tuple[ModelConfig, Model], teacher: LiftedFeatures) -> None:
    upright = student_features(*student, teacher, up=(0, 0, 1))
    assert torch.equal(upright.prediction, student_features(*student, teacher, up=(0, 0, 2)).prediction)
    lying = student_features(*student, teacher, up=(0, 1, 0))
    assert lying.up == (0, 1, 0) and lying.prediction.shape != upright.prediction.shape
    with pytest.raises(InputError, match="up"):
        student_features(*student, teacher, up=(0, 0, 0))


@pytest.mark.parametrize("views", [0, 2])
def test_scenes_without_photographs_have_a_student_too(
    student: tuple[ModelConfig, Model], encoding: CachedEncoding, tmp_path: Path, views: int
) -> None:
    scene = without(make_scene(views=views), "label", "normal")
    found = student_features(*student, lift_features(scene, encoding, RULE))
    found.save(tmp_path)
    found.draw(tmp_path / "student.png")
    assert (tmp_path / "student.png").stat().st_size > 1000
    mean = json.loads((tmp_path / "summary.json").read_text())["mean_cosine_similarity"]
    assert (mean is None) == (views == 0)
    color = read_ply(tmp_path / "student.ply")
    assert len(np.unique(color["red"])) > 5 and (len(np.unique(color["teacher_red"])) > 5) == (views > 0)


@pytest.mark.slow
def test_the_command(encoding: CachedEncoding, tmp_path: Path) -> None:
    scene = make_scene(views=2)
    write_capture(scene, tmp_path / "capture", image_format="png")
    config, model = write_student(tmp_path / "run", encoding)
    options = ["--model", tmp_path / "run", "--cache", tmp_path / "cache", "--device", "cpu", "--out", tmp_path / "out"]
    done = ditr("features", tmp_path / "capture", *options)
    stored, summary = (
        load_file(tmp_path / "out/student.safetensors"),
        json.loads((tmp_path / "out/summary.json").read_text()),
    )
    here = student_features(config, model, lift_features(scene, encoding, RULE))
    np.testing.assert_allclose(stored["prediction"].float(), here.prediction, atol=1e-2)
    assert summary["mean_cosine_similarity"] == pytest.approx(float(np.nanmean(stored["cosine"])), abs=1e-4)
    assert f"{summary['mean_cosine_similarity']:.4f}" in done.stdout and (tmp_path / "out/student.png").exists()
    assert summary["points_compared"] == int(np.isfinite(stored["cosine"]).sum())


@pytest.mark.slow
def test_what_is_no_student_of_this_teacher(
    encoding: CachedEncoding, student: tuple[ModelConfig, Model], teacher: LiftedFeatures, tmp_path: Path
) -> None:
    write_capture(make_scene(), tmp_path / "capture", image_format="png")
    write_model(tmp_path / "labels", encoding)
    options = ["features", tmp_path / "capture", "--device", "cpu", "--out", tmp_path / "out", "--no-cache", "--model"]
    done = ditr(*options, tmp_path / "labels", check=False)
    assert done.returncode == 2 and "predicts no features" in done.stderr and not (tmp_path / "out").exists()
    config, model = student
    assert config.encoder is not None
    other = replace(config, encoder=replace(config.encoder, weights="other weights", digest="00"))
    with pytest.raises(InputError, match="learned from"):
        check_teacher(other, encoding)
    narrow = replace(config, encoder=None, student=Student(7))
    with pytest.raises(InputError, match="7"):
        check_teacher(narrow, encoding)
    with pytest.raises(InputError, match="7"):
        student_features(narrow, model, teacher)
    write_student(tmp_path / "nameless", encoding, named=False)
    done = ditr(*options, tmp_path / "nameless", check=False)
    assert done.returncode == 2 and "--encoder" in done.stderr

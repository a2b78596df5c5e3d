"""Archives for each server, from labels that are known: what is right gives 100, and what is not is counted."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from prepared_layouts import make_sweep, write_nuscenes, write_scannet, write_semantic_kitti
from small_world import make_scene

from ditr.datasets import nuscenes, scannet, semantic_kitti
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import meant_for, submission_format
from ditr.errors import InputError
from ditr.evaluation.counts import Counts
from ditr.evaluation.submit import Labelled, pack, score
from ditr.io.files import write_array
from ditr.io.zip_archive import open_archive
from ditr.scene import Scene, SceneSource


def rooms(benchmark: Benchmark) -> list[Scene]:
    rng = np.random.default_rng(0)
    return [
        replace(
            make_scene(seed, points=600, depth=True),
            name=f"scene{seed:04d}_00",
            label=rng.integers(-1, benchmark.class_count, 600).astype(np.int32),
            class_names=benchmark.classes,
        )
        for seed in range(2)
    ]


def sweeps(cameras: tuple[str, ...], benchmark: Benchmark) -> list[Scene]:
    return [make_sweep(seed, cameras, benchmark.classes) for seed in range(2)]


@dataclass(frozen=True)
class Case:
    """A benchmark with its split val in the published layout, written by ``write``."""

    benchmark: Benchmark
    write: Callable[[Path], Path]


CASES = (
    Case(scannet.SCANNET, lambda root: write_scannet(root, rooms(scannet.SCANNET), "val", ("segment20",))),
    Case(scannet.SCANNET200, lambda root: write_scannet(root, rooms(scannet.SCANNET200), "val", ("segment200",))),
    Case(nuscenes.NUSCENES, lambda root: write_nuscenes(root, sweeps(nuscenes.CAMERAS, nuscenes.NUSCENES), "val")),
    Case(
        semantic_kitti.SEMANTIC_KITTI,
        lambda root: write_semantic_kitti(root, sweeps(semantic_kitti.CAMERAS, semantic_kitti.SEMANTIC_KITTI), 8),
    ),
)


@pytest.fixture(params=CASES, ids=lambda case: case.benchmark.name)
def case(request: pytest.FixtureRequest) -> Case:
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture
def source(case: Case, tmp_path: Path) -> SceneSource:
    return case.benchmark.open(case.write(tmp_path / case.benchmark.folder), ["val"], False)


def truth(source: SceneSource) -> list[np.ndarray]:
    """Where nothing is labelled a class all the same: a server takes no point without one."""
    return [np.maximum(source.scene(index).label, 0) for index in range(len(source))]  # type: ignore[type-var]


def sent(case: Case, source: SceneSource, labels: list[np.ndarray], folder: Path) -> Path:
    for name, label in zip(source.names(), labels, strict=True):
        write_array(folder / f"{name}.npy", label.astype(np.uint8))
    points = {name: len(label) for name, label in zip(source.names(), labels, strict=True)}
    pack(Labelled(folder, points, 0), submission_format(case.benchmark), "val", folder / "sent.zip", images=True)
    return folder / "sent.zip"


def scored(case: Case, source: SceneSource, path: Path) -> Counts:
    counts = Counts.empty(case.benchmark.class_count)
    with open_archive(path) as archive:
        assert meant_for(archive) is case.benchmark
        score(archive, submission_format(case.benchmark), source, "val", counts)
    return counts


def test_a_perfect_prediction_gives_exactly_100(case: Case, source: SceneSource, tmp_path: Path) -> None:
    counts = scored(case, source, sent(case, source, truth(source), tmp_path / "sent"))
    found = counts.figures(case.benchmark.classes, case.benchmark.counting)
    assert counts.all_points.present.all()
    figures = [found[key] for key in ("miou", "miou_present", "macc", "accuracy")]
    assert {*figures, found["benchmark"]["miou"], *found["benchmark"]["groups"].values()} == {100.0}
    labelled = sum(int((np.asarray(source.scene(index).label) >= 0).sum()) for index in range(len(source)))
    assert counts.all_points.points == labelled


def test_any_prediction_is_counted_as_it_is(case: Case, source: SceneSource, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    right = truth(source)
    labels = [np.where(rng.random(len(one)) < 0.5, one, rng.integers(0, one.max() + 1, len(one))) for one in right]
    counts = scored(case, source, sent(case, source, labels, tmp_path / "sent"))
    expected = np.zeros_like(counts.all_points.counts)
    for index, label in enumerate(labels):
        for true, given in zip(np.asarray(source.scene(index).label), label, strict=True):
            if true >= 0:
                expected[true, given] += 1
    np.testing.assert_array_equal(counts.all_points.counts, expected)
    assert not counts.all_points.outside.any()


def test_the_same_labels_make_the_same_archive(case: Case, source: SceneSource, tmp_path: Path) -> None:
    first, second = (sent(case, source, truth(source), tmp_path / name).read_bytes() for name in ("a", "b"))
    assert first == second


def test_values_that_are_no_class_are_wrong(case: Case, source: SceneSource, tmp_path: Path) -> None:
    """The first scene as nothing but zeros, which are not class in any of these formats."""
    path = sent(case, source, truth(source), tmp_path / "sent")
    name = submission_format(case.benchmark).member(source.names()[0], "val")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "zeros.zip", "w") as other:
        for member in archive.namelist():
            content = archive.read(member)
            if member == name:
                content = b"0\n" * len(source.scene(0)) if member.endswith(".txt") else bytes(len(content))
            other.writestr(member, content)
    counts = Counts.empty(case.benchmark.class_count)
    with open_archive(tmp_path / "zeros.zip") as opened:
        score(opened, submission_format(case.benchmark), source, "val", counts)
    first = np.asarray(source.scene(0).label)
    assert counts.all_points.outside.sum() == (first >= 0).sum()
    whole = sum(int((np.asarray(source.scene(index).label) >= 0).sum()) for index in range(len(source)))
    assert counts.all_points.points == whole
    assert counts.all_points.accuracy == pytest.approx(1 - (first >= 0).sum() / whole)


def test_a_scene_of_a_name_that_leads_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be a file name"):
        Labelled(tmp_path, {"../a": 3}, 0).label("../a")

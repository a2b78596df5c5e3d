"""Voting: every point has its say, whatever runs together, and nothing but the seed decides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small_world import PREPARATION, ditr, make_scene, tiny_config, tiny_encoding, write_model, write_world

from ditr.data.augment.point_set import PointSet
from ditr.data.augment.variants import INDOOR, NONE, NUSCENES, ROTATIONS, S3DIS, Variant
from ditr.data.fragments import Fragments
from ditr.data.sample import ViewChoice, point_set
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate
from ditr.evaluation.voting import Tally, Voting
from ditr.geometry.orientation import rotation_to_z
from ditr.geometry.voxels import voxelize
from ditr.inference.segmenter import Segmenter


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


@pytest.fixture(scope="module")
def segmenter(encoding: CachedEncoding) -> Segmenter:
    return with_random_weights(encoding)


def with_random_weights(encoding: CachedEncoding | None, **preparation: object) -> Segmenter:
    torch.manual_seed(0)
    config = tiny_config(encoding, **preparation)
    return Segmenter(config, config.build(), encoding=encoding)


# ---- variants -------------------------------------------------------------------------------------------------------


def test_published_sets() -> None:
    assert [len(variants) for variants in (INDOOR, S3DIS, NUSCENES, ROTATIONS, NONE)] == [13, 10, 10, 4, 1]
    assert all(len(set(variants)) == len(variants) for variants in (INDOOR, S3DIS, ROTATIONS))
    turned = {(v.rotate_degrees, v.scale) for v in INDOOR if not v.flip}
    assert turned == {(angle, scale) for angle in (0, 90, 180, 270) for scale in (1, 0.95, 1.05)}
    assert [v for v in INDOOR if v.flip] == [Variant(flip=True)]
    assert {(v.scale, v.flip) for v in S3DIS} == {(s, f) for s in (0.9, 0.95, 1, 1.05, 1.1) for f in (False, True)}


def points() -> PointSet:
    coord = np.array([[1.0, 2.0, 3.0], [-0.5, 0.25, 1.0]], dtype=np.float32)
    return PointSet(coord, np.arange(2), normal=np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]], dtype=np.float32))


@pytest.mark.parametrize(
    ("variant", "coord", "normal"),
    [
        (Variant(), [1, 2, 3], [1, 0, 0]),
        (Variant(rotate_degrees=90), [-2, 1, 3], [0, 1, 0]),
        (Variant(scale=2), [2, 4, 6], [1, 0, 0]),
        (Variant(flip=True), [-1, -2, 3], [-1, 0, 0]),
        (Variant(rotate_degrees=270, scale=0.5, flip=True), [-1, 0.5, 1.5], [0, 1, 0]),
    ],
)
def test_variants_turn_points_and_normals_and_scale_points(
    variant: Variant, coord: list[float], normal: list[float]
) -> None:
    moved = variant(points())
    assert moved.normal is not None
    np.testing.assert_allclose(moved.coord[0], coord, atol=1e-6)
    np.testing.assert_allclose(moved.normal[0], normal, atol=1e-6)
    np.testing.assert_array_equal(moved.index, points().index)


def test_the_scene_as_it_is_stays_so_bit_for_bit() -> None:
    assert np.array_equal(Variant()(points()).coord, points().coord)


# ---- votes ----------------------------------------------------------------------------------------------------------


def test_a_tally_adds_probabilities_to_the_points_that_vote() -> None:
    tally = Tally(3, 2)
    tally.add(torch.tensor([2, 0]), torch.tensor([[0.0, 0.0], [3.0, 0.0]]).log().nan_to_num(neginf=-100))
    tally.add(torch.tensor([0, 1]), torch.tensor([[1.0, 3.0], [1.0, 4.0]]).log())
    np.testing.assert_allclose(tally.probability, [[1.25, 0.75], [0.2, 0.8], [0.5, 0.5]], atol=1e-6)
    assert tally.votes.tolist() == [2, 1, 1]
    label, share = tally.labels()
    assert label.tolist() == [0, 1, 0]
    np.testing.assert_allclose(share, [0.625, 0.8, 0.5], atol=1e-6)


def test_fragments_share_their_geometry_and_take_one_point_per_voxel(segmenter: Segmenter) -> None:
    scene, pyramid = make_scene(), segmenter.config.network.pyramid
    fragments = Fragments(point_set(scene, PREPARATION), PREPARATION, pyramid, name="scene")
    rng = np.random.default_rng(0)
    assert len(fragments) > 3
    samples = [fragments.sample(fragments.voxels.fragment(i), rng) for i in range(len(fragments))]
    assert all(sample.pyramid is fragments.pyramid for sample in samples)
    assert any(not torch.equal(samples[0].feature, sample.feature) for sample in samples[1:])
    held = {int(row) for i in range(len(fragments)) for row in fragments.voxels.fragment(i)}
    assert held == set(range(len(scene)))
    with pytest.raises(ValueError, match="one point of each voxel"):
        fragments.sample(fragments.voxels.fragment(0).flip(0), rng)


def test_fragments_run_together_say_what_they_say_alone(segmenter: Segmenter) -> None:
    scene, calls = make_scene(views=3), [0]

    def count(*_: object) -> None:
        calls[0] += 1

    handle = segmenter.model.register_forward_hook(count)
    found = []
    for voxels in (0, 500, 10**6):
        calls[0] = 0
        found.append((segmenter(scene, votes=Voting(ROTATIONS, batch_voxels=voxels)), calls[0]))
    handle.remove()
    (alone, most), (some, fewer), (together, fewest) = found
    assert most > fewer > fewest == len(ROTATIONS)
    for other in (some, together):
        np.testing.assert_array_equal(other.label, alone.label)
        np.testing.assert_allclose(other.confidence, alone.confidence, rtol=0, atol=1e-5)


def test_voxels_of_one_point_each_vote_as_they_are_labelled(encoding: CachedEncoding) -> None:
    segmenter = with_random_weights(encoding, voxel_size=1e-3, view_choice=ViewChoice.LAST)
    scene = make_scene(points=200)
    plain, voted = segmenter(scene), segmenter(scene, votes=Voting())
    assert plain.voxels == voted.voxels == len(scene)
    np.testing.assert_array_equal(voted.label, plain.label)
    np.testing.assert_allclose(voted.confidence, plain.confidence, atol=1e-6)


def test_the_seed_decides_and_nothing_else(segmenter: Segmenter) -> None:
    scene, voting = make_scene(views=3), Voting(NONE, thin=0.1)
    first, again, other = (segmenter(scene, seed=seed, votes=voting) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.label, again.label)
    np.testing.assert_array_equal(first.confidence, again.confidence)
    assert (first.confidence != other.confidence).any()


def test_a_scene_that_lies_on_its_side_gets_the_same_votes() -> None:
    segmenter, scene = with_random_weights(None), make_scene()
    assert scene.normal is not None
    turn = rotation_to_z(np.array([1.0, 0.0, 0.0])).T
    # Exact for quarter turns, so that no point changes its voxel.
    turn = np.round(turn)
    lying = replace(scene, coord=scene.coord @ turn.T, normal=(scene.normal @ turn.T).astype(np.float32), views=())
    upright = segmenter(scene, up=(0, 0, 1), votes=Voting(ROTATIONS))
    found = segmenter(lying, up=turn @ (0, 0, 1), votes=Voting(ROTATIONS))
    np.testing.assert_allclose(found.confidence, upright.confidence, atol=1e-4)


def test_thinned_points_take_the_label_of_the_one_that_is_kept(segmenter: Segmenter) -> None:
    scene = make_scene(points=900)
    found = segmenter(scene, votes=Voting(ROTATIONS, thin=0.2))
    assert len(found.label) == len(scene) and np.isfinite(found.confidence).all()
    cells = voxelize(point_set(scene, PREPARATION).coord, 0.2).inverse.numpy()
    assert cells.max() + 1 < len(scene) / 2
    for cell in range(cells.max() + 1):
        assert len(np.unique(found.confidence[cells == cell])) == 1
    assert found.seen_by is not None and len(found.seen_by) == len(scene)


def test_photographs_are_encoded_once(encoding: CachedEncoding) -> None:
    segmenter, told = with_random_weights(encoding), []
    assert segmenter.encoding is not None
    segmenter.encoding.progress = lambda *step: told.append(step)
    segmenter(make_scene(views=2))
    once = list(told)
    assert once and once[-1] == (2, 2)
    segmenter(make_scene(views=2), votes=Voting(ROTATIONS))
    segmenter.encoding.progress = None
    assert told == 2 * once


def test_progress_ends_with_all_fragments(segmenter: Segmenter) -> None:
    told: list[tuple[int, int]] = []
    segmenter(make_scene(), votes=Voting(S3DIS, batch_voxels=0, progress=lambda *step: told.append(step)))
    done = [step for step, _ in told]
    assert done == list(range(1, len(told) + 1)) and told[-1][0] == told[-1][1]
    assert all(step <= total for step, total in told)


def test_a_box_holds_for_votes_too() -> None:
    box = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    scene = make_scene()
    boxed = with_random_weights(None, clip_box=box)(scene, votes=Voting())
    assert boxed.voxels < with_random_weights(None)(scene, votes=Voting()).voxels
    assert boxed.voxels == with_random_weights(None, clip_box=box)(scene).voxels


def test_evaluation_counts_the_voted_labels(segmenter: Segmenter, tmp_path: Path) -> None:
    captures = write_world(tmp_path, 2)
    kept = {}
    found = evaluate(segmenter, captures, votes=Voting(ROTATIONS), keep=kept.__setitem__)
    right = sum(int((p.label == p.scene.label)[p.scene.label >= 0].sum()) for p in kept.values())
    assert found.all_points.accuracy == pytest.approx(right / found.all_points.points)
    voted = segmenter(kept[0].scene, votes=Voting(ROTATIONS))
    np.testing.assert_array_equal(kept[0].label, voted.label)


# ---- faults and commands --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"scale": 0.0}, {"scale": float("nan")}, {"rotate_degrees": float("inf")}])
def test_variants_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="variant"):
        Variant(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "where"), [({"variants": ()}, "variants"), ({"thin": -1.0}, "thin"), ({"batch_voxels": -1}, "batch")]
)
def test_votings_that_are_none(wrong: dict[str, object], where: str) -> None:
    with pytest.raises(InputError, match=where):
        Voting(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_commands_vote(tmp_path: Path) -> None:
    write_world(tmp_path / "data", 2)
    write_model(tmp_path / "model")
    capture, out = tmp_path / "data" / "scene_0", tmp_path / "out"
    ditr("segment", capture, "--model", tmp_path / "model", "--out", out, "--variants", "rotations", "--no-pictures")
    voted = np.load(out / "confidence.npy", allow_pickle=False)
    ditr("segment", capture, "--model", tmp_path / "model", "--out", out, "--no-pictures", "--overwrite")
    assert (voted != np.load(out / "confidence.npy", allow_pickle=False)).any()
    said = ditr("evaluate", tmp_path / "model", "--data", tmp_path / "data", "--vote", "--thin", "0.1")
    assert "evaluate model: 2 of 2, took" in said.stdout and "mIoU" in said.stdout
    figures = (tmp_path / "model" / "evaluation.json").read_text()
    assert '"vote": true' in figures and '"thin": 0.1' in figures
    refused = ditr("evaluate", tmp_path / "model", "--data", tmp_path / "data", "--thin", "0.1", check=False)
    assert refused.returncode != 0 and "without votes" in refused.stderr

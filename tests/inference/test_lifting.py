"""Image features on points: each point has the token of a patch that shows it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from small_world import RULE, make_scene, tiny_encoding, without

from ditr.data.sample import ViewChoice
from ditr.data.scene_views import why_unseen
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.geometry.projection import Sight, VisibilityRule, see
from ditr.inference.lifting import lift_features
from ditr.io.ply import read_ply
from ditr.scene import PointPixels, Scene, View


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


def test_a_point_has_the_token_of_a_patch_that_shows_it(encoding: CachedEncoding) -> None:
    scene = without(make_scene(views=3), "label", "color", "normal")
    lifted = lift_features(scene, encoding, RULE, seed=5)
    assert lifted.tokens.shape == (36, encoding.width) and lifted.views == ("photo_0", "photo_1", "photo_2")
    each = [encoded.patch for encoded in encoding.encode(scene.views)]
    features = lifted.features()
    possible = torch.zeros(len(scene), 3, encoding.width)
    shown = np.zeros((len(scene), 3), dtype=bool)
    for number, view in enumerate(scene.views):
        seen = see(scene.coord, view, RULE)
        shown[:, number] = seen.visible
        column, row = (np.floor(seen.pixel[seen.visible]) // 14).astype(int).T
        possible[torch.from_numpy(seen.visible), number] = each[number][row, column]
    matches = (features[:, None] == possible).all(dim=2).numpy() & shown
    np.testing.assert_array_equal(matches.any(axis=1), shown.any(axis=1))
    assert (features[~shown.any(axis=1)] == 0).all()
    np.testing.assert_array_equal(lifted.seen_by, shown.sum(axis=1))
    assert sum(lifted.coverage().values()) == pytest.approx(1.0)
    assert lifted.coverage()["2 or more"] == pytest.approx((shown.sum(axis=1) >= 2).mean())


def test_the_choice_is_seeded(encoding: CachedEncoding) -> None:
    scene = make_scene(views=3)

    def index(seed: int, choice: ViewChoice = ViewChoice.RANDOM) -> torch.Tensor:
        return lift_features(scene, encoding, RULE, seed=seed, choice=choice).lift.patch_index

    assert torch.equal(index(1), index(1)) and not torch.equal(index(1), index(2))
    assert torch.equal(index(1, ViewChoice.LAST), index(2, ViewChoice.LAST))
    with pytest.raises(InputError, match="seed"):
        index(-1)


def test_some_views_only(encoding: CachedEncoding) -> None:
    lifted = lift_features(make_scene(views=4), encoding, RULE, max_views=2)
    assert lifted.views == ("photo_0", "photo_2") and len(lifted.tokens) == 24
    assert lifted.seen_by.max() <= 2
    with pytest.raises(InputError, match="max_views"):
        lift_features(make_scene(), encoding, RULE, max_views=0)


@pytest.mark.parametrize("dense", [False, True])
def test_what_is_written(encoding: CachedEncoding, tmp_path: Path, dense: bool) -> None:
    scene = make_scene()
    lifted = lift_features(scene, encoding, RULE, seed=2)
    lifted.save(tmp_path, dense=dense)
    stored = load_file(tmp_path / "features.safetensors")
    assert stored["tokens"].dtype == torch.float16
    index = stored["patch_index"]
    gathered = torch.where((index >= 0)[:, None], stored["tokens"][index.clamp(min=0)], 0)
    assert torch.equal(gathered, lifted.features().half())
    assert ("features" in stored) == dense
    if dense:
        assert torch.equal(stored["features"], gathered)
    with safe_open(tmp_path / "features.safetensors", framework="pt") as file:
        metadata = file.metadata()
    assert json.loads(metadata["views"]) == ["photo_0", "photo_1"] and metadata["seed"] == "2"
    assert "Row i of patch_index belongs to point i" in metadata["order"]
    ply = read_ply(tmp_path / "features.ply")
    np.testing.assert_array_equal(np.stack([ply[axis] for axis in "xyz"], axis=1), scene.coord)
    color = np.stack([ply[name] for name in ("red", "green", "blue")], axis=1)
    unseen = ply["views"] == 0
    assert unseen.any() and (color[unseen] == color[unseen][0, 0]).all(), "grey where no view shows a point"
    assert len(np.unique(color[~unseen], axis=0)) > 5
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["points"] == 400 and sum(summary["coverage"].values()) == pytest.approx(1.0, abs=1e-3)


def test_why_a_point_is_in_no_view_is_told_by_the_view_that_came_closest(encoding: CachedEncoding) -> None:
    scene, rule = make_scene(views=3), VisibilityRule(min_depth=1.8, max_depth=3.6, depth_margin=0.4)
    flat = np.full((21, 28), 3.0, dtype=np.float32)
    scene = replace(scene, views=tuple(replace(view, depth=flat) for view in scene.views))
    lifted = lift_features(scene, encoding, rule)
    depth = np.full((21, 28), 3.0, dtype=np.float32)
    each = [see(scene.coord, view, rule, depth).sight for view in scene.views]
    np.testing.assert_array_equal(lifted.why, np.minimum.reduce(each))
    np.testing.assert_array_equal(lifted.why == Sight.VISIBLE, lifted.seen_by > 0)
    assert set(lifted.reasons()) > {Sight.OUTSIDE, Sight.HIDDEN, Sight.IN_FRONT}
    assert list(lifted.reasons().values()) == sorted(lifted.reasons().values(), reverse=True)
    assert sum(lifted.reasons().values()) == np.count_nonzero(lifted.seen_by == 0)


def test_why_of_views_that_list_their_points_and_of_none() -> None:
    scene = make_scene(views=1)
    rows, pixel = np.array([3, 7]), np.array([[1.5, 2.5], [4.5, 3.5]])
    listed = View.unposed("listed", (56, 42), scene.views[0].image, PointPixels(rows, pixel))
    why = why_unseen(scene, [listed], RULE)
    assert np.flatnonzero(why == Sight.VISIBLE).tolist() == [3, 7]
    assert set(np.delete(why, rows)) == {Sight.NOT_LISTED}
    both = why_unseen(scene, [listed, *scene.views], RULE)
    others = np.delete(see(scene.coord, scene.views[0], RULE).sight, rows)
    np.testing.assert_array_equal(np.delete(both, rows), others)
    assert set(why_unseen(scene, [], RULE)) == {Sight.NO_VIEW}


def one_point(scene: Scene, row: int) -> Scene:
    return replace(without(scene, "color", "normal", "label"), coord=scene.coord[row : row + 1])


@pytest.mark.parametrize("case", ["no views", "nothing visible", "one seen point", "one unseen point"])
def test_scenes_that_give_little_to_see(encoding: CachedEncoding, tmp_path: Path, case: str) -> None:
    scene, rule = make_scene(views=0 if case == "no views" else 2), RULE
    seen = lift_features(make_scene(), encoding, RULE).seen_by
    if case == "nothing visible":
        rule = VisibilityRule(min_depth=1000.0)
    elif case == "one seen point":
        scene = one_point(scene, int(np.flatnonzero(seen)[0]))
    elif case == "one unseen point":
        scene = one_point(scene, int(np.flatnonzero(seen == 0)[0]))
    lifted = lift_features(scene, encoding, rule)
    lifted.save(tmp_path, dense=True)
    lifted.draw(tmp_path / "features.png")
    assert (tmp_path / "features.png").stat().st_size > 100
    assert lifted.features().shape == (len(scene), encoding.width)
    assert lifted.coverage()["0 views"] == (0.0 if case == "one seen point" else 1.0)


@pytest.mark.parametrize("choice", [ViewChoice.RANDOM, ViewChoice.NEAREST])
def test_interpolation_stays_in_the_view_that_was_chosen(encoding: CachedEncoding, choice: ViewChoice) -> None:
    scene = make_scene(views=3)
    plain = lift_features(scene, encoding, RULE, seed=4, choice=choice)
    smooth = lift_features(scene, encoding, RULE, seed=4, choice=choice, interpolate=True)
    assert plain.around is None and torch.equal(smooth.lift.patch_index, plain.lift.patch_index)
    assert smooth.around is not None and smooth.around.weight is not None
    index, weight = smooth.around.patch_index, smooth.around.weight
    seen = torch.from_numpy(plain.seen_by > 0)
    assert (index[~seen] == -1).all() and (weight[~seen] == 0).all()
    torch.testing.assert_close(weight[seen].sum(dim=1), torch.ones(int(seen.sum())))
    own = plain.lift.patch_index
    # Three by four tokens each: those around are of the view of the one that the point falls into, which is among them.
    assert torch.equal(index[seen] // 12, (own[seen] // 12).expand(-1, 4))
    assert (index[seen] == own[seen]).any(dim=1).all()
    each = [encoded.patch for encoded in encoding.encode(scene.views)]
    tokens = torch.cat([patch.flatten(0, 1) for patch in each])
    expected = (tokens[index.clamp(min=0)] * weight[..., None]).sum(dim=1)
    torch.testing.assert_close(smooth.features(), expected, rtol=1e-5, atol=1e-5)
    assert (smooth.features()[~seen] == 0).all()
    assert len(np.unique(smooth.colors(), axis=0)) > len(np.unique(plain.colors(), axis=0))


def test_interpolated_features_are_written_beside_the_index(encoding: CachedEncoding, tmp_path: Path) -> None:
    scene = make_scene(views=2)
    lifted = lift_features(scene, encoding, RULE, interpolate=True)
    lifted.save(tmp_path, dense=True)
    stored = load_file(tmp_path / "features.safetensors")
    assert set(stored) == {"tokens", "patch_index", "around", "weight", "features"}
    parts = stored["tokens"].float()[stored["around"].long().clamp(min=0)] * stored["weight"][..., None]
    torch.testing.assert_close(parts.sum(dim=1), stored["features"].float(), atol=5e-3, rtol=5e-3)
    with safe_open(tmp_path / "features.safetensors", framework="pt") as file:
        assert "Row i of around are the tokens of the four patches" in file.metadata()["order"]
    assert json.loads((tmp_path / "summary.json").read_text())["interpolated"] is True


def test_views_that_list_their_points_are_interpolated_too(encoding: CachedEncoding) -> None:
    scene = make_scene(views=1)
    rows, pixel = np.array([3, 7]), np.array([[7.0, 7.0], [14.0, 21.0]])
    listed = View.unposed("listed", (56, 42), scene.views[0].image, PointPixels(rows, pixel))
    lifted = lift_features(replace(scene, views=(listed,)), encoding, RULE, interpolate=True)
    assert lifted.around is not None and lifted.around.weight is not None
    assert lifted.around.weight[3].max() == 1 and lifted.around.weight[7].tolist() == [0.5, 0.5, 0.0, 0.0]
    assert lifted.around.patch_index[7].tolist() == [4, 5, 8, 9] and not lifted.around.weight[0].any()


def test_a_z_buffer_is_told_in_the_summary(encoding: CachedEncoding, tmp_path: Path) -> None:
    rule = replace(RULE, occlusion="z-buffer")
    lifted = lift_features(make_scene(points=3000), encoding, rule)
    assert lifted.reasons()[Sight.HIDDEN] > 0
    plain = lift_features(make_scene(points=3000), encoding, RULE)
    assert lifted.coverage()["0 views"] > plain.coverage()["0 views"] and Sight.HIDDEN not in plain.reasons()
    assert lifted.summary()["occlusion"] == "z-buffer of the cloud, since there are no depth maps"

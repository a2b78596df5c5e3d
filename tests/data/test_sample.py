"""Scenes become samples: voxels, lift, views and photographs belong together, whatever is augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import (
    CAMERA,
    NETWORK,
    PREPARATION,
    RULE,
    make_scene,
    photograph,
    tiny_config,
    tiny_encoding,
    without,
    write_world,
)

from ditr.data.augment.images import HorizontalFlip
from ditr.data.augment.point_set import PointSet
from ditr.data.augment.points import PointClip, RandomRotate, RandomScale, SphereCrop
from ditr.data.batch import join_samples
from ditr.data.dataset import Item, TrainingSet
from ditr.data.preparation import Attribute, Origin, Preparation, profile_of, profile_rule
from ditr.data.sample import ViewChoice, prepare
from ditr.data.scene_views import SceneViews, choose_rows, scene_views
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR, OUTDOOR
from ditr.nn.image_features import ImageFeatures
from ditr.scene import Camera, ReadOptions, Scene, View
from ditr.training.recipe import Augmentation

PYRAMID = NETWORK.pyramid


@pytest.fixture(scope="module")
def encoding(tmp_path_factory: pytest.TempPathFactory) -> CachedEncoding:
    return tiny_encoding(tmp_path_factory.mktemp("encoder"), cache=False)


def views_of(scene: Scene, size: tuple[int, int] = (42, 56), **how: object) -> SceneViews:
    return scene_views(scene, scene.views, [size] * len(scene.views), 14, RULE, **how)  # type: ignore[arg-type]


# ---- voxels and features --------------------------------------------------------------------------------------------


@given(st.integers(1, 300), st.floats(0.05, 2.0), st.integers(0, 5))
def test_every_point_lies_in_its_voxel(points: int, size: float, seed: int) -> None:
    scene = make_scene(seed, points=max(points, 3), views=0)
    sample = prepare(scene, replace(PREPARATION, voxel_size=size), PYRAMID)
    assert sample.inverse.shape == (len(scene),)
    assert torch.equal(torch.unique(sample.inverse), torch.arange(len(sample)))
    low, high = scene.coord.min(axis=0), scene.coord.max(axis=0)
    shifted = (scene.coord - [*(low + high)[:2] / 2, low[2]]).astype(np.float32)
    cell = np.floor(shifted.astype(np.float64) / size)
    grid = sample.pyramid.levels[0].grid.numpy()
    np.testing.assert_array_equal(grid[sample.inverse.numpy()], cell - cell.min(axis=0))


def test_features_are_those_of_a_point_of_the_voxel_in_the_order_asked_for() -> None:
    scene = replace(make_scene(), strength=np.linspace(0, 510, 400, dtype=np.float32))
    attributes = (Attribute.STRENGTH, Attribute.COLOR, Attribute.COORD, Attribute.NORMAL)
    preparation = replace(PREPARATION, attributes=attributes, strength_scale=255.0, origin=Origin.SENSOR)
    sample = prepare(scene, preparation, PYRAMID)
    assert preparation.in_channels == sample.feature.shape[1] == 10
    inverse = sample.inverse.numpy()
    first = np.array([np.flatnonzero(inverse == voxel)[0] for voxel in range(len(sample))])
    assert scene.strength is not None and scene.color is not None and scene.normal is not None
    expected = np.column_stack(
        [
            scene.strength[first] / np.float32(255),
            scene.color[first] / np.float32(127.5) - 1,
            scene.coord[first].astype(np.float32),
            scene.normal[first],
        ]
    )
    np.testing.assert_array_equal(sample.feature.numpy(), expected)
    assert sample.label is not None and scene.label is not None
    np.testing.assert_array_equal(sample.label.numpy(), scene.label[first])


def test_a_missing_attribute_is_named_and_a_substitute_stands_in() -> None:
    bare = without(make_scene(), "color", "normal")
    with pytest.raises(InputError, match=r"scene_0: the points have no color and no normal"):
        prepare(bare, PREPARATION, PYRAMID)
    substitutes = ((Attribute.COLOR, 127.5), (Attribute.NORMAL, 0.5))
    sample = prepare(bare, replace(PREPARATION, substitutes=substitutes), PYRAMID)
    assert (sample.feature[:, :3] == 0).all() and (sample.feature[:, 3:] == 0.5).all()
    # What the scene has is not replaced.
    assert prepare(make_scene(), replace(PREPARATION, substitutes=substitutes), PYRAMID).feature.unique().numel() > 10


def test_huge_coordinates_keep_their_voxels() -> None:
    scene = make_scene()
    offset = np.array([500_000.0, 5_400_000.0, 300.0])  # UTM; powers of two keep float64 exact here
    far = replace(scene, coord=np.round(scene.coord * 1024) / 1024 + offset)
    near = replace(scene, coord=np.round(scene.coord * 1024) / 1024)
    a, b = prepare(far, PREPARATION, PYRAMID), prepare(near, PREPARATION, PYRAMID)
    assert torch.equal(a.inverse, b.inverse) and torch.equal(a.feature, b.feature)
    with pytest.raises(InputError, match="from the origin, where the sensor should be"):
        prepare(far, replace(PREPARATION, origin=Origin.SENSOR), PYRAMID)


def test_a_crop_leaves_points_without_voxel() -> None:
    scene = make_scene()
    sample = prepare(scene, PREPARATION, PYRAMID, augmentations=(), crop=(SphereCrop(50),))
    whole = prepare(scene, PREPARATION, PYRAMID)
    assert len(sample) == 50 == len(sample.pyramid.levels[0])
    inside = sample.inverse >= 0
    assert 50 <= int(inside.sum()) < len(scene)
    assert torch.equal(torch.unique(sample.inverse[inside]), torch.arange(50))
    # Points share a voxel after the crop where they did before.
    grid, old = sample.pyramid.levels[0].grid, whole.pyramid.levels[0].grid
    moved = grid[sample.inverse[inside]] - old[whole.inverse[inside]]
    assert (moved == moved[0]).all()


def test_augmentations_that_drop_points_keep_lift_and_label_with_their_points() -> None:
    """Each point's label and token say its number, so whatever stands in a voxel can be checked."""
    scene = make_scene(points=300, views=1)
    numbered = replace(scene, label=np.arange(300, dtype=np.int32), class_names=())
    views = SceneViews(scene.views, ((42, 56),), (np.arange(300),), 300)

    def every_third(points: PointSet, rng: np.random.Generator) -> PointSet:
        return points.take(rng.permutation(len(points))[::3])

    sample = prepare(numbered, PREPARATION, PYRAMID, views=views, augmentations=(every_third,), crop=(SphereCrop(40),))
    assert sample.label is not None and sample.lift is not None
    assert torch.equal(sample.label, sample.lift.levels[0].token)
    assert torch.equal(sample.inverse[sample.label], torch.arange(len(sample)))
    assert int((sample.inverse >= 0).sum()) <= 100


def test_equal_seeds_give_equal_samples_in_training() -> None:
    scene = make_scene()
    views = views_of(scene)
    one, same, other = (
        prepare(scene, PREPARATION, PYRAMID, views=views, augmentations=(), seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one.feature, same.feature)
    assert one.lift is not None and same.lift is not None
    assert torch.equal(one.lift.levels[0].token, same.lift.levels[0].token)
    assert not torch.equal(one.feature, other.feature), "another point of the voxel"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"voxel_size": 0.0}, "voxel size"),
        ({"voxel_size": float("nan")}, "voxel size"),
        ({"attributes": ()}, "attributes"),
        ({"attributes": (Attribute.COLOR, Attribute.COLOR)}, "attributes"),
        ({"max_views": -1}, "max_views"),
        ({"strength_scale": 0.0}, "strength_scale"),
        ({"image_size": (0, 14)}, "image_size"),
        ({"clip_box": (0.0, 0.0, 0.0, 1.0, 1.0)}, "clip_box"),
        ({"clip_box": (0.0, 0.0, 0.0, 1.0, 0.0, 1.0)}, "clip_box"),
        ({"clip_box": (0.0, 0.0, 0.0, 1.0, 1.0, float("inf"))}, "clip_box"),
    ],
)
def test_impossible_preparations_are_refused(changes: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Preparation(**changes)  # type: ignore[arg-type]


# ---- origin and box --------------------------------------------------------------------------------------------------

AT_SENSOR = replace(PREPARATION, attributes=(Attribute.COORD,), origin=Origin.SENSOR)
BOX = (0.5, 0.5, 0.1, 3.0, 2.0, 1.0)


def test_points_outside_the_box_are_moved_onto_it_and_not_removed() -> None:
    scene = make_scene()
    sample = prepare(scene, replace(AT_SENSOR, clip_box=BOX, voxel_size=1e-3), PYRAMID)
    assert (sample.inverse >= 0).all()
    expected = np.clip(scene.coord.astype(np.float32), np.float32(BOX[:3]), np.float32(BOX[3:]))
    assert (expected != scene.coord).any(axis=1).sum() > 100
    np.testing.assert_allclose(sample.feature.numpy()[sample.inverse.numpy()], expected, atol=1e-3)


def test_views_are_asked_about_the_points_where_they_were(encoding: CachedEncoding) -> None:
    scene = make_scene(views=1)
    tokens = views_of(scene).token_rows[0]
    sample = prepare(scene, replace(AT_SENSOR, clip_box=BOX, voxel_size=1e-3), PYRAMID, views=views_of(scene))
    assert sample.lift is not None
    # Points that the box moved to one place share a voxel, and its first point stands for it.
    inverse = sample.inverse.numpy()
    first = np.array([np.flatnonzero(inverse == voxel)[0] for voxel in range(len(sample))])
    np.testing.assert_array_equal(sample.lift.levels[0].token.numpy(), tokens[first])


def test_in_training_the_box_comes_after_the_rotation_and_before_the_scale() -> None:
    preparation = replace(AT_SENSOR, clip_box=BOX)
    chain = Augmentation("outdoor").of_points(preparation.clip)
    kinds = [type(step) for step in chain]
    assert kinds.index(RandomRotate) < kinds.index(PointClip) < kinds.index(RandomScale)
    assert PointClip not in map(type, Augmentation("outdoor").of_points(None))
    scene = make_scene()
    samples = (prepare(scene, preparation, PYRAMID, seed=seed, augmentations=chain) for seed in range(9))
    reach = [sample.feature[:, 0].abs().max() for sample in samples]
    assert max(reach) > BOX[3], "scaled or flipped after the box, and not boxed again"
    # A chain without a place for the box gets it first.
    still = prepare(scene, preparation, PYRAMID, augmentations=()).feature.numpy()
    assert (still >= np.float32(BOX[:3])).all() and (still <= np.float32(BOX[3:])).all()


def test_coordinates_as_features_are_centred_over_the_voxels() -> None:
    scene = make_scene()
    preparation = replace(PREPARATION, attributes=(Attribute.COORD, Attribute.COLOR), voxel_size=1.0)
    coord = prepare(scene, preparation, PYRAMID).feature[:, :3]
    np.testing.assert_allclose((coord.amin(0) + coord.amax(0))[:2], 0, atol=1e-6)
    # Once only, it would be the middle of all points; z counts from the lowest point of all, not of the voxels.
    once = prepare(scene, replace(preparation, origin=Origin.SENSOR), PYRAMID).feature[:, :3]
    assert (once.amin(0) + once.amax(0))[:2].sub(torch.tensor([4.0, 3.0])).abs().max() > 0.01
    lowest = scene.coord[:, 2].min()
    assert (coord[:, 2] >= 0).all() and coord[:, 2].min() <= 1.0 and lowest >= 0


def test_a_fixed_image_size_holds_for_training_too(encoding: CachedEncoding, tmp_path: Path) -> None:
    captures = write_world(tmp_path, 1)
    preparation = replace(PREPARATION, image_size=(28, 70))
    for augmentations in ((), (HorizontalFlip(),)):
        training = TrainingSet(
            captures, preparation, PYRAMID, seed=0, encoding=encoding, image_augmentations=augmentations
        )
        sample = training[Item(0, 0)]
        assert sample.sizes == ((28, 70),) * 2
        assert sample.lift is not None
        if augmentations:
            assert [photo.shape for photo in sample.unencoded] == [(28, 70, 3)] * 2
        else:
            assert sample.tokens is not None and sample.tokens.shape == (2 * 2 * 5, encoding.width)


def test_an_image_size_that_is_not_whole_patches_is_refused(encoding: CachedEncoding) -> None:
    with pytest.raises(
        InputError, match=r"image_size: 420x565 pixels are not a whole number of patches of 14. .* 420x560"
    ):
        encoding.at((420, 565))
    fixed = encoding.at((28, 28))
    assert fixed.encoder is encoding.encoder and fixed.at((28, 28)) is fixed
    view = make_scene(views=1).views[0]
    assert fixed.size(view) == (28, 28) and fixed.at(None).size(view) == encoding.size(view) == (42, 56)


# ---- views ----------------------------------------------------------------------------------------------------------


def test_which_views_are_used() -> None:
    assert choose_rows(3, None, None) == choose_rows(3, 5, None) == [0, 1, 2]
    assert choose_rows(10, 4, None) == [0, 2, 4, 6]
    assert choose_rows(0, 4, None) == choose_rows(3, 0, None) == choose_rows(3, 0, np.random.default_rng(0)) == []
    drawn = choose_rows(10, 4, np.random.default_rng(0))
    assert drawn == choose_rows(10, 4, np.random.default_rng(0)) and len(set(drawn)) == 4
    assert {tuple(choose_rows(10, 4, np.random.default_rng(seed))) for seed in range(5)} != {tuple(drawn)}
    with pytest.raises(InputError, match="max_views"):
        choose_rows(3, -1, None)


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0], [1], []])
def test_selected_views_are_those_projected_alone(rows: list[int]) -> None:
    """Also where the views' sizes differ, so that tokens are counted from other places."""
    scene = make_scene(views=3)
    sizes = [(42, 56), (28, 42), (14, 28)]
    whole = scene_views(scene, scene.views, sizes, 14, RULE)
    assert whole.token_count == 12 + 6 + 2
    direct = scene_views(scene, [scene.views[row] for row in rows], [sizes[row] for row in rows], 14, RULE)
    selected = whole.select(rows, 14)
    assert [view.name for view in selected.views] == [f"photo_{row}" for row in rows]
    assert selected.sizes == direct.sizes and selected.token_count == direct.token_count
    for a, b in zip(selected.token_rows, direct.token_rows, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(selected.seen_by(len(scene)), direct.seen_by(len(scene)))


def test_the_choice_among_views_is_seeded_and_fair() -> None:
    scene = make_scene(views=3)
    views = views_of(scene)
    seen = np.stack(views.token_rows)

    def token(seed: int, choice: ViewChoice = ViewChoice.RANDOM) -> np.ndarray:
        preparation = replace(PREPARATION, voxel_size=1e-3, view_choice=choice)
        sample = prepare(scene, preparation, PYRAMID, views=views, seed=seed)
        assert sample.lift is not None
        return sample.lift.levels[0].token.numpy()[sample.inverse.numpy()]

    np.testing.assert_array_equal(token(4), token(4))
    assert (token(4) != token(5)).any()
    np.testing.assert_array_equal(token(4) >= 0, (seen >= 0).any(axis=0))
    assert ((token(4) == seen) & (seen >= 0)).any(axis=0)[token(4) >= 0].all()
    last = token(0, ViewChoice.LAST)
    expected = np.full(len(scene), -1)
    for of_view in seen:
        expected = np.where(of_view >= 0, of_view, expected)
    np.testing.assert_array_equal(last, expected)
    # Uniform: points that all three views show take each of them about equally often.
    thrice = (seen >= 0).all(axis=0)
    share = np.mean([(token(seed) == seen)[:, thrice] for seed in range(20)], axis=(0, 2))
    np.testing.assert_allclose(share, 1 / 3, atol=0.05)


def test_the_profile_follows_what_the_scene_has() -> None:
    assert profile_rule(make_scene(depth=True)) == ("indoor", INDOOR)
    # A coloured room; without depth maps whatever lies inside the image counts as seen.
    assert profile_rule(make_scene()) == ("indoor", OUTDOOR)
    assert profile_rule(without(make_scene(), "color")) == ("outdoor", OUTDOOR)
    sweep = replace(make_scene(), strength=np.ones(400, dtype=np.float32))
    assert profile_of(sweep)[0] == profile_rule(sweep)[0] == "outdoor"
    assert profile_of(without(make_scene(), "color"))[0] is None
    assert profile_rule(replace(make_scene(), reading=ReadOptions("indoor"))) == ("indoor", INDOOR)
    with pytest.raises(InputError, match="no profile 'space'"):
        profile_rule(replace(make_scene(), reading=ReadOptions("space")))  # type: ignore[arg-type]


# ---- photographs that are augmented ---------------------------------------------------------------------------------


def one_view(size: tuple[int, int], coord: np.ndarray, image: np.ndarray) -> Scene:
    """A camera at the origin that looks along +z; ``coord`` is in its frame."""
    height, width = size
    camera = Camera(width, height, 100.0, 100.0, width / 2, height / 2)
    return Scene("one", coord, (View("v", camera, np.eye(4), image),))


def in_front(pixel: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Points at depth 2 that fall on the pixels (u, v) of :func:`one_view`'s camera."""
    height, width = size
    ray = (pixel - np.array([width / 2, height / 2])) / 100.0
    return np.column_stack([ray * 2, np.full(len(pixel), 2.0)])


@given(st.integers(0, 1000), st.sampled_from([(42, 56), (28, 28), (70, 84)]))
def test_a_flipped_photograph_keeps_every_point_on_its_patch(seed: int, encoded: tuple[int, int]) -> None:
    """The flipped image's patch that a point gets is the mirror image of its patch, at whatever size it is encoded."""
    rng = np.random.default_rng(seed)
    native = (42, 56)
    pixel = rng.uniform((0, 0), (56, 42), (200, 2))
    # Borders of patches and of the image are where rounding would show.
    pixel[:50, 0] = rng.integers(0, 56, 50)
    pixel[50:60, 0] = np.nextafter(np.float32(14), np.float32(0))
    pixel[60:70, 0] = np.nextafter(56, 0)
    image = photograph(rng, Camera(56, 42, 1, 1, 0, 0))
    scene = one_view(native, in_front(pixel, native), image)
    plain = scene_views(scene, scene.views, [encoded], 14, OUTDOOR)
    still, flipped = (
        scene_views(scene, scene.views, [encoded], 14, OUTDOOR, augmentations=(HorizontalFlip(p=p),), rng=rng)
        for p in (0.0, 1.0)
    )
    np.testing.assert_array_equal(still.unencoded[0][:, ::-1], flipped.unencoded[0])
    columns = encoded[1] // 14
    row, column = np.divmod(still.token_rows[0], columns)
    mirrored = np.where(still.token_rows[0] < 0, -1, row * columns + columns - 1 - column)
    np.testing.assert_array_equal(flipped.token_rows[0], mirrored)
    # A pixel beside the last border can round onto it in float32, where the published arithmetic finds no patch.
    agree = plain.token_rows[0] == still.token_rows[0]
    assert agree[plain.token_rows[0] >= 0].all()


def test_the_patch_of_a_point_holds_its_pixel_after_the_flip() -> None:
    """Each pixel of the photograph says its number; the point's patch of the flipped image must contain it."""
    native = (42, 56)
    image = np.zeros((42, 56, 3), dtype=np.uint8)
    image[..., 0], image[..., 1] = np.arange(42)[:, None], np.arange(56)
    row, column = np.divmod(np.arange(42 * 56), 56)
    for inside in (0.0, 0.5, 1 - 2**-10):
        coord = in_front(np.column_stack([column + inside, row + inside]), native)
        scene = one_view(native, coord, image)
        views = scene_views(
            scene, scene.views, [native], 14, OUTDOOR, augmentations=(HorizontalFlip(p=1.0),),
            rng=np.random.default_rng(0),
        )  # fmt: skip
        pixel = scene_views(scene, scene.views, [native], 1, OUTDOOR).token_rows[0]
        patches = views.unencoded[0].reshape(3, 14, 4, 14, 3).transpose(0, 2, 1, 3, 4).reshape(12, 196, 3)
        for token, own in zip(views.token_rows[0], pixel, strict=True):
            if own >= 0:
                assert (patches[token] == (own // 56, own % 56, 0)).all(axis=1).any()


def test_augmented_views_need_a_generator() -> None:
    with pytest.raises(ValueError, match="random generator"):
        views_of(make_scene(), augmentations=(HorizontalFlip(),))


# ---- the whole chain ------------------------------------------------------------------------------------------------


def logits_of(scenes: Sequence[Scene], encoding: CachedEncoding, together: bool) -> list[torch.Tensor]:
    torch.manual_seed(0)
    config = tiny_config(encoding)
    model = config.build().eval()
    samples = []
    for scene in scenes:
        views = views_of(scene)
        tokens = torch.cat([torch.zeros(0, encoding.width), *encoding.tokens(views.views)])
        samples.append(prepare(scene, config.preparation, config.network.pyramid, views=replace(views, tokens=tokens)))
    parts = []
    for group in [samples] if together else [[sample] for sample in samples]:
        batch = join_samples(group)
        assert batch.tokens is not None and batch.lift is not None
        with torch.no_grad():
            logits = model(batch.feature, batch.pyramid, ImageFeatures(batch.tokens, batch.lift))
        parts.extend(logits.split([len(sample) for sample in group]))
    return parts


def test_a_scene_in_a_batch_gets_the_logits_that_it_gets_alone(encoding: CachedEncoding) -> None:
    """Scenes of other sizes, numbers of views (also none) and points beside it."""
    scenes = [make_scene(0), make_scene(1, points=40, views=3), make_scene(2, views=0), make_scene(3, points=900)]
    for alone, beside in zip(logits_of(scenes, encoding, False), logits_of(scenes, encoding, True), strict=True):
        difference = (alone - beside).abs().max() / alone.square().mean().sqrt()
        assert difference <= 1e-5


def test_what_one_sample_lacks_the_batch_lacks() -> None:
    with_label, without_label = make_scene(0), without(make_scene(1), "label")
    batch = join_samples([prepare(scene, PREPARATION, PYRAMID) for scene in (with_label, without_label)])
    assert batch.label is None and batch.lift is None and batch.tokens is None
    assert batch.names == ("scene_0", "scene_1")


def test_files_and_arrays_give_the_same_views(tmp_path: Path) -> None:
    from ditr.captures.capture import read_capture, write_capture

    scene = make_scene(depth=True)
    write_capture(scene, tmp_path / "scene_0", image_format="png")
    stored = read_capture(tmp_path / "scene_0")
    rule = replace(RULE, depth_margin=1.0)
    sizes = [(42, 56)] * 2
    for a, b in zip(
        scene_views(scene, scene.views, sizes, 14, rule).token_rows,
        scene_views(stored, stored.views, sizes, 14, rule).token_rows,
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
        assert 0 < (a >= 0).sum() < (views_of(scene).token_rows[0] >= 0).sum()
    assert CAMERA.width == 56

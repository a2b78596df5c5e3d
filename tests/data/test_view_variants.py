"""Views that are dropped, limited, drawn or missing, and what points take of them: through training and inference."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_world import (
    NETWORK,
    PREPARATION,
    RULE,
    make_scene,
    tiny_config,
    tiny_encoding,
    tiny_recipe,
    write_world,
)

from ditr.captures.capture import write_capture
from ditr.data.augment.images import HorizontalFlip
from ditr.data.batch import join_samples
from ditr.data.dataset import Item, TrainingSet
from ditr.data.mix import mix_pairs
from ditr.data.preparation import Lookup, Preparation, ViewDrop, ViewOrder
from ditr.data.sample import ViewChoice, prepare
from ditr.data.scene_views import SceneViews, scene_views
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.evaluation.evaluate import evaluate, visible_points
from ditr.evaluation.voting import Voting
from ditr.inference.lifting import lift_features
from ditr.inference.segmenter import Segmenter
from ditr.io.settings_json import from_plain, to_json_values
from ditr.models.injection import Injection, TokenTable, pooled_tokens
from ditr.nn.image_features import ImageFeatures
from ditr.scene import Scene
from ditr.training.loading import Draw, load_batches
from ditr.training.loop import TrainingRun, train
from ditr.weights.saved_model import load_model

PYRAMID = NETWORK.pyramid
CHOICES = list(ViewChoice)
LOOKUPS = list(Lookup)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder / "data", 2, views=3)
    write_capture(make_scene(7, views=0), folder / "data" / "scene_without")
    return folder


@pytest.fixture(scope="module")
def encoding(world: Path) -> CachedEncoding:
    return tiny_encoding(world)


def captures(world: Path) -> list[Path]:
    return sorted((world / "data").iterdir())


def training_set(world: Path, encoding: CachedEncoding, *, flips: bool = False, **how: object) -> TrainingSet:
    preparation = replace(PREPARATION, **how)  # type: ignore[arg-type]
    images = (HorizontalFlip(),) if flips else ()
    return TrainingSet(captures(world), preparation, PYRAMID, seed=0, encoding=encoding, image_augmentations=images)


def segmenter(encoding: CachedEncoding, injection: Injection = Injection.DECODER, **preparation: object) -> Segmenter:
    config = tiny_config(encoding, **preparation)
    config = replace(config, network=replace(config.network, injection=injection))
    torch.manual_seed(0)
    return Segmenter(config, config.build(), encoding=encoding)


# ---- which views ----------------------------------------------------------------------------------------------------


@given(st.integers(0, 9), st.floats(0, 1), st.floats(0, 1), st.integers(0, 999))
def test_dropping_keeps_some_of_the_views_in_their_order(count: int, every: float, each: float, seed: int) -> None:
    rows = list(range(10, 10 + count))
    kept = ViewDrop(every, each).keep(rows, np.random.default_rng(seed))
    assert kept == [row for row in rows if row in kept]
    assert kept == ViewDrop(every, each).keep(rows, np.random.default_rng(seed))


def test_views_are_dropped_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    left = np.array([len(ViewDrop(0.3, 0.2).keep(range(5), rng)) for _ in range(4000)])
    # 0.3, and the few that lose all five one by one.
    assert (left == 0).mean() == pytest.approx(0.3, abs=0.03)
    assert left[left > 0].mean() == pytest.approx(4.0, abs=0.1)
    assert ViewDrop(0, 0).keep(range(5), rng) == list(range(5))
    assert ViewDrop(1, 0).keep(range(5), rng) == ViewDrop(0, 1).keep(range(5), rng) == []


@pytest.mark.parametrize(("change", "named"), [({"all": 1.1}, "all"), ({"each": float("nan")}, "each")])
def test_numbers_that_are_no_probabilities_are_refused(change: dict[str, float], named: str) -> None:
    with pytest.raises(InputError, match=f"view_drop.{named}"):
        ViewDrop(**change)


def test_the_settings_survive_json() -> None:
    preparation = Preparation(
        view_choice=ViewChoice.NEAREST,
        lookup=Lookup.BILINEAR,
        view_order=ViewOrder.RANDOM,
        view_drop=ViewDrop(0.5, 0.25),
        max_views=0,
    )
    plain = json.loads(json.dumps(to_json_values(preparation)))
    assert from_plain(Preparation, plain, "test") == preparation
    new = ("lookup", "view_order", "view_drop")
    older = {name: value for name, value in to_json_values(Preparation()).items() if name not in new}
    assert from_plain(Preparation, older, "test") == Preparation()


@pytest.mark.parametrize("flips", [False, True])
def test_training_samples_lose_views_and_their_tokens(world: Path, encoding: CachedEncoding, flips: bool) -> None:
    data = training_set(world, encoding, flips=flips, view_drop=ViewDrop(0.3, 0.4))
    counts = set()
    for epoch in range(12):
        sample = data[Item(epoch, 0)]
        assert sample.lift is not None
        count = len(sample.sizes)
        counts.add(count)
        assert sample.lift.tokens == 12 * count
        if flips:
            assert sample.tokens is None and len(sample.unencoded) == count
        else:
            assert sample.tokens is not None and sample.cls is not None
            assert sample.tokens.shape == (12 * count, encoding.width) and sample.cls.shape == (count, encoding.width)
    assert counts == {0, 1, 2, 3}


def test_points_and_labels_are_augmented_as_without_dropping(world: Path, encoding: CachedEncoding) -> None:
    plain, dropping = (training_set(world, encoding, view_drop=drop) for drop in (None, ViewDrop(1)))
    for index in range(2):
        one, other = plain[Item(0, index)], dropping[Item(0, index)]
        assert torch.equal(one.feature, other.feature) and torch.equal(one.inverse, other.inverse)
        assert other.lift is not None and int(other.lift.levels[0].token.max()) == -1


@pytest.mark.parametrize("flips", [False, True])
def test_a_batch_knows_whose_cls_tokens_are_whose(world: Path, encoding: CachedEncoding, flips: bool) -> None:
    data = training_set(world, encoding, flips=flips)
    order = [Draw(0, (Item(0, 0), Item(0, 2), Item(0, 1)))]
    (batch,) = load_batches(data, order, encoding=encoding, device="cpu", workers=0, cls=True)  # type: ignore[arg-type]
    assert batch.views == (3, 0, 3) and batch.tokens is not None and batch.cls is not None
    assert len(batch.cls) == 6 and len(batch.tokens) == 72
    if not flips:
        expected = [view.cls for index in (0, 1) for view in encoding.encode(data.scene(index).views)]
        assert torch.equal(batch.cls, torch.stack(expected))


def test_equidistant_and_random_views_at_inference(world: Path, encoding: CachedEncoding) -> None:
    scene = make_scene(views=6)
    orders = {order: segmenter(encoding, max_views=2, view_order=order) for order in ViewOrder}
    assert orders[ViewOrder.EQUIDISTANT](scene, seed=1).seen_by is not None
    seen = [orders[ViewOrder.EQUIDISTANT](scene, seed=seed).seen_by for seed in (1, 2)]
    np.testing.assert_array_equal(seen[0], seen[1])
    drawn = [orders[ViewOrder.RANDOM](scene, seed=seed).seen_by for seed in (1, 1, 2, 3, 4)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert any((drawn[0] != other).any() for other in drawn[2:])  # type: ignore[union-attr]


@pytest.mark.parametrize("injection", [Injection.DECODER, Injection.CLS])
@pytest.mark.parametrize("limit", [0, 1, 3, None])
def test_any_number_of_views(injection: Injection, limit: int | None, world: Path, encoding: CachedEncoding) -> None:
    """Also for voting, whose fragments share the tokens; and no views allowed is as none there."""
    scene = make_scene(views=3)
    labelled = segmenter(encoding, injection, max_views=limit)
    for votes in (None, Voting(thin=0.1)):
        found = labelled(scene, votes=votes)
        assert np.isfinite(found.confidence).all() and found.seen_by is not None
        assert found.seen_by.max() <= (3 if limit is None else limit)
        if limit == 0:
            bare = segmenter(encoding, injection)(replace(scene, views=()), votes=votes, up=found.up)
            np.testing.assert_array_equal(bare.confidence, found.confidence)


# ---- evaluation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, None])
def test_figures_of_scenes_without_views(limit: int | None, world: Path, encoding: CachedEncoding) -> None:
    """Visible is what some view of the scene shows, also where the model may use none (Tables 8 and 9)."""
    labelled = segmenter(encoding, max_views=limit)
    bare = captures(world)[2]
    found = evaluate(labelled, [bare])
    np.testing.assert_array_equal(found.invisible.counts, found.all_points.counts)
    assert found.visible.points == 0 and found.all_points.points > 0
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["visible"]["miou"] == 0
    scene = make_scene(views=3)
    assert 0 < visible_points(scene, labelled).sum() < len(scene)
    assert not visible_points(replace(scene, views=()), labelled).any()
    both = evaluate(labelled, captures(world))
    assert both.visible.points > 0 and both.visible.points + both.invisible.points == both.all_points.points


# ---- what points take of views --------------------------------------------------------------------------------------


def views_of(scene: Scene, lookup: Lookup) -> SceneViews:
    return scene_views(scene, scene.views, [(42, 56)] * len(scene.views), 14, RULE, lookup=lookup)


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("rows", [[2, 0], [1], []])
def test_selected_views_are_those_projected_alone(rows: list[int], lookup: Lookup) -> None:
    scene = make_scene(views=3)
    whole = replace(views_of(scene, lookup), cls=torch.arange(3.0)[:, None])
    direct = views_of(replace(scene, views=tuple(scene.views[row] for row in rows)), lookup)
    selected = whole.select(rows, 14)
    for one, other in ((selected.token_rows, direct.token_rows), (selected.weights, direct.weights)):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)
    assert selected.cls is not None and selected.cls[:, 0].tolist() == rows
    np.testing.assert_array_equal(selected.seen_by(len(scene)), direct.seen_by(len(scene)))
    points = np.array([5, 0])
    for distance, view in zip(selected.distances(points), direct.views, strict=True):
        center = -view.world_to_camera[:3, :3].T @ view.world_to_camera[:3, 3]
        np.testing.assert_allclose(distance, np.linalg.norm(scene.coord[points] - center, axis=1))


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("choice", CHOICES)
def test_a_voxel_takes_what_its_own_point_sees(choice: ViewChoice, lookup: Lookup) -> None:
    """Whatever augmentation makes of the points: views see them where they were."""
    scene = make_scene(views=3)
    preparation = replace(PREPARATION, voxel_size=1e-3, view_choice=choice, lookup=lookup)
    views = views_of(scene, lookup)
    table = torch.randn(views.token_count, 4, generator=torch.Generator().manual_seed(0))
    sample = prepare(scene, preparation, PYRAMID, views=views, seed=3)
    assert sample.lift is not None
    rows = TokenTable.of(table, sample.lift, None).rows
    found = pooled_tokens(rows, sample.lift, 0)[sample.inverse]
    each = []
    for number, tokens in enumerate(views.token_rows):
        index = tokens[:, None] if lookup is Lookup.PATCH else tokens
        weight = torch.ones(index.shape) if lookup is Lookup.PATCH else torch.from_numpy(views.weights[number])
        each.append((table[index] * weight[:, :, None]).sum(dim=1))
    shown = torch.from_numpy(np.stack([tokens.reshape(len(scene), -1)[:, 0] >= 0 for tokens in views.token_rows]))
    distance = np.stack(views.distances(np.arange(len(scene))))
    for point in range(len(scene)):
        seen = [number for number in range(3) if shown[number, point]]
        candidates = {
            ViewChoice.RANDOM: [each[number][point] for number in seen],
            ViewChoice.LAST: [each[number][point] for number in seen[-1:]],
            ViewChoice.NEAREST: [each[n][point] for n in seen if distance[n, point] == distance[seen, point].min()],
        }.get(choice)
        if not seen:
            candidates = [torch.zeros(4)]
        elif candidates is None:
            stack = torch.stack([each[number][point] for number in seen])
            candidates = [stack.mean(dim=0) if choice is ViewChoice.MEAN else stack.amax(dim=0)]
        assert min(float((found[point] - one).abs().max()) for one in candidates) < 1e-5


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("choice", CHOICES)
def test_samples_of_different_numbers_of_views_make_a_batch(
    choice: ViewChoice, lookup: Lookup, encoding: CachedEncoding
) -> None:
    labelled = segmenter(encoding, view_choice=choice, lookup=lookup)
    preparation = labelled.config.preparation
    samples = []
    for count in (3, 0, 1):
        scene = make_scene(count, views=count)
        tokens = torch.cat([torch.zeros(0, encoding.width), *encoding.tokens(scene.views)])
        samples.append(prepare(scene, preparation, PYRAMID, views=replace(views_of(scene, lookup), tokens=tokens)))
    with torch.no_grad():
        together = labelled.run(join_samples(samples)).split([len(sample) for sample in samples])
        for sample, logits in zip(samples, together, strict=True):
            torch.testing.assert_close(logits, labelled.logits(sample), rtol=0, atol=1e-5)
    flipped = views_of(make_scene(3, views=3), lookup)
    assert flipped.interpolated == (lookup is Lookup.BILINEAR)


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("choice", CHOICES)
def test_mixed_scenes_keep_what_each_saw(
    choice: ViewChoice, lookup: Lookup, world: Path, encoding: CachedEncoding
) -> None:
    """With the [cls] tokens of both, in the order of the tokens."""
    data = training_set(world, encoding, view_choice=choice, lookup=lookup)
    apart = [data[Item(0, index)] for index in (0, 2, 1)]
    features = []
    for sample in apart:
        assert sample.lift is not None and sample.tokens is not None
        features.append(pooled_tokens(TokenTable.of(sample.tokens, sample.lift, None).rows, sample.lift, 0))
    mixed, alone = mix_pairs(apart, PYRAMID, np.random.default_rng(0))
    assert mixed.lift is not None and mixed.tokens is not None and mixed.cls is not None
    rows = TokenTable.of(mixed.tokens, mixed.lift, None).rows
    torch.testing.assert_close(pooled_tokens(rows, mixed.lift, 0), torch.cat(features[:2]))
    assert len(mixed.cls) == len(mixed.sizes) == 3 and alone.cls is not None and len(alone.cls) == 3
    labelled = segmenter(encoding, Injection.CLS)
    with torch.no_grad():
        assert torch.isfinite(labelled.run(join_samples([mixed, alone]))).all()


def test_the_paper_s_lookup_makes_no_blend(world: Path, encoding: CachedEncoding) -> None:
    for choice in (ViewChoice.RANDOM, ViewChoice.LAST, ViewChoice.NEAREST):
        sample = training_set(world, encoding, view_choice=choice)[Item(0, 0)]
        assert sample.lift is not None and sample.lift.blend is None
    blended = training_set(world, encoding, view_choice=ViewChoice.MEAN)[Item(0, 0)].lift
    assert blended is not None and blended.blend is not None


@pytest.mark.parametrize("choice", [ViewChoice.NEAREST, ViewChoice.MEAN])
@pytest.mark.parametrize("lookup", LOOKUPS)
def test_fragments_vote_on_variants_too(choice: ViewChoice, lookup: Lookup, encoding: CachedEncoding) -> None:
    labelled, scene = segmenter(encoding, view_choice=choice, lookup=lookup), make_scene(views=3)
    one, other = (labelled(scene, votes=Voting(batch_voxels=voxels)) for voxels in (1, 100_000))
    np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=1e-5)


def test_lifted_features_take_the_nearest_view_and_no_aggregate(encoding: CachedEncoding) -> None:
    scene = make_scene(views=3)
    lifted = lift_features(scene, encoding, RULE, choice=ViewChoice.NEAREST)
    last = lift_features(scene, encoding, RULE, choice=ViewChoice.LAST)
    assert torch.equal(lifted.lift.has_token, last.lift.has_token)
    assert not torch.equal(lifted.lift.patch_index, last.lift.patch_index)
    for choice in (ViewChoice.MEAN, ViewChoice.MAX):
        with pytest.raises(InputError, match="choice"):
            lift_features(scene, encoding, RULE, choice=choice)


# ---- training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("injection", "preparation", "learned"),
    [
        (Injection.DECODER, {"view_drop": ViewDrop(0.5, 0.5)}, True),
        (Injection.CLS, {"view_drop": ViewDrop(0.5, 0.5)}, False),
        (Injection.BETWEEN, {"view_choice": ViewChoice.MAX, "lookup": Lookup.BILINEAR}, True),
        (Injection.LAST, {"max_views": 0}, False),
    ],
)
@pytest.mark.parametrize("flips", [False, True])
def test_a_run_trains(
    injection: Injection,
    preparation: dict[str, object],
    learned: bool,
    flips: bool,
    world: Path,
    encoding: CachedEncoding,
    tmp_path: Path,
) -> None:
    # A learned embedding needs to know its width already; otherwise the run finds it from the encoder.
    width = encoding.width if learned else None
    recipe = tiny_recipe(
        encoding,
        network=replace(NETWORK, injection=injection, image_width=width, missing_embedding=learned),
        preparation=replace(PREPARATION, **preparation),  # type: ignore[arg-type]
        steps=3,
    )
    recipe = replace(recipe, augmentation=replace(recipe.augmentation, images=flips))
    settings = {"encoding": encoding, "device": "cpu", "quiet": True}
    config = train(recipe, TrainingRun(folder=tmp_path, captures=captures(world), **settings))  # type: ignore[arg-type]
    assert config.network == replace(recipe.network, in_channels=6, image_width=encoding.width)
    assert load_model(tmp_path)[0] == config
    assert np.isfinite(Segmenter.from_pretrained(tmp_path)(make_scene(views=2)).confidence).all()


def test_views_with_gradients_reach_the_learned_embedding(world: Path, encoding: CachedEncoding) -> None:
    """Points of a sample that lost its views take it, on every level."""
    data = training_set(world, encoding, view_drop=ViewDrop(1))
    batch = join_samples([data[Item(0, 0)], data[Item(0, 1)]])
    config = tiny_config(encoding)
    network = replace(config.network, missing_embedding=True)
    model = replace(config, network=network).build().train()
    assert batch.tokens is not None and batch.lift is not None and batch.tokens.shape == (0, encoding.width)
    model(batch.feature, batch.pyramid, ImageFeatures(batch.tokens, batch.lift)).square().mean().backward()
    embedding = model.backbone.missing_embedding
    assert embedding.grad is not None and embedding.grad.any()  # type: ignore[union-attr]

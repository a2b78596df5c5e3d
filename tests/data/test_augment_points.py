"""Augmentations of points: exact geometry, how often and how strongly they act, and that nothing gets out of line."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ditr.data.augment.points import (
    CenterShift,
    ChromaticAutoContrast,
    ChromaticJitter,
    ChromaticTranslation,
    ElasticDistortion,
    PointAugmentation,
    PointClip,
    PointSet,
    RandomDropout,
    RandomFlip,
    RandomJitter,
    RandomRotate,
    RandomScale,
    SphereCrop,
    augment,
    indoor_augmentations,
    outdoor_augmentations,
)
from ditr.errors import InputError

EVERY: tuple[PointAugmentation, ...] = (
    CenterShift(),
    CenterShift(z=False),
    RandomDropout(p=1),
    RandomRotate("x", p=1),
    RandomRotate("y", (-0.3, 0.2), center=(1.0, 2.0, 3.0), p=1),
    RandomRotate("z", p=1),
    RandomScale(),
    RandomFlip(),
    RandomJitter(),
    ElasticDistortion(p=1),
    ChromaticAutoContrast(p=1),
    ChromaticTranslation(p=1),
    ChromaticJitter(p=1),
    PointClip((-0.5, -0.5, -0.5), (0.5, 0.5, 0.5)),
    SphereCrop(7),
    SphereCrop(share=0.6),
)


def cloud(points: int = 50, seed: int = 0, size: float = 3.0) -> PointSet:
    """A cloud that cannot be written into; strength and label say which point they belong to."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((points, 3)).astype(np.float32)
    result = PointSet(
        coord=(rng.random((points, 3)) * size - 1).astype(np.float32),
        index=np.arange(points) + 1000,
        color=rng.integers(0, 256, (points, 3)).astype(np.float32),
        normal=normal / np.linalg.norm(normal, axis=1, keepdims=True),
        strength=np.arange(points, dtype=np.float32)[:, None],
        label=np.arange(points) * 3,
        pinned=np.zeros(points, dtype=bool),
    )
    for field in dataclasses.fields(result):
        getattr(result, field.name).flags.writeable = False
    return result


def draws(augmentation: PointAugmentation, points: PointSet, count: int, seed: int = 0) -> list[PointSet]:
    rng = np.random.default_rng(seed)
    return [augmentation(points, rng) for _ in range(count)]


def same(a: PointSet, b: PointSet) -> bool:
    names = [field.name for field in dataclasses.fields(a)]
    return all(np.array_equal(getattr(a, name), getattr(b, name)) for name in names)


def share_changed(augmentation: PointAugmentation, points: PointSet, count: int = 2000) -> float:
    return float(np.mean([result is not points for result in draws(augmentation, points, count)]))


# All of them


@settings(max_examples=150)
@given(
    points=st.integers(1, 80),
    seed=st.integers(0, 10_000),
    chain=st.lists(st.sampled_from(EVERY), min_size=1, max_size=6),
)
def test_every_chain_keeps_points_and_their_attributes_together(
    points: int, seed: int, chain: list[PointAugmentation]
) -> None:
    before = cloud(points, seed)
    after = augment(before, chain, np.random.default_rng(seed))
    row = after.index - 1000
    assert len(after) >= 1
    assert (np.diff(row) > 0).all()
    np.testing.assert_array_equal(after.label, before.label[row])
    np.testing.assert_array_equal(after.strength, before.strength[row])
    np.testing.assert_allclose(np.linalg.norm(after.normal, axis=1), 1, atol=1e-5)
    assert np.isfinite(after.coord).all()
    assert after.color.min() >= 0 and after.color.max() <= 255
    assert same(after, augment(cloud(points, seed), chain, np.random.default_rng(seed)))


def test_a_turned_and_jittered_cloud_is_still_in_line() -> None:
    before = cloud(500)
    chain = (RandomDropout(p=1), RandomRotate("z", p=1), RandomFlip(), RandomJitter(), SphereCrop(200))
    after = augment(before, chain, np.random.default_rng(3))
    source = before.coord[after.index - 1000].astype(np.float64)
    # The rigid motion that explains the result best leaves the jitter only.
    a, b = source - source.mean(axis=0), after.coord - after.coord.mean(axis=0)
    motion = np.linalg.lstsq(a, b, rcond=None)[0]
    np.testing.assert_allclose(motion @ motion.T, np.eye(3), atol=2e-3)
    assert np.abs(a @ motion - b).max() < 0.03
    np.testing.assert_allclose(before.normal[after.index - 1000] @ motion, after.normal, atol=5e-3)


@pytest.mark.parametrize("augmentation", EVERY, ids=lambda a: type(a).__name__)
def test_missing_attributes_stay_missing(augmentation: PointAugmentation) -> None:
    bare = PointSet(cloud().coord, cloud().index)
    after = augmentation(bare, np.random.default_rng(0))
    assert after.color is after.normal is after.strength is after.label is None
    with_all = augmentation(cloud(), np.random.default_rng(0))
    np.testing.assert_array_equal(after.index, with_all.index)
    np.testing.assert_array_equal(after.coord, with_all.coord)


def test_the_chains_have_the_published_order() -> None:
    assert [type(step).__name__ for step in indoor_augmentations()] == [
        "CenterShift",
        "RandomDropout",
        *["RandomRotate"] * 3,
        "RandomScale",
        "RandomFlip",
        "RandomJitter",
        "ElasticDistortion",
        "ChromaticAutoContrast",
        "ChromaticTranslation",
        "ChromaticJitter",
    ]
    assert ElasticDistortion() not in indoor_augmentations(elastic=False)
    outdoor = ["RandomRotate", "RandomScale", "RandomFlip", "RandomJitter"]
    assert [type(step).__name__ for step in outdoor_augmentations()] == outdoor
    assert outdoor_augmentations(PointClip())[1] == PointClip()


def test_the_chains_have_the_published_strengths() -> None:
    """Written out, so that neither a default nor a chain can move on its own."""
    tilt = (-1 / 64, 1 / 64)
    turn = RandomRotate("z", (-1.0, 1.0), center=(0.0, 0.0, 0.0), p=0.5)
    moved = (RandomScale(0.9, 1.1), RandomFlip(0.5), RandomJitter(0.005, 0.02))
    assert indoor_augmentations() == (
        CenterShift(z=True),
        RandomDropout(ratio=0.2, p=0.2),
        turn,
        RandomRotate("x", tilt, center=None, p=0.5),
        RandomRotate("y", tilt, center=None, p=0.5),
        *moved,
        ElasticDistortion(p=0.95, fields=((0.2, 0.4), (0.8, 1.6))),
        ChromaticAutoContrast(p=0.2, blend=None),
        ChromaticTranslation(p=0.95, ratio=0.05),
        ChromaticJitter(p=0.95, std=0.05),
    )
    sweep = PointClip((-35.2, -35.2, -4.0), (35.2, 35.2, 2.0))
    assert outdoor_augmentations(PointClip()) == (turn, sweep, *moved)


def test_the_indoor_chain_leaves_strengths_and_labels_alone() -> None:
    before = cloud(300)
    for seed in range(10):
        after = augment(before, indoor_augmentations(), np.random.default_rng(seed))
        row = after.index - 1000
        np.testing.assert_array_equal(after.strength, before.strength[row])
        np.testing.assert_array_equal(after.label, before.label[row])


def test_the_chains_run() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        crops = (SphereCrop(share=0.6), SphereCrop(100), CenterShift(z=False))
        indoor = augment(cloud(300, seed), (*indoor_augmentations(), *crops), rng)
        assert len(indoor) == 100
        middle = (indoor.coord.min(axis=0) + indoor.coord.max(axis=0)) / 2
        np.testing.assert_allclose(middle[:2], 0, atol=1e-6)
        assert len(augment(cloud(300, seed), outdoor_augmentations(PointClip()), rng)) == 300


# One by one


def test_center_shift() -> None:
    points = cloud()
    for z in (True, False):
        coord = CenterShift(z=z)(points, np.random.default_rng(0)).coord
        np.testing.assert_allclose((coord.min(axis=0) + coord.max(axis=0))[:2], 0, atol=1e-6)
        shift = points.coord - coord
        np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-6)
        assert coord[:, 2].min() == (0 if z else points.coord[:, 2].min())


def test_random_dropout() -> None:
    points = cloud(10)
    assert share_changed(RandomDropout(), points) == pytest.approx(0.2, abs=0.03)
    results = draws(RandomDropout(p=1), points, 3000)
    assert {len(result) for result in results} == {8}
    kept = np.bincount(np.concatenate([result.index - 1000 for result in results])) / 3000
    np.testing.assert_allclose(kept, 0.8, atol=0.03)
    assert len(RandomDropout(ratio=1.0, p=1)(points, np.random.default_rng(0))) == 1


def angles_of(results: list[PointSet], points: PointSet, axis: str) -> NDArray[np.float64]:
    """Rotation angles in units of pi, measured on the normals, right-handed about the axis."""
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    angle = [np.arctan2(p.normal[0, second], p.normal[0, first]) for p in (*results, points)]
    return (np.array(angle[:-1]) - angle[-1] + math.pi) % (2 * math.pi) / math.pi - 1


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize("center", [None, (0.5, -2.0, 1.0)])
def test_random_rotate_is_a_rotation_about_its_center(axis: str, center: tuple[float, float, float] | None) -> None:
    points = cloud()
    middle = (points.coord.min(axis=0) + points.coord.max(axis=0)) / 2 if center is None else np.array(center)
    for result in draws(RandomRotate(axis, center=center, p=1), points, 20):
        motion = np.linalg.lstsq(points.normal.astype(np.float64), result.normal, rcond=None)[0]
        np.testing.assert_allclose(motion @ motion.T, np.eye(3), atol=1e-5)
        assert np.linalg.det(motion) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose((points.coord - middle) @ motion + middle, result.coord, atol=1e-5)
        number = "xyz".index(axis)
        np.testing.assert_allclose(points.coord[:, number], result.coord[:, number], atol=1e-6)


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_random_rotate_turns_right_handed(axis: str) -> None:
    number = "xyz".index(axis)
    start, end = np.roll(np.eye(3, dtype=np.float32), number, axis=1)[1:]
    points = PointSet(start[None], np.zeros(1, np.int64))
    result = RandomRotate(axis, (0.5, 0.5), center=(0, 0, 0), p=1)(points, np.random.default_rng(0))
    np.testing.assert_allclose(result.coord[0], end, atol=1e-6)


@pytest.mark.parametrize(("axis", "reach"), [("z", (-1.0, 1.0)), ("x", (-1 / 64, 1 / 64)), ("y", (0.1, 0.3))])
def test_random_rotate_draws_its_angle_uniformly(axis: str, reach: tuple[float, float]) -> None:
    points = cloud(5)
    assert share_changed(RandomRotate(axis, reach), points) == pytest.approx(0.5, abs=0.04)
    angle = angles_of(draws(RandomRotate(axis, reach, p=1), points, 2000), points, axis)
    low, high = reach
    assert angle.min() >= low - 1e-5 and angle.max() <= high + 1e-5
    shares = np.histogram(angle, bins=8, range=(low - 1e-5, high + 1e-5))[0] / 2000
    np.testing.assert_allclose(shares, 1 / 8, atol=0.03)


def test_random_scale() -> None:
    points = cloud()
    factors = []
    for result in draws(RandomScale(), points, 2000):
        factor = result.coord / points.coord
        np.testing.assert_allclose(factor, factor[0, 0], rtol=1e-5)
        np.testing.assert_array_equal(result.normal, points.normal)
        factors.append(factor[0, 0])
    assert min(factors) >= 0.9 - 1e-5 and max(factors) <= 1.1 + 1e-5
    np.testing.assert_allclose(np.histogram(factors, bins=4, range=(0.9, 1.1))[0] / 2000, 0.25, atol=0.04)


def test_random_flip_mirrors_x_and_y_independently() -> None:
    points = cloud(3)
    seen = []
    for result in draws(RandomFlip(), points, 2000):
        sign = np.sign(result.coord[0] / points.coord[0])
        np.testing.assert_array_equal(result.coord, points.coord * sign)
        np.testing.assert_array_equal(result.normal, points.normal * sign)
        assert sign[2] == 1
        seen.append((sign[0] < 0) + 2 * (sign[1] < 0))
    np.testing.assert_allclose(np.bincount(seen) / 2000, 0.25, atol=0.04)
    both = RandomFlip(p=1)(points, np.random.default_rng(0))
    np.testing.assert_array_equal(both.coord, points.coord * np.float32([-1, -1, 1]))


def test_random_jitter() -> None:
    points = cloud(20_000)
    noise = RandomJitter()(points, np.random.default_rng(0)).coord.astype(np.float64) - points.coord
    np.testing.assert_allclose(noise.std(axis=0), 0.005, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=2e-4)
    np.testing.assert_allclose(np.corrcoef(noise.T), np.eye(3), atol=0.03)
    clipped = RandomJitter(sigma=1.0)(points, np.random.default_rng(0)).coord.astype(np.float64) - points.coord
    assert np.abs(clipped).max() == pytest.approx(0.02, abs=1e-6)


def test_point_clip_moves_points_onto_the_box() -> None:
    points = PointSet(np.float32([[40, 0, -9], [1, -36, 1], [-99, 99, 99]]), np.arange(3))
    clipped = PointClip()(points, np.random.default_rng(0)).coord
    np.testing.assert_array_equal(clipped, np.float32([[35.2, 0, -4], [1, -35.2, 1], [-35.2, 35.2, 2]]))


@given(points=st.integers(1, 60), limit=st.integers(1, 70), seed=st.integers(0, 99))
def test_sphere_crop_keeps_the_nearest_to_one_of_the_points(points: int, limit: int, seed: int) -> None:
    before = cloud(points, seed)
    after = SphereCrop(limit)(before, np.random.default_rng(seed))
    assert len(after) == min(points, limit)
    kept = np.isin(before.index, after.index)
    if kept.all():
        return
    distance = np.linalg.norm(before.coord[:, None] - before.coord, axis=2)
    assert any(kept[i] and distance[i, kept].max() <= distance[i, ~kept].min() + 1e-6 for i in range(points))


def test_sphere_crop_chooses_every_point_as_its_center() -> None:
    results = draws(SphereCrop(1), cloud(5), 2000)
    np.testing.assert_allclose(np.bincount([result.index[0] - 1000 for result in results]) / 2000, 0.2, atol=0.04)


def test_sphere_crop_limits() -> None:
    points, rng = cloud(50), np.random.default_rng(0)
    assert len(SphereCrop(share=0.6)(points, rng)) == 30
    assert len(SphereCrop(20, share=0.6)(points, rng)) == 20
    assert len(SphereCrop(40, share=0.6)(points, rng)) == 30
    assert len(SphereCrop(share=1e-9)(points, rng)) == 1
    for arguments in ({}, {"point_max": 0}, {"share": -0.1}, {"point_max": 5, "share": 0.0}):
        with pytest.raises(InputError, match="sphere crop"):
            SphereCrop(**arguments)


# Elastic distortion


def plain_field(coord: NDArray[np.float64], granularity: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """The displacement by the definition, number by number."""
    low = coord.min(axis=0)
    shape = (np.floor((coord.max(axis=0) - low) / granularity) + 3).astype(int)
    noise = rng.standard_normal((*shape, 3), np.float32).astype(np.float64)
    for _ in range(2):
        for axis in range(3):
            noise = np.apply_along_axis(lambda line: np.convolve(line, np.ones(3) / 3, "same"), axis, noise)
    axes = [np.linspace(low[i] - granularity, low[i] + granularity * (shape[i] - 2), shape[i]) for i in range(3)]
    result = np.zeros_like(coord)
    for number, point in enumerate(coord):
        hats = [np.maximum(0, 1 - np.abs(axes[i] - point[i]) / granularity) for i in range(3)]
        result[number] = np.einsum("x,y,z,xyzc->c", *hats, noise)
    return result


@pytest.mark.parametrize("seed", range(3))
def test_elastic_distortion_equals_its_definition(seed: int) -> None:
    points = cloud(200, seed)
    fields = ((0.2, 0.4), (0.8, 1.6))
    result = ElasticDistortion(p=1, fields=fields)(points, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    rng.random()
    expected = points.coord.astype(np.float64)
    for granularity, magnitude in fields:
        expected = expected + plain_field(expected, granularity, rng) * magnitude
    np.testing.assert_allclose(result.coord, expected, atol=1e-4)
    np.testing.assert_array_equal(result.normal, points.normal)


def test_elastic_distortion_is_smooth_and_as_frequent_as_told() -> None:
    points = cloud(300)
    assert share_changed(ElasticDistortion(), points, 400) == pytest.approx(0.95, abs=0.04)
    near = PointSet(np.concatenate([points.coord, points.coord + np.float32(1e-3)]), np.arange(600))
    result = ElasticDistortion(p=1)(near, np.random.default_rng(0))
    moved = result.coord - near.coord
    assert np.abs(moved).max() > 0.05
    assert np.abs(moved[:300] - moved[300:]).max() < 0.01


@pytest.mark.parametrize("extent", [0.0, 0.2, 0.4, 1.6])
def test_elastic_distortion_of_points_on_cell_borders(extent: float) -> None:
    coord = np.float32([[0, 0, 0], [extent, 0, extent], [extent / 2, extent, 0]])
    result = ElasticDistortion(p=1)(PointSet(coord, np.arange(3)), np.random.default_rng(0))
    assert np.isfinite(result.coord).all()
    assert np.abs(result.coord - coord).max() > 0


def test_elastic_distortion_refuses_grids_that_do_not_fit_into_memory() -> None:
    far = PointSet(np.float32([[0, 0, 0], [5000, 5000, 50]]), np.arange(2))
    with pytest.raises(InputError, match="5000 x 5000 x 50 m"):
        ElasticDistortion(p=1)(far, np.random.default_rng(0))


# Colours


def test_auto_contrast() -> None:
    color = np.float32([[10, 100, 7], [60, 120, 7], [110, 110, 7]])
    points = PointSet(np.zeros((3, 3), np.float32), np.arange(3), color)
    assert share_changed(ChromaticAutoContrast(), points) == pytest.approx(0.2, abs=0.03)
    full = ChromaticAutoContrast(p=1, blend=1.0)(points, np.random.default_rng(0)).color
    np.testing.assert_allclose(full, [[0, 0, 7], [127.5, 255, 7], [255, 127.5, 7]], atol=1e-4)
    shares = []
    for result in draws(ChromaticAutoContrast(p=1), points, 1000):
        blend = (color[0, 0] - result.color[0, 0]) / color[0, 0]
        np.testing.assert_allclose(result.color, (1 - blend) * color + blend * full, atol=1e-3)
        shares.append(blend)
    np.testing.assert_allclose(np.histogram(shares, bins=4, range=(0, 1))[0] / 1000, 0.25, atol=0.05)


def test_chromatic_translation() -> None:
    grey = dataclasses.replace(cloud(4), color=np.full((4, 3), 128, np.float32))
    assert share_changed(ChromaticTranslation(), grey) == pytest.approx(0.95, abs=0.02)
    shifts = np.array([result.color - 128 for result in draws(ChromaticTranslation(p=1), grey, 1000)])
    np.testing.assert_array_equal(shifts, np.broadcast_to(shifts[:, :1], shifts.shape))
    assert np.abs(shifts).max() <= 12.75 + 1e-4
    np.testing.assert_allclose(shifts[:, 0].std(axis=0), 12.75 / math.sqrt(3), rtol=0.08)
    np.testing.assert_allclose(np.corrcoef(shifts[:, 0].T), np.eye(3), atol=0.1)


def test_chromatic_jitter() -> None:
    grey = dataclasses.replace(cloud(20_000), color=np.full((20_000, 3), 128, np.float32))
    assert share_changed(ChromaticJitter(), cloud(4)) == pytest.approx(0.95, abs=0.02)
    noise = ChromaticJitter(p=1)(grey, np.random.default_rng(0)).color - 128
    np.testing.assert_allclose(noise.std(axis=0), 12.75, rtol=0.03)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=0.5)


# Point sets


def test_point_sets_refuse_what_does_not_fit() -> None:
    good = cloud(4)
    for change, fault in (
        ({"coord": good.coord.astype(np.float64)}, "coord is float64"),
        ({"index": np.arange(5)}, r"index is int64 \(5,\) for 4 points"),
        ({"color": np.zeros((4, 3), np.uint8)}, "color is uint8"),
        ({"strength": np.zeros(4, np.float32)}, "strength"),
        ({"label": np.zeros(4, np.int32)}, "label is int32"),
    ):
        with pytest.raises(InputError, match=fault):
            dataclasses.replace(good, **change)
    with pytest.raises(InputError, match="there are none"):
        PointSet(np.zeros((0, 3), np.float32), np.zeros(0, np.int64))

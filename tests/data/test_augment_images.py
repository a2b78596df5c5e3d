"""Augmentations of photographs: every point stays on its pixel; colours change as much as told."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

from ditr.data.augment import images
from ditr.data.augment.images import ColorJitter, HorizontalFlip, augment_image, image_augmentations
from ditr.errors import InputError

FLIP = HorizontalFlip(p=1)
NOWHERE = np.zeros((0, 2))


def numbered(height: int, width: int) -> NDArray[np.uint8]:
    """An image whose every pixel has its own colour."""
    number = np.arange(height * width).reshape(height, width)
    return np.stack([number % 256, number // 256 % 256, number // 65536], axis=2).astype(np.uint8)


def noise_image(seed: int = 0) -> NDArray[np.uint8]:
    image = np.random.default_rng(seed).integers(0, 256, (40, 50, 3), np.uint8)
    image.flags.writeable = False
    return image


@st.composite
def widths_and_positions(draw: st.DrawFn) -> tuple[int, list[float]]:
    width = draw(st.integers(1, 2000))
    inside = st.floats(0, width, exclude_max=True)
    border = st.integers(0, width - 1).map(float)
    beside = border.map(lambda u: float(np.nextafter(u, width)))
    below = border.map(lambda u: float(np.nextafter(u + 1, 0)))
    tiny = st.sampled_from([5e-324, 1e-300, 1e-17])
    return width, draw(st.lists(st.one_of(inside, border, beside, below, tiny), min_size=1, max_size=20))


@settings(max_examples=300)
@given(widths_and_positions())
def test_a_flip_moves_column_c_to_column_w_minus_1_minus_c(case: tuple[int, list[float]]) -> None:
    width, positions = case
    u = np.array(positions)
    pixel = np.stack([u, np.linspace(0, 1, len(u), endpoint=False)], axis=1)
    image = numbered(1, width)
    flipped_image, flipped = FLIP(image, pixel, np.random.default_rng(0))
    assert (flipped[:, 0] >= 0).all() and (flipped[:, 0] < width).all()
    np.testing.assert_array_equal(np.floor(flipped[:, 0]), width - 1 - np.floor(u))
    # Patches are found in float32, so the floor must hold there too; at borders that costs one float32 step.
    np.testing.assert_array_equal(np.floor(flipped[:, 0].astype(np.float32)), width - 1 - np.floor(u))
    np.testing.assert_allclose(flipped[:, 0], width - u, rtol=2**-23)
    np.testing.assert_array_equal(flipped[:, 1], pixel[:, 1])
    np.testing.assert_array_equal(flipped_image[0, flipped[:, 0].astype(int)], image[0, u.astype(int)])


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    flips=st.integers(1, 4),
    seed=st.integers(0, 9999),
)
def test_points_keep_their_pixel_and_their_patch(size: tuple[int, int], flips: int, seed: int) -> None:
    patch, (rows, columns) = 14, size
    height, width = patch * rows, patch * columns
    rng = np.random.default_rng(seed)
    pixel = rng.random((60, 2)) * [width, height]
    pixel[::3] = np.floor(pixel[::3])
    image = numbered(height, width)
    new_image, new_pixel = augment_image(image, pixel, [HorizontalFlip()] * flips, rng)

    old_column, old_row = np.floor(pixel).astype(int).T
    column, row = np.floor(new_pixel).astype(int).T
    np.testing.assert_array_equal(new_image[row, column], image[old_row, old_column])
    mirrored = not np.array_equal(new_image, image)
    expected = columns - 1 - old_column // patch if mirrored else old_column // patch
    np.testing.assert_array_equal(column // patch, expected)
    np.testing.assert_array_equal(row // patch, old_row // patch)


@pytest.mark.parametrize("u", [-0.5, -1e-300, -3.0, 20.0, 20.5, 1e18, -1e18, np.inf, -np.inf, np.nan])
def test_what_is_outside_stays_outside(u: float) -> None:
    _, flipped = FLIP(numbered(2, 20), np.array([[u, 1.0]]), np.random.default_rng(0))
    assert not 0 <= flipped[0, 0] < 20
    assert np.isnan(flipped[0, 0]) == np.isnan(u)


def test_a_flip_comes_with_its_probability_and_leaves_its_input_alone() -> None:
    image, pixel = noise_image(), np.array([[3.5, 2.0]])
    image.flags.writeable = pixel.flags.writeable = False
    rng = np.random.default_rng(0)
    results = [HorizontalFlip()(image, pixel, rng) for _ in range(2000)]
    assert np.mean([p[0, 0] != 3.5 for _, p in results]) == pytest.approx(0.5, abs=0.04)
    flipped = FLIP(image, pixel, rng)[0]
    np.testing.assert_array_equal(flipped, image[:, ::-1])
    assert flipped.flags.c_contiguous


def test_views_change_independently_and_repeatably() -> None:
    def both(seed: int) -> list[NDArray[np.uint8]]:
        rng = np.random.default_rng(seed)
        return [augment_image(noise_image(), NOWHERE, image_augmentations(), rng)[0] for _ in range(2)]

    pairs = [both(seed) for seed in range(30)]
    assert sum(np.array_equal(first, second) for first, second in pairs) < 15
    for pair, again in zip(pairs, [both(seed) for seed in range(30)], strict=True):
        np.testing.assert_array_equal(pair, again)


# Colours


def test_the_chain_has_the_published_strengths() -> None:
    jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, p=0.5)
    assert image_augmentations() == (jitter, HorizontalFlip(p=0.5))


@pytest.mark.parametrize("enhance", ["Brightness", "Contrast"])
@given(seed=st.integers(0, 99), factor=st.floats(0, 2))
def test_tables_are_pillows_enhancements(enhance: str, seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8) // rng.integers(1, 9, dtype=np.uint8))
    grey = 0 if enhance == "Brightness" else images._mean(picture)
    expected = getattr(ImageEnhance, enhance)(picture).enhance(factor)
    assert images._away_from(grey, picture, factor).tobytes() == expected.tobytes()


def jittered(image: NDArray[np.uint8], jitter: ColorJitter, count: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    results = []
    for _ in range(count):
        pixel = np.array([[1.0, 2.0]])
        result, same_pixel = jitter(image, pixel, rng)
        assert same_pixel is pixel
        assert result.shape == image.shape and result.dtype == np.uint8
        results.append(result)
    return results


def assert_uniform(values: list[float], low: float, high: float, slack: float) -> None:
    """The values lie in the range (slack: rounding to grey levels) and are spread evenly over it."""
    assert min(values) >= low - slack and max(values) <= high + slack
    even = np.linspace(low, high, len(values))
    np.testing.assert_allclose(np.sort(values), even, rtol=0, atol=slack + 0.06 * (high - low))


def test_color_jitter_comes_with_its_probability() -> None:
    image = noise_image()
    results = jittered(image, ColorJitter(), 600)
    assert np.mean([result is not image for result in results]) == pytest.approx(0.5, abs=0.06)


def test_no_strength_changes_nothing() -> None:
    image = noise_image()
    for result in jittered(image, ColorJitter(0, 0, 0, 0, p=1), 10):
        np.testing.assert_array_equal(result, image)


def test_brightness_is_a_factor() -> None:
    image = np.full((4, 4, 3), [100, 150, 50], np.uint8)
    results = jittered(image, ColorJitter(0.4, 0, 0, 0, p=1), 800)
    factors = [float(result[0, 0, 1]) / 150 for result in results]
    assert_uniform(factors, 0.6, 1.4, 0.01)
    for result, factor in zip(results, factors, strict=True):
        np.testing.assert_allclose(result[0, 0], factor * image[0, 0].astype(float), atol=1.5)


def test_contrast_is_a_factor_about_the_mean() -> None:
    image = np.array([[[80] * 3, [120] * 3]], np.uint8)
    results = jittered(image, ColorJitter(0, 0.4, 0, 0, p=1), 800)
    assert_uniform([(float(r[0, 1, 0]) - float(r[0, 0, 0])) / 40 for r in results], 0.6, 1.4, 0.05)
    assert all(abs(result.mean() - 100) <= 1 for result in results)


def test_saturation_is_a_factor_about_grey() -> None:
    image = np.full((2, 2, 3), [150, 100, 100], np.uint8)
    results = jittered(image, ColorJitter(0, 0, 0.2, 0, p=1), 800)
    assert_uniform([(float(r[0, 0, 0]) - float(r[0, 0, 1])) / 50 for r in results], 0.8, 1.2, 0.03)
    grey = np.full((2, 2, 3), 77, np.uint8)
    assert all(np.array_equal(result, grey) for result in jittered(grey, ColorJitter(0, 0, 0.2, 0, p=1), 20))


@pytest.mark.parametrize("color", [(255, 0, 0), (0, 200, 0), (30, 30, 240)])
def test_hue_turns_within_its_reach(color: tuple[int, int, int]) -> None:
    image = np.full((2, 2, 3), color, np.uint8)
    start = colorsys.rgb_to_hsv(*np.array(color) / 255)[0]
    turns = []
    for result in jittered(image, ColorJitter(0, 0, 0, 0.1, p=1), 800):
        assert result.max() == max(color)
        assert abs(int(result.min()) - min(color)) <= 1
        hue = colorsys.rgb_to_hsv(*result[0, 0] / 255)[0]
        turns.append((hue - start + 0.5) % 1 - 0.5)
    assert_uniform(turns, -0.1, 0.1, 0.004)


def test_the_four_come_in_random_order() -> None:
    # Brighter and flatter, which is a quarter of all draws: brightness first clips white, and the two pixels stay
    # symmetric about mid-grey; contrast first leaves room above white, and both get brighter.
    image = np.array([[[255] * 3, [0] * 3]], np.uint8)
    pairs = [result[0, :, 0].astype(int) for result in jittered(image, ColorJitter(0.4, 0.4, 0, 0, p=1), 1000)]
    flatter = [int(pair.sum()) for pair in pairs if pair[1] > 5]
    assert sum(254 <= total <= 256 for total in flatter) > 60
    assert sum(total > 258 for total in flatter) > 60


def test_black_padding_stays_black() -> None:
    image = np.zeros((3, 3, 3), np.uint8)
    assert not any(result.any() for result in jittered(image, ColorJitter(p=1), 20))


def test_input_of_another_kind_is_named() -> None:
    good = noise_image()
    for image, pixel, fault in (
        (good[..., 0], NOWHERE, "image: uint8 of shape"),
        (good.astype(np.float32), NOWHERE, "image: float32"),
        (good[:0], NOWHERE, "image: "),
        (good, NOWHERE.astype(np.float32), "pixel positions: float32"),
        (good, np.zeros((4, 3)), "pixel positions: float64 of shape"),
    ):
        with pytest.raises(InputError, match=fault):
            augment_image(image, pixel, image_augmentations(), np.random.default_rng(0))

"""Class colours, difference colours, and features as colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ditr.errors import InputError
from ditr.pictures.palette import (
    BOTH_RIGHT,
    BOTH_WRONG,
    GREY,
    LIGHT_GREY,
    ONLY_FIRST,
    ONLY_SECOND,
    class_colors,
    difference_colors,
    label_colors,
    value_colors,
)
from ditr.pictures.panels import class_legend
from ditr.pictures.pca import fit_pca, gather_colors


def luminance(color: np.ndarray) -> np.ndarray:
    share = color / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def test_a_class_keeps_its_colour_whatever_the_number_of_classes() -> None:
    assert np.array_equal(class_colors(13), class_colors(200)[:13])
    assert len(np.unique(class_colors(200), axis=0)) == 200


def test_colours_differ_and_show_on_white_and_black() -> None:
    color = class_colors(20).astype(float)
    apart = np.linalg.norm(color[:, None] - color[None], axis=2) + 1000 * np.eye(20)
    assert apart.min() > 50
    light = luminance(color)
    assert (1.05 / (light + 0.05)).min() > 1.2 and ((light + 0.05) / 0.05).min() > 2.0


def test_labels_take_their_class_colour_and_none_is_grey() -> None:
    color = label_colors(np.array([0, -1, 2]), 3)
    assert np.array_equal(color[[0, 2]], class_colors(3)[[0, 2]]) and tuple(color[1]) == GREY
    with pytest.raises(InputError, match="3 is outside"):
        label_colors(np.array([3]), 3)


def test_a_dataset_may_have_colours_of_its_own() -> None:
    own = [(1, 2, 3), (4, 5, 6)]
    assert label_colors(np.array([1, -1, 0]), 2, own).tolist() == [[4, 5, 6], list(GREY), [1, 2, 3]]
    assert [entry.color for entry in class_legend(["a", "b"], colors=own)] == own
    for wrong in (own[:1], [(1, 2, 3), (4, 5, 256)]):
        with pytest.raises(InputError, match="class colours"):
            label_colors(np.array([0]), 2, wrong)


def test_differences_say_who_is_right() -> None:
    truth = np.array([0, 0, 0, 0, -1])
    color = difference_colors(truth, np.array([0, 1, 0, 1, 0]), np.array([0, 1, 1, 0, 0]))
    assert [tuple(c) for c in color] == [BOTH_RIGHT, BOTH_WRONG, ONLY_FIRST, ONLY_SECOND, LIGHT_GREY]
    with pytest.raises(InputError):
        difference_colors(truth, truth[:-1], truth)


def test_values_run_from_dark_to_light_and_nan_is_grey() -> None:
    color = value_colors(np.array([0.0, 0.5, 1.0, np.nan]), low=0, high=1)
    light = luminance(color)
    assert light[0] < light[1] < light[2] and tuple(color[3]) == GREY
    assert (value_colors(np.full(3, np.inf)) == GREY).all()


def rank_three(rows: int, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features that vary along three known directions only, by 10, 5 and 2."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(width, 3)))[0].T
    return rng.normal(size=(rows, 3)) * [10, 5, 2] @ basis + rng.normal(size=width), basis


@given(st.integers(0, 1000), st.sampled_from([4, 37, 384]))
@settings(max_examples=15, deadline=None)
def test_the_components_of_rank_three_data_are_found(seed: int, width: int) -> None:
    features, basis = rank_three(3000, width, seed)
    pca = fit_pca(features)
    assert np.abs(np.einsum("ij,ij->i", pca.components, basis)).min() > 0.99
    assert pca.explained.sum() == pytest.approx(1, abs=1e-4)
    restored = pca.project(features) @ pca.components + pca.mean
    assert np.abs(restored - features).max() < 1e-2


def test_signs_and_colours_are_the_same_every_time_and_for_every_draw_of_the_same_rows() -> None:
    features, _ = rank_three(500, 16, 3)
    first, second = fit_pca(features), fit_pca(features[::-1].astype(np.float32))
    assert np.allclose(first.components, second.components, atol=1e-3)
    assert (first.components[np.arange(3), np.abs(first.components).argmax(axis=1)] > 0).all()
    assert np.array_equal(first.colors(features), fit_pca(features).colors(features))


def test_subsampling_and_chunks_change_little() -> None:
    features, _ = rank_three(30_000, 24, 4)
    few, all_ = fit_pca(features, rows=5_000), fit_pca(features, rows=100_000)
    assert np.abs(few.colors(features).astype(int) - all_.colors(features)).mean() < 6
    assert np.allclose(all_.project(features)[20_000:20_010], all_.project(features[20_000:20_010]), atol=1e-4)


def test_outliers_do_not_flatten_the_colours() -> None:
    features, _ = rank_three(2000, 16, 5)
    features[0] *= 50
    assert fit_pca(features[1:]).colors(features[1:])[:, 0].std() > 30
    assert fit_pca(features).colors(features[1:]).std(axis=0).max() > 30


def test_rows_without_features_are_grey() -> None:
    features, _ = rank_three(100, 8, 6)
    features[7] = np.nan
    color = fit_pca(features).colors(features)
    assert tuple(color[7]) == GREY and (color[8] != GREY).any()


@pytest.mark.parametrize("features", [np.ones((5, 4)), np.ones((1, 4)), np.random.default_rng(0).normal(size=(9, 2))])
def test_features_that_vary_in_fewer_than_three_directions_still_have_colours(features: np.ndarray) -> None:
    color = fit_pca(features).colors(features)
    assert color.shape == (len(features), 3) and (color[:, 2] == color[0, 2]).all()


def test_half_precision_is_read_and_bad_shapes_are_refused() -> None:
    features, _ = rank_three(200, 8, 7)
    pca = fit_pca(features.astype(np.float16))
    assert np.isfinite(pca.project(features.astype(np.float16))).all()
    with pytest.raises(InputError):
        pca.project(features[:, :5])
    with pytest.raises(InputError):
        fit_pca(np.full((3, 4), np.nan))


def test_points_take_the_mean_colour_of_their_patches() -> None:
    features, _ = rank_three(50, 8, 8)
    pca = fit_pca(features)
    patch = pca.project(features)
    color = gather_colors(patch, np.array([[3, -1], [-1, -1], [4, 5]]), pca)
    assert np.array_equal(color[0], pca.colors(features[3:4])[0]) and tuple(color[1]) == GREY
    assert np.array_equal(color[2], pca.to_rgb(patch[4:6].mean(axis=0, keepdims=True))[0])
    assert np.array_equal(gather_colors(patch, np.array([3, -1, 9]), pca)[0], color[0])
    weighted = gather_colors(patch, np.array([[4, 5]]), pca, np.array([[0.0, 1.0]]))
    assert np.array_equal(weighted[0], pca.colors(features[5:6])[0])


def test_skipping_leaves_the_leading_component_out() -> None:
    features, basis = rank_three(2000, 16, 9)
    assert abs(fit_pca(features, skip=1).components[0] @ basis[1]) > 0.99

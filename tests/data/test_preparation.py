"""Who finds out what is hidden, by which rule, and that published models and recipes go without."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_world import PREPARATION, make_scene

from ditr.data.preparation import Preparation, how_hidden, profile_rule
from ditr.datasets.table import BENCHMARKS
from ditr.errors import InputError
from ditr.geometry.projection import INDOOR, OUTDOOR, VisibilityRule
from ditr.io.settings_json import from_plain, to_json_values
from ditr.recipes.table import RECIPES
from ditr.scene import ReadOptions

ASKED = ReadOptions(occlusion="z-buffer")


def test_what_a_scene_says_of_occlusion_comes_first() -> None:
    asked = replace(make_scene(), reading=ASKED)
    assert PREPARATION.of(make_scene()) == PREPARATION
    assert PREPARATION.of(asked).rule == replace(PREPARATION.rule, occlusion="z-buffer")
    buffered = replace(PREPARATION, rule=replace(PREPARATION.rule, occlusion="z-buffer"))
    assert buffered.of(make_scene()) == buffered
    assert buffered.of(replace(make_scene(), reading=ReadOptions(occlusion="none"))) == PREPARATION
    assert profile_rule(asked)[1] == replace(OUTDOOR, occlusion="z-buffer")
    inside = replace(make_scene(depth=True), reading=ASKED)
    assert profile_rule(inside)[1] == replace(INDOOR, occlusion="z-buffer")
    with pytest.raises(InputError, match="occlusion: 'zbuffer' is not a method"):
        ReadOptions(occlusion="zbuffer")  # type: ignore[arg-type]


def test_settings_of_before_the_option_mean_what_they_meant() -> None:
    old = to_json_values(PREPARATION)
    del old["rule"]["occlusion"]
    assert from_plain(Preparation, old, "model.json") == PREPARATION


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_recipes_of_the_paper_ask_no_z_buffer(recipe: object) -> None:
    assert recipe.make().preparation.rule.occlusion == "none"  # type: ignore[attr-defined]


def test_benchmarks_and_so_published_models_ask_none() -> None:
    kept = [(each.without_images, each.with_images) for each in BENCHMARKS]
    assert {how.rule.occlusion for pair in kept for how in pair if how is not None} == {"none"}


@pytest.mark.parametrize(
    ("rule", "depths", "said"),
    [
        (INDOOR, (True, True), "depth maps, within 0.2 m"),
        (INDOOR, (False, False), "none, so hidden points count as seen, since there are no depth maps"),
        (INDOOR, (True, False), "depth maps, within 0.2 m; none in the 1 views without"),
        (OUTDOOR, (True, True), "none, so hidden points count as seen, since the rule does not use depth maps"),
        (OUTDOOR, (False,), "none, so hidden points count as seen, since there are no depth maps"),
        (VisibilityRule(occlusion="z-buffer"), (False,), "z-buffer of the cloud, since there are no depth maps"),
        (
            VisibilityRule(occlusion="z-buffer"),
            (True,),
            "z-buffer of the cloud, since the rule does not use depth maps",
        ),
        (replace(INDOOR, occlusion="z-buffer"), (True, True), "depth maps, within 0.2 m"),
        (
            replace(INDOOR, occlusion="z-buffer"),
            (True, False, False),
            "depth maps, within 0.2 m; z-buffer of the cloud in the 2 views without",
        ),
    ],
)
def test_it_is_said_how_hidden_points_are_found(rule: VisibilityRule, depths: tuple[bool, ...], said: str) -> None:
    with_depth, without = make_scene(views=1, depth=True).views[0], make_scene(views=1).views[0]
    assert how_hidden(rule, [with_depth if depth else without for depth in depths]) == said

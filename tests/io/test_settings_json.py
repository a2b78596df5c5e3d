"""Settings as plain JSON: round trips, and refusals that name the place."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_world import tiny_config, tiny_recipe

from ditr.errors import InputError
from ditr.io.settings_json import from_plain, to_json_values
from ditr.recipes.captures import full, small
from ditr.training.recipe import Recipe
from ditr.weights.saved_model import ModelConfig


class Color(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    size: float = 1.0
    pair: tuple[Color, float] = (Color.RED, 0.5)


@dataclass(frozen=True)
class Outer:
    name: str
    count: int = 3
    on: bool = False
    limit: float | None = None
    inner: Inner = field(default_factory=Inner)
    colors: tuple[Color, ...] = ()
    nested: tuple[tuple[int, ...], ...] = ()

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count is negative")


numbers = st.floats(allow_nan=False, allow_infinity=False)
inners = st.builds(Inner, numbers, st.tuples(st.sampled_from(Color), numbers))
outers = st.builds(
    Outer,
    st.text(),
    st.integers(0, 99),
    st.booleans(),
    st.none() | numbers,
    inners,
    st.lists(st.sampled_from(Color)).map(tuple),
    st.lists(st.lists(st.integers()).map(tuple)).map(tuple),
)


@given(outers)
def test_settings_survive_json(settings: Outer) -> None:
    assert from_plain(Outer, json.loads(json.dumps(to_json_values(settings))), "file") == settings


@pytest.mark.parametrize("recipe", [full("indoor"), full("outdoor"), small("indoor"), small("outdoor"), tiny_recipe()])
def test_recipes_and_configs_survive(recipe: Recipe) -> None:
    assert from_plain(Recipe, json.loads(json.dumps(to_json_values(recipe))), "file") == recipe
    config = tiny_config()
    assert from_plain(ModelConfig, json.loads(json.dumps(to_json_values(config))), "file") == config


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "'name' is missing"),
        ({"name": "a", "cuont": 1}, "there is no setting 'cuont'. Did you mean 'count'?"),
        ({"name": "a", "zzz": 1}, "there is no setting 'zzz'. Use one of name, count"),
        ({"name": "a", "inner": {"sise": 1}}, "there is no setting 'inner.sise'. Did you mean 'size'?"),
        ({"name": 3}, "name is 3. Give str"),
        ({"name": "a", "count": 1.5}, "count is 1.5. Give int"),
        ({"name": "a", "count": True}, "count is True. Give int"),
        ({"name": "a", "on": 1}, "on is 1. Give bool"),
        ({"name": "a", "limit": "x"}, "limit is 'x'. Give float"),
        ({"name": "a", "inner": []}, "inner is []. Give an object"),
        ({"name": "a", "inner": {"pair": ["red"]}}, "inner.pair is ['red']. Give a list of 2"),
        ({"name": "a", "inner": {"pair": ["green", 1]}}, "inner.pair[0] is 'green'. Give one of red, blue"),
        ({"name": "a", "colors": "red"}, "colors is 'red'. Give a list"),
        ({"name": "a", "colors": [["red"]]}, "colors[0] is ['red']. Give one of red, blue"),
        ({"name": "a", "nested": [[1], ["b"]]}, "nested[1][0] is 'b'. Give int"),
        ({"name": "a", "count": -1}, "count is negative"),
        ([], "the file is []. Give an object"),
        (None, "the file is None. Give an object"),
    ],
)
def test_refusals_name_file_and_place(value: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        from_plain(Outer, value, "config.json")
    assert str(refused.value).startswith("config.json: ") and message in str(refused.value)


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="set has no plain form"):
        to_json_values({1, 2})

"""Photographs are found by their names, however a tool or a person writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from small_world import make_scene

from ditr.captures.photograph_names import find_views, view_called
from ditr.errors import InputError
from ditr.scene import View


def view(name: str, file: str) -> View:
    return replace(make_scene().views[0], name=name, image=Path(file))


def test_annotations_find_their_photographs_by_name() -> None:
    views = [view("left/0001.jpg", "scan/left/0001.jpg"), view("right/0001.jpg", "scan/right/0001.jpg")]
    views.append(view("Top.JPG", "scan/Top.JPG"))

    def named(*names: str) -> list[str | None]:
        return [None if one is None else one.name for one in find_views(views, names, "here")]

    assert named("left/0001", "right\\0001.png", "TOP") == ["left/0001.jpg", "right/0001.jpg", "Top.JPG"]
    assert named("left_0001.jpg.png", "other") == ["left/0001.jpg", None]
    with pytest.raises(InputError, match=r"may be the photograph left/0001\.jpg, right/0001\.jpg"):
        named("0001.png")
    with pytest.raises(InputError, match="both belong to the photograph Top"):
        named("top.png", "a/top.jpg")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("left", "left"),
        ("cam0/0001.jpg", "left"),
        ("cam0\\0001", "left"),
        ("scan/cam1/0001.JPG", "right"),
        ("cam1/0001.png", "right"),
        ("0001.jpg", None),
        ("cam2/0001.jpg", None),
        ("elsewhere/Both.jpg", None),
        ("both", None),
        ("Both.png", "drawn"),
        ("both.jpg", None),
        ("oth.png", None),
        ("", None),
        (".", None),
        ("/", None),
    ],
)
def test_a_person_names_one_photograph_or_none(name: str, found: str | None) -> None:
    views = [view("left", "scan/cam0/0001.jpg"), view("right", "scan/cam1/0001.jpg")]
    views += [view("taken", "scan/Both.jpg"), view("drawn", "scan/Both.png")]
    one = view_called(views, name)
    assert (None if one is None else one.name) == found

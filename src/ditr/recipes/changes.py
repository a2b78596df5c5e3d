"""Changes of a recipe from outside: single settings as texts, another encoder, the splits for a test server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ditr.data.preparation import Preparation
from ditr.datasets.benchmark import PATCH_SIZE
from ditr.errors import InputError, nearest
from ditr.io.settings_json import from_plain, to_json_values
from ditr.recipes.prepared import is_prepared
from ditr.training.recipe import JointDataset, Recipe

__all__ = ["for_test_server", "with_encoder", "with_settings"]


def with_settings(recipe: Recipe, texts: Sequence[str]) -> Recipe:
    """Settings as ``optimizer.lr=0.001`` or ``datasets.0.ratio=2``; values are JSON, or texts, or lists with commas.

    Steps take the place of epochs, and the reverse.

    Raises:
        InputError: no such setting, a value that it cannot have, or settings that do not go together.
    """
    content = to_json_values(recipe)
    names = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError("--set", f"{text!r} is not NAME=VALUE", "Write it like --set optimizer.lr=0.001")
        _put(content, name, value)
        names.append(name)
    if "steps" in names and "epochs" not in names:
        content["epochs"] = None
    if "validate_every" in names and "validate_epochs" not in names:
        content["validate_epochs"] = None
    return from_plain(Recipe, content, "--set") if texts else recipe


def _value(text: str, before: Any) -> Any:
    """As JSON, or the text; a list where there was one, or where nothing was and the text has commas."""
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if (
        value is not None
        and not isinstance(value, list)
        and (isinstance(before, list) or (before is None and isinstance(value, str) and "," in value))
    ):
        return [_value(part, "") for part in text.split(",")]
    return value


def _put(content: Any, name: str, text: str) -> None:
    """Set one place of plain settings."""
    parts = name.split(".")
    place = content
    for depth, part in enumerate(parts):
        so_far = ".".join(parts[:depth])
        key: int | str = part
        if isinstance(place, list):
            if not part.isdecimal() or int(part) >= len(place):
                raise InputError("--set", f"{so_far} has {len(place)} entries and no {part!r}", "Count entries from 0")
            key = int(part)
        elif not isinstance(place, dict):
            raise InputError("--set", f"{so_far} is {place!r} and has no {part!r}", f"Set {so_far} as a whole")
        elif part not in place:
            near = nearest(part, place)
            full = ".".join((*parts[:depth], near)) if near else ""
            hint = f"Did you mean {full!r}?" if near else f"Use one of {', '.join(place)}"
            raise InputError("--set", f"there is no setting {'.'.join(parts[: depth + 1])!r}", hint)
        if depth + 1 == len(parts):
            place[key] = _value(text, place[key])
        else:
            place = place[key]


def with_encoder(recipe: Recipe, encoder: str | None, patch_size: int) -> Recipe:
    """Another encoder, or none; photographs keep their grids of patches, and so get other sizes for other patches.

    Raises:
        InputError: a recipe of a prepared dataset that takes no photographs, or is to do without: it has others for
            that, with other settings.
    """
    if is_prepared(recipe) and (recipe.encoder is None) != (encoder is None):
        takes = "no photographs" if recipe.encoder is None else "photographs"
        raise InputError("--encoder", f"this recipe takes {takes}", "Leave it out, or use another recipe")
    if encoder is None:
        return replace(recipe, encoder=None, augmentation=replace(recipe.augmentation, images=False))

    def resized(preparation: Preparation) -> Preparation:
        if preparation.image_size is None:
            return preparation
        height, width = (side // PATCH_SIZE * patch_size for side in preparation.image_size)
        return replace(preparation, image_size=(height, width))

    datasets = tuple(
        data if data.preparation is None else replace(data, preparation=resized(data.preparation))
        for data in recipe.datasets
    )
    return replace(recipe, encoder=encoder, preparation=resized(recipe.preparation), datasets=datasets)


def for_test_server(recipe: Recipe) -> Recipe:
    """The run with the validation scenes among those that it learns from, and without validation.

    Raises:
        InputError: a run on several datasets, on S3DIS, or on part of the scenes, of which nothing goes to a server.
    """
    names = [data.name for data in recipe.datasets]
    if len(names) != 1 or names == ["S3DIS"] or recipe.datasets[0].scenes is not None:
        raise InputError("--split", "there is no test server for such a run", "Leave it out")
    main = recipe.datasets[0]
    return replace(recipe, datasets=(_with_validation_scenes(main),), validate_epochs=None)


def _with_validation_scenes(data: JointDataset) -> JointDataset:
    # ScanNet++ has its tiles in folders that are called after the split.
    validation = tuple(f"val{split.removeprefix('train')}" for split in data.splits)
    return replace(data, splits=(*data.splits, *validation), held_out=())

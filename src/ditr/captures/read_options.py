"""``capture.json`` beside ``transforms.json``: what a capture says of how it is to be read."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from ditr.errors import InputError
from ditr.io.json_file import read_json
from ditr.io.settings_json import from_plain, to_json_values
from ditr.scene import ReadOptions

__all__ = ["CAPTURE", "UNITS", "metres_of", "options_as_json", "options_from_json", "read_options", "stated_options"]

CAPTURE = "capture.json"
UNITS = {"mm": 0.001, "cm": 0.01, "m": 1.0, "ft": 0.3048}
"""Metres of one of them."""
_PAIRS = ("substitute", "class_map")


def read_options(folder: Path) -> ReadOptions:
    """The options in a capture's ``capture.json``; defaults where there is none.

    As JSON they have the names of :class:`~ditr.scene.ReadOptions`; ``substitute`` and ``class_map`` are objects,
    ``{"color": 127.5}`` and ``{"armchair": "chair"}``, and ``unit`` may be a name, ``"mm"``.

    Raises:
        InputError: a file that cannot be read, an unknown key, or a value that cannot be meant.
    """
    path = folder / CAPTURE
    if not path.exists():
        return ReadOptions()
    return options_from_json(read_json(path, "Correct the file, or remove it"), str(path))


def options_from_json(content: Any, where: str) -> ReadOptions:
    """Options as in ``capture.json``; ``where`` names the file in errors.

    Raises:
        InputError: as for :func:`read_options`.
    """
    if isinstance(content, dict):
        if isinstance(content.get("unit"), str):
            content = {**content, "unit": metres_of(content["unit"], f"{where}: unit")}
        pairs = {name: content[name] for name in _PAIRS if isinstance(content.get(name), dict)}
        content = content | {name: [list(pair) for pair in value.items()] for name, value in pairs.items()}
    return from_plain(ReadOptions, content, where)


def metres_of(unit: str, where: str) -> float:
    """Metres of one unit, which is a name or a number; ``where`` names the option in errors.

    Raises:
        InputError: neither of them.
    """
    try:
        return UNITS[unit] if unit in UNITS else float(unit)
    except ValueError:
        raise InputError(
            where, f"{unit!r} is not a unit", f"Give {', '.join(UNITS)}, or the metres of one unit"
        ) from None


def options_as_json(options: ReadOptions) -> dict[str, Any]:
    """The reverse of :func:`options_from_json`; only what is not left open."""
    values = to_json_values(options)
    stated = {f.name: values[f.name] for f in fields(ReadOptions) if getattr(options, f.name) != f.default}
    return stated | {name: dict(getattr(options, name)) for name in _PAIRS if name in stated}


def stated_options(captures: Sequence[Path]) -> str | None:
    """What the ``capture.json`` of some captures say, in a line; None where none says anything."""
    places = list(dict.fromkeys(map(_place_of, captures)))
    found = [options for options in map(read_options, places) if options != ReadOptions()]
    if not found:
        return None
    if len(places) == 1:
        said = ", ".join(f"{name} {json.dumps(value)}" for name, value in options_as_json(found[0]).items())
        return f"{CAPTURE}: {said}"
    names = [f.name for f in fields(ReadOptions) if any(getattr(options, f.name) != f.default for options in found)]
    return f"{CAPTURE} of {len(found)} of {len(places)} captures: {', '.join(names)}"


def _place_of(capture: Path) -> Path:
    """The folder in which its file is: for a scene of a drive that of the drive, or the one that a bag lies in."""
    if os.path.lexists(capture):
        return capture
    return capture.parent if capture.parent.is_dir() else capture.parent.parent

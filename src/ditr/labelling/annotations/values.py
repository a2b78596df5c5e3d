"""Values out of the objects of a stranger's JSON or XML, looked at before they are used."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ditr.errors import InputError

__all__ = ["entries", "number", "text", "whole"]

_MOST_TEXT = 4096


def entries(values: Mapping[str, Any], key: str, where: str) -> list[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        InputError: there is none.
    """
    found = values.get(key)
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise InputError(where, f"it has no list {key!r} of objects", "Export it again")
    return found


def text(entry: Mapping[str, Any], key: str, where: str) -> str:
    """A text that is not empty.

    Raises:
        InputError: there is none.
    """
    found = entry.get(key)
    if not isinstance(found, str) or not found.strip() or len(found) > _MOST_TEXT:
        raise InputError(where, f"its {key} is {str(found)[:60]!r}", "Give a text")
    return found


def whole(entry: Mapping[str, Any], key: str, where: str) -> int:
    """A whole number, also as a text or as 1.0.

    Raises:
        InputError: there is none.
    """
    found = number(entry, key, where)
    if found != math.floor(found) or abs(found) > 1 << 53:
        raise InputError(where, f"its {key} is {found}", "Give a whole number")
    return int(found)


def number(entry: Mapping[str, Any], key: str, where: str) -> float:
    """A finite number, also as a text.

    Raises:
        InputError: there is none.
    """
    found = entry.get(key)
    try:
        value = math.nan if isinstance(found, bool) or not isinstance(found, int | float | str) else float(found)
    except (ValueError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise InputError(where, f"its {key} is {str(found)[:60]!r}", "Give a number")
    return value

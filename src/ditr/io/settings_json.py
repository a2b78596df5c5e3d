"""Settings as plain JSON and back: nested dataclasses of numbers, texts, enums and tuples.

Where a setting may be one of several dataclasses, each has a field ``kind`` of one literal value that tells them apart.

Reading is strict. An unknown key, a missing one or a value of another type is refused with its place, and a misspelt
key with the name that was probably meant.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from ditr.errors import InputError, nearest

__all__ = ["from_plain", "to_json_values"]

T = TypeVar("T")


def to_json_values(value: Any) -> Any:
    """Dataclasses and mappings become objects, enums their values, tuples lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json_values(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {name: to_json_values(item) for name, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json_values(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")


def from_plain(kind: type[T], value: Any, where: str) -> T:
    """The inverse of :func:`to_json_values` for the dataclass ``kind``; ``where`` names the file in errors.

    Raises:
        InputError: unknown or missing keys, values of another type, or values that do not fit together.
    """
    result: T = _read(kind, value, where, "")
    return result


def _read(kind: Any, value: Any, where: str, place: str) -> Any:
    origin = get_origin(kind)
    if dataclasses.is_dataclass(kind):
        return _read_object(kind, value, where, place)
    if origin in (Union, types.UnionType):
        options = get_args(kind)
        if value is None and type(None) in options:
            return None
        return _read(_option([o for o in options if o is not type(None)], value, where, place), value, where, place)
    if origin is Literal:
        if value not in get_args(kind):
            raise _refusal(where, place, value, f"one of {', '.join(map(str, get_args(kind)))}")
        return value
    if origin is tuple:
        return _read_tuple(get_args(kind), value, where, place)
    if isinstance(kind, type) and issubclass(kind, Enum):
        values = [member.value for member in kind]
        if value not in values:
            raise _refusal(where, place, value, f"one of {', '.join(map(str, values))}")
        return kind(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _refusal(where, place, value, kind.__name__)
    return value


def _option(options: list[Any], value: Any, where: str, place: str) -> Any:
    """Which of several types ``value`` is meant to be."""
    if len(options) == 1:
        return options[0]
    by_kind = {get_args(get_type_hints(option)["kind"])[0]: option for option in options}
    given = value.get("kind") if isinstance(value, dict) else None
    if not isinstance(given, str) or given not in by_kind:
        raise _refusal(where, _join(place, "kind"), given, f"one of {', '.join(by_kind)}")
    return by_kind[given]


def _read_tuple(kinds: tuple[Any, ...], value: Any, where: str, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise _refusal(where, place, value, "a list")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _refusal(where, place, value, f"a list of {len(kinds)}")
    return tuple(_read(k, item, where, f"{place}[{i}]") for i, (k, item) in enumerate(zip(kinds, value, strict=True)))


def _read_object(kind: Any, value: Any, where: str, place: str) -> Any:
    if not isinstance(value, dict):
        raise _refusal(where, place, value, "an object")
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for key in value:
        if key not in fields:
            near = nearest(key, fields)
            hint = f"Did you mean {near!r}?" if near else f"Use one of {', '.join(fields)}"
            raise InputError(where, f"there is no setting {_join(place, key)!r}", hint)
    given = {}
    for name, field in fields.items():
        if name in value:
            given[name] = _read(hints[name], value[name], where, _join(place, name))
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise InputError(where, f"the setting {_join(place, name)!r} is missing", "Add this setting")
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(where, f"{place or 'the settings'}: {error.where}: {error.fault}", error.remedy) from None
    except ValueError as error:  # values that do not fit together
        raise InputError(where, f"{place or 'the settings'}: {error}", "Correct these settings") from None


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _refusal(where: str, place: str, value: Any, expected: str) -> InputError:
    return InputError(where, f"{place or 'the file'} is {value!r}", f"Give {expected}")

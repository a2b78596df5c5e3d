"""A JSON file that is one list of objects, read row by row: such lists are too large to be held as a whole.

The tables of nuScenes have millions of rows, and lists of sweeps hundreds of megabytes. A row is checked when a field
of it is asked for, and the error names the file, the row and the byte.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ditr.errors import InputError

__all__ = ["JsonRow", "json_rows"]

_CHUNK = 1 << 20
_LONGEST = 1 << 20
"""Characters of a row. The longest of nuScenes have some thousands."""
_SPACE = re.compile(r"[ \t\r\n]*")


class JsonRow:
    """An object of a list.

    Attributes:
        path: of the file.
        number: of the row, counted from 0.
        values: its fields.
        remedy: what to do where a field is not as it should be.
    """

    __slots__ = ("number", "path", "remedy", "values")

    def __init__(self, path: Path, number: int, values: dict[str, Any], remedy: str) -> None:
        self.path, self.number, self.values, self.remedy = path, number, values, remedy

    def fault(self, what: str) -> InputError:
        """An error that names the file and the row."""
        return InputError(self.path, f"row {self.number}: {what}", self.remedy)

    def _value(self, key: str) -> Any:
        if key not in self.values:
            raise self.fault(f"it has no {key!r}")
        return self.values[key]

    def text(self, key: str) -> str:
        """A field that is text.

        Raises:
            InputError: it is missing, or something else.
        """
        value = self._value(key)
        if not isinstance(value, str):
            raise self.fault(f"{key!r} is not text")
        return value

    def flag(self, key: str) -> bool:
        """A field that is true or false.

        Raises:
            InputError: it is missing, or something else.
        """
        value = self._value(key)
        if not isinstance(value, bool):
            raise self.fault(f"{key!r} is neither true nor false")
        return value

    def whole(self, key: str, most: int) -> int:
        """A field that is a whole number from 0 to ``most``; one written with a fraction is rounded.

        Raises:
            InputError: it is missing, or something else.
        """
        value = self._value(key)
        if not _is_number(value) or not 0 <= value <= most:
            raise self.fault(f"{key!r} is not a number from 0 to {most}")
        found: int = round(value)
        return found

    def numbers(self, key: str, shape: tuple[int, ...]) -> tuple[float, ...]:
        """A field that is a list of finite numbers, or a list of such lists; row-major.

        Raises:
            InputError: it is missing, or something else.
        """
        values = [self._value(key)]
        for count in shape:
            if not all(isinstance(value, list) and len(value) == count for value in values):
                break
            values = [inner for value in values for inner in value]
        else:
            if all(map(_is_number, values)):
                return tuple(map(float, values))
        raise self.fault(f"{key!r} are not {' x '.join(map(str, shape))} finite numbers")


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e30 if isinstance(value, int) else math.isfinite(value)


def json_rows(path: Path, remedy: str, progress: Callable[[int, int], None] | None = None) -> Iterator[JsonRow]:
    """The rows of a file, one at a time; never more than some megabytes of it are in memory.

    Args:
        path: the file.
        remedy: what to do where it is damaged.
        progress: told the megabytes that were read, and those of the file.

    Raises:
        InputError: a missing file, one that is not a list of objects, or one that ends early; the text says where.
    """
    if not path.is_file():
        raise InputError(path, "this is not a file" if path.exists() else "there is no such file", remedy)
    try:
        total = path.stat().st_size >> 20
        with path.open("rb") as file:
            text = _Text(path, file, remedy, None if progress is None else lambda done: progress(done >> 20, total))
            yield from _rows(text)
    except OSError as error:
        raise InputError(path, f"the file cannot be read ({error.strerror})", remedy) from None


def _rows(text: _Text) -> Iterator[JsonRow]:
    number = 0
    if text.mark() != "[":
        raise text.fault("a list is expected")
    text.at += 1
    mark = text.mark()
    while mark != "]":
        yield JsonRow(text.path, number, text.object(number), text.remedy)
        number += 1
        mark = text.mark()
        if mark not in (",", "]"):
            raise text.fault(f"a comma or the end of the list is expected after row {number - 1}")
        if mark == ",":
            text.at += 1
            if text.mark() != "{":
                raise text.fault(f"row {number} is expected")
    text.at += 1
    if text.mark():
        raise text.fault("something follows after the end of the list")


class _Text:
    """What was not read yet of a file, in pieces."""

    def __init__(self, path: Path, file: BinaryIO, remedy: str, read: Callable[[int], None] | None) -> None:
        self.path, self.remedy = path, remedy
        self.at = 0
        self._text, self._start, self._ended = "", 0, False
        self._file, self._read = file, read
        self._bytes = codecs.getincrementaldecoder("utf-8")()
        self._scan = json.JSONDecoder(parse_constant=_refused).raw_decode

    def fault(self, what: str) -> InputError:
        """An error at the place that is read."""
        if self.at >= len(self._text) and self._ended:
            what = f"the file ends early: {what}"
        position = self._start + len(self._text[: self.at].encode())
        return InputError(self.path, f"at byte {position} {what}", self.remedy)

    def mark(self) -> str:
        """The next character that is not a space; empty at the end."""
        while True:
            match = _SPACE.match(self._text, self.at)
            assert match is not None
            self.at = match.end()
            if self.at < len(self._text):
                return self._text[self.at]
            if not self._more():
                return ""

    def object(self, number: int) -> dict[str, Any]:
        """The object that begins here, which ends with its bracket: text that ends too early is not an object."""
        why = ""
        while True:
            try:
                value, end = self._scan(self._text, self.at)
            except (ValueError, RecursionError) as error:
                why = error.msg if isinstance(error, json.JSONDecodeError) else "it is not JSON"
            else:
                if not isinstance(value, dict):
                    raise self.fault(f"row {number} is not an object")
                self.at = end
                return value
            if len(self._text) - self.at > _LONGEST or not self._more():
                raise self.fault(f"row {number} cannot be read, or is cut off ({why})")

    def _more(self) -> bool:
        """Read on; what was passed is forgotten."""
        if self._ended:
            return False
        passed = self._text[: self.at]
        self._start += len(passed) if passed.isascii() else len(passed.encode())
        chunk = self._file.read(_CHUNK)
        self._ended = not chunk
        if self._read is not None:
            self._read(self._file.tell())
        try:
            self._text = self._text[self.at :] + self._bytes.decode(chunk, final=self._ended)
        except UnicodeDecodeError:
            self._text, self.at = self._text[self.at :], 0
            raise self.fault("or soon after, it is not UTF-8") from None
        self.at = 0
        return not self._ended


def _refused(name: str) -> float:
    raise ValueError(f"{name} is not a number of JSON")

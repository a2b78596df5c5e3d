"""Lists of objects, read row by row: as the standard library reads them, or an error with the place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mutants import mutated
from watched import Watched

from ditr.errors import InputError
from ditr.io.json_rows import json_rows

ROWS = [{"token": f"t{k}", "text": 'a "},{" é \\', "list": [k, 0.5, [1, 2]], "flag": k % 2 == 0} for k in range(7)]


def read(path: Path) -> list[dict[str, object]]:
    return [row.values for row in json_rows(path, "Unpack it again")]


@pytest.mark.parametrize("style", [{"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
def test_rows_are_those_of_the_whole_list(tmp_path: Path, style: dict[str, object]) -> None:
    path = tmp_path / "rows.json"
    for rows in ([], ROWS, ROWS * 3_000):  # longer than what is read at once
        path.write_text(json.dumps(rows, **style), encoding="utf-8")  # type: ignore[arg-type]
        assert read(path) == rows
    assert [row.number for row in json_rows(path, "")][-1] == len(ROWS) * 3_000 - 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "at byte 0 the file ends early: a list is expected"),
        (b'{"a": 1}', "at byte 0 a list is expected"),
        (b'[{"a": 1}, 5]', "at byte 11 row 1 is expected"),
        (b"[5]", "at byte 1 row 0 is not an object"),
        (b'[{"a": 1} {"b": 2}]', "at byte 10 a comma or the end of the list is expected after row 0"),
        (b'[{"a": 1}, {"b"', r"at byte 11 row 1 cannot be read, or is cut off"),
        (b'[{"a": 1},', "at byte 10 the file ends early: row 1 is expected"),
        (b'[{"a": 1}', "at byte 9 the file ends early"),
        (b'[{"a": 1}] x', "at byte 11 something follows after the end of the list"),
        (b'[{"a": NaN}]', "at byte 1 row 0 cannot be read"),
        (b'[{"a": ' + b"9" * 5000 + b"}]", "row 0 cannot be read"),
        (b'[{"a": ' + b"[" * 100_000, "row 0 cannot be read"),
        ('[{"é": 1}, x'.encode(), "at byte 12 row 1 is expected"),
        (b'[{"a": "\xff"}]', "not UTF-8"),
        (b'[{"a": "' + b"x" * 3_000_000, "at byte 1 row 0 cannot be read, or is cut off"),
    ],
)
def test_what_is_no_list_of_objects_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"rows.json: .*{said}.*Unpack it again"):
        read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", tmp_path):
        with pytest.raises(InputError, match=r"no such file|not a file"):
            read(path)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "it has no 'x'"),
        ({"x": None}, "'x' is not text|'x' is neither|'x' is not a number|'x' are not 2 x 2"),
        ({"x": [[1, 2], [3, True]]}, "'x'"),
        ({"x": [[1, 2], [3]]}, "'x'"),
        ({"x": -1}, "'x'"),
        ({"x": 10**40}, "'x'"),
        ({"x": 1e999}, "'x'"),
    ],
)
def test_fields_are_what_they_should_be(tmp_path: Path, row: dict[str, object], said: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]).replace("Infinity", "1e999"), encoding="utf-8")
    (found,) = json_rows(path, "Again")
    for call in (found.text, found.flag, lambda key: found.whole(key, 10), lambda key: found.numbers(key, (2, 2))):
        with pytest.raises(InputError, match=f"rows.json: row 0: .*(?:{said})"):
            call("x")


def test_fields(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('[{"t": "x", "f": false, "w": 3.6, "n": [[1, 2.5]]}]', encoding="utf-8")
    (row,) = json_rows(path, "")
    assert (row.text("t"), row.flag("f"), row.whole("w", 4), row.numbers("n", (1, 2))) == ("x", False, 4, (1.0, 2.5))


def attempt(path: Path) -> tuple[list[dict[str, object]] | None, str]:
    try:
        return read(path), ""
    except InputError as error:
        return None, str(error)


def survive(folder: Path, count: int) -> None:
    """Damaged lists are an error of ours, or what the standard library makes of them."""
    path, rng, worst, read_all = folder / "rows.json", np.random.default_rng(3), Watched(), 0
    sound = json.dumps(ROWS * 30, indent=0).encode()
    for _ in range(count):
        data = mutated(sound, rng)
        path.write_bytes(data)
        with worst.reading(len(data)):
            rows, said = attempt(path)
        assert str(path) in said if rows is None else rows == json.loads(data)
        read_all += rows is not None
    print(f"json_rows: {count} damaged files, {read_all} of them read, {worst}")
    assert worst.seconds < 1 and worst.beyond < 0


def test_damaged_lists(tmp_path: Path) -> None:
    survive(tmp_path, 50)


@pytest.mark.slow
def test_many_damaged_lists(tmp_path: Path) -> None:
    survive(tmp_path, 10_000)

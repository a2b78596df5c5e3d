"""Files of JSON are read, and what is none is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ditr.errors import InputError
from ditr.io.json_file import read_json, read_json_object


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_what_it_holds(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes('{"name": "Wände"}'.encode(encoding))
    assert read_json_object(tmp_path / "a.json", "") == {"name": "Wände"} == read_json(tmp_path / "a.json")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": ' * 50_000])
def test_what_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json: it is not JSON .*\. Get it again"):
        read_json(tmp_path / "a.json", "Get it again")


def test_other_values_folders_and_pipes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1]")
    assert read_json(tmp_path / "a.json") == [1]
    with pytest.raises(InputError, match=r"it holds no JSON object. Get it again"):
        read_json_object(tmp_path / "a.json", "Get it again")
    with pytest.raises(InputError, match=r"this is not a file. Get it again"):
        read_json(tmp_path, "Get it again")
    with pytest.raises(InputError, match=r"there is no such file. Get it again"):
        read_json(tmp_path / "none.json", "Get it again")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(InputError, match="this is not a file"):
            read_json(tmp_path / "pipe")

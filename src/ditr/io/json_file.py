"""Files of JSON, whoever made them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ditr.errors import InputError
from ditr.io.files import read_bytes

__all__ = ["read_json", "read_json_object"]


def read_json(path: Path, remedy: str = "Write it again") -> Any:
    """What a file of JSON holds.

    Args:
        path: the file.
        remedy: what to do about a missing or damaged one.

    Raises:
        InputError: no such file, no permission, or something else than JSON; also JSON that is nested too deeply.
    """
    try:
        return json.loads(read_bytes(path))
    except InputError as error:
        raise InputError(path, error.fault, remedy) from None
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"it is not JSON ({error})", remedy) from None


def read_json_object(path: Path, remedy: str) -> dict[str, Any]:
    """The entries of a file of JSON.

    Raises:
        InputError: as for :func:`read_json`, or it holds something else than an object.
    """
    content = read_json(path, remedy)
    if not isinstance(content, dict):
        raise InputError(path, "it holds no JSON object", remedy)
    return content

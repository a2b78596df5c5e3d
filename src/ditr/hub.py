"""Files of the Hugging Face hub (placeholder until the checked downloads land)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ditr.files import InputError

__all__ = ["MissingFile", "fetch_file", "fetch_folder", "repository_license"]


class MissingFile(InputError):
    """A repository that exists, without this file."""


def fetch_file(repository: str, name: str, *, revision: str | None = None) -> Path:
    raise InputError(repository, "not here", "wait")


def fetch_folder(repository: str, names: Sequence[str], *, revision: str | None = None) -> Path:
    raise InputError(repository, "not here", "wait")


def repository_license(repository: str) -> str | None:
    return None

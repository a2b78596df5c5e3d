"""What error texts have in common: the name that was probably meant, and the first of many names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["few", "nearest"]


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that ``name`` is most like; None where none is as like as ``cutoff`` (0 to 1) asks."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def few(names: Iterable[str], most: int) -> str:
    """The first ``most`` names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more

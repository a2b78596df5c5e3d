"""The one kind of error that bad input raises, and what error texts have in common."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable

__all__ = ["InputError", "few", "nearest"]


def nearest(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The known name that ``name`` is most like; None where none is as like as ``cutoff`` (0 to 1) asks."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def few(names: Iterable[str], most: int) -> str:
    """The first ``most`` names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


class InputError(ValueError):
    """Input that cannot be used; its text names the place, the fault and the remedy.

    ``where`` is the file (or the argument, for input that came from Python), ``fault`` what is wrong with it and
    ``remedy`` what the user can do about it. Neither needs a full stop; a remedy that asks gets none.
    """

    def __init__(self, where: str | os.PathLike[str], fault: str, remedy: str) -> None:
        self.where = str(where)
        self.fault = fault.rstrip(".")
        self.remedy = remedy.rstrip(".")
        stop = "" if self.remedy.endswith("?") else "."
        super().__init__(f"{self.where}: {self.fault}. {self.remedy}{stop}")

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str]]:
        return InputError, (self.where, self.fault, self.remedy)

"""How help is laid out: paragraphs flow to the width of the terminal, with one blank line between them.

The texts are the docstrings of the commands' classes, folded at the width of the source. The parser keeps some of
those line ends and drops others.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields, is_dataclass
from types import MappingProxyType
from typing import TextIO, get_type_hints

__all__ = ["is_asked_for", "laid_out", "unfold"]

_EXAMPLE = "$ "
_BORDERS = "╭│╰"


def is_asked_for(arguments: list[str]) -> bool:
    """Whether these arguments of the program ask for help: none at all do too."""
    return not arguments or "-h" in arguments or "--help" in arguments


def unfold(kinds: Iterable[type]) -> None:
    """Give these dataclasses, and those that are the types of their fields, docstrings without the source's line ends.

    Afterwards every paragraph is one line, and every example (``$ ...``) one of its own.
    """
    import docstring_parser

    for kind in kinds:
        kind.__doc__ = _unfolded(kind.__doc__ or "")
        told = {
            entry.arg_name: entry.description
            for parent in reversed(kind.__mro__[:-1])
            for entry in docstring_parser.parse_from_object(parent).params
        }
        for option in fields(kind):
            text = told.get(option.name)
            if text and "help" not in option.metadata:
                option.metadata = MappingProxyType({**option.metadata, "help": _unfolded(text)})
        unfold({hint for hint in get_type_hints(kind).values() if isinstance(hint, type) and is_dataclass(hint)})


@contextmanager
def laid_out() -> Iterator[None]:
    """Inside, what is printed is held back, and printed at the end in lines that fit the terminal."""
    page = _Page(sys.stdout)
    try:
        with redirect_stdout(page):
            yield
    finally:
        sys.stdout.write(_fitted(page.getvalue(), shutil.get_terminal_size().columns))


class _Page(io.StringIO):
    """Text that is held back, but is told to be printed where it will be."""

    def __init__(self, place: TextIO) -> None:
        super().__init__()
        self._place = place

    def isatty(self) -> bool:
        return self._place.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._place.encoding


def _unfolded(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.strip())
    return "\n\n".join(
        "\n".join(line.strip() for line in paragraph.splitlines())
        if paragraph.lstrip().startswith(_EXAMPLE)
        else " ".join(paragraph.split())
        for paragraph in paragraphs
    )


def _fitted(text: str, width: int) -> str:
    """Text whose lines are at most this wide where they are not in a box, and that has no two blank lines in a row."""
    # A group inside a group is named by its own name alone.
    text = re.sub(r"(?<=╭─ )(\w+\.)(\w+ options ─)", lambda found: found[2] + "─" * len(found[1]), text)
    lines = []
    for line in re.sub(r"\n{3,}", "\n\n", text).split("\n"):
        if len(line) <= width or line[0] in _BORDERS:
            lines.append(line)
            continue
        # Long lists of names are told below it: the commands of the program, or the tables of the paper.
        name = "COMMAND ..." if line.startswith("usage: ditr [") else "TABLE"
        line = re.sub(r"\{\w+(,\w+){9,}\}", name, line)
        indent = " " * len("usage: ") if "usage:" in line else ""
        lines += textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines)

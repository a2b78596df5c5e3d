"""Reports as one HTML page that needs nothing else: no network, no second file, no installation.

A report is built from a few blocks (:class:`Text`, :class:`Tiles`, :class:`Table`, :class:`Pictures`, ...) that know
nothing of what they tell; ``blocks.html.j2`` writes each by a macro of its name. Every string is escaped; in running
text `` `code` `` and ``**strong**`` are marked up.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from jinja2.filters import do_mark_safe
from numpy.typing import NDArray
from PIL import Image

from ditr.errors import InputError
from ditr.io.files import atomic_path
from ditr.pictures.charts import Matrix, Plot
from ditr.pictures.panels import LegendEntry, Panel
from ditr.pictures.points_view import PointsView

__all__ = [
    "Bar",
    "Block",
    "Change",
    "Code",
    "Compare",
    "Facts",
    "Files",
    "Legend",
    "Pictures",
    "Report",
    "Row",
    "Section",
]
__all__ += ["STANDS_ALONE", "Table", "Text", "Tile", "Tiles", "Verbatim", "data_uri", "write_report"]


class Verbatim(str):
    """Text from outside, such as a class's name: shown as it is, and marked up nowhere."""


@dataclass(frozen=True)
class Text:
    """Paragraphs, separated by empty lines."""

    text: str


@dataclass(frozen=True)
class Code:
    """Lines to be typed, or a program's output."""

    text: str


@dataclass(frozen=True)
class Files:
    """Links to files that lie beside the page."""

    names: Sequence[str]


@dataclass(frozen=True)
class Tile:
    """One headline number; ``strong`` marks the one to look at."""

    name: str
    value: str
    note: str = ""
    strong: bool = False


@dataclass(frozen=True)
class Tiles:
    """Headline numbers, side by side."""

    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Bar:
    """A number with a bar, from 0 to ``full``; None shows a dash.

    ``better`` colours the bar: True green, False red, None neutral.
    """

    value: float | None
    full: float = 100.0
    better: bool | None = None

    @property
    def share(self) -> float:
        """The bar's length, from 0 to 1."""
        known = self.value is not None and np.isfinite(self.value) and self.full > 0
        return min(max((self.value or 0.0) / self.full, 0.0), 1.0) if known else 0.0


@dataclass(frozen=True)
class Change:
    """A difference with its sign, green where it is a gain and red where it is a loss; None shows a dash."""

    value: float | None


Cell = str | int | float | None | Bar | Change


@dataclass(frozen=True)
class Row:
    """One line of a table: its name and its cells; ``strong`` sets it off, ``color`` puts a swatch before the name."""

    name: str
    cells: Sequence[Cell]
    strong: bool = False
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Table:
    """A table. Numbers are right-aligned; floats are written with ``digits`` decimals, None as a dash.

    Attributes:
        head: titles, the first of the rows' names, then one per cell.
        rows: each with ``len(head) - 1`` cells.
        caption: what the reader needs to know to read it.
        sortable: whether a click on a title sorts by what stands below it.

    Raises:
        InputError: if a row has another number of cells.
    """

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    digits: int = 1
    sortable: bool = False

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row.cells) != len(self.head) - 1:
                raise InputError(
                    f"table row {row.name}", f"{len(row.cells)} cells for {len(self.head)} titles", "Give one per title"
                )

    @property
    def numeric(self) -> list[bool]:
        """For each title, whether what stands below it is aligned as numbers are."""
        columns = range(len(self.head) - 1)
        return [False, *(all(not isinstance(row.cells[i], str | Bar) for row in self.rows) for i in columns)]


@dataclass(frozen=True)
class Pictures:
    """Captioned pictures in so many columns (one column on a phone)."""

    panels: Sequence[Panel]
    columns: int = 2


@dataclass(frozen=True)
class Compare:
    """Two pictures of one size on top of each other, with a slider between them."""

    left: Panel
    right: Panel
    caption: str = ""


@dataclass(frozen=True)
class Legend:
    """What the colours mean."""

    entries: Sequence[LegendEntry]


@dataclass(frozen=True)
class Facts:
    """Names and values: settings, versions, hashes, times."""

    pairs: Sequence[tuple[str, str]]


Block = Text | Code | Files | Tiles | Table | Pictures | Compare | Legend | Facts | Plot | Matrix | PointsView


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


STANDS_ALONE = "Written by ditr. This file needs no network and no other file."
"""The last line of the reports of commands."""


@dataclass(frozen=True)
class Report:
    """A whole page: title, the paragraph that says what was done and found, sections, and a last line."""

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str = ""

    def html(self) -> str:
        """The page as one HTML document."""
        scripts = [_script(name) for name in self._scripts()]
        return _template().render(
            report=self, scripts=[do_mark_safe(text) for text in scripts], policy=_policy(scripts)
        )

    def _scripts(self) -> list[str]:
        """Files of what its blocks do, if they do anything."""
        blocks = [block for section in self.sections for block in section.blocks]
        acts = any(isinstance(block, Compare) or (isinstance(block, Table) and block.sortable) for block in blocks)
        turns = any(isinstance(block, PointsView) for block in blocks)
        return [*(["report.js"] if acts else []), *(["points_view.js"] if turns else [])]


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page, whole or not at all."""
    page = report.html()
    with atomic_path(path) as temporary:
        # Names of files in a locale without their letters come as the bytes that they are.
        temporary.write_bytes(page.encode("utf-8", "surrogateescape"))


def data_uri(image: NDArray[np.uint8]) -> str:
    """A picture (height, width, 3) uint8 as text that stands for its file: JPEG, or PNG where that is no larger."""
    picture, found = Image.fromarray(image), []
    for kind in ("png", "jpeg") if _is_flat(image) else ("jpeg",):
        file = io.BytesIO()
        # 4:4:4: thin coloured lines keep their colour.
        picture.save(file, kind, **({} if kind == "png" else {"quality": 88, "subsampling": 0}))
        found.append((kind, file.getvalue()))
    kind, data = min(found, key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _is_flat(image: NDArray[np.uint8]) -> bool:
    """Whether it has few colours, so that a PNG, which takes ten times as long, may be the smaller one."""
    some = image[::7, ::7].reshape(-1, 3)
    return len(np.unique(some, axis=0)) < max(2, len(some) // 4)


@cache
def _script(name: str) -> str:
    return (files("ditr.pictures") / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """What the page may do: show its own pictures and run its own scripts, known by their digests; load nothing."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii") for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    own = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    return f"{own}; base-uri 'none'; form-action 'none'"


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("ditr.pictures", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        inline=_inline, number=_number, change=_change, data_uri=data_uri, kind=lambda value: type(value).__name__
    )
    return environment.get_template("report.html.j2")


def _inline(text: str) -> str:
    if isinstance(text, Verbatim):
        return do_mark_safe(escape(text))
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
    return do_mark_safe(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe))


def _number(value: float | None, digits: int) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _change(value: float | None, digits: int) -> tuple[str, str]:
    """Its text and whether it is good or bad; nothing is either where it rounds to zero."""
    text = _number(None if value is None else abs(float(value)), digits)
    if value is None or not re.search("[1-9]", text):
        return text, ""
    return (f"+{text}", "good") if value > 0 else (f"−{text}", "bad")

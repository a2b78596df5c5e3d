"""Reports as one HTML page that needs nothing else: no network, no second file, no installation.

A report is built from a few blocks (:class:`Text`, :class:`Tiles`, :class:`Table`, :class:`Pictures`, ...) that know
nothing of what they tell. Every string is escaped; in running text `` `code` `` and ``**strong**`` are marked up.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files as package_files
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ditr.errors import InputError
from ditr.io.files import atomic_path
from ditr.pictures.panels import LegendEntry, Panel

__all__ = ["Bar", "Change", "Code", "Compare", "Facts", "Legend", "Pictures", "Report", "Row", "Section"]
__all__ += ["Table", "Text", "Tile", "Tiles", "data_uri", "write_report"]

# Also a promise to the reader: the page can load nothing from anywhere.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class Block(Protocol):
    """A part of a section."""

    def html(self) -> str:
        """The part as HTML."""


@dataclass(frozen=True)
class Text:
    """Paragraphs, separated by empty lines."""

    text: str

    def html(self) -> str:
        return "".join(f"<p>{_inline(part)}</p>" for part in re.split(r"\n\s*\n", self.text.strip()) if part)


@dataclass(frozen=True)
class Code:
    """Lines to be typed, or a program's output."""

    text: str

    def html(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


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

    def html(self) -> str:
        return f'<div class="tiles">{"".join(map(_tile, self.tiles))}</div>'


@dataclass(frozen=True)
class Bar:
    """A number with a bar, from 0 to ``full``; None shows a dash.

    ``better`` colours the bar: True green, False red, None neutral.
    """

    value: float | None
    full: float = 100.0
    better: bool | None = None


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
    """

    head: Sequence[str]
    rows: Sequence[Row]
    caption: str = ""
    digits: int = 1

    def html(self) -> str:
        for row in self.rows:
            if len(row.cells) != len(self.head) - 1:
                raise InputError(
                    f"table row {row.name}", f"{len(row.cells)} cells for {len(self.head)} titles", "Give one per title"
                )
        numeric = [all(not isinstance(row.cells[i], str | Bar) for row in self.rows) for i in range(len(self.head) - 1)]
        titles = [f'<th scope="col">{_inline(self.head[0])}</th>']
        for title, right in zip(self.head[1:], numeric, strict=True):
            titles.append(f'<th scope="col"{_NUM if right else ""}>{_inline(title)}</th>')
        body = "".join(self._row(row) for row in self.rows)
        caption = f"<caption>{_inline(self.caption)}</caption>" if self.caption else ""
        head = f"<thead><tr>{''.join(titles)}</tr></thead>"
        return f'<div class="scroll"><table>{caption}{head}<tbody>{body}</tbody></table></div>'

    def _row(self, row: Row) -> str:
        swatch = f'<span class="swatch" style="background:{_css(row.color)}"></span>' if row.color else ""
        cells = "".join(_cell(cell, self.digits) for cell in row.cells)
        mark = ' class="strong"' if row.strong else ""
        kind = ' class="swatched"' if swatch else ""
        return f'<tr{mark}><th scope="row"{kind}>{swatch}{_inline(row.name)}</th>{cells}</tr>'


@dataclass(frozen=True)
class Pictures:
    """Captioned pictures in so many columns (one column on a phone)."""

    panels: Sequence[Panel]
    columns: int = 2

    def html(self) -> str:
        figures = "".join(
            f"<figure>{_image(panel.image, panel.caption)}<figcaption>{_inline(panel.caption)}</figcaption></figure>"
            for panel in self.panels
        )
        return f'<div class="pictures" style="--columns:{self.columns}">{figures}</div>'


@dataclass(frozen=True)
class Compare:
    """Two pictures of one size on top of each other, with a slider between them."""

    left: Panel
    right: Panel
    caption: str = ""

    def html(self) -> str:
        names = f'<span class="left">{_inline(self.left.caption)}</span>'
        names += f'<span class="right">{_inline(self.right.caption)}</span>'
        images = _image(self.left.image, self.left.caption) + _image(self.right.image, self.right.caption)
        slider = '<input type="range" min="0" max="100" value="50" aria-label="border between the two pictures"'
        slider += " oninput=\"this.parentNode.style.setProperty('--at',this.value+'%')\">"
        caption = f"<figcaption>{_inline(self.caption)}</figcaption>" if self.caption else ""
        return f'<figure class="compare"><div class="stack">{names}{images}</div>{slider}{caption}</figure>'


@dataclass(frozen=True)
class Legend:
    """What the colours mean."""

    entries: Sequence[LegendEntry]

    def html(self) -> str:
        items = "".join(
            f'<li><span class="swatch" style="background:{_css(entry.color)}"></span>{_inline(entry.name)}</li>'
            for entry in self.entries
        )
        return f'<ul class="legend">{items}</ul>'


@dataclass(frozen=True)
class Facts:
    """Names and values: settings, versions, hashes, times."""

    pairs: Sequence[tuple[str, str]]

    def html(self) -> str:
        return f"<dl>{''.join(f'<dt>{_inline(k)}</dt><dd>{_inline(v)}</dd>' for k, v in self.pairs)}</dl>"


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Report:
    """A whole page: title, the paragraph that says what was done and found, sections, and a last line."""

    title: str
    lead: str
    sections: Sequence[Section]
    footer: str = ""

    def html(self) -> str:
        """The page as one HTML document."""
        style = package_files("ditr.pictures").joinpath("report.css").read_text(encoding="utf-8")
        sections = "".join(
            f"<section><h2>{_inline(section.title)}</h2>{''.join(block.html() for block in section.blocks)}</section>\n"
            for section in self.sections
        )
        footer = f"<footer>{_inline(self.footer)}</footer>\n" if self.footer else ""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{escape(self.title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
            f'<header><h1>{_inline(self.title)}</h1><p class="lead">{_inline(self.lead)}</p></header>\n'
            f"<main>\n{sections}</main>\n{footer}</body>\n</html>\n"
        )


def write_report(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page, whole or not at all."""
    page = report.html()
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def data_uri(image: NDArray[np.uint8]) -> str:
    """A picture (height, width, 3) uint8 as text that stands for its file: JPEG, or PNG where that is no larger."""
    picture = Image.fromarray(image)
    png, jpeg = io.BytesIO(), io.BytesIO()
    picture.save(png, "PNG")
    # 4:4:4: thin coloured lines keep their colour.
    picture.save(jpeg, "JPEG", quality=88, subsampling=0)
    kind, data = min(("png", png.getvalue()), ("jpeg", jpeg.getvalue()), key=lambda pair: len(pair[1]))
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


_NUM = ' class="num"'


def _inline(text: str) -> str:
    safe = escape(text)
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", safe)
    return re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe)


def _css(color: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)


def _tile(tile: Tile) -> str:
    note = f'<div class="note">{_inline(tile.note)}</div>' if tile.note else ""
    mark = "tile strong" if tile.strong else "tile"
    name, value = _inline(tile.name), _inline(tile.value)
    return f'<div class="{mark}"><div class="name">{name}</div><div class="value">{value}</div>{note}</div>'


def _cell(cell: Cell, digits: int) -> str:
    if isinstance(cell, Bar):
        return f"<td>{_bar(cell, digits)}</td>"
    if isinstance(cell, Change):
        return _change(cell, digits)
    if isinstance(cell, str):
        return f"<td>{_inline(cell)}</td>"
    return f"<td{_NUM}>{_number(cell, digits)}</td>"


def _number(value: float | None, digits: int) -> str:
    if value is None or not np.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def _bar(bar: Bar, digits: int) -> str:
    known = bar.value is not None and bool(np.isfinite(bar.value))
    share = min(max((bar.value or 0.0) / bar.full, 0.0), 1.0) if known and bar.full > 0 else 0.0
    kind = {None: "plain", True: "gain", False: "loss"}[bar.better]
    return (
        f'<div class="bar {kind}" style="--share:{100 * share:.1f}%"><b>{_number(bar.value, digits)}</b><i></i></div>'
    )


def _change(change: Change, digits: int) -> str:
    if change.value is None or not np.isfinite(change.value):
        return f"<td{_NUM}>–</td>"
    text = f"{abs(change.value):,.{digits}f}"
    if float(text.replace(",", "")) == 0:
        return f"<td{_NUM}>{text}</td>"
    sign, mark = ("+", "good") if change.value > 0 else ("−", "bad")
    return f'<td class="num {mark}">{sign}{text}</td>'


def _image(image: NDArray[np.uint8], text: str) -> str:
    height, width = image.shape[:2]
    return f'<img src="{data_uri(image)}" width="{width}" height="{height}" alt="{escape(text)}">'

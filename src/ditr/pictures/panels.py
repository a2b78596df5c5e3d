"""Sheets of captioned panels with legends, composed with pillow alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ditr.errors import InputError
from ditr.io.files import atomic_path, write_image
from ditr.pictures.palette import BOTH_RIGHT, BOTH_WRONG, GREY, LIGHT_GREY, ONLY_FIRST, ONLY_SECOND, chosen_colors
from ditr.pictures.text import Font, fitted

__all__ = ["LegendEntry", "Panel", "class_legend", "difference_legend", "save_picture", "sheet"]

_PAPER = (255, 255, 255)
_INK = (28, 30, 34)
_FAINT = (96, 100, 108)
_MARGIN = 28
_GAP = 16
_SIZE = 22
_NARROWEST = 180
"""Pixels for a panel's caption."""


@dataclass(frozen=True, eq=False)
class Panel:
    """One picture of a sheet: (height, width, 3) uint8, and what it shows."""

    image: NDArray[np.uint8]
    caption: str


@dataclass(frozen=True)
class LegendEntry:
    """What a colour means."""

    name: str
    color: tuple[int, int, int]


def class_legend(
    class_names: Sequence[str], *labels: NDArray[np.integer], colors: Sequence[tuple[int, int, int]] | None = None
) -> tuple[LegendEntry, ...]:
    """Entries of the classes that occur in any of the label arrays (all classes if none is given).

    Args:
        class_names: the names, in the order of the labels.
        labels: (N,) each; -1 adds the entry "unlabelled".
        colors: of the classes, where a dataset has its own.
    """
    present = np.unique(np.concatenate(labels)) if labels else np.arange(len(class_names))
    table = chosen_colors(len(class_names), colors)
    entries = [
        LegendEntry(class_names[i], (int(table[i][0]), int(table[i][1]), int(table[i][2]))) for i in present if i >= 0
    ]
    if len(present) and present[0] < 0:
        entries.append(LegendEntry("unlabelled", GREY))
    return tuple(entries)


def difference_legend(baseline: str = "PTv3", ditr: str = "DITR") -> tuple[LegendEntry, ...]:
    """Entries of the picture of differences, with the names of the two predictions."""
    return (
        LegendEntry(f"only {ditr} is right", ONLY_SECOND),
        LegendEntry(f"only {baseline} is right", ONLY_FIRST),
        LegendEntry("both right", BOTH_RIGHT),
        LegendEntry("both wrong", BOTH_WRONG),
        LegendEntry("no ground truth", LIGHT_GREY),
    )


def sheet(
    rows: Sequence[Sequence[Panel]],
    *,
    title: str = "",
    legends: Sequence[Sequence[LegendEntry]] = (),
    note: str = "",
    width: int = 1600,
) -> NDArray[np.uint8]:
    """Compose panels into one picture.

    Each row is scaled to the full width, its panels to one height, so that pictures of different shape stand together.
    Captions stand below their panels and break into lines where they are long; legends stand at the foot.

    Args:
        rows: panels, at least one.
        title: a heading, or nothing.
        legends: groups of entries; each group starts a line.
        note: a sentence at the foot, before the legends, or nothing.
        width: of the sheet in pixels.

    Returns:
        (height, width, 3) uint8.

    Raises:
        InputError: no panels.
    """
    rows = [row for row in rows if row]
    if not rows:
        raise InputError("sheet", "there are no panels", "Give at least one row with one panel")
    bands = [_text_band(title, width, 34, 44, _INK)] if title else []
    bands += [_row_band(row, width) for row in rows]
    bands += [_text_band(note, width, _SIZE, 30, _FAINT)] if note else []
    bands += [_legend_band(entries, width) for entries in legends if entries]
    out = Image.new("RGB", (width, sum(band.height for band in bands) + _MARGIN + _GAP), _PAPER)
    top = _MARGIN
    for band in bands:
        out.paste(band, (0, top))
        top += band.height
    return np.asarray(out)


def save_picture(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write (height, width, 3) uint8 as the format that the suffix names; the same pixels give the same bytes."""
    with atomic_path(path) as temporary:
        # A PNG ignores the quality. Its default level takes three times as long for 3 % fewer bytes.
        write_image(temporary, Image.fromarray(image), quality=92, compress_level=4)


def _text_band(text: str, width: int, size: int, line: int, color: tuple[int, int, int]) -> Image.Image:
    text, font = fitted(text, size)
    lines = _wrapped(text, font, width - 2 * _MARGIN)
    band = Image.new("RGB", (width, line * len(lines) + _GAP), _PAPER)
    ImageDraw.Draw(band).multiline_text((_MARGIN, 0), "\n".join(lines), fill=color, font=font, spacing=8)
    return band


def _row_band(row: Sequence[Panel], width: int) -> Image.Image:
    shape = np.array([panel.image.shape[1] / panel.image.shape[0] for panel in row])
    room = width - 2 * _MARGIN - _GAP * (len(row) - 1)
    tallest = 0.75 * width
    exact = min(room / shape.sum(), tallest)
    # A caption needs room, also below a strip that is but a few pixels wide.
    least = min(_NARROWEST, room / len(row))
    narrow = shape * exact < least
    if narrow.any() and not narrow.all():
        exact = min((room - least * narrow.sum()) / shape[~narrow].sum(), tallest)
    height = max(1, round(exact))
    cells = np.maximum(shape * exact, least)
    texts = [fitted(panel.caption, _SIZE) for panel in row]
    captions = [_wrapped(text, font, cell) for (text, font), cell in zip(texts, cells, strict=True)]
    line = 30
    band = Image.new("RGB", (width, height + 10 + line * max(map(len, captions)) + _GAP), _PAPER)
    draw = ImageDraw.Draw(band)
    left = float(_MARGIN)
    for panel, aspect, cell, (_, font), lines in zip(row, shape, cells, texts, captions, strict=True):
        start, stop = round(left), round(left + exact * aspect)
        picture = Image.fromarray(panel.image).resize((max(1, stop - start), height), Image.Resampling.LANCZOS)
        band.paste(picture, (start, 0))
        draw.multiline_text((start, height + 6), "\n".join(lines), fill=_FAINT, font=font, spacing=6)
        left += cell + _GAP
    return band


def _legend_band(entries: Sequence[LegendEntry], width: int) -> Image.Image:
    places: list[tuple[float, int]] = []
    names = [fitted(entry.name, _SIZE) for entry in entries]
    left, line = float(_MARGIN), 0
    for name, font in names:
        need = 34 + font.getlength(name) + 30
        if left + need > width - _MARGIN and left > _MARGIN:
            left, line = float(_MARGIN), line + 1
        places.append((left, line))
        left += need
    band = Image.new("RGB", (width, 38 * (line + 1) + _GAP // 2), _PAPER)
    draw = ImageDraw.Draw(band)
    for entry, (name, font), (x, row) in zip(entries, names, places, strict=True):
        y = 38 * row + 4
        draw.rounded_rectangle((x, y, x + 24, y + 24), radius=5, fill=entry.color)
        draw.text((x + 34, y + 12), name, fill=_INK, font=font, anchor="lm")
    return band


def _wrapped(text: str, font: Font, width: float) -> list[str]:
    """The text in lines of at most ``width`` pixels; a single word may be longer."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines or [""]

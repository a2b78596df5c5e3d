"""Sheets of captioned panels with legends, composed with pillow alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ditr.errors import InputError
from ditr.io.files import atomic_path, write_image
from ditr.pictures.palette import BOTH_SAME, GREY, LIGHT_GREY, ONLY_FIRST, ONLY_SECOND, chosen_colors

__all__ = ["LegendEntry", "Panel", "class_legend", "difference_legend", "save_picture", "sheet"]

_PAPER = (255, 255, 255)
_INK = (28, 30, 34)
_FAINT = (96, 100, 108)
_MARGIN = 28
_GAP = 16

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


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
        LegendEntry("both right, or both wrong", BOTH_SAME),
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
    font = _font(22)
    bands = [_text_band(title, width, _font(34), 44, _INK)] if title else []
    bands += [_row_band(row, width, font) for row in rows]
    bands += [_text_band(note, width, font, 30, _FAINT)] if note else []
    bands += [_legend_band(entries, width, font) for entries in legends if entries]
    out = Image.new("RGB", (width, sum(band.height for band in bands) + _MARGIN + _GAP), _PAPER)
    top = _MARGIN
    for band in bands:
        out.paste(band, (0, top))
        top += band.height
    return np.asarray(out)


def save_picture(path: str | os.PathLike[str], image: NDArray[np.uint8]) -> None:
    """Write (height, width, 3) uint8 as the format that the suffix names; the same pixels give the same bytes."""
    with atomic_path(path) as temporary:
        write_image(temporary, Image.fromarray(image), quality=92)  # which PNG ignores


def _font(size: int) -> Font:
    return ImageFont.load_default(size)


def _text_band(text: str, width: int, font: Font, line: int, color: tuple[int, int, int]) -> Image.Image:
    lines = _wrapped(text, font, width - 2 * _MARGIN)
    band = Image.new("RGB", (width, line * len(lines) + _GAP), _PAPER)
    ImageDraw.Draw(band).multiline_text((_MARGIN, 0), "\n".join(lines), fill=color, font=font, spacing=8)
    return band


def _row_band(row: Sequence[Panel], width: int, font: Font) -> Image.Image:
    shape = [panel.image.shape[1] / panel.image.shape[0] for panel in row]
    room = width - 2 * _MARGIN - _GAP * (len(row) - 1)
    height = max(1, min(round(room / sum(shape)), round(0.75 * width)))
    captions = [_wrapped(panel.caption, font, height * s) for panel, s in zip(row, shape, strict=True)]
    line = 30
    band = Image.new("RGB", (width, height + 10 + line * max(map(len, captions)) + _GAP), _PAPER)
    draw = ImageDraw.Draw(band)
    left = float(_MARGIN)
    for panel, aspect, lines in zip(row, shape, captions, strict=True):
        start, stop = round(left), round(left + height * aspect)
        picture = Image.fromarray(panel.image).resize((max(1, stop - start), height), Image.Resampling.LANCZOS)
        band.paste(picture, (start, 0))
        draw.multiline_text((start, height + 6), "\n".join(lines), fill=_FAINT, font=font, spacing=6)
        left += height * aspect + _GAP
    return band


def _legend_band(entries: Sequence[LegendEntry], width: int, font: Font) -> Image.Image:
    places: list[tuple[float, int]] = []
    left, line = float(_MARGIN), 0
    for entry in entries:
        need = 34 + font.getlength(entry.name) + 30
        if left + need > width - _MARGIN and left > _MARGIN:
            left, line = float(_MARGIN), line + 1
        places.append((left, line))
        left += need
    band = Image.new("RGB", (width, 38 * (line + 1) + _GAP // 2), _PAPER)
    draw = ImageDraw.Draw(band)
    for entry, (x, row) in zip(entries, places, strict=True):
        y = 38 * row + 4
        draw.rounded_rectangle((x, y, x + 24, y + 24), radius=5, fill=entry.color)
        draw.text((x + 34, y + 12), entry.name, fill=_INK, font=font, anchor="lm")
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

"""Text in pictures, in any script: the font is one of this machine that has the characters.

Pillow's own font has plain Latin letters alone. What no font here has is transliterated (Latin, Cyrillic, Greek) or
written as code points, since boxes say nothing.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont, features

__all__ = ["Font", "fitted"]

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_log = logging.getLogger(__name__)

_ABSENT = "\uffff"
"""A code point that no font may have, so that it shows as what is absent."""
_WORSE = ("mono", "bold", "italic", "oblique", "condensed", "serif", "light", "thin", "black", "narrow")
_CYRILLIC = "абвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґўјљњћђџ"
_CYRILLIC_IN_LATIN = (
    "a b v g d e zh z i y k l m n o p r s t u f kh ts ch sh shch ' y ' e yu ya yo ye i yi g w j lj nj c dj dz"
)
_LATIN = "ßæœøłđðþı"
_LATIN_IN_ASCII = "ss ae oe o l d d th i"
_GREEK = "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"
_GREEK_IN_LATIN = "a v g d e z i th i k l m n x o p r s s t y f ch ps o a e i i o y o i y i y"


def fitted(text: str, size: int) -> tuple[str, Font]:
    """The text as it can be drawn here, and the font for it.

    Args:
        text: in any script.
        size: of the letters in pixels.
    """
    font: Font = ImageFont.load_default(size)
    foreign = set(text) - _drawable(text, font)
    if foreign:
        path = _font_with("".join(sorted(set(text) - set(" \n"))))
        if path is not None:
            font = ImageFont.truetype(path, size)
        else:
            _say_what_is_spelt()
            text = " ".join("".join(_spelt(c) if c in foreign or ord(c) > 126 else c for c in text).split())
    if not features.check("raqm") and any(unicodedata.bidirectional(c) in ("R", "AL") for c in text):
        text = text[::-1]  # without that library, characters are set from left to right
    return text, font


def _drawable(text: str, font: Font) -> set[str]:
    """The characters of a text that a font has, or that show nothing."""
    absent = _glyph(_ABSENT, font)
    shown = {c for c in text if not (c.isspace() or unicodedata.category(c) in ("Cf", "Mn", "Me"))}
    return set(text) - {c for c in shown if _glyph(c, font) == absent}


def _glyph(character: str, font: Font) -> tuple[tuple[int, int], bytes]:
    mask = font.getmask(character)
    return mask.size, bytes(mask)


@lru_cache(maxsize=1)
def _say_what_is_spelt() -> None:
    _log.info(
        "no font on this machine has all the letters of a text in the pictures, so some are written in Latin letters "
        "or "
        "as code points; install a font package such as Noto"
    )


@lru_cache(maxsize=1000)
def _font_with(characters: str) -> str | None:
    """The file of a font of this machine that has all these characters, plain upright sans serif where there is one."""

    def rank(path: str) -> tuple[int, int, str]:
        name = Path(path).stem.lower()
        return sum(word in name.replace("sansserif", "") for word in _WORSE), "sans" not in name, path

    for path in sorted(set(_found(characters)), key=rank):
        try:
            font = ImageFont.truetype(path, 20)
            if set(characters) <= _drawable(characters, font):
                return path
        except (OSError, ValueError):
            continue  # of bitmaps, say
    return None


def _found(characters: str) -> Iterator[str]:
    """Files of fonts: those of which fontconfig says that they fit, or else all in the usual folders."""
    if (program := shutil.which("fc-list")) is not None:
        wanted = ":charset=" + " ".join(f"{ord(character):x}" for character in characters)
        done = subprocess.run([program, wanted, "file"], capture_output=True, timeout=60, check=False)
        yield from (os.fsdecode(line).strip().rstrip(":") for line in done.stdout.splitlines())
        return
    for folder in _folders():
        yield from (str(path) for kind in ("ttf", "ttc", "otf") for path in folder.rglob(f"*.{kind}"))


def _folders() -> list[Path]:
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft" / "Windows"
        return [Path(os.environ.get("WINDIR", "C:\\Windows")) / "Fonts", local / "Fonts"]
    if sys.platform == "darwin":
        return [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"]
    shared = os.environ.get("XDG_DATA_DIRS", "/usr/local/share:/usr/share").split(":")
    return [home / ".fonts", home / ".local" / "share" / "fonts", *(Path(folder) / "fonts" for folder in shared)]


def _spelt(character: str) -> str:
    """A character in plain Latin letters, or its code point; nothing for a mark on another one."""
    if unicodedata.category(character) in ("Mn", "Cf"):
        return ""
    if (plain := unicodedata.normalize("NFKD", character)[0]).isascii():
        return plain
    small = character.lower()
    for letters, latin in ((_CYRILLIC, _CYRILLIC_IN_LATIN), (_GREEK, _GREEK_IN_LATIN), (_LATIN, _LATIN_IN_ASCII)):
        if small in letters:
            found = latin.split()[letters.index(small)]
            return found if small == character else found.capitalize()
    return f" U+{ord(character):04X} "

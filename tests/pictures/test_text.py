"""Names in any script, drawn in a font of this machine or spelt out."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from ditr.pictures import text
from ditr.pictures.panels import LegendEntry, Panel, sheet
from ditr.pictures.text import fitted

DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


def without_fonts(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """A machine whose only fonts, if any, lie in ``folder``/fonts, and that has no fontconfig."""
    monkeypatch.setattr(text, "_font_with", text._font_with.__wrapped__)  # nothing remembered
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("HOME", str(folder / "home"))
    monkeypatch.setenv("XDG_DATA_DIRS", str(folder))


def test_plain_latin_stays_in_the_built_in_font() -> None:
    said, font = fitted("a chair, 3 m", 22)
    assert said == "a chair, 3 m" and font.getlength(said) == text.ImageFont.load_default(22).getlength(said)


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("Стол", "Stol"),
        ("щётка", "shchyotka"),
        ("τραπέζι", "trapezi"),
        ("Tür, Größe", "Tur, Grosse"),
        ("桌子 2", "U+684C U+5B50 2"),
    ],
)
def test_without_a_font_names_are_spelt_out(
    name: str, spelt: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_fonts(monkeypatch, tmp_path)
    assert fitted(name, 22)[0] == spelt


@pytest.mark.skipif(not DEJAVU.exists(), reason="needs a font with Cyrillic letters")
@pytest.mark.parametrize("by_folder", [True, False])
def test_a_font_is_found(by_folder: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if by_folder:
        (tmp_path / "fonts" / "deep").mkdir(parents=True)
        (tmp_path / "fonts" / "deep" / "broken.ttf").write_bytes(b"no font")
        shutil.copy(DEJAVU, tmp_path / "fonts" / "deep" / "one.ttf")
        without_fonts(monkeypatch, tmp_path)
    elif shutil.which("fc-list") is None:
        pytest.skip("needs fontconfig")
    names = ("Стол", "Слот", "Tür", "Tor")
    assert [fitted(name, 22)[0] for name in names] == list(names)
    panel = Panel(np.zeros((10, 100, 3), np.uint8), "")
    drawn = [sheet([[panel]], legends=[[LegendEntry(name, (9, 9, 9))]]).tobytes() for name in names]
    assert len(set(drawn)) == len(names), "boxes would all be alike"

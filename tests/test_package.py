"""The package as users get it: the wheel in an empty environment, and the README's promises."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

import ditr

REPOSITORY = Path(__file__).resolve().parents[1]

SMOKE = """
import torch, ditr
from ditr.geometry.pyramid import build_pyramid
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.recipes.captures import SMALL_NETWORK

torch.manual_seed(0)
cells = torch.unique(torch.randint(0, 30, (500, 3)), dim=0)
model = Segmentation(SMALL_NETWORK, 7).eval()
with torch.no_grad():
    logits = model(torch.randn(len(cells), 6), build_pyramid(cells, SMALL_NETWORK.pyramid))
assert logits.shape == (len(cells), 7) and torch.isfinite(logits).all()
print(ditr.__version__, ditr.Segmenter.__name__)
"""


def test_every_public_name_resolves() -> None:
    for name in ditr.__all__:
        assert getattr(ditr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        ditr.nothing  # noqa: B018


def test_readme_names_what_exists() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (REPOSITORY / link).exists(), link
    example = re.search(r"```python\n(.*?)```", readme, flags=re.DOTALL)
    assert example is not None
    for name in re.findall(r"ditr\.([A-Za-z_]+)", example[1]):
        assert name in ditr.__all__
    targets = re.findall(r"^make (\w+)", readme, flags=re.MULTILINE)
    makefile = (REPOSITORY / "Makefile").read_text()
    assert targets and all(f"\n{target}:" in makefile for target in targets)


@pytest.mark.slow
def test_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Builds the wheel, installs it with what it needs, and uses it there."""
    subprocess.run([sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, REPOSITORY], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "ditr/py.typed" in names
    page = ("report.css", "report.js", "points_view.js", "report.html.j2", "blocks.html.j2")
    assert {f"ditr/pictures/{name}" for name in page} < set(names)
    assert not [name for name in names if name.startswith("tests")]

    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    constraints = REPOSITORY / "constraints.txt"
    subprocess.run([python, "-m", "pip", "install", "-q", "-c", constraints, wheel], check=True, cwd=tmp_path)
    smoke = subprocess.run([python, "-c", SMOKE], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert smoke.stdout.split() == [ditr.__version__, "Segmenter"]
    command = tmp_path / "empty" / "bin" / "ditr"
    helped = subprocess.run([command, "--help"], check=True, cwd=tmp_path, capture_output=True, text=True)
    assert "segment" in helped.stdout

"""The programs of docs/python.md run, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from small_world import make_scene, tiny_config, tiny_encoding

import ditr
from ditr.weights.saved_model import save_model

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "python.md"


def test_the_programs_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ditr.write_capture(make_scene(depth=True), Path("CAPTURE"), image_format="png")
    encoding = tiny_encoding(tmp_path, cache=False)
    config = tiny_config(encoding)
    save_model(Path("RUN"), config, config.build())
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(programs) == 4
    found: dict[str, object] = {}
    for program in programs:
        exec(compile(program.replace("dinov2-small-derived", encoding.spec), "docs/python.md", "exec"), found)
    assert len(np.load("LABELS/label.npy")) == len(ditr.read_capture("CAPTURE"))
    assert Path("FEATURES/features.safetensors").exists() and Path("MINE/transforms.json").exists()

"""All that `ditr segment` can write of one scene, by the command."""

from __future__ import annotations

import csv
import json
import shlex
from html import unescape
from pathlib import Path

import numpy as np
from PIL import Image
from small_world import CAMERA, CLASSES, ditr, make_scene, write_model

from ditr.captures.capture import write_capture


def test_everything_is_written_and_replaced_as_a_whole(tmp_path: Path) -> None:
    write_model(tmp_path / "model")
    write_capture(make_scene(views=2, depth=True, points=2000), tmp_path / "scan", image_format="png")
    out = tmp_path / "the results"
    options = ["segment", tmp_path / "scan", "--model", tmp_path / "model", "--out", out, "--no-pictures", "--force"]
    ditr(*options, "--class-colors", "--split-classes", "--label-images", "--measure", "auto")
    label = np.load(out / "label.npy", allow_pickle=False)
    found = np.unique(label).tolist()
    assert {path.name for path in (out / "by_class").iterdir()} == {f"{n}_{CLASSES[n]}.ply" for n in found}
    assert [each["name"] for each in json.loads((out / "classes.json").read_text())["classes"]] == [*CLASSES]
    with (out / "classes.csv").open(encoding="utf-8", newline="") as file:
        assert sum(int(row["points"]) for row in csv.DictReader(file)) == 2000
    assert len(json.loads((out / "classes.geojson").read_text())["features"]) == len(found)
    for name in ("photo_0", "photo_1"):
        with Image.open(out / "label_images" / f"{name}.png") as image:
            assert image.mode == "P" and image.size == (CAMERA.width, CAMERA.height)
            assert set(np.unique(np.array(image)).tolist()) <= {*found, 255}
    page = unescape((out / "report.html").read_text(encoding="utf-8"))
    command = shlex.join(map(str, ["ditr", *options, "--class-colors", "--split-classes", "--label-images"]))
    assert command in page and "Area, m²" in page and "True label" in page and "torch" in page
    (out / "mine.txt").write_text("x")
    ditr(*options, "--overwrite", "--measure", "0.5", "--no-report")
    assert not (out / "report.html").exists(), "one of earlier would tell of other labels"
    ditr(*options, "--overwrite", "--measure", "0.5")
    assert sorted(path.name for path in out.iterdir()) == [
        *("classes.csv", "classes.geojson", "classes.json", "confidence.npy", "label.npy", "labels.ply", "mine.txt"),
        *("report.html", "summary.json"),
    ]
    refused = ditr(*options, "--overwrite", "--measure", "-1", check=False)
    assert refused.returncode == 2 and "not a length" in refused.stderr and "Traceback" not in refused.stderr

"""The calibration error of a demo's models on its unseen rooms, before and after a temperature.

    python benchmarks/calibration.py DEMO [DEMO ...]

DEMO is a folder that `ditr demo` wrote. The temperature is fitted on eight rooms that were neither trained on nor
tested: once on rooms as those of the training, once on rooms with new textures and families as those of the test, both
made again with another seed. The error is that of the 24 test rooms, in percent, of 15 bins.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ditr.captures.capture import read_capture
from ditr.captures.folders import find_captures
from ditr.data.sample import Sample
from ditr.encoders.feature_cache import FeatureCache
from ditr.evaluation.calibration import Calibration, TemperatureSearch, some_labelled
from ditr.inference.segmenter import Segmenter
from ditr.scene import Scene
from ditr.worlds.rooms import RoomsConfig, write_rooms

RUNS = ("ptv3", "ditr")
FITTED_ON = 8
_OTHER_SEED = 7_000


def fitted(segmenter: Segmenter, captures: list[Path]) -> float:
    """The temperature for a model, by the logits of its single pass over scenes."""
    search, ask = TemperatureSearch(), segmenter.logits
    for folder in captures:
        scene = read_capture(folder)
        seen: list[tuple[Tensor, Tensor]] = []

        def logits(sample: Sample, seen: list[tuple[Tensor, Tensor]] = seen) -> Tensor:
            seen.append((sample.inverse, ask(sample)))
            return seen[-1][1]

        segmenter.logits = logits  # type: ignore[method-assign]
        segmenter(scene)
        inverse, scores = seen[-1]
        assert scene.label is not None
        rows, weight = some_labelled(scene.label)
        search.add(scores[inverse[rows]].cpu(), torch.from_numpy(scene.label[rows]).long(), weight)
    segmenter.logits = ask  # type: ignore[method-assign]
    assert search.best is not None
    return search.best


def errors(segmenter: Segmenter, temperature: float, scenes: list[Scene]) -> dict[str, float]:
    """Calibration errors and accuracy in percent; that labels are the same is checked."""
    warm = Segmenter(
        replace(segmenter.config, temperature=temperature), segmenter.model, encoding=segmenter.encoding, device="cpu"
    )
    before, after = Calibration(), Calibration()
    for scene in scenes:
        assert scene.label is not None
        plain, tempered = segmenter(scene), warm(scene)
        assert (plain.label == tempered.label).all()
        before.update(plain.confidence, plain.label, scene.label)
        after.update(tempered.confidence, tempered.label, scene.label)
    points = before.points.sum()
    return {
        "temperature": round(temperature, 3),
        "before": round(100 * before.error, 2),
        "after": round(100 * after.error, 2),
        "accuracy": round(100 * float(before.right.sum() / points), 2),
        "confidence before": round(100 * float(before.confidence.sum() / points), 2),
        "confidence after": round(100 * float(after.confidence.sum() / points), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demos", type=Path, nargs="+")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rooms = Path(folder) / "rooms"
        write_rooms(rooms, RoomsConfig(train=FITTED_ON, test=FITTED_ON, seed=_OTHER_SEED), workers=1)
        for demo in arguments.demos:
            tests = [read_capture(path) for path in find_captures(demo / "rooms" / "test")]
            for run in RUNS:
                cache = FeatureCache(demo / "features")
                segmenter = Segmenter.from_pretrained(demo / "runs" / run, device="cpu", cache=cache)
                for kind in ("train", "test"):
                    temperature = fitted(segmenter, find_captures(rooms / kind))
                    row = {"demo": demo.name, "run": run, "fitted on": f"rooms as those of the {kind}"}
                    print(json.dumps({**row, **errors(segmenter, temperature, tests)}), flush=True)


if __name__ == "__main__":
    main()

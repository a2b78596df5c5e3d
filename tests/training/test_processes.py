"""Two real processes with half of each batch against one that has the whole of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from ditr.nn.shared_norm import SharedBatchNorm, share_batch_norms
from small_world import NETWORK, tiny_encoding, tiny_recipe, write_world

PROGRAM = """
import json, sys
from pathlib import Path
from ditr.encoding import CachedEncoding
from ditr.training.loop import TrainingRun, train
from ditr.training.recipe import read_recipe
folder, batch_size = Path(sys.argv[1]), int(sys.argv[2])
from dataclasses import replace
recipe = replace(read_recipe(folder / "settings.json"), batch_size=batch_size)
captures = sorted((folder / "data").iterdir())
encoding = None if recipe.encoder is None else CachedEncoding(recipe.encoder)
settings = {"device": "cpu", "quiet": True, "checkpoint_every": 8, "validation": captures[:1]}
train(recipe, TrainingRun(folder / f"run-{batch_size}", captures, encoding, **settings))
"""


def losses(folder: Path, batch_size: int, processes: int) -> list[float]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, *(launcher if processes > 1 else []), str(program), str(folder), str(batch_size)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    log = folder / f"run-{batch_size}" / "log.jsonl"
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


def settings(kind: str, folder: Path) -> dict[str, object]:
    from ditr.nn.norms import DatasetNorms
    from ditr.plain import to_plain
    from ditr.training.recipe import Distill, JointDataset, Segment

    network = replace(NETWORK, drop_path=0.0)
    recipe = tiny_recipe(
        network=network, steps=20, sync_batch_norm=True, task=Segment(lovasz=0.0, class_weights=(1, 2, 3))
    )
    if kind == "distillation":
        encoding = tiny_encoding(folder)
        norms = DatasetNorms(("a", "b"))
        recipe = replace(
            recipe,
            encoder=encoding.spec,
            network=replace(network, norms=norms),
            datasets=(JointDataset("b"),),
            task=Distill(),
        )
    return dict(to_plain(recipe))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segmentation", "distillation"])
def test_two_processes_learn_what_one_does(tmp_path: Path, kind: str) -> None:
    """Cross-entropy and cosine alone: see ``ditr.training.step`` for what differs by definition."""
    write_world(tmp_path / "data", 4)
    (tmp_path / "settings.json").write_text(json.dumps(settings(kind, tmp_path)))
    one, two = losses(tmp_path, 4, 1), losses(tmp_path, 2, 2)
    difference = [abs(a - b) / abs(a) for a, b in zip(one, two, strict=True)]
    assert len(one) == 20 and difference[0] <= 1e-5
    assert max(difference) <= 1e-3
    assert one[-1] < 0.9 * one[0]
    state = load_file(tmp_path / "run-2" / "model.safetensors")
    for name, value in load_file(tmp_path / "run-4" / "model.safetensors").items():
        assert value.shape == state[name].shape
        if name.endswith("num_batches_tracked"):
            assert torch.equal(value, state[name])


def test_shared_norms_are_the_usual_ones_in_one_process() -> None:
    torch.manual_seed(0)
    usual = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4, eps=1e-3, momentum=0.01)))
    shared = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.BatchNorm1d(4, eps=1e-3, momentum=0.01)))
    shared.load_state_dict(usual.state_dict())
    share_batch_norms(shared)
    assert isinstance(shared[1][0], SharedBatchNorm) and shared[1][0].eps == 1e-3 and shared[1][0].momentum == 0.01
    x = torch.randn(10, 3)
    assert torch.equal(usual(x), shared(x))
    one, other = usual.state_dict(), shared.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())

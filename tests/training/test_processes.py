"""Two real processes with half of each batch against one that has the whole of it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_world import NETWORK, tiny_encoding, tiny_recipe, write_world
from torch import nn

from ditr.nn.shared_norm import SharedBatchNorm, share_batch_norms
from ditr.stopping import STATUS

PROGRAM = """
import json, sys
from pathlib import Path
from ditr.encoders.encoding import CachedEncoding
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
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    program = begin(folder, batch_size, launcher if processes > 1 else [])
    output, _ = program.communicate(timeout=500)
    assert program.returncode == 0, output
    return logged(folder, batch_size)


def begin(folder: Path, batch_size: int, launcher: list[str], **environment: str) -> subprocess.Popen[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    paths = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *filter(None, sys.path)])
    return subprocess.Popen(
        [sys.executable, *launcher, str(program), str(folder), str(batch_size)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment},
    )


def logged(folder: Path, batch_size: int) -> list[float]:
    log = folder / f"run-{batch_size}" / "log.jsonl"
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


def settings(kind: str, folder: Path) -> dict[str, object]:
    from ditr.io.settings_json import to_json_values
    from ditr.nn.norms import DatasetNorms
    from ditr.training.recipe import DistillTask, JointDataset, SegmentTask

    network = replace(NETWORK, drop_path=0.0)
    recipe = tiny_recipe(
        network=network, steps=20, sync_batch_norm=True, task=SegmentTask(lovasz=0.0, class_weights=(1, 2, 3))
    )
    if kind != "segmentation":
        encoding = tiny_encoding(folder)
        norms = DatasetNorms(("a", "b"))
        recipe = replace(
            recipe,
            encoder=encoding.spec,
            network=replace(network, norms=norms),
            datasets=(JointDataset("b"),),
            task=DistillTask(whiten=4 if kind == "whitened distillation" else 0),
        )
    return dict(to_json_values(recipe))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["segmentation", "distillation", "whitened distillation"])
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


def srun(rank: int, tasks: int, port: int) -> dict[str, str]:
    """What srun gives each of its tasks on one machine."""
    return {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(tasks),
        "SLURM_NTASKS_PER_NODE": str(tasks),
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_tasks_of_slurm_train_together(tmp_path: Path) -> None:
    write_world(tmp_path / "data", 4)
    (tmp_path / "settings.json").write_text(json.dumps({**settings("segmentation", tmp_path), "steps": 4}))
    port = free_port()
    tasks = [begin(tmp_path, 2, [], **srun(rank, 2, port)) for rank in range(2)]
    outputs = [task.communicate(timeout=300)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], outputs
    together = logged(tmp_path, 2)
    assert len(together) == 4
    assert together == pytest.approx(losses(tmp_path, 4, 1), rel=1e-3)


@pytest.mark.slow
def test_tasks_of_slurm_stop_together_and_go_on(tmp_path: Path) -> None:
    """Whichever of them gets the signal; and they say nothing that nobody asked for."""
    write_world(tmp_path / "data", 4)
    (tmp_path / "settings.json").write_text(json.dumps({**settings("segmentation", tmp_path), "steps": 30}))
    log, after = tmp_path / "run-2" / "log.jsonl", 0
    for name in ("SIGTERM", "SIGUSR1"):
        port = free_port()
        tasks = [begin(tmp_path, 2, [], **srun(rank, 2, port)) for rank in range(2)]
        while not log.exists() or len(log.read_text().splitlines()) <= after:
            assert all(task.poll() is None for task in tasks), [task.communicate() for task in tasks]
            time.sleep(0.02)
        tasks[1].send_signal(signal.Signals[name])
        outputs = [task.communicate(timeout=300)[0] for task in tasks]
        assert [task.returncode for task in tasks] == [STATUS[name]] * 2, outputs
        assert outputs == ["", ""]
        after = len(logged(tmp_path, 2))
        newest = sorted((tmp_path / "run-2" / "checkpoints").iterdir())[-1]
        assert newest.name == f"step-{after:08d}.safetensors" and not (tmp_path / "run-2" / ".lock.json").exists()
    together = losses(tmp_path, 2, 2)
    assert len(together) == 30
    (tmp_path / "run-2").rename(tmp_path / "broken")
    assert losses(tmp_path, 2, 2) == together


@pytest.mark.slow
def test_a_single_process_in_a_script_of_slurm_trains_alone(tmp_path: Path) -> None:
    """sbatch gives its script the number of tasks too, which nobody has started yet."""
    write_world(tmp_path / "data", 4)
    (tmp_path / "settings.json").write_text(json.dumps({**settings("segmentation", tmp_path), "steps": 2}))
    script = {name: value for name, value in srun(0, 2, free_port()).items() if name != "SLURM_STEP_ID"}
    task = begin(tmp_path, 2, [], **script)
    output, _ = task.communicate(timeout=300)
    assert task.returncode == 0, output
    assert len(logged(tmp_path, 2)) == 2


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

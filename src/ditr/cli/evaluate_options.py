"""The options of ``ditr evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET, OfDataset, Reading, Votes

__all__ = ["Evaluate"]


@dataclass(frozen=True)
class Evaluate:
    """Label captures, or a split of a prepared dataset, with a trained model, and compare with the true labels.

    $ ditr evaluate RUN --data CAPTURES             captures with labels
    $ ditr evaluate RUN --data ROOT --dataset nuScenes --vote

    Every original point counts, not only one per voxel.
    """

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """Short name of a published model (see `ditr weights`), hub repository, folder of a run or saved model, or
    checkpoint file."""
    data: Annotated[Path, tyro.conf.arg(metavar="FOLDER")]
    """Folder of labelled captures; with --dataset, the folder of the prepared dataset."""
    of: Annotated[OfDataset, tyro.conf.arg(name="dataset")] = field(default_factory=OfDataset)
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE.json"), UNSET] = None
    """JSON file for the figures. The default is evaluation.json in the folder of the run or saved model, or in the
    current folder; with --dataset, evaluation-DATASET-SPLIT.json."""
    no_report: Annotated[bool, UNSET] = False
    """Do not write the HTML report, which has the name of the JSON file with .html."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier figures and labels."""
    swap_images: Annotated[bool, UNSET] = False
    """Give each scene the photographs of the next one: a control that shows how much the images contribute."""
    reading: Reading = field(default_factory=Reading)
    skip_bad_scenes: Annotated[bool, UNSET] = False
    """Skip captures that cannot be used, as long as others remain; the JSON file lists them with the reasons."""
    save_labels: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Also write the labelled point clouds to this folder, one subfolder per capture."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed for the choice among the views that show a point."""
    votes: Votes = field(default_factory=Votes)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Annotated[Literal["32-true", "bf16-mixed", "16-mixed"] | None, UNSET] = None
    """Precision of the image encoder. The default is that of the model's training; where that is unknown, bf16 on a GPU
    and 32 bits on a CPU."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features; the default is inside the user's cache folder."""

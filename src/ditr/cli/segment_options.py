"""The options of ``ditr segment``, and what follows from them for one capture as for many."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import UNSET, Reading, Votes, Writing

if TYPE_CHECKING:
    from ditr.scene import Scene
    from ditr.weights.suggest import Suggestion

__all__ = ["Segment", "announced", "chosen_model"]


@dataclass(frozen=True)
class Segment:
    """Label every point of captures with a trained model. No labels are needed.

    $ ditr segment scan/                              by a published model that fits
    $ ditr segment scan/ --model RUN                  by your own
    $ ditr segment 'scans/*.laz' --bank mine.bank --out LABELS

    Without --model, a published model that fits the capture is chosen, named, and downloaded on first use.

    Writes labels.ply (all properties of the points, plus label and confidence), label.npy, confidence.npy, classes.json
    (ids, names and colours), summary.json and pictures. For a LAS or LAZ file, also writes a copy with the labels as
    its classifications. docs/outputs.md says which programs open them. A model that takes images needs every photograph
    to be readable; for other models, an unreadable photograph is only missing from the pictures.

    Many captures (several SOURCEs, a folder of them, a drive, or a quoted pattern such as 'scans/*.laz') are labelled
    with the model loaded once. Each gets its own folder in --out, and a line in results.jsonl. Finished captures are
    skipped, and a failure does not stop the others. Pictures are then written only with --pictures.
    """

    sources: Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE...", help_behavior_hint="(required)")
    ]
    """Folder with transforms.json, the photographs and a PLY file, or a file or folder in another supported format; or
    several. Sources and results may be URLs (s3://, https://, ...)."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL"), UNSET] = None
    """Short name of a published model (see `ditr weights`), hub repository, folder of a run or saved model, or
    checkpoint file. By default a published model that fits the capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for the results; the default is the source's name with -labels, in the current folder."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Use the classes of a bank made from clicks (`ditr label --bank`) instead of a model's; points unlike all of them
    get -1. Give --model only if the bank was made with that model."""
    captures: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Also write each scene to this folder as a labelled capture with its photographs, for `ditr train --data FOLDER`.
    Points without a label (see --min-confidence) are ignored in training."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier results in the folder; its other files are kept. With many captures, replace those that were
    labelled with another model or other options."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N"), UNSET] = None
    """Label only part I of N of many captures, to run N jobs side by side; each job writes results-I-of-N.jsonl."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="[ADDRESS]"), UNSET] = None
    """Label many captures with Ray Data on the cluster at this address (auto, HOST:PORT, ray://HOST:PORT); without an
    address, on that of RAY_ADDRESS, or on this machine. Every machine must see the sources, the model and --out under
    the same paths."""
    workers: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Number of processes that read, prepare and write many captures; the default depends on the number of processors.
    0 uses none."""
    reading: Reading = field(default_factory=Reading)
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed for the choice among the views that show a point."""
    votes: Votes = field(default_factory=Votes)
    min_confidence: Annotated[float | None, tyro.conf.arg(metavar="P"), UNSET] = None
    """Set labels below this confidence (0 to 1) to -1, unlabelled. The confidence is a calibrated probability only if
    the model was trained with scenes to validate on."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    precision: Annotated[Literal["32-true", "bf16-mixed", "16-mixed"] | None, UNSET] = None
    """Precision of the image encoder. The default is that of the model's training; where that is unknown, bf16 on a GPU
    and 32 bits on a CPU."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features; the default is inside the user's cache folder."""
    no_cache: Annotated[bool, UNSET] = False
    """Do not use the cache: encode the photographs again, without rounding features to 16 bits."""
    writing: Writing = field(default_factory=Writing)


def chosen_model(scene: Scene) -> str:
    """The name of the published model that fits, after everything about it has been said."""
    from ditr.weights.suggest import suggest_model

    return announced(suggest_model(scene))


def announced(chosen: Suggestion) -> str:
    """Its name, after everything about it has been said."""
    from ditr.cli.output import remark
    from ditr.weights.announce import announce

    name = chosen.model.name
    remark(f"model: {name}, chosen since this is {chosen.reason}; --model names another, `ditr weights` lists them")
    for line in announce(chosen.model):
        remark(f"  {line}")
    return name

"""The options of ``ditr segment``, and what follows from them for one capture as for many."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import Reading, Writing

if TYPE_CHECKING:
    from ditr.scene import Scene
    from ditr.weights.suggest import Suggestion

__all__ = ["Segment", "announced", "chosen_model"]


@dataclass(frozen=True)
class Segment:
    """Label every point of captures with a trained model. No labels are needed.

    Without --model a published one is chosen by what the capture has, named, and downloaded when it is first used.

    Writes labels.ply (all properties of the points, with label and confidence), label.npy, confidence.npy, classes.json
    (ids, names and colours), summary.json and pictures; of a LAS or LAZ file a copy of it, too, with the labels as its
    classifications. What opens them is in docs/outputs.md. A model that takes images needs all photographs; for one
    that takes none, a photograph that cannot be read is only missing from the pictures.

    Many captures (several SOURCEs, a folder of them, a drive, a quoted pattern as 'scans/*.laz') are labelled with the
    model loaded once. Each gets a folder of results in --out, and a line in results.jsonl. Those that are done are
    passed over, and one that fails does not stop the others. They get pictures with --pictures alone.
    """

    sources: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE...")]
    """Folder with transforms.json, the photographs and a PLY, or a file or folder of another format; or many.
    Also at a URL (s3://, https://, ...), as may be the results."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Short name of a published model (`ditr weights`), hub repository, folder of a run or saved model, or checkpoint
    file; by default a published model that fits the capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for the results; by default SOURCE's name with -labels, in the current folder."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """A bank of classes from clicks (`ditr label --bank`) in place of a model's classes; points unlike everything in
    it get -1. With --model only where the bank was made with that one."""
    captures: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Write each scene as a capture with its labels, too, and its photographs: what `ditr train --data FOLDER` goes on
    from. Points without a label (see --min-confidence) are not learned from."""
    overwrite: bool = False
    """Replace earlier results in the folder; its other files stay. Of many captures, those that were labelled with
    another model or other options."""
    shard: Annotated[str | None, tyro.conf.arg(metavar="I/N")] = None
    """Of many captures, only the I-th of N parts, for N jobs side by side; each job writes results-I-of-N.jsonl."""
    ray: Annotated[str | None, tyro.conf.arg(metavar="[ADDRESS]")] = None
    """Label many captures by Ray Data, on the cluster at this address (auto, HOST:PORT, ray://HOST:PORT); without one
    on that of RAY_ADDRESS, or on this machine. Sources, model and --out have to be where every machine sees them."""
    workers: int | None = None
    """Processes that read, prepare and write many captures; by default by the number of processors. 0 for none."""
    reading: Reading = field(default_factory=Reading)
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
    min_confidence: Annotated[float | None, tyro.conf.arg(metavar="P")] = None
    """Labels of lower confidence, 0 to 1, are taken back: these points get -1, as unlabelled ones. A confidence is a
    probability only where the model was trained with scenes to validate on; elsewhere it is uncalibrated."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] | None = None
    """Of the image encoder; by default as in the model's training, or where that is not known bf16 on a GPU and 32 bits
    on a CPU."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    no_cache: bool = False
    """Encode photographs again and do not round their features to 16 bits."""
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

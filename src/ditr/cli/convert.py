"""``ditr convert``: a published checkpoint to a model of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ditr.cli.options import UNSET

__all__ = ["Convert", "run"]


@dataclass(frozen=True)
class Convert:
    """Convert a published checkpoint (.pth) to a folder with model.safetensors, config.json and a model card.

    $ ditr convert model_best.pth MODEL --name d-ditr-nuscenes

    The checkpoint is read as data: no code in it is run, and any objects of the training code beside the weights are
    skipped. The network is recognised from the weights, but not its dataset or its encoder; give these with --name, or
    with --dataset and --encoder.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE.pth")]
    """The .pth file written by the published training code."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """Folder to write."""
    overwrite: Annotated[bool, UNSET] = False
    """Replace an existing model. A folder that holds anything else is never replaced."""
    name: Annotated[str | None, tyro.conf.arg(metavar="NAME"), UNSET] = None
    """Short name of this published model; `ditr weights` lists them."""
    dataset: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """Dataset whose classes and conventions the model uses, such as ScanNet200 or nuScenes."""
    encoder: Annotated[str | None, tyro.conf.arg(metavar="ENCODER"), UNSET] = None
    """Image encoder of the model, or of its teacher, such as dinov2-large-reg."""
    norms: Annotated[str | None, tyro.conf.arg(metavar="DATASET,..."), UNSET] = None
    """For a joint model with separate norms for each dataset: the datasets, in order, such as
    ScanNet,S3DIS,Structured3D."""
    norms_of: Annotated[str | None, tyro.conf.arg(metavar="DATASET"), UNSET] = None
    """Which of the datasets in --norms the model is for."""
    patch_size: Annotated[int | None, tyro.conf.arg(metavar="N"), UNSET] = None
    """Largest attention patch, if it is not the published 1024."""
    post_norm: Annotated[bool, UNSET] = False
    """The network applies norms after the residual sums."""
    license: Annotated[str | None, tyro.conf.arg(metavar="LICENCE"), UNSET] = None
    """Licence of the weights, for the model card."""


def run(args: Convert) -> None:
    """Convert, and say what it is."""
    from ditr.cli.common import folder_for
    from ditr.cli.output import remark
    from ditr.runtime import phase
    from ditr.weights.convert import Provenance, convert, require_model
    from ditr.weights.published import published_model
    from ditr.weights.saved_model import FILES

    row = None if args.name is None else published_model(args.name)
    origin = Provenance() if row is None else Provenance.of(row)
    origin = Provenance(
        dataset=args.dataset or origin.dataset,
        encoder=args.encoder or origin.encoder,
        norms=tuple(args.norms.split(",")) if args.norms else origin.norms,
        norms_of=args.norms_of or origin.norms_of,
        patch_size=args.patch_size,
        pre_norm=not args.post_norm,
        license=args.license,
    )
    require_model(args.out)
    out = folder_for(args.out, FILES, overwrite=args.overwrite, option="")
    with phase(f"convert {args.checkpoint}"):
        config = convert(args.checkpoint, out, origin, tell=remark)
    images = f", photographs by {config.encoder.name}" if config.takes_images and config.encoder else ""
    what = f"{len(config.class_names)} classes" if config.class_names else "a student, without classes"
    print(f"{config.network.title}{images}; {what} of {config.dataset}")
    print(f"written to {args.out}")

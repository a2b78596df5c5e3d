"""``ditr convert``: a published checkpoint to a model of ours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

__all__ = ["Convert", "run"]


@dataclass(frozen=True)
class Convert:
    """Convert a published checkpoint (.pth) to a folder with model.safetensors, config.json and a model card.

    The checkpoint is read as data: nothing that it names is called, and objects of the training code beside the weights
    are left unread. It tells its network, but neither its dataset nor its encoder; these come from --name or from
    --dataset and --encoder.
    """

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """The .pth file of the published training code."""
    out: Annotated[Path, tyro.conf.Positional]
    """The folder to write."""
    overwrite: bool = False
    """Replace a model that is there; a folder that holds more than a model is never replaced."""
    name: str | None = None
    """Short name of the published model that this is; `ditr weights` lists them."""
    dataset: str | None = None
    """Whose classes and conventions it has, such as ScanNet200 or nuScenes."""
    encoder: str | None = None
    """Of its photographs, or its teacher, as dinov2-large-reg."""
    norms: str | None = None
    """Names of the datasets that have norms of their own, in order, as ScanNet,S3DIS,Structured3D."""
    norms_of: str | None = None
    """Which of these the model uses."""
    patch_size: int | None = None
    """The longest attention patch, where it is not the published 1024."""
    post_norm: bool = False
    """Norms stand after the sums."""
    license: str | None = None
    """Of the weights, for the card."""


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
    out = folder_for(args.out, FILES, overwrite=args.overwrite)
    with phase(f"convert {args.checkpoint}"):
        config = convert(args.checkpoint, out, origin, tell=remark)
    images = f", photographs by {config.encoder.name}" if config.takes_images and config.encoder else ""
    what = f"{len(config.class_names)} classes" if config.class_names else "a student, without classes"
    print(f"{config.network.title}{images}; {what} of {config.dataset}")
    print(f"written to {args.out}")

"""``ditr weights``: the published models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ditr.weights.published import PublishedModel

__all__ = ["Weights", "run"]


@dataclass(frozen=True)
class Weights:
    """List the published models (short name, encoder, published mIoU, size, licence), or show or download one.

    $ ditr weights NAME                     show a model, and what is downloaded
    $ ditr weights NAME --download          download it with its image encoder
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]"), UNSET] = None
    """Short name of a published model. With --download also an image encoder (such as dinov2-large-reg), a hub
    repository of either, or the folder of a run, whose encoder is downloaded."""
    download: Annotated[bool, UNSET] = False
    """Download what is missing, convert it, and name the folders to copy to a machine without a connection."""
    offline: Annotated[bool, UNSET] = False
    """Do not ask the hub for sizes and licence."""


def run(args: Weights) -> None:
    """Print the table or a row of it, or fetch a model."""
    from ditr.errors import InputError
    from ditr.weights.published import PUBLISHED, published_model

    if args.download:
        if args.name is None:
            raise InputError(
                "--download",
                "the name of a model is missing",
                "Name one, as in `ditr weights d-ditr-nuscenes --download`",
            )
        _fetch(args.name)
        return
    sizes, told = _asked(offline=args.offline)
    if args.name is not None:
        _say_one(published_model(args.name), sizes, told)
        return
    print(f"{'name':39} {'encoder':16}  mIoU      size")
    for model in PUBLISHED:
        if model.files:
            print(f"{_row(model)}  {_size(model, sizes)}")
    print("\nin the paper, but without a file on the hub:")
    for model in PUBLISHED:
        if not model.files:
            print(_row(model).rstrip())
    print("\nmIoU: as published, on the validation set. Size: of the download, with the image encoder.")
    print(f"licence of the weights: {told}")


def _asked(*, offline: bool) -> tuple[Mapping[str, int | None], str]:
    """Sizes of the checkpoints by path where the hub told them, and their licence in words."""
    from ditr.errors import InputError
    from ditr.io.hub import file_sizes
    from ditr.weights.pretrained import license_told
    from ditr.weights.published import REPOSITORY

    if offline:
        return {}, "not requested (--offline)"
    try:
        return file_sizes(REPOSITORY), license_told(REPOSITORY)
    except InputError as fault:
        return {}, f"unknown, since {fault.fault}"


def _row(model: PublishedModel) -> str:
    miou = "" if model.miou is None else f"{model.miou:.1f}"
    return f"{model.name:39} {model.encoder or 'none needed':16} {miou:>5}"


def _size(model: PublishedModel, sizes: Mapping[str, int | None]) -> str:
    """Of all that is not here; where the hub told none, the weights alone."""
    from ditr.weights.missing import missing_downloads

    lacking = missing_downloads(model)
    least = sum(download.size(sizes) for download in lacking)
    return f"{least / 1e6:5,.0f} MB" if lacking else "is here"


def _say_one(model: PublishedModel, sizes: Mapping[str, int | None], told: str) -> None:
    from ditr.weights.missing import missing_downloads
    from ditr.weights.published import REPOSITORY, converted_folder

    images = "no photographs needed" if model.encoder is None else f"with photographs by {model.encoder}"
    miou = "" if model.miou is None else f", mIoU {model.miou} as published"
    print(f"{model.name}: {model.method}, {model.network}, {images}; classes of {model.dataset}{miou}")
    if not model.files:
        print(f"it has no file in {REPOSITORY} yet")
        return
    print(f"source: {REPOSITORY}/{model.directory} on the Hugging Face hub; local copy: {converted_folder(model)}")
    lacking = missing_downloads(model)
    for download in lacking:
        print(f"not on this machine: {download.what}, {download.size(sizes) / 1e6:,.0f} MB")
    print("all of it is on this machine" if not lacking else f"download it with: ditr weights {model.name} --download")
    print(f"licence of the weights: {told}")


def _fetch(name: str) -> None:
    """Bring a model and its encoder, or an encoder, and name their folders."""
    from ditr.encoders.weights import fetch_weights, known_variant
    from ditr.weights.pretrained import find_model
    from ditr.weights.saved_model import read_config

    encoder: str | None = name
    if known_variant(name.partition("@")[0]) is None:
        folder = find_model(name)
        print(f"model: {_whole(folder)}")
        config = read_config(folder)
        encoder = None if config.encoder is None or not config.takes_images else config.encoder.spec
    if encoder is not None and not Path(encoder).exists():
        print(f"image encoder: {_whole(fetch_weights(encoder))}")
    print("with these folders in the same places, another machine needs no connection")


def _whole(folder: Path) -> Path:
    """The folder to copy: of a snapshot in the hub's cache, that of its repository."""
    return folder.parents[1] if folder.parent.name == "snapshots" else folder

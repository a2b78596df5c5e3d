"""What taking a published model means, before it is taken: what is downloaded, its licence, and where it is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import constants, try_to_load_from_cache

from ditr.datasets.table import by_name
from ditr.encoders.weights import SHORT_NAMES, known_variant
from ditr.errors import InputError
from ditr.io.hub import file_sizes
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import DatasetNorms
from ditr.weights.pretrained import converted_folder, repository_license
from ditr.weights.published import REPOSITORY, PublishedModel
from ditr.weights.saved_model import read_config

__all__ = ["Download", "announce", "missing_downloads"]


@dataclass(frozen=True)
class Download:
    """A file that has to come from the hub.

    Attributes:
        what: in words.
        repository: on the hub.
        names: where it may lie; the first that exists counts.
        weights: bytes of the weights in it, from the shape of the network: the least that the file can have.
    """

    what: str
    repository: str
    names: tuple[str, ...]
    weights: int


def announce(model: PublishedModel) -> list[str]:
    """Lines that say what a published model is and what has to be downloaded for it; asks the hub for sizes.

    Raises:
        InputError: the hub does not answer, or has not what is needed; the text says what to do without it. Nothing
            was written.
    """
    downloads = missing_downloads(model)
    folder = converted_folder(model)
    sizes = [_size(download, model) for download in downloads]
    total = " + ".join(f"{size} {download.what}" for size, download in zip(sizes, downloads, strict=True))
    here = (folder / "config.json").exists()
    if here:
        license = read_config(folder).license or f"not recorded here; see https://huggingface.co/{REPOSITORY}"
    else:
        license = repository_license(REPOSITORY) or "not stated on their card"
    places = f"{folder}" + (f"; downloads in {constants.HF_HUB_CACHE}" if downloads else "")
    classes = by_name(model.dataset).class_count
    return [
        f"published mIoU {model.miou} on {model.dataset}, {classes} classes (validation set; not re-measured here)",
        f"to download, once: {total}" if downloads else "nothing to download: it is here already",
        f"licence of the weights: {license}",
        f"kept in {places}",
    ]


def missing_downloads(model: PublishedModel) -> list[Download]:
    """What of a model is not on this machine: its checkpoint, the encoder of its photographs."""
    folder = converted_folder(model)
    result, encoder = [], model.encoder
    if (folder / "config.json").exists():
        config = read_config(folder).encoder
        encoder = None if config is None else config.spec
    elif not any(_is_cached(REPOSITORY, name) for name in model.files):
        result.append(Download("checkpoint", REPOSITORY, model.files, _network_bytes(model)))
    variant = None if encoder is None else known_variant(encoder)
    if variant is not None and encoder is not None:
        repository = SHORT_NAMES.get(encoder, variant.hub)
        names = ("model.safetensors", "model.safetensors.index.json")
        if not any(_is_cached(repository, name) for name in names):
            shapes = variant.architecture.shapes().values()
            result.append(
                Download(
                    f"image encoder {repository}", repository, names, 4 * sum(math.prod(shape) for shape in shapes)
                )
            )
    return result


def _is_cached(repository: str, name: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, name), str)


def _network_bytes(model: PublishedModel) -> int:
    """Of a published Point Transformer V3 in single precision; no published row without one is ever suggested."""
    variant = None if model.encoder is None else known_variant(model.encoder)
    benchmark = by_name(model.dataset)
    config = PTv3Config(
        in_channels=benchmark.preparation(variant is not None).in_channels,
        image_width=None if variant is None else variant.architecture.width,
        norms=DatasetNorms(model.norms) if model.norms else None,
    )
    with torch.device("meta"):
        network = Segmentation(config, benchmark.class_count)
    return 4 * sum(parameter.numel() for parameter in network.parameters())


def _size(download: Download, model: PublishedModel) -> str:
    """As the hub states it; where it states none, what the weights alone take."""
    try:
        sizes = file_sizes(download.repository)
    except InputError as fault:
        raise InputError(
            model.name,
            f"its {download.what} is not on this machine and cannot be had: {fault.fault}",
            _by_hand(model, download),
        ) from fault
    for name in download.names:
        if sizes.get(name) is not None and not name.endswith(".json"):
            return f"{(sizes[name] or 0) / 1e6:,.0f} MB"
    return f"at least {download.weights / 1e6:,.0f} MB"


def _by_hand(model: PublishedModel, download: Download) -> str:
    page = f"https://huggingface.co/{download.repository}"
    if download.repository != REPOSITORY:
        return (
            f"Copy {download.repository} into the hub's cache here ({constants.HF_HUB_CACHE}) from a machine with a "
            "connection; or name another model (--model); or train one (`ditr train`)"
        )
    return (
        f"Try again with a connection; or download the checkpoint by hand from {page}/tree/main/{model.directory}, and "
        f"then `ditr convert CHECKPOINT {Path(converted_folder(model))} --name {model.name}`; or train a model "
        "(`ditr train`) and name it with --model"
    )

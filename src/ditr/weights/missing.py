"""What of a published model is not on this machine, and how to bring it here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from huggingface_hub import constants, try_to_load_from_cache

from ditr.datasets.table import by_name
from ditr.encoders.weights import SHORT_NAMES, WHEEL_SPEC, known_variant
from ditr.errors import InputError
from ditr.io.hub import Unreachable, folder_in_cache
from ditr.models.ptv3 import PTv3Config
from ditr.models.segmentation import Segmentation
from ditr.nn.norms import DatasetNorms
from ditr.weights.published import REPOSITORY, PublishedModel, converted_folder
from ditr.weights.saved_model import read_config

__all__ = ["Download", "missing_downloads", "out_of_reach"]


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

    def size(self, told: Mapping[str, int | None]) -> int:
        """Bytes, as the hub ``told`` them by path, or else of the weights alone."""
        return next((size for name in self.names if (size := told.get(name)) is not None), self.weights)


def missing_downloads(model: PublishedModel) -> list[Download]:
    """What of a model is not on this machine: its checkpoint, the encoder of its photographs."""
    folder = converted_folder(model)
    result, encoder = [], None if model.student else model.encoder
    if (folder / "config.json").exists():
        config = read_config(folder)
        encoder = None if config.encoder is None or not config.takes_images else config.encoder.spec
    elif not any(_is_cached(REPOSITORY, name) for name in model.files):
        result.append(Download("checkpoint", REPOSITORY, model.files, _network_bytes(model)))
    variant = None if encoder is None else known_variant(encoder)
    if variant is not None and encoder is not None:
        repository = SHORT_NAMES.get(encoder, variant.hub)
        names = ("model.safetensors", "model.safetensors.index.json")
        if not any(_is_cached(repository, name) for name in names):
            shapes = variant.architecture.shapes().values()
            weights = 4 * sum(math.prod(shape) for shape in shapes)
            result.append(Download(f"image encoder {repository}", repository, names, weights))
    return result


def out_of_reach(model: PublishedModel, fault: InputError) -> InputError:
    """The error that names all that a model lacks here, where it lies, and how to bring it.

    Args:
        model: the published one.
        fault: why the hub does not give it.
    """
    lacking = missing_downloads(model)
    what = " and ".join(f"its {download.what}" for download in lacking)
    cannot = fault.fault if isinstance(fault, Unreachable) else f"is not available: {fault.where}: {fault.fault}"
    verb = "is" if len(lacking) == 1 else "are"
    told = f"{what} {verb} not on this machine, and {cannot}"
    remedy = (
        "Download what is missing on a machine with a connection"
        if isinstance(fault, Unreachable)
        else f"{fault.remedy}. Other ways"
    )
    return InputError(model.name, told, remedy, _ways(model, lacking))


def _ways(model: PublishedModel, lacking: Sequence[Download]) -> list[str]:
    lies = [f"{d.what}, at least {d.weights / 1e6:,.0f} MB: {_page(d, model)}" for d in lacking]
    folders = [f"{_place(d, model)}" for d in lacking]
    ways = [
        *lies,
        f"on a machine with a connection run `ditr weights {model.name} --download`, and copy the folders that it "
        "names to "
        f"{' and '.join(folders)} here (DITR_CACHE and HF_HUB_CACHE override these)",
    ]
    if lacking[0].repository == REPOSITORY:
        ways.append(
            f"if you have the checkpoint, convert it with `ditr convert FILE.pth FOLDER --name {model.name}`, and then "
            "give --model FOLDER"
        )
    return [
        *ways,
        "HTTPS_PROXY sets a proxy, HF_ENDPOINT a mirror of the hub",
        f"a model of your own needs none of this: `ditr train small RUN --data CAPTURES`, with the image encoder "
        f"{WHEEL_SPEC} from PyPI, or where PyPI cannot be reached either and without photographs "
        "`ditr train small RUN --data CAPTURES --encoder none`; then --model RUN",
    ]


def _page(download: Download, model: PublishedModel) -> str:
    page = f"{constants.ENDPOINT}/{download.repository}"
    return f"{page}/tree/main/{model.directory}" if download.repository == REPOSITORY else page


def _place(download: Download, model: PublishedModel) -> str:
    own = download.repository == REPOSITORY
    return str(converted_folder(model) if own else folder_in_cache(download.repository))


def _is_cached(repository: str, name: str) -> bool:
    return isinstance(try_to_load_from_cache(repository, name), str)


def _network_bytes(model: PublishedModel) -> int:
    """Of a published Point Transformer V3 in single precision; all rows that have files are such."""
    variant = None if model.encoder is None or model.student else known_variant(model.encoder)
    benchmark = by_name(model.dataset)
    config = PTv3Config(
        in_channels=benchmark.preparation(model.encoder is not None).in_channels,
        image_width=None if variant is None else variant.architecture.width,
        norms=DatasetNorms(model.norms) if model.norms else None,
    )
    with torch.device("meta"):
        network = Segmentation(config, benchmark.class_count)
    return 4 * sum(parameter.numel() for parameter in network.parameters())

"""Models by name: short names of published models, repositories of the Hugging Face hub, local folders.

A published checkpoint is fetched and converted once; the converted model lies under the cache folder and is what every
later call loads.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from huggingface_hub import metadata_load

from ditr.errors import InputError
from ditr.io.hub import fetch_folder
from ditr.io.wheel import cache_folder
from ditr.weights.convert import Origin, convert
from ditr.weights.published import PUBLISHED, REPOSITORY, PublishedModel, published_model
from ditr.weights.saved_model import FILES, Model, ModelConfig, load_model, save_model

__all__ = ["converted_folder", "find_model", "from_pretrained", "repository_license", "save_pretrained"]

_log = logging.getLogger(__name__)


def from_pretrained(name: str | Path, *, device: str = "cpu", dataset: str | None = None) -> tuple[ModelConfig, Model]:
    """A model by name, in eval mode; downloads and converts where that is needed, once.

    Args:
        name: short name of a published model (``ditr weights`` lists them), hub repository, or local folder.
        device: where the model shall be.
        dataset: which norms to use, where a joint model has them per dataset; by default the config's.

    Raises:
        InputError: an unknown name, a hub that does not give the files, or files that hold no such model.
    """
    return load_model(find_model(name), device, dataset=dataset)


def save_pretrained(folder: str | Path, config: ModelConfig, model: Model) -> None:
    """Write a model as a folder that :func:`from_pretrained` reads and that can be uploaded to the hub as it is."""
    save_model(Path(folder), config, model)


def find_model(name: str | Path, *, ask: bool = True) -> Path:
    """The local folder of a model by name, fetched and converted if it has to be.

    With ``ask`` the hub is asked whether its repository is newer than the copy in the cache.

    Raises:
        InputError: as for :func:`from_pretrained`.
    """
    folder = Path(name)
    if isinstance(name, Path) or folder.exists() or str(name).startswith((".", "/", "~")):
        return folder.expanduser()
    if any(model.name == name for model in PUBLISHED):
        return _published(published_model(name))
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name):
        repository, _, revision = name.partition("@")
        return fetch_folder(repository, FILES, revision=revision or None, ask=ask)
    if "/" in name or "\\" in name:
        raise InputError(name, "there is no such folder", "Name the folder of a finished run or of a converted model")
    published_model(name)  # which says what was probably meant
    raise AssertionError("unreachable")


def converted_folder(model: PublishedModel) -> Path:
    """Where the converted weights of a published model are kept."""
    return cache_folder() / "models" / model.name


def _published(model: PublishedModel) -> Path:
    out = converted_folder(model)
    if (out / "config.json").exists():
        return out
    if not model.files:
        raise InputError(
            model.name,
            f"its weights are not in {REPOSITORY} yet",
            "Take another model (`ditr weights` lists them), or convert a checkpoint of your own with `ditr convert`",
        )
    checkpoint = _checkpoint(model)
    _log.info("converting %s, once, to %s", checkpoint.name, out)
    source = f"https://huggingface.co/{REPOSITORY}/blob/main/{model.directory}"
    convert(checkpoint, out, Origin.of(model, source=source, license=repository_license(REPOSITORY)))
    return out


def repository_license(repository: str) -> str | None:
    """The licence on the card of a hub repository; None where it states none, or the hub cannot be reached."""
    try:
        stated = metadata_load(fetch_folder(repository, ["README.md"]) / "README.md")
    except (InputError, OSError, ValueError):
        return None
    license = (stated or {}).get("license")
    return license if isinstance(license, str) else None


def _checkpoint(model: PublishedModel) -> Path:
    """The first of the model's files that is there."""
    try:
        folder = fetch_folder(REPOSITORY, [model.files])
    except InputError as fault:
        remedy = f"Download the checkpoint and convert it with `ditr convert CHECKPOINT OUT --name {model.name}`"
        raise InputError(fault.where, fault.fault, f"{fault.remedy}. {remedy}") from fault
    return next(folder / name for name in model.files if (folder / name).exists())

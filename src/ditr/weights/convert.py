"""Published checkpoints to models of ours: read as data, recognised, checked, and written as safetensors.

A checkpoint says what network it holds, but neither which encoder its features come from, nor which dataset its classes
belong to, nor what its norms per dataset are called. That comes from the table of published models, or from the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ditr.data.preparation import Preparation
from ditr.datasets.benchmark import Benchmark
from ditr.datasets.table import by_name
from ditr.encoders.weights import known_variant
from ditr.errors import InputError, few
from ditr.io.files import atomic_folder, require_room
from ditr.io.pickle_names import Name, Placeholder
from ditr.io.stored_tensor import StoredTensor
from ditr.io.torch_file import read_torch_file
from ditr.models.published_names import NormsUnnamed, PatchUnknown
from ditr.weights.names import from_published, published_name, to_published
from ditr.weights.published import PUBLISHED, PublishedModel
from ditr.weights.recognize import Recognized, recognize
from ditr.weights.saved_model import FILES, EncoderConfig, Model, ModelConfig, write_model

__all__ = ["Provenance", "Unstated", "convert", "fitting_models", "published_state", "read_checkpoint"]
__all__ += ["require_model"]


@dataclass(frozen=True)
class Provenance:
    """What a checkpoint does not say of itself.

    Attributes:
        dataset: whose classes and conventions it has, by the name of ``ditr.datasets.benchmark``.
        encoder: of its photographs, or its teacher; short name, hub repository or name in timm.
        norms: datasets with norms of their own, in order.
        norms_of: which of these the model uses.
        patch_size: the longest attention patch, where it is not the published one.
        pre_norm: whether norms stand before attention and MLP.
        source: where the checkpoint comes from.
        license: of the weights.
    """

    dataset: str | None = None
    encoder: str | None = None
    norms: tuple[str, ...] = ()
    norms_of: str | None = None
    patch_size: int | None = None
    pre_norm: bool = True
    source: str | None = None
    license: str | None = None

    @classmethod
    def of(cls, model: PublishedModel, *, source: str | None = None, license: str | None = None) -> Provenance:
        """From the row of a published model."""
        return cls(model.dataset, model.encoder, model.norms, model.norms_of, source=source, license=license)


class Unstated(InputError):
    """What a checkpoint does not say of itself, its origin does not say either."""


def convert(
    checkpoint: Path, out: Path, origin: Provenance, *, tell: Callable[[str], None] | None = None
) -> ModelConfig:
    """Write a published checkpoint as a folder that ``from_pretrained`` reads.

    Args:
        checkpoint: a file of torch.save in the published layout: a state dict, or a dictionary that holds one.
        out: the folder; it appears whole or not at all. An existing one is replaced if it holds a model and no more.
        origin: what the checkpoint does not say.
        tell: gets a sentence about what was left unread, where there is such.

    Raises:
        Unstated: the dataset, the encoder or the names of the norms are not given; nothing is written then.
        InputError: not such a file, one that would run code, another architecture, tensors missing, left over or
            misshapen, or an origin that does not fit; likewise.
    """
    require_model(out)
    content: Any = read_torch_file(checkpoint)
    tensors, unread = _tensors(checkpoint, content), _unread(content)
    if unread and tell is not None:
        tell(f"left unread: {few(unread, 10)}")
    recognized = _recognized(checkpoint, tensors, origin)
    config = _config(checkpoint, recognized, origin)
    with torch.device("meta"):
        model = config.build()
    require_room(out, sum(value.nbytes for value in model.state_dict().values()))
    state = _state(checkpoint, tensors, model, config)
    model.load_state_dict(state, assign=True)
    del state
    # Through a link: what it points to is replaced, not the link.
    with atomic_folder(out.resolve()) as folder:
        write_model(folder, config, model)
    return config


def read_checkpoint(path: Path) -> dict[str, StoredTensor]:
    """The tensors of a checkpoint's state dict by name, without the prefix that training on several GPUs leaves.

    Raises:
        InputError: not a file of torch.save that holds a state dict of plain tensors, or one that would run code.
    """
    return _tensors(path, read_torch_file(path))


def _tensors(path: Path, content: Any) -> dict[str, StoredTensor]:
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise InputError(path, "it has no state dict", "Name a checkpoint of the published training code")
    other = [
        name for name, value in content.items() if not isinstance(name, str) or not isinstance(value, StoredTensor)
    ]
    if other:
        raise InputError(
            path,
            f"its state dict holds more than tensors by name: {few(map(str, other), 5)}",
            "Name a checkpoint of the published training code",
        )
    result = {name.removeprefix("module."): value for name, value in content.items()}
    if len(result) < len(content):
        raise InputError(path, "some tensors occur both with and without the prefix 'module.'", "Remove one kind")
    return result


def _unread(content: Any) -> list[str]:
    """What stands beside the state dict and holds objects of Python, with their classes."""
    if not isinstance(content, Mapping):
        return []
    parts = {key: list(dict.fromkeys(_strangers(value))) for key, value in content.items() if key != "state_dict"}
    return [f"{key} ({few(names, 3)})" for key, names in parts.items() if names]


def _strangers(root: Any) -> Iterator[str]:
    """Names of the placeholders in a value, from its outside to its inside."""
    seen: set[int] = set()
    work = [root]
    while work:
        value = work.pop()
        if isinstance(value, Placeholder):
            yield value.name
        elif isinstance(value, Name):
            yield value.text
        if id(value) in seen or not isinstance(value, Mapping | list | tuple | Placeholder):
            continue
        seen.add(id(value))
        parts = value.parts if isinstance(value, Placeholder) else value
        work.extend(reversed(list(parts.values() if isinstance(parts, Mapping) else parts)))


def fitting_models(path: Path) -> list[str]:
    """Short names of the published models that a checkpoint may be, by its shapes.

    Raises:
        InputError: as for `read_checkpoint`.
    """
    tensors = read_checkpoint(path)

    def fits(row: PublishedModel) -> bool:
        origin = Provenance.of(row)
        try:
            config = _config(path, _recognized(path, tensors, origin), origin)
        except InputError:
            return False
        return row.student == (config.student is not None) and (config.encoder is None) == (row.encoder is None)

    return [row.name for row in PUBLISHED if fits(row)]


def published_state(model: Model, config: ModelConfig) -> dict[str, Tensor]:
    """A model's tensors under published names and in published layouts: the way back."""
    return to_published(model.state_dict(), config.network)


def require_model(out: Path) -> None:
    """Nothing but a model is replaced: a run's folder also has a model in it, and a checkpoint beside.

    Raises:
        InputError: ``out`` is there, and is neither empty nor a model alone.
    """
    if not out.exists():
        return
    names = {path.name for path in out.iterdir()} if out.is_dir() else {""}
    if not names:
        return
    if not {"config.json", "model.safetensors"} <= names:
        raise InputError(out, "it exists and is not a model", "Name a new folder")
    if names - set(FILES):
        raise InputError(out, f"it holds more than a model: {few(sorted(names - set(FILES)), 5)}", "Name a new folder")


def _recognized(path: Path, tensors: Mapping[str, StoredTensor], origin: Provenance) -> Recognized:
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        return recognize(shapes, datasets=origin.norms, patch_size=origin.patch_size, pre_norm=origin.pre_norm)
    except NormsUnnamed as error:
        remedy = "Give the short name of a published model, or the datasets' names in order (--norms)"
        raise Unstated(path, str(error), remedy) from None
    except PatchUnknown as error:
        raise InputError(path, str(error), "Give the patch size with --patch-size") from None
    except ValueError as error:
        remedy = "Name a checkpoint of DITR, D-DITR, PTv3 or MinkUNet as published"
        raise InputError(path, str(error), remedy) from None


def _config(path: Path, recognized: Recognized, origin: Provenance) -> ModelConfig:
    if origin.dataset is None:
        raise Unstated(
            path,
            "a checkpoint does not say which dataset it is for",
            "Give the short name of a published model (`ditr weights` lists them), or --dataset",
        )
    benchmark = by_name(origin.dataset)
    network, student = recognized.network, recognized.student
    if recognized.classes is not None and not benchmark.classes:
        raise InputError(
            path,
            f"the classes of {benchmark.name} are in a file of the dataset, not in ditr",
            "Convert checkpoints of other datasets",
        )
    if recognized.classes is not None and recognized.classes != len(benchmark.classes):
        raise InputError(
            path,
            f"it has {recognized.classes} classes but {benchmark.name} has {len(benchmark.classes)}",
            "Give the dataset that it was trained for (--dataset)",
        )
    encoder = _encoder(path, recognized, origin)
    patch_size = 14 if encoder is None else encoder.patch_size
    preparation = _preparation(path, benchmark, network.in_channels, network.image_width is not None, patch_size)
    try:
        return ModelConfig(
            network=network,
            preparation=preparation,
            class_names=benchmark.classes if student is None else (),
            class_colors=benchmark.colors if student is None else None,
            encoder=encoder,
            student=student,
            dataset=benchmark.name,
            norms_of=origin.norms_of,
            source=origin.source or path.name,
            license=origin.license,
        )
    except ValueError as error:
        raise InputError(path, str(error), "Give the options that belong to this checkpoint") from None


def _encoder(path: Path, recognized: Recognized, origin: Provenance) -> EncoderConfig | None:
    width = recognized.network.image_width if recognized.student is None else recognized.student.width
    if width is None:
        return None
    if origin.encoder is None:
        raise Unstated(
            path,
            f"a checkpoint does not say which encoder gives its image features of {width} channels",
            "Give the short name of a published model (`ditr weights` lists them), or --encoder",
        )
    variant = known_variant(origin.encoder)
    if variant is None:
        raise InputError("encoder", f"{origin.encoder!r} is not a known encoder", "Name one, such as dinov2-large-reg")
    shape = variant.architecture
    if shape.width != width:
        raise InputError(
            path,
            f"it takes image features of {width} channels, but {origin.encoder} has {shape.width}",
            "Give the encoder that it was trained with (--encoder)",
        )
    return EncoderConfig(variant.hub, shape.patch_size, shape.width, shape.mean, shape.std)


def _preparation(path: Path, benchmark: Benchmark, channels: int, images: bool, patch_size: int) -> Preparation:
    candidates = [benchmark.preparation(images, patch_size=patch_size)]
    if benchmark.minkunet is not None and not images:
        candidates.append(benchmark.minkunet)
    for preparation in candidates:
        if preparation.in_channels == channels:
            return preparation
    raise InputError(
        path,
        f"it takes {channels} input channels, but models of {benchmark.name} take "
        f"{' or '.join(str(p.in_channels) for p in candidates)}",
        "Give the dataset that it was trained for (--dataset)",
    )


def _state(path: Path, tensors: Mapping[str, StoredTensor], model: Model, config: ModelConfig) -> dict[str, Tensor]:
    wanted = model.state_dict()
    try:
        # Shapes first, on tensors without memory: nothing is read from a checkpoint that does not fit.
        shadows = {name: torch.empty(tuple(t.shape), dtype=t.dtype, device="meta") for name, t in tensors.items()}
        shapes = from_published(shadows, wanted, config.network)
    except (KeyError, ValueError) as error:
        raise InputError(path, str(error.args[0]), "Name an undamaged checkpoint of the published code") from None
    for name, value in shapes.items():
        if value.dtype != wanted[name].dtype:
            raise InputError(
                path,
                f"{published_name(name, config.network)} is {value.dtype}, not {wanted[name].dtype}",
                "Convert the original checkpoint, in single precision",
            )
    del shapes, shadows
    state = from_published({name: tensor.load() for name, tensor in tensors.items()}, wanted, config.network)
    broken = [
        published_name(name, config.network)
        for name, value in state.items()
        if value.is_floating_point() and not value.isfinite().all()
    ]
    if broken:
        raise InputError(
            path, f"not all numbers are finite in {few(broken, 5)}", "Use a checkpoint from before the fault"
        )
    return state

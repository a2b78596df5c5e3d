"""A trained model in a folder: weights, all that inference needs to know, a check, and a card.

``model.safetensors`` holds the weights, ``config.json`` a :class:`ModelConfig`, ``contract.safetensors`` what the model
gives on a small fixed scene together with the hash of the weights (:mod:`ditr.weights.contract`), ``README.md`` a
card that the Hugging Face hub can show.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ditr.captures.classes import LabelCounts
from ditr.data.preparation import Preparation
from ditr.data.training_data import TrainingData
from ditr.encoders.image_encoder import ImageEncoder
from ditr.errors import InputError, few
from ditr.io.files import atomic_path, results_folder, write_json, write_tensors
from ditr.io.json_file import read_json
from ditr.io.settings_json import from_plain, to_json_values
from ditr.models.backbone import NetworkConfig
from ditr.models.distillation import Distillation, Student
from ditr.models.segmentation import Segmentation
from ditr.weights.contract import check_weights, write_contract
from ditr.weights.model_card import Card, model_card

__all__ = ["FILES", "EncoderConfig", "Model", "ModelConfig", "load_model", "read_config", "save_model", "write_model"]

FORMAT = 2
FILES = ("config.json", "model.safetensors", "contract.safetensors", "README.md")

Model = Segmentation | Distillation


@dataclass(frozen=True)
class EncoderConfig:
    """The image encoder that a model goes with: in training, or as teacher.

    Attributes:
        name: as for ``load_image_encoder``; for published models the hub repository.
        patch_size: side of a patch in pixels.
        width: channels of a token.
        mean, std: per channel, the normalisation of images in 0..1.
        revision: of the hub repository; None for any.
        weights: one line for people about the weights in training; None where they are not known.
        digest: SHA-256 of the weights in training, as ``ImageEncoder.digest``; None where it is not known.
        precision: in which it computed in training, as "32-true" or "bf16-mixed"; None where it is not known.
    """

    name: str
    patch_size: int
    width: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    revision: str | None = None
    weights: str | None = None
    digest: str | None = None
    precision: str | None = None

    @property
    def spec(self) -> str:
        """What ``load_image_encoder`` takes."""
        return self.name if self.revision is None else f"{self.name}@{self.revision}"

    @classmethod
    def of(cls, encoder: ImageEncoder, name: str) -> EncoderConfig:
        """Of a loaded encoder, called ``name``."""
        shape = (encoder.patch_size, encoder.width, encoder.mean, encoder.std)
        return cls(name, *shape, weights=encoder.weights, digest=encoder.digest, precision=encoder.precision)

    def require(self, encoder: ImageEncoder) -> None:
        """Refuse another encoder than this one: its features would give wrong labels.

        Raises:
            InputError: other sizes, another normalisation, or other weights than in training.
        """
        if (encoder.width, encoder.patch_size, encoder.mean, encoder.std) != (
            self.width,
            self.patch_size,
            self.mean,
            self.std,
        ):
            raise InputError(
                f"encoder {self.name}",
                f"it gives {encoder.width} channels for patches of {encoder.patch_size}, normalised by {encoder.mean} "
                f"and {encoder.std}, but the model needs {self}",
                "Use the encoder that the model was trained with",
            )
        if self.digest not in (None, encoder.digest):
            raise InputError(
                f"encoder {self.name}",
                f"it holds {encoder.weights}, but the model was trained with {self.weights}",
                "Use the encoder's original weights",
            )


@dataclass(frozen=True)
class ModelConfig:
    """What a model is and how its input is made.

    Attributes:
        network: the backbone.
        preparation: how scenes become samples.
        class_names: in the order of the logits; none for a student of distillation.
        class_colors: red, green, blue of each class; None for a generated palette.
        encoder: of the photographs, or a student's teacher; None for a model without images.
        student: the heads of a distillation model; None for segmentation.
        dataset: whose classes and conventions these are.
        norms_of: which of the network's norms serve, where they exist per dataset.
        source: where the weights come from.
        license: of the weights.
        seed: of the run that trained it.
        training_data: what the training scenes were like; None where that was not measured.
        labels: what was labelled in the training scenes; None where it is not known.
        temperature: logits are divided by it for the confidence, fitted on the run's validation scenes; None where
            there were none, and the confidence is uncalibrated.
        format: of this file.

    Raises:
        ValueError: parts that do not belong together.
    """

    network: NetworkConfig
    preparation: Preparation
    class_names: tuple[str, ...] = ()
    class_colors: tuple[tuple[int, int, int], ...] | None = None
    encoder: EncoderConfig | None = None
    student: Student | None = None
    dataset: str | None = None
    norms_of: str | None = None
    source: str | None = None
    license: str | None = None
    seed: int = 0
    training_data: TrainingData | None = None
    labels: LabelCounts | None = None
    temperature: float | None = None
    format: int = FORMAT

    def __post_init__(self) -> None:
        if bool(self.class_names) == (self.student is not None):
            raise ValueError("a model has either classes or the heads of a student")
        if self.class_colors is not None and len(self.class_colors) != len(self.class_names):
            raise ValueError(f"{len(self.class_colors)} colours for {len(self.class_names)} classes")
        if self.network.in_channels != self.preparation.in_channels:
            raise ValueError(
                f"a network of {self.network.in_channels} input channels for the attributes "
                f"{', '.join(a.value for a in self.preparation.attributes)}, which are {self.preparation.in_channels}"
            )
        if self.temperature is not None and not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"a temperature of {self.temperature}, which is not positive")
        width = self.student.width if self.student is not None else self.network.image_width
        if self.encoder is not None and self.encoder.width != width:
            raise ValueError(f"an encoder of {self.encoder.width} channels for a network that takes {width}")
        if self.encoder is None and self.network.image_width is not None:
            raise ValueError("a network that takes image features needs an encoder")
        norms = self.network.norms
        if self.norms_of is not None and (norms is None or self.norms_of not in norms.datasets):
            known = "none" if norms is None else ", ".join(norms.datasets)
            raise ValueError(f"no norms of the dataset {self.norms_of!r}; the network has those of {known}")

    @property
    def takes_images(self) -> bool:
        """Whether inference needs the encoder; a student only had it as its teacher."""
        return self.network.image_width is not None

    def build(self) -> Model:
        """The model with fresh weights."""
        if self.student is not None:
            return Distillation(self.network, self.student, self.norms_of)
        return Segmentation(self.network, len(self.class_names), self.norms_of)


def save_model(folder: Path, config: ModelConfig, model: Model) -> None:
    """Write a model, whole or not at all; one that is there is replaced, and other files of the folder stay.

    Raises:
        OSError: it cannot be written; the folder is as it was then.
    """
    with results_folder(folder, FILES) as new:
        write_model(new, config, model)


def write_model(folder: Path, config: ModelConfig, model: Model) -> None:
    """Write a model's files into a new folder, the config, without which there is no model, last."""
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_tensors(folder / "model.safetensors", state)
    # The same tensors in a model on the CPU; on the meta device, since they need no memory of their own.
    with torch.device("meta"):
        on_cpu = config.build()
    on_cpu.load_state_dict(state, assign=True)
    write_contract(folder, on_cpu.eval(), config.network)
    with atomic_path(folder / "README.md") as path:
        path.write_text(model_card(_card(config, on_cpu)), encoding="utf-8")
    write_json(folder / "config.json", to_json_values(config))


def read_config(folder: Path) -> ModelConfig:
    """The config of a saved model.

    Raises:
        InputError: no model there, or a config that is damaged or of another format.
    """
    path = folder / "config.json"
    if not path.exists():
        raise InputError(folder, "there is no trained model here (no config.json)", "Name a finished run's folder")
    content = read_json(path, "Restore the file from the run")
    given = content.get("format") if isinstance(content, dict) else None
    if isinstance(given, int) and given != FORMAT:
        raise InputError(
            path, f"its format is {given!r}, but this version reads {FORMAT}", "Install the version that wrote it"
        )
    return from_plain(ModelConfig, _with_digest(content), str(path))


def _with_digest(content: Any) -> Any:
    """The settings of a model as this version writes them: up to 0.1, the encoder's digest stood only in a sentence."""
    match content:
        case {"encoder": {"weights": str(sentence)} as encoder} if "digest" not in encoder:
            return {**content, "encoder": {**encoder, "digest": sentence.rpartition("SHA-256 ")[2]}}
    return content


def load_model(
    folder: Path, device: torch.device | str = "cpu", *, dataset: str | None = None
) -> tuple[ModelConfig, Model]:
    """A saved model, in eval mode.

    Args:
        folder: as :func:`save_model` leaves it.
        device: where the model shall be.
        dataset: which norms to use, where they exist per dataset; by default those that the config names.

    Raises:
        InputError: no model there, damaged weights, weights of another network, or a dataset that it does not know.
    """
    config = read_config(folder)
    if dataset is not None:
        config = _with_dataset(config, dataset, folder)
    path = folder / "model.safetensors"
    state = _read_weights(path)
    try:
        # Without memory: what a damaged config asks for may not fit into any.
        with torch.device("meta"):
            model = config.build()
    except (ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise InputError(folder / "config.json", f"no network can be built ({error})", "Restore the file") from None
    wanted = model.state_dict()
    wrong = sorted(
        name
        for name in wanted.keys() | state.keys()
        if name not in wanted
        or name not in state
        or wanted[name].shape != state[name].shape
        or wanted[name].dtype != state[name].dtype
    )
    if wrong:
        raise InputError(
            path,
            f"tensors missing, unknown or of another shape or type: {few(wrong, 5)}",
            "Use the config.json that belongs to these weights",
        )
    check_weights(folder)
    # The tensors of the file become the model's own: nothing is initialised first and nothing copied.
    model.load_state_dict(state, assign=True)
    return config, model.to(device).eval()


def _card(config: ModelConfig, model: Model) -> Card:
    encoder = None if config.encoder is None else config.encoder.name
    return Card(
        network=config.network.title,
        classes=config.class_names,
        features=tuple(attribute.value for attribute in config.preparation.attributes),
        voxel_size=config.preparation.voxel_size,
        encoder=encoder if config.takes_images else None,
        teacher=None if config.student is None else encoder or "an encoder that is not named",
        dataset=config.dataset,
        source=config.source,
        license=config.license,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"the weights cannot be read ({error})", "Restore the file from the run") from None


def _with_dataset(config: ModelConfig, dataset: str, folder: Path) -> ModelConfig:
    try:
        return replace(config, norms_of=dataset)
    except ValueError as error:
        raise InputError(folder, str(error), "Name one of these, or leave the dataset out") from None

"""A bank of classes: what was clicked in some scenes, for labelling others.

A bank is one file of safetensors. It keeps the cells that were clicked (image features in 16 bits, and shape), not what
was fitted to them: the fit takes a moment, and so banks can be joined and corrected. Scenes may differ in what their
points have: a bank that knows colours labels a cloud without them by what both have.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from ditr.errors import InputError, few
from ditr.io.files import write_tensors
from ditr.io.settings_json import from_plain, to_json_values
from ditr.labelling.cells import Cells
from ditr.labelling.classifier import (
    Classifier,
    Examples,
    Kernel,
    KernelTable,
    centred,
    image_center,
    network_usual,
    smoothed,
    softmax,
    standing_out,
)
from ditr.labelling.session import Session
from ditr.scene import UNLABELLED
from ditr.weights.saved_model import EncoderConfig

__all__ = ["Bank", "BankLabels", "join_banks", "read_bank", "require_model"]

SCHEMA = "1"
_MOST_BYTES = 256 << 20
_UNLIKE = 1.0
"""Percentile of the cells of the scenes that were clicked in: what is less like all examples than this is unknown."""


@dataclass(frozen=True, eq=False)
class BankLabels:
    """What a bank takes the cells of a scene for.

    Attributes:
        label: (M,) int32, -1 for cells that are unlike everything in the bank.
        probability: (M, C) float32.
        likeness: (M,) float32, to the most similar example.
    """

    label: NDArray[np.int32]
    probability: NDArray[np.float32]
    likeness: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Bank:
    """Examples of some classes.

    Attributes:
        classes: their names.
        label: (n,) int64 classes of the examples.
        image: (n, D) float32 features as the encoder gives them.
        seen: (n,) bool, whether a photograph shows the cell.
        shape: (n, S) float32.
        shape_names: (S,) what its columns are.
        center: (D,) mean image feature of the scenes that were clicked in.
        unlike: likeness below which a cell is like nothing in the bank.
        encoder: that made the features; None for a bank of scenes without photographs.
        cell: metres.
        scenes: names of those that were clicked in.
        network: (n, P) float32 what a trained network finds of the examples; (n, 0) for a bank without one.
        usual: (2, P) float32 mean and deviation of that in the scenes that were clicked in.
        model: digest of the network; None for a bank without one.
    """

    classes: tuple[str, ...]
    label: NDArray[np.int64]
    image: NDArray[np.float32]
    seen: NDArray[np.bool_]
    shape: NDArray[np.float32]
    shape_names: tuple[str, ...]
    center: NDArray[np.float32]
    unlike: float
    encoder: EncoderConfig | None
    cell: float
    scenes: tuple[str, ...]
    network: NDArray[np.float32]
    usual: NDArray[np.float32]
    model: str | None = None

    @classmethod
    def of(cls, session: Session) -> Bank:
        """What was clicked in a session.

        Raises:
            InputError: nothing was.
        """
        _, label, rows = session.examples()
        if not len(label):
            raise InputError("bank", "nothing was clicked", "Click at least once in each class")
        cells = session.cells
        bank = cls(
            classes=tuple(session.classes),
            label=label,
            image=cells.image[rows],
            seen=cells.seen[rows],
            shape=cells.shape[rows],
            shape_names=cells.shape_names,
            center=image_center(cells),
            unlike=0.0,
            encoder=cells.encoder,
            cell=cells.size,
            scenes=(session.scene.name,),
            network=cells.network[rows],
            usual=network_usual(cells),
            model=cells.model,
        )
        likeness = bank.label_cells(cells).likeness
        return replace(bank, unlike=float(np.percentile(likeness, _UNLIKE)))

    def label_cells(self, cells: Cells) -> BankLabels:
        """Label the cells of a scene.

        Raises:
            InputError: its image features come from another encoder, or the bank knows another network than the one
                that looked at the cells.
        """
        require_model(self.model, cells.model, "bank and scene")
        images = self.encoder is not None and cells.encoder is not None
        if images:
            _require_same("bank and scene", self.encoder, cells.encoder)
        mine = [i for i, name in enumerate(self.shape_names) if name in cells.shape_names]
        theirs = [cells.shape_names.index(self.shape_names[i]) for i in mine]
        kernel = Kernel(place=0.0, image=1.0 if images else 0.0)
        known = replace(cells, shape=np.ascontiguousarray(cells.shape[:, theirs]))
        network = None if self.model is None else standing_out(self.network, self.usual)
        own = Examples(centred(self.image, self.seen, self.center), self.seen, self.shape[:, mine], None, network)
        classifier = Classifier.fit(kernel, own, self.label, len(self.classes))
        center = self.center if images else np.zeros(cells.image.shape[1], np.float32)
        likes = KernelTable(kernel, known, center, self.usual).to(own)
        probability = smoothed(cells, softmax(classifier.scores(likes)))
        label = probability.argmax(axis=1).astype(np.int32)
        # Without photographs a cell is less like any other, and that alone does not make it unknown.
        likeness = likes.max(axis=1) + np.float32(images) * ~cells.seen * np.float32(kernel.image)
        return BankLabels(np.where(likeness < self.unlike, np.int32(UNLABELLED), label), probability, likeness)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the bank, whole or not at all."""
        tensors, facts = self._content()
        write_tensors(Path(path), tensors, {"ditr_bank": SCHEMA, "facts": facts})

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides its labels, as it is in a file: of a bank, not of the place where it lies."""
        tensors, facts = self._content()
        digest = hashlib.sha256(facts.encode())
        for name, values in sorted(tensors.items()):
            digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
            digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()

    def _content(self) -> tuple[dict[str, torch.Tensor], str]:
        """The tensors of its file, and the rest as JSON."""
        tensors = {
            "image": torch.from_numpy(self.image).half(),
            "seen": torch.from_numpy(self.seen),
            "shape": torch.from_numpy(self.shape).half(),
            "label": torch.from_numpy(self.label.astype(np.int32)),
            "center": torch.from_numpy(self.center),
        }
        if self.model is not None:
            tensors |= {"network": torch.from_numpy(self.network).half(), "usual": torch.from_numpy(self.usual)}
        facts = {
            "classes": self.classes,
            "shape_names": self.shape_names,
            "unlike": self.unlike,
            "encoder": None if self.encoder is None else to_json_values(self.encoder),
            "cell": self.cell,
            "scenes": self.scenes,
        } | ({} if self.model is None else {"model": self.model})
        return tensors, json.dumps(facts)


def join_banks(banks: Sequence[Bank]) -> Bank:
    """One bank of several; classes of the same name are one.

    Raises:
        InputError: they were made with different encoders, networks or cells.
    """
    first = banks[0]
    for other in banks[1:]:
        require_model(first.model, other.model, "banks")
        _require_same("banks", first.encoder, other.encoder)
        if not np.isclose(other.cell, first.cell):
            raise InputError(
                "banks",
                f"their cells have different sizes, {first.cell:g} and {other.cell:g} m",
                "Join banks with cells of the same size",
            )
    classes = tuple(dict.fromkeys(name for bank in banks for name in bank.classes))
    common = [name for name in first.shape_names if all(name in bank.shape_names for bank in banks)]
    shapes = [bank.shape[:, [bank.shape_names.index(name) for name in common]] for bank in banks]
    labels = [np.array([classes.index(name) for name in bank.classes])[bank.label] for bank in banks]
    counts = np.array([len(bank.label) for bank in banks], dtype=np.float64)
    return Bank(
        classes=classes,
        label=np.concatenate(labels),
        image=np.concatenate([bank.image for bank in banks]),
        seen=np.concatenate([bank.seen for bank in banks]),
        shape=np.ascontiguousarray(np.concatenate(shapes)),
        shape_names=tuple(common),
        center=np.average([bank.center for bank in banks], axis=0, weights=counts).astype(np.float32),
        unlike=min(bank.unlike for bank in banks),
        encoder=first.encoder,
        cell=first.cell,
        scenes=tuple(dict.fromkeys(name for bank in banks for name in bank.scenes)),
        network=np.concatenate([bank.network for bank in banks]),
        usual=np.average([bank.usual for bank in banks], axis=0, weights=counts).astype(np.float32),
        model=first.model,
    )


def require_model(one: str | None, two: str | None, where: str) -> None:
    """Refuse to compare what different networks find, which says nothing of each other.

    Args:
        one: digest, None without a network.
        two: the other one.
        where: for the error.

    Raises:
        InputError: they differ.
    """
    if one == two:
        return
    if one is None or two is None:
        raise InputError(
            where, "only one of them was made with a network", "Make all with the same --model, or all without"
        )
    fault = f"they were made with different networks ({one[:12]} and {two[:12]})"
    raise InputError(where, fault, "Name the --model that the clicks were spread with, or click a new bank")


def _require_same(where: str, one: EncoderConfig | None, two: EncoderConfig | None) -> None:
    """Refuse image features of different encoders, which say nothing of each other.

    Raises:
        InputError: they are.
    """
    digests = [None if encoder is None else encoder.digest for encoder in (one, two)]
    if digests[0] != digests[1]:
        names = ["no encoder" if encoder is None else encoder.weights or encoder.name for encoder in (one, two)]
        fault = f"their image features were made by {names[0]} and by {names[1]}"
        raise InputError(where, fault, "Use one encoder for all, or click a new bank")


def read_bank(path: str | os.PathLike[str]) -> Bank:
    """Read a bank.

    Raises:
        InputError: not a bank, or a damaged one.
    """
    where = Path(path)
    remedy = "Name a file that `ditr label --bank` wrote"
    try:
        if where.stat().st_size > _MOST_BYTES:
            raise InputError(where, "it is too large to be a bank", remedy)
        with safe_open(where, "numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("ditr_bank") != SCHEMA:
            raise InputError(where, "it is not a bank of classes", remedy)
        return _checked(json.loads(metadata["facts"]), arrays)
    except InputError as error:
        raise InputError(where, error.fault, remedy) from None
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(where, f"it is not a bank of classes ({error})", remedy) from None


def _checked(facts: Any, arrays: dict[str, NDArray[Any]]) -> Bank:
    classes, names = tuple(map(str, facts["classes"])), tuple(map(str, facts["shape_names"]))
    label = arrays["label"].astype(np.int64)
    image, shape = arrays["image"].astype(np.float32), arrays["shape"].astype(np.float32)
    seen, center = arrays["seen"].astype(bool), arrays["center"].astype(np.float32)
    count = len(label)
    model = facts.get("model")
    network = np.zeros((count, 0), np.float32) if model is None else arrays["network"].astype(np.float32)
    usual = np.zeros((2, 0), np.float32) if model is None else arrays["usual"].astype(np.float32)
    wrong = [
        name
        for name, good in {
            "label": label.shape == (count,) and count > 0 and label.min() >= 0 and label.max() < len(classes),
            "image": image.ndim == 2 and len(image) == count and bool(np.isfinite(image).all()),
            "shape": shape.shape == (count, len(names)) and bool(np.isfinite(shape).all()),
            "seen": seen.shape == (count,),
            "center": center.shape == image.shape[1:] and bool(np.isfinite(center).all()),
            "network": network.ndim == 2 and len(network) == count and bool(np.isfinite(network).all()),
            "usual": usual.shape == (2, network.shape[-1]) and bool(np.isfinite(usual).all()),
        }.items()
        if not good
    ]
    if wrong:
        raise InputError("bank", f"its arrays {few(wrong, 3)} do not fit each other", "Make it again")
    return Bank(
        classes=classes,
        label=label,
        image=image,
        seen=seen,
        shape=shape,
        shape_names=names,
        center=center,
        unlike=float(facts["unlike"]),
        encoder=None if facts["encoder"] is None else from_plain(EncoderConfig, facts["encoder"], "bank"),
        cell=float(facts["cell"]),
        scenes=tuple(map(str, facts["scenes"])),
        network=network,
        usual=usual,
        model=None if model is None else str(model),
    )

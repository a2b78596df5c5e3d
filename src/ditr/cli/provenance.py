"""What a report says of the command that made it: how it was typed, by which versions, on which machine."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ditr.cli.output import command_line
from ditr.doctor.machine import describe_devices, describe_machine
from ditr.errors import Finding, counted
from ditr.inference.provenance import Provenance

__all__ = ["provenance"]

_PACKAGES = ("ditr", "torch", "numpy", "transformers", "safetensors")


def provenance(*more: tuple[str, str], findings: Iterable[Finding] = ()) -> Provenance:
    """Of the command that is being worked on, here and now.

    Args:
        more: names and values that are told first.
        findings: about the work and not about a scene.
    """
    machine = describe_machine()
    devices = ", ".join(device.title for device in describe_devices())
    memory = "" if machine.memory is None else f", {machine.memory / 2**30:.0f} GiB"
    facts = (
        *more,
        ("in the folder", str(Path.cwd())),
        ("at", time.strftime("%F %T %z")),
        ("versions", ", ".join([f"Python {platform.python_version()}", *map(_version, _PACKAGES)])),
        (
            "machine",
            f"{devices}; {machine.usable_cores} of {machine.cores} cores, {counted(machine.threads, 'thread')}{memory}",
        ),
        ("system", machine.platform),
    )
    return Provenance(command_line(), facts, tuple(findings))


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} unknown"

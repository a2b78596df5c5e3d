"""The machine: what it is, what it can do at best, and how much of it others took meanwhile."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["OthersShare", "describe", "peaks"]

_SETS = ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "amx_tile", "amx_bf16", "asimd", "sve")
_SHAPES = ((2048, 2048, 2048), (600, 1728, 64), (80_000, 64, 256))
"""Rows, inner and columns of products: a large one, a piece of a convolution, a linear layer of the finest level."""


class OthersShare:
    """The share of the machine's processor time that other processes than this one and its children took."""

    def __init__(self) -> None:
        self._before = self._now()

    def share(self) -> float | None:
        """Since this was made, 0 to 1; None where the system does not tell."""
        after = self._now()
        if self._before is None or after is None:
            return None
        wall, busy, own = (b - a for a, b in zip(self._before, after, strict=True))
        return max(0.0, busy - own) / max(wall * (os.cpu_count() or 1), 1e-9)

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Seconds of the clock, and seconds of all processors that all processes and that this one took."""
        try:
            numbers = [int(n) for n in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:]]
        except (OSError, ValueError):
            return None
        user, nice, system, _, _, irq, softirq, steal, *_ = numbers
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), busy, sum(os.times()[:4])


def describe() -> dict[str, Any]:
    """Processor, its maker and instruction sets, cores, memory, system, and the versions of what computes."""
    from ditr.doctor.machine import describe_devices, describe_kernels, describe_machine

    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    flags = set(fields.get("flags", fields.get("Features", "")).split())
    machine, devices = describe_machine(), describe_devices()
    return {
        "processor": devices[0].title,
        "vendor": fields.get("vendor_id", "unknown"),
        "family_model": f"{fields.get('cpu family', '?')}/{fields.get('model', '?')}",
        "instruction_sets": [name for name in _SETS if name in flags],
        "cores": machine.usable_cores,
        "memory_bytes": machine.memory,
        "gpus": [device.title for device in devices[1:]],
        "system": machine.platform,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "kernels": {device.name: vars(describe_kernels(device.name)) for device in devices[:2]},
        "omp_wait_policy": os.environ.get("OMP_WAIT_POLICY"),
    }


def peaks() -> dict[str, float]:
    """Products in GFLOP/s by torch (MKL, mostly) and by oneDNN, into memory that is there; copies in GB/s."""
    found: dict[str, float] = {}
    for rows, inner, columns in _SHAPES:
        name = f"{rows} x {inner} x {columns}"
        left, right = torch.randn(rows, inner), torch.randn(inner, columns)
        out = torch.empty(rows, columns)
        work = 2 * rows * inner * columns / 1e9
        found[f"mm {name}"] = work / _shortest(lambda a=left, b=right, c=out: torch.mm(a, b, out=c))  # type: ignore[misc]
        turned = right.t().contiguous()
        if _onednn(left[:1], turned) is not None:
            found[f"oneDNN {name}"] = work / _shortest(lambda a=left, b=turned: _onednn(a, b))  # type: ignore[misc]
    source, target = torch.randn(1 << 26), torch.empty(1 << 26)
    found["copies GB/s"] = 2 * source.nbytes / 1e9 / _shortest(lambda: target.copy_(source))
    return {name: round(value, 1) for name, value in found.items()}


def _onednn(left: Tensor, right: Tensor) -> Tensor | None:
    """``left`` times ``right`` transposed, by oneDNN; None where this torch has no such operator."""
    try:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return product


def _shortest(run: Callable[[], object], duration: float = 0.4) -> float:
    """Seconds of the fastest call among those of ``duration`` seconds: others use the machine too."""
    run()
    best, end = float("inf"), time.perf_counter() + duration
    while time.perf_counter() < end:
        began = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - began)
    return best

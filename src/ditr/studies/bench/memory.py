"""Memory and operators: the largest resident size of a process, and counts that no other process can disturb."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["Counts", "PeakMemory", "count_work", "slowest_operators", "tensor_bytes"]


class PeakMemory:
    """The largest memory of this process above what it had when this was made; on a GPU what torch allocates there.

    Linux tells a process its largest resident size and takes a request to forget it; elsewhere nothing is known.
    """

    def __init__(self, device: str) -> None:
        from ditr.runtime import release_memory

        self._device = device
        gc.collect()
        release_memory()
        if device.startswith("cuda"):
            torch.cuda.reset_peak_memory_stats()
            self._before: int | None = torch.cuda.memory_allocated()
            return
        try:
            Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
            self._before = _resident("VmRSS")
        except OSError:
            self._before = None

    def above(self) -> int | None:
        """Bytes; None where the system does not tell."""
        if self._before is None:
            return None
        if self._device.startswith("cuda"):
            return torch.cuda.max_memory_allocated() - self._before
        peak = _resident("VmHWM")
        return None if peak is None else max(0, peak - self._before)


def _resident(name: str) -> int | None:
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


@dataclass(frozen=True)
class Counts:
    """What a call costs, whatever else the machine does.

    Attributes:
        calls: operators that torch ran, whichever kind.
        peak_bytes: the largest amount of CPU memory that torch held at one time of what it asked for in the call.
        slowest: seconds of the operators that took longest, without those inside them; these do depend on others.
    """

    calls: int
    peak_bytes: int
    slowest: Mapping[str, float] = field(default_factory=dict, compare=False)


class _CallCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls += 1
        return func(*args, **(kwargs or {}))


def count_work(run: Callable[[], object]) -> Counts:
    """Counts of ``run``, which is called twice and should compute the same each time."""
    counter = _CallCounter()
    with counter:
        run()
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    recorder: Any = profile.profiler
    events = [event for event in recorder.kineto_results.events() if event.name() == "[memory]"]
    held = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return Counts(counter.calls, peak, _slowest(profile, "self_cpu_time_total"))


def slowest_operators(run: Callable[[], object], count: int = 12) -> dict[str, float]:
    """Seconds that operators took on the GPU in one call of ``run``, without those inside them, the slowest first."""
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as profile:
        run()
    return _slowest(profile, "self_device_time_total", count)


def _slowest(profile: torch.profiler.profile, time: str, count: int = 12) -> dict[str, float]:
    rows: list[Any] = [row for row in profile.key_averages() if row.key != "[memory]"]
    seconds = {str(row.key): float(getattr(row, time)) / 1e6 for row in rows}
    return dict(sorted(seconds.items(), key=lambda item: -item[1])[:count])


def tensor_bytes(value: object) -> int:
    """Bytes of all tensors in a dataclass, tuple, list or dictionary, each storage once."""
    storages: dict[int, int] = {}
    _collect(value, storages)
    return sum(storages.values())


def _collect(value: object, storages: dict[int, int]) -> None:
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, storages)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, storages)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            _collect(getattr(value, part.name), storages)

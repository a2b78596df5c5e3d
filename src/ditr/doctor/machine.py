"""What this machine is and how torch computes on it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend

from ditr.nn.products import Products, products
from ditr.runtime import usable_cores

__all__ = ["Device", "Kernels", "Machine", "describe_devices", "describe_kernels", "describe_machine"]


@dataclass(frozen=True)
class Machine:
    """The part that all devices share.

    Attributes:
        platform: system, kernel and architecture.
        cores: of the machine; ``usable_cores`` are those that this process may run on.
        threads: that torch computes with on the CPU.
        omp_num_threads: the environment variable; None where it is not set.
        memory: bytes that this process may have, a container's limit included; None where that is not known.
        free_memory: bytes that are free now.
        unused_gpu: why a GPU that is there cannot be used; None where there is none or it can.
    """

    platform: str
    cores: int
    usable_cores: int
    threads: int
    omp_num_threads: str | None
    memory: int | None
    free_memory: int | None
    unused_gpu: str | None


@dataclass(frozen=True)
class Device:
    """What torch can compute on.

    Attributes:
        name: as torch calls it.
        title: the maker's name.
        memory: bytes; None for the CPU, which has the machine's.
        capability: of a CUDA device, "9.0", say; the instruction set of a CPU.
        driver: of a CUDA device.
    """

    name: str
    title: str
    memory: int | None = None
    capability: str | None = None
    driver: str | None = None


@dataclass(frozen=True)
class Kernels:
    """Which implementations of torch serve on a device.

    Attributes:
        device: its name.
        attention_enabled: implementations of scaled dot-product attention that may be used.
        attention_fp32, attention_fp16, attention_bf16: the one that is taken for inputs of this precision, without a
            bias of relative positions.
        matmul_precision: of float32 products: "highest" is full precision.
        tf32: whether such products may be computed in TF32.
        linear_algebra: the libraries behind products.
        products: which of them multiplies float32 matrices in our layers, see :mod:`ditr.nn.products`.
        sparse_convolution: ours, on every device.
        bf16: whether the device computes in bfloat16 by itself; None where torch does not tell.
    """

    device: str
    attention_enabled: tuple[str, ...]
    attention_fp32: str
    attention_fp16: str
    attention_bf16: str
    matmul_precision: str
    tf32: bool
    linear_algebra: str
    products: str
    sparse_convolution: str
    bf16: bool | None


def describe_machine() -> Machine:
    """Asks the system and torch."""
    cores = os.cpu_count() or 1
    memory, free = _memory()
    return Machine(
        platform=platform.platform(),
        cores=cores,
        usable_cores=usable_cores(),
        threads=torch.get_num_threads(),
        omp_num_threads=os.environ.get("OMP_NUM_THREADS"),
        memory=memory,
        free_memory=free,
        unused_gpu=_unused_gpu(),
    )


def describe_devices() -> tuple[Device, ...]:
    """The CPU first, then every GPU that torch can use."""
    devices = [Device("cpu", _processor(), capability=torch.backends.cpu.get_cpu_capability())]
    if torch.cuda.is_available():
        driver = _driver()
        for index in range(torch.cuda.device_count()):
            found = torch.cuda.get_device_properties(index)
            capability = f"{found.major}.{found.minor}"
            devices.append(Device(f"cuda:{index}", found.name, found.total_memory, capability, driver))
    if torch.backends.mps.is_available():
        devices.append(Device("mps", "Metal (Apple)"))
    return tuple(devices)


def describe_kernels(device: str) -> Kernels:
    """Of a device that `describe_devices` names."""
    kind = torch.device(device).type
    precision = torch.get_float32_matmul_precision()
    return Kernels(
        device=device,
        attention_enabled=_enabled_attention(kind),
        attention_fp32=_chosen_attention(device, torch.float32),
        attention_fp16=_chosen_attention(device, torch.float16),
        attention_bf16=_chosen_attention(device, torch.bfloat16),
        matmul_precision=precision,
        tf32=kind == "cuda" and precision != "highest",
        linear_algebra=_linear_algebra(kind),
        products=(products() if kind == "cpu" else Products.TORCH).value,
        sparse_convolution="gather and matrix products (ditr's own)",
        bf16=_has_bf16(device),
    )


def _enabled_attention(kind: str) -> tuple[str, ...]:
    cuda: Any = torch.backends.cuda
    enabled = {"flash": cuda.flash_sdp_enabled(), "math": cuda.math_sdp_enabled()}
    if kind == "cuda":
        enabled["efficient"] = cuda.mem_efficient_sdp_enabled()
        enabled["cudnn"] = cuda.cudnn_sdp_enabled()
    return tuple(sorted(name for name, value in enabled.items() if value))


def _chosen_attention(device: str, dtype: torch.dtype) -> str:
    """Of patches and heads as PTv3 has them; torch tells it only by a function that may go away."""
    try:
        query = torch.zeros(2, 2, 64, 16, device=device, dtype=dtype)
        return SDPBackend(torch._fused_sdp_choice(query, query, query)).name.removesuffix("_ATTENTION").lower()
    except (AttributeError, RuntimeError, TypeError, ValueError):
        return "unknown"


def _linear_algebra(kind: str) -> str:
    if kind == "cuda":
        return f"cuBLAS of CUDA {torch.version.cuda}" if torch.version.hip is None else f"ROCm {torch.version.hip}"
    if kind == "mps":
        return "Metal Performance Shaders"
    backends: Any = torch.backends
    found = re.search(r"\bBLAS_INFO=(\w+)", torch.__config__.show())
    library = found[1].upper() if found else "MKL" if backends.mkl.is_available() else "BLAS not named"
    return f"{library}, {'oneDNN' if backends.mkldnn.is_available() else 'no oneDNN'}"


def _has_bf16(device: str) -> bool | None:
    kind = torch.device(device).type
    if kind == "cuda":
        with torch.cuda.device(device):
            return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()) if kind == "cpu" else None
    except (AttributeError, RuntimeError):
        return None


def _processor() -> str:
    for line in _text(Path("/proc/cpuinfo")).splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> tuple[int | None, int | None]:
    """Bytes in all and free. A container's limit is in a file of its control group, not in what the machine has."""
    values = {}
    for line in _text(Path("/proc/meminfo")).splitlines():
        name, _, value = line.partition(":")
        if value.endswith(" kB"):
            values[name] = int(value.split()[0]) * 1024
    total, free = values.get("MemTotal"), values.get("MemAvailable")
    if total is None and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit, used = (_text(Path("/sys/fs/cgroup") / name).strip() for name in ("memory.max", "memory.current"))
    if limit.isdigit() and total is not None and int(limit) < total:
        total = int(limit)
        left = total - int(used) if used.isdigit() else total
        free = max(0, min(left, total if free is None else free))
    return total, free


def _driver() -> str | None:
    """The version of the GPU's driver, as its own tool tells it."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.split()
    return lines[0] if done.returncode == 0 and lines else None


def _unused_gpu() -> str | None:
    if torch.cuda.is_available() or (shutil.which("nvidia-smi") is None and not Path("/proc/driver/nvidia").exists()):
        return None
    if torch.version.cuda is None:
        return "this torch is a build for CPUs only"
    return f"this torch, for CUDA {torch.version.cuda}, finds no GPU: its driver may be too old or hidden"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""

"""Products of dense matrices on a CPU: by torch's own choice (MKL), or by oneDNN's operators.

MKL takes AVX2 code on processors that are not Intel's; oneDNN takes AVX-512 wherever it is there, and applies GELU
while a result is still in the cache; that pays where AVX-512 units have their full width. Both compute in single
precision: oneDNN's operators are called by name, so that no setting of torch is touched which would also round to
bfloat16 (on AMX) or TF32 (on a GPU).

The choice follows from facts about the machine, never from a clock, so that a machine always gives the same bits.
"""

from __future__ import annotations

import functools
import platform
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "Linear",
    "Products",
    "add_transposed_product",
    "best_products",
    "linear",
    "product",
    "products",
    "use_products",
]

_NARROW = 64
"""Gradients of weights with a side shorter than this are left to torch: oneDNN would mostly move memory."""


_BLOCKS = (4096, 1024, 256)
"""oneDNN multiplies so many rows at a time, the last ones padded with zeros: it compiles code for every shape that it
meets, a millisecond and 0.6 MB each, and no two scenes have equally many voxels."""


class Products(Enum):
    """Who multiplies matrices in single precision on a CPU."""

    TORCH = "torch"
    ONEDNN = "onednn"


_FULL_WIDTH = 26
"""AMD's family (Zen 5) from which on AVX-512 units are 512 bits wide. Before, oneDNN's peak is 1.16 times MKL's, a pass
takes as long with either, and a training step with oneDNN 1.16 times as long (``docs/performance.md``)."""


@functools.cache
def best_products() -> Products:
    """What is faster on this machine: oneDNN on AMD's processors from Zen 5 on, torch's choice on all others."""
    wide = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    vendor, family = _processor()
    fast = wide and vendor == "AuthenticAMD" and family >= _FULL_WIDTH
    return Products.ONEDNN if fast and _has_operator() else Products.TORCH


def _has_operator() -> bool:
    return bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _processor() -> tuple[str, int]:
    """Its maker as it calls itself, and its family; "" and 0 where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        # Windows has "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD".
        name, _, vendor = platform.processor().rpartition(", ")
        family = re.search(r"Family (\d+)", name)
        return vendor, int(family[1]) if family else 0
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in reversed(lines))}
    family_text = fields.get("cpu family", "")
    return fields.get("vendor_id", ""), int(family_text) if family_text.isdigit() else 0


_chosen: Products | None = None


def products() -> Products:
    """Who multiplies in this process."""
    return best_products() if _chosen is None else _chosen


def use_products(choice: Products | None) -> None:
    """Choose for this process; None is the machine's own choice. A resumed run asks for what it began with.

    Raises:
        ValueError: oneDNN, where this torch does not have it.
    """
    global _chosen
    if choice is Products.ONEDNN and not _has_operator():
        raise ValueError("oneDNN is not in this torch")
    _chosen = choice


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    """``x @ weight.T + bias``, with exact GELU behind it if asked for.

    Args:
        x: (..., in).
        weight: (out, in).
        bias: (out,) or None.
        gelu: apply GELU.

    Returns:
        (..., out).
    """
    if not _by_onednn(x, weight):
        out = functional.linear(x, weight, bias)
        return functional.gelu(out) if gelu else out
    rows = x.reshape(-1, x.shape[-1])
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, weight, bias)):
        out = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
        out = functional.gelu(out) if gelu else out
    else:
        out = _onednn(rows, weight, bias, gelu=gelu)
    return out.view(*x.shape[:-1], -1)


def product(x: Tensor, matrix: Tensor, out: Tensor, *, at_once: int = 0) -> None:
    """(n, k) @ (k, m) into ``out`` (n, m); knows no gradients. ``at_once`` is the n of most calls with this matrix."""
    if _by_onednn(x, matrix):
        _onednn(x, matrix.t(), None, out=out, sizes=(at_once,) if at_once else _BLOCKS)
    else:
        torch.mm(x, matrix, out=out)


def add_transposed_product(total: Tensor, x: Tensor, y: Tensor, *, at_once: int = 0) -> None:
    """Add x.T @ y, of (n, k) and (n, m), to ``total`` (k, m): the gradient of a matrix; knows no gradients itself."""
    if _by_onednn(x, y) and min(x.shape[1], y.shape[1]) >= _NARROW:
        for part, size in _blocks(len(x), (at_once,) if at_once else _BLOCKS):
            total += _transposed(_padded(x[part], size), _padded(y[part], size))
    elif total.dtype == x.dtype:
        total.addmm_(x.t(), y)
    else:
        total += x.t() @ y


def _transposed(x: Tensor, y: Tensor) -> Tensor:
    # oneDNN copies what is not laid out as it likes: the second, which should be the wider of the two.
    return _operator(x.t(), y.t()) if x.shape[1] <= y.shape[1] else _operator(y.t(), x.t()).t()


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    if products() is not Products.ONEDNN or x.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    return x.dtype == weight.dtype == torch.float32 and x.numel() > 0 and weight.numel() > 0


def _blocks(rows: int, sizes: tuple[int, ...]) -> Iterator[tuple[slice, int]]:
    """Slices of as many rows as the sizes say, the largest first; the last may be shorter than its size."""
    start = 0
    for size in sizes:
        while rows - start >= size or (size == sizes[-1] and start < rows):
            yield slice(start, min(start + size, rows)), size
            start += size


def _padded(x: Tensor, rows: int) -> Tensor:
    return x if len(x) == rows else functional.pad(x, (0, 0, 0, rows - len(x)))


def _onednn(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    gelu: bool = False,
    out: Tensor | None = None,
    sizes: tuple[int, ...] = _BLOCKS,
) -> Tensor:
    """(n, in), (out, in) -> (n, out)."""
    if len(x) in sizes:
        result = _operator(x, weight, bias, gelu=gelu)
        return result if out is None else out.copy_(result)
    out = x.new_empty(len(x), len(weight)) if out is None else out
    for part, size in _blocks(len(x), sizes):
        out[part] = _operator(_padded(x[part], size), weight, bias, gelu=gelu)[: part.stop - part.start]
    return out


def _operator(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "gelu" if gelu else "none", [], "none")
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = _onednn(gradient, weight.t(), None)
        if ctx.needs_input_grad[1]:
            dw = torch.zeros_like(weight)
            add_transposed_product(dw, gradient, x)
        return dx, dw, gradient.sum(dim=0) if ctx.needs_input_grad[2] else None


class Linear(nn.Linear):
    """``torch.nn.Linear`` whose products are those of this process; parameters and state dict are the same."""

    def forward(self, input: Tensor, *, gelu: bool = False) -> Tensor:
        """(..., in) -> (..., out), with GELU behind it if asked for."""
        return linear(input, self.weight, self.bias, gelu=gelu)

"""BatchNorm whose statistics several processes take together, on any device.

``torch.nn.SyncBatchNorm`` wants a GPU, and so cannot be tried where there is none.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

__all__ = ["SharedBatchNorm", "share_batch_norms"]


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


def _sum(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)  # type: ignore[no-untyped-call]
    return total


class SharedBatchNorm(nn.BatchNorm1d):
    """As ``BatchNorm1d`` over the rows (n, channels) of all processes; n may differ. The state dict is the same.

    Mean first and then the mean squared distance from it: the difference of two large numbers would lose the digits
    that make two processes give what one gives.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(n, channels) -> (n, channels)."""
        together = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        if not self.training or not together:
            out: Tensor = super().forward(input)
            return out
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        sums = _sum(torch.cat([x.sum(dim=0), x.new_tensor([len(x)])]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        var = _sum((x - mean).square().sum(dim=0)) / count
        self._follow(mean.detach(), var.detach(), count)
        normal = (x - mean) * torch.rsqrt(var + self.eps)
        if self.affine:
            normal = normal * self.weight + self.bias
        return normal.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, var: Tensor, count: Tensor) -> None:
        """The running averages; their variance is the unbiased one, as torch has it."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_((var * count / (count - 1)).to(self.running_var.dtype), momentum)


def share_batch_norms(model: nn.Module) -> None:
    """Replace every ``BatchNorm1d`` of a model by one that all processes share; parameters and buffers stay."""
    for name, child in model.named_children():
        if type(child) is nn.BatchNorm1d:
            shared = SharedBatchNorm(child.num_features, child.eps, child.momentum, child.affine)
            shared.weight, shared.bias = child.weight, child.bias
            for buffer, value in child.named_buffers(recurse=False):
                setattr(shared, buffer, value)
            setattr(model, name, shared)
        else:
            share_batch_norms(child)

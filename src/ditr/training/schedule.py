"""The one-cycle schedule as a function of the step, and the parameter groups it drives.

Nothing here has state: a resumed run needs the number of its step and nothing else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer

from ditr.errors import InputError

__all__ = ["OneCycle", "ParameterGroup", "parameter_groups"]


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a peak learning rate; ``names`` and ``parameters`` in the order of the model."""

    lr: float
    names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...]


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    patterns: tuple[tuple[str, float], ...],
    default_lr: float,
) -> tuple[ParameterGroup, ...]:
    """Split the trainable parameters by their names; of several patterns that match a name the first wins.

    The published recipes give ``(("block", lr / 10),)``: all encoder and decoder blocks at a tenth of the rate of stem,
    poolings, unpoolings and head. Weight decay is the same for all groups there, norms and biases included.

    Args:
        named_parameters: as ``module.named_parameters()`` gives them; those without ``requires_grad`` are left out.
        patterns: (regular expression, learning rate); the expression may match anywhere in the name.
        default_lr: for the parameters that no pattern matches.

    Returns:
        the default group, then one group per pattern. The default group is left out when it is empty.

    Raises:
        InputError: a pattern that gets no parameter, since its learning rate would silently apply to nothing.
    """
    members: list[list[tuple[str, nn.Parameter]]] = [[] for _ in range(1 + len(patterns))]
    for name, parameter in named_parameters:
        if parameter.requires_grad:
            matches = (i for i, (pattern, _) in enumerate(patterns, start=1) if re.search(pattern, name))
            members[next(matches, 0)].append((name, parameter))
    for (pattern, _), group in zip(patterns, members[1:], strict=True):
        if not group:
            raise InputError(
                f"learning rate of {pattern!r}",
                "this pattern matches no trainable parameter that an earlier one leaves",
                "Correct the pattern or remove it",
            )
    rates = (default_lr, *(lr for _, lr in patterns))
    return tuple(
        ParameterGroup(lr, tuple(name for name, _ in group), tuple(parameter for _, parameter in group))
        for lr, group in zip(rates, members, strict=True)
        if group
    )


@dataclass(frozen=True)
class OneCycle:
    """One-cycle learning rates with cosine ramps, and the momentum that runs against them.

    The rate of a group starts at ``max_lr / div_factor``, reaches ``max_lr`` at step ``pct_start * total_steps - 1``
    and ends, in the last step, at ``max_lr / div_factor / final_div_factor``. Adam's beta1 goes from ``beta1_max`` to
    ``beta1_min`` at the peak and back. These are the numbers of torch's ``OneCycleLR`` with its default two phases
    (Smith, Topin, "Super-convergence", 2018), which the published recipes use.

    Where the warm-up is shorter than one step (``pct_start * total_steps < 1``) the first step is already on the way
    down, as it is there.

    Raises:
        InputError: no steps, no group, a factor or rate that is not positive, ``pct_start`` outside 0..1.
    """

    max_lr: tuple[float, ...]
    total_steps: int
    pct_start: float = 0.05
    div_factor: float = 10.0
    final_div_factor: float = 1000.0
    beta1_min: float = 0.85
    beta1_max: float = 0.95

    def __post_init__(self) -> None:
        positive = (self.total_steps, self.div_factor, self.final_div_factor, *self.max_lr)
        if not self.max_lr or not all(math.isfinite(x) and x > 0 for x in positive):
            raise InputError("schedule", f"{self}", "Rates, factors and the number of steps are finite and positive")
        if not 0 <= self.pct_start <= 1:
            raise InputError("schedule", f"a warm-up of {self.pct_start} of the steps", "Give a share between 0 and 1")
        if not 0 <= self.beta1_min <= self.beta1_max < 1:
            raise InputError(
                "schedule", f"beta1 from {self.beta1_min} to {self.beta1_max}", "Give 0 <= beta1_min <= beta1_max < 1"
            )

    def lr_and_beta1(self, step: int) -> tuple[tuple[float, float], ...]:
        """The learning rate and beta1 of every group in step ``step``, counted from 0.

        Raises:
            InputError: a step outside the schedule.
        """
        if not 0 <= step < self.total_steps:
            raise InputError(
                "schedule",
                f"step {step} of a schedule of {self.total_steps} steps",
                "Give a step in 0..total_steps - 1; a longer run needs a longer schedule",
            )
        height, rising = self._height(step)
        floor = 1 / self.div_factor if rising else 1 / (self.div_factor * self.final_div_factor)
        rate = floor + (1 - floor) * height
        beta1 = self.beta1_max + (self.beta1_min - self.beta1_max) * height
        return tuple((peak * rate, beta1) for peak in self.max_lr)

    def _height(self, step: int) -> tuple[float, bool]:
        """How near the peak a step is, 0..1, and whether it lies before the peak."""
        peak = self.pct_start * self.total_steps - 1
        last = self.total_steps - 1
        if step == peak:
            return 1.0, True
        if step < peak:
            return (1 - math.cos(math.pi * step / peak)) / 2, True
        return (1 + math.cos(math.pi * (step - peak) / (last - peak))) / 2, False

    def apply(self, optimizer: Optimizer, step: int) -> None:
        """Set what ``optimizer`` shall use in step ``step``: call it before ``optimizer.step()``.

        Optimizers without ``betas`` (SGD) get the same value as their ``momentum``.

        Raises:
            InputError: a step outside the schedule, or an optimizer with another number of groups.
        """
        values = self.lr_and_beta1(step)
        if len(values) != len(optimizer.param_groups):
            raise InputError(
                "schedule",
                f"{len(values)} peak learning rates for {len(optimizer.param_groups)} parameter groups",
                "Give one per group, in the order of the groups",
            )
        for group, (lr, beta1) in zip(optimizer.param_groups, values, strict=True):
            group["lr"] = lr
            if "betas" in group:
                group["betas"] = (beta1, *group["betas"][1:])
            else:
                group["momentum"] = beta1

"""The one-cycle schedule: torch's own is the measure. And the parameter groups."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import OneCycleLR

from ditr.errors import InputError
from ditr.training.schedule import OneCycle, parameter_groups


def layers() -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ("stem", "block0", "block1", "head")})


@settings(max_examples=60)
@given(
    total_steps=st.integers(2, 150),
    pct_start=st.floats(0, 1),
    div_factor=st.floats(1, 100),
    final_div_factor=st.floats(1, 1e4),
    momentum=st.booleans(),
)
@pytest.mark.filterwarnings("ignore:.*lr_scheduler.step")
def test_equals_the_scheduler_of_torch(
    total_steps: int, pct_start: float, div_factor: float, final_div_factor: float, momentum: bool
) -> None:
    if pct_start * total_steps == 1:  # torch divides by zero at step 0 there
        return
    max_lr = (0.006, 0.0006)

    def optimizer() -> torch.optim.Optimizer:
        # An optimizer keeps the dictionaries of its groups, so each needs its own.
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in max_lr]
        return torch.optim.SGD(groups, lr=1.0, momentum=0.9) if momentum else torch.optim.AdamW(groups)

    theirs, ours = optimizer(), optimizer()
    scheduler = OneCycleLR(
        theirs,
        list(max_lr),
        total_steps=total_steps,
        pct_start=pct_start,
        div_factor=div_factor,
        final_div_factor=final_div_factor,
    )
    schedule = OneCycle(max_lr, total_steps, pct_start, div_factor, final_div_factor)
    for step in range(total_steps):
        schedule.apply(ours, step)
        for mine, reference in zip(ours.param_groups, theirs.param_groups, strict=True):
            assert mine["lr"] == pytest.approx(reference["lr"], rel=1e-9, abs=1e-12)
            key = "momentum" if momentum else "betas"
            assert mine[key] == pytest.approx(reference[key], rel=1e-9)
        if step + 1 < total_steps:
            theirs.step()
            scheduler.step()


@pytest.mark.parametrize("total_steps", [1, 20])
def test_a_peak_in_the_first_step(total_steps: int) -> None:
    schedule = OneCycle((1.0,), total_steps, pct_start=1 / total_steps)
    assert schedule.lr_and_beta1(0) == ((1.0, 0.85),)


def test_a_resumed_run_needs_only_its_step() -> None:
    schedule = OneCycle((0.01,), 50)
    model = torch.nn.Linear(1, 1)
    straight, resumed = torch.optim.AdamW(model.parameters()), torch.optim.AdamW(model.parameters())
    for step in range(31):
        schedule.apply(straight, step)
    schedule.apply(resumed, 30)
    assert straight.param_groups[0]["lr"] == resumed.param_groups[0]["lr"]
    assert straight.param_groups[0]["betas"] == resumed.param_groups[0]["betas"]


def test_drives_the_groups_of_a_model() -> None:
    groups = parameter_groups(layers().named_parameters(), (("block", 0.1),), 1.0)
    optimizer = torch.optim.AdamW([{"params": group.parameters, "lr": group.lr} for group in groups], betas=(0.9, 0.99))
    OneCycle(tuple(group.lr for group in groups), 100).apply(optimizer, 4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([1.0, 0.1])
    assert [group["betas"] for group in optimizer.param_groups] == [pytest.approx((0.85, 0.99))] * 2


def test_the_first_pattern_wins_and_frozen_parameters_stay_out() -> None:
    model = layers()
    model["head"].requires_grad_(False)
    groups = parameter_groups(model.named_parameters(), ((r"block1\.weight", 3.0), ("block", 2.0)), 1.0)
    assert [(group.lr, group.names) for group in groups] == [
        (1.0, ("stem.weight", "stem.bias")),
        (3.0, ("block1.weight",)),
        (2.0, ("block0.weight", "block0.bias", "block1.bias")),
    ]
    assert groups[1].parameters[0] is model["block1"].weight


def test_an_empty_default_group_is_left_out() -> None:
    assert [group.lr for group in parameter_groups(layers().named_parameters(), ((".", 2.0),), 1.0)] == [2.0]


def test_a_pattern_without_parameters_is_an_error() -> None:
    with pytest.raises(InputError, match="blok"):
        parameter_groups(layers().named_parameters(), (("blok", 1.0),), 1.0)
    with pytest.raises(InputError, match="stem"):
        parameter_groups(layers().named_parameters(), ((".", 2.0), ("stem", 1.0)), 1.0)


@pytest.mark.parametrize("step", [-1, 10])
def test_a_step_outside_is_an_error(step: int) -> None:
    with pytest.raises(InputError, match=f"step {step} of a schedule of 10"):
        OneCycle((1.0,), 10).lr_and_beta1(step)


def test_impossible_schedules_are_errors() -> None:
    for arguments in (
        {"max_lr": ()},
        {"max_lr": (0.0,)},
        {"total_steps": 0},
        {"pct_start": 1.5},
        {"pct_start": float("nan")},
        {"div_factor": float("inf")},
        {"beta1_min": 0.96},
    ):
        with pytest.raises(InputError):
            OneCycle(**({"max_lr": (1.0,), "total_steps": 5} | arguments))


def test_another_number_of_groups_is_an_error() -> None:
    with pytest.raises(InputError, match="2 peak learning rates for 1"):
        OneCycle((1.0, 2.0), 10).apply(torch.optim.AdamW(torch.nn.Linear(1, 1).parameters()), 0)

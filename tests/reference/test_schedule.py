"""The schedule and the parameter groups of the published trainer's recorded runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from golden import GoldenCase

from ditr.training.schedule import OneCycle, parameter_groups


def schedule_of(spec: dict[str, Any], total_steps: int) -> OneCycle:
    return OneCycle(
        max_lr=tuple(spec["max_lr"]),
        total_steps=total_steps,
        pct_start=spec["pct_start"],
        div_factor=spec["div_factor"],
        final_div_factor=spec["final_div_factor"],
        beta1_min=spec["base_momentum"],
        beta1_max=spec["max_momentum"],
    )


def test_every_step_has_the_recorded_values(case_train_trajectory: GoldenCase) -> None:
    spec, arrays = case_train_trajectory.spec["schedule"], case_train_trajectory.arrays
    tolerance = case_train_trajectory.spec["tolerance"]["step.lr, step.beta1, schedule200"]
    for prefix in ("step", "schedule200"):
        lr, beta1 = arrays[f"{prefix}.lr"], arrays[f"{prefix}.beta1"]
        schedule = schedule_of(spec, len(lr))
        ours = np.array([schedule.lr_and_beta1(step) for step in range(len(lr))])
        np.testing.assert_allclose(ours[..., 0], lr, rtol=0, atol=tolerance)
        np.testing.assert_allclose(ours[..., 1], beta1, rtol=0, atol=tolerance)


def test_parameters_fall_into_the_recorded_groups(case_train_trajectory: GoldenCase) -> None:
    arrays = case_train_trajectory.arrays
    names = [*arrays["group_names0"].tolist(), *arrays["group_names1"].tolist()]
    np.random.default_rng(0).shuffle(names)
    parameters = [(name, torch.nn.Parameter(torch.zeros(1))) for name in names]
    groups = parameter_groups(parameters, (("block", 0.0006),), 0.006)
    assert [group.lr for group in groups] == case_train_trajectory.spec["schedule"]["max_lr"]
    for number, group in enumerate(groups):
        assert set(group.names) == set(arrays[f"group_names{number}"].tolist())

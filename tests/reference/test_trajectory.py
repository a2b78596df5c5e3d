"""Twelve steps of our training loop against twelve of the published trainer: losses, gradients, weights, statistics.

In float64: in float32 about a hundred weights have a first gradient of 1e-8 to 1e-7 that is all rounding, and AdamW
makes full steps of them. That moves the loss of step 1 by 2e-5, twice its tolerance; in float64 it is off by 1e-6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from golden import GoldenCase
from lightning_fabric import Fabric
from numpy.typing import NDArray
from published import config_of, filled_model, pyramid_of

from ditr.data.batch import Batch
from ditr.models.segmentation import Segmentation
from ditr.training.loop import StepResult, make_optimizer, take_step
from ditr.training.recipe import OptimizerSettings, Recipe
from ditr.weights.names import to_published

ROUNDING = 1e-6
"""Parameters whose first gradient is below are moved at random by AdamW, there and here."""

TIES = {"train_trajectory_tiny_base": (2385, 2258, 26)}
"""Rows and channel before the first pooling whose values rounding ranks, in step 0: the published winner comes first.

The two differ by 4.7e-7 at a size of 1.3, and exact arithmetic ranks them the other way round than the published run,
which is in float32. The gradient of their cell goes to the winner alone, and AdamW's first step has the same size for
all gradients: left as it is, the tie moves the loss by 1.2e-4 at step 1 and by 3e-3 later. No other values of that step
that compete are within 1e-5.
"""
TIED = 2e-6


def recipe_of(spec: dict[str, Any]) -> Recipe:
    schedule, optimizer = spec["schedule"], spec["optimizer"]
    settings = OptimizerSettings(
        lr=schedule["max_lr"][0],
        block_lr=schedule["max_lr"][1],
        weight_decay=optimizer["weight_decay"],
        warmup=schedule["pct_start"],
        div_factor=schedule["div_factor"],
        final_div_factor=schedule["final_div_factor"],
        clip=spec["gradient_clipping"],
    )
    return Recipe(network=config_of(spec), optimizer=settings, steps=spec["steps"])


def batches_of(case: GoldenCase, dtype: torch.dtype) -> Iterator[Batch]:
    """The stored batches in turn, for ever."""
    parts = []
    for entry in case.spec["batches"]:
        array = {key: case.arrays[entry["prefix"] + key] for key in ("grid_coord", "offset", "feat", "segment")}
        _, pyramid = pyramid_of(array["grid_coord"], array["offset"], case.spec)
        parts.append(
            Batch(
                names=(entry["prefix"],),
                feature=torch.from_numpy(array["feat"]).to(dtype),
                pyramid=pyramid,
                lift=None,
                tokens=None,
                label=torch.from_numpy(array["segment"]).long(),
            )
        )
    while True:
        yield from parts


def break_tie(case: GoldenCase, model: Segmentation) -> Callable[[], None]:
    """Let the published winner of a case's tie win in the next step; returns what ends this.

    Values that are further apart than rounding explains are an error that this must not hide.
    """
    if case.name not in TIES:
        return lambda: None
    winner, other, channel = TIES[case.name]

    def lift(_module: torch.nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        assert abs(output[winner, channel] - output[other, channel]) < TIED
        nudge = torch.zeros_like(output)
        nudge[winner, channel] = TIED
        return output + nudge

    return model.backbone.encoder[1].pool.linear.register_forward_hook(lift).remove


def relative(actual: torch.Tensor, expected: NDArray[Any]) -> float:
    """L2 norm of the difference over that of the expected values."""
    ours, theirs = actual.detach().double().numpy(), expected.astype(np.float64)
    assert ours.shape == theirs.shape
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def steps_of(case: GoldenCase, recipe: Recipe, bare: Segmentation) -> Iterator[tuple[StepResult, list[dict[str, Any]]]]:
    """Train ``bare``; the result of each step, and the optimizer's groups as they were in it."""
    fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
    optimizer, schedule = make_optimizer(recipe, bare)
    model, running = fabric.setup(bare, optimizer)
    model.train()
    batches = batches_of(case, next(bare.parameters()).dtype)
    for step in range(recipe.steps):
        schedule.apply(running, step)
        yield take_step(recipe, fabric, model, running, batches), running.param_groups


def test_first_step_with_nothing_touched(case_train_trajectory: GoldenCase) -> None:
    case = case_train_trajectory
    result, _ = next(steps_of(case, recipe_of(case.spec), filled_model(case)))
    assert result.loss == pytest.approx(case.arrays["step.loss"][0], rel=1e-6)
    assert result.gradient_norm == pytest.approx(case.arrays["step.grad_norm"][0], rel=5e-5)


@pytest.mark.slow
def test_twelve_steps(case_train_trajectory: GoldenCase) -> None:
    case = case_train_trajectory
    arrays, recipe = case.arrays, recipe_of(case.spec)
    bare = filled_model(case).double()
    untie = break_tie(case, bare)
    results, used = [], []
    for result, groups in steps_of(case, recipe, bare):
        untie()
        results.append(result)
        used.append([(group["lr"], group["betas"][0]) for group in groups])
    assert len(results) == recipe.steps

    np.testing.assert_allclose(np.array(used)[..., 0], arrays["step.lr"], rtol=0, atol=1e-9)
    np.testing.assert_allclose(np.array(used)[..., 1], arrays["step.beta1"], rtol=0, atol=1e-9)
    loss = [result.loss for result in results]
    np.testing.assert_allclose(loss[:2], arrays["step.loss"][:2], rtol=1e-5)
    np.testing.assert_allclose(loss, arrays["step.loss"], rtol=5e-4)
    norm = [result.gradient_norm for result in results]
    np.testing.assert_allclose(norm, arrays["step.grad_norm"], rtol=5e-3)

    parameters = to_published(dict(bare.named_parameters()), bare.backbone.config)
    names = arrays["param_names"].tolist()
    first = dict(zip(names, arrays["first_step_grad_norms"].tolist(), strict=True))
    assert parameters.keys() == first.keys()
    compared = {name for name in names if first[name] >= ROUNDING}
    for name, expected in zip(names, arrays["param_norms"].tolist(), strict=True):
        if name in compared:
            assert parameters[name].double().norm().item() == pytest.approx(expected, rel=3e-3), name
    buffers = to_published(dict(bare.named_buffers()), bare.backbone.config)
    for key, expected in arrays.items():
        kind, _, name = key.partition(".")
        if kind == "param" and name in compared and not name.endswith("attn.qkv.bias"):
            assert relative(parameters[name], expected) <= 5e-3, name
        elif kind == "buf":
            assert relative(buffers[name], expected) <= (1e-2 if name.endswith("var") else 3e-2), name


def test_groups_of_our_names_are_the_published_ones(case_train_trajectory: GoldenCase) -> None:
    """The published pattern is ``block`` in their names; ours finds the same parameters by our names."""
    case = case_train_trajectory
    model = filled_model(case)
    optimizer, _ = make_optimizer(recipe_of(case.spec), model)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.05, 0.05]
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    for number, group in enumerate(optimizer.param_groups):
        ours = to_published({name_of[id(parameter)]: parameter for parameter in group["params"]}, model.backbone.config)
        assert set(ours) == set(case.arrays[f"group_names{number}"].tolist())

"""Checkpoints: weights, optimizer state and step come back bit for bit, or the file is passed over."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from torch import nn

from ditr.errors import InputError
from ditr.training.checkpoint import Pace, Progress, is_finished, load_newest, mark_finished, save_checkpoint


def network(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    """With BatchNorm (buffers, one of them an integer) and one parameter that never gets a gradient."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    model.register_parameter("unused", nn.Parameter(torch.ones(2)))
    return model, torch.optim.AdamW([{"params": list(model.parameters()), "lr": 0.1}])


def step(model: nn.Module, optimizer: torch.optim.Optimizer, times: int = 1) -> None:
    for _ in range(times):
        optimizer.zero_grad()
        model(torch.randn(8, 3)).square().sum().backward()
        optimizer.step()


def state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    moments = {f"{i}.{name}": value for i, of in optimizer.state_dict()["state"].items() for name, value in of.items()}
    return {**model.state_dict(), **moments}


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        assert value.dtype == b[name].dtype and torch.equal(value, b[name]), name


def test_training_goes_on_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = network(0)
    step(model, optimizer, 3)
    save_checkpoint(tmp_path, Progress(3, 1, best=0.5, best_step=2), model, optimizer, "run")
    other, other_optimizer = network(1)
    assert load_newest(tmp_path, other, other_optimizer, ["run"]) == Progress(3, 1, best=0.5, best_step=2)
    assert_same(state(model, optimizer), state(other, other_optimizer))
    torch.manual_seed(5)
    step(model, optimizer, 2)
    torch.manual_seed(5)
    step(other, other_optimizer, 2)
    assert_same(state(model, optimizer), state(other, other_optimizer))


def test_nothing_to_take_up(tmp_path: Path) -> None:
    model, optimizer = network(0)
    assert load_newest(tmp_path / "none", model, optimizer, ["run"]) == Progress()
    save_checkpoint(tmp_path, Progress(), model, optimizer, "run")
    assert load_newest(tmp_path, model, optimizer, ["old name", "run"]) == Progress()


def test_the_last_two_are_kept_and_rests_of_killed_writers_go(tmp_path: Path) -> None:
    model, optimizer = network(0)
    for number in (2, 4, 10):
        (tmp_path / f".step-{number:08d}.1-ab.part.safetensors").write_bytes(b"half")
        save_checkpoint(tmp_path, Progress(number), model, optimizer, "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000004.safetensors",
        "step-00000010.safetensors",
    ]


@pytest.mark.parametrize("kept", [0, 7, 200, -1])
def test_the_newest_readable_one_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture, kept: int) -> None:
    model, optimizer = network(0)
    step(model, optimizer)
    wanted = {name: value.clone() for name, value in state(model, optimizer).items()}
    save_checkpoint(tmp_path, Progress(1), model, optimizer, "run")
    step(model, optimizer)
    newest = save_checkpoint(tmp_path, Progress(2), model, optimizer, "run")
    newest.write_bytes(newest.read_bytes()[:kept])
    with caplog.at_level(logging.WARNING):
        assert load_newest(tmp_path, model, optimizer, ["old name", "run"]) == Progress(1)
    assert str(newest) in caplog.text
    assert_same(state(model, optimizer), wanted)


def test_where_none_can_be_read_the_run_begins_anew_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = network(0)
    save_checkpoint(tmp_path, Progress(1), model, optimizer, "run").write_bytes(b"torn")
    with caplog.at_level(logging.WARNING):
        assert load_newest(tmp_path, model, optimizer, ["old name", "run"]) == Progress()
    assert f"no checkpoint in {tmp_path} can be read; the run starts again" in caplog.text


def test_those_of_another_run_are_refused(tmp_path: Path) -> None:
    model, optimizer = network(0)
    path = save_checkpoint(tmp_path, Progress(1), model, optimizer, "run")
    before = {name: value.clone() for name, value in state(model, optimizer).items()}
    with pytest.raises(InputError, match=r"another recipe or to other data\. Choose another folder") as refused:
        load_newest(tmp_path, model, optimizer, ["another run"])
    assert refused.value.where == str(path)
    assert_same(state(model, optimizer), before)


def test_a_run_is_finished_when_mark_and_model_are_there(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        assert not is_finished(tmp_path, ["run"], 7)
        (tmp_path / name).touch()
    assert not is_finished(tmp_path, ["run"], 7)
    mark_finished(tmp_path, 7, "run")
    assert is_finished(tmp_path, ["old name", "run"], 7)
    with pytest.raises(InputError, match="another recipe"):
        is_finished(tmp_path, ["another run"], 7)


def test_a_finished_run_is_made_longer_from_its_checkpoints(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).touch()
    mark_finished(tmp_path, 7, "run")
    with pytest.raises(InputError, match=r"finished after 7 steps, and its checkpoints were deleted\. .*--init"):
        is_finished(tmp_path, ["run"], 9)
    save_checkpoint(tmp_path / "checkpoints", Progress(7), *network(0), "run")
    assert not is_finished(tmp_path, ["run"], 9)


def test_a_checkpoint_is_due_after_steps_after_minutes_and_at_the_end() -> None:
    pace = Pace(every=4, minutes=10)
    assert [step for step in range(1, 11) if pace.due(step, 10)] == [4, 8, 10]
    pace.written -= 601
    assert pace.due(1, 10) and not Pace(4, 0, pace.written).due(1, 10)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_mark_is_named(tmp_path: Path, content: bytes) -> None:
    for name in ("model.safetensors", "config.json"):
        (tmp_path / name).touch()
    (tmp_path / "finished.json").write_bytes(content)
    with pytest.raises(InputError, match=r"finished\.json"):
        is_finished(tmp_path, ["run"], 7)

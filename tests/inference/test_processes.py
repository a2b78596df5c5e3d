"""Helping processes: they answer in order, die alone, and what they send arrives whole."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fragile
import numpy as np
import pytest
import torch
from small_world import make_scene

from ditr.data.preparation import Preparation
from ditr.data.sample import prepare
from ditr.geometry.pyramid import PyramidSpec
from ditr.inference.parcel import Parcel
from ditr.inference.processes import Answer, Died, Helpers, usual_helpers
from ditr.inference.ready import VoxelLabels


def collect(helpers: Helpers, count: int) -> list[Answer | Died]:
    found: list[Answer | Died] = []
    end = time.monotonic() + 60
    while len(found) < count:
        assert time.monotonic() < end, found
        found += helpers.answers(wait=True)
    return found


def test_they_answer_in_order_and_die_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "ditr")
    with Helpers(2) as helpers:
        helpers.equip(fragile.make, "a helper")
        for message in (1, "warn", "threads", "die", 2):
            helpers.tell(0, message)
        helpers.tell(1, np.arange(3))
        found = collect(helpers, 5)
        first = [answer for answer in found if answer.helper == 0]
        assert [answer.content for answer in first if isinstance(answer, Answer)] == [2, "warnwarn", 1]
        assert isinstance(first[-1], Died) and list(first[-1].unanswered) == ["die", 2]
        assert first[-1].at == "die"
        assert first[-1].how == "ended by signal 9, probably because memory ran out"
        other = next(answer for answer in found if answer.helper == 1)
        assert isinstance(other, Answer) and other.content.tolist() == [0, 2, 4]
        helpers.tell(0, 4)  # another one has taken its place, and has what it needs
        assert [answer.content for answer in collect(helpers, 1) if isinstance(answer, Answer)] == [8]
    assert "a word from a helper" in caplog.text


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from ditr.inference.processes import Helpers\nwith Helpers(1) as h:\n    list(h.answers(True))\n"
    )
    script.write_text(script.read_text() + "    while True: list(h.answers(True))\n")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, check=False)
    assert "InputError: worker processes: they cannot start (ended with status 1). Call this under" in done.stderr


@dataclass(frozen=True)
class Things:
    tensor: torch.Tensor
    rest: dict[str, Any]


def things() -> Things:
    readonly = np.arange(5.0)
    readonly.flags.writeable = False
    rest = {
        "a": (torch.arange(7, dtype=torch.int32)[::2], [readonly, np.zeros((0, 3), np.float32)], "text", None),
        "b": MappingProxyType({"c": np.array(True)}),
        "scalar": torch.tensor(2.5, dtype=torch.float16),
        "twice": [readonly, readonly],
    }
    return Things(torch.rand(3, 5).T, rest)


@pytest.mark.parametrize("shared", [True, False])
def test_a_parcel_gives_back_what_was_packed(shared: bool) -> None:
    given = things()
    parcel = Parcel.of(given)
    if not shared:  # as where there is too little shared memory
        assert isinstance(parcel.block, torch.Tensor)
        parcel = Parcel[Things](parcel.content, parcel.block.numpy().tobytes())
    found = parcel.unpack()
    assert torch.equal(found.tensor, given.tensor)
    strided, (values, empty), *others = found.rest["a"]
    assert torch.equal(strided, torch.tensor([0, 2, 4, 6], dtype=torch.int32)) and others == ["text", None]
    assert values.tolist() == [0, 1, 2, 3, 4] and values.dtype == np.float64 and empty.shape == (0, 3)
    assert isinstance(found.rest["b"], MappingProxyType) and found.rest["b"]["c"] == np.array(True)
    assert found.rest["scalar"].item() == 2.5
    assert np.shares_memory(*found.rest["twice"])


def test_a_sample_in_a_parcel_is_the_same_sample() -> None:
    sample = prepare(make_scene(), Preparation(voxel_size=0.25), PyramidSpec(levels=2, patch_size=64))
    found = Parcel.of(sample).unpack()
    assert torch.equal(found.feature, sample.feature) and len(found.pyramid.levels) == 2
    for one, other in zip(found.pyramid.levels, sample.pyramid.levels, strict=True):
        assert torch.equal(one.grid, other.grid) and one.patches.runs == other.patches.runs
        assert torch.equal(one.patches.gather, other.patches.gather)


def test_scores_that_are_not_finite_name_a_point() -> None:
    voxels = VoxelLabels(np.zeros(3, np.int32), np.ones(3, np.float32), np.array([2]))
    with pytest.raises(ValueError, match="no finite scores for 1 voxels; the first has point 4"):
        voxels.of_points(np.array([0, 1, 0, 1, 2, 2]), "a")


def test_one_scene_needs_no_helper() -> None:
    assert usual_helpers("cpu", 1) == 0
    assert 1 <= usual_helpers("cpu", 100) <= 8

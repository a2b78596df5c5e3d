"""``ditr bench``: what is counted is right, processes measure what they are told, and faults are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ditr.errors import InputError
from ditr.geometry.pyramid import build_pyramid
from ditr.studies.bench.against import interval
from ditr.studies.bench.inputs import room_voxels
from ditr.studies.bench.networks import network_of
from ditr.studies.bench.plan import Job
from ditr.studies.bench.run import Bench, run_bench, write_results
from ditr.studies.bench.stages import Stages
from ditr.studies.bench.work import work_of

SMALL = {"what": ("pyramid",), "cases": ("ditr",), "voxels": (400,), "threads": (1,), "repeats": 2}


def test_a_fresh_process_measures_and_tells_where_the_time_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    said: list[str] = []
    content = run_bench(Bench(**SMALL), said.append)
    (row,) = content["rows"]
    assert row["size"] == 400 and row["unit"] == "voxels"
    assert 0 < row["p10"] <= row["seconds"] <= row["p90"]
    assert row["facts"]["bytes"] > 400 * 125 and row["operator_calls"] > 100
    assert {"neighbours", "curve codes", "lift", "rest"} <= set(row["stages"])
    assert "pyramid ditr 400" in said[0]
    assert row["thread_spins"] == "3000"  # as the program itself has it
    json_file, md_file = write_results(content, tmp_path / "results" / "small")
    assert json.loads(json_file.read_text())["rows"][0]["seconds"] == row["seconds"]
    table = md_file.read_text()
    assert content["machine"]["torch"] in table and "| pyramid | ditr | 400 voxels |" in table


@pytest.mark.slow
def test_a_revision_is_as_fast_as_itself_and_computes_the_same() -> None:
    asked = {**SMALL, "what": ("inference",), "cases": ("minkunet",), "pairs": 2, "stages": False, "repeats": 1}
    rows = run_bench(Bench(**asked, against="HEAD"), lambda line: None)["rows"]
    peaks, row = rows
    assert all(value > 0 for value in peaks["peaks"].values())
    assert row["against"]["differences"] == {"logits": 0.0}
    assert len(row["against"]["ratios"]) == 2
    assert row["floor_seconds"] > 0


@pytest.mark.parametrize("case", ["ptv3", "minkunet"])
def test_pairs_are_those_of_the_neighbour_tables(case: str) -> None:
    grid = torch.unique(torch.randint(0, 12, (900, 3), generator=torch.Generator().manual_seed(0)), dim=0)
    network, work = network_of(case), work_of(case, grid)
    finest = build_pyramid(grid, network.pyramid).levels[0]
    tables = [table if isinstance(table, Tensor) else table.table() for table in finest.neighbours.values()]
    share = [float((table < len(grid)).double().mean()) for table in tables]
    assert min(share) / 2 < work.pairs / work.table < 1
    assert work.needed == work.pairs + work.attention + work.linear
    assert (work.attention > 0) == (case == "ptv3")


def test_operations_are_those_of_the_published_table() -> None:
    """Of 80,000 voxels, GFLOP: convolutions 124 by the table and 58 by pairs, attention 115, everything else 62."""
    work = work_of("ptv3", room_voxels(80_000))
    assert work.table == pytest.approx(124, rel=0.06)
    assert work.pairs == pytest.approx(58, rel=0.06)
    assert work.attention == pytest.approx(115, rel=0.06)
    assert work.linear == pytest.approx(62, rel=0.1)


def test_rooms_stand_side_by_side_without_a_voxel_twice() -> None:
    one, house = room_voxels(1_000), room_voxels(150_000)
    assert len(one) == 1_000 and len(house) == 150_000
    assert len(torch.unique(house, dim=0)) == 150_000 and int(house.min()) == 0
    assert house.max(dim=0).values[1] > 1.5 * one.max(dim=0).values[1]


def test_stages_are_told_without_what_is_inside_them() -> None:
    clock = Stages("cpu")
    with clock.stage("outer"), clock.stage("inner"):
        total = sum(range(200_000))
    assert total and clock.seconds["inner"] > clock.seconds["outer"] > 0


def test_the_interval_holds_the_median_and_narrows_with_agreement() -> None:
    low, high = interval([1.4, 1.5, 1.6, 1.5, 1.45])
    assert 1.4 <= low <= 1.5 <= high <= 1.6
    assert interval([2.0] * 5) == (2.0, 2.0)


def test_a_job_survives_the_way_to_its_process() -> None:
    job = Job("files", "ditr", None, 2, "fp32", "cpu", 5, "inputs", stages=True)
    assert Job.from_text(job.to_text()) == job and job.title == "files ditr"


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"what": ("inferense",)}, "'inference'"),
        ({"cases": ("minkunett",)}, "'minkunet'"),
        ({"voxels": (3_000_000,)}, "2000000"),
        ({"repeats": 0}, "--repeats"),
    ],
)
def test_what_cannot_be_measured_is_refused(asked: dict[str, object], text: str) -> None:
    with pytest.raises(InputError, match=text):
        Bench(**asked)  # type: ignore[arg-type]


def test_a_revision_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="no-such-revision"):
        run_bench(Bench(**SMALL, against="no-such-revision"), lambda line: None)

"""A table from nothing to its report, killed on the way; a miniature of the miniature."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import field, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from ditr.io.settings_json import to_json_values
from ditr.studies.reproduce import experiment
from ditr.studies.reproduce.catalogue import TABLES
from ditr.studies.reproduce.experiment import ALL_VIEWS, COARSE, RoomsWorld, Trial, Views, digest
from ditr.studies.reproduce.run import first_seeds, make_plan, reproduce
from ditr.studies.reproduce.settings import FULL, QUICK
from ditr.studies.reproduce.work import Workplace, make_world, read_rows, write_row
from ditr.training.recipe import DistillTask, Recipe, SegmentTask

RESULTS = Path(__file__).parents[3] / "docs" / "results"
TINY = replace(
    QUICK,
    rooms=(2, 2),
    views=2,
    steps=2,
    distill_steps=2,
    encoder="random:dinov2-small:1",
)

PROGRAM = """
import sys
from pathlib import Path
from ditr.studies.reproduce.catalogue import TABLES
from ditr.studies.reproduce.run import reproduce
from tests_scale import TINY
if __name__ == "__main__":
    out, work = Path(sys.argv[1]), Path(sys.argv[2])
    reproduce([TABLES["table1"](TINY)], TINY, out, work, seeds=(1,), workers=1)
"""

SCALE = """
from dataclasses import replace
from ditr.studies.reproduce.settings import QUICK
TINY = replace(QUICK, rooms=(2, 2), views=2, steps=2, distill_steps=2, encoder="random:dinov2-small:1")
"""


def silent(_done: int, _total: int) -> None:
    pass


def test_what_is_done_is_not_planned_again(tmp_path: Path) -> None:
    table, place = TABLES["table1"](TINY), Workplace(tmp_path)
    names = [job.name for job in make_plan([table], (1,), place)]
    done, left = table.trials[0], table.trials[1:]
    write_row(place.rows, {"trial": digest(done), "seed": 1})
    folder = place.run(done.stage, 1)
    after = [job.name for job in make_plan([table], (1,), place, done=read_rows(place.rows))]
    assert len(after) == len(names) - 2  # the evaluation, and the training that nobody else needs
    assert not any(folder.name in name for name in after)
    folder = place.run(left[0].stage, 1)
    folder.mkdir(parents=True)
    (folder / "complete").write_text("{}")
    again = make_plan([table], (1,), place, done=read_rows(place.rows))
    assert not any(job.name.startswith("train") and folder.name in job.name for job in again)
    assert sum(job.group == "evaluation" for job in again) == len(left)
    begun = {job.name for job in again}
    assert all(set(job.after) <= begun for job in again)


def test_trials_differ_by_their_views() -> None:
    trial = TABLES["table1"](TINY).trials[0]
    assert trial.views == ALL_VIEWS
    assert digest(replace(trial, views=Views(3))) != digest(trial)
    assert digest(replace(trial, swap=True)) != digest(trial)


@pytest.mark.parametrize("name", TABLES)
def test_every_row_that_was_measured_is_found(name: str) -> None:
    rows = read_rows(RESULTS / f"{name}.jsonl")
    for cell in TABLES[name](FULL).cells:
        for seed in first_seeds(3):
            row = rows[digest(cell.trial), seed]
            assert row["swapped"] == cell.trial.swap and row["views"] == to_json_values(cell.trial.views)


def grown(recipe: Recipe, name: str, default: object, **value: object) -> Recipe:
    """The recipe in a version of its class that has one more field, or another default."""
    kind = make_dataclass("Recipe", [(name, Any, field(default=default))], bases=(Recipe,), frozen=True)
    made: Recipe = kind(**{part.name: getattr(recipe, part.name) for part in fields(recipe)} | value)
    return made


def test_fixed_defaults_are_of_classes_that_trials_have() -> None:
    """A class by another name would be compared with its own defaults, which may change."""
    found: set[str] = set()
    left: list[Any] = [Trial]
    while left:
        kind = left.pop()
        if is_dataclass(kind) and kind.__name__ not in found:
            found.add(kind.__name__)
            left += get_type_hints(kind).values()
        left += get_args(kind)
    named = json.loads((Path(experiment.__file__).parent / "defaults.json").read_text())
    assert found >= named.keys() >= {"Recipe", "Preparation", "Trial"}


def test_a_field_that_is_added_costs_no_row() -> None:
    recipe = TABLES["table1"](FULL).trials[0].stage.recipe
    assert digest(grown(recipe, "news", 0)) == digest(recipe)
    assert digest(grown(recipe, "news", 0, news=1)) != digest(recipe)


def test_a_default_that_is_changed_takes_no_row_of_another_training() -> None:
    recipe = replace(TABLES["table1"](FULL).trials[0].stage.recipe, batch_size=12)
    assert digest(grown(recipe, "batch_size", 5)) == digest(recipe)
    assert (
        digest(grown(recipe, "batch_size", 5, batch_size=5)) == digest(replace(recipe, batch_size=5)) != digest(recipe)
    )
    assert digest(SegmentTask()) != digest(DistillTask())


@pytest.mark.slow
def test_coarse_rooms_are_the_fine_ones_with_fewer_classes(tmp_path: Path) -> None:
    from ditr.captures.capture import read_capture

    place, fine = Workplace(tmp_path), RoomsWorld(1, 1, views=1)
    coarse = replace(fine, coarse=True)
    make_world(place, fine, 1, silent)
    make_world(place, coarse, 1, silent)
    make_world(place, coarse, 1, silent)  # once more changes nothing
    for split in ("train", "test"):
        a, b = (read_capture(place.captures(world, 1, split)[0]) for world in (fine, coarse))
        assert (a.coord == b.coord).all() and b.class_names == tuple(name for name, _ in COARSE)
        assert a.label is not None and b.label is not None
        of = {name: coarse_name for coarse_name, names in COARSE for name in names}
        assert all(
            of[a.class_names[label]] == b.class_names[other]
            for label, other in zip(a.label, b.label, strict=True)
            if label >= 0
        )
        assert ((a.label < 0) == (b.label < 0)).all()


@pytest.mark.slow
def test_killed_between_jobs_it_goes_on_and_ends_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "tests_scale.py").write_text(SCALE)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path / "out"), str(tmp_path / "work")]
    rows, log = tmp_path / "work" / "rows.jsonl", tmp_path / "work" / "reproduce.log"
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 300
    while not rows.exists() and first.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert rows.exists() and not (tmp_path / "out" / "table1.md").exists()
    before, line = log.read_text(), rows.read_text()
    kept = (tmp_path / "out" / "table1.jsonl").read_text() if (tmp_path / "out" / "table1.jsonl").exists() else ""
    assert all(json.loads(text)["seed"] == 1 for text in kept.splitlines())
    done = {text.split("  ")[2] for text in before.splitlines() if "  end  " in text}
    second = subprocess.run(command, capture_output=True, text=True)
    assert second.returncode == 0, second.stderr
    assert rows.read_text().startswith(line)
    started = {text.split("  ")[-1] for text in log.read_text()[len(before) :].splitlines() if "  begin  " in text}
    assert started and not {name for name in started if name.startswith("train")} & done
    assert len((tmp_path / "out" / "table1.jsonl").read_text().splitlines()) == 10
    results = [json.loads(text) for text in (tmp_path / "out" / "table1.jsonl").read_text().splitlines()]
    assert {row["seed"] for row in results} == {1} and all(0 <= row["figures"]["mIoU"] <= 100 for row in results)
    assert "smoke run" in (tmp_path / "out" / "table1.md").read_text()
    assert (tmp_path / "out" / "pictures" / "table1.jpg").stat().st_size > 10_000
    third = subprocess.run(command, capture_output=True, text=True)
    assert third.returncode == 0 and "0 jobs to do" in " ".join(third.stdout.split())
    report = (tmp_path / "out" / "table1.md").read_text()
    # On another machine, which has the reports and nothing else.
    elsewhere = subprocess.run([*command[:-1], str(tmp_path / "new")], capture_output=True, text=True)
    assert elsewhere.returncode == 0 and "0 jobs to do" in " ".join(elsewhere.stdout.split())
    assert (tmp_path / "out" / "table1.md").read_text() == report


def test_it_ends_with_tables_verdicts_and_what_lies_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, work = tmp_path / "out", tmp_path / "work"
    out.mkdir()
    for name in ("table1", "table2"):
        shutil.copy(RESULTS / f"{name}.jsonl", out)
    (out / "table2.jsonl").write_text("")
    work.mkdir()
    (work / "world").write_bytes(bytes(1_500_000))
    reproduce([TABLES["table1"](FULL), TABLES["table2"](FULL)], FULL, out, work, seeds=(1, 2, 3), only_report=True)
    first, second, places = capsys.readouterr().out.strip().split("\n\n")
    report = (RESULTS / "table1.md").read_text()
    (judged,) = [line.removeprefix("## ") for line in report.splitlines() if line.startswith("## Expected orderings")]
    assert f"{judged}.\n" in first
    for line in first.splitlines():
        *_, verdict = re.split("  +", line)
        assert verdict.rstrip(".") in report
    assert second == f"{TABLES['table2'](FULL).title}\nno row of it was run"
    assert str(out) in places and f"{work}, 2 MB" in places


def test_command_refuses_what_cannot_be(tmp_path: Path) -> None:
    for arguments, complaint in (
        (["table1", "--seeds", "0"], "seeds"),
        (["table6", "--encoder", str(tmp_path / "none")], "no such folder"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ditr", "reproduce", *arguments], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 2 and complaint in done.stderr
    assert not list(tmp_path.iterdir())

"""Every table: its plan for every seed, its recipes, and the paper's numbers in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from ditr.cli.reproduce import Name
from ditr.io.settings_json import from_plain, to_json_values
from ditr.models.ptv3 import PTv3
from ditr.studies.reproduce.catalogue import TABLES
from ditr.studies.reproduce.experiment import Cell, Ordering, PaperTable, Stage, digest
from ditr.studies.reproduce.run import first_seeds, make_plan
from ditr.studies.reproduce.settings import FULL, QUICK, Scale
from ditr.studies.reproduce.work import Workplace
from ditr.training.recipe import Recipe

SEEDS = first_seeds(3)


def stages(table: PaperTable) -> list[Stage]:
    found = {trial.stage for trial in table.trials}
    return [*found, *{stage.start for stage in found if stage.start is not None}]


def test_command_knows_all_tables() -> None:
    assert set(get_args(Name)) == {*TABLES, "all"}
    assert [name for name in TABLES if name.startswith("table")] == [f"table{number}" for number in range(1, 10)]


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=["full", "quick"])
@pytest.mark.parametrize("name", TABLES)
def test_plan_has_everything_in_order_for_every_seed(name: str, scale: Scale, tmp_path: Path) -> None:
    table = TABLES[name](scale)
    assert table.name == name
    jobs = make_plan([table], SEEDS, Workplace(tmp_path))
    begun: set[str] = set()
    for job in jobs:
        assert set(job.after) <= begun, f"{job.name} waits for what comes later or never"
        begun.add(job.name)
        assert job.cost > 0
    count = {group: sum(job.group == group for job in jobs) for group in ("training", "evaluation")}
    assert count == {"training": 3 * len({digest(s) for s in stages(table)}), "evaluation": 3 * len(table.trials)}
    # A seed has nothing that another has: nobody may be paired with other worlds than its own.
    assert all(sum(f"seed{seed}" in job.name or f"seed {seed}" in job.name for seed in SEEDS) == 1 for job in jobs)


@pytest.mark.parametrize("name", TABLES)
def test_recipes_survive_their_files(name: str) -> None:
    for stage in stages(TABLES[name](FULL)):
        for seed in SEEDS:
            recipe = replace(stage.recipe, seed=seed)
            assert from_plain(Recipe, json.loads(json.dumps(to_json_values(recipe))), "recipe") == recipe


@pytest.mark.parametrize("name", TABLES)
def test_variants_of_a_world_have_the_same_budget(name: str) -> None:
    budgets: dict[object, set[object]] = {}
    for trial in TABLES[name](FULL).trials:
        recipe = trial.stage.recipe
        budgets.setdefault(trial.world.base, set()).add((recipe.steps, recipe.batch_size, recipe.optimizer))
    assert all(len(found) == 1 for found in budgets.values())


@pytest.mark.parametrize("name", TABLES)
def test_students_fit_what_starts_from_them(name: str) -> None:
    for stage in stages(TABLES[name](FULL)):
        if stage.start is not None:
            assert stage.start.recipe.network == stage.recipe.network
            assert stage.start.recipe.preparation == stage.recipe.preparation
            assert stage.recipe.encoder is None
        assert len(stage.worlds) == max(1, len(stage.recipe.datasets))


def test_injection_variants_can_be_built() -> None:
    for stage in stages(TABLES["table5"](FULL)):
        width = None if stage.recipe.encoder is None else 384
        network = replace(stage.recipe.network, image_width=width)
        assert PTv3(network).config.image_width == width


def test_orderings_agree_with_the_paper() -> None:
    """What is expected is what the paper found, where it has both numbers."""
    for make in TABLES.values():
        table = make(FULL)
        for ordering in table.orderings:
            better, worse = table.cell(ordering.better).paper, table.cell(ordering.worse).paper
            if better is not None and worse is not None:
                assert better - worse > ordering.at_least, (table.name, ordering)


def test_tables_share_their_trainings() -> None:
    one, five = stages(TABLES["table1"](FULL)), stages(TABLES["table5"](FULL))
    assert len({digest(stage) for stage in one} & {digest(stage) for stage in five}) == 2


def test_names_of_trainings_do_not_matter_but_worlds_and_shares_do() -> None:
    stage = TABLES["table1"](FULL).trials[0].stage
    assert digest(replace(stage, name="other")) == digest(stage)
    assert digest(replace(stage, share=0.5)) != digest(stage)
    assert digest(replace(stage, worlds=(replace(FULL.room(), test=3),))) != digest(stage)
    named = replace(stage, start=replace(stage, name="another start"))
    assert digest(named) == digest(replace(stage, start=stage)) != digest(stage)


def test_limited_reconstructions_have_a_hundred_rooms() -> None:
    shares = {(stage.share, stage.worlds[0].train) for stage in stages(TABLES["table7"](FULL))}
    assert shares == {(share, 100) for share in (0.01, 0.05, 0.1, 0.2, 1.0)}


def test_other_encoders_are_rows_of_table_6() -> None:
    table = TABLES["table6"](replace(FULL, local=("weights/own-vit",)))
    assert "local: own-vit" in table.rows
    assert {row.row for row in table.missing} >= {"DINOv3 ViT-L", "SigLIP 2 ViT-g"}


def test_tables_that_contradict_themselves_are_refused() -> None:
    trial = TABLES["table1"](FULL).trials[0]
    cell = Cell("a", "b", trial)
    with pytest.raises(ValueError, match="twice"):
        PaperTable("t", "T", "", (cell, cell))
    with pytest.raises(ValueError, match="lacks"):
        PaperTable("t", "T", "", (cell,), (Ordering(("a", "b"), ("c", "b")),))

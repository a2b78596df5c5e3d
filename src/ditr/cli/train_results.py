"""What ``ditr train`` leaves at its end: the report of the run, and what can be done with the model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding
    from ditr.errors import Finding
    from ditr.training.recipe import Recipe

__all__ = ["finish"]


def finish(
    folder: Path, recipe: Recipe, data: Path, encoding: CachedEncoding | None, findings: Sequence[Finding]
) -> None:
    """Write ``report.html`` and say where it and the model are; in the first of the processes that train.

    Args:
        folder: of the run.
        recipe: that was trained.
        data: captures, or root of the prepared datasets.
        encoding: of photographs; None without.
        findings: about the scenes.
    """
    from ditr.cli.faults import is_first_process
    from ditr.cli.provenance import provenance
    from ditr.inference.assumptions import of_encoder
    from ditr.pictures.report import write_report
    from ditr.recipes.prepared import is_prepared
    from ditr.training.recipe import DistillTask
    from ditr.training.report import run_report

    if not is_first_process():
        return
    page = folder / "report.html"
    write_report(page, run_report(folder, provenance(findings=[of_encoder(encoding)]), findings))
    print(f"model in {folder}, report in {page}")
    if isinstance(recipe.task, DistillTask):
        print(f"start another training from it with: --init {folder}")
    elif is_prepared(recipe):
        print(f"test it with: ditr verify {recipe.datasets[0].name} --model {folder} --data {data}")
    else:
        print(f"label a capture with: ditr segment CAPTURE --model {folder}")
        print(f"test it on labelled captures with: ditr evaluate {folder} --data CAPTURES")

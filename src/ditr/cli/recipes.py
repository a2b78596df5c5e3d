"""``ditr recipes``: the runs of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

__all__ = ["Recipes", "run"]


@dataclass(frozen=True)
class Recipes:
    """List the runs of the paper by name: what, datasets, the paper's mIoU; or print one with all its numbers."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]")] = None
    """Of the recipe to print as JSON."""


def run(args: Recipes) -> None:
    """Print the table, or one recipe."""
    import json

    from ditr.io.settings_json import to_json_values
    from ditr.recipes.table import RECIPES, find_recipe

    if args.name is not None:
        print(json.dumps(to_json_values(find_recipe(args.name).make()), indent=2))
        return
    print(f"{'name':41} {'dataset':26} mIoU")
    for entry in RECIPES:
        datasets = ", ".join(dataset.name for dataset in entry.make().datasets)
        row = f"{entry.name:41} {datasets:26} {entry.figure}".rstrip()
        print(row)
        print(f"    {entry.what}" + ("" if entry.start is None else f"; from {entry.start}"))
    print("\nmIoU is the paper's, on the validation set if nothing else is said. In full: all")
    print("epochs; at 10 %: of the epochs, and of the learning rates but for the head's.")
    print("Train one: ditr train NAME RUN --data ROOT; all its numbers: ditr recipes NAME.")
    print("On captures of your own: small or full, as ditr train small RUN --data CAPTURES.")

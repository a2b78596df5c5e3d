"""``ditr recipes``: the runs of the paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from ditr.cli.options import UNSET

__all__ = ["Recipes", "run"]


@dataclass(frozen=True)
class Recipes:
    """List the runs of the paper with their datasets and published mIoU, or print the settings of one.

    $ ditr recipes                  all runs of the paper
    $ ditr recipes scannet/ditr     the settings of one
    """

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[NAME]"), UNSET] = None
    """Recipe to print; its settings are named as --set takes them."""
    json: Annotated[bool, UNSET] = False
    """Print the complete recipe as JSON, in the form that `ditr train` reads."""


def run(args: Recipes) -> None:
    """Print the table, or one recipe."""
    from ditr.io.settings_json import to_json_values
    from ditr.recipes.table import RECIPES, find_recipe

    if args.name is not None:
        chosen = find_recipe(args.name)
        content = to_json_values(chosen.make())
        if args.json:
            print(json.dumps(content, indent=2))
            return
        figure = f"; the paper's mIoU: {chosen.figure}" if chosen.figure else ""
        start = f"; starts from {chosen.start}" if chosen.start else ""
        print(f"{chosen.name}: {chosen.what}{start}{figure}")
        print("\n".join(_paragraphs(content)))
        print("change a setting with --set GROUP.NAME=VALUE; --json prints all settings")
        return
    print(f"{'name':41} {'dataset':26} mIoU")
    for entry in RECIPES:
        datasets = ", ".join(dataset.name for dataset in entry.make().datasets)
        row = f"{entry.name:41} {datasets:26} {entry.figure}".rstrip()
        print(row)
        print(f"    {entry.what}" + ("" if entry.start is None else f"; from {entry.start}"))
    print("\nmIoU is the paper's, on the validation set unless noted. 'in full': all")
    print("epochs; 'at 10 %': a tenth of the epochs and of all but the head's rates.")
    print("To train one: ditr train NAME RUN --data ROOT. Its settings: ditr recipes NAME.")
    print("For captures of your own: ditr train small RUN --data CAPTURES (or full).")


def _paragraphs(content: dict[str, Any]) -> list[str]:
    """What is set, group by group, as wide as the terminal; of joint datasets only what differs from the first."""
    import shutil
    import textwrap

    flat = dict(_settings(content))
    groups: dict[str, list[str]] = {"": []}
    for name, text in flat.items():
        of_dataset, number, rest = [*name.split(".", 2), "", ""][:3]
        if of_dataset == "datasets" and number.isdecimal() and flat.get(rest) == text:
            continue
        group, _, inner = name.rpartition(".") if name.count(".") == 1 else name.partition(".")
        groups.setdefault(group if inner else "", []).append(f"{inner or name}={text}")
    lines, width = [], min(120, shutil.get_terminal_size((120, 24)).columns)
    for group, texts in groups.items():
        first = f"{group}: " if group else ""
        lines += textwrap.wrap(", ".join(texts), width, initial_indent=first, subsequent_indent="  ")
    return lines


def _settings(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Names and values as --set takes them, without what is not set."""
    is_list = isinstance(value, list) and any(isinstance(each, dict) for each in value)
    if isinstance(value, dict) or is_list:
        for part, inner in enumerate(value) if is_list else value.items():
            yield from _settings(inner, f"{name}.{part}" if name else str(part))
    elif value is not None and value != []:
        yield name, value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))

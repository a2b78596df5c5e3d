"""A table as Markdown and as one HTML page: ours beside the paper's, and a verdict for each expected ordering."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ditr.captures.capture import read_capture
from ditr.io.files import atomic_path
from ditr.pictures import report as page
from ditr.pictures.panels import Panel, save_picture, sheet
from ditr.pictures.pictures import comparison_panels, telling_view
from ditr.studies.reproduce.experiment import Cell, Ordering, PaperTable, Place, digest
from ditr.studies.reproduce.statistics import Difference, Verdict, mean_and_spread, paired_difference, verdict
from ditr.studies.reproduce.work import Workplace

__all__ = ["Finding", "Rows", "as_text", "findings", "write_table"]

Rows = Mapping[tuple[str, int], Mapping[str, Any]]
"""By trial and seed."""

_MIXED = "The rows are of several versions of the code (below); for one version, start with an empty work folder."
_OTHER_HEAD = (
    "The rows of MinkUNet were made before its head began as the published one does: weights of standard deviation "
    "0.02, no biases."
)
_QUICK = "This was a smoke run: tiny worlds and a few steps, to see that everything works. Its figures mean nothing."
_READ = (
    "Mean ± standard deviation over the seeds, each of which has worlds of its own. The worlds are procedural and the "
    "networks small, so the paper's numbers stand beside ours for their order, not for their size."
)
_JUDGE = (
    "Differences are paired: both variants have the same worlds, the same seed and the same number of steps{aside}. "
    "The interval is Student's with {seeds} seeds. An ordering is **met** or **not met** where the whole "
    "interval is on one side, and **not resolved** otherwise. Intervals are of single comparisons, not "
    "corrected for their number. Over spread is the difference over its standard deviation."
)
_ASIDE = ", except for a student's distillation, which comes on top"


@dataclass(frozen=True)
class Finding:
    """What the seeds say about an ordering; ``paper`` is the paper's margin, where it has both numbers."""

    ordering: Ordering
    difference: Difference
    paper: float | None
    verdict: Verdict


def findings(table: PaperTable, rows: Rows, seeds: Sequence[int]) -> list[Finding]:
    """One for each ordering of the table that has all its rows; differences are taken seed by seed."""
    result = []
    for ordering in table.orderings:
        cells = [table.cell(place) for place in ordering.places]
        if not all(_has_run(cell, rows, seeds) for cell in cells):
            continue
        values = [np.array(_values(cell, rows, seeds)) for cell in cells]
        papers = [cell.paper for cell in cells if cell.paper is not None]
        if ordering.beyond is None:
            ours, theirs = values
            paper = papers[0] - papers[1] if len(papers) == 2 else None
        else:
            ours, theirs = values[0] - values[1], values[2] - values[3]
            paper = papers[0] - papers[1] - papers[2] + papers[3] if len(papers) == 4 else None
        difference = paired_difference(ours.tolist(), theirs.tolist())
        result.append(Finding(ordering, difference, paper, verdict(difference, ordering.at_least)))
    return result


def write_table(
    out: Path, table: PaperTable, rows: Rows, seeds: Sequence[int], place: Workplace, *, quick: bool = False
) -> None:
    """Write ``NAME.md``, ``NAME.html`` and, where there is a picture, ``pictures/NAME.jpg``.

    What lacks the row of a seed is shown as not run.
    """
    told = _Told.of(table, rows, seeds, quick)
    panels = _panels(table, seeds[0], place)
    picture = None
    if panels:
        picture = f"pictures/{table.name}.jpg"
        (out / "pictures").mkdir(parents=True, exist_ok=True)
        save_picture(out / picture, sheet(panels, title=table.title, width=1100))
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / f"{table.name}.md") as path:
        path.write_text(_markdown(told, picture), encoding="utf-8")
    page.write_report(out / f"{table.name}.html", _page(told, panels))


def as_text(table: PaperTable, rows: Rows, seeds: Sequence[int], *, quick: bool = False) -> str:
    """The table and its verdicts for a terminal: lines of columns under each other."""
    told = _Told.of(table, rows, seeds, quick)
    parts = [told.title, *([_QUICK] if quick else []), _columns(told.figures)]
    if len(told.orderings) > 1:
        parts += [f"{told.judged}.", _columns(told.orderings)]
    return "\n".join(parts)


def _columns(lines: Sequence[Sequence[str]]) -> str:
    """The first column flush left, the others right."""
    first, *others = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(first), *(cell.rjust(width) for cell, width in zip(line[1:], others, strict=True))])
        for line in lines
    )


@dataclass(frozen=True)
class _Told:
    """What both pages tell. The first line of ``figures`` and ``orderings`` are their titles."""

    title: str
    lead: str
    figures: list[list[str]]
    missing: list[str]
    orderings: list[list[str]]
    judged: str
    how_to_judge: str
    facts: list[tuple[str, str]]
    command: str
    footer: str

    @classmethod
    def of(cls, table: PaperTable, rows: Rows, seeds: Sequence[int], quick: bool) -> _Told:
        found = findings(table, rows, seeds)
        used = {key: rows[key] for key in table.keys(seeds) if key in rows}
        warnings = [_when(table), *[_QUICK] * quick, *[_MIXED] * (len(_commits(used)) > 1)]
        warnings += [_OTHER_HEAD] * _has_other_heads(table, used)
        return cls(
            title=table.title,
            lead=" ".join([*(f"**{warning}**" for warning in warnings), table.text]),
            figures=_grid(table, rows, seeds),
            missing=_missing_text(table),
            orderings=_orderings(found),
            judged=f"Expected orderings: {_counts(table, found)}",
            how_to_judge=_JUDGE.format(seeds=len(seeds), aside=_ASIDE if _student_steps(table) else ""),
            facts=_facts(table, used, seeds),
            command=f"ditr reproduce {table.name} --seeds {len(seeds)}{' --quick' if quick else ''}",
            footer=f"Seeds {', '.join(map(str, seeds))}.",
        )


# ---- numbers as text ------------------------------------------------------------------------------------------------


def _has_run(cell: Cell, rows: Rows, seeds: Sequence[int]) -> bool:
    return all((digest(cell.trial), seed) in rows for seed in seeds)


def _values(cell: Cell, rows: Rows, seeds: Sequence[int]) -> list[float]:
    return [float(rows[digest(cell.trial), seed]["figures"][cell.figure.value]) for seed in seeds]


def _ours(cell: Cell, rows: Rows, seeds: Sequence[int]) -> str:
    if not _has_run(cell, rows, seeds):
        return "not run"
    mean, spread = mean_and_spread(_values(cell, rows, seeds))
    return f"{mean:.1f}" if spread is None else f"{mean:.1f} ± {spread:.1f}"


def _signed(value: float | None) -> str:
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")


def _named(place: Place) -> str:
    return f"{place[0]} ({place[1]})"


def _statement(ordering: Ordering) -> str:
    if ordering.beyond is not None:
        return f"{_gain(ordering.better, ordering.worse)} > {_gain(*ordering.beyond)}"
    if ordering.at_least >= 0 and ordering.better[1] == ordering.worse[1]:
        return f"{ordering.better[0]} > {ordering.worse[0]}, {ordering.better[1]}"
    if ordering.at_least < 0:
        return f"{_named(ordering.better)} at most {-ordering.at_least:g} below {_named(ordering.worse)}"
    return f"{_named(ordering.better)} > {_named(ordering.worse)}"


def _gain(better: Place, worse: Place) -> str:
    """Of one cell over another of its row or of its column."""
    if better[0] == worse[0]:
        return f"gain of {better[1]} over {worse[1]} ({better[0]})"
    return f"gain of {better[0]} over {worse[0]} ({better[1]})"


def _interval(difference: Difference) -> str:
    if difference.low is None:
        return "– (one seed)"
    return f"{_signed(difference.low)} to {_signed(difference.high)}"


def _over_spread(difference: Difference) -> str:
    """How many standard deviations over the seeds the difference is."""
    return f"{_signed(difference.mean / difference.spread)}" if difference.spread else "–"


def _grid(table: PaperTable, rows: Rows, seeds: Sequence[int]) -> list[list[str]]:
    """Titles and lines: for each column ours, and the paper's where it has any."""
    cells = {cell.place: cell for cell in table.cells}
    with_paper = {cell.column for cell in table.cells if cell.paper is not None}
    with_paper |= {column for row in table.missing for column, _ in row.paper if column in table.columns}
    titles, lines = [""], [[row] for row in (*table.rows, *(row.row for row in _missing_rows(table)))]
    papers = {(row.row, column): value for row in table.missing for column, value in row.paper}
    for column in table.columns:
        titles += [column, "paper"] if column in with_paper else [column]
        for line in lines:
            cell = cells.get((line[0], column))
            line.append("–" if cell is None else _ours(cell, rows, seeds))
            if column in with_paper:
                value = papers.get((line[0], column)) if cell is None else cell.paper
                line.append("–" if value is None else f"{value:.1f}")
    return [titles, *lines]


def _missing_rows(table: PaperTable) -> list[Any]:
    """Missing rows whose numbers stand in the table's columns; those of PaperTable 7 are columns themselves."""
    return [row for row in table.missing if any(column in table.columns for column, _ in row.paper)]


def _missing_text(table: PaperTable) -> list[str]:
    lines = []
    for row in table.missing:
        numbers = ", ".join(f"{name} {value:.1f}" for name, value in row.paper)
        lines.append(f"{row.row}: {row.reason}." + (f" The paper: {numbers}." if numbers else ""))
    return lines


def _orderings(found: Sequence[Finding]) -> list[list[str]]:
    lines = [
        [
            _statement(one.ordering),
            _signed(one.paper),
            _signed(one.difference.mean),
            _interval(one.difference),
            _over_spread(one.difference),
            one.verdict.value,
        ]
        for one in found
    ]
    return [["Expected", "paper", "ours", "95 % interval", "over spread", "verdict"], *lines]


def _counts(table: PaperTable, found: Sequence[Finding]) -> str:
    counts = {kind.value: sum(one.verdict is kind for one in found) for kind in Verdict}
    if len(found) < len(table.orderings):
        counts["not run"] = len(table.orderings) - len(found)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items())


def _facts(table: PaperTable, used: Rows, seeds: Sequence[int]) -> list[tuple[str, str]]:
    """Of the rows themselves, which may be older than this report."""
    trained = {
        (digest(trial.stage), seed): used[digest(trial), seed]
        for trial in table.trials
        for seed in seeds
        if (digest(trial), seed) in used
    }
    hours = sum(float(row["training_seconds"]) for row in trained.values())
    hours += sum(float(row["seconds"]) for row in used.values())
    several = {"Commit": _commits(used), "Hardware": {row["machine"] for row in used.values()}}
    return [
        ("Seeds", ", ".join(map(str, seeds))),
        ("Trainings", f"{len(trained)} in all, students aside"),
        *((name, "; ".join(sorted(values))) for name, values in several.items()),
        ("Measured", f"{min(row['when'] for row in used.values())} to {max(row['when'] for row in used.values())}"),
        ("Process time of trainings and evaluations", f"{hours / 60:.0f} min"),
    ]


def _commits(used: Rows) -> set[str]:
    return {str(row[which]) for row in used.values() for which in ("commit", "training_commit")}


def _has_other_heads(table: PaperTable, used: Rows) -> bool:
    """Whether rows were made with heads that began otherwise than their networks' heads do now."""
    wanted = {digest(trial): trial.stage.recipe.network.head_std for trial in table.trials}
    return any(wanted[trial] != row.get("head_std") for (trial, _), row in used.items())


def _when(table: PaperTable) -> str:
    """After how many steps, and so what the figures can say."""
    steps = {trial.world.kind: trial.stage.recipe.steps for trial in table.trials}
    text = f"{max(steps.values())} steps"
    if len(steps) > 1:
        text = f"{steps['rooms']} steps in rooms and {steps['streets']} on streets"
    if students := _student_steps(table):
        text += f", on top of a student's {' or '.join(f'{count:,}' for count in students)}"
    return f"After {text}: who learns fastest, not who ends best."


def _student_steps(table: PaperTable) -> list[int]:
    """Of the distillations that the table's trainings start from."""
    return sorted({trial.stage.start.recipe.steps for trial in table.trials if trial.stage.start is not None})


# ---- pages ----------------------------------------------------------------------------------------------------------


def _markdown(told: _Told, picture: str | None) -> str:
    parts = [f"# {told.title}", told.lead, _READ, _markdown_table(told.figures)]
    parts += [f"* {line}" for line in told.missing]
    parts += [f"## {told.judged}", _markdown_table(told.orderings), told.how_to_judge]
    if picture is not None:
        parts += ["## One test scene", f"![{told.title}]({picture})"]
    parts += ["## How it was made", "\n".join(f"* {name}: {value}" for name, value in told.facts), f"`{told.command}`"]
    return "\n\n".join(parts) + "\n"


def _markdown_table(lines: Sequence[Sequence[str]]) -> str:
    rows = [lines[0], ["---", *["---:"] * (len(lines[0]) - 1)], *lines[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)


def _page(told: _Told, panels: Sequence[Sequence[Panel]]) -> page.Report:
    def block(lines: Sequence[Sequence[str]]) -> page.Table:
        return page.Table(lines[0], [page.Row(line[0], line[1:]) for line in lines[1:]])

    figures: list[page.Block] = [page.Text(_READ), block(told.figures), page.Text("\n\n".join(told.missing))]
    sections = [page.Section("Figures in %", figures)]
    if len(told.orderings) > 1:
        sections.append(page.Section(told.judged, [page.Text(told.how_to_judge), block(told.orderings)]))
    if panels:
        pictures = page.Pictures([panel for row in panels for panel in row], columns=2)
        sections.append(page.Section("One test scene", [pictures]))
    sections.append(page.Section("How it was made", [page.Facts(told.facts), page.Code(told.command)]))
    return page.Report(told.title, told.lead, sections, footer=told.footer)


def _panels(table: PaperTable, seed: int, place: Workplace) -> list[list[Panel]]:
    """The first test scene, which nobody chose; nothing where its labels are gone."""
    if table.picture is None:
        return []
    baseline, contender = (table.cell(place_) for place_ in table.picture)
    files = [place.labels(cell.trial, seed) for cell in (baseline, contender)]
    if not all(file.exists() for file in files):
        return []
    scene = read_capture(place.captures(contender.trial.world, seed, "test")[0])
    first, second = (np.load(file, allow_pickle=False) for file in files)
    view = telling_view(scene, first != second) or scene.views[0]
    names = [cell.row if baseline.row != contender.row else cell.column for cell in (baseline, contender)]
    return comparison_panels(scene, view, first, second, names=(names[0], names[1]), width=520)

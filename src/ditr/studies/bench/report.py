"""The figures as tables for people."""

from __future__ import annotations

from typing import Any

__all__ = ["to_markdown"]


def to_markdown(content: dict[str, Any]) -> str:
    """Of what ``run.run_bench`` gives."""
    rows: list[dict[str, Any]] = content["rows"]
    parts = [_machine(content), _peaks(rows)]
    timed = [row for row in rows if row["what"] != "machine"]
    if timed:
        parts += [_latencies(timed), _against(timed, content["against"]), *(_stages(row) for row in timed)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _machine(content: dict[str, Any]) -> str:
    found = content["machine"]
    others = [row["others"] for row in content["rows"] if row["others"] is not None]
    kernels = found["kernels"]["cpu"]
    memory = f", {found['memory_bytes'] / 1e9:.0f} GB" if found["memory_bytes"] else ""
    lines = [
        f"Measured {content['date']} at commit {content['commit'] or 'unknown'} by `{content['command']}`.",
        "",
        f"* Processor: {found['processor']} ({found['vendor']}, family and model {found['family_model']}; "
        f"{', '.join(found['instruction_sets'])}), {found['cores']} cores{memory}",
        *(f"* GPU: {name}" for name in found["gpus"]),
        f"* {found['system']}, Python {found['python']}, torch {found['torch']}",
        f"* Kernels: {kernels['linear_algebra']}; sparse convolution: {kernels['sparse_convolution']}; attention: "
        f"{kernels['attention_fp32']}; products of fp32 by {kernels['products']}, {kernels['matmul_precision']}; "
        f"OMP_WAIT_POLICY {found['omp_wait_policy'] or 'not set'}",
    ]
    if content["busy"]:
        lines.append(f"* Foreign processes kept busy on purpose: {content['busy']}")
    if others:
        lines.append(f"* Others used {min(others):.0%} to {max(others):.0%} of the machine meanwhile")
    return "\n".join(lines)


def _peaks(rows: list[dict[str, Any]]) -> str:
    measured = [row for row in rows if row["what"] == "machine"]
    if not measured:
        return ""
    names = list(measured[0]["peaks"])
    return _table(
        ["products in GFLOP/s, copies in GB/s", *(f"{row['threads']} threads" for row in measured)],
        [[name, *(str(row["peaks"].get(name, "")) for row in measured)] for name in names],
    )


def _latencies(rows: list[dict[str, Any]]) -> str:
    head = ["what", "case", "size", "threads", "precision", "median s", "p10", "p90", "memory GB", "per second"]
    head += ["GFLOP", "at peak s", "times that", "others", "parts"]
    return _table(head, [_latency(row) for row in rows])


def _latency(row: dict[str, Any]) -> list[str]:
    work, floor = row.get("gflop"), row.get("floor_seconds")
    return [
        row["what"],
        row["case"],
        f"{row['size']} {row['unit']}",
        str(row["threads"]),
        row["precision"],
        *(_seconds(row[name]) for name in ("seconds", "p10", "p90")),
        _gigabytes(row["peak_bytes"]),
        f"{row['size'] / row['seconds']:.3g}",
        "" if work is None else f"{work['needed']:.0f}",
        "" if floor is None else _seconds(floor),
        "" if floor is None else f"{row['seconds'] / floor:.1f}",
        "" if row["others"] is None else f"{row['others']:.0%}",
        ", ".join(f"{name} {_seconds(seconds)}" for name, seconds in row["parts"].items()),
    ]


def _against(rows: list[dict[str, Any]], revision: str | None) -> str:
    compared = [row for row in rows if row.get("against") is not None]
    if not compared:
        return ""
    body = []
    for row in compared:
        found = row["against"]
        low, high = found["interval"]
        differences = ", ".join(f"{name} {value:.1e}" for name, value in found["differences"].items())
        body.append(
            [
                f"{row['what']} {row['case']}",
                f"{row['size']} {row['unit']}",
                str(row["threads"]),
                _seconds(row["seconds"]),
                _seconds(found["seconds"]),
                f"{found['ratio']:.2f} ({low:.2f} to {high:.2f})",
                f"{_gigabytes(row['peak_bytes'])} / {_gigabytes(found['peak_bytes'])}",
                differences,
            ]
        )
    head = ["", "size", "threads", "s", f"s of {revision}", "ratio (95 %)", "memory GB, ours / theirs"]
    text = "Alternating processes; above 1 this revision is faster. Differences are largest over root mean square."
    return f"{text}\n\n{_table([*head, 'difference'], body)}"


def _stages(row: dict[str, Any]) -> str:
    """Where the time of one row goes: in a pass of its own, whose clocks take some time too."""
    if "stages" not in row:
        return ""
    whole = sum(row["stages"].values())
    title = f"{row['what']} {row['case']}, {row['size']} {row['unit']}, {row['threads']} threads"
    lines = [[name, _seconds(seconds), f"{seconds / whole:.0%}"] for name, seconds in row["stages"].items()]
    stages = _table(["stage", "s", "share"], sorted(lines, key=lambda line: -float(line[1])))
    all_of_them = [[name, _seconds(seconds)] for name, seconds in row["operators"].items()]
    counts = ""
    if row["operator_calls"] is not None:
        counts = f"; {row['operator_calls']} operators, {_gigabytes(row['allocated_peak_bytes'])} GB held by torch"
    if row["facts"]:
        counts += "; " + ", ".join(f"{name} {value}" for name, value in row["facts"].items())
    return f"### {title}{counts}\n\n{stages}\n\n{_table(['slowest operators', 's'], all_of_them)}"


def _seconds(value: float) -> str:
    return f"{value:.4f}" if value < 0.1 else f"{value:.3f}"


def _gigabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e9:.2f}"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)

"""``ditr segment --bank``: labels by classes from clicks, for one capture or many."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ditr.errors import InputError, few

if TYPE_CHECKING:
    from ditr.cli.segment_options import Segment
    from ditr.encoders.encoding import CachedEncoding
    from ditr.labelling.bank import Bank

__all__ = ["run_bank"]


@dataclass(frozen=True, eq=False)
class _Work:
    bank: Bank
    encoding: CachedEncoding | None
    made: dict[str, Any]


def run_bank(args: Segment, sources: Mapping[str, Path]) -> None:
    """Label captures, a line for each; those that are done are passed over, and one that fails does not stop others.

    Raises:
        InputError: options that mean nothing with a bank, a bank that is none, or captures that have no labels.
    """
    from ditr.labelling.bank import read_bank
    from ditr.runtime import progress_bar

    _refuse(args)
    assert args.bank is not None
    bank = read_bank(args.bank)
    alone = list(sources.values()) == [args.sources[0]]
    folders = _folders(args, sources, alone=alone)
    work = _Work(bank, _encoding(args, bank), _identity(args))
    print(f"bank: {len(bank.label)} examples of {len(bank.classes)} classes, clicked in {few(bank.scenes, 3)}")
    failed: dict[str, InputError] = {}
    with progress_bar("scenes", quiet=alone) as report:
        for number, (name, path) in enumerate(sources.items()):
            report(number, len(sources))
            try:
                _say(name or path.stem, *_labelled(args, work, path, folders[name], many=not alone))
            except InputError as error:
                if alone:
                    raise
                failed[name] = error
                print(f"{name}: {error.told()}", file=sys.stderr)
        report(len(sources), len(sources))
    print(f"written to {folders[next(iter(sources))] if alone else args.out}")
    if failed:
        fault = f"{len(failed)} of {len(sources)} scenes have no labels: {few(failed, 5)}"
        raise InputError(args.bank, fault, "Mend them and give the same command again: what is done is passed over")


def _refuse(args: Segment) -> None:
    """Refuse what only a network does.

    Raises:
        InputError: such an option is there.
    """
    given = {
        "--model": args.model is not None,
        "--vote": args.vote,
        "--variants": args.variants is not None,
        "--thin": args.thin is not None,
        "--smooth": args.smooth,
        "--ray": args.ray is not None,
        "--shard": args.shard is not None,
    }
    if wrong := [name for name, there in given.items() if there]:
        raise InputError("--bank", f"{few(wrong, 3)} is for networks", "Leave it out, or name a model and no bank")
    if args.min_confidence is not None and not 0 <= args.min_confidence <= 1:
        raise InputError("--min-confidence", f"it is {args.min_confidence}", "Give a probability, 0 to 1")


def _folders(args: Segment, sources: Mapping[str, Path], *, alone: bool) -> dict[str, Path]:
    from ditr.captures.formats import is_capture
    from ditr.cli.common import folder_for
    from ditr.inference.results import RESULT_FILES

    if alone:
        name, path = next(iter(sources.items()))
        stem = path.resolve().name if is_capture(path) or path.is_dir() else path.stem
        return {name: folder_for(args.out or Path(f"{stem}-labels"), RESULT_FILES, overwrite=args.overwrite)}
    if args.out is None:
        raise InputError("--out", f"it is missing for {len(sources)} scenes", "Name a folder for the results")
    return {name: args.out / name for name in sources}


def _encoding(args: Segment, bank: Bank) -> CachedEncoding | None:
    from ditr.cli.common import make_encoding
    from ditr.runtime import phase

    if bank.encoder is None:
        return None
    precision = args.precision or bank.encoder.precision
    spec, use_cache = bank.encoder.spec, not args.no_cache
    encoding = make_encoding(spec, args.cache, use_cache=use_cache, device=args.device, precision=precision)
    with phase("load the image encoder"):
        bank.encoder.require(encoding.encoder)
    return encoding


def _identity(args: Segment) -> dict[str, Any]:
    """What results must have in common to be those of this bank and these options."""
    from ditr.captures.read_options import options_as_json
    from ditr.io.files import file_sha256

    assert args.bank is not None
    return {
        "bank": file_sha256(args.bank),
        "reading": options_as_json(args.reading.options()),
        "min_confidence": args.min_confidence,
        "bank_seed": args.seed,
    }


def _labelled(
    args: Segment, work: _Work, path: Path, folder: Path, *, many: bool
) -> tuple[dict[str, Any], float | None]:
    """The summary of a scene, and the seconds that it took; None for one that was done before."""
    from ditr.captures.capture import read_capture
    from ditr.captures.folders import stamp
    from ditr.cli.common import judged
    from ditr.inference.results import RESULT_FILES, write_results
    from ditr.io.files import results_folder
    from ditr.labelling.cells import make_cells
    from ditr.labelling.result import labelled_by_bank

    made = {**work.made, "source": stamp(path)}
    if many and not args.overwrite and (before := _done(folder, made)) is not None:
        return before, None
    began = time.perf_counter()
    scene = judged(read_capture(path, args.reading.options()), force=args.reading.force)
    cells = make_cells(scene, work.encoding, size=work.bank.cell, seed=args.seed)
    prediction = labelled_by_bank(work.bank, scene, cells, seed=args.seed, made=made)
    if args.min_confidence is not None:
        prediction = prediction.at_least(args.min_confidence)
    with results_folder(folder, RESULT_FILES) as new:
        write_results(prediction, cells.size, new, args.writing.outputs(many=many), path)
    return prediction.summary(), time.perf_counter() - began


def _done(folder: Path, made: dict[str, Any]) -> dict[str, Any] | None:
    """The summary of results that are those of now."""
    try:
        summary: dict[str, Any] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        before = summary["made"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return summary if isinstance(before, dict) and all(before.get(key) == made[key] for key in made) else None


def _say(name: str, summary: dict[str, Any], seconds: float | None) -> None:
    total = max(1, summary["points"])
    counts = sorted(summary["points_per_class"].items(), key=lambda item: -item[1])
    unknown = total - sum(summary["points_per_class"].values())
    shares = [f"{label} {count / total:.0%}" for label, count in counts[:4] if count]
    if unknown:
        shares.append(f"no label {unknown / total:.0%}")
    took = "done before" if seconds is None else f"{seconds:.1f} s"
    print(f"{name}: {total} points, {took}; {', '.join(shares)}")

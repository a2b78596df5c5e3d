"""``ditr segment`` with many captures: the table of what became of each, and what was found in them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ditr.errors import Grade, InputError, counted, few

if TYPE_CHECKING:
    from ditr.cli.segment_options import Segment
    from ditr.inference.ledger import Outcome
    from ditr.inference.many import Shard
    from ditr.inference.on_ray import ModelOnRay
    from ditr.inference.processes import Helpers
    from ditr.inference.scene_work import Labeller

__all__ = ["run_many"]

_NAME = 40
"""Letters of a scene's name that fit into the table."""


def run_many(args: Segment, sources: Mapping[str, Path]) -> None:
    """Label captures, a line for each as it is done; then say what was found, and which failed.

    Args:
        args: the command's options.
        sources: the captures by name.

    Raises:
        InputError: some failed; or there is nothing to do.
        Stopped: a signal asked for it.
    """
    from ditr.inference.processes import Helpers, usual_helpers
    from ditr.runtime import choose_device

    out = _folder(args)
    if args.ray is not None:
        from ditr.inference.on_ray import require_ray

        require_ray()  # before the model is loaded
    count = usual_helpers(choose_device(args.device), len(sources)) if args.workers is None else args.workers
    if count < 0:
        raise InputError("--workers", f"it is {count}", "Give 0 or more")
    alone = args.votes.by_votes or args.votes.smooth or args.ray is not None
    with Helpers(0 if alone else count) as helpers:  # they import while the model is loaded
        from ditr.inference.many import Shard

        shard = Shard() if args.shard is None else Shard.parse(args.shard)
        _label(args, sources, out, shard, helpers if len(helpers) else 0)


def _folder(args: Segment) -> Path:
    if args.out is None and len(args.sources) > 1:
        raise InputError("--out", f"{len(args.sources)} sources have no common name", "Name a folder for the results")
    source = args.sources[0].resolve()
    if args.out is None and not source.exists():
        raise InputError("--out", f"the pattern {args.sources[0]} has no name", "Name a folder for the results")
    out = args.out or Path(f"{source.stem if source.is_file() else source.name}-labels")
    if out.exists() and not out.is_dir():
        raise InputError(out, "it is a file", "Name a folder for the results")
    return out


def _label(args: Segment, sources: Mapping[str, Path], out: Path, shard: Shard, helpers: Helpers | int) -> None:
    from ditr.inference.many import Many, label_many, ledger_path
    from ditr.inference.scene_labels import Labelling
    from ditr.inference.scene_work import Item
    from ditr.stopping import Stopped, StopSignals

    votes = args.votes.procedure()
    name, labeller, ray = _labeller(args, sources)
    options = Many(
        reading=args.reading.options(),
        how=Labelling(args.seed, votes, args.min_confidence, by_profile=args.reading.profile is not None),
        outputs=args.writing.outputs(many=True),
        force=args.reading.force,
        overwrite=args.overwrite,
        shard=shard,
        model=name,
        captures=args.captures,
    )
    items = [Item(name, path) for name, path in sources.items()]
    began, asked = time.monotonic(), None
    with StopSignals() as stop:
        results = label_many(
            labeller, items, out, options, helpers=helpers, ray=ray, stop=lambda: stop.asked is not None
        )
        outcomes = _told(results, len(shard.of(items)), [item.name for item in items])
        asked = stop.asked
    _sum_up(outcomes, time.monotonic() - began)
    ledger = ledger_path(out, shard)
    if not args.writing.no_report and outcomes:
        _report(outcomes, ledger, options.model)
    if asked is not None:
        text = f"stopped by {asked} with {len(outcomes)} of {len(shard.of(items))} scenes done"
        print(f"ditr: {text}", file=sys.stderr, flush=True)
        raise Stopped(asked, text)
    print(f"written to {out}, with one line per scene in {ledger}")
    if args.captures is not None:
        print(
            f"captures with these labels are in {args.captures}; train on them with: ditr train small RUN --data "
            f"{args.captures}"
        )
    if failed := [outcome.scene for outcome in outcomes if outcome.error is not None]:
        raise InputError(
            ledger,
            f"{len(failed)} of {len(outcomes)} scenes have no labels: {few(failed, 5)}",
            "Correct them and run the same command again; finished captures are skipped",
        )


def _labeller(args: Segment, sources: Mapping[str, Path]) -> tuple[str, Labeller, ModelOnRay | None]:
    """What labels the scenes, with its name for people; and what the actors of Ray load, with Ray."""
    from ditr.cli.common import make_cache
    from ditr.inference.network_labeller import NetworkLabeller
    from ditr.inference.segmenter import Segmenter
    from ditr.runtime import phase

    if args.bank is not None:
        from ditr.cli.segment_bank import bank_labeller

        by_bank = bank_labeller(args, args.bank)
        args.writing.outputs(many=True).require_known(by_bank.bank.classes)
        return str(args.bank), by_bank, None
    model = args.model if args.model is not None else _model_for(args, sources.values())
    ray = _ray(args, model)
    with phase(f"load {model}"):
        cache = make_cache(args.cache, use_cache=not args.no_cache)
        device, precision = (args.device, args.precision) if ray is None else ("cpu", ray.precision)
        segmenter = Segmenter.from_pretrained(model, device=device, cache=cache, precision=precision)
    args.writing.outputs(many=True).require_known(segmenter.config.class_names)
    return model, NetworkLabeller(segmenter), ray


def _report(outcomes: Sequence[Outcome], ledger: Path, model: str) -> None:
    """One page for all scenes, beside the ledger and named as it is."""
    from ditr.cli.provenance import provenance
    from ditr.inference.many_report import SceneRow, many_report
    from ditr.pictures.report import write_report

    rows = [
        SceneRow(
            one.scene,
            one.folder,
            one.summary,
            sum(one.seconds.values()) if one.status == "labelled" else None,
            one.findings,
            "" if one.error is None else str(one.error),
        )
        for one in outcomes
    ]
    path = ledger.with_name(ledger.stem.replace("results", "report", 1) + ".html")
    write_report(path, many_report(f"Labels in {ledger.parent.name}", rows, provenance(("model", model))))


def _ray(args: Segment, model: str) -> ModelOnRay | None:
    """What the actors of Ray load; None without Ray."""
    if args.ray is None:
        return None
    from ditr.inference.on_ray import ModelOnRay
    from ditr.runtime import choose_device
    from ditr.weights.pretrained import known_config

    # The machines may have a GPU where this one has none; features have to be of one precision all the same.
    device = choose_device("auto") if args.device == "auto" else args.device
    config = known_config(model)
    trained = None if config is None or config.encoder is None else config.encoder.precision
    precision = args.precision or trained or ("bf16-mixed" if device == "cuda" else "32-true")
    name = str(Path(model).absolute()) if Path(model).exists() else model
    return ModelOnRay(name, device, precision, args.ray or None)


def _model_for(args: Segment, paths: Iterable[Path]) -> str:
    """The published model that fits the first capture which can be read and which one fits.

    Raises:
        InputError: what is wrong with the first, where there is none; or the model is not available.
    """
    from ditr.captures.capture import read_capture
    from ditr.cli.segment_options import announced
    from ditr.weights.suggest import suggest_model

    first: InputError | None = None
    for path in paths:
        try:
            chosen = suggest_model(read_capture(path, args.reading.options()))
        except InputError as error:
            first = first or error
            continue
        return announced(chosen)
    assert first is not None
    raise first


def _told(results: Iterable[Outcome], total: int, names: Sequence[str]) -> list[Outcome]:
    """All outcomes, each said as it comes."""
    from ditr.cli.output import remark
    from ditr.runtime import progress_bar

    width = min(_NAME, max(map(len, names), default=0))
    outcomes: list[Outcome] = []
    done = 0
    remark(f"{'scene':{width}}  {'points':>9}  {'voxels':>8}   seen  conf.  seconds  most points")
    with progress_bar("scenes") as report:
        for outcome in results:
            outcomes.append(outcome)
            done += outcome.status == "done"
            remark(_row(outcome, width))
            report(len(outcomes) - done, total - done)
    return outcomes


def _row(outcome: Outcome, width: int) -> str:
    name = outcome.scene if len(outcome.scene) <= width else "…" + outcome.scene[1 - width :]
    if outcome.error is not None:
        return f"{name:{width}}  failed: {outcome.error.fault}"
    summary = outcome.summary
    seen = f"{summary['share_of_points_seen']:6.1%}" if "share_of_points_seen" in summary else "     -"
    took = f"{sum(outcome.seconds.values()):7.2f}" if outcome.status == "labelled" else "   done"
    count = {name: number for name, number in summary["points_per_class"].items() if number}
    most = sorted(count, key=lambda name: -count[name])[:2]
    classes = ", ".join(f"{name} {count[name] / summary['points']:.0%}" for name in most)
    warned = f"  ({outcome.warnings} warnings)" if outcome.warnings else ""
    numbers = f"{summary['points']:9d}  {summary['voxels']:8d} {seen}   {summary['mean_confidence']:.2f}  {took}"
    return f"{name:{width}}  {numbers}  {classes}{warned}"


def _sum_up(outcomes: Sequence[Outcome], seconds: float) -> None:
    """What was found in all scenes, once for each kind, and which failed."""
    from ditr.cli.output import remark
    from ditr.plausibility.many import Look, by_kind

    looks = [Look(Path(outcome.scene), None, findings=outcome.findings) for outcome in outcomes]
    for grade, line, _ in by_kind(looks):
        if grade is Grade.NOTED:
            remark(f"note: {line}")
        else:
            print(f"ditr: warning: {line}", file=sys.stderr, flush=True)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        print(f"failed: {len(failed)}")
        for outcome in failed:
            print(f"  {outcome.scene}: {outcome.error}")
    labelled = sum(outcome.status == "labelled" for outcome in outcomes)
    done = len(outcomes) - labelled - len(failed)
    speed = f", {seconds / labelled:.2f} s each" if labelled else ""
    before = f", {done} done before" if done else ""
    print(
        f"{counted(len(outcomes), 'scene')}: {labelled} labelled{before}, {len(failed)} failed; {seconds:.1f} s{speed}"
    )

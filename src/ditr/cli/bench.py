"""``ditr bench``: speed and memory of this machine with this revision, or with two."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

__all__ = ["Bench", "run"]


@dataclass(frozen=True)
class Bench:
    """Measure speed and memory on real shapes: networks, training steps, files to labels, the loader, encoders.

    Every figure comes from a fresh process. Beside latencies stand the peak memory above the model, where the time
    goes, how far it is from what the machine's products allow, and the share of the machine that others used.
    """

    what: str = "inference"
    """Some of inference, training, files, loader, encoder, pyramid and machine, with commas between them."""
    cases: str = ""
    """Only these networks: some of ptv3, ditr, ditr-cached (features of photographs cached; files only), d-ditr (a
    student) and minkunet."""
    voxels: str = "20000,80000"
    """Numbers of voxels, up to 2000000: parts of a built-in room at 2 cm, or several rooms side by side."""
    encoders: str = "dinov2-small"
    """Image encoders, for encoder; names without weights of their own get random ones, which are as fast."""
    threads: str = ""
    """Numbers of threads; by default one per processor."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 computes under autocast."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the networks run."""
    repeats: int = 5
    """Times that each process measures, after one to warm up."""
    against: Annotated[str | None, tyro.conf.arg(metavar="REV")] = None
    """Measure this git revision too, in processes that alternate, and compare times, memory and results."""
    pairs: int = 5
    """Processes of each revision, with --against."""
    busy: int = 0
    """Let so many foreign processes keep the machine busy meanwhile."""
    no_stages: bool = False
    """Do not find out where the time goes."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """Write FILE.json with all figures and FILE.md with the tables."""


def run(args: Bench) -> None:
    """Measure and print."""
    from ditr.studies.bench.report import to_markdown
    from ditr.studies.bench.run import Bench as Asked
    from ditr.studies.bench.run import run_bench, write_results

    asked = Asked(
        what=_names(args.what),
        cases=_names(args.cases),
        encoders=_names(args.encoders),
        voxels=_numbers("--voxels", args.voxels),
        threads=_numbers("--threads", args.threads),
        precision=args.precision,
        device=args.device,
        repeats=args.repeats,
        pairs=args.pairs,
        against=args.against,
        busy=args.busy,
        stages=not args.no_stages,
        command=_command(sys.argv[1:]),
    )
    content = run_bench(asked)
    print(f"\n{to_markdown(content)}")
    if args.out is not None:
        print("written to {} and {}".format(*write_results(content, args.out)))


def _command(arguments: list[str]) -> str:
    """What was typed, without the file of the results, whose place is of no interest elsewhere."""
    if "--out" in arguments:
        place = arguments.index("--out")
        arguments = arguments[:place] + arguments[place + 2 :]
    return shlex.join(["ditr", *arguments])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
    from ditr.errors import InputError

    try:
        return tuple(int(name) for name in _names(text))
    except ValueError:
        raise InputError(option, f"{text!r} is not a list of whole numbers", "Write 20000,80000, say") from None

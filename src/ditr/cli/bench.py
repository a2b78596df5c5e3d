"""``ditr bench``: speed and memory of this machine with this revision, or with two."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import UNSET

__all__ = ["Bench", "run"]


@dataclass(frozen=True)
class Bench:
    """Measure speed and memory on real shapes: networks, training steps, files to labels, the loader, encoders.

    $ ditr bench                                          three networks, two sizes
    $ ditr bench --voxels 80000 --cases ptv3 --out mine   one network; mine.md

    Each measurement runs in a fresh process. Besides latency, the tables show the peak memory on top of the model,
    where the time goes, how close it comes to the speed of the machine's matrix products, and how much of the machine
    other programs used.
    """

    what: Annotated[str, tyro.conf.arg(metavar="NAME,...")] = "inference"
    """Comma-separated list of what to measure: inference, training, files, loader, encoder, pyramid, machine."""
    cases: Annotated[str, tyro.conf.arg(metavar="NAME,..."), UNSET] = ""
    """Measure only these networks: ptv3, ditr, ditr-cached (with cached image features; files only), d-ditr (a
    student), minkunet."""
    voxels: Annotated[str, tyro.conf.arg(metavar="N,N,...")] = "20000,80000"
    """Numbers of voxels, up to 2000000. The scenes are cuts of a built-in room at 2 cm, or several rooms side by
    side."""
    encoders: Annotated[str, tyro.conf.arg(metavar="NAME,...")] = "dinov2-small"
    """Image encoders to measure under encoder. Where there are no weights for a name, random ones are used; they are
    just as fast."""
    threads: Annotated[str, tyro.conf.arg(metavar="N,N,..."), UNSET] = ""
    """Numbers of threads to try; the default is one per processor."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Precision of the networks; bf16 uses autocast."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Device to run the networks on."""
    repeats: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """Number of timed repetitions per process, after one warm-up."""
    against: Annotated[str | None, tyro.conf.arg(metavar="REV"), UNSET] = None
    """Also measure this git revision, in alternating processes, and compare times, memory and results."""
    pairs: Annotated[int, tyro.conf.arg(metavar="N")] = 5
    """With --against: number of processes per revision."""
    busy: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Run this many unrelated processes at the same time, to measure on a busy machine."""
    no_stages: Annotated[bool, UNSET] = False
    """Skip the breakdown of where the time goes."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Write all figures to FILE.json and the tables to FILE.md."""


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
        raise InputError(option, f"{text!r} is not a list of whole numbers", "Write it like 20000,80000") from None

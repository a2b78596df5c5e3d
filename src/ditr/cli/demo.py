"""``ditr demo``: image features make 3D segmentation better, shown from nothing in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Demo", "run"]


@dataclass(frozen=True)
class Demo:
    """Make rooms, train PTv3 and DITR on them alike, and compare them on rooms that neither has seen.

    Two controls tell what the gain comes from: DITR with an encoder of random weights, and the trained DITR with the
    photographs swapped between rooms.
    """

    out: Path = Path("demo")
    """Folder for everything; finished parts are kept, so a demo that was stopped goes on."""
    train_rooms: int = 60
    """Training rooms."""
    test_rooms: int = 24
    """Test rooms."""
    views: int = 8
    """Photographs per room."""
    steps: int = 160
    """Optimizer steps of each training."""
    seed: int = 2
    """Of rooms, networks and training. The recipe was chosen on seed 0, so that is not the default."""
    long_baseline: bool = False
    """Train PTv3 once more with 2.5 times the steps."""
    workers: int | None = None
    """Processes, of one thread each; by default one per processor, at most 4."""


def run(args: Demo) -> None:
    """Run the demo."""
    from ditr.cli.common import folder_for
    from ditr.studies.demo.results import DemoSettings
    from ditr.studies.demo.run import run_demo

    settings = DemoSettings(**{name: value for name, value in vars(args).items() if name not in ("out", "workers")})
    run_demo(folder_for(args.out), settings, workers=args.workers)

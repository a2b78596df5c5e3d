"""The command line: one file per command, no logic that the library lacks.

Each command is a dataclass whose fields are its options and whose docstrings are its help, and a function ``run``
that loads what the command needs. So ``ditr --help`` answers before torch has loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> None:
    """The program ``ditr``; exits with 2 and one line on bad input."""
    import tyro

    from ditr.cli import (
        convert,
        demo,
        doctor,
        evaluate,
        features,
        recipes,
        reproduce,
        rooms,
        segment,
        streets,
        train,
        verify,
        weights,
    )
    from ditr.files import InputError

    name = tyro.conf.subcommand
    commands = (
        Annotated[demo.Demo, name("demo")]
        | Annotated[rooms.Rooms, name("rooms")]
        | Annotated[streets.Streets, name("streets")]
        | Annotated[features.Features, name("features")]
        | Annotated[train.Train, name("train")]
        | Annotated[segment.Segment, name("segment")]
        | Annotated[evaluate.Evaluate, name("evaluate")]
        | Annotated[recipes.Recipes, name("recipes")]
        | Annotated[verify.Verify, name("verify")]
        | Annotated[reproduce.Reproduce, name("reproduce")]
        | Annotated[weights.Weights, name("weights")]
        | Annotated[convert.Convert, name("convert")]
        | Annotated[doctor.Doctor, name("doctor")]
    )
    runners: dict[type, Callable[[Any], object]] = {
        demo.Demo: demo.run,
        rooms.Rooms: rooms.run,
        streets.Streets: streets.run,
        features.Features: features.run,
        train.Train: train.run,
        segment.Segment: segment.run,
        evaluate.Evaluate: evaluate.run,
        recipes.Recipes: recipes.run,
        verify.Verify: verify.run,
        reproduce.Reproduce: reproduce.run,
        weights.Weights: weights.run,
        convert.Convert: convert.run,
        doctor.Doctor: doctor.run,
    }
    try:
        command = tyro.cli(
            commands,
            prog="ditr",
            description="A label for every point of a 3D scene with photographs: DITR, DINO in the Room.",
            args=arguments,
            config=(tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        )
        runners[type(command)](command)
    except InputError as error:
        print("ditr:", " ".join(str(error).split()), file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # Whoever read the output has closed it (`ditr weights | head`); the interpreter must not flush into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        # A full disk or a folder without permission; without a file's name it is no matter of input.
        if error.filename is None:
            raise
        print(f"ditr: {error.filename}: {error.strerror}. Choose another place, or make room.", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("ditr: interrupted", file=sys.stderr)
        sys.exit(130)

"""The command line: one file per command, no logic that the library lacks.

Each command is a dataclass whose fields are its options and whose docstrings are its help, and a function ``run``
that loads what the command needs. So ``ditr --help`` answers before torch has loaded. A new command is a file here and
a line in :func:`_commands`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Union

__all__ = ["execute", "main"]


def main(arguments: list[str] | None = None) -> None:
    """The program ``ditr``; exits with 2 and one line on bad input."""
    from ditr import __version__

    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments == ["--version"]:
        print(f"ditr {__version__}")
        return
    with _reported():
        execute(arguments)


def execute(arguments: list[str]) -> None:
    """Run a command.

    Raises:
        InputError: no such command, or what the command raises.
        SystemExit: options that there are not, or after help.
    """
    import tyro

    commands = _commands()
    names = [kind.__name__.lower() for kind in commands]
    _check_name(arguments, names)
    # The list of all commands has a line of each, and a command's own help all that there is.
    chosen = bool(arguments) and arguments[0] in names
    said = [None if chosen else (kind.__doc__ or "").partition("\n")[0] for kind in commands]
    options = tuple(
        Annotated[kind, tyro.conf.subcommand(name, description=line)]
        for kind, name, line in zip(commands, names, said, strict=True)
    )
    one_of_them: Any = Union[options]  # noqa: UP007
    config = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    command = tyro.cli(
        one_of_them,
        prog="ditr",
        description="A label for every point of a 3D scene with photographs: DITR, DINO in the Room. "
        "ditr --version prints the version.",
        args=_negative_axes(arguments),
        config=(*config, tyro.conf.DisallowNone),
    )
    commands[type(command)](command)


def _commands() -> dict[type, Callable[[Any], object]]:
    """Every command's options and what runs it, in the order of the help; a command is called as its class."""
    from ditr.cli import (
        check,
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

    return {
        demo.Demo: demo.run,
        rooms.Rooms: rooms.run,
        streets.Streets: streets.run,
        check.Check: check.run,
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


def _negative_axes(arguments: list[str]) -> list[str]:
    """``--up -y`` as one argument, which the parser would take for two options."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--up" and argument in ("-x", "-y", "-z"):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _check_name(arguments: list[str], names: list[str]) -> None:
    """Refuse a command that there is not, with the one that was probably meant."""
    from ditr.errors import InputError, nearest

    if arguments and not arguments[0].startswith("-") and arguments[0] not in names:
        near = nearest(arguments[0], names)
        hint = f"Did you mean {near!r}?" if near else f"Use one of {', '.join(names)}"
        raise InputError(arguments[0], "there is no such command", hint)


@contextmanager
def _reported() -> Iterator[None]:
    """Faults that a user can mend become one line and an exit status."""
    from ditr.errors import InputError

    try:
        yield
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

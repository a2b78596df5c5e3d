"""The command line: one file per command, no logic that the library lacks.

Each command is a dataclass whose fields are its options and whose docstrings are its help, and a function ``run``
that loads what the command needs. So ``ditr --help`` answers before torch has loaded. A new command is a file here and
a line in :func:`_commands`.
"""

from __future__ import annotations

import io
import re
import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import field, make_dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Union

from ditr.cli.faults import reported

if TYPE_CHECKING:
    from ditr.cli.output import Output

__all__ = ["execute", "main"]


def main(arguments: list[str] | None = None) -> None:
    """The program ``ditr``; exits with 2 and one line on bad input."""
    from ditr import __version__
    from ditr.threads import calm_threads

    arguments = sys.argv[1:] if arguments is None else arguments
    calm_threads()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A job's log is read while the job runs.
        sys.stdout.reconfigure(line_buffering=True)
    with reported(arguments):
        if arguments == ["--version"]:
            print(f"ditr {__version__}")
            return
        work, output = _understood(arguments)
        from ditr.cli.output import speaking

        with speaking(output), reported(arguments, verbose=output.verbose):
            work()


def execute(arguments: list[str]) -> None:
    """Run a command.

    Raises:
        InputError: no such command, or what the command raises.
        SystemExit: unknown options, or after help.
    """
    work, output = _understood(arguments)
    from ditr.cli.output import speaking

    with speaking(output):
        work()


def _understood(arguments: list[str]) -> tuple[Callable[[], object], Output]:
    """The work that is asked for, and what is to be said of it.

    Raises:
        InputError: no such command.
        SystemExit: unknown options, or after help.
    """
    import tyro

    from ditr.cli.help_pages import is_asked_for, laid_out, unfold
    from ditr.cli.output import Output

    commands = _commands()
    helps = is_asked_for(arguments)
    if helps:
        unfold([*commands, Output])
    names = [kind.__name__.lower() for kind in commands]
    name = _command_name(arguments)
    _check_name(name, names)
    # The list of all commands has a line of each, and a command's own help all that there is.
    said = [None if name is not None else (kind.__doc__ or "").partition("\n")[0] for kind in commands]
    options = tuple(
        Annotated[kind, tyro.conf.subcommand(name, description=line)]
        for kind, name, line in zip(commands, names, said, strict=True)
    )
    one_of_them: Any = Union[options]  # noqa: UP007
    invocation: Any = make_dataclass(
        "Invocation", [("command", one_of_them), ("output", Output, field(default_factory=Output))]
    )
    config = (tyro.conf.OmitSubcommandPrefixes, tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff)
    with laid_out() if helps else nullcontext():
        parsed = tyro.cli(
            invocation,
            prog="ditr",
            description="A label for every point of a 3D scene with photographs: DITR, DINO in the Room. "
            "ditr COMMAND --help explains a command, ditr --version prints the version.",
            args=_joined(arguments or ["--help"]),
            config=(*config, tyro.conf.CascadeSubcommandArgs, tyro.conf.DisallowNone),
        )
    return partial(_work, commands[type(parsed.command)], parsed.command, arguments), parsed.output


_ADDRESS = r"auto|local|ray://\S+|[\w.-]+:\d+"
"""Of a Ray cluster; anything else after ``--ray`` is a source."""
_QUICK = ("cache", "doctor", "recipes", "weights")
"""Commands whose output is a list or a report; the log of the others says first what was asked for."""


def _work(run: Callable[[Any], object], command: Any, arguments: list[str]) -> None:
    from ditr.runtime import tell

    if type(command).__name__.lower() not in _QUICK:
        tell(f"ditr {shlex.join(arguments)}")
    from ditr.cli.output import asked_for
    from ditr.cli.places import on_this_machine

    with asked_for(arguments), on_this_machine(command) as here:
        run(here)


def _command_name(arguments: list[str]) -> str | None:
    """The first argument that is not an option of every command."""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--log-file":
            next(rest, None)
        elif not argument.startswith("-"):
            return argument
    return None


def _commands() -> dict[type, Callable[[Any], object]]:
    """Every command's options and what runs it, in the order of the help; a command is called as its class."""
    from ditr.cli import (
        bench,
        cache,
        check,
        convert,
        demo,
        doctor,
        evaluate,
        features,
        import_,
        label,
        objects,
        prepare,
        recipes,
        reproduce,
        rooms,
        segment,
        streets,
        submit,
        train,
        verify,
        view,
        weights,
    )

    return {
        demo.Demo: demo.run,
        rooms.Rooms: rooms.run,
        streets.Streets: streets.run,
        check.Check: check.run,
        import_.Import: import_.run,
        features.Features: features.run,
        train.Train: train.run,
        segment.Segment: segment.run,
        label.Label: label.run,
        objects.Objects: objects.run,
        view.View: view.run,
        evaluate.Evaluate: evaluate.run,
        prepare.Prepare: prepare.run,
        recipes.Recipes: recipes.run,
        submit.Submit: submit.run,
        verify.Verify: verify.run,
        reproduce.Reproduce: reproduce.run,
        weights.Weights: weights.run,
        cache.Cache: cache.run,
        convert.Convert: convert.run,
        doctor.Doctor: doctor.run,
        bench.Bench: bench.run,
    }


def _joined(arguments: list[str]) -> list[str]:
    """Options that the parser would misread with their values as one argument: ``--up -y``, which are no two options,
    and ``--ray``, whose address may be left out."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] == "--up" and argument in ("-x", "-y", "-z"):
            joined[-1] += f"={argument}"
        elif joined and joined[-1] == "--ray=" and re.fullmatch(_ADDRESS, argument):
            joined[-1] += argument
        else:
            joined.append("--ray=" if argument == "--ray" else argument)
    return joined


def _check_name(name: str | None, names: list[str]) -> None:
    """Refuse a command that there is not, with the one that was probably meant."""
    from ditr.errors import InputError, nearest

    if name is not None and name not in names:
        near = nearest(name, names)
        hint = f"Did you mean {near!r}?" if near else f"Use one of {', '.join(names)}"
        raise InputError(name, "there is no such command", hint)

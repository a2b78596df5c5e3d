"""What a command says, and where: the options of every command, remarks, and the library's log."""

from __future__ import annotations

import logging
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ditr.cli.options import UNSET
from ditr.errors import InputError
from ditr.runtime import LogFile, is_quiet, showing

__all__ = ["Output", "asked_for", "command_line", "is_verbose", "remark", "speaking"]

_arguments: ContextVar[tuple[str, ...]] = ContextVar("arguments", default=())


@dataclass(frozen=True)
class Output:
    """What to print and log."""

    quiet: Annotated[bool, UNSET] = False
    """Print only results and warnings."""
    verbose: Annotated[bool, UNSET] = False
    """Print details: SHA-256 sums, causes of network errors, and where in the program an input was refused."""
    log_file: Annotated[Path | None, tyro.conf.arg(metavar="FILE"), UNSET] = None
    """Also append everything that is printed to this file, each line with its time."""


def remark(text: str) -> None:
    """Print what is said along the way and is neither result nor warning."""
    if not is_quiet():
        print(text, flush=True)


def is_verbose() -> bool:
    """Whether ``--verbose`` was given."""
    return logging.getLogger("ditr").isEnabledFor(logging.DEBUG)


@contextmanager
def asked_for(arguments: Sequence[str]) -> Iterator[None]:
    """Inside, the command is the one of these arguments."""
    token = _arguments.set(tuple(arguments))
    try:
        yield
    finally:
        _arguments.reset(token)


def command_line() -> str:
    """The command that is being worked on, quoted for a shell, and without what of URLs nobody else may see."""
    from ditr.io.remote import shown

    return shlex.join(["ditr", *(shown(one) if "://" in one else one for one in _arguments.get())])


@contextmanager
def speaking(output: Output) -> Iterator[None]:
    """Inside, everything is said as ``output`` asks.

    Raises:
        InputError: options that exclude each other, or a log file that cannot be written.
    """
    if output.quiet and output.verbose:
        raise InputError("--quiet", "it contradicts --verbose", "Leave one out")
    log = None if output.log_file is None else LogFile(output.log_file)
    logger, handler = logging.getLogger("ditr"), _Spoken()
    before = logger.level
    logger.setLevel(logging.WARNING if output.quiet else logging.DEBUG if output.verbose else logging.INFO)
    logger.addHandler(handler)
    try:
        with nullcontext() if log is None else closing(log), showing(quiet=output.quiet, log=log):
            try:
                yield
            except Exception as error:
                # It is shown by whoever catches it, outside.
                if log is not None:
                    log.line(str(error) if isinstance(error, InputError) else traceback.format_exc())
                raise
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


class _Spoken(logging.Handler):
    """The library's log as lines of the program."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = "warning: " if record.levelno >= logging.WARNING else ""
        print(f"ditr: {kind}{record.getMessage()}", file=sys.stderr, flush=True)

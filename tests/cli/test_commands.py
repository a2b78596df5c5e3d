"""The program itself: its version, its help, and commands that there are not."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import textwrap

import docstring_parser
import pytest

import ditr
from ditr.cli import _commands, _understood


def program(*arguments: str, columns: int = 80) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ditr", *arguments]
    environment = {**os.environ, "COLUMNS": str(columns)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_version_and_help() -> None:
    done = program("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ditr {ditr.__version__}\n", "")
    helped = program("--help")
    assert helped.returncode == 0 and "ditr --version" in helped.stdout and "segment" in helped.stdout
    alone = program()
    assert (alone.returncode, alone.stdout, alone.stderr) == (0, helped.stdout, "")


@pytest.mark.parametrize(("command", "columns"), [("label", 80), ("label", 120), ("train", 100), ("segment", 60)])
def test_the_paragraphs_of_a_help_flow_to_the_width_of_the_terminal(command: str, columns: int) -> None:
    helped = program(command, "--help", columns=columns).stdout
    lines = helped.splitlines()
    assert max(len(line) for line in lines) <= columns
    assert "\n\n\n" not in helped
    (kind,) = (kind for kind in _commands() if kind.__name__.lower() == command)
    told = docstring_parser.parse_from_object(kind)
    assert told.params
    flat = " ".join(helped.replace("│", " ").split())
    for option in told.params:
        assert " ".join((option.description or "").split()) in flat, option.arg_name
    for paragraph in inspect.cleandoc(kind.__doc__ or "").split("\n\n"):
        if not paragraph.startswith("$"):
            folded = textwrap.wrap(" ".join(paragraph.split()), columns, break_long_words=False, break_on_hyphens=False)
            assert "\n" + "\n".join(folded) + "\n" in helped


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("segmnet", "Did you mean 'segment'?"),
        ("feature", "Did you mean 'features'?"),
        ("Train", "Did you mean 'train'?"),
        ("xyz", "Use one of demo, rooms, streets, check, import, features, train, segment,"),
    ],
)
def test_unknown_command_is_one_line_with_a_suggestion(typed: str, hint: str) -> None:
    done = program(typed, "CAPTURE", "--device", "cpu")
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ditr: {typed}: there is no such command. {hint}")


def test_a_remedy_that_asks_has_no_full_stop() -> None:
    done = program("train", "scannet/ditr", "RUN", "--data", ".", "--set", "epoch=1")
    assert done.returncode == 2
    assert done.stderr.endswith("Did you mean 'epochs'?\n")


def test_every_help_begins_with_examples_that_are_understood() -> None:
    for kind in _commands():
        lines = [line.strip() for line in (kind.__doc__ or "").splitlines()]
        examples = [line[2:] for line in lines if line.startswith("$ ")]
        assert examples, kind.__name__
        paragraphs = " ".join(lines[1:]).split()
        assert paragraphs[0] == "$", f"{kind.__name__}: something stands before the examples"
        for example in examples:
            assert len(example) <= 78, example
            typed = re.split(" {2,}", example)[0]  # what it does stands behind two spaces
            program, *arguments = shlex.split(typed)
            assert program == "ditr"
            _understood(arguments)

"""The program itself: its version, its help, and commands that there are not."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

import ditr
from ditr.cli import _commands, _understood


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "ditr", *arguments], capture_output=True, text=True, check=False)


def test_version_and_help() -> None:
    done = program("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"ditr {ditr.__version__}\n", "")
    helped = program("--help")
    assert helped.returncode == 0 and "ditr --version" in helped.stdout and "segment" in helped.stdout


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
            typed = re.split(" {2,}", example)[0]  # what it does stands behind two spaces
            program, *arguments = shlex.split(typed)
            assert program == "ditr"
            _understood(arguments)

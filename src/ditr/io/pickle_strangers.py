"""Objects that training code leaves beside the weights: known by name, and never made.

A checkpoint may hold its optimizer, its options and its folders as objects of Python. Refusing these files would refuse
sound weights, so such objects become placeholders, which hold their class's name and the values that they were written
with. The list is short, and no name on it is ever imported.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from ditr.io.pickle_names import RUNS_CODE, Fault, Name, Placeholder

__all__ = ["ATTRIBUTES", "stranger"]

_PATHS = ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")
_CLASSES = {
    **{(module, name): f"pathlib.{name}" for module in ("pathlib", "pathlib._local") for name in _PATHS},
    ("argparse", "Namespace"): "argparse.Namespace",
    ("collections", "defaultdict"): "collections.defaultdict",
    ("collections", "Counter"): "collections.Counter",  # the milestones of a scheduler
}
_BUILTINS = ("builtins", "__builtin__")
_FACTORIES = frozenset({"dict", "list", "set", "int", "float"})
_OPTIM = re.compile(r"torch\.optim(\.[a-z_]{1,40})?")
_CLASS = re.compile(r"[A-Z][A-Za-z0-9]{1,60}")
_METHOD = re.compile(r"(?!__)[a-z_]\w{0,60}", re.ASCII)


def stranger(module: str, name: str) -> Name | None:
    """The name of a class of which objects become placeholders, or a method of one of torch.optim; None: it is none."""
    text = _CLASSES.get((module, name))
    if text is not None:
        return Name(text, partial(_object, text), is_stranger=True)
    if module in _BUILTINS and name in _FACTORIES:
        return Name(f"builtins.{name}")
    if _OPTIM.fullmatch(module) is None:
        return None
    kind, dot, method = name.partition(".")
    if _CLASS.fullmatch(kind) is None or (dot and _METHOD.fullmatch(method) is None):
        return None
    text = f"{'torch.optim.lr_scheduler' if module.endswith('.lr_scheduler') else 'torch.optim'}.{name}"
    return Name(text, None if dot else partial(_object, text), is_stranger=True)


def _object(text: str, arguments: tuple[Any, ...]) -> Placeholder:
    # A defaultdict is written with its factory.
    return Placeholder(text, [part for part in arguments if type(part) is not Name or part.is_stranger])


def _attribute(arguments: tuple[Any, ...]) -> Placeholder:
    """As protocols 0 to 3 write methods: of a placeholder or its class, by a plain name."""
    owner, name = arguments if len(arguments) == 2 else (None, None)
    text = owner.name if isinstance(owner, Placeholder) else None
    if isinstance(owner, Name) and owner.is_stranger:
        text = owner.text
    if text is None or type(name) is not str or _METHOD.fullmatch(name) is None:
        raise Fault("it wants to call builtins.getattr, and unpickling that would run code", RUNS_CODE)
    return Placeholder(f"{text}.{name}", [])


ATTRIBUTES = {(module, "getattr"): Name("builtins.getattr", _attribute) for module in _BUILTINS}
"""Further names of a pickle that may hold placeholders."""

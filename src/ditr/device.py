"""Where to compute."""

from __future__ import annotations

import torch

from ditr.files import InputError

__all__ = ["choose_device"]


def choose_device(name: str) -> str:
    """ "auto" becomes "cuda" where there is a GPU and "cpu" elsewhere; other names are checked.

    Raises:
        InputError: another name, or a GPU that is not there.
    """
    there = torch.cuda.is_available()
    if name == "auto":
        return "cuda" if there else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError:
        kind = ""
    if kind not in ("cpu", "cuda"):
        raise InputError("device", f"{name!r} is not known", "Use auto, cpu or cuda")
    if kind == "cuda" and not there:
        raise InputError("device", "there is no GPU that torch can use", "Use cpu, or install torch for this GPU")
    return name

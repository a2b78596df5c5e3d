"""``ditr view``: a scene in the browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ditr.cli.options import Reading

__all__ = ["View", "run"]


@dataclass(frozen=True)
class View:
    """Look at a scene in the browser: points, photographs, labels, features.

    SOURCE is a capture, as for the other commands, or the folder that `ditr segment`, `ditr label` or `ditr features`
    wrote; --capture adds the photographs to that. The page is for this machine alone, and its address has a token.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Capture, or folder of a result."""
    capture: Annotated[Path | None, tyro.conf.arg(metavar="CAPTURE")] = None
    """Capture that the result was made of."""
    port: int = 8080
    """Port of the page on this machine; the next free one where it is taken."""
    no_open: bool = False
    """Open no browser; only print the address."""
    budget: int = 1_000_000
    """Points that a browser draws at most; of larger clouds those that its camera asks for."""
    encoder: str = "auto"
    """Image encoder, for features: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived."""
    reading: Reading = field(default_factory=Reading)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    cache: Path | None = None
    """Folder in which features of photographs are kept; by default under the user's cache folder."""


def run(args: View) -> None:
    """Read, serve, and wait for Ctrl-C."""
    from ditr.runtime import phase
    from ditr.viewer.serve import require_viser, serve
    from ditr.viewer.subject import read_subject

    require_viser()
    with phase(f"read {args.source}"):
        subject = read_subject(args.source, args.reading.options(), args.capture)
    serve(subject, port=args.port, budget=args.budget, open_browser=not args.no_open)

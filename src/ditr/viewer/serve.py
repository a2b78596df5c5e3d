"""From a subject to a page that is served until somebody ends it."""

from __future__ import annotations

import getpass
import os
import socket
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ditr.errors import InputError
from ditr.io.caches import kept
from ditr.labelling.clicks import read_clicks
from ditr.runtime import phase
from ditr.stopping import exiting_when_stopped
from ditr.viewer.beside import Beside
from ditr.viewer.desk import Desk, Places
from ditr.viewer.page import Page
from ditr.viewer.subject import Subject

if TYPE_CHECKING:
    from ditr.encoders.encoding import CachedEncoding

__all__ = ["require_viser", "serve"]


def require_viser() -> None:
    """Refuse early where the page's library is missing.

    Raises:
        InputError: it is.
    """
    if find_spec("viser") is None:
        raise InputError("ditr view", "the package viser is not installed", "Install it: pip install 'ditr[view]'")


def serve(
    subject: Subject,
    *,
    source: Path,
    clicks: Path,
    out: Path,
    encoding: Callable[[], CachedEncoding] | None,
    cell: float | None,
    port: int,
    budget: int,
    open_browser: bool,
    beside: Beside | None = None,
) -> None:
    """Serve the page, say where it is, and wait for Ctrl-C or SIGTERM.

    Args:
        subject: what is shown.
        source: what it was read from.
        clicks: file of clicks, to go on from where it is there.
        out: folder for the labels of clicks.
        encoding: makes the image encoder; None to do without photographs.
        cell: metres, of the cubes that get one label each; None for the profile's.
        port: of the page, or the next that is free.
        budget: most points that a browser draws.
        open_browser: whether one is opened here.
        beside: a second result, for a right side; then nothing is labelled.

    Raises:
        InputError: a port or budget that is none, clicks in another scene, or a viser that cannot be guarded.
    """
    if not 0 <= port < 65536:
        raise InputError("--port", f"it is {port}", "Give a number from 1024 to 65535")
    if budget < 1000:
        raise InputError("--budget", f"it is {budget}", "Give 1000 points or more")
    before = None
    if clicks.exists() and beside is None:
        before = read_clicks(clicks)
        before.require(subject.scene, str(clicks))
    places = Places(clicks, out, out.with_name(f"{out.name}-capture"), out.with_name(f"{out.name}.bank"))
    with phase("make the page"):
        page = Page(subject, port=port, budget=budget, cache=kept("octrees"), beside=beside)
    try:
        if beside is None:
            Desk(page, places, source, before, encoding, cell)
        for line in told(page):
            print(line, flush=True)
        if open_browser and not _is_remote():
            webbrowser.open(page.address)
        with exiting_when_stopped(), suppress(KeyboardInterrupt):
            threading.Event().wait()
    finally:
        page.stop()


def told(page: Page) -> list[str]:
    """Where the page is, for this machine, and from another one over SSH."""
    address, port = page.address, page.server.get_port()
    lines = [f"open {address}"]
    if _is_remote():
        lines += [
            f"from your own machine, first: ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}"
        ]
    return [*lines, "Ctrl-C ends it"]


def _is_remote() -> bool:
    """Whether this is a session of SSH."""
    return any(name in os.environ for name in ("SSH_CONNECTION", "SSH_TTY"))

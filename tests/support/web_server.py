"""A web server of a folder, which lists folders as pages, and can be told to stall in the middle of files."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

__all__ = ["WebServer"]


class WebServer:
    """Serves ``folder`` on this machine while its ``with`` lasts; ``stalled`` is set once half of a file was sent."""

    def __init__(self, folder: Path, *, stalls: bool = False) -> None:
        self.stalled, self._over = threading.Event(), threading.Event()
        handler = partial(_Stalling if stalls else _Quiet, directory=str(folder))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.stalled, self._server.over = self.stalled, self._over  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> WebServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Stalling(_Quiet):
    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def]
        whole = source.read()
        outputfile.write(whole[: len(whole) // 2])
        outputfile.flush()
        self.server.stalled.set()  # type: ignore[attr-defined]
        self.server.over.wait(60)  # type: ignore[attr-defined]

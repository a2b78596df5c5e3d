"""A server on this machine that speaks the protocol of the Hugging Face hub and can be told to fail.

Folders of files are served as model repositories. Large files (by suffix) are kept as Git LFS does: their hash is a
SHA-256, and a request for them is redirected to another server, as the hub redirects to its content network. For all
others the hash is git's SHA-1 and the redirect is relative.

`huggingface_hub` reads ``HF_ENDPOINT`` when it is imported, so clients run as processes of their own::

    with HubServer({"someone/model": folder}) as server:
        subprocess.run([sys.executable, "-c", program], env=os.environ | server.environment(tmp_path / "cache"))
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Answer", "Entry", "Faults", "HubServer", "git_sha1"]

_PIECE = 1 << 14


def git_sha1(content: bytes) -> str:
    """The name that git gives to the content of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A file of a repository; ``etag`` is a SHA-256 if it is large (LFS), else git's SHA-1."""

    name: str
    path: Path
    size: int
    etag: str
    large: bool


@dataclass(frozen=True)
class Answer:
    """A request and what was answered: ``kind`` is api, head, resolve or body; ``sent`` bytes from ``start``."""

    kind: str
    path: str
    status: int
    start: int = 0
    sent: int = 0
    authorization: str | None = None


@dataclass
class Faults:
    """What goes wrong, from now on; may be changed while the server runs.

    Attributes:
        statuses: answers to the next requests of the kinds in ``status_kinds``, instead of what they ask for.
        status_kinds: see `Answer.kind`.
        drops: for the next bodies of files: break the connection after this many bytes (None: do not).
        corrupt: how many bodies of files come with one byte changed (``math.inf``: all).
        only: regular expression of the paths that ``drops`` and ``corrupt`` mean.
        silence: seconds before any answer.
        speed: bytes per second of the bodies of files (None: no limit).
        gated: repositories whose files need a log-in and an accepted licence.
        hides_missing: unknown repositories are answered with 401, as the hub does without a log-in.
        announces_xet: large files are said to be in the hub's newer storage as well, which this server does not have.
        login_page: every answer is a web page, as in networks that want a log-in first.
    """

    statuses: deque[int] = field(default_factory=deque)
    status_kinds: tuple[str, ...] = ("api", "head", "resolve", "body")
    drops: deque[int | None] = field(default_factory=deque)
    corrupt: float = 0
    only: str = ""
    silence: float = 0.0
    speed: float | None = None
    gated: frozenset[str] = frozenset()
    hides_missing: bool = False
    announces_xet: bool = False
    login_page: bool = False


class HubServer:
    """Serves ``repositories`` (name → folder) at ``endpoint`` while the ``with`` block lasts."""

    def __init__(
        self,
        repositories: Mapping[str, Path],
        *,
        large: tuple[str, ...] = (".safetensors", ".bin", ".pth", ".onnx"),
        faults: Faults | None = None,
    ) -> None:
        self.repositories = dict(repositories)
        self.large = large
        self.faults = faults or Faults()
        self.lock = threading.Lock()
        self.noted: list[Answer] = []
        self.busy = 0
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
        for server in self._servers:
            server.daemon_threads = True
            server.hub = self  # type: ignore[attr-defined]
        self._commits: dict[str, dict[str, dict[str, Entry]]] = {name: {} for name in self.repositories}
        self._heads: dict[str, str] = {}
        for name in self.repositories:
            self.commit(name)

    def __enter__(self) -> HubServer:
        for server in self._servers:
            # Polled often, so that leaving the block takes no time.
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}"

    @property
    def body_endpoint(self) -> str:
        """Where large files come from: another host, by name, or clients would take both for one server."""
        return f"http://localhost:{self._servers[1].server_address[1]}"

    def environment(self, home: Path) -> dict[str, str]:
        """Variables for a client process with its cache in ``home`` that asks nobody but this server."""
        names = ("NO_PROXY", "no_proxy")
        fixed = {"HF_ENDPOINT": self.endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_TOKEN": ""}
        fixed |= {"HF_HUB_CACHE": str(home / "hub"), "HF_HUB_OFFLINE": "", "TRANSFORMERS_OFFLINE": ""}
        return fixed | dict.fromkeys(names, "127.0.0.1,localhost") | {"HF_HUB_DISABLE_XET": "1"}

    def commit(self, repository: str) -> str:
        """Make what the folder holds now the newest commit of ``main``; its hash. Older ones stay known by theirs."""
        folder = self.repositories[repository]
        entries = {}
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                name, content = path.relative_to(folder).as_posix(), path.read_bytes()
                is_large = name.endswith(self.large)
                etag = hashlib.sha256(content).hexdigest() if is_large else git_sha1(content)
                entries[name] = Entry(name, path, len(content), etag, is_large)
        commit = hashlib.sha1(repr([(entry.name, entry.etag) for entry in entries.values()]).encode()).hexdigest()
        self._commits[repository][commit] = entries
        self._heads[repository] = commit
        return commit

    def entries(self, repository: str, revision: str = "main") -> tuple[str, dict[str, Entry]] | None:
        """Commit and files of a revision: ``main`` or a commit."""
        commit = self._heads[repository] if revision == "main" else revision
        files = self._commits[repository].get(commit)
        return None if files is None else (commit, files)

    def entry_of(self, etag: str) -> Entry | None:
        """A large file by its hash."""
        for commits in self._commits.values():
            for entries in commits.values():
                for entry in entries.values():
                    if entry.large and entry.etag == etag:
                        return entry
        return None

    @property
    def answers(self) -> list[Answer]:
        """All answers so far, once those under way are over: a client may have its bytes before they are noted."""
        until = time.monotonic() + 5
        while self.busy and time.monotonic() < until:
            time.sleep(0.005)
        with self.lock:
            return list(self.noted)

    def count(self, kind: str, containing: str = "") -> int:
        """How many requests of a kind there were, for paths that contain a text."""
        return sum(answer.kind == kind and containing in answer.path for answer in self.answers)

    def bodies(self, containing: str = "") -> list[Answer]:
        """The answers that brought bytes of files."""
        return [answer for answer in self.answers if answer.kind == "body" and containing in answer.path]


class _Broken(Exception):
    """The connection was or is to be broken."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.hub: HubServer = self.server.hub  # type: ignore[attr-defined]

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal: `HubServer.answers` has it."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        with self.hub.lock:
            self.hub.busy += 1
        try:
            self.answer_path(unquote(urlsplit(self.path).path))
        finally:
            with self.hub.lock:
                self.hub.busy -= 1

    def answer_path(self, path: str) -> None:
        if self.hub.faults.silence:
            time.sleep(self.hub.faults.silence)
        try:
            if self.hub.faults.login_page:
                self.plain("page", path, 200, {"Content-Type": "text/html"}, b"<html>Please log in</html>")
            elif match := re.fullmatch(r"/large/([0-9a-f]{64})/.*", path):
                self.large(path, match.group(1))
            elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/([^/]+))?", path):
                self.api(path, match.group(1), match.group(2) or "main")
            elif match := re.fullmatch(r"/(api/resolve-cache/models/)?([^/]+/[^/]+?)(?:/resolve)?/([^/]+)/(.+)", path):
                self.resolve(path, match.group(2), match.group(3), match.group(4), bool(match.group(1)))
            else:
                self.plain("other", path, 404)
        except (_Broken, ConnectionError):
            self.close_connection = True

    def plain(
        self, kind: str, path: str, status: int, headers: Mapping[str, str] | None = None, content: bytes = b""
    ) -> None:
        """A short answer."""
        self.note(Answer(kind, path, status, authorization=self.headers.get("Authorization")))
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def note(self, answer: Answer) -> None:
        with self.hub.lock:
            self.hub.noted.append(answer)

    def fails(self, kind: str, path: str) -> bool:
        """Whether this request is one of those that `Faults.statuses` means; it is answered then."""
        faults = self.hub.faults
        with self.hub.lock:
            if kind not in faults.status_kinds or not faults.statuses:
                return False
            status = faults.statuses.popleft()
        self.plain(kind, path, status, {}, b"no")
        return True

    def refuse(self, kind: str, path: str, status: int, code: str, message: str) -> None:
        headers = {"X-Error-Message": message, "Content-Type": "application/json"}
        if code:
            headers["X-Error-Code"] = code
        self.plain(kind, path, status, headers, json.dumps({"error": message}).encode())

    def found(self, kind: str, path: str, repository: str, revision: str) -> tuple[str, dict[str, Entry]] | None:
        """Commit and files, or None after an answer that says what is missing."""
        if repository not in self.hub.repositories:
            if self.hub.faults.hides_missing:
                self.refuse(kind, path, 401, "RepoNotFound", "Invalid username or password.")
            else:
                self.refuse(kind, path, 404, "RepoNotFound", "Repository not found")
            return None
        commit = self.hub.entries(repository, revision)
        if commit is None:
            self.refuse(kind, path, 404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit

    def api(self, path: str, repository: str, revision: str) -> None:
        """What a repository holds, each file with its hash: ``?blobs=true`` is always meant."""
        found = None if self.fails("api", path) else self.found("api", path, repository, revision)
        if found is None:
            return
        commit, entries = found
        siblings: list[dict[str, object]] = []
        for entry in entries.values():
            lfs = {"sha256": entry.etag, "size": entry.size, "pointerSize": 134}
            told = {"lfs": lfs, "blobId": "0" * 40} if entry.large else {"blobId": entry.etag}
            siblings.append({"rfilename": entry.name, "size": entry.size, **told})
        content = {"id": repository, "sha": commit, "siblings": siblings, "private": False, "tags": []}
        self.plain("api", path, 200, {"Content-Type": "application/json"}, json.dumps(content).encode())

    def resolve(self, path: str, repository: str, revision: str, name: str, is_last: bool) -> None:
        """Where a file is, or the file itself if it is small and the redirect has been followed."""
        kind = "head" if self.command == "HEAD" else "resolve"
        if self.fails(kind, path):
            return
        found = self.found(kind, path, repository, revision)
        if found is None:
            return
        if repository in self.hub.faults.gated:
            known = self.headers.get("Authorization") is not None
            self.refuse(kind, path, 403 if known else 401, "GatedRepo", f"Access to model {repository} is restricted.")
            return
        commit, entries = found
        entry = entries.get(name)
        if entry is None:
            self.refuse(kind, path, 404, "EntryNotFound", "Entry not found")
            return
        headers = {"X-Repo-Commit": commit, "ETag": f'"{entry.etag}"'}
        if entry.large:
            headers |= {"X-Linked-ETag": f'"{entry.etag}"', "X-Linked-Size": str(entry.size)}
            headers |= {"Location": f"{self.hub.body_endpoint}/large/{entry.etag}/{name}?signature=none"}
            if self.hub.faults.announces_xet:
                token = f"{self.hub.endpoint}/api/models/{repository}/xet-read-token/{commit}"
                headers |= {"X-Xet-Hash": entry.etag[::-1], "Link": f'<{token}>; rel="xet-auth"'}
            self.plain(kind, path, 302, headers)
        elif not is_last:
            headers |= {"Location": f"/api/resolve-cache/models/{repository}/{commit}/{name}"}
            self.plain(kind, path, 307, headers)
        else:
            self.body(path, entry, headers)

    def large(self, path: str, etag: str) -> None:
        entry = self.hub.entry_of(etag)
        if entry is None:
            self.plain("body", path, 404)
        elif not self.fails("body", path):
            self.body(path, entry, {"ETag": '"of-the-storage"'})

    def body(self, path: str, entry: Entry, headers: Mapping[str, str]) -> None:
        """The bytes of a file, or of the range that was asked for."""
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if match:
            start = int(match.group(1))
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{entry.size - 1}/{entry.size}")
        for name, value in {**headers, "Content-Length": str(entry.size - start), "Accept-Ranges": "bytes"}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            self.note(Answer("head", path, 200, authorization=self.headers.get("Authorization")))
            return
        self.sent = 0
        try:
            self.send(path, entry.path.read_bytes()[start:])
        finally:
            # Noted when it is over, with what the client may have got.
            self.note(Answer("body", path, 206 if start else 200, start, self.sent, self.headers.get("Authorization")))

    def send(self, path: str, content: bytes) -> None:
        """Send the bytes, with the faults that are due; counts them in ``self.sent``."""
        faults = self.hub.faults
        drop = None
        if re.search(faults.only, path):
            with self.hub.lock:
                drop = faults.drops.popleft() if faults.drops else None
                if faults.corrupt > 0 and content:
                    faults.corrupt -= 1
                    middle = len(content) // 2
                    content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        end = len(content) if drop is None else min(drop, len(content))
        piece = _PIECE if faults.speed is None else max(1, min(_PIECE, math.ceil(faults.speed / 20)))
        while self.sent < end:
            part = content[self.sent : min(end, self.sent + piece)]
            self.wfile.write(part)
            self.sent += len(part)
            if faults.speed is not None:
                time.sleep(len(part) / faults.speed)
        if drop is not None and drop < len(content):
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            raise _Broken

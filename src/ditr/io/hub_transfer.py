"""Questions to the Hugging Face hub and bytes from it: bounded patience, resumption, errors that name a remedy.

The bytes come over plain HTTP with the session of ``huggingface_hub`` and its log-in. Its own download function checks
sizes only, and its newer versions forget what a killed process had downloaded. Files that the hub keeps in its newer
storage (Xet) come over the same HTTP addresses, with or without the package ``hf_xet``.
"""

from __future__ import annotations

import errno
import http
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import constants
from huggingface_hub.utils import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    build_hf_headers,
    get_session,
    hf_raise_for_status,
    tqdm,
)

from ditr.errors import InputError

__all__ = ["Patience", "RemoteFile", "Source", "Unreachable", "disk_fault", "persist", "receive", "understood"]

# Versions below 1 of huggingface_hub speak through `requests`, later ones through `httpx` or a successor. The base
# class of the library's errors is among the bases of the hub's own error, so that none of them is imported here.
_NETWORK_FAULTS: tuple[type[BaseException], ...] = (*HfHubHTTPError.__bases__, OSError)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CHUNK = 1 << 12

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class Unreachable(InputError):
    """The hub could not be reached, or not for long enough; a copy in the cache may do instead."""


class _Passing(Exception):
    """What may not happen again: worth another attempt, after ``pause`` seconds where the server named a pause."""

    def __init__(self, fault: str, pause: float | None = None) -> None:
        super().__init__(fault)
        self.pause = pause


@dataclass(frozen=True)
class Patience:
    """How long to try.

    A hub that says nothing is given up after ``attempts`` * ``timeout`` seconds and the pauses between them: with
    these numbers and a ``timeout`` of 10 s, after 65 s. One that asks for pauses gets them. A file may take
    ``size / slowest`` seconds more than a silence; attempts that bring bytes are not counted.

    Attributes:
        attempts: how often in a row a request may fail.
        timeout: seconds without a byte until an attempt has failed; None: ``HF_HUB_DOWNLOAD_TIMEOUT``, which is 10.
        pause: seconds before the second attempt; doubled before each further one.
        longest_pause: the longest pause in seconds, also where the hub asks for one (status 429 or 503).
        slowest: bytes per second that a download must reach on the whole.
        copies: how often a whole file may come with the wrong hash.
    """

    attempts: int = 5
    timeout: float | None = None
    pause: float = 1.0
    longest_pause: float = 60.0
    slowest: float = 20_000.0
    copies: int = 3

    @property
    def seconds(self) -> float:
        """The time limit of one attempt."""
        return float(constants.HF_HUB_DOWNLOAD_TIMEOUT) if self.timeout is None else self.timeout

    def pause_after(self, failures: int) -> float:
        """Seconds to wait after this many failures in a row."""
        return float(min(self.pause * 2.0 ** (failures - 1), self.longest_pause))

    def limit(self, size: int | None) -> float:
        """Seconds after which a file of ``size`` bytes is given up; one of unknown size may be a gigabyte."""
        pauses = sum(self.pause_after(failures) for failures in range(1, self.attempts))
        return self.attempts * self.seconds + pauses + (1e9 if size is None else size) / self.slowest


@dataclass(frozen=True)
class Source:
    """What was asked for, for messages: names (exact or patterns) in a revision of a hub repository."""

    repository: str
    revision: str
    names: tuple[str, ...]

    @property
    def page(self) -> str:
        return f"{constants.ENDPOINT}/{self.repository}"

    @property
    def by_hand(self) -> str:
        return f"download {', '.join(self.names)} by hand from {self.page}/tree/{self.revision} and give the folder"

    def unreachable(self, fault: str) -> Unreachable:
        """The error for a hub that could not be reached."""
        remedy = (
            f"Check the connection to {constants.ENDPOINT} and the proxy (HTTPS_PROXY), or set HF_ENDPOINT to a "
            f"mirror, or {self.by_hand}"
        )
        return Unreachable(self.repository, fault, remedy)


@dataclass(frozen=True)
class RemoteFile:
    """A file of the hub: where it is, the hash it must have (see `ditr.io.hub`), and its size in bytes if known."""

    name: str
    url: str
    etag: str
    size: int | None


def persist(
    action: Callable[[], _T],
    source: Source,
    patience: Patience,
    *,
    progress: Callable[[], int] = lambda: 0,
    limit: float | None = None,
) -> _T:
    """The result of ``action``, tried again while it fails in ways that pass.

    Failures in a row are counted; one after which ``progress()`` has grown begins a new row. ``limit`` in seconds ends
    the attempts in any case.

    Raises:
        Unreachable: it failed too often, or for too long.
        InputError: the hub refuses, or has no such thing; that is not tried again.
    """
    began, failures = time.monotonic(), 0
    while True:
        before = progress()
        try:
            with _judged(source):
                return action()
        except _Passing as fault:
            failures = 1 if progress() > before else failures + 1
            spent = time.monotonic() - began
            pause = patience.pause_after(failures) if fault.pause is None else fault.pause
            asked_too_long = pause > patience.longest_pause
            out_of_time = limit is not None and spent + pause > limit
            if failures >= patience.attempts or asked_too_long or out_of_time:
                told = f" and asks to wait {pause:.0f} s" if asked_too_long else ""
                raise source.unreachable(
                    f"the Hugging Face hub {fault}{told}; given up after {spent:.0f} s, {failures} failures in a row"
                ) from fault
            _log.warning("%s: the Hugging Face hub %s; trying again in %.1f s", source.repository, fault, pause)
            time.sleep(pause)


def receive(file: RemoteFile, partial: Path, source: Source, patience: Patience, *, progress: bool) -> None:
    """Bring all bytes of ``file`` into ``partial``, after those that an earlier attempt or process left there.

    Their hash is for the caller to check. What has come stays in ``partial`` on any error.

    Raises:
        Unreachable: the download failed too often, or was too slow.
        InputError: the hub refuses, or the disk is full.
    """
    limit = patience.limit(file.size)
    deadline = time.monotonic() + limit
    # None hides the bar where there is no terminal.
    with tqdm(unit="B", unit_scale=True, total=file.size, desc=file.name, disable=None if progress else True) as bar:

        def attempt() -> None:
            _receive_once(file, partial, source, patience, deadline, bar)

        persist(attempt, source, patience, progress=lambda: _size(partial), limit=limit)


def _receive_once(
    file: RemoteFile, partial: Path, source: Source, patience: Patience, deadline: float, bar: Any
) -> None:
    have = _size(partial)
    if have == file.size and partial.exists():
        return
    if file.size is not None and have > file.size:
        have = 0
    headers = {**build_hf_headers(), "Accept-Encoding": "identity"}  # ranges count the bytes of the file itself
    if have:
        headers["Range"] = f"bytes={have}-"
        _log.info("%s: %s resumes at byte %d", source.repository, file.name, have)
    with _get(file.url, headers, patience.seconds) as response:
        if response.status_code == 416:  # no such range: what is here is not the beginning of this file
            partial.unlink(missing_ok=True)
            raise _Passing(f"has no bytes of {file.name} from {have} on")
        hf_raise_for_status(response)
        if have and not _continues(response, have):
            have = 0
        bar.n = have
        try:
            with _opened(partial, have) as output:
                for chunk in _chunks(response, file.name):
                    _write(output, chunk)
                    bar.update(len(chunk))
                    if file.size is not None and output.tell() > file.size:
                        break  # whatever this is, its hash will be wrong
                    if time.monotonic() > deadline:
                        raise source.unreachable(
                            f"{file.name} came too slowly: {output.tell()} of {file.size} bytes when "
                            f"{patience.limit(file.size):.0f} s were over; a further attempt goes on from there"
                        )
        except _DiskError as fault:
            raise disk_fault(source, partial.parent, fault.fault) from fault.fault
    if file.size is not None and _size(partial) < file.size:
        raise _Passing(f"ended {file.name} at byte {_size(partial)} of {file.size}")


class _DiskError(Exception):
    """An error of the disk, kept apart from those of the network, which are OSErrors too."""

    def __init__(self, fault: OSError) -> None:
        super().__init__(str(fault))
        self.fault = fault


def _opened(partial: Path, have: int) -> io.FileIO:
    # Without a buffer: what has come is in the file when the process is killed.
    try:
        output = io.FileIO(partial, "r+" if have else "w")
        output.seek(have)
    except OSError as fault:
        raise _DiskError(fault) from fault
    return output


def _write(output: io.FileIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    try:
        while view:
            view = view[output.write(view) :]
    except OSError as fault:
        raise _DiskError(fault) from fault


def disk_fault(source: Source, folder: Path, fault: OSError) -> InputError:
    """The error for a cache folder that cannot be read or written."""
    elsewhere = "or set HF_HOME to a folder on another disk"
    if fault.errno in _DISK_FULL:
        return InputError(
            source.repository,
            f"no space left for its files in {folder} ({fault.strerror})",
            f"Free some space, {elsewhere}; what has come so far is kept",
        )
    return InputError(
        source.repository,
        f"the cache folder {folder} cannot be used ({fault})",
        f"Check that you may write there, {elsewhere}",
    )


def _get(url: str, headers: dict[str, str], timeout: float) -> AbstractContextManager[Any]:
    """The answer to a GET, its body not read yet. The log-in is not sent on to other hosts by either library."""
    session: Any = get_session()
    if callable(getattr(session, "stream", None)):  # httpx; in requests it is a setting
        stream: AbstractContextManager[Any] = session.stream(
            "GET", url, headers=headers, timeout=timeout, follow_redirects=True
        )
        return stream
    answer: AbstractContextManager[Any] = session.get(url, headers=headers, timeout=timeout, stream=True)
    return answer


def _chunks(response: Any, name: str) -> Iterator[bytes]:
    # As they arrive, or in small ones: what is in a chunk is lost with the connection.
    chunks = response.iter_content(_CHUNK) if hasattr(response, "iter_content") else response.iter_bytes()
    while True:
        try:
            chunk = next(chunks, None)
        except _NETWORK_FAULTS as fault:
            raise _Passing(f"broke off {name} ({_brief(fault)})") from fault
        if chunk is None:
            return
        yield chunk


def _continues(response: Any, start: int) -> bool:
    """Whether the body begins at byte ``start``; servers may answer a request for a range with the whole file."""
    given = str(response.headers.get("Content-Range", ""))
    return response.status_code == 206 and given.startswith(f"bytes {start}-")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


@contextmanager
def _judged(source: Source) -> Iterator[None]:
    """Turn the errors of the hub and of its HTTP library into `_Passing` or `InputError`."""
    try:
        yield
    except OfflineModeIsEnabled as fault:
        raise source.unreachable("HF_HUB_OFFLINE is set, so the Hugging Face hub was not asked") from fault
    except HfHubHTTPError as fault:
        status = int(fault.response.status_code)
        if status in (408, 429) or status >= 500:
            raise _Passing(f"answers {_phrase(status)}", _asked_pause(fault.response)) from fault
        raise _refusal(fault, status, source) from fault
    except _NETWORK_FAULTS as fault:
        if getattr(fault, "filename", None) is not None:  # of the disk: the file with the log-in, say
            raise
        raise _Passing(f"cannot be reached ({_brief(fault)})") from fault


@contextmanager
def understood(source: Source) -> Iterator[None]:
    """Around questions to the hub: an answer that makes no sense is no answer of the hub.

    Raises:
        Unreachable: the answer was not JSON, or not what the hub says.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError) as fault:
        raise source.unreachable(
            f"what answers at {constants.ENDPOINT} does not speak like the Hugging Face hub ({_brief(fault)}); "
            "a log-in page of the network, perhaps"
        ) from fault


def _refusal(fault: Exception, status: int, source: Source) -> InputError:
    by_hand = f"or {source.by_hand}"
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    told_by_hub = getattr(fault, "server_message", None)  # an expired log-in, for example
    answer = _phrase(status) + (f": {_first_line(str(told_by_hub))}" if told_by_hub else "")
    if isinstance(fault, GatedRepoError):
        told = f"the Hugging Face hub refuses access until its licence is accepted ({answer})"
        remedy = f"Accept the licence on {source.page}, then {log_in}, {by_hand}"
    elif isinstance(fault, RevisionNotFoundError):
        told = f"has no revision {source.revision!r} on the Hugging Face hub"
        remedy = f"Name a branch, a tag or a full commit hash; {source.page}/commits/main lists them"
    elif isinstance(fault, EntryNotFoundError):
        told = f"has no file {', '.join(source.names)} in revision {source.revision!r} on the Hugging Face hub"
        remedy = f"{source.page}/tree/{source.revision} lists its files"
    elif isinstance(fault, RepositoryNotFoundError):
        told = f"no such repository on the Hugging Face hub, or a private one ({answer})"
        remedy = f"Check the name; if it is private, {log_in}"
    elif status in (401, 403):
        told = f"the Hugging Face hub refuses access ({answer})"
        remedy = f"If its licence must be accepted, do so on {source.page}; then {log_in}, {by_hand}"
    else:
        told = f"the Hugging Face hub answers {answer}"
        remedy = f"Check that {source.page} exists and that HF_ENDPOINT, if set, is right, {by_hand}"
    return InputError(source.repository, told, remedy)


def _phrase(status: int) -> str:
    try:
        return f"{status} {http.HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _asked_pause(response: Any) -> float | None:
    asked = str(response.headers.get("Retry-After", "")).strip()
    return float(asked) if asked.isascii() and asked.isdigit() else None  # a date: the usual pause instead


def _brief(fault: BaseException) -> str:
    return _first_line(f"{type(fault).__name__}: {fault}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]

"""Files of the Hugging Face hub that can be trusted: with the hash that the hub states, or not there at all.

``huggingface_hub`` downloads them into its own cache (``HF_HOME``, ``HF_HUB_CACHE``), where other programs find them.
It compares sizes only, so that the hash of every file is checked here: the SHA-256 of a large one, the SHA-1 as git
computes it of a small one. A download that was killed is begun again.
"""

from __future__ import annotations

import errno
import hashlib
import http
import logging
import math
import os
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_download
from huggingface_hub.utils import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    WeakFileLock,
    validate_repo_id,
)

from ditr.errors import InputError, causes, few
from ditr.io.files import atomic_path

__all__ = ["Unreachable", "fetch_folder", "file_sizes", "folder_in_cache"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# The base class of the HTTP library's errors (requests, httpx or a successor) is among the bases of the hub's own one.
# What speaks another language fails as ValueError, TypeError or KeyError.
_NONSENSE = (ValueError, TypeError, KeyError)
_FAULTS: tuple[type[Exception], ...] = (*HfHubHTTPError.__bases__, OSError, RuntimeError, *_NONSENSE)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Plain HTTP does for every file; the newer storage (Xet) is another service, whose client waits without end for it.
constants.HF_HUB_DISABLE_XET = True

PATIENCE = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or 4)
"""Seconds that the hub has for an answer, the looking up of its name and the connection included."""
_REMEMBERED = 60.0
"""Seconds in which a hub that could not be reached is not tried again."""
_out_of_reach: dict[str, tuple[float, str]] = {}
"""By endpoint, when it could not be reached, and why."""

_log = logging.getLogger(__name__)


class Unreachable(InputError):
    """The hub did not give what was asked for, but might at another time; a copy in the cache may do instead."""


class Unwritable(InputError):
    """What the hub gives cannot be kept; a copy in the cache may do instead."""


@dataclass(frozen=True)
class _Asked:
    """What was asked for: each of ``names`` is a path, or several of which the first that exists counts."""

    repository: str
    revision: str
    names: Sequence[str | tuple[str, ...]]

    @property
    def folder(self) -> Path:
        return folder_in_cache(self.repository)

    @property
    def by_hand(self) -> str:
        what = ", ".join(name if isinstance(name, str) else name[0] for name in self.names)
        page = f"{constants.ENDPOINT}/{self.repository}/tree/{self.revision}"
        return f"download {what or 'its files'} by hand from {page} and name the folder"


def folder_in_cache(repository: str) -> Path:
    """Where the hub's cache keeps a repository."""
    return Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"


def file_sizes(repository: str) -> dict[str, int | None]:
    """The files of a hub repository by path, with their sizes in bytes where the hub states them; asks once.

    Raises:
        Unreachable: the hub could not be reached in ``HF_HUB_ETAG_TIMEOUT`` seconds (4), or is not well.
        InputError: no such repository, or no access.
    """
    info = _info(_Asked(repository, constants.DEFAULT_REVISION, ()))
    return {file.rfilename: file.size for file in info.siblings or ()}


def fetch_folder(
    repository: str,
    names: Sequence[str | tuple[str, ...]],
    *,
    optional: Sequence[str] = (),
    revision: str | None = None,
    ask: bool = True,
) -> Path:
    """The folder of a hub repository's files in the hub's cache: its snapshot, with at least the named files.

    The hub is asked once what the revision is now; where it cannot be reached, or what it gives cannot be kept, a copy
    in the cache is taken and a warning logged. A full commit hash always means the same: a copy in the cache is taken
    without asking.

    Args:
        repository: like ``facebook/dinov2-small``.
        names: paths in the repository. Of a tuple of paths, the first that the repository has.
        optional: paths that are fetched as well where the repository has them.
        revision: a branch, a tag or a full commit hash; default: ``main``.
        ask: whether to ask the hub what the revision is now; without, a copy in the cache is taken as it is.

    Raises:
        Unreachable: the hub could not be reached, and the cache has not all that is needed. (It is an `InputError`.)
        Unwritable: no space or no permission to write, and the cache has not all that is needed. (It is one, too.)
        InputError: no such repository, revision or file, or no access; a file that comes with the wrong hash.
    """
    asked = _Asked(repository, revision or constants.DEFAULT_REVISION, names)
    try:
        validate_repo_id(repository)
    except ValueError as fault:
        told = f"it is not the name of a hub repository ({fault})"
        raise InputError(repository, told, "Name it like facebook/dinov2-small") from None
    for path in (asked.revision, *optional, *(part for name in names for part in _alternatives(name))):
        if any(part in ("", ".", "..") for part in path.split("/")):
            raise InputError(
                repository, f"{path!r} is not the name of a file in a repository", "Name files like a/config.json"
            )
    try:
        here = _cached(asked)
        if here is not None and (not ask or here.name == asked.revision):
            return here
        try:
            return _from_hub(asked, optional)
        except (Unreachable, Unwritable, OSError) as fault:
            if here is None:
                raise
            told = _explain(fault, asked).fault if isinstance(fault, OSError) else fault.fault
            _log.warning("%s: %s; taking the copy in the cache, commit %s", repository, told, here.name)
            return here
    except OSError as fault:  # those of the hub have become InputError
        raise _explain(fault, asked) from None


def _alternatives(name: str | tuple[str, ...]) -> tuple[str, ...]:
    return (name,) if isinstance(name, str) else name


def _info(asked: _Asked) -> ModelInfo:
    """What the hub says of the revision now: its commit and its files, with their hashes. There is one attempt."""

    def ask() -> ModelInfo:
        return HfApi().model_info(asked.repository, revision=asked.revision, files_metadata=True, timeout=PATIENCE)

    when, why = _out_of_reach.get(constants.ENDPOINT, (-math.inf, ""))
    if time.monotonic() - when < _REMEMBERED and not constants.HF_HUB_OFFLINE:
        raise _unreachable(why, asked)
    try:
        info = _in_time(ask)
        if not _COMMIT.fullmatch(info.sha or ""):
            raise ValueError(f"commit {info.sha!r}")
        return info
    except _FAULTS as fault:
        error = _explain(fault, asked)
        if not isinstance(fault, HfHubHTTPError | OfflineModeIsEnabled | ValueError | TypeError | KeyError):
            _out_of_reach[constants.ENDPOINT] = (time.monotonic(), error.fault)
        raise error from None


def _in_time(question: Callable[[], ModelInfo]) -> ModelInfo:
    """The answer, or TimeoutError: looking up a name may hang for longer than any timeout of a connection."""
    said: list[ModelInfo] = []
    faults: list[Exception] = []

    def ask() -> None:
        try:
            said.append(question())
        except Exception as fault:
            faults.append(fault)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if faults:
        raise faults[0]
    if not said:
        raise TimeoutError
    return said[0]


def _from_hub(asked: _Asked, optional: Sequence[str]) -> Path:
    """The snapshot of what the revision is on the hub now, its missing files downloaded."""
    info = _info(asked)
    commit, files = str(info.sha), {file.rfilename: file for file in info.siblings or ()}
    chosen = [name for name in optional if name in files]
    for name in asked.names:
        found = [path for path in _alternatives(name) if path in files]
        if not found:
            raise InputError(
                asked.repository,
                f"it has no file {' or '.join(_alternatives(name))} in revision {asked.revision!r} on the hub",
                f"It has: {few(sorted(files), 20) or 'no file'}",
            )
        chosen.append(found[0])
    for name in chosen:
        _bring(asked, commit, name, str(files[name].lfs.sha256 if files[name].lfs else files[name].blob_id))
    # Last of all, so that a copy of an older commit stays what the revision means until the new one is whole.
    if asked.revision != commit:
        with suppress(OSError), atomic_path(asked.folder / "refs" / asked.revision) as path:
            path.write_text(commit, encoding="utf-8")
    return asked.folder / "snapshots" / commit


def _bring(asked: _Asked, commit: str, name: str, digest: str) -> None:
    """Download one file into the cache, unless it is there; on return its hash is right."""
    if not _DIGEST.fullmatch(digest):
        fault = f"{constants.ENDPOINT} states no hash of {name}, so that it could not be verified"
        raise InputError(asked.repository, fault, f"Use another HF_ENDPOINT, or {asked.by_hand}")
    path = asked.folder / "snapshots" / commit / name
    if path.exists() and _is_intact(asked, path, digest):
        return
    locks = asked.folder.parent / ".locks" / asked.folder.name
    locks.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(locks / f"{digest}.lock"):  # that of huggingface_hub: no other process is at the file
        broken_off = list((asked.folder / "blobs").glob(f"{digest}*.incomplete"))
        for rest in broken_off:
            rest.unlink()
    if broken_off:
        _log.warning("%s: the download of %s was interrupted; it starts again", asked.repository, name)
    try:
        hf_hub_download(asked.repository, name, revision=commit)
    except _FAULTS as fault:
        raise _explain(fault, asked) from None
    if not _is_intact(asked, path, digest):
        raise InputError(
            asked.repository,
            f"{name} does not have the hash that the hub states ({digest}); it was deleted",
            f"Something between this machine and {constants.ENDPOINT} damages files: try again, use another "
            f"connection, proxy or HF_ENDPOINT, or {asked.by_hand}",
        )


def _cached(asked: _Asked) -> Path | None:
    """The snapshot that the revision was when last asked for, if it has all that is needed, intact."""
    commit = asked.revision
    if not _COMMIT.fullmatch(commit):
        ref = asked.folder / "refs" / asked.revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""
    snapshot = asked.folder / "snapshots" / commit

    def has(name: str) -> bool:
        # The name of the blob is its digest. Where the system has no symbolic links, the file is taken as it is.
        path = snapshot / name
        digest = Path(os.readlink(path)).name if path.is_symlink() else ""
        return path.exists() and (not _DIGEST.fullmatch(digest) or _is_intact(asked, path, digest))

    whole = bool(commit) and all(any(map(has, _alternatives(name))) for name in asked.names)
    return snapshot if whole else None


def _is_intact(asked: _Asked, path: Path, digest: str) -> bool:
    """Whether a file has this hash, else it is deleted; size and time are noted, so as not to hash it again.

    Where the cache is read-only or another user's, nothing is noted and nothing deleted.
    """
    blob, note = path.resolve(), asked.folder / ".ditr" / "verified" / digest
    stamp = f"{blob.stat().st_size} {blob.stat().st_mtime_ns}"
    with suppress(OSError):
        if note.read_bytes() == stamp.encode():
            return True
    with blob.open("rb") as content:
        git = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
        found = hashlib.file_digest(content, "sha256" if len(digest) == 64 else lambda: git).hexdigest()
    if found == digest:
        with suppress(OSError), atomic_path(note) as temporary:
            temporary.write_text(stamp, encoding="utf-8")
        return True
    try:
        blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        done = "is deleted"
    except OSError:
        done = "cannot be deleted"
    _log.warning("%s: %s has the wrong hash %s and %s", asked.repository, path, found, done)
    return False


def _explain(fault: BaseException, asked: _Asked) -> InputError:
    """An error of the hub, of its libraries or of the disk, with its remedy."""
    if isinstance(fault, LocalEntryNotFoundError) and fault.__cause__ is not None:
        fault = fault.__cause__  # what the hub or the network said
    if isinstance(fault, HfHubHTTPError):
        return _refusal(fault, asked)
    brief = f"{type(fault).__name__}: {fault}".strip().partition("\n")[0]
    _log.debug("%s: %s", asked.repository, brief)
    if isinstance(fault, OfflineModeIsEnabled):
        return _unreachable("HF_HUB_OFFLINE is set, so the Hugging Face hub was not asked", asked)
    if isinstance(fault, OSError) and fault.errno is not None:
        full = fault.errno in _DISK_FULL
        told = f"no space left for its files in {asked.folder}" if full else f"{asked.folder} cannot be used"
        remedy = "Free some space" if full else "Check that you may write there"
        return Unwritable(asked.repository, f"{told} ({brief})", f"{remedy}, or set HF_HOME to another folder")
    if isinstance(fault, _NONSENSE):
        told = f"the server at {constants.ENDPOINT} does not answer like the Hugging Face hub"
        return _unreachable(f"{told} ({brief}); perhaps a log-in page of the network", asked)
    return _unreachable(f"the Hugging Face hub cannot be reached ({_cause(fault)})", asked)


def _cause(fault: BaseException) -> str:
    """Why there is no connection, as the system says it."""
    chain = causes(fault)
    if any("timeout" in type(each).__name__.lower() for each in chain):
        return f"no answer in {PATIENCE:g} s; HF_HUB_ETAG_TIMEOUT extends the limit"
    told = [each.strerror for each in chain if isinstance(each, OSError) and each.strerror]
    return told[-1][:1].lower() + told[-1][1:] if told else "no connection"


def _unreachable(told: str, asked: _Asked) -> Unreachable:
    return Unreachable(
        asked.repository,
        told,
        f"Check the connection to {constants.ENDPOINT} and the proxy (HTTPS_PROXY), or set HF_ENDPOINT to a mirror, or "
        + asked.by_hand,
    )


def _refusal(fault: HfHubHTTPError, asked: _Asked) -> InputError:
    status = int(fault.response.status_code)
    phrases = {each.value: each.phrase for each in http.HTTPStatus}
    server_told = str(getattr(fault, "server_message", None) or "").strip().partition("\n")[0]  # an expired log-in, say
    answer = f"{status} {phrases.get(status, '')}" + (f": {server_told}" if server_told else "")
    page = f"{constants.ENDPOINT}/{asked.repository}"
    log_in = "log in with `hf auth login` or set HF_TOKEN"
    if status in (408, 429) or status >= 500:
        return _unreachable(f"the Hugging Face hub answers {answer}; try again later", asked)
    if isinstance(fault, GatedRepoError):
        told = f"the Hugging Face hub refuses access until its licence is accepted ({answer})"
        remedy = f"Accept the licence on {page}, then {log_in}, or {asked.by_hand}"
    elif isinstance(fault, RevisionNotFoundError):
        told = f"it has no revision {asked.revision!r} on the Hugging Face hub"
        remedy = f"Name a branch, a tag or a full commit hash; {page}/commits/main lists them"
    elif isinstance(fault, RepositoryNotFoundError):
        told = f"there is no such repository on the Hugging Face hub, or it is private ({answer})"
        remedy = f"Check the name; if it is private, {log_in}"
    elif status in (401, 403):
        told = f"the Hugging Face hub refuses access ({answer})"
        remedy = f"If its licence must be accepted, do so on {page}; then {log_in}, or {asked.by_hand}"
    else:
        told = f"the Hugging Face hub answers {answer}"
        remedy = f"Check that {page} exists and that HF_ENDPOINT, if set, is right, or {asked.by_hand}"
    return InputError(asked.repository, told, remedy)

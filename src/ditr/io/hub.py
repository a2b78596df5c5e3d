"""Files of the Hugging Face hub that can be trusted: complete, with the right hash, or not there at all.

They lie in the hub's own cache (``HF_HOME``, ``HF_HUB_CACHE``), laid out as ``huggingface_hub`` does, so that other
programs find them and theirs are found here::

    models--facebook--dinov2-small/
      refs/main                    the commit that the branch had when it was last asked for
      snapshots/<commit>/<name>    a link to
      blobs/<etag>                 the bytes
      .ditr/                       this module's own notes:
        partial/<etag>             what has come of a file so far; a later call goes on from there
        verified/<etag>            size and time of a blob whose hash was right, so that it is not hashed again
        listings/<commit>.json     the names of all files of the commit, to tell a complete copy without the hub

The hub's ETag is the SHA-256 of a large file (Git LFS) and the SHA-1 of a small one as git computes it.
``huggingface_hub`` itself compares sizes only.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.utils import WeakFileLock, validate_repo_id

from ditr.errors import InputError, few
from ditr.io.files import atomic_path
from ditr.io.hub_transfer import Patience, RemoteFile, Source, Unreachable, disk_fault, persist, receive, understood

__all__ = ["Patience", "Unreachable", "fetch_file", "fetch_folder"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")

_log = logging.getLogger(__name__)


def fetch_file(
    repository: str,
    name: str,
    *,
    revision: str | None = None,
    progress: bool = True,
    patience: Patience | None = None,
) -> Path:
    """The path of one file of a hub repository, in the hub's cache; see `fetch_folder`."""
    return fetch_folder(repository, [name], revision=revision, progress=progress, patience=patience) / name


def fetch_folder(
    repository: str,
    names: Sequence[str],
    *,
    revision: str | None = None,
    ask: bool = True,
    progress: bool = True,
    patience: Patience | None = None,
) -> Path:
    """The folder of a hub repository's files in the hub's cache: its snapshot, with at least the named files.

    With a full commit hash as ``revision``, a complete copy in the cache is taken without asking the hub. Otherwise
    the hub is asked what the revision is now; a complete copy in the cache is taken, with a warning in the log, where
    the hub cannot be reached.

    Args:
        repository: like ``facebook/dinov2-small``.
        names: paths in the repository. One with any of ``*?[`` is a pattern, which may match nothing (so
            ``README.m[d]`` is a file that need not be there); its ``*`` stays within one folder. Any other must exist.
        revision: a branch, a tag or a full commit hash; default: ``main``.
        ask: whether to ask the hub what the revision is now; without, a complete copy in the cache is taken as it is.
            Whether one that other programs made is complete, the hub is asked once, if there are patterns.
        progress: whether to draw a bar per file, if there is a terminal.
        patience: time limits and numbers of attempts.

    Raises:
        Unreachable: the hub could not be reached, or not for long enough, and the cache has no complete copy. (It is
            an `InputError`.)
        InputError: no such repository, revision or file, or no access; a file that always comes with the wrong hash;
            no space or no permission to write.
    """
    source = Source(repository, revision or constants.DEFAULT_REVISION, tuple(names))
    _check_arguments(source)
    patience = patience or Patience()
    cache = _Cache(source)
    try:
        here = cache.complete_copy()
        if here is not None and (cache.asked_commit or not ask) and cache.is_known(here.name):
            return here
        try:
            return _from_hub(cache, patience, progress, has_copy=here is not None)
        except Unreachable as fault:
            if here is None:
                raise
            doubt = "" if cache.is_known(here.name) else " (made by another program, perhaps not complete)"
            _log.warning("%s: %s; taking the copy in the cache, commit %s%s", repository, fault.fault, here.name, doubt)
            return here
    except OSError as fault:  # those of the network have become InputError
        raise disk_fault(source, cache.folder, fault) from fault


def _check_arguments(source: Source) -> None:
    try:
        validate_repo_id(source.repository)
    except ValueError as fault:
        raise InputError(
            source.repository, f"not the name of a hub repository ({fault})", "Name it like facebook/dinov2-small"
        ) from fault
    if not source.names:
        raise InputError(source.repository, "no file was asked for", "Name the files, or patterns like *.safetensors")
    for text in (source.revision, *source.names):
        if not _is_inner(text):
            raise InputError(
                source.repository, f"{text!r} is no name inside of a repository", "Name files like folder/config.json"
            )


def _is_inner(name: str) -> bool:
    """Whether a path of a repository stays inside of a folder, on any system."""
    return not re.search(r'[\\:\x00-\x1f"<>|]', name) and all(part not in ("", ".", "..") for part in name.split("/"))


def _from_hub(cache: _Cache, patience: Patience, progress: bool, *, has_copy: bool) -> Path:
    """The snapshot of what the revision is on the hub now, its missing files downloaded.

    Who has a copy is not kept waiting for a hub that does not answer.
    """
    source = cache.source

    def ask() -> tuple[str, list[str]]:
        with understood(source):
            info = HfApi().model_info(source.repository, revision=source.revision, timeout=patience.seconds)
            commit, names = info.sha, [sibling.rfilename for sibling in info.siblings or ()]
            if not commit or not _COMMIT.fullmatch(commit) or cache.asked_commit not in (None, commit):
                raise ValueError(f"commit {commit!r} for revision {source.revision!r}")
            return commit, names

    commit, listing = persist(ask, source, replace(patience, attempts=1) if has_copy else patience)
    strange = [name for name in listing if not _is_inner(name)]
    if strange:
        raise InputError(
            source.repository, f"has a file of the unsafe name {strange[0]!r}", f"Do not use it, or {source.by_hand}"
        )
    missing = [name for name in source.names if not _is_pattern(name) and name not in listing]
    chosen = _select(source.names, listing)
    if missing:
        raise InputError(
            source.repository,
            f"has no file {', '.join(missing)} in revision {source.revision!r} on the hub",
            f"It has: {few(sorted(listing), 20) or 'no file'}",
        )
    for name in chosen:
        if not cache.has(commit, name):
            _bring(cache, commit, name, patience, progress)
    cache.note(commit, listing)
    cache.snapshot(commit).mkdir(parents=True, exist_ok=True)  # patterns alone may have matched nothing
    return cache.snapshot(commit)


def _bring(cache: _Cache, commit: str, name: str, patience: Patience, progress: bool) -> None:
    """Download one file into the cache, unless its blob is there; on return its hash is right."""
    source = cache.source
    url = hf_hub_url(source.repository, name, revision=commit)

    def ask() -> RemoteFile:
        told = get_hf_file_metadata(url, timeout=patience.seconds)
        return RemoteFile(name, url, str(told.etag), told.size)

    file = persist(ask, source, patience)
    if not _ETAG.fullmatch(file.etag):
        raise InputError(
            source.repository,
            f"{constants.ENDPOINT} gives no hash of {name} (ETag {file.etag!r}), so that it could not be verified",
            f"Use another HF_ENDPOINT, or {source.by_hand}",
        )
    with cache.lock(file.etag):
        # Another process may have brought it while this one waited.
        if not cache.is_intact(file.etag):
            _download(cache, file, patience, progress)
        cache.link(commit, name, file.etag)


def _download(cache: _Cache, file: RemoteFile, patience: Patience, progress: bool) -> None:
    source, partial = cache.source, cache.notes / "partial" / file.etag
    partial.parent.mkdir(parents=True, exist_ok=True)
    for copy in range(1, patience.copies + 1):
        have = partial.stat().st_size if partial.exists() else 0
        if file.size is not None:
            _check_space(source, partial.parent, file.size - have)
        _log.info("%s: downloading %s (%s bytes, %d here)", source.repository, file.name, file.size, have)
        receive(file, partial, source, patience, progress=progress)
        digest = _digest(partial, file.etag)
        if digest == file.etag:
            cache.take(partial, file.etag)
            _log.info("%s: %s is complete, its hash %s is right", source.repository, file.name, file.etag)
            return
        partial.unlink()
        _log.warning("%s: copy %d of %s has the wrong hash %s", source.repository, copy, file.name, digest)
    raise InputError(
        source.repository,
        f"{file.name} came {patience.copies} times with another hash than the hub names ({file.etag}); it was deleted",
        f"Something between here and {constants.ENDPOINT} damages files: try another connection, proxy or HF_ENDPOINT, "
        f"or {source.by_hand}",
    )


def _check_space(source: Source, folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            source.repository,
            f"no space left for its files in {folder}: {needed / 1e6:.0f} MB more are needed, {free / 1e6:.0f} MB free",
            "Free some space, or set HF_HOME to a folder on another disk",
        )


def _digest(path: Path, etag: str) -> str:
    """The hash of a file, of the kind that ``etag`` is: SHA-256, or SHA-1 after git's header."""
    with path.open("rb") as content:
        if len(etag) == 64:
            return hashlib.file_digest(content, "sha256").hexdigest()
        begun = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        return hashlib.file_digest(content, lambda: begun).hexdigest()


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def _select(names: Iterable[str], listing: Iterable[str]) -> list[str]:
    """The files of ``listing`` that ``names`` mean, each once."""
    wanted = list(names)
    return [file for file in listing if any(_matches(file, name) for name in wanted)]


def _matches(file: str, name: str) -> bool:
    if not _is_pattern(name):
        return file == name
    parts, patterns = file.split("/"), name.split("/")
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))


@dataclass(frozen=True)
class _Cache:
    """The part of the hub's cache that belongs to one repository."""

    source: Source

    @property
    def folder(self) -> Path:
        return Path(constants.HF_HUB_CACHE) / f"models--{self.source.repository.replace('/', '--')}"

    @property
    def notes(self) -> Path:
        return self.folder / ".ditr"

    @property
    def asked_commit(self) -> str | None:
        """The revision that was asked for, if it is a full commit hash, which always means the same."""
        return self.source.revision if _COMMIT.fullmatch(self.source.revision) else None

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit

    def lock(self, etag: str) -> WeakFileLock:
        """The lock under which `huggingface_hub` itself writes this blob."""
        folder = Path(constants.HF_HUB_CACHE) / ".locks" / self.folder.name
        folder.mkdir(parents=True, exist_ok=True)
        return WeakFileLock(folder / f"{etag}.lock")

    def complete_copy(self) -> Path | None:
        """The snapshot that the revision was when last asked for, if it has all files that are asked for, intact.

        Where other programs made it, what the commit holds may not be known: then every exact name must be there, and
        at least one file.
        """
        commit = self._known_commit()
        if commit is None:
            return None
        folder, listing = self.snapshot(commit), self._listing(commit)
        is_listed = listing is not None
        if listing is None:
            listing = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()]
        exact = [name for name in self.source.names if not _is_pattern(name)]
        chosen = _select(self.source.names, listing)
        if not set(exact) <= set(chosen) or not (chosen or is_listed):
            return None
        return folder if folder.is_dir() and all(self.has(commit, name) for name in chosen) else None

    def is_known(self, commit: str) -> bool:
        """Whether it can be told without the hub which files of a commit the names mean."""
        return not any(map(_is_pattern, self.source.names)) or self._listing(commit) is not None

    def _known_commit(self) -> str | None:
        if self.asked_commit:
            return self.asked_commit
        ref = self.folder / "refs" / self.source.revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""
        return commit if _COMMIT.fullmatch(commit) else None

    def _listing(self, commit: str) -> list[str] | None:
        try:
            names = json.loads((self.notes / "listings" / f"{commit}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return names if isinstance(names, list) and all(isinstance(n, str) and _is_inner(n) for n in names) else None

    def has(self, commit: str, name: str) -> bool:
        """Whether a file is there, with the hash that its blob is named by.

        Where the system has no symbolic links the blob's name is not known, and the file is taken as it is: nothing
        gets there unverified from here.
        """
        path = self.snapshot(commit) / name
        if not path.exists():
            return False
        etag = Path(os.readlink(path)).name if path.is_symlink() else ""
        return self.is_intact(etag) if _ETAG.fullmatch(etag) else True

    def is_intact(self, etag: str) -> bool:
        """Whether a blob is there and has the right hash; one with a wrong hash is deleted."""
        blob, note = self.folder / "blobs" / etag, self.notes / "verified" / etag
        if not blob.exists():
            return False
        if note.is_file() and note.read_text(encoding="utf-8") == _stamp(blob):
            return True
        if _digest(blob, etag) == etag:
            self._note_verified(etag)
            return True
        _log.warning("%s: %s in the cache has the wrong hash and is deleted", self.source.repository, blob)
        blob.unlink()
        return False

    def take(self, partial: Path, etag: str) -> None:
        """Make a download whose hash is right a blob."""
        blob = self.folder / "blobs" / etag
        blob.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("rb+") as content:
            os.fsync(content.fileno())  # else a power cut could leave a name without its bytes
        os.replace(partial, blob)
        self._note_verified(etag)

    def _note_verified(self, etag: str) -> None:
        # A cache that cannot be written can be used all the same: it is hashed again the next time.
        with suppress(OSError), atomic_path(self.notes / "verified" / etag) as note:
            note.write_text(_stamp(self.folder / "blobs" / etag), encoding="utf-8")

    def link(self, commit: str, name: str, etag: str) -> None:
        """Give a blob its name in a snapshot."""
        blob, path = self.folder / "blobs" / etag, self.snapshot(commit) / name
        with atomic_path(path) as link:
            try:
                os.symlink(os.path.relpath(blob, path.parent), link)
            except OSError:  # Windows without the privilege
                try:
                    os.link(blob, link)
                except OSError:
                    shutil.copyfile(blob, link)

    def note(self, commit: str, listing: list[str]) -> None:
        """Remember what the hub said: the revision's commit, and the commit's files."""
        if self._listing(commit) != listing:
            with suppress(OSError), atomic_path(self.notes / "listings" / f"{commit}.json") as path:
                path.write_text(json.dumps(listing), encoding="utf-8")
        if self._known_commit() != commit:
            with suppress(OSError), atomic_path(self.folder / "refs" / self.source.revision) as path:
                path.write_text(commit, encoding="utf-8")


def _stamp(blob: Path) -> str:
    status = blob.stat()
    return f"{status.st_size} {status.st_mtime_ns}"

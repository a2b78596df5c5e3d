"""Features of images on disk, so that an image is encoded once and not once per run.

A frozen encoder gives the same features for the same image each time, and on a CPU it takes longer than anything else.
An entry is one safetensors file, float16, found by a hash of the image, of the encoder (weights, precision,
normalisation) and of the size at which it was encoded. Any number of processes may share a folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.captures.images import read_image
from ditr.encoders.image_encoder import ImageEncoder
from ditr.errors import InputError
from ditr.io.caches import feature_limit
from ditr.io.files import atomic_path
from ditr.scene import View

__all__ = [
    "ABANDONED_SECONDS",
    "ENCODER",
    "EncodedView",
    "FeatureCache",
    "Unencoded",
    "cached_files",
    "encode_missing",
    "encode_views",
    "is_abandoned",
    "look_up",
]

ENCODER = "encoder"
"""Under this name an entry's file says which encoder made it, for people."""

_FORMAT = "1"
ABANDONED_SECONDS = 3600.0
"""After that time a file that was not finished is taken for what a killed writer left."""
_OURS = re.compile(r"(\.)?([0-9a-f]{64})(?(1)\.[\w-]+\.part)\.safetensors")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class EncodedView:
    """Features of one image on the CPU, float32: ``patch`` (rows, columns, D) and the [cls] token ``cls`` (D,)."""

    patch: Tensor
    cls: Tensor

    def rounded(self) -> EncodedView:
        """The same features with every value rounded to what float16 can hold (still float32)."""
        return EncodedView(self.patch.half().float(), self.cls.half().float())


class FeatureCache:
    """A folder of encoded images with a size limit; the least recently used go first.

    The cache is an aid, and never fails a run. A damaged entry counts as absent (a warning says so, and the next write
    replaces it). A folder that is read-only, full, or in part another user's serves as it is: what can be read is, what
    cannot be written is said once, files that cannot be removed stay. Processes and users may share a folder: folders
    and files below it are for whom it is itself. Several processes that write at the same time can exceed
    ``max_bytes`` by a sixteenth each until the next one looks.

    Args:
        folder: of the cache; it need not exist.
        max_bytes: the limit; by default `ditr.io.caches.feature_limit`.

    Raises:
        InputError: ``max_bytes`` is not positive, or ``folder`` is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int | None = None) -> None:
        self.folder = Path(folder)
        self.max_bytes = feature_limit() if max_bytes is None else max_bytes
        if self.max_bytes < 1:
            raise InputError("max_bytes", f"it is {max_bytes}", "Give the number of bytes that the cache may take")
        if os.path.exists(self.folder) and not os.path.isdir(self.folder):
            raise InputError(self.folder, "it is a file", "Name a folder for the feature cache")
        self._size: int | None = None  # of all entries: as found on disk last, plus what was written since
        self._unseen = 0  # bytes written since that look
        self._closed = False  # to writing
        self._said: set[str] = set()

    def path(self, key: str) -> Path:
        """Where the entry of ``key`` is, or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> EncodedView | None:
        """The entry of ``key``, which counts as used now; None if there is none, or one that cannot be used."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.path(key)
        try:
            content = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as fault:
            self._say_once(f"some cached features in {self.folder} cannot be read", fault, "they are computed again")
            return None
        try:
            stored = load(content)
            patch, cls = stored["patch"], stored["cls"]
            if not torch.equal(stored["sha256"], _checksum(patch, cls)):
                raise ValueError("its checksum differs")
        except (SafetensorError, KeyError, ValueError) as fault:
            _log.warning("cached features %s are damaged (%s) and are computed again", path, fault)
            return None
        with suppress(OSError):  # of a read-only folder or another user: the time of use is for cleaning alone
            os.utime(path)
        return EncodedView(patch.float(), cls.float())

    def put(self, key: str, encoded: EncodedView, made_by: str = "") -> None:
        """Store ``encoded``, rounded to float16, whole or not at all; then make room if the limit is passed.

        ``made_by`` names the encoder for people.
        """
        from safetensors.torch import save

        if self._closed:
            return
        patch, cls = encoded.patch.half().contiguous(), encoded.cls.half().contiguous()
        tensors = {"patch": patch, "cls": cls, "sha256": _checksum(patch, cls)}
        content = save(tensors, {ENCODER: made_by} if made_by else None)
        try:
            self._write(self.path(key), content)
        except OSError as fault:
            # Another user's subfolder may be shut where others are open; all else would be the same the next time.
            self._closed = not isinstance(fault, PermissionError)
            self._say_once(f"features cannot be kept in {self.folder}", fault, "continuing without it")
            return
        self._account(len(content))

    def _write(self, path: Path, content: bytes) -> None:
        if not path.parent.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            with suppress(OSError):  # somebody else made it just now
                path.parent.chmod(stat.S_IMODE(self.folder.stat().st_mode))
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
            with suppress(OSError):  # not every file system has permissions
                temporary.chmod(0o600 | self.folder.stat().st_mode & 0o664)

    def _account(self, written: int) -> None:
        self._unseen += written
        if self._size is None or self._unseen > self.max_bytes // 16:
            self._size, self._unseen = sum(size for _, size, _ in self._entries()), 0
        else:
            self._size += written
        if self._size > self.max_bytes:
            self._evict()

    def _evict(self) -> None:
        """Remove the entries used longest ago, down to 15/16 of the limit, so that not every write has to look."""
        entries = sorted(self._entries())
        size = sum(entry[1] for entry in entries)
        for _, entry_size, path in entries:
            if size <= self.max_bytes - self.max_bytes // 16:
                break
            if _removed(path):
                size -= entry_size
        self._size, self._unseen = size, 0
        if size > self.max_bytes:
            self._closed = True
            full = f"{self.folder} is full of features that this user cannot remove"
            self._say_once(full, None, "no more are kept")

    def _entries(self) -> list[tuple[int, int, Path]]:
        """All entries: time of last use, size, path. Removes what killed writers left behind on the way."""
        found = cached_files(self.folder)
        for path, status in found:
            if is_abandoned(path, status):
                _removed(path)
        return [(status.st_mtime_ns, status.st_size, path) for path, status in found if path.name[0] != "."]

    def _say_once(self, what: str, fault: OSError | None, meanwhile: str) -> None:
        if what not in self._said:
            _log.warning("%s%s; %s", what, f" ({fault.strerror})" if fault is not None else "", meanwhile)
        self._said.add(what)


def cached_files(folder: Path) -> list[tuple[Path, os.stat_result]]:
    """The files of a feature cache: entries, and those that writers have not finished. Others are passed over.

    What cannot be looked at, or is gone meanwhile, is left out.
    """
    found: list[tuple[Path, os.stat_result]] = []
    try:
        paths = list(folder.glob("[0-9a-f][0-9a-f]/*.safetensors"))
    except OSError:
        return found
    for path in paths:
        match = _OURS.fullmatch(path.name)
        if match is not None and match[2][:2] == path.parent.name:
            with suppress(OSError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    found.append((path, status))
    return found


def is_abandoned(path: Path, status: os.stat_result) -> bool:
    """Whether a file of the cache is what a killed writer left."""
    return path.name.startswith(".") and time.time() - status.st_mtime > ABANDONED_SECONDS


def _removed(path: Path) -> bool:
    """Remove a file; False where it cannot be, as another user's."""
    try:
        path.unlink(missing_ok=True)  # another process may have been faster
    except OSError:
        return False
    return True


def _checksum(patch: Tensor, cls: Tensor) -> Tensor:
    """SHA-256 over shapes and values, (32,) uint8; safetensors itself would not notice a flipped bit."""
    digest = hashlib.sha256(f"{tuple(patch.shape)} {tuple(cls.shape)}".encode())
    for tensor in (patch, cls):
        digest.update(tensor.contiguous().numpy().data)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def encode_views(
    encoder: ImageEncoder,
    images: Sequence[View | NDArray[np.uint8]],
    *,
    sizes: Sequence[tuple[int, int]] | None = None,
    cache: FeatureCache | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> list[EncodedView]:
    """Features of ``images``, in their order.

    Images of the same size are encoded together, ``batch_size`` at a time; only these are decoded at once. With a
    cache, images found in it are not decoded, and features are rounded to float16 *also when they are computed now*, so
    that the run that fills the cache and those that read it agree in every bit. Without a cache nothing is rounded.

    Args:
        images: views of a scene, or RGB arrays (H, W, 3) uint8.
        sizes: (height, width) at which each is encoded; default `ImageEncoder.image_size` of each.
        progress: called with the number of images done and their total.

    Raises:
        InputError: an image is missing or damaged, a size is not made of whole patches, or there are not as many sizes
            as images.
    """
    if sizes is None:
        sizes = [encoder.image_size(*_native_size(image)) for image in images]
    found = look_up(encoder.identity, images, sizes, cache)
    return encode_missing(encoder, found, cache=cache, batch_size=batch_size, progress=progress)


@dataclass(frozen=True, eq=False)
class Unencoded:
    """An image whose features are in no cache.

    Attributes:
        image: a view, or RGB (H, W, 3) uint8.
        size: (height, width) at which it is to be encoded.
        key: under which they will be kept; empty without a cache.
    """

    image: View | NDArray[np.uint8]
    size: tuple[int, int]
    key: str

    def decoded(self) -> Unencoded:
        """The same with its pixels in memory.

        Raises:
            InputError: the image is missing or damaged.
        """
        return Unencoded(_pixels(self.image), self.size, self.key)


def look_up(
    identity: str,
    images: Sequence[View | NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    cache: FeatureCache | None,
) -> list[EncodedView | Unencoded]:
    """What a cache has of the features of ``images``; the encoder itself, of this ``identity``, is not needed for it.

    Raises:
        InputError: an image is missing, or there are not as many sizes as images.
    """
    if len(sizes) != len(images):
        raise InputError("encode_views", f"{len(sizes)} sizes for {len(images)} images", "Give one size per image")
    found: list[EncodedView | Unencoded] = []
    for image, size in zip(images, sizes, strict=True):
        key = "" if cache is None else _key(identity, image, size)
        known = None if cache is None else cache.get(key)
        found.append(known if known is not None else Unencoded(image, size, key))
    return found


def encode_missing(
    encoder: ImageEncoder,
    found: Sequence[EncodedView | Unencoded],
    *,
    cache: FeatureCache | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> list[EncodedView]:
    """The features of all images of which :func:`look_up` found some in ``cache``; see :func:`encode_views`.

    Raises:
        InputError: an image is damaged, or a size is not made of whole patches.
    """
    if batch_size < 1:
        raise InputError("encode_views", f"{batch_size} images at a time", "Give 1 or more")
    done = {index: item for index, item in enumerate(found) if isinstance(item, EncodedView)}
    waiting: dict[tuple[int, int], list[tuple[int, Unencoded]]] = {}
    for index, item in enumerate(found):
        if isinstance(item, Unencoded):
            waiting.setdefault(item.size, []).append((index, item))
    _report(progress, len(done), len(found))
    for size, items in waiting.items():
        for start in range(0, len(items), batch_size):
            batch = items[start : start + batch_size]
            encoded = encoder(encoder.prepare([_pixels(item.image) for _, item in batch], size))
            patch, cls = encoded.patch.float().cpu(), encoded.cls.float().cpu()
            for place, (index, item) in enumerate(batch):
                done[index] = EncodedView(patch[place], cls[place])
                if cache is not None:
                    done[index] = done[index].rounded()
                    cache.put(item.key, done[index], f"{encoder.name}, {encoder.precision}")
            _report(progress, len(done), len(found))
    return [done[index] for index in range(len(found))]


def _report(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _native_size(image: View | NDArray[np.uint8]) -> tuple[int, int]:
    if isinstance(image, View):
        return image.camera.height, image.camera.width
    return image.shape[0], image.shape[1]


def _pixels(image: View | NDArray[np.uint8]) -> NDArray[np.uint8]:
    return read_image(image) if isinstance(image, View) else image


def _key(identity: str, image: View | NDArray[np.uint8], size: tuple[int, int]) -> str:
    source = image.image if isinstance(image, View) else image
    if isinstance(source, bytes):
        content = hashlib.sha256(source).hexdigest()
    elif isinstance(source, Path):
        try:
            content = hashlib.sha256(source.read_bytes()).hexdigest()
        except OSError as fault:
            raise InputError(source, f"the image cannot be read ({fault.strerror})", "Restore the image") from fault
    else:
        content = f"{source.shape} {hashlib.sha256(np.ascontiguousarray(source).data).hexdigest()}"
    # The native size is that of the camera for a view: with a wrong one the image must be read and the fault be found.
    parts = [_FORMAT, identity, size, _native_size(image), content]
    if isinstance(image, View) and image.quarter_turns:
        parts.append(f"turned by {image.quarter_turns} quarters")
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()

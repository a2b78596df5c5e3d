"""Features of images on disk, so that an image is encoded once and not once per run.

A frozen encoder gives the same features for the same image each time, and on a CPU it takes longer than anything else.
An entry is one safetensors file, float16, found by a hash of the image, of the encoder (weights, precision,
normalisation) and of the size at which it was encoded. Any number of processes may share a folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ditr.captures.images import read_image
from ditr.encoders.image_encoder import ImageEncoder
from ditr.errors import InputError
from ditr.io.files import atomic_path
from ditr.scene import View

__all__ = ["EncodedView", "FeatureCache", "encode_views"]

_FORMAT = "1"
_ABANDONED_SECONDS = 3600.0

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

    Reading and writing never fail a run: a damaged entry counts as absent (a warning says so, and the next write
    replaces it), and a folder that cannot be written to is warned about once. Several processes that write at the same
    time can exceed ``max_bytes`` by a sixteenth each until the next one looks.

    Raises:
        InputError: ``max_bytes`` is not positive, or ``folder`` is a file.
    """

    def __init__(self, folder: str | os.PathLike[str], max_bytes: int = 20 * 2**30) -> None:
        self.folder = Path(folder)
        self.max_bytes = max_bytes
        if max_bytes < 1:
            raise InputError("max_bytes", f"it is {max_bytes}", "Give the number of bytes that the cache may take")
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(self.folder, "it is a file", "Name a folder for the feature cache")
        self._size: int | None = None  # of all entries: as found on disk last, plus what was written since
        self._unseen = 0  # bytes written since that look
        self._complained = False

    def path(self, key: str) -> Path:
        """Where the entry of ``key`` is, or would be."""
        return self.folder / key[:2] / f"{key}.safetensors"

    def get(self, key: str) -> EncodedView | None:
        """The entry of ``key``, which counts as used now; None if there is none, or a damaged one."""
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = self.path(key)
        try:
            stored = load(path.read_bytes())
            patch, cls = stored["patch"], stored["cls"]
            if not torch.equal(stored["sha256"], _checksum(patch, cls)):
                raise ValueError("its checksum differs")
            os.utime(path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError, KeyError, ValueError) as fault:
            _log.warning("cached features %s are damaged (%s) and are computed again", path, fault)
            return None
        return EncodedView(patch.float(), cls.float())

    def put(self, key: str, encoded: EncodedView) -> None:
        """Store ``encoded``, rounded to float16, whole or not at all; then make room if the limit is passed."""
        from safetensors.torch import save

        patch, cls = encoded.patch.half().contiguous(), encoded.cls.half().contiguous()
        content = save({"patch": patch, "cls": cls, "sha256": _checksum(patch, cls)})
        try:
            with atomic_path(self.path(key)) as temporary:
                temporary.write_bytes(content)
            self._account(len(content))
        except OSError as fault:
            if not self._complained:
                _log.warning("features cannot be kept in %s (%s); going on without", self.folder, fault)
            self._complained = True

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
            path.unlink(missing_ok=True)
            size -= entry_size
        self._size, self._unseen = size, 0

    def _entries(self) -> list[tuple[int, int, Path]]:
        """All entries: time of last use, size, path. Removes what killed writers left behind on the way."""
        entries = []
        for path in self.folder.glob("??/*"):
            try:
                status = path.stat()
                if not path.name.startswith("."):
                    entries.append((status.st_mtime_ns, status.st_size, path))
                elif time.time() - status.st_mtime > _ABANDONED_SECONDS:
                    path.unlink()
            except FileNotFoundError:  # another process was faster
                continue
        return entries


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
    if len(sizes) != len(images) or batch_size < 1:
        raise InputError("encode_views", f"{len(sizes)} sizes for {len(images)} images", "Give one size per image")
    keys = [_key(encoder, image, size) for image, size in zip(images, sizes, strict=True)] if cache is not None else []
    found = [cache.get(key) for key in keys] if cache is not None else []
    done = {index: encoded for index, encoded in enumerate(found) if encoded is not None}
    waiting: dict[tuple[int, int], list[int]] = {}
    for index, size in enumerate(sizes):
        if index not in done:
            waiting.setdefault(size, []).append(index)
    _report(progress, len(done), len(images))
    for size, indices in waiting.items():
        for start in range(0, len(indices), batch_size):
            batch = indices[start : start + batch_size]
            encoded = encoder(encoder.prepare([_pixels(images[index]) for index in batch], size))
            patch, cls = encoded.patch.float().cpu(), encoded.cls.float().cpu()
            for place, index in enumerate(batch):
                done[index] = EncodedView(patch[place], cls[place])
                if cache is not None:
                    done[index] = done[index].rounded()
                    cache.put(keys[index], done[index])
            _report(progress, len(done), len(images))
    return [done[index] for index in range(len(images))]


def _report(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def _native_size(image: View | NDArray[np.uint8]) -> tuple[int, int]:
    if isinstance(image, View):
        return image.camera.height, image.camera.width
    return image.shape[0], image.shape[1]


def _pixels(image: View | NDArray[np.uint8]) -> NDArray[np.uint8]:
    return read_image(image) if isinstance(image, View) else image


def _key(encoder: ImageEncoder, image: View | NDArray[np.uint8], size: tuple[int, int]) -> str:
    source = image.image if isinstance(image, View) else image
    if isinstance(source, Path):
        try:
            content = hashlib.sha256(source.read_bytes()).hexdigest()
        except OSError as fault:
            raise InputError(source, f"cannot be read ({fault.strerror})", "Put the image there") from fault
    else:
        content = f"{source.shape} {hashlib.sha256(np.ascontiguousarray(source).data).hexdigest()}"
    # The native size is that of the camera for a view: with a wrong one the image must be read and the fault be found.
    parts = [_FORMAT, encoder.identity, size, _native_size(image), content]
    if isinstance(image, View) and image.quarter_turns:
        parts.append(f"turned by {image.quarter_turns} quarters")
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()

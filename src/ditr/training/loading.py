"""Batches for the training loop: samples made in the loader's processes, photographs encoded in this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ditr.data.batch import Batch, join_samples
from ditr.data.dataset import Item, Shuffle, TrainingSet
from ditr.data.sample import Sample
from ditr.encoding import CachedEncoding
from ditr.files import InputError

__all__ = ["Share", "load_batches"]


class Share:
    """The part of each batch that one of ``shares`` processes takes."""

    def __init__(self, batches: Shuffle, rank: int, shares: int) -> None:
        self.batches, self.rank, self.shares = batches, rank, shares

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self.batches:
            yield batch[self.rank :: self.shares]


def load_batches(
    dataset: TrainingSet,
    order: Share,
    *,
    encoding: CachedEncoding | None,
    device: torch.device | str,
    workers: int,
) -> Iterator[Batch]:
    """Batches on the device, with image tokens where there is an encoder.

    Args:
        dataset: of samples.
        order: which samples make a batch.
        encoding: of photographs that were augmented and so have no tokens yet.
        device: where the batches go.
        workers: processes that make samples; 0 makes them in this one.

    Raises:
        InputError: a damaged capture, also where a worker met it.
    """
    loader: DataLoader[Sample | InputError] = DataLoader(
        _Reporting(dataset),
        batch_sampler=order,
        # Joined in the worker: every tensor on its way takes a file descriptor, and samples have dozens of them.
        collate_fn=_join,
        num_workers=workers,
        worker_init_fn=_one_thread if workers else None,
        # The loader draws a number when it starts; from the default generator, a resumed run would get other dropout.
        generator=torch.Generator(),
    )
    for batch in loader:
        if isinstance(batch, InputError):
            raise batch
        if encoding is not None and batch.tokens is None:
            batch = replace(batch, tokens=_encode(encoding, batch), photographs=())
        yield batch.to(device)


class _Reporting(Dataset[Sample | InputError]):
    """An error that a worker raises loses its type on the way to the main process; as a value it keeps it."""

    def __init__(self, dataset: TrainingSet) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, item: Item) -> Sample | InputError:
        try:
            return self.dataset[item]
        except InputError as error:
            return error


def _join(samples: list[Sample | InputError]) -> Batch | InputError:
    good = []
    for sample in samples:
        if isinstance(sample, InputError):
            return sample
        good.append(sample)
    return join_samples(good)


def _encode(encoding: CachedEncoding, batch: Batch) -> Tensor:
    """(T, D) tokens of photographs that were augmented; those of one size are encoded together."""
    parts: dict[int, Tensor] = {}
    for size in set(batch.sizes):
        rows = [row for row, other in enumerate(batch.sizes) if other == size]
        images = encoding.encoder.prepare([batch.photographs[row] for row in rows], size)
        encoded = encoding.encoder(images).patch.float()
        parts.update(zip(rows, encoded.flatten(1, 2).unbind(), strict=True))
    return torch.cat([torch.zeros(0, encoding.width), *(parts[row].cpu() for row in range(len(batch.sizes)))])


def _one_thread(_worker: int) -> None:
    torch.set_num_threads(1)

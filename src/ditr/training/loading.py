"""Batches for the training loop: samples made in the loader's processes, photographs encoded in this one.

Which scenes a batch has, and all that is drawn for it, follows from its number: so a resumed run goes on with the same
batches, and the number of processes that make them changes none.
"""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ditr.data.batch import Batch, join_samples
from ditr.data.dataset import Item, Shuffle, TrainingSet
from ditr.data.mix import cells_only, mix_pairs
from ditr.encoders.encoding import CachedEncoding
from ditr.errors import InputError
from ditr.stopping import ignore_stop_signals
from ditr.training.worker_trace import WorkerTrace

__all__ = ["Draw", "JointSampler", "RankShare", "TrainingSource", "load_batches"]


@dataclass(frozen=True)
class Draw:
    """What one batch is made of.

    Attributes:
        dataset: number of the dataset that it comes from.
        items: its scenes.
        mix: seed of mixing them in pairs; None to leave them apart.
    """

    dataset: int
    items: tuple[Item, ...]
    mix: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TrainingSource:
    """A dataset and the name under which the network has norms or a head for it."""

    dataset: TrainingSet
    name: str | None = None


class JointSampler:
    """Batches of several datasets in turn, ``ratios[d]`` of each, the main dataset 0 first; starts at any batch.

    As published, an epoch is one pass over the main dataset: n batches of it make n // ratio rounds through all
    datasets, and n % ratio batches of its own at the end. Other than there, where every epoch begins each dataset again
    and drops what fills no batch, a dataset goes on where it was, so that all its scenes come up equally often.

    Args:
        sizes: number of scenes of each dataset.
        ratios: of the datasets.
        batch_size: scenes per batch, of all processes together.
        batches: number of batches in all.
        seed: of the run.
        start: first batch to give.

    Raises:
        InputError: a main dataset of fewer batches than its ratio, with which the others would never have a turn.
    """

    def __init__(
        self, sizes: Sequence[int], ratios: Sequence[int], batch_size: int, batches: int, seed: int, start: int = 0
    ) -> None:
        self.sizes, self.ratios, self.batch_size, self.seed = tuple(sizes), tuple(ratios), batch_size, seed
        self.batches, self.start = batches, start
        self.main = max(1, sizes[0] // batch_size)
        if len(sizes) > 1 and self.main < ratios[0]:
            raise InputError(
                "datasets",
                f"the main one has {self.main} batches in an epoch, but its ratio takes {ratios[0]} in a row",
                "Lower its ratio or the batch size",
            )
        rounds = self.main // ratios[0]
        order = [d for d, ratio in enumerate(ratios) for _ in range(ratio)]
        self.epoch = (*(order * rounds), *([0] * (self.main % ratios[0])))

    def __len__(self) -> int:
        return self.batches - self.start

    def before(self, number: int, dataset: int) -> int:
        """How many of the first ``number`` batches come from a dataset."""
        epochs, place = divmod(number, len(self.epoch))
        return epochs * self.epoch.count(dataset) + self.epoch[:place].count(dataset)

    def __iter__(self) -> Iterator[tuple[int, list[Item]]]:
        running: dict[int, Iterator[list[Item]]] = {}
        for number in range(self.start, self.batches):
            which = self.epoch[number % len(self.epoch)]
            if which not in running:
                start = self.before(number, which)
                running[which] = iter(Shuffle(self.sizes[which], self.batch_size, self.batches, self.seed, start))
            yield which, next(running[which])


class RankShare(Sampler[Draw]):
    """The part of each batch that one of ``shares`` processes takes.

    Args:
        batches: of all processes together.
        rank: which part, from 0.
        shares: number of parts.
        mix3d: probability with which the scenes of a part are mixed in pairs, one per dataset; none for never.
        seed: of the run; decides which parts these are.
    """

    def __init__(
        self, batches: Shuffle | JointSampler, rank: int, shares: int, *, mix3d: Sequence[float] = (), seed: int = 0
    ) -> None:
        self.batches, self.rank, self.shares, self.mix3d, self.seed = batches, rank, shares, tuple(mix3d), seed

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Draw]:
        for number, (which, items) in enumerate(self._whole(), start=self.batches.start):
            stream = (self.seed, number, self.rank, _MIX)
            mix = bool(self.mix3d) and np.random.default_rng(stream).random() < self.mix3d[which]
            yield Draw(which, tuple(items[self.rank :: self.shares]), (*stream, 1) if mix else None)

    def _whole(self) -> Iterator[tuple[int, list[Item]]]:
        if isinstance(self.batches, JointSampler):
            yield from self.batches
        else:
            yield from ((0, items) for items in self.batches)


_MIX = 3
"""One of the numbers that seed a random stream; points and images have streams of their own."""


def load_batches(
    dataset: TrainingSet | Sequence[TrainingSource],
    order: RankShare,
    *,
    encoding: CachedEncoding | None,
    device: torch.device | str,
    workers: int,
    cls: bool = False,
    making: WorkerTrace | None = None,
) -> Generator[Batch, None, None]:
    """Batches on the device, with image tokens where there is an encoder; to be closed, which ends the processes.

    Args:
        dataset: of samples; several where ``order`` takes turns among them.
        order: which samples make a batch.
        encoding: of photographs that were augmented and so have no tokens yet.
        device: where the batches go.
        workers: processes that make samples; 0 makes them in this one.
        cls: whether the [cls] tokens of photographs that are encoded here are wanted too.
        making: is told which scenes each process is at.

    Raises:
        InputError: a damaged capture, also where a worker met it.
    """
    sources = [TrainingSource(dataset)] if isinstance(dataset, TrainingSet) else dataset
    loader: DataLoader[Batch | InputError] = DataLoader(
        # Joined in the worker: every tensor on its way takes a file descriptor, and samples have dozens of them.
        _Batches(sources, making),
        sampler=order,
        batch_size=None,
        collate_fn=_as_it_is,  # type: ignore[arg-type]  # of samples, says torch; here of one batch
        num_workers=workers,
        worker_init_fn=_begin_worker if workers else None,
        # The loader draws a number when it starts; from the default generator, a resumed run would get other dropout.
        generator=torch.Generator(),
    )
    batches = iter(loader)
    try:
        for batch in batches:
            if isinstance(batch, InputError):
                raise batch
            if encoding is not None and batch.tokens is None:
                batch = _encode(encoding, batch, cls)
            yield batch.to(device)
    except BaseException:
        if making is not None:
            making.look()
        raise
    finally:
        _end_workers(batches)


def _end_workers(batches: object) -> None:
    """End the processes of a loader's iterator.

    torch asks them to end, by a queue and then by SIGTERM, which they ignore (:func:`_begin_worker`). After one of them
    was killed, the asking may fail: the others would then live on, and this program would wait for them at its end.
    """
    workers = list(getattr(batches, "_workers", ()))
    if workers:
        with suppress(RuntimeError):  # the death of a worker, which has been told
            batches._shutdown_workers()  # type: ignore[attr-defined]
    for worker in workers:
        if worker.is_alive():
            worker.kill()
            worker.join()


class _Batches(Dataset["Batch | InputError"]):
    """From draws to batches. An error that a worker raises loses its type on the way here; as a value it keeps it."""

    def __init__(self, sources: Sequence[TrainingSource], making: WorkerTrace | None) -> None:
        self.sources = list(sources)
        self.making = making
        # These share what the datasets keep in memory, and make samples that are cheap, since they will be mixed.
        self.cells = [copy.copy(source.dataset) for source in sources]
        for cells in self.cells:
            cells.pyramid = cells_only(cells.pyramid)

    def __getitem__(self, draw: Draw) -> Batch | InputError:
        source = self.sources[draw.dataset]
        if self.making is not None:
            self.making.begin(draw.dataset, [item.index for item in draw.items])
        try:
            if draw.mix is None:
                samples = [source.dataset[item] for item in draw.items]
            else:
                apart = [self.cells[draw.dataset][item] for item in draw.items]
                samples = mix_pairs(apart, source.dataset.pyramid, np.random.default_rng(draw.mix))
        except InputError as error:
            return error
        return replace(join_samples(samples), dataset=source.name)


def _as_it_is(batch: Batch | InputError) -> Batch | InputError:
    return batch


def _encode(encoding: CachedEncoding, batch: Batch, cls: bool) -> Batch:
    """With the tokens of photographs that were augmented, where the encoder runs; those of one size go together."""
    parts: dict[int, Tensor] = {}
    whole: dict[int, Tensor] = {}
    for size in set(batch.sizes):
        rows = [row for row, other in enumerate(batch.sizes) if other == size]
        images = encoding.encoder.prepare([batch.unencoded[row] for row in rows], size)
        encoded = encoding.encoder(images)
        parts.update(zip(rows, encoded.patch.float().flatten(1, 2).unbind(), strict=True))
        whole.update(zip(rows, encoded.cls.float()[:, None].unbind(), strict=True))
    none = torch.zeros(0, encoding.width, device=encoding.encoder.device)
    order = range(len(batch.sizes))
    return replace(
        batch,
        tokens=torch.cat([none, *(parts[row] for row in order)]),
        cls=torch.cat([none, *(whole[row] for row in order)]) if cls else None,
        unencoded=(),
    )


def _begin_worker(_worker: int) -> None:
    ignore_stop_signals(terminate=True)
    torch.set_num_threads(1)
